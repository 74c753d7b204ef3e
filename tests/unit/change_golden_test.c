/*
 * Against recorded output of Debezium 3.1 (tests/unit/data/change): its records are read by our decoders and
 * written again by our encoders, its schemas are compared with those that we make of the same table; and what
 * our Avro encoder writes is read by avro-c and compared with what our JSON encoder writes.
 */
#include "change_fixture.h"

#include <avro.h>
#include <jansson.h>
#include <math.h>

#include "change/json_read.h"
#include "change/json_write.h"

static char *data_path(const char *file)
{
    const char *root = getenv("CF_SOURCE_DIR");
    return xasprintf("%s/tests/unit/data/change/%s", root != NULL ? root : ".", file);
}

static char *read_all(const char *file)
{
    CLEANUP(free_ptr) char *path = data_path(file);
    FILE *fp = fopen(path, "r");
    if (fp == NULL)
        fail_msg("%s cannot be read; CF_SOURCE_DIR is the source folder", path);
    struct strbuf sb = STRBUF_INIT(16 << 20);
    char part[4096];
    for (size_t n; (n = fread(part, 1, sizeof part, fp)) != 0;)
        strbuf_add(&sb, part, n);
    (void)fclose(fp);
    return strbuf_detach(&sb);
}

static bool lookup_text(void *ctx, uint32_t id, const char **ret_json, struct err *err)
{
    *ret_json = ctx;
    return true;
}

static struct decoder *open_decoder(const struct codec_ops *ops, char *schema_text)
{
    struct decoder *dec;
    struct err err = ERR_INIT;
    struct schema_source source = {.ctx = schema_text, .lookup = lookup_text};
    assert_true(ops->decoder_open(&source, &dec, &err));
    return dec;
}

static void assert_json(const json_t *expected, const json_t *actual)
{
    if (json_equal(expected, actual))
        return;
    char *a = json_dumps(expected, JSON_SORT_KEYS), *b = json_dumps(actual, JSON_SORT_KEYS);
    fail_msg("\nexpected %s\nactual   %s", a, b);
}

/* What may differ between Debezium's record and ours. */
static void drop_own_fields(json_t *payload, bool names_too)
{
    json_t *source = json_object_get(payload, "source");
    json_object_del(source, "version");
    json_object_del(source, "ts_ns"); /* ours has microseconds */
    json_object_del(payload, "ts_ns");
    json_object_del(payload, "crossfade");
    if (json_string_value(json_object_get(source, "snapshot")) != NULL &&
        strcmp(json_string_value(json_object_get(source, "snapshot")), "false") != 0 &&
        strcmp(json_string_value(json_object_get(source, "snapshot")), "last") != 0)
        json_object_set_new(source, "snapshot", json_string("true"));
    if (names_too) { /* a schema without our parameters does not have the exact names */
        json_object_del(source, "schema");
        json_object_del(source, "table");
    }
    static const char *const numbers[] = {"txId", "lsn"};
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        if (json_is_null(json_object_get(source, numbers[i])))
            json_object_set_new(source, numbers[i], json_integer(0));
    }
}

