/* Owns: what a column of MariaDB becomes. See shape.h. */
#include "maria/binlog/shape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "change/nested.h"
#include "core/alloc.h"

#define SIZE_OF_INET4   4
#define SIZE_OF_ADDRESS 16 /* INET6, UUID */

static bool fail_column(const struct table_map *map, const char *column, struct err *err)
{
    return err_wrap(err, "table=%.*s.%.*s: column %s", (int)map->database.len, map->database.p,
                    (int)map->table.len, map->table.p, column);
}

static bool is_bytes(const struct map_column *col)
{
    return column_is_text(col->kind) && col->collation == COLLATION_OF_BYTES;
}

bool shape_needs_catalog(const struct table_map *map)
{
    if (!map->has_names || !map->has_charsets)
        return !map->has_names; /* without texts there are no character sets to tell */
    for (size_t i = 0; i < map->count; i++) {
        const struct map_column *col = &map->columns[i];
        if (col->kind == COLUMN_STRING && is_bytes(col) &&
            (col->length == SIZE_OF_INET4 || col->length == SIZE_OF_ADDRESS))
            return true;
    }
    return false;
}

/* --- the catalog's types against the binlog's --- */

/* What the catalog calls a type, how it is stored, how it is read (UNKNOWN: by what the binlog says). */
static const struct type_name {
    const char *name;
    enum column_kind kind;
    uint32_t length; /* BLOB: bytes of its length; STRING: of a value; 0 = any */
    enum value_form form;
    uint8_t geometry;
} type_names[] = {
    {"tinyint", COLUMN_TINY, 0, VALUE_UNKNOWN, 0},
    {"smallint", COLUMN_SHORT, 0, VALUE_UNKNOWN, 0},
    {"mediumint", COLUMN_INT24, 0, VALUE_UNKNOWN, 0},
    {"int", COLUMN_LONG, 0, VALUE_UNKNOWN, 0},
    {"bigint", COLUMN_LONGLONG, 0, VALUE_UNKNOWN, 0},
    {"float", COLUMN_FLOAT, 0, VALUE_UNKNOWN, 0},
    {"double", COLUMN_DOUBLE, 0, VALUE_UNKNOWN, 0},
    {"decimal", COLUMN_DECIMAL, 0, VALUE_UNKNOWN, 0},
    {"bit", COLUMN_BIT, 0, VALUE_UNKNOWN, 0},
    {"year", COLUMN_YEAR, 0, VALUE_UNKNOWN, 0},
    {"date", COLUMN_DATE, 0, VALUE_UNKNOWN, 0},
    {"time", COLUMN_TIME2, 0, VALUE_UNKNOWN, 0},
    {"datetime", COLUMN_DATETIME2, 0, VALUE_UNKNOWN, 0},
    {"timestamp", COLUMN_TIMESTAMP2, 0, VALUE_UNKNOWN, 0},
    {"char", COLUMN_STRING, 0, VALUE_TEXT, 0},
    {"binary", COLUMN_STRING, 0, VALUE_FIXED_BYTES, 0},
    {"uuid", COLUMN_STRING, SIZE_OF_ADDRESS, VALUE_UUID, 0},
    {"inet6", COLUMN_STRING, SIZE_OF_ADDRESS, VALUE_INET6, 0},
    {"inet4", COLUMN_STRING, SIZE_OF_INET4, VALUE_INET4, 0},
    {"varchar", COLUMN_VARCHAR, 0, VALUE_TEXT, 0},
    {"varbinary", COLUMN_VARCHAR, 0, VALUE_BYTES, 0},
    {"tinytext", COLUMN_BLOB, 1, VALUE_TEXT, 0},
    {"text", COLUMN_BLOB, 2, VALUE_TEXT, 0},
    {"mediumtext", COLUMN_BLOB, 3, VALUE_TEXT, 0},
    {"longtext", COLUMN_BLOB, 4, VALUE_TEXT, 0},
    {"json", COLUMN_BLOB, 4, VALUE_TEXT, 0},
    {"tinyblob", COLUMN_BLOB, 1, VALUE_BYTES, 0},
    {"blob", COLUMN_BLOB, 2, VALUE_BYTES, 0},
    {"mediumblob", COLUMN_BLOB, 3, VALUE_BYTES, 0},
    {"longblob", COLUMN_BLOB, 4, VALUE_BYTES, 0},
    {"enum", COLUMN_ENUM, 0, VALUE_UNKNOWN, 0},
    {"set", COLUMN_SET, 0, VALUE_UNKNOWN, 0},
    {"geometry", COLUMN_GEOMETRY, 0, VALUE_UNKNOWN, 0},
    {"point", COLUMN_GEOMETRY, 0, VALUE_UNKNOWN, 1},
    {"linestring", COLUMN_GEOMETRY, 0, VALUE_UNKNOWN, 2},
    {"polygon", COLUMN_GEOMETRY, 0, VALUE_UNKNOWN, 3},
    {"multipoint", COLUMN_GEOMETRY, 0, VALUE_UNKNOWN, 4},
    {"multilinestring", COLUMN_GEOMETRY, 0, VALUE_UNKNOWN, 5},
    {"multipolygon", COLUMN_GEOMETRY, 0, VALUE_UNKNOWN, 6},
    {"geometrycollection", COLUMN_GEOMETRY, 0, VALUE_UNKNOWN, 7},
};

