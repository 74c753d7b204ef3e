/*
 * Binary → text, against what a server (15) sent and printed; and with broken bytes: any answer but a crash
 * or a read behind the end (run under the sanitizers). CF_SEED chooses what is broken.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/arena.h"
#include "pg/types/read.h"
#include "pg/types/text.h"
#include "pg/types/write.h"

static const struct sample {
    uint32_t oid;
    const char *hex;
    const char *text;
} samples[] = {
    {16, "01", "t"},
    {21, "8000", "-32768"},
    {20, "8000000000000000", "-9223372036854775808"},
    {26, "ffffffff", "4294967295"},
    {5069, "ffffffffffffffff", "18446744073709551615"},
    {700, "00000001", "1e-45"},
    {700, "4b800000", "1.6777216e+07"},
    {701, "44b52d02c7e14af6", "9.999999999999999e+22"},
    {701, "0000000000000001", "5e-324"},
    {701, "3f1a36e2eb1c432d", "0.0001"},
    {701, "430c6bf526340000", "1e+15"},
    {701, "42dc12218377de40", "123456789012345"},
    {701, "3d30000000000000", "5.684341886080802e-14"},
    {701, "8000000000000000", "-0"},
    {1700, "0003000140000006000109291a85", "-12345.678900"},
    {1700, "00010005000000000001", "100000000000000000000"},
    {790, "fffffffff8a432eb", "-$1,234,567.89"},
    {17, "deadbeef", "\\xdeadbeef"},
    {1082, "fff49d7b", "0044-03-15 BC"},
    {1082, "7fffffff", "infinity"},
    {1083, "000000141dd76000", "24:00:00"},
    {1266, "0000000b187d38e0ffffb299", "13:14:15.5+05:30:15"},
    {1114, "ff1af9e8fb46d000", "0044-03-15 12:00:00 BC"},
    {1114, "7fffff5bb3b29fff", "294276-12-31 23:59:59.999999"},
    {1184, "8000000000000000", "-infinity"},
    {1184, "0002b58220dc8480", "2024-02-29 11:14:15.12+00"},
    {1186, "fffffffc9368357800000003fffffff2", "-1 years -2 mons +3 days -04:05:06.789"},
    {1186, "fffffffffff0bdc00000000100000000", "1 day -00:00:01"},
    {2950, "a0eebc999c0b4ef8bb6d6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
    {3802, "017b2261223a205b312c206e756c6c5d7d", "{\"a\": [1, null]}"},
    {4072, "01242e2261225b2a5d", "$.\"a\"[*]"},
    {1562, "00000009b000", "101100000"},
    {869, "0380001000000000000000000000ffff01020304", "::ffff:1.2.3.4"},
    {869, "0340001000010000000000020000000000000003", "1:0:0:2::3/64"},
    {869, "0380001000000000000000000000000001020304", "::1.2.3.4"},
    {869, "020800040a000000", "10.0.0.0/8"},
    {650, "020801040a000000", "10.0.0.0/8"},
    {829, "08002b010203", "08:00:2b:01:02:03"},
    {774, "08002b0102030405", "08:00:2b:01:02:03:04:05"},
    {600, "3ff8000000000000c002000000000000", "(1.5,-2.25)"},
    {628, "3ff000000000000040000000000000004008000000000000", "{1,2,3}"},
    {601, "000000000000000000000000000000003ff00000000000003ff0000000000000", "[(0,0),(1,1)]"},
    {603, "4000000000000000400000000000000000000000000000000000000000000000", "(2,2),(0,0)"},
    {602, "0000000002000000000000000000000000000000003ff00000000000003ff0000000000000", "[(0,0),(1,1)]"},
    {602, "0100000002000000000000000000000000000000003ff00000000000003ff0000000000000", "((0,0),(1,1))"},
    {604,
     "00000003000000000000000000000000000000003ff00000000000003ff00000000000004000000000000000000000000000000"
     "0",
     "((0,0),(1,1),(2,0))"},
    {718, "3ff000000000000040000000000000004008000000000000", "<(1,2),3>"},
    {3614, "000000026261636b5c736c61736800000071756f277465000004c001800240030004",
     "'back\\\\slash' 'quo''te':1A,2B,3C,4"},
    {3615, "0000000a020202010203010c016527660001000064000204000102040002010000630001000062000100006100",
     "'a' <-> ( 'b' <2> 'c' ) & !( 'd' | 'e''f':*AB )"},
    {3615, "0000000502020202010000630001000062000100006100", "'a' & 'b' & 'c'"},
    {3220, "00000016b374d848", "16/B374D848"},
    {27, "ffffffffffff", "(4294967295,65535)"},
    {5038, "00000003000000000000000a0000000000000014000000000000000a000000000000000e000000000000000f",
     "10:20:10,14,15"},
    {22, "000000010000000000000015000000030000000000000002000100000002fffe000000020003", "1 -2 3"},
    {30, "00000001000000000000001a0000000000000000", ""},
    {1007,
     "0000000200000001000000170000000200000002000000020000000000000004000000070000000400000008ffffffff0000000"
     "400000009",
     "[2:3][0:1]={{7,8},{NULL,9}}"},
    {1009,
     "0000000100000001000000190000000700000001ffffffff000000044e554c4c000000000000000362206300000003642265000"
     "000015c0000000178",
     "{NULL,\"NULL\",\"\",\"b c\",\"d\\\"e\",\"\\\\\",x}"},
    {1020,
     "00000001000000000000025b0000000200000001000000204000000000000000400000000000000000000000000000000000000"
     "000000000000000203ff00000000000003ff000000000000000000000000000000000000000000000",
     "{(2,2),(0,0);(1,1),(0,0)}"},
    {791, "0000000100000000000003160000000100000001000000080000000000000096", "{$1.50}"},
    {1185, "0000000100000000000004a00000000200000001000000080002b58220daafc0000000087fffffffffffffff",
     "{\"2024-02-29 11:14:15+00\",infinity}"},
    {3904, "01", "empty"},
    {3906, "040000000c0002000000000001000113880000000c000200000000000200021388", "(1.5,2.50]"},
    {3910, "02000000080002b0d427c1f800000000087fffffffffffffff", "[\"2023-12-31 22:00:00+00\",infinity)"},
    {3912, "08000000040000223e", "(,2024-01-01)"},
    {4451, "00000002000000110200000004000000010000000400000003000000110200000004000000050000000400000008",
     "{[1,3),[5,8)}"},
    {6150,
     "00000001000000000000116300000002000000010000002e0000000200000011020000000400000001000000040000000300000"
     "01102000000040000000500000004000000080000000400000000",
     "{\"{[1,3),[5,8)}\",\"{}\"}"},
    {142, "3c7220613d2231223e743c2f723e", "<r a=\"1\">t</r>"},
    {143, "00000001000000000000008e00000001000000010000000a3c7220613d2231222f3e", "{\"<r a=\\\"1\\\"/>\"}"},
    {1042, "61622020", "ab  "},
    {18, "78", "x"},
};

static struct pg_type_catalog *cat;
static struct err err;

static int set_up(void **state)
{
    (void)state;
    cat = pg_type_catalog_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pg_type_catalog_free(cat);
    return 0;
}

/* Exactly as large as the value, so that a sanitizer sees a read behind it. */
static unsigned char *unhex(const char *hex, size_t *len)
{
    *len = strlen(hex) / 2;
    unsigned char *bytes = malloc(*len > 0 ? *len : 1);
    for (size_t i = 0; i < *len; i++) {
        unsigned v;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &v), 1);
        bytes[i] = (unsigned char)v;
    }
    return bytes;
}

