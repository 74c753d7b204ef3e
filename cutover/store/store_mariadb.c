/*
 * Owns: the control tables on a MariaDB target (crossfade_* in the database of target.url). See store.h. Times are UTC: the session's time
 * zone is. The lock is GET_LOCK's: it goes with the session.
 */
#include <stdio.h>
#include <stdlib.h>

#include "audit/audit.h"
#include "compare/borrowed.h"
#include "core/alloc.h"
#include "cutover/cutover_internal.h"
#include "cutover/store/store.h"
#include "maria/conn.h"
#include "maria/script.h"
#include "sql/embedded.h"

#define ISO(value) "CONCAT(LEFT(DATE_FORMAT(" value ", '%Y-%m-%dT%H:%i:%s.%f'), 23), 'Z')"
/* 58 characters; a name may have 64 */
#define LOCK_NAME "CONCAT('crossfade_cutover_', SHA1(CONCAT_WS('\\n', DATABASE(), $1)))"

bool store_mariadb_lock_name(struct cutover *co, char **ret, struct err *err)
{
    return session_text(co->maria, "SELECT QUOTE(" LOCK_NAME ")", 1, &co->pipeline, ret, err);
}

static bool open_one(struct cutover *co, struct session **ret, struct err *err)
{
    char program[80];
    (void)snprintf(program, sizeof program, "crossfade cutover %s", co->pipeline);
    return session_mariadb_as(config_text(co->cfg, "target.url"), program, ret, err) ||
           err_wrap(err, "target.url");
}

static bool maria_store_open(struct cutover *co, struct err *err)
{
    return open_one(co, &co->maria, err);
}

static bool maria_store_renew(struct cutover *co, struct err *err)
{
    struct session *fresh = NULL, *old;
    if (co->maria != NULL && session_exec(co->maria, "ROLLBACK", NULL)) {
        trail_settled(co);
        return true;
    }
    if (!open_one(co, &fresh, err))
        return false;
    deadline_hold(co);
    old = co->maria;
    co->maria = fresh;
    deadline_let_go(co);
    trail_forget(co); /* its chain is on the session that goes */
    session_close(old);
    return true;
}

static void maria_store_close(struct cutover *co)
{
    session_close(co->maria);
    co->maria = NULL;
}

static const char needed_sql[] =
    "SELECT COUNT(*) = 4 FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN "
    "('crossfade_position', 'crossfade_verdict', 'crossfade_comparison', 'crossfade_cutover')";

static bool all_there(struct cutover *co, const char *needed, bool *ret, struct err *err)
{
    int64_t there = 0;
    bool ok = session_int64(co->maria, needed, 0, NULL, &there, err);
    *ret = there == 1;
    return ok;
}

bool store_mariadb_make(struct cutover *co, const char *needed, struct err *err)
{
    const char *script = embedded_sql_target_mariadb_sql;
    struct err refused = ERR_INIT;
    bool there = false, ok = true;
    if (!all_there(co, needed, &there, err) || there)
        return there || err_wrap(err, "target: control tables");
    for (char *sql; ok && (sql = maria_script_next(&script)) != NULL; free(sql))
        ok = session_exec(co->maria, sql, &refused);
    /* Somebody with more rights may have made them meanwhile. */
    if (ok || (all_there(co, needed, &there, NULL) && there))
        return true;
    *err = refused;
    return err_wrap(err, "creating the control tables on the target");
}

static bool maria_store_make(struct cutover *co, struct err *err)
{
    return store_mariadb_make(co, needed_sql, err);
}

static bool maria_store_ask(struct cutover *co, const char *sql, int count, const char *const *params,
                            struct rowset **ret, struct err *err)
{
    return session_ask(co->maria, sql, count, params, ret, err);
}

static bool maria_store_limit(struct cutover *co, int64_t ms, struct err *err)
{
    return session_limit_time(co->maria, MIN_OF(ms, INT32_MAX), err);
}

static int maria_store_socket(const struct cutover *co)
{
    return co->maria != NULL ? session_socket(co->maria) : -1;
}

static bool maria_store_audit(struct cutover *co, struct audit **ret, struct err *err)
{
    return audit_on_mariadb(session_mariadb_conn(co->maria), co->pipeline, ret, err);
}

