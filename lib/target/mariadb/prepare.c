/* Owns: does the target table exist, and does every field of the source fit into it? Reads information_schema once per version of
 * a table, for MD_PREPARE_TABLES of them at once: each is a SELECT of its own in one UNION, since the server finds a table's entry without
 * a look at all others only where both names are given as constants. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/alloc.h"
#include "maria/names.h"
#include "mariadb.h"
#include "target/target_impl.h"
#include "watch.h"

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
    md_watch_free(tab->watch);
    free(tab->sets);
    free(tab->columns);
    free(tab->key);
    free(tab->base.split);
    free(tab->name);
    free(tab->database);
    free(tab);
}

/* Tables that are asked about together. Fields of theirs are numbered: those of tabs[i] from first[i] on. */
struct part {
    struct md_table *tabs[MD_PREPARE_TABLES];
    size_t first[MD_PREPARE_TABLES + 1];
    size_t count;
    bool *seen, *json; /* by field: the target has the column; it is checked to be JSON */
};

/* What is selected, from where, and which columns hold the names. */
struct question {
    const char *select, *schema_column, *table_column, *also, *order;
};

/* What is being altered just then, information_schema leaves out, with no more than a warning (1684), if we hold locks: such a table
 * is there all the same. */
static bool none_left_out(struct md_target *mt, struct err *err)
{
    MD_ROWS rows = {0};
    if (mysql_warning_count(mt->my) == 0)
        return true;
    if (!md_query(mt, "SHOW WARNINGS", &rows, err))
        return false;
    while (md_next(&rows)) {
        if (strcmp(rows.cell[1], "1684") == 0)
            return maria_fail(1684, "HY000", rows.cell[2], "information_schema", err);
    }
    return true;
}

/* The number of the table is the first cell of each row, and rows come in its order. */
static bool query_catalog(struct md_target *mt, const struct part *part, const struct question *q,
                          struct md_rows *ret, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    for (size_t i = 0; i < part->count; i++) {
        strbuf_addf(&sql, "%s(SELECT %zu, %s WHERE %s = ", i > 0 ? " UNION ALL " : "", i, q->select,
                    q->schema_column);
        maria_quote_literal(&sql, part->tabs[i]->database);
        strbuf_addf(&sql, " AND %s = ", q->table_column);
        maria_quote_literal(&sql, part->tabs[i]->base.schema->table);
        strbuf_addf(&sql, "%s)", q->also);
    }
    strbuf_addf(&sql, " ORDER BY 1%s", q->order);
    bool ok = strbuf_ok(&sql, "statement", err) && md_query(mt, sql.data, ret, err) && none_left_out(mt, err);
    strbuf_release(&sql);
    return ok;
}

static size_t number_of(const struct part *part, const struct md_rows *rows)
{
    size_t n = (size_t)strtoull(rows->cell[0], NULL, 10);
    BUG_UNLESS(n < part->count);
    return n;
}

static bool check_kind(const struct md_table *tab, const char *type, const char *engine, struct err *err)
{
    if (engine == NULL || strcmp(type, "VIEW") == 0)
        return schema_err(tab, err, "on the target this is no table that can be written", NULL);
    return strcmp(engine, "InnoDB") == 0 ||
           schema_err(tab, err,
                      "on the target its engine cannot take part in a transaction: ALTER TABLE … "
                      "ENGINE=InnoDB; it is",
                      engine);
}

static bool find_tables(struct md_target *mt, const struct part *part, struct err *err)
{
    static const struct question q = {"TABLE_TYPE, ENGINE FROM information_schema.TABLES", "TABLE_SCHEMA",
                                      "TABLE_NAME", "", ""};
    bool found[MD_PREPARE_TABLES] = {0};
    MD_ROWS rows = {0};
    for (size_t i = 0; i < part->count; i++) {
        if (maria_is_system_database(part->tabs[i]->database))
            return schema_err(
                part->tabs[i], err,
                "its schema is called like a database that MariaDB keeps for itself: leave the table out "
                "(source.tables), or rename the schema on the source; nothing is written to",
                part->tabs[i]->name);
    }
    if (!query_catalog(mt, part, &q, &rows, err))
        return false;
    while (md_next(&rows)) {
        size_t n = number_of(part, &rows);
        found[n] = true;
        if (!check_kind(part->tabs[n], rows.cell[1], rows.cell[2], err))
            return false;
    }
    for (size_t i = 0; i < part->count; i++) {
        if (!found[i])
            return schema_err(
                part->tabs[i], err,
                "there is no such table on the target, or our role has no rights on it (schema public is the "
                "URL's "
                "database, any other schema the database of that name): create it there, then start apply "
                "again: "
                "nothing was skipped; looked for",
                part->tabs[i]->name);
    }
    return true;
}

