/* Owns: what tells that a table of a MariaDB source was altered: its columns, and when its definition was made. The twin of compare/shapes.c. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "cutover/from_maria/from_maria.h"
#include "maria/names.h"

static const char shapes_head[] =
    "SELECT c.TABLE_SCHEMA, c.TABLE_NAME, MD5(CONCAT_WS('|', MAX(t.ENGINE), GROUP_CONCAT(CONCAT_WS(',', "
    "c.ORDINAL_POSITION, c.COLUMN_NAME, c.COLUMN_TYPE, c.COLLATION_NAME, c.IS_NULLABLE, c.COLUMN_KEY, "
    "c.GENERATION_EXPRESSION) ORDER BY c.ORDINAL_POSITION SEPARATOR ';'))) FROM information_schema.COLUMNS c "
    "JOIN "
    "information_schema.TABLES t ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME WHERE "
    "t.TABLE_TYPE = 'BASE TABLE' AND c.TABLE_SCHEMA IN (";

/* Its third column of the table's row; NULL: there is none. */
static const char *digest_of(const struct rowset *rs, const char *database, const char *table)
{
    char name[MARIA_NAME_BYTES];
    (void)maria_name(table, name);
    int row = from_maria_row(rs, database, name);
    return row >= 0 ? rowset_cell(rs, row, 2) : NULL;
}

static bool read_shapes(struct cutover *co, struct rowset **ret, struct err *err)
{
    struct statement st = {STRBUF_INIT(STRBUF_SQL_MAX), 0, NULL};
    strbuf_adds(&st.sql, shapes_head);
    from_maria_add_databases(co, &st.sql);
    strbuf_adds(&st.sql, ") GROUP BY 1, 2 ORDER BY BINARY c.TABLE_NAME");
    bool ok = session_query(co->from_maria->main, &st, ret, err);
    strbuf_release(&st.sql);
    return ok || err_wrap(err, "source: shapes of the tables");
}

bool from_maria_shapes(struct cutover *co, char **ret_json, struct err *err)
{
    ROWSET_AUTO rs = NULL;
    if (!read_shapes(co, &rs, err))
        return false;
    json_t *shapes = json_object();
    for (size_t i = 0; i < co->table_count; i++) {
        const struct cutover_table *t = &co->tables[i];
        char *name CLEANUP(free_ptr) = xasprintf("%s.%s", t->schema, t->table);
        const char *digest = digest_of(rs, maria_database_of(from_maria_database(co), t->schema), t->table);
        if (digest != NULL)
            json_object_set_new(shapes, name, json_string(digest));
    }
    *ret_json = json_dumps(shapes, JSON_SORT_KEYS);
    json_decref(shapes);
    return *ret_json != NULL || err_set(err, ERR_NO_MEMORY, "shapes of the tables");
}

bool from_maria_mark_cascades(struct cutover *co, struct err *err)
{
    struct statement st = {STRBUF_INIT(STRBUF_SQL_MAX), 0, NULL};
    ROWSET_AUTO rs = NULL;
    strbuf_adds(&st.sql,
                "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, '' FROM information_schema.REFERENTIAL_CONSTRAINTS "
                "WHERE (DELETE_RULE IN ('CASCADE', 'SET NULL') OR UPDATE_RULE IN ('CASCADE', 'SET NULL')) "
                "AND CONSTRAINT_SCHEMA IN (");
    from_maria_add_databases(co, &st.sql);
    strbuf_adds(&st.sql, ") ORDER BY BINARY TABLE_NAME");
    bool ok = session_query(co->from_maria->main, &st, &rs, err);
    strbuf_release(&st.sql);
    for (size_t i = 0; ok && i < co->table_count; i++) {
        struct cutover_table *t = &co->tables[i];
        t->changed = t->changed ||
                     digest_of(rs, maria_database_of(from_maria_database(co), t->schema), t->table) != NULL;
    }
    return ok || err_wrap(err, "foreign keys of the source");
}
