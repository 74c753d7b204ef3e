/* Avro schema texts of a table, as Debezium's Avro converters register them, with our parameters added. */
#include "change/avro_schema.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "change/connect.h"
#include "change/envelope.h"
#include "core/alloc.h"
#include "core/strbuf.h"
#include "core/utf8.h"

#define OPTIONAL(type) "{\"name\":\"" type "\",\"type\":[\"null\",\"long\"],\"default\":null}"

/* The blocks that are the same for all tables. */
/* clang-format off */
#define SOURCE_HEAD(package)                                                                                 \
    "{\"name\":\"source\",\"type\":{\"type\":\"record\",\"name\":\"Source\","                                   \
    "\"namespace\":\"" package "\",\"fields\":["                                                             \
    "{\"name\":\"version\",\"type\":\"string\"},"                                                              \
    "{\"name\":\"connector\",\"type\":\"string\"},"                                                            \
    "{\"name\":\"name\",\"type\":\"string\"},"                                                                 \
    "{\"name\":\"ts_ms\",\"type\":\"long\"},"                                                                  \
    "{\"name\":\"snapshot\",\"type\":[{\"type\":\"string\",\"connect.version\":1,\"connect.parameters\":{"     \
    "\"allowed\":\"" SNAPSHOT_VALUES "\"},\"connect.default\":\"false\",\"connect.name\":\"io.debezium.data.Enum\"}," \
    "\"null\"],\"default\":\"false\"},"                                                                      \
    "{\"name\":\"db\",\"type\":\"string\"},"                                                                   \
    "{\"name\":\"sequence\",\"type\":[\"null\",\"string\"],\"default\":null},"                                 \
    OPTIONAL("ts_us") "," OPTIONAL("ts_ns") ","
#define SOURCE_TAIL(package) "],\"connect.version\":1,\"connect.name\":\"" package ".Source\"}}"

static const char source_block[] =
    SOURCE_HEAD(CONNECTOR_PACKAGE)
    "{\"name\":\"schema\",\"type\":\"string\"},"
    "{\"name\":\"table\",\"type\":\"string\"},"
    OPTIONAL("txId") "," OPTIONAL("lsn") "," OPTIONAL("xmin") SOURCE_TAIL(CONNECTOR_PACKAGE);

static const char source_block_mariadb[] =
    SOURCE_HEAD(MARIADB_PACKAGE)
    "{\"name\":\"table\",\"type\":[\"null\",\"string\"],\"default\":null},"
    "{\"name\":\"server_id\",\"type\":\"long\"},"
    "{\"name\":\"gtid\",\"type\":[\"null\",\"string\"],\"default\":null},"
    "{\"name\":\"file\",\"type\":\"string\"},"
    "{\"name\":\"pos\",\"type\":\"long\"},"
    "{\"name\":\"row\",\"type\":\"int\"},"
    OPTIONAL("thread") ","
    "{\"name\":\"query\",\"type\":[\"null\",\"string\"],\"default\":null}" SOURCE_TAIL(MARIADB_PACKAGE);

static const char transaction_block[] =
    "{\"name\":\"transaction\",\"type\":[\"null\",{\"type\":\"record\",\"name\":\"block\",\"namespace\":\"event\",\"fields\":["
    "{\"name\":\"id\",\"type\":\"string\"},"
    "{\"name\":\"total_order\",\"type\":\"long\"},"
    "{\"name\":\"data_collection_order\",\"type\":\"long\"}],"
    "\"connect.version\":1,\"connect.name\":\"event.block\"}],\"default\":null}";

static const char hints_block[] =
    "{\"name\":\"" HINTS_FIELD "\",\"type\":[\"null\",{\"type\":\"record\",\"name\":\"Hints\",\"namespace\":\"crossfade\",\"fields\":["
    "{\"name\":\"before_key_only\",\"type\":\"boolean\"},"
    "{\"name\":\"before_unavailable\",\"type\":{\"type\":\"array\",\"items\":\"int\"}},"
    "{\"name\":\"after_unavailable\",\"type\":{\"type\":\"array\",\"items\":\"int\"}}],"
    "\"connect.version\":1,\"connect.name\":\"" HINTS_RECORD "\"}],\"default\":null}";
/* clang-format on */

static const char *primitive(enum phys phys)
{
    static const char *const names[PHYS_MAX_] = {
        [PHYS_BOOL] = "boolean",  [PHYS_INT16] = "int",      [PHYS_INT32] = "int",     [PHYS_INT64] = "long",
        [PHYS_FLOAT32] = "float", [PHYS_FLOAT64] = "double", [PHYS_STRING] = "string", [PHYS_BYTES] = "bytes",
    };
    return names[phys];
}

static bool is_word(char c)
{
    return c == '_' || isalnum((unsigned char)c);
}

/* Debezium's replacement: '_' for each UTF-16 unit that Avro does not take, '_' in front of a leading digit.
 */