static const struct type_name *find_type(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(type_names); i++) {
        if (strcmp(type_names[i].name, name) == 0)
            return &type_names[i];
    }
    return NULL;
}

bool shape_column_of(const struct catalog_column *cat, struct map_column *ret, struct err *err)
{
    const struct type_name *type = find_type(cat->data_type);
    if (type == NULL)
        return err_set(err, ERR_UNSUPPORTED, "column %s: its type %s is not read", cat->name, cat->data_type);
    *ret = (struct map_column){.kind = type->kind,
                               .length = type->length > 0 ? type->length : (uint32_t)cat->octets,
                               .precision = (uint8_t)cat->precision,
                               .scale = (uint8_t)cat->scale,
                               .nullable = cat->nullable,
                               .geometry = type->geometry};
    return true;
}

static bool same_size(const struct map_column *col, const struct catalog_column *cat)
{
    if (col->kind == COLUMN_DECIMAL)
        return col->precision == cat->precision && col->scale == cat->scale;
    if (col->kind == COLUMN_TIME2 || col->kind == COLUMN_DATETIME2 || col->kind == COLUMN_TIMESTAMP2)
        return col->scale == cat->scale;
    if ((col->kind == COLUMN_VARCHAR || col->kind == COLUMN_STRING) && cat->octets > 0)
        return col->length == cat->octets;
    return col->kind != COLUMN_BIT || col->precision == cat->precision;
}

/* Whether the event's column can be the catalog's: as far as the event tells. */
static bool fits(const struct table_map *map, const struct map_column *col, const struct catalog_column *cat,
                 const struct type_name *type)
{
    enum column_kind kind = col->kind == COLUMN_VAR_STRING ? COLUMN_VARCHAR
                            : col->kind == COLUMN_NEWDATE  ? COLUMN_DATE
                                                           : col->kind;
    bool text = type->form == VALUE_TEXT;
    return type->kind == kind && (type->length == 0 || type->length == col->length) &&
           col->nullable == cat->nullable && same_size(col, cat) &&
           (!map->has_names ||
            (col->name.len == strlen(cat->name) && memcmp(col->name.p, cat->name, col->name.len) == 0)) &&
           (!map->has_charsets || !column_is_text(col->kind) || col->kind == COLUMN_GEOMETRY ||
            text == !is_bytes(col)) &&
           (!map->has_signs || !column_is_number(col->kind) || col->kind == COLUMN_YEAR ||
            col->is_unsigned == (strstr(cat->column_type, "unsigned") != NULL));
}

