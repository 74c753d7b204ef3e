/* Owns: Connect parameters of columns and tables, made and read. See connect.h. */
#include "change/connect.h"

#include <stdlib.h>
#include <string.h>

#include "change/foreign_table.h"
#include "core/alloc.h"
#include "core/utf8.h"

static void set_text(json_t *object, const char *name, const char *value)
{
    if (json_object_set_new(object, name, json_string(value)) != 0)
        BUG("parameter %s is not UTF-8", name); /* connect_check() was not asked */
}

static void set_number(json_t *object, const char *name, int64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%lld", (long long)value);
    set_text(object, name, text);
}

/* Connect's logical types carry parameters of their own, without which its readers refuse them. */
static void set_semantic_parameters(json_t *params, const struct field *field)
{
    if (field->semantic == NULL)
        return;
    if (strcmp(field->semantic, SEMANTIC_DECIMAL) == 0) {
        set_number(params, "scale", field->decimal_scale);
        if (field->decimal_precision > 0)
            set_number(params, "connect.decimal.precision", field->decimal_precision);
    } else if (strcmp(field->semantic, SEMANTIC_BITS) == 0) {
        set_number(params, "length", field->bits_length > 0 ? field->bits_length : INT32_MAX);
    } else if (strcmp(field->semantic, SEMANTIC_ENUM) == 0 && field->allowed != NULL) {
        set_text(params, "allowed", field->allowed);
    }
}

static bool check_text(const char *what, const char *text, struct err *err)
{
    if (text == NULL || utf8_valid(text, strlen(text)))
        return true;
    return err_set(err, ERR_DATA, "%s is not valid UTF-8: the server's encoding must be UTF8", what);
}

bool connect_check(const struct table_schema *schema, struct err *err)
{
    if (!check_text("topic", schema->topic, err) || !check_text("schema name", schema->schema, err) ||
        !check_text("table name", schema->table, err))
        return false;
    if (schema->field_count > COLUMNS_MAX)
        return err_set(err, ERR_UNSUPPORTED, "table=%s.%s: %zu columns, more than %d", schema->schema,
                       schema->table, schema->field_count, COLUMNS_MAX);
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct field *f = &schema->fields[i];
        if (f->phys <= PHYS_UNKNOWN || f->phys >= PHYS_MAX_)
            return err_set(err, ERR_BUG, "table=%s.%s column=%s: no physical type", schema->schema,
                           schema->table, f->name);
        if (!check_text("column name", f->name, err) || !check_text("semantic type", f->semantic, err) ||
            !check_text("type name", f->source_type, err) || !check_text("enum label", f->allowed, err))
            return err_wrap(err, "table=%s.%s column %zu", schema->schema, schema->table, i + 1);
    }
    for (size_t i = 0; i < schema->key_count; i++) {
        if (schema->key_fields[i] >= schema->field_count)
            return err_set(err, ERR_BUG, "table=%s.%s: key field %zu of %zu", schema->schema, schema->table,
                           schema->key_fields[i], schema->field_count);
    }
    return true;
}

static json_t *semantic_parameters(const struct field *field)
{
    json_t *params = json_object();
    set_semantic_parameters(params, field);
    if (json_object_size(params) != 0)
        return params;
    json_decref(params);
    return NULL;
}

json_t *connect_key_parameters(const struct field *field)
{
    return field->phys != PHYS_ARRAY ? semantic_parameters(field) : NULL;
}

json_t *connect_item_parameters(const struct field *field)
{
    return semantic_parameters(field);
}

json_t *connect_column_parameters(const struct field *field, size_t key_ordinal)
{
    json_t *params = json_object();
    if (field->phys != PHYS_ARRAY)
        set_semantic_parameters(params, field);
    if (field->source_type != NULL)
        set_text(params, PARAM_COLUMN_TYPE, field->source_type);
    if (field->source_length != -1)
        set_number(params, PARAM_COLUMN_LENGTH, field->source_length);
    if (field->source_scale != -1)
        set_number(params, PARAM_COLUMN_SCALE, field->source_scale);
    set_text(params, PARAM_COLUMN_NAME, field->name);
    if (field->source_typmod != 0)
        set_number(params, PARAM_TYPMOD, field->source_typmod);
    if (field->text_encoding != NULL)
        set_text(params, PARAM_ENCODING, field->text_encoding);
    if (field->lossy)
        set_text(params, PARAM_LOSSY, "true");
    if (key_ordinal != 0)
        set_number(params, PARAM_KEY, (int64_t)key_ordinal);
    return params;
}