static void prints_as_the_server_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
        struct strbuf out = STRBUF_INIT(1 << 16);
        size_t len;
        unsigned char *bytes = unhex(samples[i].hex, &len);
        if (!pg_value_to_text(cat, NULL, samples[i].oid, bytes, (uint32_t)len, &out, &err))
            fail_msg("%u %s: %s", samples[i].oid, samples[i].text, err.text);
        assert_string_equal(out.data, samples[i].text);
        free(bytes);
        strbuf_release(&out);
    }
}

/* The reader adds what is missing in the server's text of a tsquery. */
static void reads_a_tsquery_with_its_parentheses(void **state)
{
    static const char hex[] = "0000000502020202010000630001000062000100006100";
    struct pg_column_reader r;
    struct arena arena;
    struct datum d;
    size_t len;
    unsigned char *bytes = unhex(hex, &len);
    (void)state;
    arena_init(&arena, 4096, 4096);
    if (!pg_reader_plan(cat, NULL, 3615, -1, &r, &err) ||
        !pg_read_value(&r, bytes, (uint32_t)len, false, &arena, &d, &err))
        fail_msg("%s", err.text);
    assert_memory_equal(d.s.p, "'a' & ( 'b' & 'c' )", 19);
    free(bytes);
    arena_release(&arena);
}