static bool check_fit(const struct table_map *map, const struct catalog_table *cat, struct err *err)
{
    bool same = map->count == cat->count;
    size_t i = 0;
    for (; same && i < map->count; i++) {
        const struct type_name *type = find_type(cat->columns[i].data_type);
        if (type == NULL) {
            (void)err_set(err, ERR_UNSUPPORTED, "its type %s is not read", cat->columns[i].data_type);
            return fail_column(map, cat->columns[i].name, err);
        }
        same = fits(map, &map->columns[i], &cat->columns[i], type);
    }
    if (same)
        return true;
    return err_set(
        err, ERR_SCHEMA,
        "table=%.*s.%.*s: the binlog's rows are of another definition than the table has now (%zu and %zu "
        "columns%s%s): it was altered since. Hint: set binlog_row_metadata=FULL on the source before tables "
        "are altered; the table has to be copied again",
        (int)map->database.len, map->database.p, (int)map->table.len, map->table.p, map->count, cat->count,
        map->count == cat->count ? ", column " : "",
        map->count == cat->count ? cat->columns[i - 1].name : "");
}

/* --- labels --- */

static void free_labels(char **labels, int count)
{
    for (int i = 0; i < count; i++)
        free(labels[i]);
    free(labels);
}

/* What the server escapes in them: '' and \\, \n, \r, \0. Behind the closing quote, or NULL. */
static const char *take_label(const char *p, char **ret)
{
    struct strbuf sb = STRBUF_INIT((size_t)1 << 20);
    if (*p++ != '\'')
        return NULL;
    while (*p != '\0' && (p[0] != '\'' || p[1] == '\'')) {
        bool escaped = *p == '\\' && p[1] != '\0', doubled = *p == '\'';
        char c = escaped || doubled ? p[1] : *p;
        p += escaped || doubled ? 2 : 1;
        strbuf_addc(&sb, escaped && c == 'n' ? '\n' : escaped && c == 'r' ? '\r' : c);
    }
    if (*p != '\'' || sb.failed) {
        strbuf_release(&sb);
        return NULL;
    }
    *ret = strbuf_detach(&sb);
    return p + 1;
}

int shape_parse_labels(const char *column_type, char ***ret)
{
    const char *p = strchr(column_type, '(');
    char **labels = NULL;
    int count = 0;
    while (p != NULL && (*p == '(' || *p == ',') && count < 65535) {
        labels = xrealloc(labels, ((size_t)count + 1) * sizeof *labels);
        p = take_label(p + 1, &labels[count]);
        count += p != NULL;
    }
    if (p == NULL || *p != ')') {
        free_labels(labels, count);
        return -1;
    }
    *ret = labels;
    return count;
}

static void set_label(struct value_label *to, const char *text, size_t len)
{
    *to = (struct value_label){.p = xstrndup(text, len), .len = (uint32_t)len};
}

static bool labels_of_map(const struct map_column *col, struct charset *cs, struct value_plan *plan,
                          struct err *err)
{
    struct strbuf text = STRBUF_INIT((size_t)1 << 20);
    bool ok = true;
    plan->labels = xcalloc(col->labels.count + 1, sizeof *plan->labels);
    for (size_t i = 0; ok && i < col->labels.count; i++) {
        strbuf_clear(&text);
        ok = charset_add_utf8(cs, col->labels.items[i].p, col->labels.items[i].len, &text, err);
        if (ok)
            set_label(&plan->labels[plan->label_count++], text.data, text.len);
    }
    strbuf_release(&text);
    return ok;
}

static bool labels_of_catalog(const struct catalog_column *cat, struct value_plan *plan, struct err *err)
{
    char **labels = NULL;
    int count = shape_parse_labels(cat->column_type, &labels);
    if (count < 0)
        return err_set(err, ERR_PROTOCOL, "the server describes its labels in a form that is not known");
    plan->labels = xcalloc((size_t)count + 1, sizeof *plan->labels);
    for (int i = 0; i < count; i++)
        set_label(&plan->labels[plan->label_count++], labels[i], strlen(labels[i]));
    free_labels(labels, count);
    return true;
}

