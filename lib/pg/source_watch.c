/* Owns: what has changed behind a session: columns of a table, tables of a publication. See source.h. */
#include <string.h>

#include "core/alloc.h"
#include "pg/source.h"

static bool has_column(const struct source_table *t, const struct source_column *c)
{
    for (size_t i = 0; i < t->column_count; i++) {
        const struct source_column *o = &t->columns[i];
        if (strcmp(o->name, c->name) == 0)
            return o->type_oid == c->type_oid && o->typmod == c->typmod;
    }
    return false;
}

static bool holds(const struct source_table *t, const struct source_table *now)
{
    bool hold = t->oid == now->oid && now->column_count == t->live_columns;
    for (size_t i = 0; hold && i < t->column_count; i++)
        hold = has_column(now, &t->columns[i]);
    return hold;
}

bool source_tables_hold(struct pg_conn *conn, const struct source_table *const *tables, size_t count,
                        bool *ret_hold, struct err *err)
{
    uint32_t *oids CLEANUP(free_ptr) = xcalloc(count + 1, sizeof *oids);
    struct source_table *now CLEANUP(free_ptr) = xcalloc(count + 1, sizeof *now);
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        oids[i] = tables[i]->oid;
    if (!source_tables_load(conn, oids, count, now, &found, err))
        return false;
    *ret_hold = found == count;
    for (size_t i = 0; i < found; i++) {
        *ret_hold = *ret_hold && holds(tables[i], &now[i]);
        source_table_release(&now[i]);
    }
    return true;
}

bool source_columns_hold(struct pg_conn *conn, const struct source_table *t, bool *ret_hold, struct err *err)
{
    return source_tables_hold(conn, &t, 1, ret_hold, err);
}

/* Tables of a schema are of PostgreSQL 15: before, there is no such catalog. */
#define SCHEMAS_VERSION 150000

bool source_unpublished(struct pg_conn *conn, const char *publication, source_each_table *each, void *ctx,
                        struct err *err)
{
    /* Published tables are gathered first: looked up for each table, the time would grow with the square of their number. */
    static const char sql[] =
        "WITH p AS (SELECT oid, puballtables FROM pg_catalog.pg_publication WHERE pubname = $1),"
        " named AS (SELECT r.prrelid AS oid FROM p JOIN pg_catalog.pg_publication_rel r ON r.prpubid = "
        "p.oid%s),"
        " published AS (SELECT oid FROM named UNION ALL SELECT t.relid::oid FROM named"
        "   JOIN pg_catalog.pg_class x ON x.oid = named.oid AND x.relkind = 'p'"
        "   CROSS JOIN LATERAL pg_catalog.pg_partition_tree(x.oid) t)"
        "SELECT c.oid::bigint, n.nspname, c.relname,"
        " (CASE WHEN c.relispartition THEN pg_catalog.pg_partition_root(c.oid)::oid ELSE 0 END)::bigint"
        " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND n.nspname <> 'information_schema'"
        " AND n.nspname !~ '^pg_' AND n.nspname <> 'crossfade'"
        " AND NOT EXISTS (SELECT FROM p WHERE p.puballtables)"
        " AND NOT EXISTS (SELECT FROM published u WHERE u.oid = c.oid) ORDER BY n.nspname, c.relname";
    static const char by_schema[] =
        " UNION ALL SELECT x.oid FROM p JOIN pg_catalog.pg_publication_namespace s ON s.pnpubid = p.oid"
        " JOIN pg_catalog.pg_class x ON x.relnamespace = s.pnnspid AND x.relkind IN ('r', 'p')";
    PG_RESULT_AUTO res = NULL;
    char *text CLEANUP(free_ptr) =
        xasprintf(sql, pg_server_version(conn) >= SCHEMAS_VERSION ? by_schema : "");
    if (!pg_query(conn, text, 1, &publication, &res, err))
        return false;
    for (int i = 0; i < pg_rows(res); i++) {
        if (!each(ctx, (uint32_t)pg_cell_int64(res, i, 0), pg_cell(res, i, 1), pg_cell(res, i, 2),
                  (uint32_t)pg_cell_int64(res, i, 3), err))
            return false;
    }
    return true;
}

bool source_publication_is_wide(struct pg_conn *conn, const char *publication, bool *ret_all,
                                bool *ret_schemas, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    bool schemas = pg_server_version(conn) >= SCHEMAS_VERSION;
    if (!pg_query(
            conn,
            schemas ? "SELECT puballtables, EXISTS (SELECT FROM pg_catalog.pg_publication_namespace s WHERE "
                      "s.pnpubid = p.oid) FROM pg_catalog.pg_publication p WHERE pubname = $1"
                    : "SELECT puballtables, false FROM pg_catalog.pg_publication WHERE pubname = $1",
            1, &publication, &res, err))
        return false;
    *ret_all = pg_rows(res) == 1 && pg_cell_bool(res, 0, 0);
    *ret_schemas = pg_rows(res) == 1 && pg_cell_bool(res, 0, 1);
    return true;
}
