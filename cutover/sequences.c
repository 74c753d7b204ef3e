/*
 * Owns what logical replication leaves behind: sequences. Those that belong to a published table (identity,
 * serial, a default that names one) and all others in the same schemas are set on the target to where the
 * source stands. Read after the freeze, so the values are final.
 */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "cutover_internal.h"

static const char sequences_sql[] =
    "SELECT DISTINCT n.nspname, c.relname FROM pg_catalog.pg_class c"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind = 'S' AND c.relpersistence = 'p' AND n.nspname <> 'crossfade' AND ("
    "  n.nspname IN (SELECT schemaname FROM pg_catalog.pg_publication_tables WHERE pubname = 'crossfade_' || "
    "$1)"
    "  OR EXISTS (SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_attrdef ad"
    "    ON d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.objid = ad.oid"
    "    JOIN pg_catalog.pg_class t ON t.oid = ad.adrelid JOIN pg_catalog.pg_namespace tn ON tn.oid = "
    "t.relnamespace"
    "    JOIN pg_catalog.pg_publication_tables p ON p.schemaname = tn.nspname AND p.tablename = t.relname"
    "    WHERE d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = c.oid"
    "    AND p.pubname = 'crossfade_' || $1))"
    " ORDER BY 1, 2";

/* *ret: malloc'd; NULL: it is not there; "": it is, and we may set it; else the GRANT that lets us. */
static bool target_has(struct cutover *co, const char *schema, const char *name, char **ret, struct err *err)
{
    const char *params[] = {schema, name};
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(co->target,
                  "SELECT CASE WHEN NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE') THEN"
                  " pg_catalog.format(' GRANT USAGE ON SCHEMA %I TO %I;', n.nspname, current_user) ELSE '' "
                  "END || CASE WHEN pg_catalog.has_sequence_privilege(c.oid, 'SELECT') AND"
                  " pg_catalog.has_sequence_privilege(c.oid, 'UPDATE') THEN '' ELSE"
                  " pg_catalog.format(' GRANT SELECT, UPDATE ON SEQUENCE %I.%I TO %I;', n.nspname,"
                  " c.relname, current_user) END FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n"
                  " ON n.oid = c.relnamespace WHERE c.relkind = 'S' AND n.nspname = $1 AND c.relname = $2",
                  2, params, &res, err))
        return false;
    *ret = pg_rows(res) == 1 ? xstrdup(pg_cell(res, 0, 0)) : NULL;
    return true;
}

bool sequences_missing(struct cutover *co, struct strbuf *out, struct strbuf *denied, size_t *ret_count,
                       struct err *err)
{
    const char *params[] = {co->pipeline};
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(co->source, sequences_sql, 1, params, &res, err))
        return err_wrap(err, "sequences of the source");
    for (int i = 0; i < pg_rows(res); i++) {
        char *grant CLEANUP(free_ptr) = NULL;
        if (!target_has(co, pg_cell(res, i, 0), pg_cell(res, i, 1), &grant, err))
            return err_wrap(err, "sequences of the target");
        if (grant != NULL)
            strbuf_adds(denied, grant);
        else
            strbuf_addf(out, "%s%s.%s", out->len > 0 ? ", " : "", pg_cell(res, i, 0), pg_cell(res, i, 1));
    }
    *ret_count = (size_t)pg_rows(res);
    return true;
}

/* last_value and is_called are read from the sequence itself: pg_sequences hides is_called. */
static bool read_sequence(struct pg_conn *conn, const char *schema, const char *name, struct pg_result **ret,
                          struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql, "SELECT last_value, is_called FROM ");
    pg_quote_table(&sql, schema, name);
    bool ok = strbuf_ok(&sql, "statement", err) && pg_query(conn, sql.data, 0, NULL, ret, err);
    strbuf_release(&sql);
    return ok;
}

static bool copy_one(struct cutover *co, const char *schema, const char *name, struct err *err)
{
    PG_RESULT_AUTO from = NULL;
    PG_RESULT_AUTO set = NULL;
    PG_RESULT_AUTO after = NULL;
    struct strbuf quoted = STRBUF_INIT(STRBUF_SQL_MAX);
    bool ok = read_sequence(co->source, schema, name, &from, err);
    pg_quote_table(&quoted, schema, name);
    if (ok) {
        const char *params[] = {quoted.data, pg_cell(from, 0, 0), pg_cell(from, 0, 1)};
        ok = strbuf_ok(&quoted, "name", err) &&
             pg_query(co->target, "SELECT pg_catalog.setval($1::regclass, $2::bigint, $3::boolean)", 3,
                      params, &set, err) &&
             read_sequence(co->target, schema, name, &after, err);
    }
    strbuf_release(&quoted);
    if (ok && (strcmp(pg_cell(from, 0, 0), pg_cell(after, 0, 0)) != 0 ||
               strcmp(pg_cell(from, 0, 1), pg_cell(after, 0, 1)) != 0))
        ok = err_set(err, ERR_DATA,
                     "the target's sequence stands at %s after it was set to %s: something else uses it",
                     pg_cell(after, 0, 0), pg_cell(from, 0, 0));
    return ok ? true : err_wrap(err, "sequence=%s.%s", schema, name);
}

bool sequences_copy(struct cutover *co, struct err *err)
{
    const char *params[] = {co->pipeline};
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(co->source, sequences_sql, 1, params, &res, err))
        return err_wrap(err, "sequences of the source");
    for (int i = 0; i < pg_rows(res); i++) {
        if (!copy_one(co, pg_cell(res, i, 0), pg_cell(res, i, 1), err))
            return false;
    }
    co->report->sequences_set = (size_t)pg_rows(res);
    return true;
}
