/* Owns: the control tables on a PostgreSQL target (schema crossfade). See store.h. */
#include "audit/audit.h"
#include "compare/borrowed.h"
#include "cutover/cutover_internal.h"
#include "cutover/store/store.h"
#include "pg/control_tables.h"
#include "sql/embedded.h"

#define ISO(value) "to_char(" value " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"

static bool pg_store_open(struct cutover *co, struct err *err)
{
    return cutover_connect(co, "target.url", &co->target, err);
}

static bool pg_store_renew(struct cutover *co, struct err *err)
{
    const struct pg_conn *was = co->target;
    bool ok = cutover_renew(co, "target.url", &co->target, err);
    if (co->target != was)
        trail_forget(co); /* its chain was on the session that is gone */
    return ok;
}

static void pg_store_close(struct cutover *co)
{
    pg_close(co->target);
    co->target = NULL;
}

static bool pg_store_make(struct cutover *co, struct err *err)
{
    return pg_control_tables_ensure(
        co->target, "crossfade.position crossfade.verdict crossfade.comparison crossfade.cutover",
        embedded_sql_target_sql, "target", err);
}

static bool pg_store_ask(struct cutover *co, const char *sql, int count, const char *const *params,
                         struct rowset **ret, struct err *err)
{
    struct pg_result *res = NULL;
    if (!pg_query(co->target, sql, count, params, &res, err))
        return false;
    *ret = rowset_of_pg(res);
    return true;
}

static bool pg_store_limit(struct cutover *co, int64_t ms, struct err *err)
{
    return pg_execf(co->target, err, "SET statement_timeout = %lld", (long long)MIN_OF(ms, INT32_MAX));
}

static int pg_store_socket(const struct cutover *co)
{
    return co->target != NULL ? pg_socket(co->target) : -1;
}

static bool pg_store_audit(struct cutover *co, struct audit **ret, struct err *err)
{
    return audit_on(co->target, co->pipeline, ret, err);
}

