/*
 * Owns what logical replication leaves behind: sequences. Those that belong to a published table (identity,
 * serial, a default that names one) and all others in the same schemas are set on the target to where the
 * source stands. Read after the freeze, so the values are final.
 */
#include <stdlib.h>
#include <string.h>

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

static bool target_has(struct cutover *co, const char *schema, const char *name, bool *ret, struct err *err)
{
    const char *params[] = {schema, name};
    int64_t count;
    if (!pg_query_int64(
            co->target,
            "SELECT count(*) FROM pg_catalog.pg_sequences WHERE schemaname = $1 AND sequencename = $2", 2,
            params, &count, err))
        return false;
    *ret = count == 1;
    return true;
}

bool sequences_missing(struct cutover *co, struct strbuf *out, size_t *ret_count, struct err *err)
{
    const char *params[] = {co->pipeline};
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(co->source, sequences_sql, 1, params, &res, err))
        return err_wrap(err, "sequences of the source");
    for (int i = 0; i < pg_rows(res); i++) {
        bool there;
        if (!target_has(co, pg_cell(res, i, 0), pg_cell(res, i, 1), &there, err))
            return err_wrap(err, "sequences of the target");
        if (!there)
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
