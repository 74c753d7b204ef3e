/* Owns: does the target table exist, and does every field of the source fit into it? Reads information_schema once per version of
 * a table. */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "maria/names.h"
#include "mariadb.h"
#include "target/target_impl.h"

const char *md_database_of(const struct md_target *mt, const char *schema)
{
    return strcmp(schema, "public") == 0 ? mt->database : schema;
}

void md_add_table_name(struct strbuf *sb, const struct md_target *mt, const char *schema, const char *table)
{
    maria_quote_ident(sb, md_database_of(mt, schema));
    strbuf_addc(sb, '.');
    maria_quote_ident(sb, table);
}

static bool schema_err(const struct md_table *tab, struct err *err, const char *what, const char *name)
{
    return err_set(err, ERR_SCHEMA, "table=%s.%s: %s%s%s", tab->base.schema->schema, tab->base.schema->table,
                   what, name != NULL ? " " : "", name != NULL ? name : "");
}

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

static void set_free(struct md_set *set)
{
    md_stmt_release(&set->update);
    md_stmt_release(&set->hold);
    free(set->present);
    free(set);
}

void md_table_free(struct md_table *tab)
{
    if (tab == NULL)
        return;
    for (size_t i = 0; i < tab->set_count; i++)
        set_free(tab->sets[i]);
    for (size_t i = 0; i < tab->column_count; i++)
        md_column_release(&tab->columns[i]);
    md_stmt_release(&tab->insert);
    md_stmt_release(&tab->upsert);
    md_stmt_release(&tab->remove);
    free(tab->sets);
    free(tab->columns);
    free(tab->key);
    free(tab->base.split);
    free(tab->name);
    free(tab->database);
    free(tab);
}

/* "<select> WHERE <schema column> = '…' AND <table column> = '…'<tail>" */
static bool query_catalog(struct md_target *mt, const struct md_table *tab, const char *select,
                          const char *schema_column, const char *table_column, const char *tail,
                          struct md_rows *ret, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_addf(&sql, "%s WHERE %s = ", select, schema_column);
    maria_quote_literal(&sql, tab->database);
    strbuf_addf(&sql, " AND %s = ", table_column);
    maria_quote_literal(&sql, tab->base.schema->table);
    strbuf_adds(&sql, tail);
    bool ok = strbuf_ok(&sql, "statement", err) && md_query(mt, sql.data, ret, err);
    strbuf_release(&sql);
    return ok;
}

static bool find_table(struct md_target *mt, struct md_table *tab, struct err *err)
{
    MD_ROWS rows = {0};
    if (maria_is_system_database(tab->database))
        return schema_err(
            tab, err,
            "its schema is called like a database that MariaDB keeps for itself: leave the table out "
            "(source.tables), or rename the schema on the source; nothing is written to",
            tab->name);
    if (!query_catalog(mt, tab, "SELECT TABLE_TYPE, ENGINE FROM information_schema.TABLES", "TABLE_SCHEMA",
                       "TABLE_NAME", "", &rows, err))
        return false;
    if (!md_next(&rows))
        return schema_err(
            tab, err,
            "there is no such table on the target, or our role has no rights on it (schema public is the "
            "URL's "
            "database, any other schema the database of that name): create it there, then start apply again: "
            "nothing was skipped; looked for",
            tab->name);
    if (rows.cell[1] == NULL || strcmp(rows.cell[0], "VIEW") == 0)
        return schema_err(tab, err, "on the target this is no table that can be written", NULL);
    return strcmp(rows.cell[1], "InnoDB") == 0 ||
           schema_err(tab, err,
                      "on the target its engine cannot take part in a transaction: ALTER TABLE … "
                      "ENGINE=InnoDB; it is",
                      rows.cell[1]);
}

/* MariaDB has no way to keep triggers from firing for one session. */
static bool refuse_triggers(struct md_target *mt, const struct md_table *tab, struct err *err)
{
    MD_ROWS rows = {0};
    if (!query_catalog(mt, tab, "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS", "EVENT_OBJECT_SCHEMA",
                       "EVENT_OBJECT_TABLE", " LIMIT 1", &rows, err))
        return false;
    return !md_next(&rows) || schema_err(tab, err,
                                         "the target table has a trigger, which would run for rows whose "
                                         "triggers the source has run already: "
                                         "drop it until the cutover. It is",
                                         rows.cell[0]);
}

enum {
    C_NAME,
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
    C_GENERATED,
    C_JSON
};