const struct store store_mariadb = {
    .name = "MariaDB",
    .open = maria_store_open,
    .renew = maria_store_renew,
    .close = maria_store_close,
    .make = maria_store_make,
    .ask = maria_store_ask,
    .limit = maria_store_limit,
    .socket = maria_store_socket,
    .audit = maria_store_audit,
    .sql = {
        [STORE_BEGIN] = "START TRANSACTION READ WRITE",
        [STORE_LOCK] =
            "SELECT GET_LOCK(" LOCK_NAME ", 1)" /* a session that was killed is there for a moment */,
        [STORE_STEP_ADD] = "INSERT INTO crossfade_cutover (cutover_id, pipeline, seq, state, detail) VALUES "
                           "($1, $2, $3, $4, "
                           "$5) ON DUPLICATE KEY UPDATE state = VALUES(state), detail = VALUES(detail)",
        [STORE_STEP_STATE] =
            "SELECT state FROM crossfade_cutover WHERE cutover_id = $1 AND seq = $2 FOR UPDATE",
        [STORE_STEP_READ] = "SELECT detail, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', SYSDATE(6)) FROM "
                            "crossfade_cutover WHERE "
                            "cutover_id = $1 AND seq = $2 FOR UPDATE",
        [STORE_STEP_WRITE] = "UPDATE crossfade_cutover SET detail = $3 WHERE cutover_id = $1 AND seq = $2",
        [STORE_FIND_OPEN] =
            "SELECT cutover_id, seq, state, JSON_VALUE(detail, '$.pause_began_us'), JSON_VALUE(detail, "
            "'$.final_lsn'), JSON_VALUE(detail, '$.nonce'), COALESCE(JSON_VALUE(detail, '$.read_share'), '0')"
            " FROM (SELECT c.*, ROW_NUMBER() OVER (PARTITION BY cutover_id ORDER BY seq DESC) AS n FROM "
            "crossfade_cutover c WHERE pipeline = $1) l WHERE n = 1 AND state NOT IN ('done', 'aborted')"
            " ORDER BY at DESC LIMIT 1",
        [STORE_ENDED] = "SELECT EXISTS (SELECT 1 FROM crossfade_cutover WHERE cutover_id = $1 AND state IN "
                        "('done', 'aborted'))",
        [STORE_THERE] = "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND "
                        "TABLE_NAME = 'crossfade_cutover'",
        [STORE_LIST] = "SELECT cutover_id, state, " ISO("began") ", " ISO(
            "at") ", COALESCE(pause_us, 0), COALESCE(IF(state <> 'done', reason, NULL), ''), state NOT "
                  "IN ('done', 'aborted') AND IS_USED_LOCK(" LOCK_NAME ") IS NOT NULL FROM (SELECT c.*,"
                  " ROW_NUMBER() OVER (PARTITION BY cutover_id ORDER BY seq DESC) AS n,"
                  " MAX(CAST(JSON_VALUE(detail, '$.pause_us') AS SIGNED)) OVER (PARTITION BY cutover_id) "
                  "AS pause_us,"
                  " MAX(NULLIF(JSON_VALUE(detail, '$.reason'), '')) OVER (PARTITION BY cutover_id) AS "
                  "reason, MIN(at) OVER (PARTITION BY cutover_id) AS began FROM crossfade_cutover c"
                  " WHERE pipeline = $1 AND ($2 IS NULL OR cutover_id = $2)) l WHERE n = 1"
                  " ORDER BY began DESC, cutover_id LIMIT 100",
        [STORE_STEPS] = "SELECT state, " ISO(
            "at") ", COALESCE(IF(came_from = state, took_us, NULL), -1) FROM (SELECT state, at, seq,"
                  " LEAD(JSON_VALUE(detail, '$.from')) OVER (ORDER BY seq) AS came_from,"
                  " LEAD(CAST(JSON_VALUE(detail, '$.took_us') AS SIGNED)) OVER (ORDER BY seq) AS took_us"
                  " FROM crossfade_cutover WHERE pipeline = $1 AND cutover_id = $2) s ORDER BY seq",
        [STORE_POSITION] = "SELECT lsn, complete, marker_nonce FROM crossfade_position WHERE pipeline = $1",
        [STORE_APPLIED] = "SELECT MAX(fence_id) FROM crossfade_position WHERE pipeline = $1",
        [STORE_BASELINE] =
            "SELECT fence_id, lsn, id FROM crossfade_verdict WHERE pipeline = $1 AND scope IN ('full', "
            "'changed') AND verdict = 'PASS' AND fence_id IS NOT NULL AND lsn IS NOT NULL AND "
            "JSON_EXISTS(detail, '$.shapes') AND ($2 = '-infinity' OR started_at > NULLIF($2, '-infinity') "
            "OR "
            "JSON_VALUE(detail, '$.cutover') = $3)"
            " ORDER BY finished_at DESC LIMIT 1",
        [STORE_SHAPES] = "SELECT JSON_EXTRACT(detail, '$.shapes') FROM crossfade_verdict WHERE id = $1",
        [STORE_NOTED_SCHEMA] =
            "SELECT JSON_VALUE(detail, '$.schema') FROM crossfade_verdict WHERE pipeline = $1 AND verdict = "
            "'PASS' AND scope IN ('full', 'changed') AND fence_id IS NOT NULL AND JSON_EXISTS(detail, "
            "'$.shapes') ORDER BY finished_at DESC LIMIT 1",
        [STORE_FULL_PASS] =
            "SELECT TIMESTAMPDIFF(MICROSECOND, started_at, finished_at) DIV 1000 FROM crossfade_verdict"
            " WHERE pipeline = $1 AND scope = 'full' AND verdict = 'PASS' ORDER BY finished_at DESC LIMIT 1",
        [STORE_LAGS] =
            "SELECT COUNT(*) OVER (), PERCENTILE_DISC(0.95) WITHIN GROUP (ORDER BY lag_us) OVER () DIV 1000 "
            "FROM crossfade_comparison WHERE pipeline = $1 AND lag_us IS NOT NULL AND finished_at > "
            "SYSDATE(6) - INTERVAL 7 DAY LIMIT 1",
        [STORE_PAST] =
            "SELECT f, MAX(t) FROM (SELECT JSON_VALUE(detail, '$.from') AS f, CAST(JSON_VALUE(detail, "
            "'$.took_us') AS SIGNED) DIV 1000 AS t, ROW_NUMBER() OVER (PARTITION BY JSON_VALUE(detail, "
            "'$.from') ORDER BY at DESC) AS n FROM crossfade_cutover WHERE pipeline = $1 AND "
            "JSON_VALUE(detail, '$.from') IS NOT NULL) x WHERE n <= 10 GROUP BY f",
        [STORE_SHADOW] = "SELECT verdict, COALESCE(p95_source_us, 0), COALESCE(p95_target_us, 0) FROM "
                         "crossfade_comparison WHERE pipeline = $1 AND level = 'shadow' ORDER BY id DESC "
                         "LIMIT 1",
        [STORE_SHADOW_LATENCY] =
            "SELECT JSON_VALUE(detail, '$.p95_source_us'), JSON_VALUE(detail, '$.p95_target_us'), "
            "TIMESTAMPDIFF(SECOND, finished_at, SYSDATE(6)) FROM crossfade_verdict WHERE pipeline = $1 AND "
            "scope = 'shadow' AND JSON_EXISTS(detail, '$.p95_target_us') ORDER BY id DESC LIMIT 1",
        [STORE_RECORDS] =
            "SELECT seq, state, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', at), detail FROM crossfade_cutover "
            "WHERE pipeline = $1 AND cutover_id = $2 ORDER BY seq LIMIT 1000",
        [STORE_VERDICTS_THERE] = "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = "
                                 "DATABASE() AND TABLE_NAME = 'crossfade_verdict'",
        [STORE_VERDICT_NEAR] =
            "SELECT v.verdict, v.scope, DATE_FORMAT(v.finished_at, '%Y-%m-%dT%H:%i:%s.%fZ'), "
            "TIMESTAMPDIFF(SECOND, v.finished_at, n.at), COALESCE(v.lsn, ''), COALESCE(JSON_VALUE(v.detail, "
            "'$.level'), ''), JSON_VALUE(v.detail, '$.tables'), JSON_VALUE(v.detail, '$.rows_source'), "
            "JSON_VALUE(v.detail, '$.differences') FROM (SELECT CAST(COALESCE(REPLACE(REPLACE($2, 'T', ' '), "
            "'Z', ''), SYSDATE(6)) AS datetime(6)) AS at) n, crossfade_verdict v WHERE v.pipeline = $1 AND "
            "IF($3 = 'after', v.started_at > n.at, v.finished_at <= n.at AND ($3 = 'last' OR (v.scope IN "
            "('full', 'changed') AND v.verdict = 'PASS'))) ORDER BY v.id DESC LIMIT 1",
        [STORE_NOTE_START] =
            "INSERT INTO crossfade_verdict (pipeline, fence_id, lsn, scope, verdict, detail, started_at) "
            "SELECT $1, "
            "fence_id, lsn, 'changed', 'PASS', JSON_OBJECT('shapes', JSON_COMPACT($2), 'cutover', $3, "
            "'schema', $4), "
            "SYSDATE(6) FROM crossfade_position WHERE pipeline = $1 ORDER BY fence_id LIMIT 1",
        [STORE_IDENTITY] = "SELECT CONCAT_WS(' ', @@hostname, @@port, @@server_id, DATABASE())",
    }};
