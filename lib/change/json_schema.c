/* Owns: Connect schema JSON, made and read. See json_schema.h. */
#include "change/json_schema.h"

#include <stdlib.h>
#include <string.h>

#include "change/connect.h"
#include "change/connect_blocks.h"
#include "change/envelope.h"
#include "core/alloc.h"

/* What comes after the two images; the same for all tables. */
/* clang-format off */
#define TAIL(source)                                                                                         \
    "[" source "," CONNECT_TRANSACTION ","                                                                   \
    NEED("string", "op") "," MAY("int64", "ts_ms") "," MAY("int64", "ts_us") "," MAY("int64", "ts_ns") ","   \
    "{\"type\":\"struct\",\"fields\":["                                                                      \
    NEED("boolean", "before_key_only") "," INDEXES("before_unavailable") "," INDEXES("after_unavailable")    \
    "],\"optional\":true,\"name\":\"" HINTS_RECORD "\",\"version\":1,\"field\":\"" HINTS_FIELD "\"}]"
static const char tail_fields[] = TAIL(CONNECT_SOURCE), tail_fields_mariadb[] = TAIL(CONNECT_SOURCE_MARIADB);
/* clang-format on */

static const char *const type_names[PHYS_MAX_] = {
    [PHYS_BOOL] = "boolean",  [PHYS_INT16] = "int16",    [PHYS_INT32] = "int32",   [PHYS_INT64] = "int64",
    [PHYS_FLOAT32] = "float", [PHYS_FLOAT64] = "double", [PHYS_STRING] = "string", [PHYS_BYTES] = "bytes",
    [PHYS_ARRAY] = "array",   [PHYS_STRUCT] = "struct",  [PHYS_MAP] = "map",
};

static json_t *plain(enum phys phys, bool optional)
{
    return json_pack("{s:s, s:b}", "type", type_names[phys], "optional", optional);
}

/* The schema of one value. Takes params over (NULL = none). */
static json_t *value_schema(enum phys phys, const char *semantic, bool optional, json_t *params)
{
    const struct nested_struct *shape = phys == PHYS_STRUCT ? nested_struct_find(semantic) : NULL;
    json_t *value = plain(phys, optional);
    if (phys == PHYS_MAP) {
        json_object_set_new(value, "keys", plain(PHYS_STRING, false));
        json_object_set_new(value, "values", plain(PHYS_STRING, true));
    }
    if (shape != NULL) {
        json_t *fields = json_array();
        for (size_t i = 0; i < shape->count; i++) {
            json_t *member = plain(shape->members[i].phys, shape->members[i].optional);
            json_object_set_new(member, "field", json_string(shape->members[i].name));
            json_array_append_new(fields, member);
        }
        json_object_set_new(value, "fields", fields);
        json_object_set_new(value, "doc", json_string(shape->doc));
    }
    if (semantic != NULL) {
        json_object_set_new(value, "name", json_string(semantic));
        json_object_set_new(value, "version", json_integer(1));
    }
    if (params != NULL)
        json_object_set_new(value, "parameters", params);
    return value;
}

/* Takes params over (NULL = none). */
static json_t *column(const struct field *f, json_t *params)
{
    json_t *col = value_schema(f->phys, f->phys == PHYS_ARRAY ? NULL : f->semantic, f->optional, params);
    if (f->phys == PHYS_ARRAY)
        json_object_set_new(
            col, "items", value_schema(f->elem, f->semantic, !f->elem_required, connect_item_parameters(f)));
    json_object_set_new(col, "field", json_string(f->name));
    return col;
}

static json_t *structure(const char *name_space, const char *name, bool optional, json_t *fields)
{
    char *full = xasprintf("%s.%s", name_space, name);
    json_t *s = json_pack("{s:s, s:o, s:b, s:s}", "type", "struct", "fields", fields, "optional", optional,
                          "name", full);
    free(full);
    return s;
}

static json_t *row_fields(const struct table_schema *schema)
{
    json_t *fields = json_array();
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct field *f = &schema->fields[i];
        json_array_append_new(fields,
                              column(f, connect_column_parameters(f, connect_key_ordinal(schema, i))));
    }
    return fields;
}

static json_t *image(const struct table_schema *schema, const char *field_name)
{
    json_t *row = structure(schema->name_space, "Value", true, row_fields(schema));
    json_object_set_new(row, "parameters", connect_table_parameters(schema));
    json_object_set_new(row, "field", json_string(field_name));
    return row;
}

static char *key_text(const struct table_schema *schema)
{
    json_t *fields = json_array();
    for (size_t i = 0; i < schema->key_count; i++) {
        const struct field *f = &schema->fields[schema->key_fields[i]];
        json_array_append_new(fields, column(f, connect_key_parameters(f)));
    }
    if (schema->shared_id != NULL)
        json_array_append_new(fields, json_pack("{s:s, s:b, s:s}", "type", "string", "optional", false,
                                                "field", SHARED_ID_FIELD));
    return connect_dump(structure(schema->name_space, "Key", false, fields));
}

static char *value_text(const struct table_schema *schema)
{
    json_t *fields = json_array();
    json_array_append_new(fields, image(schema, "before"));
    json_array_append_new(fields, image(schema, "after"));
    json_t *tail = json_loads(schema->mariadb ? tail_fields_mariadb : tail_fields, 0, NULL);
    BUG_UNLESS(tail != NULL);
    json_array_extend(fields, tail);
    json_decref(tail);
    json_t *envelope = structure(schema->name_space, "Envelope", false, fields);
    json_object_set_new(envelope, "version", json_integer(2));
    return connect_dump(envelope);
}