json_t *connect_table_parameters(const struct table_schema *schema)
{
    json_t *params = json_object();
    set_text(params, PARAM_SCHEMA, schema->schema);
    set_text(params, PARAM_TABLE, schema->table);
    if (schema->mariadb)
        set_text(params, PARAM_SOURCE, SOURCE_MARIADB);
    if (schema->shared_id != NULL)
        set_text(params, PARAM_TOPIC, schema->topic);
    return params;
}

size_t connect_key_ordinal(const struct table_schema *schema, size_t index)
{
    for (size_t i = 0; i < schema->key_count; i++) {
        if (schema->key_fields[i] == index)
            return i + 1;
    }
    return 0;
}

static const char *param(const json_t *params, const char *name)
{
    return params != NULL ? json_string_value(json_object_get(params, name)) : NULL;
}

/* A decimal number that fits an int32; missing = fallback. */
static bool param_number(const json_t *params, const char *name, int32_t fallback, int32_t *ret,
                         struct err *err)
{
    const char *text = param(params, name);
    if (text == NULL) {
        *ret = fallback;
        return true;
    }
    char *end;
    long long value = strtoll(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value < INT32_MIN || value > INT32_MAX)
        return err_set(err, ERR_PROTOCOL, "schema: parameter %s is no number: \"%.40s\"", name, text);
    *ret = (int32_t)value;
    return true;
}

/* What a decimal, a bit string and an enum say of themselves. */
static bool semantic_sizes(const char *semantic, const json_t *params, struct field *f, struct err *err)
{
    if (semantic == NULL)
        return true;
    if (strcmp(semantic, SEMANTIC_DECIMAL) == 0)
        return param_number(params, "scale", 0, &f->decimal_scale, err) &&
               param_number(params, "connect.decimal.precision", 0, &f->decimal_precision, err);
    if (strcmp(semantic, SEMANTIC_ENUM) == 0 && param(params, "allowed") != NULL)
        f->allowed = xstrdup(param(params, "allowed"));
    return strcmp(semantic, SEMANTIC_BITS) != 0 || param_number(params, "length", 0, &f->bits_length, err);
}

bool table_draft_init(struct table_draft *draft, size_t count, struct err *err)
{
    if (count > COLUMNS_MAX)
        return err_set(err, ERR_PROTOCOL, "schema: %zu columns, more than %d", count, COLUMNS_MAX);
    *draft = (struct table_draft){.fields = xcalloc(count + 1, sizeof *draft->fields),
                                  .ordinals = xcalloc(count + 1, sizeof *draft->ordinals)};
    return true;
}

void table_draft_release(struct table_draft *draft)
{
    for (size_t i = 0; i < draft->count; i++) {
        free(draft->fields[i].name);
        free(draft->fields[i].semantic);
        free(draft->fields[i].source_type);
        free(draft->fields[i].allowed);
        free(draft->fields[i].text_encoding);
    }
    free(draft->fields);
    free(draft->ordinals);
    *draft = (struct table_draft){0};
}

static bool add_column(struct table_draft *draft, const struct draft_column *column, struct err *err)
{
    int32_t ordinal = 0;
    const json_t *params = column->params;
    struct field *f = &draft->fields[draft->count];
    const char *exact = param(params, PARAM_COLUMN_NAME), *type = param(params, PARAM_COLUMN_TYPE);
    const char *encoding = param(params, PARAM_ENCODING);
    *f = (struct field){
        .name = xstrdup(exact != NULL ? exact : column->wire_name),
        .phys = column->phys,
        .elem = column->elem,
        .elem_required = column->elem_required,
        .semantic = column->semantic != NULL ? xstrdup(column->semantic) : NULL,
        .optional = column->optional,
        .source_type = type != NULL ? xstrdup(type) : NULL,
        .text_encoding = encoding != NULL ? xstrdup(encoding) : NULL,
        .lossy = param(params, PARAM_LOSSY) != NULL,
    };
    draft->count++; /* released with the draft from here on */
    if (!param_number(params, PARAM_COLUMN_LENGTH, -1, &f->source_length, err) ||
        !param_number(params, PARAM_COLUMN_SCALE, -1, &f->source_scale, err) ||
        !param_number(params, PARAM_TYPMOD, 0, &f->source_typmod, err) ||
        !param_number(params, PARAM_KEY, 0, &ordinal, err) ||
        !semantic_sizes(column->semantic, column->value_params, f, err))
        return false;
    if (ordinal < 0)
        return err_set(err, ERR_PROTOCOL, "schema: %s is negative", PARAM_KEY);
    f->key = ordinal != 0;
    draft->ordinals[draft->count - 1] = (size_t)ordinal;
    return true;
}