/* A decoded change, written as JSON again, must be the payload. */
static void assert_payload(struct change *chg, json_t *payload, bool names_too)
{
    const struct codec_ops *json = codec_by_name("json");
    struct encoder *enc;
    struct err err = ERR_INIT;
    struct strbuf out = STRBUF_INIT(1 << 20);
    if (!json->encoder_open(chg->schema, &enc, &err) || !json->encode_value(enc, chg, &out, &err))
        fail_msg("%s", err.text);
    json_t *again = json_loadb(out.data, out.len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(again);
    if (json_is_null(json_object_get(payload, "transaction")) && chg->op != CHANGE_READ)
        json_object_set_new(again, "transaction", json_null()); /* that run had no transaction metadata */
    if (!json_is_null(json_object_get(json_object_get(payload, "source"), "lsn"))) {
        drop_own_fields(payload, names_too);
        drop_own_fields(again, names_too);
        assert_json(payload, again);
    }
    json_decref(again);
    json->encoder_close(enc);
    strbuf_release(&out);
}

static size_t decode_base64(const char *text, char **ret)
{
    struct arena arena;
    struct json_reader jr;
    const char *bytes;
    size_t len;
    char *quoted = xasprintf("\"%s\"", text);
    arena_init(&arena, 4096, 1 << 20);
    json_reader_init(&jr, quoted, strlen(quoted), &arena);
    json_take_base64(&jr, &bytes, &len);
    assert_null(jr.failed);
    *ret = xmalloc(len + 1);
    memcpy(*ret, bytes, len);
    arena_release(&arena);
    free(quoted);
    return len;
}

/* Reads each line's record, Avro or JSON, with the recorded schema. */
static void read_recorded(const char *records_file, const char *schema_file, const char *format,
                          bool names_too)
{
    const struct codec_ops *ops = codec_by_name(format);
    char *schema = read_all(schema_file), *lines = read_all(records_file), *rest = NULL;
    struct decoder *dec = open_decoder(ops, schema);
    struct arena arena;
    size_t count = 0;
    arena_init(&arena, 65536, 16 << 20);
    for (char *line = strtok_r(lines, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest), count++) {
        struct change chg;
        struct err err = ERR_INIT;
        json_t *rec = json_loads(line, 0, NULL);
        const char *topic = json_string_value(json_object_get(rec, "topic"));
        const char *b64 = json_string_value(json_object_get(rec, "value_b64"));
        json_t *payload = json_object_get(rec, b64 != NULL ? "decoded" : "payload");
        char *bytes = NULL;
        size_t len = b64 != NULL ? decode_base64(b64, &bytes) : 0;
        if (b64 == NULL) {
            bytes = json_dumps(payload, JSON_INDENT(1));
            len = strlen(bytes);
        }
        if (!ops->decode_value(dec, topic, 1, bytes, len, &arena, &chg, &err))
            fail_msg("%s: %s", line, err.text);
        assert_payload(&chg, payload, names_too);
        free(bytes);
        json_decref(rec);
    }
    assert_in_range(count, 1, 100);
    ops->decoder_close(dec);
    arena_release(&arena);
    free(schema);
    free(lines);
}

static void debezium_records_are_read(void **state)
{
    read_recorded("avro_simple.jsonl", "avro_simple.avsc.json", "avro", false);
    read_recorded("avro_weird.jsonl", "avro_weird.avsc.json", "avro", true);
    read_recorded("json_simple.jsonl", "json_simple.schema.json", "json", false);
    read_recorded("json_types.jsonl", "json_types.schema.json", "json", false);
    read_recorded("json_weird.jsonl", "json_weird.schema.json", "json", true);
}

/* Rows of every type in Debezium's own bytes: what our encoder makes of the decoded row is the same, byte for
 * byte, up to the source block, which begins with a version; and through JSON and back it still is. */
static void rows_of_every_type_are_the_same_bytes(void **state)
{
    static const char version[] = "\x16"
                                  "3.1.0.Final";
    const struct codec_ops *avro = codec_by_name("avro"), *json = codec_by_name("json");
    char *schema = read_all("avro_types.avsc.json"), *lines = read_all("avro_types.jsonl"), *rest = NULL;
    struct decoder *dec = open_decoder(avro, schema);
    struct arena arena, second;
    size_t count = 0;
    arena_init(&arena, 65536, 16 << 20);
    arena_init(&second, 65536, 16 << 20);
    for (char *line = strtok_r(lines, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest), count++) {
        struct change chg, again;
        struct err err = ERR_INIT;
        struct encoder *enc;
        struct strbuf out = STRBUF_INIT(1 << 20), text = STRBUF_INIT(1 << 20);
        char *bytes, *key_json = NULL, *value_json = NULL;
        json_t *rec = json_loads(line, 0, NULL);
        const char *topic = json_string_value(json_object_get(rec, "topic"));
        size_t len = decode_base64(json_string_value(json_object_get(rec, "value_b64")), &bytes);
        if (!avro->decode_value(dec, topic, 1, bytes, len, &arena, &chg, &err))
            fail_msg("%s: %s", line, err.text);
        assert_true(json->schema_texts(chg.schema, &key_json, &value_json, &err));
        struct decoder *json_dec = open_decoder(json, value_json);
        assert_true(json->encoder_open(chg.schema, &enc, &err));
        assert_true(json->encode_value(enc, &chg, &text, &err));
        json->encoder_close(enc);
        if (!json->decode_value(json_dec, topic, 1, text.data, text.len, &second, &again, &err))
            fail_msg("%s: %s", text.data, err.text);
        assert_true(table_schema_same(chg.schema, again.schema));
        again.schema = chg.schema;
        assert_true(json->encoder_open(chg.schema, &enc, &err));
        assert_true(json->encode_value(enc, &again, &out, &err));
        json->encoder_close(enc);
        assert_string_equal(out.data, text.data);
        strbuf_clear(&out);
        assert_true(avro->encoder_open(chg.schema, &enc, &err));
        assert_true(avro->encode_value(enc, &chg, &out, &err));
        avro->encoder_close(enc);
        char *end = memmem(bytes, len, version, sizeof version - 1);
        assert_non_null(end);
        assert_true((size_t)(end - bytes) > 100 && out.len > (size_t)(end - bytes));
        assert_memory_equal(bytes + 5, out.data + 5, (size_t)(end - bytes) - 5); /* behind the frame's id */
        json->decoder_close(json_dec);
        json_decref(rec);
        free(bytes);
        free(key_json);
        free(value_json);
        strbuf_release(&out);
        strbuf_release(&text);
    }
    assert_in_range(count, 5, 100);
    avro->decoder_close(dec);
    arena_release(&arena);
    arena_release(&second);
    free(schema);
    free(lines);
}

/* --- schemas --- */

/* Debezium's column defaults and nullable unions with the value first have no place in ours. */
static void drop_default(json_t *column)
{
    json_t *type = json_object_get(column, "type");
    if (json_is_array(type) && json_array_size(type) == 2 && json_is_string(json_array_get(type, 1)) &&
        strcmp(json_string_value(json_array_get(type, 1)), "null") == 0) {
        json_t *value = json_incref(json_array_get(type, 0));
        json_object_del(value, "connect.default");
        json_object_set_new(column, "type", json_pack("[s, o]", "null", value));
        json_object_set_new(column, "default", json_null());
    }
    if (json_is_string(json_object_get(column, "type")) || json_object_get(column, "field") != NULL)
        json_object_del(column, "default");
}

/* Our parameters, and what is left empty by that; "type" objects that say nothing more become plain names. */
static void drop_parameters(json_t *node, bool ours_only)
{
    json_t *params = json_object_get(node, "connect.parameters");
    const char *holder = "connect.parameters", *name;
    if (params == NULL) {
        params = json_object_get(node, "parameters");
        holder = "parameters";
    }
    void *next;
    json_t *value;
    json_object_foreach_safe(params, next, name, value)
    {
        if (strncmp(name, "crossfade.", 10) == 0 || (!ours_only && strncmp(name, "__debezium.", 11) == 0))
            json_object_del(params, name);
    }
    if (params != NULL && json_object_size(params) == 0)
        json_object_del(node, holder);
}

static void plain_type(json_t *holder, size_t index_or_key, bool in_array)
{
    json_t *type = in_array ? json_array_get(holder, index_or_key) : json_object_get(holder, "type");
    if (!json_is_object(type))
        return;
    drop_parameters(type, false);
    json_t *name = json_object_get(type, "type");
    if (json_object_size(type) != 1 || !json_is_string(name))
        return;
    json_incref(name);
    if (in_array)
        json_array_set_new(holder, index_or_key, name);
    else
        json_object_set_new(holder, "type", name);
}

static void normalise_avro(json_t *root)
{
    json_t *fields = json_object_get(root, "fields");
    json_t *last = json_array_get(fields, json_array_size(fields) - 1);
    if (strcmp(json_string_value(json_object_get(last, "name")), "crossfade") == 0)
        json_array_remove(fields, json_array_size(fields) - 1);
    json_t *row = json_array_get(json_object_get(json_array_get(fields, 0), "type"), 1), *column;
    size_t i;
    drop_parameters(row, true);
    json_array_foreach(json_object_get(row, "fields"), i, column)
    {
        json_object_del(json_object_get(column, "type"), "connect.default");
        drop_parameters(column, false); /* of a named type: see avro_schema.c */
        plain_type(column, 0, false);
        drop_default(column);
        if (json_is_array(json_object_get(column, "type")))
            plain_type(json_object_get(column, "type"), 1, true);
    }
}

static void normalise_connect(json_t *root)
{
    json_t *fields = json_object_get(root, "fields"), *column;
    json_t *last = json_array_get(fields, json_array_size(fields) - 1);
    if (strcmp(json_string_value(json_object_get(last, "field")), "crossfade") == 0)
        json_array_remove(fields, json_array_size(fields) - 1);
    for (size_t image = 0; image < 2; image++) {
        json_t *row = json_array_get(fields, image);
        size_t i;
        drop_parameters(row, true);
        json_array_foreach(json_object_get(row, "fields"), i, column)
        {
            drop_default(column);
            drop_parameters(column, false);
        }
    }
}

/* The table as our decoder understands the recorded schema, turned into a schema by us, must be the recorded
 * one. */
static void compare_schema(const char *format, const char *records_file, const char *schema_file)
{
    const struct codec_ops *ops = codec_by_name(format);
    char *schema = read_all(schema_file), *lines = read_all(records_file), *rest = NULL, *bytes = NULL;
    char *key_json = NULL, *value_json = NULL;
    struct decoder *dec = open_decoder(ops, schema);
    struct arena arena;
    struct change chg;
    struct err err = ERR_INIT;
    arena_init(&arena, 65536, 16 << 20);
    json_t *rec = json_loads(strtok_r(lines, "\n", &rest), 0, NULL);
    const char *b64 = json_string_value(json_object_get(rec, "value_b64"));
    size_t len = b64 != NULL ? decode_base64(b64, &bytes) : 0;
    if (b64 == NULL) {
        bytes = json_dumps(json_object_get(rec, "payload"), 0);
        len = strlen(bytes);
    }
    const char *topic = json_string_value(json_object_get(rec, "topic"));
    if (!ops->decode_value(dec, topic, 1, bytes, len, &arena, &chg, &err))
        fail_msg("%s", err.text);
    assert_true(ops->schema_texts(chg.schema, &key_json, &value_json, &err));
    json_t *theirs = json_loads(schema, JSON_ALLOW_NUL, NULL), *ours = json_loads(value_json, 0, NULL);
    void (*normalise)(json_t *) = b64 != NULL ? normalise_avro : normalise_connect;
    normalise(theirs);
    normalise(ours);
    assert_json(theirs, ours);
    json_decref(theirs);
    json_decref(ours);
    json_decref(rec);
    free(bytes);
    free(schema);
    free(lines);
    free(key_json);
    free(value_json);
    ops->decoder_close(dec);
    arena_release(&arena);
}

static void schemas_have_debezium_shape(void **state)
{
    compare_schema("avro", "avro_simple.jsonl", "avro_simple.avsc.json");
    compare_schema("avro", "avro_weird.jsonl", "avro_weird.avsc.json");
    compare_schema("avro", "avro_types.jsonl", "avro_types.avsc.json");
    compare_schema("json", "json_simple.jsonl", "json_simple.schema.json");
    compare_schema("json", "json_types.jsonl", "json_types.schema.json");
    compare_schema("json", "json_weird.jsonl", "json_weird.schema.json");
}

/* Names that Avro does not take are replaced as Debezium does; those of the recorded table in full. */
static void names_are_replaced_as_debezium_does(void **state)
{
    static const struct {
        const char *exact, *wire;
    } cases[] = {{"Id", "Id"},
                 {"Col A", "Col_A"},
                 {"col-b", "col_b"},
                 {"a.b", "a_b"},
                 {"1st", "_1st"},
                 {"q\"uote", "q_uote"},
                 {"$x", "_x"},
                 {"UPPER", "UPPER"},
                 {"gr\xc3\xb6\xc3\x9f"
                  "e",
                  "gr__e"},
                 {"emoji\xf0\x9f\x98\x80", "emoji__"},
                 {"back\\slash", "back_slash"}};
    struct column_spec columns[ARRAY_LEN(cases)];
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        columns[i] = (struct column_spec){.name = cases[i].exact, .phys = PHYS_INT32, .key = i == 0 ? 1 : 0};
    struct rig rig;
    rig_open(&rig, "avro", make_table("s", "t", columns, ARRAY_LEN(cases)));
    json_t *root = json_loads(rig.value_json, 0, NULL);
    json_t *row =
        json_array_get(json_object_get(json_array_get(json_object_get(root, "fields"), 0), "type"), 1);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const json_t *column = json_array_get(json_object_get(row, "fields"), i);
        assert_string_equal(json_string_value(json_object_get(column, "name")), cases[i].wire);
    }
    json_decref(root);
    rig_close(&rig);
}

