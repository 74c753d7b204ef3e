/* Round trips through both codecs: every type and state, every operation, names of every kind, and what must
 * fail. */
#include "change_fixture.h"

#include <math.h>

static const char *const formats[] = {"avro", "json"};

static const struct column_spec all_types[] = {
    {"id", PHYS_INT64, false, 2, NULL, "INT8", 19, 0},
    {"b", PHYS_BOOL, false, 0, NULL, "BOOL", 1, 0},
    {"i2", PHYS_INT16, false, 0, NULL, "INT2", 5, 0},
    {"i4", PHYS_INT32, false, 1, NULL, "INT4", 10, 0},
    {"f4", PHYS_FLOAT32, false, 0, NULL, "FLOAT4", 8, 8},
    {"f8", PHYS_FLOAT64, false, 0, NULL, "FLOAT8", 17, 17},
    {"t", PHYS_STRING, false, 0, NULL, "TEXT", INT32_MAX, 0},
    {"y", PHYS_BYTES, false, 0, NULL, "BYTEA", INT32_MAX, 0},
    {"ob", PHYS_BOOL, true, 0, NULL, "BOOL", 1, 0},
    {"oi2", PHYS_INT16, true, 0, NULL, "INT2", 5, 0},
    {"oi4", PHYS_INT32, true, 0, "io.debezium.time.Date", "DATE", 13, 0},
    {"oi8", PHYS_INT64, true, 0, "io.debezium.time.MicroTimestamp", "TIMESTAMP", 29, 6},
    {"of4", PHYS_FLOAT32, true, 0, NULL, "FLOAT4", 8, 8},
    {"of8", PHYS_FLOAT64, true, 0, NULL, "FLOAT8", 17, 17},
    {"ot", PHYS_STRING, true, 0, "io.debezium.data.Json", "JSONB", INT32_MAX, 0},
    {"oy", PHYS_BYTES, true, 0, NULL, "BYTEA", INT32_MAX, 0},
    {"num", PHYS_STRING, true, 0, NULL, "NUMERIC", 5, -2},
};
#define N_ALL ARRAY_LEN(all_types)

static void fill_row(struct datum *row, int64_t i, double f, const char *text, size_t len)
{
    for (size_t c = 0; c < N_ALL; c++) {
        switch (all_types[c].phys) {
        case PHYS_BOOL:
            row[c] = int_datum(i & 1);
            break;
        case PHYS_INT16:
            row[c] = int_datum((int16_t)i);
            break;
        case PHYS_INT32:
            row[c] = int_datum((int32_t)i);
            break;
        case PHYS_INT64:
            row[c] = int_datum(i);
            break;
        case PHYS_FLOAT32:
            row[c] = float_datum((double)(float)f);
            break;
        case PHYS_FLOAT64:
            row[c] = float_datum(f);
            break;
        default:
            row[c] = (struct datum){.state = DATUM_VALUE, .s = {text, (uint32_t)len}};
        }
    }
}

static void null_optionals(struct datum *row)
{
    for (size_t c = 0; c < N_ALL; c++) {
        if (all_types[c].optional)
            row[c].state = DATUM_NULL;
    }
}

static void with_all_types(void (*body)(struct rig *rig))
{
    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        struct rig rig;
        rig_open(&rig, formats[i], make_table("public", "all_types", all_types, N_ALL));
        body(&rig);
        rig_close(&rig);
    }
}

