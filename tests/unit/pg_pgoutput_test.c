/* pgoutput messages made by hand after the protocol's documentation: each kind is read right, each truncation
 * and each trailing byte is refused, no byte flipped makes the decoder leave its bounds (run under
 * sanitizers). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/strbuf.h"
#include "pg/pgoutput.h"

#define MESSAGE_MAX 4096

static void text(struct strbuf *sb, const char *s)
{
    strbuf_add(sb, s, strlen(s) + 1);
}

static void value(struct strbuf *sb, char kind, const char *bytes, uint32_t len)
{
    strbuf_addc(sb, kind);
    if (kind == 'b' || kind == 't') {
        strbuf_add_be32(sb, len);
        strbuf_add(sb, bytes, len);
    }
}

static struct strbuf make_begin(void)
{
    struct strbuf sb = STRBUF_INIT(MESSAGE_MAX);
    strbuf_addc(&sb, 'B');
    strbuf_add_be64(&sb, 0x16B374D848);
    strbuf_add_be64(&sb, 1000);
    strbuf_add_be32(&sb, 77);
    return sb;
}

static struct strbuf make_commit(void)
{
    struct strbuf sb = STRBUF_INIT(MESSAGE_MAX);
    strbuf_addc(&sb, 'C');
    strbuf_addc(&sb, 0);
    strbuf_add_be64(&sb, 0x100);
    strbuf_add_be64(&sb, 0x130);
    strbuf_add_be64(&sb, 2000);
    return sb;
}

static struct strbuf make_origin(void)
{
    struct strbuf sb = STRBUF_INIT(MESSAGE_MAX);
    strbuf_addc(&sb, 'O');
    strbuf_add_be64(&sb, 0x55);
    text(&sb, "elsewhere");
    return sb;
}

static struct strbuf make_relation(void)
{
    struct strbuf sb = STRBUF_INIT(MESSAGE_MAX);
    strbuf_addc(&sb, 'R');
    strbuf_add_be32(&sb, 16400);
    text(&sb, "public");
    text(&sb, "Ørders");
    strbuf_addc(&sb, 'd');
    strbuf_add_be16(&sb, 2);
    strbuf_addc(&sb, 1);
    text(&sb, "id");
    strbuf_add_be32(&sb, 20);
    strbuf_add_be32(&sb, 0xffffffff);
    strbuf_addc(&sb, 0);
    text(&sb, "price");
    strbuf_add_be32(&sb, 1700);
    strbuf_add_be32(&sb, 655366);
    return sb;
}

static struct strbuf make_type(void)
{
    struct strbuf sb = STRBUF_INIT(MESSAGE_MAX);
    strbuf_addc(&sb, 'Y');
    strbuf_add_be32(&sb, 17000);
    text(&sb, "public");
    text(&sb, "mood");
    return sb;
}

static struct strbuf make_insert(void)
{
    struct strbuf sb = STRBUF_INIT(MESSAGE_MAX);
    strbuf_addc(&sb, 'I');
    strbuf_add_be32(&sb, 16400);
    strbuf_addc(&sb, 'N');
    strbuf_add_be16(&sb, 4);
    value(&sb, 'b', "\0\0\0\7", 4);
    value(&sb, 'n', NULL, 0);
    value(&sb, 't', "text", 4);
    value(&sb, 'b', "", 0);
    return sb;
}

static struct strbuf make_update(char old)
{
    struct strbuf sb = STRBUF_INIT(MESSAGE_MAX);
    strbuf_addc(&sb, 'U');
    strbuf_add_be32(&sb, 16400);
    if (old != '\0') {
        strbuf_addc(&sb, old);
        strbuf_add_be16(&sb, 2);
        value(&sb, 'b', "old", 3);
        value(&sb, 'n', NULL, 0);
    }
    strbuf_addc(&sb, 'N');
    strbuf_add_be16(&sb, 2);
    value(&sb, 'b', "new", 3);
    value(&sb, 'u', NULL, 0);
    return sb;
}

static struct strbuf make_delete(void)
{
    struct strbuf sb = STRBUF_INIT(MESSAGE_MAX);
    strbuf_addc(&sb, 'D');
    strbuf_add_be32(&sb, 16400);
    strbuf_addc(&sb, 'K');
    strbuf_add_be16(&sb, 1);
    value(&sb, 'b', "k", 1);
    return sb;
}

static struct strbuf make_truncate(void)
{
    struct strbuf sb = STRBUF_INIT(MESSAGE_MAX);
    strbuf_addc(&sb, 'T');
    strbuf_add_be32(&sb, 3);
    strbuf_addc(&sb, 3);
    for (uint32_t oid = 1; oid <= 3; oid++)
        strbuf_add_be32(&sb, oid);
    return sb;
}

static struct strbuf make_message(void)
{
    struct strbuf sb = STRBUF_INIT(MESSAGE_MAX);
    strbuf_addc(&sb, 'M');
    strbuf_addc(&sb, 1);
    strbuf_add_be64(&sb, 0x99);
    text(&sb, "crossfade");
    strbuf_add_be32(&sb, 4);
    strbuf_add(&sb, "shop", 4);
    return sb;
}

static struct strbuf make_stream(char kind)
{
    struct strbuf sb = STRBUF_INIT(MESSAGE_MAX);
    strbuf_addc(&sb, kind);
    if (kind == 'E')
        return sb;
    strbuf_add_be32(&sb, 771);
    if (kind == 'A') {
        strbuf_add_be32(&sb, 773);
        return sb;
    }
    strbuf_addc(&sb, kind == 'S');
    if (kind == 'S')
        return sb;
    strbuf_add_be64(&sb, 0x100);
    strbuf_add_be64(&sb, 0x130);
    strbuf_add_be64(&sb, 2000);
    return sb;
}

static struct strbuf make(int which)
{
    switch (which) {
    case 0:
        return make_begin();
    case 1:
        return make_commit();
    case 2:
        return make_origin();
    case 3:
        return make_relation();
    case 4:
        return make_type();
    case 5:
        return make_insert();
    case 6:
        return make_update('\0');
    case 7:
        return make_update('K');
    case 8:
        return make_update('O');
    case 9:
        return make_delete();
    case 10:
        return make_truncate();
    case 11:
        return make_stream('S');
    case 12:
        return make_stream('c');
    case 13:
        return make_stream('A');
    case 14:
        return make_stream('E');
    default:
        return make_message();
    }
}

#define KINDS 16

static struct pgoutput_message decoded(struct pgoutput *d, struct strbuf *sb)
{
    struct pgoutput_message m;
    struct err err = ERR_INIT;
    assert_true(pgoutput_decode(d, sb->data, sb->len, &m, &err));
    return m;
}

static void reads_transactions(void **state)
{
    (void)state;
    struct pgoutput *d = pgoutput_new();
    struct strbuf sb = make_begin();
    struct pgoutput_message m = decoded(d, &sb);
    assert_int_equal(m.type, PGOUTPUT_BEGIN);
    assert_int_equal(m.begin.final_lsn, 0x16B374D848);
    assert_int_equal(m.begin.commit_time_us, PG_EPOCH_US + 1000);
    assert_int_equal(m.begin.xid, 77);
    strbuf_release(&sb);
    sb = make_commit();
    m = decoded(d, &sb);
    assert_int_equal(m.commit.commit_lsn, 0x100);
    assert_int_equal(m.commit.commit_end_lsn, 0x130);
    strbuf_release(&sb);
    sb = make_origin();
    m = decoded(d, &sb);
    assert_string_equal(m.origin.name, "elsewhere");
    strbuf_release(&sb);
    sb = make_message();
    m = decoded(d, &sb);
    assert_true(m.message.transactional);
    assert_int_equal(m.message.content_len, 4);
    assert_memory_equal(m.message.content, "shop", 4);
    strbuf_release(&sb);
    pgoutput_free(d);
}

static void reads_streams(void **state)
{
    (void)state;
    struct pgoutput *d = pgoutput_new();
    struct strbuf sb = make_stream('S');
    struct pgoutput_message m = decoded(d, &sb);
    assert_int_equal(m.type, PGOUTPUT_STREAM_START);
    assert_int_equal(m.stream_start.xid, 771);
    assert_true(m.stream_start.first);
    strbuf_release(&sb);
    sb = make_stream('c');
    m = decoded(d, &sb);
    assert_int_equal(m.stream_commit.xid, 771);
    assert_int_equal(m.stream_commit.commit_lsn, 0x100);
    assert_int_equal(m.stream_commit.commit_end_lsn, 0x130);
    assert_int_equal(m.stream_commit.commit_time_us, PG_EPOCH_US + 2000);
    strbuf_release(&sb);
    sb = make_stream('A');
    m = decoded(d, &sb);
    assert_int_equal(m.stream_abort.xid, 771);
    assert_int_equal(m.stream_abort.sub_xid, 773);
    strbuf_release(&sb);
    sb = make_stream('E');
    assert_int_equal(decoded(d, &sb).type, PGOUTPUT_STREAM_STOP);
    strbuf_release(&sb);
    pgoutput_free(d);
}

/* In a block each message has the id of its transaction behind the type. */
static void takes_the_transaction_out(void **state)
{
    (void)state;
    struct strbuf plain = make_update('K'), sb = STRBUF_INIT(MESSAGE_MAX);
    struct err err = ERR_INIT;
    const char *body = NULL;
    size_t body_len = 0;
    uint32_t xid = 0;
    strbuf_addc(&sb, plain.data[0]);
    strbuf_add_be32(&sb, 773);
    strbuf_add(&sb, plain.data + 1, plain.len - 1);
    assert_true(pgoutput_streamed(sb.data, sb.len, &xid, &body, &body_len, &err));
    assert_int_equal(xid, 773);
    assert_int_equal(body_len, plain.len - 1);
    assert_memory_equal(body, plain.data + 1, body_len);
    static const char *const others[] = {"",          "U",           "U\0\0\0",   "U\0\0\0\0row",
                                         "B\0\0\0\1", "S\0\0\0\1\1", "\0\0\0\0\1"};
    static const size_t lens[] = {0, 1, 4, 8, 5, 6, 5};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_false(pgoutput_streamed(others[i], lens[i], &xid, &body, &body_len, &err));
        assert_int_equal(err.code, ERR_PROTOCOL);
    }
    strbuf_release(&plain);
    strbuf_release(&sb);
}