/* --- avro-c reads what we write --- */

static void same_value(avro_value_t *a, const json_t *j, const char *name);

static void same_record(avro_value_t *a, const json_t *j)
{
    size_t count = 0, i = 0;
    const char *name;
    json_t *member;
    assert_int_equal(avro_value_get_size(a, &count), 0);
    assert_true(json_is_object(j));
    json_object_foreach((json_t *)j, name, member)
    {
        avro_value_t child;
        assert_int_equal(avro_value_get_by_index(a, i++, &child, NULL), 0);
        same_value(&child, member, name);
    }
    if (i + 1 == count) { /* JSON leaves the last field out when it is null */
        avro_value_t child, inner;
        assert_int_equal(avro_value_get_by_index(a, i++, &child, NULL), 0);
        assert_int_equal(avro_value_get_current_branch(&child, &inner), 0);
        assert_int_equal(avro_value_get_type(&inner), AVRO_NULL);
    }
    assert_int_equal(i, count);
}

static void same_number(double a, const json_t *j)
{
    const char *text = json_string_value(j);
    if (text == NULL)
        assert_true(a == json_number_value(j) || (double)(float)json_number_value(j) == a);
    else
        assert_string_equal(text, isnan(a) ? "NaN" : a > 0 ? "Infinity" : "-Infinity");
}

