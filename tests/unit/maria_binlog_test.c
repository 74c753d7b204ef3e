/* The decoder of MariaDB's binlog by itself: positions, checksums, compressed bodies, character sets, labels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "maria/binlog/charset.h"
#include "maria/binlog/event.h"
#include "maria/binlog/shape.h"

static struct err err;

static void positions(void **state)
{
    (void)state;
    struct gtid_list list = {0}, other = {0};
    struct strbuf text = STRBUF_INIT(1000);
    assert_true(gtid_list_parse("5-7-3,0-1-100,\n4294967295-1-18446744073709551615", &list, &err));
    gtid_list_add_text(&list, &text);
    assert_string_equal(text.data, "0-1-100,5-7-3,4294967295-1-18446744073709551615");
    assert_true(gtid_list_covers(&list, (struct gtid){0, 9, 100})); /* whatever server wrote it */
    assert_false(gtid_list_covers(&list, (struct gtid){0, 1, 101}));
    assert_false(gtid_list_covers(&list, (struct gtid){1, 1, 1}));
    assert_true(gtid_list_set(&list, (struct gtid){1, 1, 1}, &err));
    assert_true(gtid_list_set(&list, (struct gtid){0, 2, 101}, &err));
    assert_int_equal(list.count, 4);
    gtid_list_copy(&list, &other);
    assert_true(gtid_list_includes(&list, &other));
    assert_true(gtid_list_set(&other, (struct gtid){6, 1, 1}, &err));
    assert_false(gtid_list_includes(&list, &other));
    assert_true(gtid_list_includes(&other, &list));
    static const char *const wrong[] = {
        "0-1",       "0-1-1,0-2-2", "0-1-1;",         "x",
        "0-1-1-1",   "-1-1-1",      "4294967296-1-1", "0-1-18446744073709551616",
        "0-1-1,,0-2"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        err_clear(&err);
        assert_false(gtid_list_parse(wrong[i], &list, &err));
        assert_int_equal(err.code, ERR_CONFIG);
        assert_int_equal(list.count, 4); /* a failure leaves it */
    }
    gtid_list_release(&list);
    gtid_list_release(&other);
    strbuf_release(&text);
}

static size_t make_event(unsigned char *out, unsigned type, const void *body, size_t len)
{
    memset(out, 0, BINLOG_HEADER_BYTES);
    out[4] = (unsigned char)type;
    out[9] = (unsigned char)(BINLOG_HEADER_BYTES + len);
    memcpy(out + BINLOG_HEADER_BYTES, body, len);
    return BINLOG_HEADER_BYTES + len;
}

static void checksums(void **state)
{
    (void)state;
    struct binlog_decoder d;
    struct binlog_event ev;
    unsigned char bytes[64];
    /* XID 7 with the CRC-32 of its 27 bytes */
    size_t len = make_event(bytes, BINLOG_XID, "\7\0\0\0\0\0\0\0....", 12);
    binlog_decoder_init(&d, 1000, true);
    err_clear(&err);
    assert_false(binlog_decode(&d, bytes, len, &ev, &err));
    assert_int_equal(err.code, ERR_PROTOCOL);
    assert_non_null(strstr(err.text, "checksum"));
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < len - 4; i++) {
        crc ^= bytes[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (0xedb88320u & -(crc & 1));
    }
    crc = ~crc;
    for (size_t i = 0; i < 4; i++)
        bytes[len - 4 + i] = (unsigned char)(crc >> (8 * i));
    assert_true(binlog_decode(&d, bytes, len, &ev, &err));
    assert_int_equal(ev.xid, 7);
    bytes[BINLOG_HEADER_BYTES] ^= 1;
    assert_false(binlog_decode(&d, bytes, len, &ev, &err));
    binlog_decoder_release(&d);
}