static void values_body(struct rig *rig)
{
    static const int64_t ints[] = {0,
                                   1,
                                   -1,
                                   63,
                                   64,
                                   -64,
                                   -65,
                                   8191,
                                   INT16_MAX,
                                   INT16_MIN,
                                   INT32_MAX,
                                   INT32_MIN,
                                   INT64_MAX,
                                   INT64_MIN,
                                   1 << 30,
                                   INT64_C(9007199254740993),
                                   -INT64_C(9223372036832400000)};
    static const double floats[] = {
        0.0, -0.0,     1.5,         0.1,  1.0 / 3.0,  1e300, -1.7976931348623157e308, 5e-324, 3.4e38,
        1e6, 999999.0, 123456789.0, 1e-5, 16777217.0, 1e22,  1.17549435e-38};
    static const char *const texts[] = {"",
                                        "plain",
                                        "quote\" back\\slash / \b\f\n\r\t \x01\x1f",
                                        "日本 😀 ß",
                                        "null",
                                        "a text that is longer than eight bytes\x7f",
                                        "ends with a quote\""};
    for (size_t n = 0; n < 20; n++) {
        struct datum row[N_ALL];
        const char *text = texts[n % ARRAY_LEN(texts)];
        fill_row(row, ints[n % ARRAY_LEN(ints)], floats[n % ARRAY_LEN(floats)], text, strlen(text));
        struct change chg = make_change(rig, CHANGE_INSERT, NULL, row);
        assert_round_trip(rig, &chg);
        null_optionals(row);
        assert_round_trip(rig, &chg);
    }
}

static void values_come_back(void **state)
{
    with_all_types(values_body);
}

static void special_floats_body(struct rig *rig)
{
    const double specials[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    for (size_t n = 0; n < ARRAY_LEN(specials); n++) {
        struct datum row[N_ALL];
        fill_row(row, 1, specials[n], "", 0);
        struct change chg = make_change(rig, CHANGE_INSERT, NULL, row);
        assert_round_trip(rig, &chg);
    }
}

static void special_floats_come_back(void **state)
{
    with_all_types(special_floats_body);
}

/* Every float pattern from a fixed generator must survive JSON's decimal text. */
static void float_bits_body(struct rig *rig)
{
    uint64_t x = 88172645463325252u;
    for (size_t n = 0; n < 2000; n++) {
        struct datum row[N_ALL];
        double f;
        float g;
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        memcpy(&f, &x, sizeof f);
        uint32_t low = (uint32_t)x;
        memcpy(&g, &low, sizeof g);
        fill_row(row, (int64_t)x, f, "", 0);
        row[4] = float_datum((double)g);
        row[12] = row[4];
        if (!isfinite(f) || !isfinite(g))
            continue;
        fill_row(row, (int64_t)x, f, "", 0);
        row[4] = row[12] = float_datum((double)g);
        struct change chg = make_change(rig, CHANGE_INSERT, NULL, row);
        assert_round_trip(rig, &chg);
    }
}

static void floats_are_exact(void **state)
{
    with_all_types(float_bits_body);
}

static void bytes_body(struct rig *rig)
{
    unsigned char bytes[260];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)i;
    for (size_t len = 0; len <= sizeof bytes; len += len < 10 ? 1 : 25) {
        struct datum row[N_ALL];
        fill_row(row, 1, 1, "x", 1);
        row[7] = row[15] = (struct datum){.state = DATUM_VALUE, .s = {(const char *)bytes, (uint32_t)len}};
        struct change chg = make_change(rig, CHANGE_INSERT, NULL, row);
        assert_round_trip(rig, &chg);
    }
}

static void bytes_come_back(void **state)
{
    with_all_types(bytes_body);
}

static void large_body(struct rig *rig)
{
    size_t len = (size_t)1 << 20;
    char *text = xmalloc(len);
    for (size_t i = 0; i < len; i++)
        text[i] = (char)('!' + i % 90);
    struct datum row[N_ALL];
    fill_row(row, 1, 1, text, len);
    struct change chg = make_change(rig, CHANGE_UPDATE, row, row);
    assert_round_trip(rig, &chg);
    free(text);
}

static void large_texts_come_back(void **state)
{
    with_all_types(large_body);
}