static void reads_relations(void **state)
{
    (void)state;
    struct pgoutput *d = pgoutput_new();
    struct strbuf sb = make_relation();
    struct pgoutput_message m = decoded(d, &sb);
    assert_int_equal(m.relation.oid, 16400);
    assert_string_equal(m.relation.table, "Ørders");
    assert_int_equal(m.relation.column_count, 2);
    assert_true(m.relation.columns[0].identity);
    assert_int_equal(m.relation.columns[0].typmod, -1);
    assert_false(m.relation.columns[1].identity);
    assert_string_equal(m.relation.columns[1].name, "price");
    assert_int_equal(m.relation.columns[1].typmod, 655366);
    strbuf_release(&sb);
    sb = make_truncate();
    m = decoded(d, &sb);
    assert_int_equal(m.truncate.count, 3);
    assert_int_equal(m.truncate.oids[2], 3);
    assert_true(m.truncate.cascade && m.truncate.restart_identity);
    strbuf_release(&sb);
    pgoutput_free(d);
}

static void reads_rows(void **state)
{
    (void)state;
    struct pgoutput *d = pgoutput_new();
    struct strbuf sb = make_insert();
    struct pgoutput_message m = decoded(d, &sb);
    assert_int_equal(m.row.new_row.count, 4);
    assert_int_equal(m.row.new_row.values[0].kind, PGOUTPUT_BINARY);
    assert_memory_equal(m.row.new_row.values[0].p, "\0\0\0\7", 4);
    assert_int_equal(m.row.new_row.values[1].kind, PGOUTPUT_NULL);
    assert_int_equal(m.row.new_row.values[2].kind, PGOUTPUT_TEXT);
    assert_int_equal(m.row.new_row.values[3].len, 0);
    strbuf_release(&sb);
    sb = make_update('\0');
    m = decoded(d, &sb);
    assert_int_equal(m.row.old_kind, PGOUTPUT_OLD_NONE);
    assert_int_equal(m.row.new_row.values[1].kind, PGOUTPUT_UNCHANGED);
    strbuf_release(&sb);
    sb = make_update('O');
    m = decoded(d, &sb);
    assert_int_equal(m.row.old_kind, PGOUTPUT_OLD_FULL);
    assert_memory_equal(m.row.old_row.values[0].p, "old", 3);
    assert_memory_equal(m.row.new_row.values[0].p, "new", 3);
    strbuf_release(&sb);
    sb = make_delete();
    m = decoded(d, &sb);
    assert_int_equal(m.row.old_kind, PGOUTPUT_OLD_KEY);
    assert_int_equal(m.row.old_row.count, 1);
    strbuf_release(&sb);
    pgoutput_free(d);
}

