/* Owns: does every field of the source have a column of the target table, and fit into it? See prepare.h. */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "maria/names.h"
#include "prepare.h"

/* What makes the target fit. */
static bool hint(const struct md_table *tab, const char *verb, const char *column, const char *rest,
                 struct err *err)
{
    struct strbuf name = STRBUF_INIT(4096);
    struct err what = *err;
    maria_quote_ident(&name, column);
    err_set(err, what.code,
            "%s. Hint: on the target ALTER TABLE %s %s %s%s, then start apply again: nothing was skipped",
            what.text, tab->name, verb, name.data, rest);
    strbuf_release(&name);
    return false;
}

/* The type that holds the most of what the source's column may have. */
static const char *suggested_type(const struct field *f)
{
    static const struct {
        const char *source, *type;
    } types[] = {{"BOOL", " tinyint(1)"},
                 {"INT2", " smallint"},
                 {"INT4", " int"},
                 {"INT8", " bigint"},
                 {"FLOAT4", " float"},
                 {"FLOAT8", " double"},
                 {"BYTEA", " longblob"},
                 {"DATE", " date"},
                 {"TIME", " time(6)"},
                 {"TIMESTAMP", " datetime(6)"},
                 {"TIMESTAMPTZ", " datetime(6)"},
                 {"UUID", " uuid"},
                 {"JSON", " json"},
                 {"JSONB", " json"}};
    for (size_t i = 0; f->source_type != NULL && i < ARRAY_LEN(types); i++) {
        if (strcmp(f->source_type, types[i].source) == 0)
            return types[i].type;
    }
    return f->source_type != NULL && f->source_type[0] == '_' ? " json" : " longtext";
}

enum {
    C_NAME = 1, /* behind the table's number */
    C_DATA,
    C_TYPE,
    C_NULLABLE,
    C_DEFAULT,
    C_CHARS,
    C_BYTES,
    C_PRECISION,
    C_SCALE,
    C_DIGITS,
    C_CHARSET,
    C_COLLATION,
    C_EXTRA,
    C_GENERATED
};

static const struct md_question columns_question = {
    "COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, CHARACTER_MAXIMUM_LENGTH, "
    "CHARACTER_OCTET_LENGTH, NUMERIC_PRECISION, NUMERIC_SCALE, DATETIME_PRECISION, CHARACTER_SET_NAME, "
    "COLLATION_NAME, EXTRA, IS_GENERATED, ORDINAL_POSITION FROM information_schema.COLUMNS",
    "TABLE_SCHEMA", "TABLE_NAME", "", ", 16"};

/* A column of type json is text with a check of its own name. */
static bool find_json(struct md_target *mt, const struct md_part *part, struct err *err)
{
    static const struct md_question q = {"CONSTRAINT_NAME FROM information_schema.CHECK_CONSTRAINTS",
                                         "CONSTRAINT_SCHEMA", "TABLE_NAME",
                                         " AND LEVEL = 'Column' AND CHECK_CLAUSE LIKE 'json_valid(%'", ""};
    MD_ROWS rows = {0};
    if (!md_query_catalog(mt, part, &q, &rows, err))
        return false;
    while (md_next(&rows)) {
        size_t n = md_part_number(part, &rows);
        int field = table_schema_find(part->tabs[n]->base.schema, rows.cell[1]);
        if (field >= 0)
            part->json[part->first[n] + (size_t)field] = true;
    }
    return true;
}

enum md_type md_type_named(const char *name)
{
    static const struct {
        const char *name;
        enum md_type type;
    } types[] = {{"tinyint", MD_TINYINT},   {"smallint", MD_SMALLINT},   {"mediumint", MD_MEDIUMINT},
                 {"int", MD_INT},           {"bigint", MD_BIGINT},       {"decimal", MD_DECIMAL},
                 {"float", MD_FLOAT},       {"double", MD_DOUBLE},       {"bit", MD_BIT},
                 {"char", MD_CHAR},         {"varchar", MD_VARCHAR},     {"tinytext", MD_TEXT},
                 {"text", MD_TEXT},         {"mediumtext", MD_TEXT},     {"longtext", MD_TEXT},
                 {"enum", MD_ENUM},         {"binary", MD_BINARY},       {"varbinary", MD_VARBINARY},
                 {"tinyblob", MD_BLOB},     {"blob", MD_BLOB},           {"mediumblob", MD_BLOB},
                 {"longblob", MD_BLOB},     {"date", MD_DATE},           {"time", MD_TIME},
                 {"datetime", MD_DATETIME}, {"timestamp", MD_TIMESTAMP}, {"uuid", MD_UUID},
                 {"inet4", MD_INET4},       {"inet6", MD_INET6}};
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (strcmp(types[i].name, name) == 0)
            return types[i].type;
    }
    return MD_TYPE_UNKNOWN;
}

/* enum('a','it''s') */
static void read_labels(struct md_column *col)
{
    const char *p = strchr(col->type_text, '(');
    while (p != NULL && (p = strchr(p, '\'')) != NULL) {
        struct strbuf label = STRBUF_INIT(1 << 20);
        for (p++; *p != '\0' && (*p != '\'' || p[1] == '\''); p++) {
            p += *p == '\'';
            strbuf_addc(&label, *p);
        }
        col->labels = xrealloc(col->labels, (col->label_count + 1) * sizeof *col->labels);
        col->labels[col->label_count++] = strbuf_detach(&label);
        p += *p != '\0';
    }
}