/* As Debezium writes them: commas between, and a backslash before one inside of a label. */
static char *allowed_text(const struct value_plan *plan)
{
    struct strbuf sb = STRBUF_INIT((size_t)16 << 20);
    for (size_t i = 0; i < plan->label_count; i++) {
        strbuf_adds(&sb, i > 0 ? "," : "");
        for (size_t k = 0; k < plan->labels[i].len; k++) {
            strbuf_adds(&sb, plan->labels[i].p[k] == ',' ? "\\" : "");
            strbuf_addc(&sb, plan->labels[i].p[k]);
        }
    }
    return strbuf_detach(&sb);
}

/* --- forms --- */

static enum value_form text_form(const struct map_column *col, const struct charset *cs)
{
    if (cs->way != CHARSET_BYTES)
        return VALUE_TEXT;
    return col->kind == COLUMN_STRING ? VALUE_FIXED_BYTES : VALUE_BYTES;
}

static enum value_form form_of(const struct map_column *col, const struct charset *cs)
{
    switch (col->kind) {
    case COLUMN_LONGLONG:
        return col->is_unsigned ? VALUE_UINT64 : VALUE_INT;
    case COLUMN_FLOAT:
        return VALUE_FLOAT;
    case COLUMN_DOUBLE:
        return VALUE_DOUBLE;
    case COLUMN_DECIMAL:
        return VALUE_DECIMAL;
    case COLUMN_BIT:
        return col->precision == 1 ? VALUE_BOOL : VALUE_BITS;
    case COLUMN_YEAR:
        return VALUE_YEAR;
    case COLUMN_DATE:
    case COLUMN_NEWDATE:
        return VALUE_DATE;
    case COLUMN_TIME2:
        return VALUE_TIME;
    case COLUMN_DATETIME2:
        return col->scale <= 3 ? VALUE_DATETIME_MS : VALUE_DATETIME_US;
    case COLUMN_TIMESTAMP2:
        return VALUE_TIMESTAMP;
    case COLUMN_ENUM:
        return VALUE_ENUM;
    case COLUMN_SET:
        return VALUE_SET;
    case COLUMN_GEOMETRY:
        return col->geometry == 1 ? VALUE_POINT : VALUE_GEOMETRY;
    case COLUMN_STRING:
    case COLUMN_VARCHAR:
    case COLUMN_VAR_STRING:
    case COLUMN_BLOB:
        return text_form(col, cs);
    default:
        return VALUE_INT;
    }
}

static enum phys int_phys(const struct map_column *col)
{
    bool u = col->is_unsigned;
    return col->kind == COLUMN_TINY || (col->kind == COLUMN_SHORT && !u)     ? PHYS_INT16
           : col->kind == COLUMN_LONGLONG || (col->kind == COLUMN_LONG && u) ? PHYS_INT64
                                                                             : PHYS_INT32;
}

/* What each form is in the journal. */
static const struct {
    enum phys phys;
    const char *semantic;
} journal_forms[] = {
    [VALUE_INT] = {PHYS_INT32, NULL},
    [VALUE_UINT64] = {PHYS_BYTES, SEMANTIC_DECIMAL},
    [VALUE_FLOAT] = {PHYS_FLOAT32, NULL},
    [VALUE_DOUBLE] = {PHYS_FLOAT64, NULL},
    [VALUE_DECIMAL] = {PHYS_BYTES, SEMANTIC_DECIMAL},
    [VALUE_BOOL] = {PHYS_BOOL, NULL},
    [VALUE_BITS] = {PHYS_BYTES, "io.debezium.data.Bits"},
    [VALUE_TEXT] = {PHYS_STRING, NULL},
    [VALUE_BYTES] = {PHYS_BYTES, NULL},
    [VALUE_FIXED_BYTES] = {PHYS_BYTES, NULL},
    [VALUE_UUID] = {PHYS_STRING, "io.debezium.data.Uuid"},
    [VALUE_INET4] = {PHYS_STRING, NULL},
    [VALUE_INET6] = {PHYS_STRING, NULL},
    [VALUE_ENUM] = {PHYS_STRING, "io.debezium.data.Enum"},
    [VALUE_SET] = {PHYS_STRING, "io.debezium.data.EnumSet"},
    [VALUE_YEAR] = {PHYS_INT32, "io.debezium.time.Year"},
    [VALUE_DATE] = {PHYS_INT32, "io.debezium.time.Date"},
    [VALUE_TIME] = {PHYS_INT64, "io.debezium.time.MicroTime"},
    [VALUE_DATETIME_MS] = {PHYS_INT64, "io.debezium.time.Timestamp"},
    [VALUE_DATETIME_US] = {PHYS_INT64, "io.debezium.time.MicroTimestamp"},
    [VALUE_TIMESTAMP] = {PHYS_STRING, "io.debezium.time.ZonedTimestamp"},
    [VALUE_POINT] = {PHYS_STRUCT, SEMANTIC_POINT},
    [VALUE_GEOMETRY] = {PHYS_STRUCT, SEMANTIC_GEOMETRY},
};

