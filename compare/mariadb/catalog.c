/* Owns: the catalog of MariaDB, which no transaction's snapshot covers. See catalog.h; MariaDB documentation: "Information Schema". */
#include "catalog.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "catalog_impl.h"
#include "core/alloc.h"
#include "maria/names.h"
#include "maria/quote.h"

/* %: the column that names the database. Tables of ours lie in the URL's database, by a prefix. */
#define OURS(schema, table)                                                                                  \
    " " schema " NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema') AND NOT (" schema       \
    " = DATABASE() AND " table " LIKE 'crossfade\\_%') "

/* CREATE_TIME is that of the definition's file, in seconds: ALTER TABLE makes a new one, TRUNCATE does not. */
static const char tables_sql[] =
    "SELECT TABLE_SCHEMA, TABLE_NAME, COALESCE(TABLE_ROWS, 0), ENGINE, IF(CREATE_TIME < SYSDATE() - INTERVAL "
    "2 SECOND, CREATE_TIME, NULL) FROM information_schema.TABLES WHERE "
    "TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') AND" OURS(
        "TABLE_SCHEMA", "TABLE_NAME") "ORDER BY BINARY TABLE_SCHEMA, BINARY "
                                      "TABLE_NAME";

static const char columns_sql[] =
    "SELECT c.TABLE_SCHEMA, c.TABLE_NAME, c.COLUMN_NAME, c.COLUMN_TYPE, c.COLLATION_NAME, c.IS_NULLABLE = "
    "'NO', c.IS_GENERATED = 'ALWAYS' FROM information_schema.COLUMNS c WHERE" OURS(
        "c.TABLE_SCHEMA",
        "c.TABLE_NAME") "ORDER BY BINARY c.TABLE_SCHEMA, BINARY c.TABLE_NAME, c.ORDINAL_POSITION";

static const char json_sql[] =
    "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME FROM information_schema.CHECK_CONSTRAINTS WHERE "
    "LEVEL = 'Column' AND CHECK_CLAUSE LIKE 'json\\_valid(%' AND" OURS("CONSTRAINT_SCHEMA", "TABLE_NAME");

/* A column of which the index has the beginning alone comes without a name: no column has that one. */
static const char keys_sql[] =
    "SELECT TABLE_SCHEMA, TABLE_NAME, SEQ_IN_INDEX, IF(SUB_PART IS NULL, COLUMN_NAME, NULL) FROM "
    "information_schema.STATISTICS WHERE "
    "NON_UNIQUE = 0 AND INDEX_TYPE = 'BTREE' AND" OURS(
        "TABLE_SCHEMA",
        "TABLE_NAME") "ORDER BY BINARY TABLE_SCHEMA, BINARY TABLE_NAME, INDEX_NAME <> 'PRIMARY', BINARY "
                      "INDEX_NAME, SEQ_IN_INDEX";

#define READ_TRIES    100
#define READ_PAUSE_MS 100

static int by_name(const void *a, const void *b)
{
    const struct cat_table *x = a, *y = b;
    int c = strcmp(x->schema, y->schema);
    return c != 0 ? c : strcmp(x->name, y->name);
}

/* The table that the row's first two cells name. */
static struct cat_table *find_named(const struct catalog *cat, const struct rowset *res, int row)
{
    const struct cat_table wanted = {.schema = (char *)rowset_cell(res, row, 0),
                                     .name = (char *)rowset_cell(res, row, 1)};
    return cat->table_count == 0
               ? NULL
               : bsearch(&wanted, cat->tables, cat->table_count, sizeof *cat->tables, by_name);
}

/* As session_ask(). A table that is being altered just then is left out by the server, with no more than a warning (1684), since our
 * transaction holds locks: *left_out, and then all has to be read anew. */
static bool ask(struct session *s, const char *sql, struct rowset **ret, bool *left_out, struct err *err)
{
    ROWSET_AUTO warnings = NULL;
    if (!session_ask(s, sql, 0, NULL, ret, err) || !session_ask(s, "SHOW WARNINGS", 0, NULL, &warnings, err))
        return false;
    for (int i = 0; i < rowset_rows(warnings); i++)
        *left_out = *left_out || rowset_int64(warnings, i, 1) == 1684;
    return true;
}

static bool read_tables(struct session *s, struct catalog *cat, bool *left_out, struct err *err)
{
    ROWSET_AUTO res = NULL;
    if (!ask(s, tables_sql, &res, left_out, err))
        return false;
    for (int i = 0; i < rowset_rows(res); i++) {
        struct cat_table *t = catalog_add_table(cat);
        t->schema = xstrdup(rowset_cell(res, i, 0));
        t->name = xstrdup(rowset_cell(res, i, 1));
        t->rows_estimate = rowset_int64(res, i, 2);
        t->logged = true;
        if (strcmp(rowset_cell(res, i, 3), "InnoDB") != 0)
            t->engine = xstrdup(rowset_is_null(res, i, 3) ? "unknown" : rowset_cell(res, i, 3));
        if (!rowset_is_null(res, i, 4))
            t->storage = xstrdup(rowset_cell(res, i, 4));
    }
    if (cat->table_count > 1)
        qsort(cat->tables, cat->table_count, sizeof *cat->tables, by_name);
    return true;
}

static char *cell_or_null(const struct rowset *res, int row, int column)
{
    return rowset_is_null(res, row, column) ? NULL : xstrdup(rowset_cell(res, row, column));
}

