/* Arrays, structs and maps in both formats: values, schemas, stand-ins, and bytes that are none. */
#include "change_fixture.h"

#include <jansson.h>

#include "change/nested.h"

static const char *const formats[] = {"avro", "json"};

enum { ID, INTS, NUMBERS, LABELS, MAPS, DECIMALS, POINT, MAP, NUMBER, REQUIRED, N };

static const struct column_spec columns[N] = {
    [ID] = {"id", PHYS_INT64, false, 1, NULL, "INT8", 19, 0},
    [INTS] = {"ints", PHYS_ARRAY, true, 0, NULL, "_INT4", 10, 0},
    [NUMBERS] = {"numbers", PHYS_ARRAY, true, 0, SEMANTIC_VARIABLE, "_NUMERIC", 131089, 0},
    [LABELS] = {"labels", PHYS_ARRAY, true, 0, "io.debezium.data.Enum", "_MOOD", 0, 0},
    [MAPS] = {"maps", PHYS_ARRAY, true, 0, NULL, "_HSTORE", 0, 0},
    [DECIMALS] = {"decimals", PHYS_ARRAY, true, 0, SEMANTIC_DECIMAL, "_NUMERIC", 10, 2},
    [POINT] = {"point", PHYS_STRUCT, true, 0, SEMANTIC_POINT, "POINT", 0, 0},
    [MAP] = {"map", PHYS_MAP, true, 0, NULL, "HSTORE", 0, 0},
    [NUMBER] = {"number", PHYS_STRUCT, true, 0, SEMANTIC_VARIABLE, "NUMERIC", 131089, 0},
    [REQUIRED] = {"required", PHYS_ARRAY, false, 0, NULL, "_TEXT", 0, 0},
};

static struct table_schema *nested_table(void)
{
    static const enum phys elements[N] = {
        [INTS] = PHYS_INT32, [NUMBERS] = PHYS_STRUCT, [LABELS] = PHYS_STRING,
        [MAPS] = PHYS_MAP,   [DECIMALS] = PHYS_BYTES, [REQUIRED] = PHYS_STRING};
    struct table_schema *t = make_table("public", "nested", columns, N);
    for (size_t i = 0; i < N; i++)
        t->fields[i].elem = elements[i];
    t->fields[LABELS].elem_required = true;
    t->fields[LABELS].allowed = xstrdup("sad,ok");
    t->fields[DECIMALS].decimal_scale = 2;
    t->fields[DECIMALS].decimal_precision = 10;
    t->fields[INTS].lossy = true;
    t->fields[MAP].text_encoding = xstrdup("hex");
    t->fields[ID].source_typmod = 7;
    return t;
}

static struct datum body(const char *bytes, size_t len)
{
    return (struct datum){.state = DATUM_VALUE, .s = {bytes, (uint32_t)len}};
}
#define BODY(literal) body(literal, sizeof(literal) - 1)

/* Blocks of one element, as the JSON reader makes them. */
static void fill(struct datum row[N])
{
    row[ID] = int_datum(5);
    row[INTS] = BODY("\x02\x02\x01\x02\x00\x02\x02\x80\x02\x00"); /* [-1, null, 128] */
    row[NUMBERS] = BODY("\x02\x02\x04\x02\x05\x02\x00\x00");      /* [{2, 05}, null] */
    row[LABELS] = BODY("\x02\x04ok\x02\x06sad\x00");
    row[MAPS] = BODY("\x02\x02\x02\x02k\x02\x02v\x02\x02n\x00\x00\x00");
    row[DECIMALS] = BODY("\x02\x02\x04\xfe\x1d\x00");
    row[POINT] = BODY("\0\0\0\0\0\0\xf8\x3f\0\0\0\0\0\0\x02\xc0\x02\x04\x01\xff\x00");
    row[MAP] = BODY("\x02\x04\xc3\xbc\x02\x04\"\\\x00");
    row[NUMBER] = BODY("\x04\x04\x00\x80");
    row[REQUIRED] = BODY("\x00");
}

static void values_come_back(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        struct rig rig;
        struct datum row[N], nulls[N] = {0};
        rig_open(&rig, formats[i], nested_table());
        fill(row);
        nulls[ID] = int_datum(1);
        nulls[REQUIRED] = BODY("\x02\x02\x02x\x00");
        struct change chg = make_change(&rig, CHANGE_UPDATE, row, nulls);
        assert_round_trip(&rig, &chg);
        for (size_t c = 1; c < N; c++)
            row[c].state = DATUM_UNAVAILABLE;
        chg = make_change(&rig, CHANGE_UPDATE, NULL, row);
        assert_round_trip(&rig, &chg);
        fill(row);
        chg = make_change(&rig, CHANGE_DELETE, row, NULL);
        chg.before_key_only = true;
        assert_round_trip(&rig, &chg);
        rig_close(&rig);
    }
}

