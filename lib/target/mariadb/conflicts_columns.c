/* Owns: the columns of a table that is written on both sides, as the target's catalog has them. */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "maria/quote.h"
#include "watch.h"

void md_watched_free(struct md_watched *columns, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(columns[i].name);
        free(columns[i].type_text);
    }
    free(columns);
}

enum { C_NAME, C_DATA, C_TYPE, C_KEY, C_JSON };

/* A column of type json is text with a check of its own name. */
static bool query_columns(struct md_target *mt, const char *schema_name, const char *table_name,
                          struct md_rows *ret, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql,
                "SELECT c.COLUMN_NAME, c.DATA_TYPE, c.COLUMN_TYPE, c.COLUMN_KEY, EXISTS (SELECT 1 FROM "
                "information_schema.CHECK_CONSTRAINTS k WHERE k.CONSTRAINT_SCHEMA = c.TABLE_SCHEMA AND "
                "k.TABLE_NAME = c.TABLE_NAME AND k.LEVEL = 'Column' AND k.CONSTRAINT_NAME = c.COLUMN_NAME "
                "AND k.CHECK_CLAUSE LIKE 'json_valid(%') FROM information_schema.COLUMNS c WHERE "
                "c.TABLE_SCHEMA = ");
    maria_quote_literal(&sql, md_database_of(mt, schema_name));
    strbuf_adds(&sql, " AND c.TABLE_NAME = ");
    maria_quote_literal(&sql, table_name);
    strbuf_adds(&sql, " AND c.IS_GENERATED = 'NEVER' ORDER BY c.ORDINAL_POSITION");
    bool ok = strbuf_ok(&sql, "statement", err) && md_query(mt, sql.data, ret, err);
    strbuf_release(&sql);
    return ok;
}

static struct md_watched watched_from(char **cell)
{
    enum md_type type = md_type_named(cell[C_DATA]);
    return (struct md_watched){.name = xstrdup(cell[C_NAME]),
                               .type_text = xstrdup(cell[C_TYPE]),
                               .type = type,
                               .json = type == MD_TEXT && strcmp(cell[C_JSON], "1") == 0};
}

bool md_watched_read(struct md_target *mt, const char *schema_name, const char *table_name,
                     struct md_watched **ret_columns, size_t *ret_count, struct md_watched **ret_key,
                     size_t *ret_key_count, struct err *err)
{
    MD_ROWS rows = {0};
    if (!query_columns(mt, schema_name, table_name, &rows, err))
        return false;
    struct md_watched *columns = xcalloc(MD_MAX_COLUMNS + 1, sizeof *columns);
    struct md_watched *key = xcalloc(MD_MAX_COLUMNS + 1, sizeof *key);
    size_t count = 0, key_count = 0;
    while (md_next(&rows) && count < MD_MAX_COLUMNS) {
        columns[count++] = watched_from(rows.cell);
        if (strcmp(rows.cell[C_KEY], "PRI") == 0)
            key[key_count++] = watched_from(rows.cell);
    }
    *ret_columns = columns;
    *ret_count = count;
    *ret_key = key;
    *ret_key_count = key_count;
    return true;
}
