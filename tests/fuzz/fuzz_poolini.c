/* PgBouncer's configuration: what is put in is found again, what is put back is what was there, and all else stays. */
#include "core/alloc.h"
#include "cutover/poolers/connstr.h"
#include "cutover/poolers/ini.h"
#include "fuzz.h"

#define TEXT_BYTES_MAX ((size_t)1 << 20)

static const struct connstr target = {
    .host = (char *)"db2", .port = (char *)"5433", .dbname = (char *)"it's"};

/* The n-th entry; false: there are fewer, or the text does not read. */
static bool nth_entry(const char *text, size_t len, size_t n, struct ini_item *ret)
{
    struct ini_reader r;
    struct err err = ERR_INIT;
    ini_reader_init(&r, text, len);
    while (ini_next(&r, ret, &err) && ret->kind != INI_END) {
        FUZZ_REQUIRE(ret->value.start + ret->value.len <= len && ret->name.start + ret->name.len <= len &&
                         ret->mark.start + ret->mark.len <= len,
                     "outside of %zu bytes", len);
        if (ret->kind == INI_ENTRY && n-- == 0)
            return true;
    }
    return false;
}

static void there_and_back(const char *text, size_t len, size_t n, const struct ini_item *item,
                           const char *value)
{
    struct strbuf there = STRBUF_INIT(TEXT_BYTES_MAX), back = STRBUF_INIT(TEXT_BYTES_MAX);
    struct ini_item found, again;
    ini_put(text, len, item, "id", value, &there);
    FUZZ_REQUIRE(nth_entry(there.data, there.len, n, &found), "entry %zu is lost", n);
    FUZZ_REQUIRE(found.value.len == strlen(value) &&
                     memcmp(there.data + found.value.start, value, found.value.len) == 0,
                 "entry %zu", n);
    FUZZ_REQUIRE(found.mark.len > 0, "entry %zu keeps nothing", n);
    ini_put_back(there.data, there.len, &found, &back);
    FUZZ_REQUIRE(nth_entry(back.data, back.len, n, &again) && again.all.len == item->all.len &&
                     memcmp(back.data + again.all.start, text + item->all.start, item->all.len) == 0,
                 "entry %zu is another one", n);
    FUZZ_REQUIRE(back.len - (again.all.start + again.all.len) == len - (item->all.start + item->all.len),
                 "what follows entry %zu", n);
    strbuf_release(&there);
    strbuf_release(&back);
}

static void redirect(const char *text, size_t len, size_t n, const struct ini_item *item)
{
    struct strbuf value = STRBUF_INIT(TEXT_BYTES_MAX);
    struct err err = ERR_INIT;
    struct connstr before, now;
    const char *from = text + item->value.start;
    if (connstr_redirect(from, item->value.len, &target, &value, &err)) {
        FUZZ_REQUIRE(connstr_read(from, item->value.len, &before, &err), "%s", err.text);
        FUZZ_REQUIRE(connstr_read(value.data, value.len, &now, &err), "%s", err.text);
        FUZZ_REQUIRE(connstr_leads_to(&now, "x", &target), "%s", value.data);
        FUZZ_REQUIRE((before.password == NULL) == (now.password == NULL) &&
                         (now.password == NULL || strcmp(before.password, now.password) == 0),
                     "%s", value.data);
        there_and_back(text, len, n, item, value.data);
        connstr_release(&before);
        connstr_release(&now);
    }
    strbuf_release(&value);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct ini_item item;
    if (memchr(bytes, '\0', len) != NULL)
        return 0; /* a file with one is refused */
    char *text = xstrndup((const char *)bytes, len);
    for (size_t n = 0; n < 50 && nth_entry(text, len, n, &item); n++)
        redirect(text, len, n, &item);
    free(text);
    return 0;
}