/* As Debezium's column.propagate.source.type has it. */
static const char *source_type(const struct value_plan *plan)
{
    static const char *const texts[] = {"", "TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT"};
    static const char *const blobs[] = {"", "TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB"};
    static const char *const shapes[] = {
        "GEOMETRY",   "POINT",           "LINESTRING",   "POLYGON",
        "MULTIPOINT", "MULTILINESTRING", "MULTIPOLYGON", "GEOMETRYCOLLECTION"};
    const struct map_column *col = &plan->col;
    if (column_is_number(col->kind) && col->is_unsigned)
        return col->kind == COLUMN_TINY      ? "TINYINT UNSIGNED"
               : col->kind == COLUMN_SHORT   ? "SMALLINT UNSIGNED"
               : col->kind == COLUMN_INT24   ? "MEDIUMINT UNSIGNED"
               : col->kind == COLUMN_LONG    ? "INT UNSIGNED"
               : col->kind == COLUMN_FLOAT   ? "FLOAT UNSIGNED"
               : col->kind == COLUMN_DOUBLE  ? "DOUBLE UNSIGNED"
               : col->kind == COLUMN_YEAR    ? "YEAR"
               : col->kind == COLUMN_DECIMAL ? "DECIMAL UNSIGNED"
                                             : "BIGINT UNSIGNED";
    if (plan->form == VALUE_UUID || plan->form == VALUE_INET4 || plan->form == VALUE_INET6)
        return plan->form == VALUE_UUID ? "UUID" : plan->form == VALUE_INET4 ? "INET4" : "INET6";
    if (col->kind == COLUMN_BLOB)
        return plan->form == VALUE_TEXT ? texts[col->length] : blobs[col->length];
    if (col->kind == COLUMN_GEOMETRY)
        return shapes[col->geometry < ARRAY_LEN(shapes) ? col->geometry : 0];
    if (plan->form == VALUE_TEXT)
        return col->kind == COLUMN_STRING ? "CHAR" : "VARCHAR";
    if (plan->form == VALUE_BYTES || plan->form == VALUE_FIXED_BYTES)
        return col->kind == COLUMN_STRING ? "BINARY" : "VARBINARY";
    static const char *const names[] = {
        [COLUMN_TINY] = "TINYINT",       [COLUMN_SHORT] = "SMALLINT", [COLUMN_LONG] = "INT",
        [COLUMN_FLOAT] = "FLOAT",        [COLUMN_DOUBLE] = "DOUBLE",  [COLUMN_LONGLONG] = "BIGINT",
        [COLUMN_INT24] = "MEDIUMINT",    [COLUMN_DATE] = "DATE",      [COLUMN_YEAR] = "YEAR",
        [COLUMN_NEWDATE] = "DATE",       [COLUMN_BIT] = "BIT",        [COLUMN_TIMESTAMP2] = "TIMESTAMP",
        [COLUMN_DATETIME2] = "DATETIME", [COLUMN_TIME2] = "TIME",     [COLUMN_DECIMAL] = "DECIMAL",
        [COLUMN_ENUM] = "ENUM",          [COLUMN_SET] = "SET"};
    return (size_t)col->kind < ARRAY_LEN(names) && names[col->kind] != NULL ? names[col->kind] : "";
}