bool json_schema_texts(const struct table_schema *schema, char **ret_key_json, char **ret_value_json,
                       struct err *err)
{
    if (!connect_check(schema, err))
        return false;
    *ret_key_json = schema->key_count != 0 ? key_text(schema) : NULL;
    *ret_value_json = value_text(schema);
    return true;
}

/* --- reading --- */

static const json_t *find_field(const json_t *structure_schema, const char *name)
{
    const json_t *fields = json_object_get(structure_schema, "fields"), *field;
    size_t i;
    json_array_foreach(fields, i, field)
    {
        const char *at = json_string_value(json_object_get(field, "field"));
        if (at != NULL && strcmp(at, name) == 0)
            return field;
    }
    return NULL;
}

static enum phys phys_of(const char *type)
{
    for (int i = PHYS_UNKNOWN + 1; type != NULL && i < PHYS_MAX_; i++) {
        if (strcmp(type_names[i], type) == 0)
            return (enum phys)i;
    }
    return PHYS_UNKNOWN;
}

/* Is it one of the structs that have a name here, or a map of texts? Others cannot be read. */
static bool is_known(enum phys phys, const json_t *value)
{
    const struct nested_struct *shape = nested_struct_find(json_string_value(json_object_get(value, "name")));
    if (phys == PHYS_MAP) {
        const char *keys = json_string_value(json_object_get(json_object_get(value, "keys"), "type"));
        const char *values = json_string_value(json_object_get(json_object_get(value, "values"), "type"));
        return keys != NULL && values != NULL && strcmp(keys, "string") == 0 && strcmp(values, "string") == 0;
    }
    return phys != PHYS_STRUCT ||
           (shape != NULL && json_array_size(json_object_get(value, "fields")) == shape->count);
}

static bool add_column(struct table_draft *draft, const json_t *json, struct err *err)
{
    const char *type = json_string_value(json_object_get(json, "type"));
    struct draft_column col = {.wire_name = json_string_value(json_object_get(json, "field")),
                               .phys = phys_of(type),
                               .optional = json_is_true(json_object_get(json, "optional")),
                               .params = json_object_get(json, "parameters")};
    if (col.wire_name == NULL || type == NULL)
        return err_set(err, ERR_PROTOCOL, "schema: column %zu has no name or no type", draft->count + 1);
    const json_t *value = col.phys == PHYS_ARRAY ? json_object_get(json, "items") : json;
    if (col.phys == PHYS_ARRAY) {
        col.elem = phys_of(json_string_value(json_object_get(value, "type")));
        col.elem_required = !json_is_true(json_object_get(value, "optional"));
    }
    enum phys phys = col.phys == PHYS_ARRAY ? col.elem : col.phys;
    if (phys == PHYS_UNKNOWN || (col.phys == PHYS_ARRAY && phys == PHYS_ARRAY) || !is_known(phys, value))
        return err_set(err, ERR_UNSUPPORTED, "schema: column \"%s\" has type %.40s, which is not read yet",
                       col.wire_name, type);
    col.semantic = json_string_value(json_object_get(value, "name"));
    col.value_params = json_object_get(value, "parameters");
    return table_draft_add(draft, &col, err);
}

static struct json_plan *make_plan(const json_t *fields)
{
    struct json_plan *plan = xcalloc(1, sizeof *plan);
    plan->columns = xcalloc(json_array_size(fields) + 1, sizeof *plan->columns);
    for (; plan->count < json_array_size(fields); plan->count++) {
        const json_t *col = json_array_get(fields, plan->count);
        char *name = xstrdup(json_string_value(json_object_get(col, "field")));
        plan->columns[plan->count] = (struct json_column){.name = name, .name_len = strlen(name)};
    }
    return plan;
}

/* "<namespace>.Envelope" without its end. */
static char *namespace_of(const json_t *root)
{
    const char *name = json_string_value(json_object_get(root, "name"));
    const char *dot = name != NULL ? strrchr(name, '.') : NULL;
    return dot != NULL ? xstrndup(name, (size_t)(dot - name)) : xstrdup("");
}

static bool make_table(const char *topic, const json_t *root, const json_t *row, struct table_schema **ret,
                       struct err *err)
{
    const json_t *fields = json_object_get(row, "fields"), *col;
    struct table_draft draft;
    size_t i;
    if (!table_draft_init(&draft, json_array_size(fields), err))
        return false;
    json_array_foreach(fields, i, col)
    {
        if (!add_column(&draft, col, err)) {
            table_draft_release(&draft);
            return false;
        }
    }
    CLEANUP(free_ptr) char *name_space = namespace_of(root);
    bool ok = table_draft_finish(&draft, topic, name_space, json_object_get(row, "parameters"), ret, err);
    table_draft_release(&draft);
    return ok;
}

bool json_shape_parse(const char *topic, const char *schema_json, struct shape *ret, struct err *err)
{
    json_error_t why;
    /* Debezium's column defaults may hold U+0000. */
    json_auto_t *root = json_loads(schema_json, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    if (root == NULL)
        return err_set(err, ERR_PROTOCOL, "schema is no JSON: line %d: %s", why.line, why.text);
    const json_t *row = find_field(root, "before");
    if (row == NULL || !json_is_array(json_object_get(row, "fields")) || find_field(root, "source") == NULL)
        return err_set(err, ERR_PROTOCOL, "schema is no Debezium envelope (before, source)");
    if (!make_table(topic, root, row, &ret->table, err))
        return false;
    ret->plan = make_plan(json_object_get(row, "fields"));
    ret->has_hints = find_field(root, HINTS_FIELD) != NULL;
    return true;
}

void json_plan_free(void *plan)
{
    struct json_plan *p = plan;
    for (size_t i = 0; i < p->count; i++)
        free(p->columns[i].name);
    free(p->columns);
    free(p);
}