static void operations_body(struct rig *rig)
{
    struct datum row[N_ALL], old[N_ALL];
    fill_row(row, 5, 2.5, "new", 3);
    fill_row(old, 4, 1.5, "old", 3);
    struct change all[] = {
        make_change(rig, CHANGE_INSERT, NULL, row),    make_change(rig, CHANGE_UPDATE, NULL, row),
        make_change(rig, CHANGE_UPDATE, old, row),     make_change(rig, CHANGE_DELETE, old, NULL),
        make_change(rig, CHANGE_TRUNCATE, NULL, NULL),
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        assert_round_trip(rig, &all[i]);
    static const enum snapshot_mark marks[] = {SNAPSHOT_TRUE, SNAPSHOT_LAST};
    for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
        struct change read = make_change(rig, CHANGE_READ, NULL, row);
        read.total_order = read.table_order = 0;
        read.source.snapshot = marks[i];
        read.source.commit_lsn = read.source.lsn;
        read.source.previous_commit_lsn = 0;
        assert_round_trip(rig, &read);
    }
}

/* Nothing else is lost, and the record is shorter. */
static void lean_body(struct rig *rig)
{
    struct datum row[N_ALL];
    fill_row(row, 5, 2.5, "new", 3);
    struct change chg = make_change(rig, CHANGE_INSERT, NULL, row);
    rig_encode(rig, &chg);
    size_t full_len = rig->out.len;
    rig->table->lean = true;
    chg.source.previous_commit_lsn = 0;
    chg.captured_us -= chg.captured_us % 1000;
    assert_round_trip(rig, &chg);
    assert_true(rig->out.len + 40 < full_len);
}

static void lean_records_come_back(void **state)
{
    with_all_types(lean_body);
}

static void operations_come_back(void **state)
{
    with_all_types(operations_body);
}

static void extremes_body(struct rig *rig)
{
    struct datum row[N_ALL];
    fill_row(row, 5, 2.5, "new", 3);
    struct change chg = make_change(rig, CHANGE_INSERT, NULL, row);
    chg.source.lsn = UINT64_MAX;
    chg.source.commit_lsn = UINT64_MAX - 1;
    chg.source.previous_commit_lsn = UINT64_MAX - 2;
    chg.source.xid = UINT32_MAX;
    chg.source.commit_time_us = INT64_MAX; /* nanoseconds would overflow */
    chg.captured_us = INT64_MIN;
    chg.source.server = "other";
    chg.source.database = "a \"db\" ü";
    assert_round_trip(rig, &chg);
    chg.source.server = "";
    assert_round_trip(rig, &chg);
}

static void source_extremes_come_back(void **state)
{
    with_all_types(extremes_body);
}

static void key_image_body(struct rig *rig)
{
    struct datum old[N_ALL], row[N_ALL];
    memset(old, 0, sizeof old); /* all null, as capture makes them */
    old[0] = int_datum(77);
    old[3] = int_datum(-3);
    fill_row(row, 5, 2.5, "new", 3);
    struct change all[] = {make_change(rig, CHANGE_DELETE, old, NULL),
                           make_change(rig, CHANGE_UPDATE, old, row)};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        all[i].before_key_only = true;
        assert_round_trip(rig, &all[i]);
    }
}

static void key_images_come_back(void **state)
{
    with_all_types(key_image_body);
}