/* The server's calendar of a timestamp: to 2038, or 2106 (MariaDB 11.5). */
static const char latest_sql[] = "SELECT COALESCE(FROM_UNIXTIME(4294967295), FROM_UNIXTIME(2147483647))";

static bool read_columns(struct session *s, struct catalog *cat, bool *left_out, struct err *err)
{
    ROWSET_AUTO res = NULL;
    char *latest CLEANUP(free_ptr) = NULL;
    if (!ask(s, columns_sql, &res, left_out, err) || !session_text(s, latest_sql, 0, NULL, &latest, err))
        return false;
    for (int i = 0; i < rowset_rows(res); i++) {
        struct cat_table *t = find_named(cat, res, i);
        if (t == NULL)
            continue;
        *cat_table_add_column(t) = (struct cat_column){
            .name = xstrdup(rowset_cell(res, i, 2)),
            .type = xstrdup(rowset_cell(res, i, 3)),
            .typmod = -1,
            .plain = true,
            .collation = cell_or_null(res, i, 4),
            .lax = !rowset_is_null(res, i, 4) && strstr(rowset_cell(res, i, 4), "_nopad_bin") == NULL,
            .latest = strncmp(rowset_cell(res, i, 3), "timestamp", 9) == 0 && latest != NULL ? xstrdup(latest)
                                                                                             : NULL,
            .not_null = rowset_bool(res, i, 5),
            .generated = rowset_bool(res, i, 6),
        };
    }
    return true;
}

/* A column of type json is text with a check of its own name. */
static bool mark_json(struct session *s, struct catalog *cat, bool *left_out, struct err *err)
{
    ROWSET_AUTO res = NULL;
    if (!ask(s, json_sql, &res, left_out, err))
        return false;
    for (int i = 0; i < rowset_rows(res); i++) {
        struct cat_table *t = find_named(cat, res, i);
        for (size_t k = 0; t != NULL && k < t->column_count; k++) {
            if (strcmp(t->columns[k].name, rowset_cell(res, i, 2)) == 0 &&
                strcmp(t->columns[k].type, "longtext") == 0)
                t->columns[k].json = true;
        }
    }
    return true;
}

/* A unique index with a nullable column, or over the beginning of one, tells no row from all others. */
static void drop_loose_keys(struct cat_table *t)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->key_count; i++) {
        struct cat_key key = t->keys[i];
        bool firm = true;
        for (size_t k = 0; k < key.column_count; k++) {
            const struct cat_column *c = cat_table_column(t, key.columns[k]);
            firm = firm && c != NULL && c->not_null;
        }
        if (firm) {
            t->keys[kept++] = key;
            continue;
        }
        for (size_t k = 0; k < key.column_count; k++)
            free(key.columns[k]);
        free(key.columns);
    }
    t->key_count = kept;
}

static bool read_keys(struct session *s, struct catalog *cat, bool *left_out, struct err *err)
{
    ROWSET_AUTO res = NULL;
    if (!ask(s, keys_sql, &res, left_out, err))
        return false;
    for (int i = 0; i < rowset_rows(res); i++) {
        struct cat_table *t = find_named(cat, res, i);
        if (t != NULL)
            cat_table_add_key_column(t, rowset_int64(res, i, 2) == 1, rowset_cell(res, i, 3));
    }
    for (size_t i = 0; i < cat->table_count; i++)
        drop_loose_keys(&cat->tables[i]);
    return true;
}

/* A table that changes its name at the end of an ALTER is for a moment not there, without a warning: whoever was missed in front is
 * met at the end. */
static bool count_tables(struct session *s, const struct catalog *cat, bool *left_out, struct err *err)
{
    ROWSET_AUTO res = NULL;
    if (!ask(s, tables_sql, &res, left_out, err))
        return false;
    *left_out = *left_out || (size_t)rowset_rows(res) != cat->table_count;
    return true;
}

static bool mariadb_read(struct session *s, struct catalog *cat, struct err *err)
{
    int64_t caseless = 0;
    bool left_out = true;
    if (!session_int64(s, "SELECT @@lower_case_table_names", 0, NULL, &caseless, err))
        return false;
    cat->caseless = caseless != 0;
    for (int tries = 0; left_out; tries++) {
        if (tries == READ_TRIES)
            return err_set(err, ERR_TRANSIENT, "tables are being altered all the time: compare again");
        if (tries > 0)
            (void)poll(NULL, 0, READ_PAUSE_MS);
        catalog_drop_tables(cat);
        left_out = false;
        if (!read_tables(s, cat, &left_out, err) || !read_columns(s, cat, &left_out, err) ||
            !mark_json(s, cat, &left_out, err) || !read_keys(s, cat, &left_out, err) ||
            !count_tables(s, cat, &left_out, err))
            return false;
    }
    return true;
}

static char *mariadb_named(const struct cat_table *t)
{
    struct strbuf sb = STRBUF_INIT(STRBUF_SQL_MAX);
    maria_quote_ident(&sb, t->schema);
    strbuf_addc(&sb, '.');
    maria_quote_ident(&sb, t->name);
    return strbuf_detach(&sb);
}

/* Nothing to ask: a table that was truncated or made anew after the snapshot refuses to be read (error 1412), and what was read
 * once is locked against both. */
const struct catalog_ops catalog_mariadb = {
    .read = mariadb_read, .named = mariadb_named, .rewritten_sql = "SELECT 0"};