static const char COLUMNS[] =
    "SELECT c.COLUMN_NAME, c.DATA_TYPE, c.COLUMN_TYPE, c.IS_NULLABLE, c.COLUMN_DEFAULT, "
    "c.CHARACTER_MAXIMUM_LENGTH, "
    "c.CHARACTER_OCTET_LENGTH, c.NUMERIC_PRECISION, c.NUMERIC_SCALE, c.DATETIME_PRECISION, "
    "c.CHARACTER_SET_NAME, "
    "c.COLLATION_NAME, c.EXTRA, c.IS_GENERATED, EXISTS (SELECT 1 FROM information_schema.CHECK_CONSTRAINTS k "
    "WHERE "
    "k.CONSTRAINT_SCHEMA = c.TABLE_SCHEMA AND k.TABLE_NAME = c.TABLE_NAME AND k.LEVEL = 'Column' AND "
    "k.CONSTRAINT_NAME = c.COLUMN_NAME AND k.CHECK_CLAUSE LIKE 'json_valid(%') FROM "
    "information_schema.COLUMNS c";

static enum md_type type_named(const char *name)
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

static void describe(struct md_column *col, char **cell)
{
    const char *collation = cell[C_COLLATION] != NULL ? cell[C_COLLATION] : "";
    size_t len = strlen(collation);
    col->type = type_named(cell[C_DATA]);
    col->type_text = xstrdup(cell[C_TYPE]);
    col->nullable = strcmp(cell[C_NULLABLE], "YES") == 0;
    col->is_unsigned = strstr(cell[C_TYPE], " unsigned") != NULL;
    col->json = col->type == MD_TEXT && strcmp(cell[C_JSON], "1") == 0;
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

static bool add_column(struct md_target *mt, struct md_table *tab, size_t field, char **cell, struct err *err)
{
    const struct table_schema *schema = tab->base.schema;
    struct md_column *col = &tab->columns[tab->column_count++];
    *col = (struct md_column){.field = &schema->fields[field], .index = field};
    for (size_t i = 0; i < schema->key_count; i++)
        col->key = col->key || schema->key_fields[i] == field;
    describe(col, cell);
    col->unfit = target_unfit_of(&mt->unfit, schema->schema, schema->table, col->field->name);
    if (md_plan(mt, col, err))
        return true;
    md_table_err(tab, err);
    return err->code == ERR_SCHEMA && hint(tab, "MODIFY", col->field->name, suggested_type(col->field), err);
}

/* One column of the target: into the table, unless the server computes it; or is it one that the source lacks and that must be
 * given? */
static bool take_column(struct md_target *mt, struct md_table *tab, char **cell, bool *seen, struct err *err)
{
    int field = table_schema_find(tab->base.schema, cell[C_NAME]);
    bool generated = strcmp(cell[C_GENERATED], "NEVER") != 0;
    if (field >= 0) {
        seen[field] = true;
        return generated || add_column(mt, tab, (size_t)field, cell, err);
    }
    if (generated || strcmp(cell[C_NULLABLE], "YES") == 0 || cell[C_DEFAULT] != NULL ||
        strstr(cell[C_EXTRA], "auto_increment") != NULL)
        return true;
    schema_err(tab, err, "the source lacks a column that the target table wants a value for:", cell[C_NAME]);
    return hint(tab, "DROP COLUMN", cell[C_NAME], " (or give it a DEFAULT)", err);
}

static int by_index(const void *a, const void *b)
{
    const struct md_column *x = a, *y = b;
    return (x->index > y->index) - (x->index < y->index);
}

static bool read_columns(struct md_target *mt, struct md_table *tab, struct err *err)
{
    const struct table_schema *schema = tab->base.schema;
    MD_ROWS rows = {0};
    bool *seen CLEANUP(free_ptr) = xcalloc(schema->field_count + 1, sizeof *seen);
    if (!query_catalog(mt, tab, COLUMNS, "c.TABLE_SCHEMA", "c.TABLE_NAME", " ORDER BY c.ORDINAL_POSITION",
                       &rows, err))
        return false;
    tab->columns = xcalloc(schema->field_count + 1, sizeof *tab->columns);
    while (md_next(&rows)) {
        if (!take_column(mt, tab, rows.cell, seen, err))
            return false;
    }
    for (size_t i = 0; i < schema->field_count; i++) {
        if (seen[i])
            continue;
        schema_err(tab, err, "the target table lacks column", schema->fields[i].name);
        char *rest CLEANUP(free_ptr) = xasprintf("%s (with the source's DEFAULT, for the rows that are "
                                                 "there; or CHANGE COLUMN, if the source renamed it)",
                                                 suggested_type(&schema->fields[i]));
        return hint(tab, "ADD COLUMN", schema->fields[i].name, rest, err);
    }
    qsort(tab->columns, tab->column_count, sizeof *tab->columns, by_index);
    return tab->column_count > 0 || schema_err(tab, err, "no column can be written", NULL);
}

static size_t field_of(const void *tab, size_t column)
{
    return ((const struct md_table *)tab)->columns[column].index;
}

static bool find_key(struct md_table *tab, struct err *err)
{
    const struct table_schema *schema = tab->base.schema;
    if (!target_find_key(schema, tab->column_count, field_of, tab, &tab->key, err))
        return false;
    tab->key_count = schema->key_count;
    return true;
}

static bool is_key_column(const struct md_table *tab, const char *name)
{
    for (size_t i = 0; i < tab->key_count; i++) {
        if (name != NULL && strcmp(tab->columns[tab->key[i]].field->name, name) == 0)
            return true;
    }
    return false;
}

/* Rows that the target takes for one key have equal values in this column: its equality is that of the datums. */
static bool tells_apart(const struct md_column *col)
{
    const struct field *f = col->field;
    bool is_integer = f->phys == PHYS_INT16 || f->phys == PHYS_INT32 || f->phys == PHYS_INT64;
    if (f->text_encoding != NULL || f->unsigned_wraps)
        return false;
    if (is_integer)
        return f->semantic == NULL && col->type >= MD_TINYINT && col->type <= MD_BIGINT;
    return f->phys == PHYS_STRING &&
           ((col->type == MD_UUID && !f->foreign) ||
            (f->semantic == NULL && col->type == MD_VARCHAR && col->exact_order && !col->pads));
}

/* By what may several writers share this table? Only where the key is the clustered index, and the only unique one: under READ
 * COMMITTED that takes locks of rows, while a further unique index, looked through for duplicates, takes those of gaps, and one writer
 * would wait for another. */
static void find_split(const struct md_target *mt, struct md_table *tab)
{
    bool clustered = tab->one_unique;
    for (size_t i = 0; i < tab->key_count; i++)
        clustered = clustered && !tab->columns[tab->key[i]].nullable;
    if (!mt->crewed || mt->writer > 0 || !clustered)
        return;
    tab->base.split = xcalloc(tab->key_count, sizeof *tab->base.split);
    for (size_t i = 0; i < tab->key_count; i++) {
        if (tells_apart(&tab->columns[tab->key[i]]))
            tab->base.split[tab->base.split_count++] = tab->columns[tab->key[i]].index;
    }
}

/* A unique index on exactly the key's columns, whole; and is it the only unique one? */
static bool find_key_index(struct md_target *mt, struct md_table *tab, struct err *err)
{
    MD_ROWS rows = {0};
    if (tab->key_count == 0)
        return true;
    if (!query_catalog(mt, tab,
                       "SELECT INDEX_NAME, COLUMN_NAME, SUB_PART IS NULL FROM information_schema.STATISTICS",
                       "TABLE_SCHEMA", "TABLE_NAME", " AND NON_UNIQUE = 0 ORDER BY INDEX_NAME, SEQ_IN_INDEX",
                       &rows, err))
        return false;
    struct strbuf index = STRBUF_INIT(1000);
    size_t indexes = 0, columns = 0;
    bool fits = false, found = false;
    while (md_next(&rows)) {
        if (indexes == 0 || strcmp(index.data, rows.cell[0]) != 0) {
            found = found || (fits && columns == tab->key_count);
            strbuf_clear(&index);
            strbuf_adds(&index, rows.cell[0]);
            indexes++;
            columns = 0;
            fits = true;
        }
        columns++;
        fits = fits && is_key_column(tab, rows.cell[1]) && strcmp(rows.cell[2], "1") == 0;
    }
    found = found || (fits && columns == tab->key_count);
    strbuf_release(&index);
    tab->one_unique = indexes == 1;
    find_split(mt, tab);
    return found ||
           schema_err(tab, err,
                      "the target table lacks a unique index on exactly the key's columns, in full length",
                      NULL);
}

bool md_prepare(struct target *tgt, const struct table_schema *schema, struct target_table **ret,
                struct err *err)
{
    struct md_target *mt = (struct md_target *)tgt;
    struct strbuf name = STRBUF_INIT(4096);
    struct md_table *tab = xcalloc(1, sizeof *tab);
    tab->base.schema = schema;
    tab->id = (unsigned)mt->table_count + 1;
    tab->database = xstrdup(md_database_of(mt, schema->schema));
    md_add_table_name(&name, mt, schema->schema, schema->table);
    tab->name = strbuf_detach(&name);
    if (!find_table(mt, tab, err) || !refuse_triggers(mt, tab, err) || !read_columns(mt, tab, err) ||
        !find_key(tab, err) || !find_key_index(mt, tab, err)) {
        md_table_free(tab);
        return false;
    }
    mt->tables = xrealloc(mt->tables, (mt->table_count + 1) * sizeof(struct md_table *));
    mt->tables[mt->table_count++] = tab;
    *ret = &tab->base;
    return true;
}