static void unavailable_body(struct rig *rig)
{
    struct datum row[N_ALL], old[N_ALL];
    fill_row(row, 5, 2.5, "new", 3);
    fill_row(old, 5, 2.5, UNAVAILABLE_TEXT, strlen(UNAVAILABLE_TEXT));
    row[6].state = row[7].state = row[14].state = row[15].state = DATUM_UNAVAILABLE;
    row[16] = text_datum(UNAVAILABLE_TEXT); /* a real text that looks like it */
    old[14].state = DATUM_UNAVAILABLE;
    struct change all[] = {
        make_change(rig, CHANGE_UPDATE, NULL, row),
        make_change(rig, CHANGE_UPDATE, old, row),
        make_change(rig, CHANGE_DELETE, old, NULL),
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        assert_round_trip(rig, &all[i]);
    old[14] = text_datum(UNAVAILABLE_TEXT);
    struct change real = make_change(rig, CHANGE_INSERT, NULL, old);
    assert_round_trip(rig, &real);
    assert_null(strstr(rig->out.data, "after_unavailable"));
    rig_encode(rig, &all[0]);
    assert_non_null(memmem(rig->out.data, rig->out.len, UNAVAILABLE_TEXT, strlen(UNAVAILABLE_TEXT)));
}

static void unavailable_is_told_from_text(void **state)
{
    with_all_types(unavailable_body);
}

/* --- names --- */

static const struct column_spec odd_names[] = {
    {"a.b", PHYS_INT64, false, 1, NULL, "INT8", 19, 0},
    {"a b", PHYS_STRING, true, 0, NULL, "TEXT", 0, 0},
    {"a_b", PHYS_STRING, true, 0, NULL, "TEXT", 0, 0},
    {"a_b_2", PHYS_STRING, true, 0, NULL, "TEXT", 0, 0},
    {"1st", PHYS_STRING, true, 2, NULL, "VARCHAR", 20, 0},
    {"_1st", PHYS_STRING, true, 0, NULL, "VARCHAR", 20, 0},
    {"quo\"te\\", PHYS_STRING, true, 0, NULL, "TEXT", 0, 0},
    {"größe", PHYS_INT32, true, 0, NULL, "INT4", 0, 0},
    {"日本", PHYS_STRING, true, 0, NULL, "TEXT", 0, 0},
    {"__", PHYS_STRING, true, 0, NULL, "TEXT", 0, 0},
    {"emoji😀", PHYS_STRING, true, 0, NULL, "TEXT", 0, 0},
    {" ", PHYS_STRING, true, 0, NULL, "TEXT", 0, 0},
    {"-", PHYS_STRING, true, 0, NULL, "TEXT", 0, 0},
    {"select", PHYS_STRING, true, 0, NULL, "TEXT", 0, 0},
    {"tab\there", PHYS_STRING, true, 0, NULL, "TEXT", 0, 0},
};

static void names_come_back(void **state)
{
    for (size_t f = 0; f < ARRAY_LEN(formats); f++) {
        struct rig rig;
        rig_open(&rig, formats[f],
                 make_table("My \"Schema\".x", "Weird Täble-1", odd_names, ARRAY_LEN(odd_names)));
        struct datum row[ARRAY_LEN(odd_names)];
        for (size_t i = 0; i < ARRAY_LEN(odd_names); i++)
            row[i] = odd_names[i].phys == PHYS_STRING ? text_datum(odd_names[i].name) : int_datum((int64_t)i);
        struct change chg = make_change(&rig, CHANGE_INSERT, NULL, row);
        assert_round_trip(&rig, &chg);
        rig_close(&rig);
    }
}

static void same_id_under_two_topics(void **state)
{
    for (size_t f = 0; f < ARRAY_LEN(formats); f++) {
        struct rig rig;
        struct change a, b;
        struct err err = ERR_INIT;
        rig_open(&rig, formats[f], make_table("public", "all_types", all_types, N_ALL));
        struct datum row[N_ALL];
        fill_row(row, 5, 2.5, "new", 3);
        struct change chg = make_change(&rig, CHANGE_INSERT, NULL, row);
        rig_encode(&rig, &chg);
        assert_true(
            rig.ops->decode_value(rig.dec, "t.one", 8, rig.out.data, rig.out.len, &rig.arena, &a, &err));
        assert_true(
            rig.ops->decode_value(rig.dec, "t.two", 8, rig.out.data, rig.out.len, &rig.arena, &b, &err));
        assert_string_equal(a.schema->topic, "t.one");
        assert_string_equal(b.schema->topic, "t.two");
        rig_close(&rig);
    }
}

/* Where others give ids too, a schema that was made for another topic is no schema of this one. */
static void a_schema_of_another_topic_is_refused(void **state)
{
    struct rig rig;
    struct change chg;
    struct err err = ERR_INIT;
    rig_open(&rig, "avro", make_table("9 odd-schema", "all_types", all_types, N_ALL));
    free(rig.table->name_space);
    rig.table->name_space = topic_name_space(rig.table->topic);
    assert_string_equal(rig.table->name_space, "shop._9_odd_schema.all_types");
    free(rig.key_json);
    free(rig.value_json);
    assert_true(rig.ops->schema_texts(rig.table, &rig.key_json, &rig.value_json, &err));
    struct schema_source source = {.ctx = &rig, .lookup = rig_lookup, .shared = true};
    rig.ops->decoder_close(rig.dec);
    assert_true(rig.ops->decoder_open(&source, &rig.dec, &err));
    struct datum row[N_ALL];
    fill_row(row, 5, 2.5, "new", 3);
    struct change made = make_change(&rig, CHANGE_INSERT, NULL, row);
    rig_encode(&rig, &made);
    assert_true(rig_decode_bytes(&rig, rig.out.data, rig.out.len, &chg, &err));
    assert_false(rig.ops->decode_value(rig.dec, "shop.public.other", 8, rig.out.data, rig.out.len, &rig.arena,
                                       &chg, &err));
    assert_int_equal(err.code, ERR_PROTOCOL);
    assert_non_null(strstr(err.text, "schema of shop._9_odd_schema.all_types"));
    rig_close(&rig);
}

/* --- keys --- */

static void keys_are_written_in_key_order(void **state)
{
    struct rig rig;
    struct err err = ERR_INIT;
    struct datum row[N_ALL];
    fill_row(row, 5, 2.5, "new", 3);
    row[0] = int_datum(64);
    row[3] = int_datum(-2);
    rig_open(&rig, "json", make_table("public", "all_types", all_types, N_ALL));
    assert_true(rig.ops->encode_key(rig.enc, row, &rig.out, &err));
    assert_string_equal(rig.out.data, "{\"i4\":-2,\"id\":64}");
    rig_close(&rig);
    rig_open(&rig, "avro", make_table("public", "all_types", all_types, N_ALL));
    assert_true(rig.ops->encode_key(rig.enc, row, &rig.out, &err));
    static const unsigned char expected[] = {0, 0, 0, 0, 7, 3, 0x80, 1};
    assert_int_equal(rig.out.len, sizeof expected);
    assert_memory_equal(rig.out.data, expected, sizeof expected);
    rig_close(&rig);
}

static void table_without_key(void **state)
{
    static const struct column_spec columns[] = {{"a", PHYS_INT64, true, 0, NULL, "INT8", 0, 0}};
    for (size_t f = 0; f < ARRAY_LEN(formats); f++) {
        struct rig rig;
        rig_open(&rig, formats[f], make_table("public", "nokey", columns, 1));
        assert_null(rig.key_json);
        struct datum row[] = {int_datum(1)};
        struct change chg = make_change(&rig, CHANGE_INSERT, NULL, row);
        assert_round_trip(&rig, &chg);
        rig_close(&rig);
    }
}

/* --- refusals; the buffer stays as it was --- */

static void refuse(struct rig *rig, const struct change *chg, enum err_code code)
{
    struct err err = ERR_INIT;
    strbuf_clear(&rig->out);
    strbuf_adds(&rig->out, "before");
    assert_false(rig->ops->encode_value(rig->enc, chg, &rig->out, &err));
    assert_int_equal(err.code, code);
    assert_string_equal(rig->out.data, "before");
}

static void refusals_body(struct rig *rig)
{
    struct datum row[N_ALL];
    fill_row(row, 5, 2.5, "new", 3);
    struct change bad = make_change(rig, CHANGE_INSERT, row, row);
    refuse(rig, &bad, ERR_BUG);
    bad = make_change(rig, CHANGE_DELETE, NULL, NULL);
    refuse(rig, &bad, ERR_BUG);
    bad = make_change(rig, CHANGE_UNKNOWN, NULL, row);
    refuse(rig, &bad, ERR_BUG);
    bad = make_change(rig, CHANGE_INSERT, NULL, row);
    row[6].state = DATUM_NULL;
    refuse(rig, &bad, ERR_DATA);
    row[6] = text_datum("not utf8 \xff");
    refuse(rig, &bad, ERR_DATA);
    row[6] = text_datum("x");
    row[2] = int_datum(40000);
    refuse(rig, &bad, ERR_BUG);
    row[2] = int_datum(4);
    struct table_schema other = *rig->table;
    bad.schema = &other;
    refuse(rig, &bad, ERR_BUG);
}

static void wrong_changes_are_refused(void **state)
{
    with_all_types(refusals_body);
}

static void too_large_body(struct rig *rig)
{
    struct datum row[N_ALL];
    char text[4096];
    memset(text, 'x', sizeof text);
    fill_row(row, 5, 2.5, text, sizeof text);
    struct change chg = make_change(rig, CHANGE_INSERT, NULL, row);
    struct err err = ERR_INIT;
    struct strbuf small = STRBUF_INIT(2048);
    assert_false(rig->ops->encode_value(rig->enc, &chg, &small, &err));
    assert_int_equal(err.code, ERR_NO_MEMORY);
    assert_int_equal(small.len, 0);
    strbuf_release(&small);
    rig_encode(rig, &chg);
    struct arena tiny;
    struct change back;
    arena_init(&tiny, 256, 300);
    err_clear(&err);
    assert_false(rig->ops->decode_value(rig->dec, rig->table->topic, 8, rig->out.data, rig->out.len, &tiny,
                                        &back, &err));
    arena_release(&tiny);
}

static void limits_are_kept(void **state)
{
    with_all_types(too_large_body);
}

static void unknown_formats_and_schemas(void **state)
{
    assert_null(codec_by_name("xml"));
    for (size_t f = 0; f < ARRAY_LEN(formats); f++) {
        struct rig rig;
        struct change back;
        struct err err = ERR_INIT;
        static const unsigned char unknown[] = {0, 0, 0, 0, 9, 0};
        rig_open(&rig, formats[f], make_table("public", "all_types", all_types, N_ALL));
        assert_false(
            rig.ops->decode_value(rig.dec, "t", 9, unknown, sizeof unknown, &rig.arena, &back, &err));
        assert_int_equal(err.code, ERR_PROTOCOL);
        err_clear(&err);
        assert_false(rig.ops->decode_value(rig.dec, "t", 0, "{}", 2, &rig.arena, &back, &err));
        assert_int_equal(err.code, ERR_PROTOCOL);
        rig_close(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_back),
        cmocka_unit_test(special_floats_come_back),
        cmocka_unit_test(floats_are_exact),
        cmocka_unit_test(bytes_come_back),
        cmocka_unit_test(large_texts_come_back),
        cmocka_unit_test(operations_come_back),
        cmocka_unit_test(lean_records_come_back),
        cmocka_unit_test(source_extremes_come_back),
        cmocka_unit_test(key_images_come_back),
        cmocka_unit_test(unavailable_is_told_from_text),
        cmocka_unit_test(names_come_back),
        cmocka_unit_test(same_id_under_two_topics),
        cmocka_unit_test(a_schema_of_another_topic_is_refused),
        cmocka_unit_test(keys_are_written_in_key_order),
        cmocka_unit_test(table_without_key),
        cmocka_unit_test(wrong_changes_are_refused),
        cmocka_unit_test(limits_are_kept),
        cmocka_unit_test(unknown_formats_and_schemas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