/* The bytes are copied into a block of exactly their size, so that a sanitizer sees any read behind it. */
static bool decode_copy(struct pgoutput *d, const char *bytes, size_t len, struct err *err)
{
    char *exact = malloc(len > 0 ? len : 1);
    struct pgoutput_message m;
    memcpy(exact, bytes, len);
    bool ok = pgoutput_decode(d, exact, len, &m, err);
    free(exact);
    return ok;
}

static void refuses_every_truncation(void **state)
{
    (void)state;
    struct pgoutput *d = pgoutput_new();
    for (int which = 0; which < KINDS; which++) {
        struct strbuf sb = make(which);
        for (size_t len = 0; len < sb.len; len++) {
            struct err err = ERR_INIT;
            assert_false(decode_copy(d, sb.data, len, &err));
            assert_int_equal(err.code, ERR_PROTOCOL);
        }
        struct err err = ERR_INIT;
        strbuf_addc(&sb, '\0');
        assert_false(decode_copy(d, sb.data, sb.len, &err));
        strbuf_release(&sb);
    }
    pgoutput_free(d);
}

static void survives_every_flipped_byte(void **state)
{
    (void)state;
    struct pgoutput *d = pgoutput_new();
    for (int which = 0; which < KINDS; which++) {
        struct strbuf sb = make(which);
        for (size_t at = 0; at < sb.len; at++) {
            for (int bit = 0; bit < 8; bit++) {
                struct err err = ERR_INIT;
                sb.data[at] = (char)(sb.data[at] ^ (1 << bit));
                (void)decode_copy(d, sb.data, sb.len, &err);
                sb.data[at] = (char)(sb.data[at] ^ (1 << bit));
            }
        }
        strbuf_release(&sb);
    }
    pgoutput_free(d);
}

static void refuses_unknown_kinds(void **state)
{
    (void)state;
    struct pgoutput *d = pgoutput_new();
    struct err err = ERR_INIT;
    assert_false(decode_copy(d, "S1234567890", 11, &err));
    assert_false(decode_copy(d, "S\0\0\0\0\1", 6, &err));  /* no transaction */
    assert_false(decode_copy(d, "P1234567890", 11, &err)); /* two-phase: not asked for */
    struct strbuf sb = make_insert();
    char *kind = memchr(sb.data, 'b', sb.len);
    *kind = 'x';
    assert_false(decode_copy(d, sb.data, sb.len, &err));
    strbuf_release(&sb);
    pgoutput_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_transactions),
        cmocka_unit_test(reads_streams),
        cmocka_unit_test(takes_the_transaction_out),
        cmocka_unit_test(reads_relations),
        cmocka_unit_test(reads_rows),
        cmocka_unit_test(refuses_every_truncation),
        cmocka_unit_test(survives_every_flipped_byte),
        cmocka_unit_test(refuses_unknown_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