static int32_t source_length(const struct value_plan *plan)
{
    const struct map_column *col = &plan->col;
    switch (plan->form) {
    case VALUE_TEXT:
        return col->kind != COLUMN_BLOB ? (int32_t)(col->length / plan->charset->max_bytes) : -1;
    case VALUE_BYTES:
    case VALUE_FIXED_BYTES:
        return col->kind != COLUMN_BLOB ? (int32_t)col->length : -1;
    case VALUE_DECIMAL:
    case VALUE_BOOL:
    case VALUE_BITS:
        return col->precision;
    case VALUE_TIME:
    case VALUE_DATETIME_MS:
    case VALUE_DATETIME_US:
    case VALUE_TIMESTAMP:
        return col->scale > 0 ? col->scale : -1;
    default:
        return -1;
    }
}

static void describe(const struct value_plan *plan, char *name, bool key, struct field *f)
{
    const struct map_column *col = &plan->col;
    const char *semantic = journal_forms[plan->form].semantic;
    bool labels = plan->form == VALUE_ENUM || plan->form == VALUE_SET;
    *f = (struct field){
        .name = name,
        .phys = plan->form == VALUE_INT ? int_phys(col) : journal_forms[plan->form].phys,
        .semantic = semantic != NULL ? xstrdup(semantic) : NULL,
        .optional = col->nullable,
        .key = key,
        .source_type = xstrdup(source_type(plan)),
        .source_length = source_length(plan),
        .source_scale = plan->form == VALUE_DECIMAL ? col->scale : -1,
        .decimal_scale = plan->form == VALUE_DECIMAL ? col->scale : 0,
        .decimal_precision = plan->form == VALUE_DECIMAL  ? col->precision
                             : plan->form == VALUE_UINT64 ? 20
                                                          : 0,
        .bits_length = plan->form == VALUE_BITS ? col->precision : 0,
        .foreign = true,
        .labels_escaped = labels,
        .allowed = labels ? allowed_text(plan) : NULL,
    };
}

/* --- one column --- */

static bool find_charset(const struct table_map *map, const struct map_column *col,
                         const struct catalog_column *cat, struct charsets *sets, struct charset **ret,
                         struct err *err)
{
    bool labels = col->kind == COLUMN_ENUM || col->kind == COLUMN_SET;
    if ((!column_is_text(col->kind) && !labels) || col->kind == COLUMN_GEOMETRY)
        return true;
    if (labels ? map->has_names : map->has_charsets)
        return charsets_by_collation(sets, col->collation, ret, err);
    if (cat != NULL && cat->charset != NULL)
        return charsets_by_name(sets, cat->charset, ret, err);
    return charsets_by_collation(sets, COLLATION_OF_BYTES, ret, err);
}

static bool make_plan(const struct table_map *map, const struct map_column *col,
                      const struct catalog_column *cat, struct charsets *sets, struct value_plan *plan,
                      struct err *err)
{
    const struct type_name *type = cat != NULL ? find_type(cat->data_type) : NULL;
    plan->col = *col;
    if (cat != NULL && !map->has_signs)
        plan->col.is_unsigned = strstr(cat->column_type, "unsigned") != NULL;
    if (type != NULL && type->geometry != 0)
        plan->col.geometry = type->geometry;
    if (!find_charset(map, col, cat, sets, &plan->charset, err))
        return false;
    plan->form =
        type != NULL && type->form != VALUE_UNKNOWN ? type->form : form_of(&plan->col, plan->charset);
    if (plan->form == VALUE_TEXT && (plan->charset == NULL || plan->charset->way == CHARSET_REFUSED))
        return charset_add_utf8(plan->charset, "", 0, &(struct strbuf)STRBUF_INIT(1), err);
    if (plan->form != VALUE_ENUM && plan->form != VALUE_SET)
        return true;
    return map->has_names || cat == NULL ? labels_of_map(col, plan->charset, plan, err)
                                         : labels_of_catalog(cat, plan, err);
}

