/* The reader of fences: what is accepted is written again, read again, and then the text must be the same. */
#include "change/fence.h"
#include "core/alloc.h"
#include "fuzz.h"

#define FENCE_MAX ((size_t)16 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct fence fence, back;
    struct err err = ERR_INIT;
    struct strbuf first = STRBUF_INIT(FENCE_MAX), second = STRBUF_INIT(FENCE_MAX);
    if (fence_decode(bytes, len, &fence, &err)) {
        FUZZ_REQUIRE(fence_encode(&fence, &first, &err), "%s", err.text);
        FUZZ_REQUIRE(fence_decode(first.data, first.len, &back, &err), "%s", err.text);
        FUZZ_REQUIRE(fence_encode(&back, &second, &err), "%s", err.text);
        FUZZ_REQUIRE(first.len == second.len && memcmp(first.data, second.data, first.len) == 0,
                     "written as\n%s\nthen as\n%s", first.data, second.data);
        fence_release(&fence);
        fence_release(&back);
    } else {
        FUZZ_REQUIRE((err.code == ERR_PROTOCOL || err.code == ERR_UNSUPPORTED) && err.text[0] != '\0',
                     "error %d", (int)err.code);
    }
    strbuf_release(&first);
    strbuf_release(&second);
    return 0;
}