static int64_t number(const char *cell, int64_t otherwise)
{
    return cell != NULL ? strtoll(cell, NULL, 10) : otherwise;
}

static void describe(struct md_column *col, char **cell, bool json)
{
    const char *collation = cell[C_COLLATION] != NULL ? cell[C_COLLATION] : "";
    size_t len = strlen(collation);
    col->type = md_type_named(cell[C_DATA]);
    col->type_text = xstrdup(cell[C_TYPE]);
    col->nullable = strcmp(cell[C_NULLABLE], "YES") == 0;
    col->is_unsigned = strstr(cell[C_TYPE], " unsigned") != NULL;
    col->json = col->type == MD_TEXT && json;
    col->utf8mb4 = cell[C_CHARSET] != NULL && strcmp(cell[C_CHARSET], "utf8mb4") == 0;
    col->exact_order = len >= 4 && strcmp(collation + len - 4, "_bin") == 0;
    col->pads = strstr(collation, "_nopad_") == NULL;
    col->max_chars = number(cell[C_CHARS], INT64_MAX);
    col->max_bytes = number(cell[C_BYTES], INT64_MAX);
    col->precision = (int)number(cell[C_PRECISION], 0);
    col->scale = (int)number(cell[C_SCALE], 0);
    col->digits = (int)number(cell[C_DIGITS] != NULL ? cell[C_DIGITS] : cell[C_SCALE], 0);
    if (col->type == MD_ENUM)
        read_labels(col);
}

static bool add_column(struct md_target *mt, struct md_table *tab, size_t field, char **cell, bool json,
                       struct err *err)
{
    const struct table_schema *schema = tab->base.schema;
    struct md_column *col = &tab->columns[tab->column_count++];
    *col = (struct md_column){.field = &schema->fields[field], .index = field};
    for (size_t i = 0; i < schema->key_count; i++)
        col->key = col->key || schema->key_fields[i] == field;
    describe(col, cell, json);
    col->latest = col->type == MD_TIMESTAMP ? mt->latest : NULL;
    col->unfit = target_unfit_of(&mt->unfit, schema->schema, schema->table, col->field->name);
    if (md_plan(mt, col, err))
        return true;
    md_table_err(tab, err);
    return err->code == ERR_SCHEMA && hint(tab, "MODIFY", col->field->name, suggested_type(col->field), err);
}

/* One column of the target: into the table, unless the server computes it; or is it one that the source lacks and that must be
 * given? */
static bool take_column(struct md_target *mt, const struct md_part *part, size_t n, char **cell,
                        struct err *err)
{
    struct md_table *tab = part->tabs[n];
    int field = table_schema_find(tab->base.schema, cell[C_NAME]);
    bool generated = strcmp(cell[C_GENERATED], "NEVER") != 0;
    if (field >= 0) {
        size_t at = part->first[n] + (size_t)field;
        part->seen[at] = true;
        return generated || add_column(mt, tab, (size_t)field, cell, part->json[at], err);
    }
    if (generated || strcmp(cell[C_NULLABLE], "YES") == 0 || cell[C_DEFAULT] != NULL ||
        strstr(cell[C_EXTRA], "auto_increment") != NULL)
        return true;
    md_schema_err(tab, err,
                  "the source lacks a column that the target table wants a value for:", cell[C_NAME]);
    return hint(tab, "DROP COLUMN", cell[C_NAME], " (or give it a DEFAULT)", err);
}

static int by_index(const void *a, const void *b)
{
    const struct md_column *x = a, *y = b;
    return (x->index > y->index) - (x->index < y->index);
}

static bool check_columns(struct md_table *tab, const bool *seen, struct err *err)
{
    const struct table_schema *schema = tab->base.schema;
    for (size_t i = 0; i < schema->field_count; i++) {
        if (seen[i])
            continue;
        md_schema_err(tab, err, "the target table lacks column", schema->fields[i].name);
        char *rest CLEANUP(free_ptr) = xasprintf("%s (with the source's DEFAULT, for the rows that are "
                                                 "there; or CHANGE COLUMN, if the source renamed it)",
                                                 suggested_type(&schema->fields[i]));
        return hint(tab, "ADD COLUMN", schema->fields[i].name, rest, err);
    }
    qsort(tab->columns, tab->column_count, sizeof *tab->columns, by_index);
    return tab->column_count > 0 || md_schema_err(tab, err, "no column can be written", NULL);
}

bool md_read_columns(struct md_target *mt, const struct md_part *part, struct err *err)
{
    MD_ROWS rows = {0};
    if (!find_json(mt, part, err) || !md_query_catalog(mt, part, &columns_question, &rows, err))
        return false;
    for (size_t i = 0; i < part->count; i++)
        part->tabs[i]->columns =
            xcalloc(part->tabs[i]->base.schema->field_count + 1, sizeof *part->tabs[i]->columns);
    while (md_next(&rows)) {
        if (!take_column(mt, part, md_part_number(part, &rows), rows.cell, err))
            return false;
    }
    for (size_t i = 0; i < part->count; i++) {
        if (!check_columns(part->tabs[i], part->seen + part->first[i], err))
            return false;
    }
    return true;
}
