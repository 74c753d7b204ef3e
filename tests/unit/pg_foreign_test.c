/*
 * Records that Debezium 3.1 wrote (tests/unit/data/foreign: recorded, with what the SQL behind them says): decoded, and
 * written as PostgreSQL's texts of the target's columns.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "change/foreign.h"
#include "core/alloc.h"
#include "pg/types/write.h"

static struct pg_type_catalog *cat;
static struct err err;

static json_t *load(const char *file)
{
    const char *root = getenv("CF_SOURCE_DIR");
    char *path CLEANUP(free_ptr) =
        xasprintf("%s/tests/unit/data/foreign/%s", root != NULL ? root : ".", file);
    json_t *doc = json_load_file(path, 0, NULL);
    if (doc == NULL)
        fail_msg("%s cannot be read; CF_SOURCE_DIR is the source folder", path);
    return doc;
}

static char *record_text(json_t *schema, json_t *payload)
{
    json_t *whole = json_pack("{s:O, s:O}", "schema", schema, "payload", payload);
    char *text = json_dumps(whole, JSON_COMPACT);
    json_decref(whole);
    return text;
}

struct type_name {
    const char *name;
    uint32_t oid;
};

static const struct type_name types[] = {
    {"bool", 16},     {"bytea", 17},       {"int8", 20},          {"int2", 21},       {"int4", 23},
    {"text", 25},     {"json", 114},       {"xml", 142},          {"point", 600},     {"cidr", 650},
    {"float4", 700},  {"float8", 701},     {"money", 790},        {"macaddr", 829},   {"inet", 869},
    {"_int4", 1007},  {"_text", 1009},     {"bpchar", 1042},      {"varchar", 1043},  {"date", 1082},
    {"time", 1083},   {"timestamp", 1114}, {"timestamptz", 1184}, {"interval", 1186}, {"_numeric", 1231},
    {"timetz", 1266}, {"bit", 1560},       {"varbit", 1562},      {"numeric", 1700},  {"uuid", 2950},
    {"_uuid", 2951},  {"jsonb", 3802},     {"int4range", 3904},
};

/* "varchar:20", "numeric:10,2" */
static void target_type(const char *text, uint32_t *ret_oid, int32_t *ret_typmod)
{
    size_t len = strcspn(text, ":");
    int a = 0, b = 0, n = text[len] == ':' ? sscanf(text + len + 1, "%d,%d", &a, &b) : 0;
    bool bits = strncmp(text, "bit", 3) == 0;
    *ret_typmod = n == 2 ? ((a << 16) | b) + 4 : n == 1 ? a + (bits ? 0 : 4) : -1;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strlen(types[i].name) == len && strncmp(types[i].name, text, len) == 0) {
            *ret_oid = types[i].oid;
            return;
        }
    }
    fail_msg("type %s is not known to this test", text);
}

/* expected: the text, null, or "!" and a part of the error. */
static void assert_value(const char *where, const struct field *f, const struct datum *d, const char *type,
                         const json_t *expected)
{
    struct pg_column_writer w;
    struct strbuf out = STRBUF_INIT(1 << 16);
    uint32_t oid = 0;
    int32_t typmod;
    const char *text = json_string_value(expected);
    target_type(type, &oid, &typmod);
    err_clear(&err);
    if (!pg_writer_plan(f, oid, typmod, cat, NULL, &w, &err))
        fail_msg("%s %s: %s", where, f->name, err.text);
    if ((text == NULL) != (d->state == DATUM_NULL))
        fail_msg("%s %s: null expected or not", where, f->name);
    if (text != NULL) {
        bool ok = pg_write_text(&w, d, &out, &err);
        if (text[0] == '!' ? ok || strstr(err.text, text + 1) == NULL : !ok || strcmp(out.data, text) != 0)
            fail_msg("%s %s → %s: \"%s\" expected, \"%s\" %s", where, f->name, type, text, out.data,
                     err.text);
    }
    strbuf_release(&out);
}

static size_t assert_record(struct foreign_decoder *fd, json_t *doc, json_t *rec)
{
    struct arena arena;
    struct foreign_event ev;
    const char *column;
    json_t *expected;
    size_t count = 0;
    const char *note =
        json_string_value(json_object_get(json_object_get(json_object_get(rec, "value"), "after"), "note"));
    char *key = record_text(json_object_get(doc, "key_schema"), json_object_get(rec, "key"));
    char *value = record_text(json_object_get(doc, "value_schema"), json_object_get(rec, "value"));
    struct foreign_record fr = {.topic = json_string_value(json_object_get(doc, "topic")),
                                .key = key,
                                .key_len = strlen(key),
                                .value = value,
                                .value_len = strlen(value)};
    arena_init(&arena, 65536, 16 << 20);
    err_clear(&err);
    if (!foreign_decode(fd, &fr, &arena, &ev, &err))
        fail_msg("%s: %s", note, err.text);
    assert_int_equal(ev.kind, FOREIGN_CHANGE);
    assert_int_equal(ev.change.schema->key_count, 1);
    assert_string_equal(ev.change.schema->fields[ev.change.schema->key_fields[0]].name, "id");
    json_object_foreach(json_object_get(rec, "expected"), column, expected)
    {
        int at = table_schema_find(ev.change.schema, column);
        if (at < 0)
            fail_msg("no column %s", column);
        assert_value(note != NULL ? note : "-", &ev.change.schema->fields[at], &ev.change.after[at],
                     json_string_value(json_object_get(json_object_get(doc, "targets"), column)), expected);
        count++;
    }
    arena_release(&arena);
    free(key);
    free(value);
    return count;
}

static void assert_file(const char *file, size_t least)
{
    json_t *doc = load(file), *rec;
    size_t i, count = 0;
    struct foreign_decoder *fd = foreign_decoder_open(&(struct foreign_options){.avro = false});
    cat = pg_type_catalog_new();
    json_array_foreach(json_object_get(doc, "records"), i, rec)
    {
        count += assert_record(fd, doc, rec);
    }
    assert_true(count >= least);
    foreign_decoder_close(fd);
    pg_type_catalog_free(cat);
    json_decref(doc);
}

static void mariadb_values_without_source_types(void **state)
{
    (void)state;
    assert_file("types_ma.json", 300);
}

static void mariadb_values_in_strings(void **state)
{
    (void)state;
    assert_file("types_mb.json", 300);
}

static void postgresql_values_without_source_types(void **state)
{
    (void)state;
    assert_file("types_pg.json", 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mariadb_values_without_source_types),
        cmocka_unit_test(mariadb_values_in_strings),
        cmocka_unit_test(postgresql_values_without_source_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
