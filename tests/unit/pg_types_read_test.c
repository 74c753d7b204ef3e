/* Source side of type conversion: what a column becomes, and every type's extremes as datums. No server. */
#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/clock.h"
#include "pg/types/read.h"

static struct pg_type_catalog *cat;
static struct arena arena;
static struct err err;

static int set_up(void **state)
{
    (void)state;
    cat = pg_type_catalog_new();
    arena_init(&arena, 4096, 1 << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pg_type_catalog_free(cat);
    arena_release(&arena);
    return 0;
}

static struct pg_column_reader plan(uint32_t oid, int32_t typmod)
{
    struct pg_column_reader r;
    if (!pg_reader_plan(cat, NULL, oid, typmod, &r, &err))
        fail_msg("oid %u: %s", oid, err.text);
    return r;
}

#define NUMERIC(p, s) ((((p) << 16) | ((s)&0x7ff)) + 4)

/* Names, lengths and scales as Debezium propagates them (recorded from it), the exact profile's encodings. */
static void plans_as_debezium_does(void **state)
{
    static const struct {
        uint32_t oid;
        int32_t typmod;
        enum phys phys;
        const char *semantic, *type;
        int32_t length, scale;
    } t[] = {
        {16, -1, PHYS_BOOL, NULL, "BOOL", 1, 0},
        {21, -1, PHYS_INT16, NULL, "INT2", 5, 0},
        {23, -1, PHYS_INT32, NULL, "INT4", 10, 0},
        {20, -1, PHYS_INT64, NULL, "INT8", 19, 0},
        {26, -1, PHYS_INT64, NULL, "OID", 10, 0},
        {700, -1, PHYS_FLOAT32, NULL, "FLOAT4", 8, 8},
        {701, -1, PHYS_FLOAT64, NULL, "FLOAT8", 17, 17},
        {1700, NUMERIC(10, 2), PHYS_STRING, NULL, "NUMERIC", 10, 2},
        {1700, NUMERIC(5, -2), PHYS_STRING, NULL, "NUMERIC", 5, 2046},
        {1700, NUMERIC(3, 5), PHYS_STRING, NULL, "NUMERIC", 3, 5},
        {1700, -1, PHYS_STRING, NULL, "NUMERIC", 131089, 0},
        {790, -1, PHYS_STRING, NULL, "MONEY", 2147483647, 0},
        {18, -1, PHYS_STRING, NULL, "CHAR", 1, 0},
        {1042, 9, PHYS_STRING, NULL, "BPCHAR", 5, 0},
        {1043, 24, PHYS_STRING, NULL, "VARCHAR", 20, 0},
        {1043, -1, PHYS_STRING, NULL, "VARCHAR", 2147483647, 0},
        {25, -1, PHYS_STRING, NULL, "TEXT", 2147483647, 0},
        {19, -1, PHYS_STRING, NULL, "NAME", 2147483647, 0},
        {17, -1, PHYS_BYTES, NULL, "BYTEA", 2147483647, 0},
        {1082, -1, PHYS_INT32, "io.debezium.time.Date", "DATE", 13, 0},
        {1083, -1, PHYS_INT64, "io.debezium.time.MicroTime", "TIME", 15, 6},
        {1083, 3, PHYS_INT64, "io.debezium.time.MicroTime", "TIME", 12, 3},
        {1083, 0, PHYS_INT64, "io.debezium.time.MicroTime", "TIME", 8, 0},
        {1266, -1, PHYS_STRING, "io.debezium.time.ZonedTime", "TIMETZ", 21, 6},
        {1266, 3, PHYS_STRING, "io.debezium.time.ZonedTime", "TIMETZ", 18, 3},
        {1114, -1, PHYS_INT64, "io.debezium.time.MicroTimestamp", "TIMESTAMP", 29, 6},
        {1114, 3, PHYS_INT64, "io.debezium.time.MicroTimestamp", "TIMESTAMP", 26, 3},
        {1114, 0, PHYS_INT64, "io.debezium.time.MicroTimestamp", "TIMESTAMP", 22, 0},
        {1184, -1, PHYS_STRING, "io.debezium.time.ZonedTimestamp", "TIMESTAMPTZ", 35, 6},
        {1184, 3, PHYS_STRING, "io.debezium.time.ZonedTimestamp", "TIMESTAMPTZ", 32, 3},
        {1186, -1, PHYS_STRING, "io.debezium.time.Interval", "INTERVAL", 49, 6},
        {1186, (6 << 16) | 0xffff, PHYS_STRING, "io.debezium.time.Interval", "INTERVAL", 49, 65535},
        {1186, (0x1000 << 16) | 0, PHYS_STRING, "io.debezium.time.Interval", "INTERVAL", 49, 0},
        {2950, -1, PHYS_STRING, "io.debezium.data.Uuid", "UUID", 2147483647, 0},
        {114, -1, PHYS_STRING, "io.debezium.data.Json", "JSON", 2147483647, 0},
        {3802, -1, PHYS_STRING, "io.debezium.data.Json", "JSONB", 2147483647, 0},
        {142, -1, PHYS_STRING, "io.debezium.data.Xml", "XML", 2147483647, 0},
        {869, -1, PHYS_STRING, NULL, "INET", 2147483647, 0},
        {1560, 1, PHYS_STRING, NULL, "BIT", 1, 0},
        {1562, -1, PHYS_STRING, NULL, "VARBIT", 2147483647, 0},
        {1562, 10, PHYS_STRING, NULL, "VARBIT", 10, 0},
        {1007, -1, PHYS_STRING, NULL, "_INT4", 10, 0},
        {1015, 14, PHYS_STRING, NULL, "_VARCHAR", 10, 0},
        {1231, NUMERIC(10, 2), PHYS_STRING, NULL, "_NUMERIC", 10, 2},
        {1231, -1, PHYS_STRING, NULL, "_NUMERIC", 131089, 0},
        {1561, 8, PHYS_STRING, NULL, "_BIT", 8, 0},
        {3904, -1, PHYS_STRING, NULL, "INT4RANGE", 2147483647, 0},
        {600, -1, PHYS_STRING, NULL, "POINT", 2147483647, 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct pg_column_reader r = plan(t[i].oid, t[i].typmod);
        assert_int_equal(r.phys, t[i].phys);
        assert_int_equal(r.semantic == NULL, t[i].semantic == NULL);
        if (r.semantic != NULL)
            assert_string_equal(r.semantic, t[i].semantic);
        assert_string_equal(r.source_type, t[i].type);
        assert_int_equal(r.source_length, t[i].length);
        assert_int_equal(r.source_scale, t[i].scale);
    }
}

static void refuses_what_it_does_not_know(void **state)
{
    struct pg_column_reader r;
    (void)state;
    assert_false(pg_reader_plan(cat, NULL, 194, -1, &r, &err)); /* pg_node_tree */
    assert_int_equal(err.code, ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "pg_node_tree"));
    err_clear(&err);
    assert_false(
        pg_reader_plan(cat, NULL, 1034, -1, &r, &err)); /* aclitem[]: the server has no binary form inside */
    assert_int_equal(err.code, ERR_UNSUPPORTED);
    err_clear(&err);
    assert_false(pg_reader_plan(cat, NULL, 16400, -1, &r, &err)); /* no connection to ask */
    assert_int_equal(err.code, ERR_SCHEMA);
    err_clear(&err);
    r = plan(1033, -1);
    assert_true(r.as_text);
    struct datum d;
    assert_true(pg_read_value(&r, "a=r/b", 5, true, &arena, &d, &err));
    assert_int_equal(d.s.len, 5);
    r = plan(23, -1);
    assert_false(pg_read_value(&r, "1", 1, true, &arena, &d, &err));
    assert_int_equal(err.code, ERR_PROTOCOL);
}

static size_t unhex(const char *hex, unsigned char *out)
{
    size_t n = 0;
    unsigned v;
    while (*hex != '\0') {
        if (*hex == ' ') {
            hex++;
            continue;
        }
        assert_int_equal(sscanf(hex, "%2x", &v), 1);
        out[n++] = (unsigned char)v;
        hex += 2;
    }
    return n;
}

static void reads_integers(void **state)
{
    static const struct {
        uint32_t oid;
        const char *hex;
        int64_t expected;
    } t[] = {
        {16, "01", 1},
        {16, "00", 0},
        {21, "8000", INT16_MIN},
        {21, "7fff", INT16_MAX},
        {23, "80000000", INT32_MIN},
        {23, "ffffffff", -1},
        {20, "8000000000000000", INT64_MIN},
        {20, "7fffffffffffffff", INT64_MAX},
        {26, "ffffffff", 4294967295},
        {1082, "00000000", 10957},
        {1082, "ffffd533", 0}, /* 1970-01-01 */
        {1082, "7fffffff", INT32_MAX},
        {1082, "80000000", INT32_MIN},
        {1082, "7fda970c", 2145031948 + 10957},  /* 5874897-12-31 */
        {1082, "ffda97a7", -2451545 + 10957},    /* 4714-11-24 BC */
        {1083, "000000141dd76000", 86400000000}, /* 24:00:00 */
        {1114, "0000000000000000", PG_EPOCH_US},
        {1114, "7fffffffffffffff", INT64_MAX},
        {1114, "8000000000000000", INT64_MIN},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        unsigned char bytes[32];
        struct pg_column_reader r = plan(t[i].oid, -1);
        struct datum d = {0};
        if (!pg_read_value(&r, bytes, (uint32_t)unhex(t[i].hex, bytes), false, &arena, &d, &err))
            fail_msg("%u %s: %s", t[i].oid, t[i].hex, err.text);
        assert_int_equal(d.state, DATUM_VALUE);
        if (d.i != t[i].expected)
            fail_msg("%u %s: %lld", t[i].oid, t[i].hex, (long long)d.i);
    }
}

static void reads_strings(void **state)
{
    static const struct {
        uint32_t oid;
        int32_t typmod;
        const char *hex, *expected;
    } t[] = {
        {25, -1, "", ""},
        {25, -1, "c3bc", "ü"},
        {3802, -1, "01 7b7d", "{}"},
        {18, -1, "78", "x"},
        {18, -1, "00", ""},
        {18, -1, "83", "\\203"},
        {1700, -1, "0000 0000 0000 0000", "0"},
        {1700, -1, "0000 0000 0000 0003", "0.000"},
        {1700, -1, "0000 0000 c000 0000", "NaN"},
        {1700, -1, "0000 0000 d000 0000", "Infinity"},
        {1700, -1, "0000 0000 f000 0000", "-Infinity"},
        {1700, -1, "0002 0000 4000 0002 04d2 1388", "-1234.50"},
        {1700, -1, "0001 ffff 0000 0005 000c", "0.00120"},
        {1700, -1, "0001 fffe 0000 0008 0001", "0.00000001"},
        {1700, -1, "0001 0002 0000 0000 0001", "100000000"},
        {1700, -1, "0001 0000 0000 0000 270f", "9999"},
        {790, -1, "8000000000000000", "-92233720368547758.08"},
        {790, -1, "7fffffffffffffff", "92233720368547758.07"},
        {790, -1, "ffffffffffffffff", "-0.01"},
        {2950, -1, "a0eebc99 9c0b4ef8 bb6d6bb9 bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
        {1184, -1, "0000000000000000", "2000-01-01T00:00:00.000000Z"},
        {1184, 3, "ffffffffffffffff", "1999-12-31T23:59:59.999Z"},
        {1184, 0, "0000000000000000", "2000-01-01T00:00:00Z"},
        {1184, -1, "7fffffffffffffff", "infinity"},
        {1184, -1, "8000000000000000", "-infinity"},
        {1266, -1, "000000141dd76000 00000000", "24:00:00Z"},
        {1266, -1, "0000000000000000 ffffb2b1", "00:00:00+05:29:51"},
        {1266, -1, "0000000000000001 00007080", "00:00:00.000001-08:00"},
        {1186, -1, "0000000000000000 00000000 00000000", "P0Y0M0DT0H0M0S"},
        {1186, -1, "0000000000000001 ffffffff 00000001", "P0Y1M-1DT0H0M0.000001S"},
        {1186, -1, "ffffffffffffffff 00000000 fffffff5", "P0Y-11M0DT0H0M-0.000001S"},
        {1186, -1, "7fffffffffffffff 7fffffff 7fffffff", "infinity"},
        {1186, -1, "8000000000000000 80000000 80000000", "-infinity"},
        {1186, -1, "8000000000000000 80000000 80000001",
         "P-178956970Y-7M-2147483648DT-2562047788H0M-54.775808S"},
        {1560, 4, "00000004 50", "0101"},
        {1562, -1, "00000000", ""},
        {1007, -1, "00000000 00000000 00000017", "{}"},
        {1007, -1, "00000001 00000001 00000017 00000002 00000000 ffffffff 00000004 00000007",
         "[0:1]={NULL,7}"},
        {3904, -1, "02 00000004 00000001 00000004 0000000a", "[1,10)"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        unsigned char bytes[64];
        struct pg_column_reader r = plan(t[i].oid, t[i].typmod);
        struct datum d = {0};
        if (!pg_read_value(&r, bytes, (uint32_t)unhex(t[i].hex, bytes), false, &arena, &d, &err))
            fail_msg("%u %s: %s", t[i].oid, t[i].hex, err.text);
        if (d.s.len != strlen(t[i].expected) || memcmp(d.s.p, t[i].expected, d.s.len) != 0)
            fail_msg("%u %s: %.*s", t[i].oid, t[i].hex, (int)d.s.len, d.s.p);
    }
}

/* Years beyond four digits and before 1, at the very ends of the range. */
static void reads_far_years(void **state)
{
    static const struct {
        int64_t us;
        const char *expected;
    } t[] = {
        {INT64_C(-211813488000000000), "-4713-11-24T00:00:00.000000Z"},
        {INT64_C(9223371331199999999), "+294276-12-31T23:59:59.999999Z"},
        {INT64_C(-63113904000000000), "0000-01-01T00:00:00.000000Z"},
        {INT64_C(-63113904000000001), "-0001-12-31T23:59:59.999999Z"},
        {INT64_C(252455615999999999), "9999-12-31T23:59:59.999999Z"},
        {INT64_C(252455616000000000), "+10000-01-01T00:00:00.000000Z"},
    };
    struct pg_column_reader r = plan(1184, -1);
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        uint64_t be = htobe64((uint64_t)t[i].us);
        struct datum d;
        assert_true(pg_read_value(&r, &be, 8, false, &arena, &d, &err));
        if (d.s.len != strlen(t[i].expected) || memcmp(d.s.p, t[i].expected, d.s.len) != 0)
            fail_msg("%s: %.*s", t[i].expected, (int)d.s.len, d.s.p);
    }
}

static void timestamps_map_one_to_one(void **state)
{
    static const int64_t edges[] = {INT64_MIN,
                                    INT64_MAX,
                                    INT64_MAX - PG_EPOCH_US,
                                    INT64_MIN + PG_EPOCH_US,
                                    INT64_C(9223371331199999999),
                                    INT64_C(-211813488000000000),
                                    0,
                                    -PG_EPOCH_US,
                                    PG_EPOCH_US};
    (void)state;
    assert_int_equal(pg_timestamp_to_unix_us(INT64_MAX), INT64_MAX);
    assert_int_equal(pg_timestamp_to_unix_us(INT64_MIN), INT64_MIN);
    /* the two instants that the plain wrap would put on the marks of the infinities */
    assert_int_equal(pg_timestamp_to_unix_us(INT64_MAX - PG_EPOCH_US), INT64_MIN + PG_EPOCH_US - 1);
    assert_int_equal(pg_timestamp_to_unix_us(INT64_MAX - PG_EPOCH_US + 1), INT64_MIN + PG_EPOCH_US);
    for (size_t i = 0; i < ARRAY_LEN(edges); i++) {
        for (int64_t off = -3; off <= 3; off++) {
            int64_t v = (int64_t)((uint64_t)edges[i] + (uint64_t)off);
            assert_int_equal(pg_timestamp_from_unix_us(pg_timestamp_to_unix_us(v)), v);
            assert_int_equal(pg_timestamp_to_unix_us(pg_timestamp_from_unix_us(v)), v);
        }
    }
}

static void refuses_malformed_bytes(void **state)
{
    static const struct {
        uint32_t oid;
        const char *hex;
    } t[] = {
        {16, ""},
        {16, "0001"},
        {21, "00"},
        {23, "000000"},
        {20, "00000000"},
        {26, "0000"},
        {700, "00"},
        {701, "00"},
        {1700, "0001 0000 0000 0000"},
        {1700, "0001 0000 0000 0000 2710"}, /* a digit of 10000 */
        {1700, "0000 0000 1234 0000"},      /* no such sign */
        {1700, "0000 0000 0000 7fff"},      /* scale */
        {790, "00"},
        {1082, "ffda97a6"}, /* a day before the first */
        {1082, "7fda970d"}, /* a day after the last */
        {1083, "000000141dd76001"},
        {1083, "ffffffffffffffff"},
        {1114, "7fffffffffffffff00"},
        {1114, "7ffffffffffffffe"},
        {1114, "8000000000000001"},
        {1184, "7ffffffffffffffe"},
        {1266, "0000000000000000 0000e100"},
        {1266, "0000000000000000"},
        {1186, "00"},
        {2950, "00"},
        {3802, "02 7b7d"},
        {3802, ""},
        {18, ""},
        {1560, "00000009 50"},
        {1560, "00000001 5000"},
        {1007, "00000007 00000000 00000017"},
        {1007, "00000001 00000000 00000017 7fffffff 00000001"},
        {1007, "00000001 00000000 00000017 00000001 00000001 7fffffff"},
        {1007, "00000001 00000000 00000017 ffffffff 00000001"},
        {3904, ""},
        {3904, "02 00000004"},
        {869, "02 20 00 05 0102030405"},
        {869, "02 21 00 04 01020304"},
        {3614, "00000001 6162"},
        {3615, "00000001 0201"},
        {3615, "00000002 0202 01000061 00"},
        {602, "01 7fffffff"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        unsigned char bytes[64];
        struct pg_column_reader r = plan(t[i].oid, -1);
        struct datum d = {.state = DATUM_NULL};
        err_clear(&err);
        if (pg_read_value(&r, bytes, (uint32_t)unhex(t[i].hex, bytes), false, &arena, &d, &err))
            fail_msg("%u %s was read", t[i].oid, t[i].hex);
        assert_int_equal(err.code, ERR_PROTOCOL);
        assert_int_equal(d.state, DATUM_NULL);
    }
}

static void says_when_the_arena_is_full(void **state)
{
    struct pg_column_reader r = plan(1700, -1);
    struct arena tiny;
    struct datum d;
    (void)state;
    arena_init(&tiny, 256, 256);
    err_clear(&err);
    bool ok = true;
    for (int i = 0; i < 20 && ok; i++)
        ok = pg_read_value(&r, "\0\1\0\0\0\0\0\0\0\1", 10, false, &tiny, &d, &err);
    assert_false(ok);
    assert_int_equal(err.code, ERR_NO_MEMORY);
    arena_release(&tiny);
}

/* Integers and text must not touch the arena: the hot path. */
static void reads_in_place(void **state)
{
    struct arena none;
    struct datum d;
    struct pg_column_reader r = plan(1042, 88);
    (void)state;
    arena_init(&none, 256, 0);
    assert_true(pg_read_value(&r, "ab  ", 4, false, &none, &d, &err));
    assert_int_equal(d.s.len, 4);
    r = plan(17, -1);
    assert_true(pg_read_value(&r, "\0\1", 2, false, &none, &d, &err));
    assert_int_equal(none.reserved_bytes, 0);
    arena_release(&none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_as_debezium_does),  cmocka_unit_test(refuses_what_it_does_not_know),
        cmocka_unit_test(reads_integers),          cmocka_unit_test(reads_strings),
        cmocka_unit_test(reads_far_years),         cmocka_unit_test(timestamps_map_one_to_one),
        cmocka_unit_test(refuses_malformed_bytes), cmocka_unit_test(says_when_the_arena_is_full),
        cmocka_unit_test(reads_in_place),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
