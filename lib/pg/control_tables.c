/* Owns: making the control tables, once, whoever comes first. See control_tables.h. */
#include "control_tables.h"

#include <stdlib.h>

bool pg_control_format_check(const char *database, const char *format, struct err *err)
{
    long found = strtol(format, NULL, 10);
    return found <= PG_CONTROL_FORMAT ||
           err_set(
               err, ERR_UNSUPPORTED,
               "the control tables of database %s (schema crossfade) have format %ld, this program "
               "(" CF_VERSION
               ") knows up to %d: a newer crossfade has worked here; use that version, or a later one, for "
               "every command of its pipelines",
               database, found, PG_CONTROL_FORMAT);
}

bool pg_control_tables_look(struct pg_conn *conn, const char *needed, bool *ret_there, struct err *err)
{
    int64_t there = 0;
    if (!pg_query_int64(
            conn,
            "SELECT pg_catalog.bool_and(to_regclass(t.name) IS NOT NULL AND (t.col = '' OR EXISTS (SELECT "
            "FROM"
            " pg_catalog.pg_attribute a WHERE a.attrelid = to_regclass(t.name) AND a.attname = t.col)))::int"
            " FROM pg_catalog.unnest(pg_catalog.string_to_array($1, ' ')) n,"
            " LATERAL (SELECT split_part(n, '.', 1) || '.' || split_part(n, '.', 2), split_part(n, '.', 3))"
            " t (name, col)",
            1, &needed, &there, err))
        return false;
    *ret_there = there == 1;
    return true;
}

/* Two may do this at the same time: CREATE … IF NOT EXISTS is not safe against that. */
static bool make(struct pg_conn *conn, const char *sql, struct err *err)
{
    if (pg_exec(conn, "BEGIN; SELECT pg_catalog.pg_advisory_xact_lock(7236847205432871)", err) &&
        pg_exec(conn, sql, err) && pg_exec(conn, "COMMIT", err))
        return true;
    struct err ignored = ERR_INIT;
    (void)!pg_exec(conn, "ROLLBACK", &ignored);
    return false;
}

bool pg_control_tables_ensure(struct pg_conn *conn, const char *needed, const char *sql, const char *side,
                              struct err *err)
{
    bool there = false;
    struct err refused = ERR_INIT;
    if (!pg_control_tables_look(conn, needed, &there, err))
        return false;
    if (there || make(conn, sql, &refused))
        return true;
    struct err lost = ERR_INIT;
    if (pg_control_tables_look(conn, needed, &there, &lost) && there)
        return true; /* somebody with more rights made them meanwhile */
    if (err != NULL)
        *err = refused;
    return err_wrap(err, "creating the control tables on the %s", side);
}