/* MariaDB has no way to keep triggers from firing for one session. */
static bool refuse_triggers(struct md_target *mt, const struct part *part, struct err *err)
{
    static const struct question q = {"TRIGGER_NAME FROM information_schema.TRIGGERS", "EVENT_OBJECT_SCHEMA",
                                      "EVENT_OBJECT_TABLE", "", ""};
    MD_ROWS rows = {0};
    if (!query_catalog(mt, part, &q, &rows, err))
        return false;
    return !md_next(&rows) || schema_err(part->tabs[number_of(part, &rows)], err,
                                         "the target table has a trigger, which would run for rows whose "
                                         "triggers the source has run already: "
                                         "drop it until the cutover. It is",
                                         rows.cell[1]);
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

static const struct question columns_question = {
    "COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, CHARACTER_MAXIMUM_LENGTH, "
    "CHARACTER_OCTET_LENGTH, NUMERIC_PRECISION, NUMERIC_SCALE, DATETIME_PRECISION, CHARACTER_SET_NAME, "
    "COLLATION_NAME, EXTRA, IS_GENERATED, ORDINAL_POSITION FROM information_schema.COLUMNS",
    "TABLE_SCHEMA", "TABLE_NAME", "", ", 16"};

/* A column of type json is text with a check of its own name. */
static bool find_json(struct md_target *mt, const struct part *part, struct err *err)
{
    static const struct question q = {"CONSTRAINT_NAME FROM information_schema.CHECK_CONSTRAINTS",
                                      "CONSTRAINT_SCHEMA", "TABLE_NAME",
                                      " AND LEVEL = 'Column' AND CHECK_CLAUSE LIKE 'json_valid(%'", ""};
    MD_ROWS rows = {0};
    if (!query_catalog(mt, part, &q, &rows, err))
        return false;
    while (md_next(&rows)) {
        size_t n = number_of(part, &rows);
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
static bool take_column(struct md_target *mt, const struct part *part, size_t n, char **cell, struct err *err)
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
    schema_err(tab, err, "the source lacks a column that the target table wants a value for:", cell[C_NAME]);
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
        schema_err(tab, err, "the target table lacks column", schema->fields[i].name);
        char *rest CLEANUP(free_ptr) = xasprintf("%s (with the source's DEFAULT, for the rows that are "
                                                 "there; or CHANGE COLUMN, if the source renamed it)",
                                                 suggested_type(&schema->fields[i]));
        return hint(tab, "ADD COLUMN", schema->fields[i].name, rest, err);
    }
    qsort(tab->columns, tab->column_count, sizeof *tab->columns, by_index);
    return tab->column_count > 0 || schema_err(tab, err, "no column can be written", NULL);
}

static bool read_columns(struct md_target *mt, const struct part *part, struct err *err)
{
    MD_ROWS rows = {0};
    if (!find_json(mt, part, err) || !query_catalog(mt, part, &columns_question, &rows, err))
        return false;
    for (size_t i = 0; i < part->count; i++)
        part->tabs[i]->columns =
            xcalloc(part->tabs[i]->base.schema->field_count + 1, sizeof *part->tabs[i]->columns);
    while (md_next(&rows)) {
        if (!take_column(mt, part, number_of(part, &rows), rows.cell, err))
            return false;
    }
    for (size_t i = 0; i < part->count; i++) {
        if (!check_columns(part->tabs[i], part->seen + part->first[i], err))
            return false;
    }
    return true;
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

/* One unique index of a table, as its columns come by. */
struct index {
    size_t table;
    struct strbuf name;
    size_t columns;
    bool fits;
};

static void index_ends(const struct part *part, struct index *index, bool *found)
{
    size_t n = index->table;
    if (n < part->count && index->fits && index->columns == part->tabs[n]->key_count)
        found[n] = true;
    strbuf_clear(&index->name);
    *index = (struct index){.table = part->count, .name = index->name};
}

/* Unique indexes on exactly the key's columns, whole; *uniques: how many unique ones a table has. */
static bool read_indexes(struct md_target *mt, const struct part *part, bool *found, size_t *uniques,
                         struct err *err)
{
    static const struct question q = {
        "INDEX_NAME, COLUMN_NAME, SUB_PART IS NULL, SEQ_IN_INDEX FROM information_schema.STATISTICS",
        "TABLE_SCHEMA", "TABLE_NAME", " AND NON_UNIQUE = 0", ", 2, 5"};
    MD_ROWS rows = {0};
    if (!query_catalog(mt, part, &q, &rows, err))
        return false;
    struct index index = {.table = part->count, .name = STRBUF_INIT(1000)};
    while (md_next(&rows)) {
        size_t n = number_of(part, &rows);
        if (index.table != n || strcmp(index.name.data, rows.cell[1]) != 0) {
            index_ends(part, &index, found);
            strbuf_adds(&index.name, rows.cell[1]);
            index.table = n;
            index.fits = true;
            uniques[n]++;
        }
        index.columns++;
        index.fits =
            index.fits && is_key_column(part->tabs[n], rows.cell[2]) && strcmp(rows.cell[3], "1") == 0;
    }
    index_ends(part, &index, found);
    strbuf_release(&index.name);
    return true;
}

static bool find_keys(struct md_target *mt, const struct part *part, struct err *err)
{
    bool found[MD_PREPARE_TABLES] = {0};
    size_t uniques[MD_PREPARE_TABLES] = {0};
    for (size_t i = 0; i < part->count; i++) {
        if (!find_key(part->tabs[i], err))
            return false;
    }
    if (!read_indexes(mt, part, found, uniques, err))
        return false;
    for (size_t i = 0; i < part->count; i++) {
        struct md_table *tab = part->tabs[i];
        if (tab->key_count == 0)
            continue;
        if (!found[i])
            return schema_err(tab, err,
                              "the target table lacks a unique index on exactly the key's columns, in full "
                              "length",
                              NULL);
        tab->one_unique = uniques[i] == 1;
        find_split(mt, tab);
    }
    return true;
}

static struct md_table *new_table(const struct md_target *mt, const struct table_schema *schema,
                                  size_t number)
{
    struct strbuf name = STRBUF_INIT(4096);
    struct md_table *tab = xcalloc(1, sizeof *tab);
    tab->base.schema = schema;
    tab->id = (unsigned)(mt->table_count + number) + 1;
    tab->database = xstrdup(md_database_of(mt, schema->schema));
    md_add_table_name(&name, mt, schema->schema, schema->table);
    tab->name = strbuf_detach(&name);
    return tab;
}

static bool same_source(const struct md_table *a, const struct md_table *b)
{
    return strcmp(a->base.schema->schema, b->base.schema->schema) == 0 &&
           strcmp(a->base.schema->table, b->base.schema->table) == 0;
}

/* Two tables of the source would be one here: public's and that of a schema that is called like the URL's database, or names that
 * differ in case where the server does not tell them apart. */
static bool one_source(struct md_target *mt, const struct md_table *tab, struct md_table *const *others,
                       size_t count, struct err *err)
{
    bool public = strcmp(tab->base.schema->schema, "public") == 0;
    bool namesake = !public && strcmp(tab->base.schema->schema, mt->database) == 0;
    mt->namesake = mt->namesake || namesake;
    if (!mt->caseless && !namesake && !(public && mt->namesake))
        return true;
    for (size_t i = 0; i < count; i++) {
        bool same_name = mt->caseless ? strcasecmp(others[i]->name, tab->name) == 0
                                      : strcmp(others[i]->name, tab->name) == 0;
        if (same_name && !same_source(others[i], tab))
            return schema_err(
                tab, err,
                "on the target it would be the same table as another one of the source "
                "(schema public is the URL's database; lower_case_table_names): leave one of them "
                "out (source.tables), rename it, or name another database in target.url. It is",
                tab->name);
    }
    return true;
}

static bool prepare_part(struct md_target *mt, const struct table_schema *const *schemas, size_t count,
                         struct target_table **ret, struct err *err)
{
    struct part part = {.count = count};
    for (size_t i = 0; i < count; i++) {
        part.tabs[i] = new_table(mt, schemas[i], i);
        part.first[i + 1] = part.first[i] + schemas[i]->field_count;
    }
    part.seen = xcalloc(part.first[count] + 1, sizeof *part.seen);
    part.json = xcalloc(part.first[count] + 1, sizeof *part.json);
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++)
        ok = one_source(mt, part.tabs[i], part.tabs, i, err) &&
             one_source(mt, part.tabs[i], mt->tables, mt->table_count, err);
    ok = ok && find_tables(mt, &part, err) && refuse_triggers(mt, &part, err) &&
         read_columns(mt, &part, err) && find_keys(mt, &part, err);
    for (size_t i = 0; ok && mt->writer == 0 && i < count; i++)
        ok = md_tell_cascades(mt, part.tabs[i], err);
    free(part.seen);
    free(part.json);
    if (ok)
        mt->tables = xrealloc(mt->tables, (mt->table_count + count) * sizeof(struct md_table *));
    for (size_t i = 0; i < count; i++) {
        if (!ok) {
            md_table_free(part.tabs[i]);
            continue;
        }
        mt->tables[mt->table_count++] = part.tabs[i];
        ret[i] = &part.tabs[i]->base;
    }
    return ok;
}

bool md_prepare(struct target *tgt, const struct table_schema *const *schemas, size_t count,
                struct target_table **ret, struct err *err)
{
    struct md_target *mt = (struct md_target *)tgt;
    for (size_t first = 0, n; first < count; first += n) {
        n = target_prepare_part(schemas + first, count - first, MD_PREPARE_TABLES, MD_PREPARE_FIELDS);
        if (!prepare_part(mt, schemas + first, n, ret + first, err))
            return false;
    }
    return true;
}
