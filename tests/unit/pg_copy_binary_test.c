/* Binary COPY: the same rows come out however the stream is cut into chunks; whatever is malformed is
 * refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/strbuf.h"
#include "pg/copy_binary.h"

#define ROWS 5

static void header(struct strbuf *sb)
{
    strbuf_add(sb, "PGCOPY\n\377\r\n\0", 11);
    strbuf_add_be32(sb, 0);
    strbuf_add_be32(sb, 0);
}

/* Row n: its number, a NULL, n letters. */
static void row(struct strbuf *sb, uint32_t n)
{
    strbuf_add_be16(sb, 3);
    strbuf_add_be32(sb, 4);
    strbuf_add_be32(sb, n);
    strbuf_add_be32(sb, 0xffffffff);
    strbuf_add_be32(sb, n);
    for (uint32_t i = 0; i < n; i++)
        strbuf_addc(sb, 'x');
}

static struct strbuf stream(void)
{
    struct strbuf sb = STRBUF_INIT(4096);
    header(&sb);
    for (uint32_t n = 0; n < ROWS; n++)
        row(&sb, n);
    strbuf_add_be16(&sb, 0xffff);
    return sb;
}

static void check_row(const struct copy_binary *cb, uint32_t n)
{
    uint32_t be;
    assert_int_equal(cb->values[0].kind, PGOUTPUT_BINARY);
    memcpy(&be, cb->values[0].p, sizeof be);
    assert_int_equal(__builtin_bswap32(be), n);
    assert_int_equal(cb->values[1].kind, PGOUTPUT_NULL);
    assert_int_equal(cb->values[2].len, n);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(cb->values[2].p[i], 'x');
}

/* Feeds `len` bytes in chunks of `step`; gives the number of rows, or -1 for an error. *ret_end: the trailer
 * came. */
static int parse(const char *bytes, size_t len, size_t step, bool check, bool *ret_end)
{
    struct copy_binary *cb = calloc(1, sizeof *cb);
    struct err err = ERR_INIT;
    int rows = 0;
    bool bad = false;
    *ret_end = false;
    copy_binary_init(cb, 3);
    for (size_t at = 0; at < len && !bad; at += step) {
        size_t n = len - at < step ? len - at : step;
        char *chunk = malloc(n); /* its own block: reads behind it are seen */
        memcpy(chunk, bytes + at, n);
        bad = !copy_binary_feed(cb, chunk, n, &err);
        for (bool more = false; !more && !bad;) {
            switch (copy_binary_next(cb, &err)) {
            case COPY_ERROR:
                bad = true;
                break;
            case COPY_MORE:
                more = true;
                break;
            case COPY_END:
                more = *ret_end = true;
                break;
            case COPY_ROW:
                if (check)
                    check_row(cb, (uint32_t)rows);
                rows++;
                break;
            }
        }
        free(chunk);
    }
    copy_binary_release(cb);
    free(cb);
    return bad ? -1 : rows;
}

static void any_chunks_give_the_same_rows(void **state)
{
    (void)state;
    struct strbuf sb = stream();
    for (size_t step = 1; step <= sb.len; step++) {
        bool end;
        assert_int_equal(parse(sb.data, sb.len, step, true, &end), ROWS);
        assert_true(end);
    }
    strbuf_release(&sb);
}

static void truncation_never_ends_well(void **state)
{
    (void)state;
    struct strbuf sb = stream();
    for (size_t len = 0; len < sb.len; len++) {
        bool end;
        assert_true(parse(sb.data, len, 7, true, &end) <= ROWS);
        assert_false(end);
    }
    strbuf_release(&sb);
}

static void malformed_is_refused(void **state)
{
    (void)state;
    struct strbuf sb = STRBUF_INIT(4096);
    bool end;
    header(&sb);
    strbuf_add_be16(&sb, 2); /* another number of columns */
    assert_int_equal(parse(sb.data, sb.len, 4096, false, &end), -1);
    strbuf_clear(&sb);
    header(&sb);
    strbuf_add_be16(&sb, 3);
    strbuf_add_be32(&sb, 0xfffffffe); /* length -2 */
    assert_int_equal(parse(sb.data, sb.len, 4096, false, &end), -1);
    strbuf_clear(&sb);
    strbuf_adds(&sb, "PGCOPX");
    assert_int_equal(parse(sb.data, sb.len, 1, false, &end), -1);
    strbuf_release(&sb);
    sb = stream();
    strbuf_addc(&sb, 'x'); /* bytes behind the trailer */
    assert_int_equal(parse(sb.data, sb.len, 4096, true, &end), -1);
    strbuf_release(&sb);
    sb = stream();
    sb.data[11] = 1; /* a critical flag */
    assert_int_equal(parse(sb.data, sb.len, 4096, true, &end), -1);
    strbuf_release(&sb);
}

static void flipped_bytes_stay_in_bounds(void **state)
{
    (void)state;
    struct strbuf sb = stream();
    for (size_t at = 0; at < sb.len; at++) {
        bool end;
        sb.data[at] = (char)~sb.data[at];
        (void)parse(sb.data, sb.len, 16, false, &end);
        sb.data[at] = (char)~sb.data[at];
    }
    strbuf_release(&sb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_chunks_give_the_same_rows),
        cmocka_unit_test(truncation_never_ends_well),
        cmocka_unit_test(malformed_is_refused),
        cmocka_unit_test(flipped_bytes_stay_in_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