bool table_draft_add(struct table_draft *draft, const struct draft_column *column, struct err *err)
{
    return add_column(draft, column, err) || err_wrap(err, "column \"%s\"", column->wire_name);
}

/* Key ordinals must be 1..n, each once. */
static bool collect_key(const struct table_draft *draft, size_t *ret_fields, size_t *ret_count,
                        struct err *err)
{
    size_t count = 0;
    for (size_t i = 0; i < draft->count; i++)
        count += draft->ordinals[i] != 0;
    for (size_t i = 0; i < count; i++)
        ret_fields[i] = SIZE_MAX;
    for (size_t i = 0; i < draft->count; i++) {
        size_t at = draft->ordinals[i];
        if (at == 0)
            continue;
        if (at > count || ret_fields[at - 1] != SIZE_MAX)
            return err_set(err, ERR_PROTOCOL, "schema: column \"%s\": key place %zu is wrong or taken",
                           draft->fields[i].name, at);
        ret_fields[at - 1] = i;
    }
    *ret_count = count;
    return true;
}

/* Names for schemas without our parameters (made by others): the topic's last two parts. */
static void names_from_topic(const char *topic, char **ret_schema, char **ret_table)
{
    const char *table = strrchr(topic, '.');
    const char *before = table;
    while (before != NULL && before > topic && before[-1] != '.')
        before--;
    *ret_table = xstrdup(table != NULL ? table + 1 : topic);
    *ret_schema = table != NULL ? xstrndup(before, (size_t)(table - before)) : xstrdup("");
}

bool table_draft_finish(struct table_draft *draft, const char *topic, const char *name_space,
                        const json_t *table_params, struct table_schema **ret, struct err *err)
{
    size_t key_count = 0, *key_fields = xcalloc(draft->count + 1, sizeof *key_fields);
    if (!collect_key(draft, key_fields, &key_count, err)) {
        free(key_fields);
        return false;
    }
    struct table_schema *schema = xcalloc(1, sizeof *schema);
    schema->topic = xstrdup(topic);
    schema->name_space = xstrdup(name_space);
    const char *exact_schema = param(table_params, PARAM_SCHEMA),
               *exact_table = param(table_params, PARAM_TABLE);
    if (exact_schema != NULL && exact_table != NULL) {
        schema->schema = xstrdup(exact_schema);
        schema->table = xstrdup(exact_table);
    } else {
        names_from_topic(topic, &schema->schema, &schema->table);
    }
    const char *shared = param(table_params, PARAM_TOPIC);
    if (shared != NULL && strcmp(shared, topic) == 0)
        schema->shared_id = xstrdup(name_space);
    const char *source = param(table_params, PARAM_SOURCE);
    schema->mariadb = schema->silent_cascades = source != NULL && strcmp(source, SOURCE_MARIADB) == 0;
    schema->fields = draft->fields;
    schema->field_count = draft->count;
    for (size_t i = 0; schema->mariadb && i < schema->field_count; i++)
        foreign_field_of_ours(&schema->fields[i]);
    schema->key_fields = key_fields;
    schema->key_count = key_count;
    free(draft->ordinals);
    *draft = (struct table_draft){0};
    *ret = schema;
    return true;
}

char *connect_dump(json_t *owned)
{
    char *text = json_dumps(owned, JSON_COMPACT);
    json_decref(owned);
    return text;
}
