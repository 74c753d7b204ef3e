/* What was freed in small pieces goes back to the system, although something lies behind it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/memory.h"

#define PIECES      ((size_t)64 * 1024)
#define PIECE_BYTES ((size_t)1024)
#define MIB         ((uint64_t)1 << 20)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_ALLOCATOR 1 /* the sanitizer's, which has a quarantine and no malloc_trim() */
#else
#define OWN_ALLOCATOR 0
#endif

static void what_is_freed_is_given_back(void **state)
{
    (void)state;
    if (OWN_ALLOCATOR)
        skip();
    char **pieces = xcalloc(PIECES, sizeof *pieces);
    for (size_t i = 0; i < PIECES; i++)
        pieces[i] = memset(xmalloc(PIECE_BYTES), 1, PIECE_BYTES);
    uint64_t full_bytes = memory_anon_bytes();
    for (size_t i = 0; i + 1 < PIECES; i++)
        free(pieces[i]);
    assert_true(memory_anon_bytes() + MIB > full_bytes); /* the allocator keeps it */
    memory_tidy();
    assert_true(memory_anon_bytes() + 50 * MIB < full_bytes);
    free(pieces[PIECES - 1]);
    free(pieces);
}

static void is_known(void **state)
{
    (void)state;
    assert_true(memory_anon_bytes() > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_freed_is_given_back),
        cmocka_unit_test(is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
