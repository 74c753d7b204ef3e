/* Owns: the watch's statements, in both dialects. See statements.h. */
#include "statements.h"

#include "cutover/cutover_internal.h"

/* As comparisons write it: of PostgreSQL's errors and, by lib/maria/error.c's table, of MariaDB's. */
#define DAMAGE "SQLSTATE (XX|58030)"

static const char *const postgres[WATCH_STATEMENTS] = {
    [ASK_ALIVE] = "SELECT 1",
    [ASK_LOCK] = "SELECT pg_catalog.pg_try_advisory_lock("
                 "pg_catalog.hashtextextended('crossfade.cutover_watch:' || $1, 0))",
    [ASK_LOAD] = "SELECT state::text FROM crossfade.cutover_watch WHERE pipeline = $1",
    [ASK_SAVE] = "INSERT INTO crossfade.cutover_watch (pipeline, state) VALUES ($1, $2::jsonb)"
                 " ON CONFLICT (pipeline) DO UPDATE SET state = excluded.state, changed_at = "
                 "pg_catalog.clock_timestamp()"
                 " WHERE crossfade.cutover_watch.state IS DISTINCT FROM excluded.state",
    [ASK_NEWEST] = "SELECT cutover_id, state, (extract(epoch FROM at) * 1000000)::bigint FROM "
                   "crossfade.cutover WHERE pipeline = $1 ORDER BY at DESC, seq DESC LIMIT 1",
    [ASK_FAILING] =
        "SELECT count(*) FILTER (WHERE verdict = 'FAIL'), coalesce(string_agg(level || ': ' || "
        "coalesce(reason, 'FAIL'), '; ') FILTER (WHERE verdict = 'FAIL'), ''), count(*) FROM (SELECT "
        "DISTINCT ON (level) level, verdict, reason FROM crossfade.comparison"
        " WHERE pipeline = $1 AND verdict IN ('PASS', 'FAIL') AND level <> 'shadow'"
        " AND started_at > pg_catalog.to_timestamp($2::numeric / 1000000) ORDER BY level, id DESC) last",
    /* `fails` as the run that compared all queries counts them; of a version that did not, null. */
    [ASK_SHADOW] =
        "SELECT (detail->>'compared')::bigint, (detail->>'failed')::bigint, "
        "(detail->>'p95_source_us')::bigint, (detail->>'p95_target_us')::bigint FROM crossfade.verdict WHERE "
        "pipeline = $1 AND scope = 'shadow' AND started_at > pg_catalog.to_timestamp($2::numeric / 1000000)"
        " ORDER BY id DESC LIMIT 1",
    [ASK_DAMAGE] =
        "SELECT count(*), coalesce(min(level || ': ' || substring(reason FROM 'SQLSTATE [0-9A-Z]{5}') || "
        "': ' || reason), '') FROM (SELECT DISTINCT ON (level) level, reason FROM crossfade.comparison"
        " WHERE pipeline = $1 ORDER BY level, id DESC) last WHERE reason ~ '" DAMAGE "'",
    [ASK_DECISION] = "SELECT state FROM crossfade.decision WHERE pipeline = $1",
    [ASK_POSITION] = "SELECT count(*), (extract(epoch FROM min(commit_time)) * 1000000)::bigint FROM "
                     "crossfade.position WHERE pipeline = $1",
};

#define US(time) "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', " time ")"
/* 64 characters, as many as a name may have */
#define LOCK_NAME "CONCAT('crossfade_cut_watch_', MD5(CONCAT_WS('\\n', DATABASE(), $1)))"

static const char *const mariadb[WATCH_STATEMENTS] = {
    [ASK_ALIVE] = "SELECT 1",
    [ASK_LOCK] = "SELECT GET_LOCK(" LOCK_NAME ", 1)" /* a session that was killed is there for a moment */,
    [ASK_LOAD] = "SELECT state FROM crossfade_cutover_watch WHERE pipeline = $1",
    [ASK_SAVE] = "INSERT INTO crossfade_cutover_watch (pipeline, state) VALUES ($1, $2) ON DUPLICATE KEY "
                 "UPDATE changed_at = IF(state = VALUES(state), changed_at, SYSDATE(6)), state = "
                 "VALUES(state)",
    [ASK_NEWEST] = "SELECT cutover_id, state, " US("at") " FROM crossfade_cutover WHERE pipeline = $1"
                                                         " ORDER BY at DESC, seq DESC LIMIT 1",
    [ASK_FAILING] =
        "SELECT COALESCE(SUM(verdict = 'FAIL'), 0), COALESCE(GROUP_CONCAT(IF(verdict = 'FAIL', "
        "CONCAT(level, ': ', COALESCE(reason, 'FAIL')), NULL) SEPARATOR '; '), ''), COUNT(*) FROM (SELECT "
        "c.level, c.verdict, c.reason, ROW_NUMBER() OVER (PARTITION BY c.level ORDER BY c.id DESC) AS n"
        " FROM crossfade_comparison c WHERE c.pipeline = $1 AND c.verdict IN ('PASS', 'FAIL') AND c.level "
        "<> 'shadow' AND " US("c.started_at") " > CAST($2 AS SIGNED)) l WHERE n = 1",
    [ASK_SHADOW] =
        "SELECT JSON_VALUE(detail, '$.compared'), JSON_VALUE(detail, '$.failed'), JSON_VALUE(detail, "
        "'$.p95_source_us'), JSON_VALUE(detail, '$.p95_target_us') FROM crossfade_verdict WHERE pipeline = "
        "$1 AND scope = 'shadow' AND " US("started_at") " > CAST($2 AS SIGNED) ORDER BY id DESC LIMIT 1",
    [ASK_DAMAGE] =
        "SELECT COUNT(*), COALESCE(MIN(CONCAT(level, ': ', REGEXP_SUBSTR(reason, 'SQLSTATE [0-9A-Z]{5}'), ': "
        "', reason)), '') FROM (SELECT c.level, "
        "c.reason, ROW_NUMBER() OVER (PARTITION BY c.level ORDER BY c.id DESC) AS n FROM "
        "crossfade_comparison c WHERE c.pipeline = $1) l WHERE n = 1 AND reason REGEXP '" DAMAGE "'",
    [ASK_DECISION] = "SELECT state FROM crossfade_decision WHERE pipeline = $1",
    [ASK_POSITION] = "SELECT COUNT(*), " US("MIN(commit_time)") " FROM crossfade_position WHERE pipeline = "
                                                                "$1",
};

const char *watch_statement(const struct cutover *side, enum watch_statement what)
{
    return side->store == &store_mariadb ? mariadb[what] : postgres[what];
}