static void read_broken(const struct pg_column_reader *r, const unsigned char *bytes, size_t len,
                        struct arena *arena)
{
    struct datum d = {.state = DATUM_NULL};
    unsigned char *exact = malloc(len > 0 ? len : 1);
    memcpy(exact, bytes, len);
    err_clear(&err);
    if (!pg_read_value(r, exact, (uint32_t)len, false, arena, &d, &err)) {
        assert_true(err.code == ERR_PROTOCOL || err.code == ERR_UNSUPPORTED || err.code == ERR_SCHEMA ||
                    err.code == ERR_NO_MEMORY);
        assert_int_equal(d.state, DATUM_NULL);
    } else if (r->phys == PHYS_STRING) { /* what came out is all there */
        volatile char last = d.s.len > 0 ? d.s.p[d.s.len - 1] : 0;
        (void)last;
    }
    free(exact);
    arena_clear(arena);
}

static void survives_broken_bytes(void **state)
{
    const char *env = getenv("CF_SEED");
    unsigned seed = env != NULL ? (unsigned)strtoul(env, NULL, 10) : (unsigned)time(NULL);
    struct arena arena;
    (void)state;
    printf("seed %u\n", seed);
    srand(seed);
    arena_init(&arena, 4096, 1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
        struct pg_column_reader r;
        size_t len;
        unsigned char *bytes = unhex(samples[i].hex, &len);
        if (!pg_reader_plan(cat, NULL, samples[i].oid, -1, &r, &err))
            fail_msg("%s", err.text);
        for (size_t cut = 0; cut < len; cut++)
            read_broken(&r, bytes, cut, &arena);
        for (int round = 0; round < 500 && len > 0; round++) {
            unsigned char *broken = malloc(len);
            memcpy(broken, bytes, len);
            for (int flips = 1 + rand() % 3; flips > 0; flips--)
                broken[(size_t)rand() % len] = (unsigned char)(rand() % 3 == 0 ? 0xff : rand() % 256);
            read_broken(&r, broken, len, &arena);
            free(broken);
        }
        free(bytes);
    }
    arena_release(&arena);
}

/* The journal is not trusted either: any text at all into any column. */
static void survives_broken_journal_values(void **state)
{
    static const char alphabet[] = "0123456789-+:.TZPYMDHS{}\"\\,infityNa \xc3\xbc";
    char text[64];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
        struct pg_column_reader r;
        struct pg_column_writer w;
        struct field f;
        if (!pg_reader_plan(cat, NULL, samples[i].oid, -1, &r, &err))
            fail_msg("%s", err.text);
        pg_reader_field(&r, "c", true, false, &f);
        if (!pg_writer_plan(&f, samples[i].oid, -1, cat, NULL, &w, &err))
            fail_msg("%s", err.text);
        for (int round = 0; round < 300 && f.phys == PHYS_STRING; round++) {
            struct strbuf out = STRBUF_INIT(4096);
            size_t len = (size_t)rand() % sizeof text;
            for (size_t n = 0; n < len; n++)
                text[n] = alphabet[(size_t)rand() % (sizeof alphabet - 1)];
            struct datum d = {.state = DATUM_VALUE, .s = {text, (uint32_t)len}};
            err_clear(&err);
            if (!pg_write_copy(&w, &d, &out, &err))
                assert_true(err.code == ERR_PROTOCOL || err.code == ERR_DATA);
            strbuf_release(&out);
        }
        free(f.name);
        free(f.semantic);
        free(f.source_type);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints_as_the_server_does),
        cmocka_unit_test(reads_a_tsquery_with_its_parentheses),
        cmocka_unit_test(survives_broken_bytes),
        cmocka_unit_test(survives_broken_journal_values),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