static bool column_name(const struct map_column *col, const struct catalog_column *cat, char **ret,
                        struct err *err)
{
    if (col->name.p == NULL && cat == NULL)
        return err_set(err, ERR_SCHEMA, "a column without a name. Hint: set binlog_row_metadata=FULL");
    if (col->name.p != NULL && !charset_check_utf8(col->name.p, col->name.len, err))
        return false;
    *ret = col->name.p != NULL ? xstrndup(col->name.p, col->name.len) : xstrdup(cat->name);
    return true;
}

/* --- all of it --- */

static void make_key(const struct table_map *map, const struct catalog_table *cat,
                     struct table_schema *schema)
{
    schema->key_fields = xcalloc(map->count, sizeof *schema->key_fields);
    if (map->has_names) {
        for (size_t i = 0; i < map->key_count && !map->key_prefix; i++)
            schema->key_fields[schema->key_count++] = map->key[i];
    } else if (cat != NULL && !cat->key_prefix) {
        for (unsigned place = 1; place <= cat->count; place++) {
            for (size_t i = 0; i < cat->count; i++) {
                if (cat->columns[i].key == place)
                    schema->key_fields[schema->key_count++] = i;
            }
        }
    }
    for (size_t i = 0; i < schema->key_count; i++)
        schema->fields[schema->key_fields[i]].key = true;
}

static bool make_names(const struct table_map *map, const struct shape_options *options,
                       struct table_schema *schema, struct err *err)
{
    if (!charset_check_utf8(map->database.p, map->database.len, err) ||
        !charset_check_utf8(map->table.p, map->table.len, err))
        return false;
    schema->schema = xstrndup(map->database.p, map->database.len);
    schema->table = xstrndup(map->table.p, map->table.len);
    schema->topic = topic_name(options->topic_prefix, schema->schema, schema->table);
    schema->name_space = topic_name_space(schema->topic);
    schema->silent_cascades = true;
    return true;
}

static bool make_columns(const struct table_map *map, const struct catalog_table *cat, struct charsets *sets,
                         const struct shape_options *options, struct shape *shape, struct err *err)
{
    for (size_t i = 0; i < map->count; i++) {
        const struct catalog_column *of_cat = cat != NULL ? &cat->columns[i] : NULL;
        struct value_plan *plan = &shape->plans[i];
        char *name = NULL;
        if (!column_name(&map->columns[i], of_cat, &name, err))
            return fail_column(map, "(number by place)", err);
        bool ok = make_plan(map, &map->columns[i], of_cat, sets, plan, err);
        plan->zero_date_null = options->zero_date_null;
        if (!ok) {
            (void)fail_column(map, name, err);
            free(name);
            return false;
        }
        describe(plan, name, false, &shape->schema->fields[i]);
        shape->schema->field_count = i + 1;
    }
    return true;
}

bool shape_make(const struct table_map *map, const struct catalog_table *cat, struct charsets *sets,
                const struct shape_options *options, struct shape *ret, struct err *err)
{
    if (cat != NULL && !check_fit(map, cat, err))
        return false;
    struct shape shape = {.schema = xcalloc(1, sizeof *shape.schema),
                          .plans = xcalloc(map->count, sizeof *shape.plans)};
    shape.schema->fields = xcalloc(map->count, sizeof *shape.schema->fields);
    if (!make_names(map, options, shape.schema, err) || !make_columns(map, cat, sets, options, &shape, err)) {
        shape.schema->field_count = map->count; /* plans of all are released */
        shape_release(&shape, false);
        return false;
    }
    make_key(map, cat, shape.schema);
    *ret = shape;
    return true;
}

void shape_release(struct shape *shape, bool keep_schema)
{
    for (size_t i = 0; shape->schema != NULL && i < shape->schema->field_count; i++) {
        for (size_t k = 0; k < shape->plans[i].label_count; k++)
            free((char *)(uintptr_t)shape->plans[i].labels[k].p);
        free(shape->plans[i].labels);
    }
    free(shape->plans);
    if (!keep_schema)
        table_schema_free(shape->schema);
    *shape = (struct shape){0};
}