static void sanitise(const char *name, struct strbuf *out)
{
    if (isdigit((unsigned char)name[0]))
        strbuf_addc(out, '_');
    for (const char *p = name; *p != '\0';) {
        size_t n = (unsigned char)*p < 0x80 ? 1 : utf8_char_len(p, strlen(p));
        if (n <= 1) {
            strbuf_addc(out, is_word(*p) ? *p : '_');
            p++;
            continue;
        }
        strbuf_adds(out, n == 4 ? "__" : "_");
        p += n;
    }
    if (out->len == 0)
        strbuf_addc(out, '_');
}

static bool is_avro_name(const char *name)
{
    if (name[0] == '\0' || isdigit((unsigned char)name[0]))
        return false;
    while (*name != '\0' && is_word(*name))
        name++;
    return *name == '\0';
}

static bool taken(char **names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (names[i] != NULL && strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

/* A wire name per column: exact names keep theirs, sanitised ones give way with _2, _3, … in column order. */
static char **wire_names(const struct table_schema *schema)
{
    char **names = xcalloc(schema->field_count + 1, sizeof *names);
    for (size_t i = 0; i < schema->field_count; i++) {
        if (is_avro_name(schema->fields[i].name))
            names[i] = xstrdup(schema->fields[i].name);
    }
    for (size_t i = 0; i < schema->field_count; i++) {
        if (names[i] != NULL)
            continue;
        struct strbuf sb = STRBUF_INIT(1 << 16);
        sanitise(schema->fields[i].name, &sb);
        size_t base_len = sb.len;
        for (unsigned n = 2; taken(names, schema->field_count, sb.data); n++) {
            sb.len = base_len;
            strbuf_addf(&sb, "_%u", n);
        }
        names[i] = strbuf_detach(&sb);
    }
    return names;
}

static void free_names(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

/* One schema text under way: a named type is defined where it is used first, then called by its name. */
struct making {
    const char *defined[8];
    size_t count;
};

/* Avro's own decimal wants to know a precision. */
#define DECIMAL_PRECISION 64

static bool is_decimal(const struct field *f)
{
    return f->semantic != NULL && strcmp(f->semantic, SEMANTIC_DECIMAL) == 0;
}

static bool is_defined(struct making *m, const char *name)
{
    for (size_t i = 0; i < m->count; i++) {
        if (strcmp(m->defined[i], name) == 0)
            return true;
    }
    BUG_UNLESS(m->count < ARRAY_LEN(m->defined));
    m->defined[m->count++] = name;
    return false;
}

static json_t *struct_type(struct making *m, const struct nested_struct *shape)
{
    if (is_defined(m, shape->semantic))
        return json_string(shape->semantic);
    const char *dot = strrchr(shape->semantic, '.');
    json_t *fields = json_array();
    for (size_t i = 0; i < shape->count; i++) {
        const struct nested_member *member = &shape->members[i];
        json_t *type = json_string(primitive(member->phys));
        if (member->optional)
            type = json_pack("[s, o]", "null", type);
        json_t *field = json_pack("{s:s, s:o}", "name", member->name, "type", type);
        if (member->optional)
            json_object_set_new(field, "default", json_null());
        json_array_append_new(fields, field);
    }
    return json_pack("{s:s, s:s, s:s%, s:o, s:s, s:i, s:s}", "type", "record", "name", dot + 1, "namespace",
                     shape->semantic, (size_t)(dot - shape->semantic), "fields", fields, "connect.doc",
                     shape->doc, "connect.version", 1, "connect.name", shape->semantic);
}

/* The type of a value: a column's, or an array's elements'. Takes params over (NULL = none). */
static json_t *value_type(struct making *m, const struct field *f, enum phys phys, json_t *params)
{
    if (phys == PHYS_STRUCT) {
        json_decref(params); /* stand beside the type: see column() */
        return struct_type(m, nested_struct_find(f->semantic));
    }
    if (phys == PHYS_MAP) {
        json_t *map = json_pack("{s:s, s:[s, s]}", "type", "map", "values", "null", "string");
        if (params != NULL)
            json_object_set_new(map, "connect.parameters", params);
        return map;
    }
    if (params == NULL && f->semantic == NULL && phys != PHYS_INT16)
        return json_string(primitive(phys));
    json_t *type = json_object();
    json_object_set_new(type, "type", json_string(primitive(phys)));
    if (is_decimal(f)) {
        json_object_set_new(type, "scale", json_integer(f->decimal_scale));
        json_object_set_new(
            type, "precision",
            json_integer(f->decimal_precision > 0 ? f->decimal_precision : DECIMAL_PRECISION));
    }
    if (f->semantic != NULL)
        json_object_set_new(type, "connect.version", json_integer(1));
    if (params != NULL)
        json_object_set_new(type, "connect.parameters", params);
    if (phys == PHYS_INT16)
        json_object_set_new(type, "connect.type", json_string("int16"));
    if (f->semantic != NULL)
        json_object_set_new(type, "connect.name", json_string(f->semantic));
    if (is_decimal(f))
        json_object_set_new(type, "logicalType", json_string("decimal"));
    return type;
}

static json_t *column_type(struct making *m, const struct field *f, json_t *params)
{
    if (f->phys != PHYS_ARRAY)
        return value_type(m, f, f->phys, params);
    json_t *items = value_type(m, f, f->elem, connect_item_parameters(f));
    if (!f->elem_required)
        items = json_pack("[s, o]", "null", items);
    json_t *array = json_pack("{s:s, s:o}", "type", "array", "items", items);
    if (params != NULL)
        json_object_set_new(array, "connect.parameters", params);
    return array;
}

/* Parameters of a column of a named type stand in the field: the type may be another column's as well. */
static json_t *column(struct making *m, const struct field *f, const char *wire_name, json_t *params)
{
    json_t *beside = f->phys == PHYS_STRUCT ? json_incref(params) : NULL;
    json_t *type = column_type(m, f, params);
    if (f->optional)
        type = json_pack("[s, o]", "null", type);
    json_t *col = json_pack("{s:s, s:o}", "name", wire_name, "type", type);
    if (f->optional)
        json_object_set_new(col, "default", json_null());
    if (beside != NULL)
        json_object_set_new(col, "connect.parameters", beside);
    return col;
}

static json_t *record(const char *name, const char *name_space, json_t *fields, json_t *params)
{
    json_t *rec = json_pack("{s:s, s:s}", "type", "record", "name", name);
    if (name_space != NULL)
        json_object_set_new(rec, "namespace", json_string(name_space));
    json_object_set_new(rec, "fields", fields);
    if (params != NULL)
        json_object_set_new(rec, "connect.parameters", params);
    return rec;
}

static void set_connect_name(json_t *rec, const char *name_space, const char *name)
{
    char *full = xasprintf("%s.%s", name_space, name);
    json_object_set_new(rec, "connect.name", json_string(full));
    free(full);
}

static void append_block(json_t *fields, const char *text)
{
    json_t *block = json_loads(text, 0, NULL);
    BUG_UNLESS(block != NULL);
    json_array_append_new(fields, block);
}

static char *key_text(const struct table_schema *schema, char **names)
{
    struct making m = {0};
    json_t *fields = json_array();
    for (size_t i = 0; i < schema->key_count; i++) {
        size_t at = schema->key_fields[i];
        json_array_append_new(
            fields, column(&m, &schema->fields[at], names[at], connect_key_parameters(&schema->fields[at])));
    }
    if (schema->shared_id != NULL)
        append_block(fields, "{\"name\":\"" SHARED_ID_FIELD "\",\"type\":\"string\"}");
    json_t *key = record("Key", schema->name_space, fields, NULL);
    set_connect_name(key, schema->name_space, "Key");
    return connect_dump(key);
}

static json_t *row_record(const struct table_schema *schema, char **names)
{
    struct making m = {0};
    json_t *fields = json_array();
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct field *f = &schema->fields[i];
        json_t *params = connect_column_parameters(f, connect_key_ordinal(schema, i));
        json_array_append_new(fields, column(&m, f, names[i], params));
    }
    json_t *row = record("Value", NULL, fields, connect_table_parameters(schema));
    set_connect_name(row, schema->name_space, "Value");
    return row;
}

static char *value_text(const struct table_schema *schema, char **names)
{
    json_t *fields = json_array();
    json_array_append_new(fields, json_pack("{s:s, s:[s, o], s:n}", "name", "before", "type", "null",
                                            row_record(schema, names), "default"));
    append_block(fields, "{\"name\":\"after\",\"type\":[\"null\",\"Value\"],\"default\":null}");
    append_block(fields, schema->mariadb ? source_block_mariadb : source_block);
    append_block(fields, transaction_block);
    append_block(fields, "{\"name\":\"op\",\"type\":\"string\"}");
    append_block(fields, OPTIONAL("ts_ms"));
    append_block(fields, OPTIONAL("ts_us"));
    append_block(fields, OPTIONAL("ts_ns"));
    append_block(fields, hints_block);
    json_t *envelope = record("Envelope", schema->name_space, fields, NULL);
    json_object_set_new(envelope, "connect.version", json_integer(2));
    set_connect_name(envelope, schema->name_space, "Envelope");
    return connect_dump(envelope);
}

bool avro_schema_texts(const struct table_schema *schema, char **ret_key_json, char **ret_value_json,
                       struct err *err)
{
    if (!connect_check(schema, err))
        return false;
    char **names = wire_names(schema);
    *ret_key_json = schema->key_count != 0 ? key_text(schema, names) : NULL;
    *ret_value_json = value_text(schema, names);
    free_names(names, schema->field_count);
    return true;
}