static void json_is_as_connect_has_it(void **state)
{
    static const char expected[] =
        "{\"id\":5,\"ints\":[-1,null,128],\"numbers\":[{\"scale\":2,\"value\":\"BQ==\"},null],"
        "\"labels\":[\"ok\",\"sad\"],\"maps\":[{\"k\":\"v\",\"n\":null}],\"decimals\":[\"/h0=\"],"
        "\"point\":{\"x\":1.5,\"y\":-2.25,\"wkb\":\"Af8=\",\"srid\":null},\"map\":{\"ü\":\"\\\"\\\\\"},"
        "\"number\":{\"scale\":2,\"value\":\"AIA=\"},\"required\":[]}";
    struct rig rig;
    struct datum row[N];
    rig_open(&rig, "json", nested_table());
    fill(row);
    struct change chg = make_change(&rig, CHANGE_INSERT, NULL, row);
    rig_encode(&rig, &chg);
    const char *after = strstr(rig.out.data, "\"after\":");
    assert_non_null(after);
    assert_memory_equal(after + strlen("\"after\":"), expected, sizeof expected - 1);
    rig_close(&rig);
}

/* What Debezium writes where a large value did not come; numbers have nothing. */
static void stand_ins_are_debeziums(void **state)
{
    struct rig rig;
    struct datum row[N];
    rig_open(&rig, "json", nested_table());
    fill(row);
    for (size_t c = 1; c < N; c++)
        row[c].state = DATUM_UNAVAILABLE;
    struct change chg = make_change(&rig, CHANGE_UPDATE, NULL, row);
    rig_encode(&rig, &chg);
    json_t *value = json_loadb(rig.out.data, rig.out.len, 0, NULL);
    const json_t *after = json_object_get(value, "after"), *ints = json_object_get(after, "ints");
    assert_int_equal(json_array_size(ints), strlen(UNAVAILABLE_TEXT));
    for (size_t i = 0; i < json_array_size(ints); i++)
        assert_int_equal(json_integer_value(json_array_get(ints, i)), UNAVAILABLE_TEXT[i]);
    assert_true(json_is_null(json_object_get(after, "numbers")));
    assert_true(json_is_null(json_object_get(after, "decimals")));
    assert_true(json_is_null(json_object_get(after, "number")));
    assert_string_equal(json_string_value(json_array_get(json_object_get(after, "required"), 0)),
                        UNAVAILABLE_TEXT);
    assert_string_equal(json_string_value(json_object_get(json_object_get(after, "map"), UNAVAILABLE_TEXT)),
                        UNAVAILABLE_TEXT);
    json_decref(value);
    rig_close(&rig);
}

static void bodies_are_checked(void **state)
{
    static const struct {
        int column;
        const char *bytes;
        size_t len;
    } bad[] = {
        {INTS, "", 0},
        {INTS, "\x02\x02", 2},
        {INTS, "\x02\x04\x02\x00", 4},                 /* branch 2 */
        {INTS, "\x00\x00", 2},                         /* left over */
        {INTS, "\xfe\xff\xff\xff\xff\xff\xff\x7f", 8}, /* a block of very many */
        {LABELS, "\x02\x02\xff\x00", 4},               /* not UTF-8 */
        {MAP, "\x02\x02k", 3},
        {POINT, "\0\0\0", 3},
        {NUMBER, "\x04\x08\x00", 3},
    };
    struct table_schema *t = nested_table();
    struct datum row[N];
    fill(row);
    for (size_t i = 1; i < N; i++)
        assert_true(nested_valid(&t->fields[i], row[i].s.p, row[i].s.len));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(nested_valid(&t->fields[bad[i].column], bad[i].bytes, bad[i].len));
    table_schema_free(t);
}

static void wrong_json_is_refused(void **state)
{
    static const char *const wrong[] = {
        "\"ints\":[1,",
        "\"ints\":{}",
        "\"ints\":[\"1\"]",
        "\"ints\":[2147483648]",
        "\"labels\":[null]",
        "\"point\":{\"x\":1}",
        "\"point\":{\"y\":1,\"x\":1}",
        "\"map\":[]",
        "\"map\":{\"k\":1}",
        "\"number\":{\"scale\":1}",
        "\"number\":{\"scale\":1,\"value\":\"AQ==\",\"more\":1}",
        "\"required\":null",
        "\"numbers\":[[]]",
    };
    struct rig rig;
    rig_open(&rig, "json", nested_table());
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct change chg;
        struct err err = ERR_INIT;
        char *text =
            xasprintf("{\"before\":null,\"after\":{\"id\":1,%s%s},\"op\":\"c\",\"source\":{\"name\":\"s\","
                      "\"db\":\"d\"},\"ts_ms\":1}",
                      wrong[i], strstr(wrong[i], "required") != NULL ? "" : ",\"required\":[]");
        assert_false(rig_decode_bytes(&rig, text, strlen(text), &chg, &err));
        assert_int_equal(err.code, ERR_PROTOCOL);
        free(text);
    }
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_back),        cmocka_unit_test(json_is_as_connect_has_it),
        cmocka_unit_test(stand_ins_are_debeziums), cmocka_unit_test(bodies_are_checked),
        cmocka_unit_test(wrong_json_is_refused),
    };
    return cmocka_run_group_tests_name("change_nested", tests, NULL, NULL);
}