static void refused_events(void **state)
{
    (void)state;
    struct binlog_decoder d;
    struct binlog_event ev;
    unsigned char bytes[200];
    binlog_decoder_init(&d, 100, false);
    static const struct {
        unsigned type;
        enum err_code code;
        const char *text;
    } cases[] = {{5, ERR_UNSUPPORTED, "binlog_format=ROW"},
                 {33, ERR_UNSUPPORTED, "not known"},
                 {30, ERR_UNSUPPORTED, "not known"},
                 {BINLOG_XID, ERR_PROTOCOL, "too early"},
                 {166, ERR_PROTOCOL, "too early"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t len = make_event(bytes, cases[i].type, "abc", 3);
        err_clear(&err);
        assert_false(binlog_decode(&d, bytes, len, &ev, &err));
        assert_int_equal(err.code, cases[i].code);
        assert_non_null(strstr(err.text, cases[i].text));
    }
    size_t len = make_event(bytes, BINLOG_XID, "abcdefgh", 8);
    assert_false(binlog_decode(&d, bytes, len - 1, &ev, &err)); /* not as long as it says */
    err_clear(&err);
    assert_false(binlog_decode(&d, bytes, 101, &ev, &err));
    assert_int_equal(err.code, ERR_NO_MEMORY);
    len = make_event(bytes, 200, "abc", 3);
    bytes[17] = 0x80; /* one that may be passed over */
    assert_true(binlog_decode(&d, bytes, len, &ev, &err));
    assert_int_equal(ev.type, BINLOG_UNKNOWN_EVENT);
    binlog_decoder_release(&d);
}

static void compressed(void **state)
{
    (void)state;
    struct binlog_decoder d;
    struct binlog_event ev;
    unsigned char bytes[100];
    /* a QUERY without database; then 0x81, 5 bytes, and "BEGIN" by zlib */
    static const char body[] =
        "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x81\5\x78\x9c\x73\x72\x75\xf7\xf4\3\0\4\x18\1\x66";
    binlog_decoder_init(&d, 90, false);
    size_t len = make_event(bytes, 165, body, sizeof body - 1);
    err_clear(&err);
    bool ok = binlog_decode(&d, bytes, len, &ev, &err);
    if (ok)
        assert_memory_equal(ev.query.text.p, "BEGIN", 5);
    else
        fail_msg("%s", err.text);
    assert_int_equal(ev.type, BINLOG_QUERY);
    static const char spoilt[] = {'\x81', '\x84', '\xf1', 6};
    for (size_t i = 0; i < 3; i++) { /* another algorithm, another length's length, another length */
        len = make_event(bytes, 165, body, sizeof body - 1);
        bytes[BINLOG_HEADER_BYTES + (i == 2 ? 15 : 14)] = (unsigned char)spoilt[i + 1];
        assert_false(binlog_decode(&d, bytes, len, &ev, &err));
    }
    err_clear(&err);
    len = make_event(bytes, 165, body, sizeof body - 1);
    bytes[BINLOG_HEADER_BYTES + 15] = 91; /* larger than is allowed */
    assert_false(binlog_decode(&d, bytes, len, &ev, &err));
    assert_int_equal(err.code, ERR_NO_MEMORY);
    binlog_decoder_release(&d);
}

static void charsets(void **state)
{
    (void)state;
    struct charset cs;
    struct strbuf out = STRBUF_INIT(1000), table = STRBUF_INIT(1000);
    charset_init(&cs, "ucs2", 2);
    assert_true(charset_add_utf8(&cs, "\0a\x20\xac", 4, &out, &err));
    assert_string_equal(out.data, "a€");
    assert_false(charset_add_utf8(&cs, "\0a\x20", 3, &out, &err));
    assert_false(charset_add_utf8(&cs, "\0\0", 2, &out, &err)); /* NUL */
    charset_release(&cs);
    charset_init(&cs, "latin1", 1);
    for (unsigned i = 0; i < 256; i++) {
        if (i >= 0x80)
            strbuf_adds(&table, i == 0x80 ? "€" : i == 0x81 ? "?" : "ü");
        else
            strbuf_addc(&table, (char)i);
    }
    assert_true(charset_set_table(&cs, table.data, table.len, &err));
    strbuf_clear(&out);
    assert_true(charset_add_utf8(&cs, "?\x80x\xff", 4, &out, &err));
    assert_string_equal(out.data, "?€xü");
    assert_false(charset_add_utf8(&cs, "\x81", 1, &out, &err)); /* no character */
    assert_false(charset_set_table(&cs, table.data, table.len - 2, &err));
    charset_release(&cs);
    charset_init(&cs, "gbk", 2);
    err_clear(&err);
    assert_false(charset_add_utf8(&cs, "x", 1, &out, &err));
    assert_int_equal(err.code, ERR_UNSUPPORTED);
    charset_init(&cs, "utf8mb4", 4);
    assert_false(charset_add_utf8(&cs, "\xff", 1, &out, &err));
    strbuf_release(&out);
    strbuf_release(&table);
}

static void labels(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        int count;
        const char *last;
    } cases[] = {{"enum('a','b b','c,d','it''s')", 4, "it's"},
                 {"set('x')", 1, "x"},
                 {"enum('','back\\\\slash','l\\n')", 3, "l\n"},
                 {"enum('a'", -1, NULL},
                 {"enum('a',)", -1, NULL},
                 {"int(11)", -1, NULL},
                 {"enum", -1, NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char **found = NULL;
        int count = shape_parse_labels(cases[i].type, &found);
        assert_int_equal(count, cases[i].count);
        if (count > 0)
            assert_string_equal(found[count - 1], cases[i].last);
        for (int k = 0; k < count; k++)
            free(found[k]);
        free(found);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(positions),      cmocka_unit_test(checksums),
                                       cmocka_unit_test(refused_events), cmocka_unit_test(compressed),
                                       cmocka_unit_test(charsets),       cmocka_unit_test(labels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