static void same_bytes(const void *bytes, size_t len, const json_t *j)
{
    struct strbuf sb = STRBUF_INIT(1 << 20);
    json_put_base64(&sb, bytes, len);
    json_t *expected = json_loads(sb.data, JSON_DECODE_ANY, NULL);
    assert_json(expected, j);
    json_decref(expected);
    strbuf_release(&sb);
}

static void same_value(avro_value_t *a, const json_t *j, const char *name)
{
    avro_value_t inner;
    const char *text = NULL;
    const void *bytes = NULL;
    size_t size = 0;
    int64_t l = 0;
    int32_t i = 0;
    int b = 0;
    float f = 0;
    double d = 0;
    switch (avro_value_get_type(a)) {
    case AVRO_UNION:
        assert_int_equal(avro_value_get_current_branch(a, &inner), 0);
        same_value(&inner, j, name);
        return;
    case AVRO_NULL:
        assert_true(json_is_null(j));
        return;
    case AVRO_RECORD:
        same_record(a, j);
        return;
    case AVRO_ARRAY:
        assert_int_equal(avro_value_get_size(a, &size), 0);
        assert_int_equal(size, json_array_size(j));
        for (size_t n = 0; n < size; n++) {
            assert_int_equal(avro_value_get_by_index(a, n, &inner, NULL), 0);
            same_value(&inner, json_array_get(j, n), name);
        }
        return;
    case AVRO_STRING:
        assert_int_equal(avro_value_get_string(a, &text, &size), 0);
        assert_int_equal(size - 1, json_string_length(j));
        assert_memory_equal(text, json_string_value(j), size - 1);
        return;
    case AVRO_BYTES:
        assert_int_equal(avro_value_get_bytes(a, &bytes, &size), 0);
        same_bytes(bytes, size, j);
        return;
    case AVRO_INT64:
        assert_int_equal(avro_value_get_long(a, &l), 0);
        assert_true(json_is_integer(j) && l == json_integer_value(j));
        return;
    case AVRO_INT32:
        assert_int_equal(avro_value_get_int(a, &i), 0);
        assert_true(json_is_integer(j) && i == json_integer_value(j));
        return;
    case AVRO_BOOLEAN:
        assert_int_equal(avro_value_get_boolean(a, &b), 0);
        assert_true(json_is_boolean(j) && (b != 0) == json_is_true(j));
        return;
    case AVRO_FLOAT:
        assert_int_equal(avro_value_get_float(a, &f), 0);
        same_number((double)f, j);
        return;
    case AVRO_DOUBLE:
        assert_int_equal(avro_value_get_double(a, &d), 0);
        same_number(d, j);
        return;
    default:
        fail_msg("%s: type %d", name, (int)avro_value_get_type(a));
    }
}