const struct store store_postgres = {
    .name = "PostgreSQL",
    .open = pg_store_open,
    .renew = pg_store_renew,
    .close = pg_store_close,
    .make = pg_store_make,
    .ask = pg_store_ask,
    .limit = pg_store_limit,
    .socket = pg_store_socket,
    .audit = pg_store_audit,
    .sql = {
        [STORE_BEGIN] = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
        [STORE_LOCK] =
            "SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended('crossfade.cutover:' || $1, "
            "0))",
        [STORE_STEP_ADD] =
            "INSERT INTO crossfade.cutover (cutover_id, pipeline, seq, state, detail) VALUES ($1, $2, $3, "
            "$4, $5::jsonb) ON CONFLICT (cutover_id, seq) DO UPDATE SET state = EXCLUDED.state, detail = "
            "EXCLUDED.detail",
        [STORE_STEP_STATE] =
            "SELECT state FROM crossfade.cutover WHERE cutover_id = $1 AND seq = $2::int FOR UPDATE",
        [STORE_STEP_READ] =
            "SELECT detail::text, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint FROM "
            "crossfade.cutover WHERE cutover_id = $1 AND seq = $2::int FOR UPDATE",
        [STORE_STEP_WRITE] =
            "UPDATE crossfade.cutover SET detail = $3::jsonb WHERE cutover_id = $1 AND seq = $2::int",
        [STORE_FIND_OPEN] =
            "SELECT cutover_id, seq, state, detail->>'pause_began_us', detail->>'final_lsn', "
            "detail->>'nonce', coalesce(detail->>'read_share', '0')"
            " FROM (SELECT DISTINCT ON (cutover_id) * FROM crossfade.cutover WHERE pipeline = $1"
            "  ORDER BY cutover_id, seq DESC) last WHERE state NOT IN ('done', 'aborted')"
            " ORDER BY at DESC LIMIT 1", /* a clock may have been put back: no other cutover's end hides it */
        [STORE_ENDED] = "SELECT EXISTS (SELECT FROM crossfade.cutover WHERE cutover_id = $1 AND state IN "
                        "('done', 'aborted'))",
        [STORE_THERE] = "SELECT pg_catalog.to_regclass('crossfade.cutover') IS NOT NULL",
        /* The last record of each cutover; who holds the lock works at the one that is open. */
        [STORE_LIST] =
            "SELECT DISTINCT ON (c.began, c.cutover_id) c.cutover_id, c.state, c.began_at, c.changed_at,"
            " coalesce(c.pause_us, 0), coalesce(CASE WHEN c.state <> 'done' THEN c.reason END, ''),"
            " c.state NOT IN ('done', 'aborted') AND EXISTS (SELECT FROM pg_catalog.pg_locks l,"
            "  pg_catalog.hashtextextended('crossfade.cutover:' || $1, 0) k WHERE l.locktype = 'advisory' "
            "AND "
            "l.granted AND l.objsubid = 1"
            "  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = "
            "current_database())"
            "  AND l.classid::bigint = (k >> 32) & 4294967295 AND l.objid::bigint = k & 4294967295)"
            " FROM (SELECT *, max((detail->>'pause_us')::bigint) OVER w AS pause_us, "
            "max(nullif(detail->>'reason', '')) OVER w AS reason,"
            "  min(at) OVER w AS began, " ISO("min(at) OVER w") " AS began_at, " ISO(
                "at") " AS changed_at"
                      " FROM crossfade.cutover WHERE pipeline = $1 AND ($2::text IS NULL OR cutover_id = $2)"
                      " WINDOW w AS (PARTITION BY cutover_id)) c"
                      " ORDER BY c.began DESC, c.cutover_id, c.seq DESC LIMIT 100",
        [STORE_STEPS] =
            "SELECT state, " ISO("at") ", coalesce(CASE WHEN lead(detail->>'from') OVER w = state THEN "
                                       "lead((detail->>'took_us')::bigint) OVER w END, -1)"
                                       " FROM crossfade.cutover WHERE pipeline = $1 AND cutover_id = $2 "
                                       "WINDOW w AS (ORDER BY seq) ORDER BY seq",
        [STORE_POSITION] =
            "SELECT lsn::text, complete, marker_nonce FROM crossfade.position WHERE pipeline = $1",
        [STORE_APPLIED] = "SELECT max(fence_id) FROM crossfade.position WHERE pipeline = $1",
        [STORE_BASELINE] =
            "SELECT fence_id, lsn, id FROM crossfade.verdict WHERE pipeline = $1 AND scope IN ('full', "
            "'changed') AND verdict = 'PASS' AND fence_id IS NOT NULL AND lsn IS NOT NULL AND detail ? "
            "'shapes' AND (started_at > $2::timestamptz OR detail->>'cutover' = $3)"
            " ORDER BY finished_at DESC LIMIT 1",
        [STORE_SHAPES] = "SELECT (detail->'shapes')::text FROM crossfade.verdict WHERE id = $1::bigint",
        [STORE_NOTED_SCHEMA] =
            "SELECT detail->>'schema' FROM crossfade.verdict WHERE pipeline = $1 AND verdict = 'PASS' AND"
            " scope IN ('full', 'changed') AND fence_id IS NOT NULL AND detail ? 'shapes' ORDER BY "
            "finished_at DESC LIMIT 1",
        [STORE_FULL_PASS] =
            "SELECT (extract(epoch FROM finished_at - started_at) * 1000)::bigint FROM crossfade.verdict"
            " WHERE pipeline = $1 AND scope = 'full' AND verdict = 'PASS' ORDER BY finished_at DESC LIMIT 1",
        [STORE_LAGS] =
            "SELECT count(*), (percentile_disc(0.95) WITHIN GROUP (ORDER BY lag_us)) / 1000 FROM "
            "crossfade.comparison"
            " WHERE pipeline = $1 AND lag_us IS NOT NULL AND finished_at > now() - interval '7 days'",
        [STORE_PAST] =
            "SELECT f, max(t) FROM (SELECT detail->>'from' AS f, (detail->>'took_us')::bigint / 1000 AS t,"
            " row_number() OVER (PARTITION BY detail->>'from' ORDER BY at DESC) AS n FROM crossfade.cutover"
            " WHERE pipeline = $1 AND detail->>'from' IS NOT NULL) x WHERE n <= 10 GROUP BY f",
        [STORE_SHADOW] = "SELECT verdict, coalesce(p95_source_us, 0), coalesce(p95_target_us, 0) FROM "
                         "crossfade.comparison"
                         " WHERE pipeline = $1 AND level = 'shadow' ORDER BY id DESC LIMIT 1",
        [STORE_SHADOW_LATENCY] =
            "SELECT detail->>'p95_source_us', detail->>'p95_target_us', extract(epoch FROM "
            "clock_timestamp() - finished_at)::bigint FROM crossfade.verdict WHERE pipeline = $1 AND "
            "scope = 'shadow' AND detail ? 'p95_target_us' ORDER BY id DESC LIMIT 1",
        [STORE_RECORDS] = "SELECT seq, state, (extract(epoch FROM at) * 1000000)::bigint, detail::text FROM "
                          "crossfade.cutover WHERE pipeline = $1 AND cutover_id = $2 ORDER BY seq LIMIT 1000",
        [STORE_VERDICTS_THERE] = "SELECT pg_catalog.to_regclass('crossfade.verdict') IS NOT NULL",
        [STORE_VERDICT_NEAR] =
            "SELECT v.verdict, v.scope, to_char(v.finished_at AT TIME ZONE 'UTC', "
            "'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), extract(epoch FROM coalesce($2::timestamptz, "
            "clock_timestamp()) - v.finished_at)::bigint, coalesce(v.lsn::text, ''), "
            "coalesce(v.detail->>'level', ''), (v.detail->>'tables')::bigint, "
            "(v.detail->>'rows_source')::bigint, (v.detail->>'differences')::bigint FROM crossfade.verdict v"
            " WHERE v.pipeline = $1 AND CASE WHEN $3::text = 'after' THEN v.started_at > $2::timestamptz "
            "ELSE "
            "v.finished_at <= coalesce($2::timestamptz, clock_timestamp()) AND ($3::text = 'last' OR "
            "(v.scope "
            "IN ('full', 'changed') AND v.verdict = 'PASS')) END ORDER BY v.id DESC LIMIT 1",
        [STORE_NOTE_START] =
            "INSERT INTO crossfade.verdict (pipeline, fence_id, lsn, scope, verdict, detail, started_at)"
            " SELECT $1, fence_id, lsn, 'changed', 'PASS',"
            " pg_catalog.jsonb_build_object('shapes', $2::jsonb, 'cutover', $3::text, 'schema', $4::text),"
            " clock_timestamp() FROM crossfade.position WHERE pipeline = $1 ORDER BY fence_id LIMIT 1",
        [STORE_IDENTITY] =
            "SELECT (SELECT system_identifier FROM pg_catalog.pg_control_system())::text || ' ' || d.oid ||"
            " ' ' || d.datname FROM pg_catalog.pg_database d WHERE d.datname = "
            "pg_catalog.current_database()",
    }};