static void read_with_avro_c(const char *schema_json, const struct strbuf *bytes,
                             const struct strbuf *json_text)
{
    avro_schema_t schema;
    avro_value_t value;
    assert_int_equal(avro_schema_from_json_length(schema_json, strlen(schema_json), &schema), 0);
    avro_value_iface_t *class = avro_generic_class_from_schema(schema);
    assert_int_equal(avro_generic_value_new(class, &value), 0);
    avro_reader_t reader = avro_reader_memory(bytes->data + 5, (int64_t)bytes->len - 5);
    if (avro_value_read(reader, &value) != 0)
        fail_msg("avro-c: %s", avro_strerror());
    char byte;
    assert_int_not_equal(avro_read(reader, &byte, 1), 0); /* all of it was used */
    json_t *expected = json_loadb(json_text->data, json_text->len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(expected);
    same_value(&value, expected, "");
    json_decref(expected);
    avro_reader_free(reader);
    avro_value_decref(&value);
    avro_value_iface_decref(class);
    avro_schema_decref(schema);
}

static const struct column_spec mixed[] = {
    {"id", PHYS_INT64, false, 1, NULL, "INT8", 19, 0},
    {"a b", PHYS_INT16, false, 0, NULL, "INT2", 5, 0},
    {"a_b", PHYS_INT32, true, 0, "io.debezium.time.Date", "DATE", 13, 0},
    {"f4", PHYS_FLOAT32, true, 0, NULL, "FLOAT4", 8, 8},
    {"f8", PHYS_FLOAT64, false, 0, NULL, "FLOAT8", 17, 17},
    {"\xc3\xa4", PHYS_STRING, false, 2, "io.debezium.data.Uuid", "UUID", 0, 0},
    {"y", PHYS_BYTES, true, 0, NULL, "BYTEA", 0, 0},
    {"yn", PHYS_BYTES, false, 0, NULL, "BYTEA", 0, 0},
    {"ok", PHYS_BOOL, true, 0, NULL, "BOOL", 1, 0},
};

static void avro_c_reads_what_we_write(void **state)
{
    struct rig avro, json;
    struct err err = ERR_INIT;
    rig_open(&avro, "avro", make_table("My \"S\"", "t\xc3\xa4", mixed, ARRAY_LEN(mixed)));
    rig_open(&json, "json", make_table("My \"S\"", "t\xc3\xa4", mixed, ARRAY_LEN(mixed)));
    struct datum full[] = {int_datum(INT64_MIN),   int_datum(-32768), int_datum(INT32_MAX),
                           float_datum(1.5),       float_datum(0.1),  text_datum("quote\" \xf0\x9f\x98\x80"),
                           text_datum("\x01\xff"), text_datum(""),    int_datum(1)};
    struct datum sparse[ARRAY_LEN(mixed)];
    memcpy(sparse, full, sizeof full);
    sparse[2].state = sparse[3].state = sparse[8].state = DATUM_NULL;
    sparse[6].state = sparse[7].state = DATUM_UNAVAILABLE;
    sparse[4] = float_datum((double)NAN);
    struct datum key[ARRAY_LEN(mixed)];
    memset(key, 0, sizeof key);
    key[0] = full[0];
    key[5] = full[5];
    struct change all[] = {
        make_change(&avro, CHANGE_INSERT, NULL, full),   make_change(&avro, CHANGE_UPDATE, full, sparse),
        make_change(&avro, CHANGE_DELETE, sparse, NULL), make_change(&avro, CHANGE_DELETE, key, NULL),
        make_change(&avro, CHANGE_READ, NULL, full),     make_change(&avro, CHANGE_TRUNCATE, NULL, NULL),
    };
    all[3].before_key_only = true;
    all[4].source.snapshot = SNAPSHOT_TRUE;
    all[4].source.previous_commit_lsn = 0;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        rig_encode(&avro, &all[i]);
        all[i].schema = json.table;
        rig_encode(&json, &all[i]);
        read_with_avro_c(avro.value_json, &avro.out, &json.out);
    }
    strbuf_clear(&avro.out);
    strbuf_clear(&json.out);
    assert_true(avro.ops->encode_key(avro.enc, full, &avro.out, &err));
    assert_true(json.ops->encode_key(json.enc, full, &json.out, &err));
    read_with_avro_c(avro.key_json, &avro.out, &json.out);
    rig_close(&avro);
    rig_close(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_every_type_are_the_same_bytes),
        cmocka_unit_test(debezium_records_are_read),
        cmocka_unit_test(schemas_have_debezium_shape),
        cmocka_unit_test(names_are_replaced_as_debezium_does),
        cmocka_unit_test(avro_c_reads_what_we_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
