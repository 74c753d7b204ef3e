/* Owns: the control tables on MariaDB: in the URL's database, by a prefix. See control.h. */
#include "control.h"

#include <stdlib.h>

#include "maria/script.h"
#include "sql/embedded.h"

#define NEEDED_TABLES 4
static const char needed_sql[] =
    "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN "
    "('crossfade_position', 'crossfade_release', 'crossfade_verdict', 'crossfade_comparison')";

static bool run_script(struct session *target, const char *script, struct err *err)
{
    bool ok = true;
    for (char *sql; ok && (sql = maria_script_next(&script)) != NULL; free(sql))
        ok = session_exec(target, sql, err);
    return ok;
}

static bool ensure(struct session *target, struct err *err)
{
    int64_t there = 0;
    if (!session_int64(target, needed_sql, 0, NULL, &there, err))
        return err_wrap(err, "target: control tables");
    if (there == NEEDED_TABLES)
        return true;
    struct err refused = ERR_INIT;
    if (run_script(target, embedded_sql_target_mariadb_sql, &refused))
        return true;
    if (session_int64(target, needed_sql, 0, NULL, &there, NULL) && there == NEEDED_TABLES)
        return true; /* somebody with more rights made them meanwhile */
    if (err != NULL)
        *err = refused;
    return err_wrap(err, "creating the control tables on the target");
}

const struct control control_mariadb = {
    .ensure = ensure,
    .clean_releases = "DELETE FROM crossfade_release WHERE pipeline = $1 AND released_at < SYSDATE(6) - "
                      "INTERVAL 1 DAY LIMIT 1000",
    .copied = "SELECT COUNT(*), MIN(complete) FROM crossfade_position WHERE pipeline = $1",
    .position = "SELECT fence_id, lsn, COALESCE(marker_kind, ''), COALESCE(marker_nonce, ''), shard, "
                "complete, pending IS NOT NULL, fence_offset, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', "
                "commit_time) FROM crossfade_position WHERE pipeline = $1 ORDER BY shard",
    .release = "INSERT IGNORE INTO crossfade_release (pipeline, nonce) VALUES ($1, $2)",
    /* JSON_COMPACT makes a document of the text, else it would go in as a string */
    .verdict =
        "INSERT INTO crossfade_verdict (pipeline, fence_id, lsn, scope, verdict, detail, started_at) VALUES "
        "($1, $2, $3, $4, $5, JSON_MERGE_PATCH($6, IF($8 IS NULL, '{}', JSON_OBJECT('shapes', "
        "JSON_COMPACT($8)))), REPLACE(REPLACE($7, 'T', ' '), 'Z', ''))",
    .prune_verdicts = "DELETE FROM crossfade_verdict WHERE pipeline = $1 AND id < (SELECT MIN(id) FROM "
                      "(SELECT id FROM crossfade_verdict WHERE "
                      "pipeline = $1 ORDER BY id DESC LIMIT 200) newest) AND id < (SELECT id FROM (SELECT "
                      "COALESCE(MAX(id), 9223372036854775807) AS id FROM crossfade_verdict WHERE "
                      "pipeline = $1 AND scope IN ('full', 'changed') AND verdict = 'PASS') passed)",
    .table_there = "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND "
                   "TABLE_NAME = CONCAT('crossfade_', $1)",
    .dead_letters = "SELECT schema_name, table_name, COUNT(*) FROM crossfade_dead_letter WHERE pipeline = $1 "
                    "AND state = 'held' GROUP BY 1, 2 ORDER BY 1, 2",
    .dual_writes =
        "SELECT d.schema_name, d.table_name, DATE_FORMAT(d.since, '%Y-%m-%d %H:%i:%s+00'), "
        "COUNT(IF(c.decision = 'source', 1, NULL)), COUNT(IF(c.decision = 'target', 1, NULL)), "
        "COUNT(IF(c.state = 'open', 1, NULL)) FROM crossfade_dual_write d LEFT JOIN crossfade_conflict c ON "
        "c.pipeline = d.pipeline AND c.schema_name = d.schema_name AND c.table_name = d.table_name AND "
        "c.seen_at >= d.since WHERE d.pipeline = $1 GROUP BY d.id",
    .triggers = "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = $1 AND "
                "EVENT_OBJECT_TABLE = $2 ORDER BY 1",
    .unique_indexes =
        "SELECT COUNT(DISTINCT INDEX_NAME) FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = "
        "$1 AND TABLE_NAME = $2 AND NON_UNIQUE = 0",
    .comparison_add =
        "INSERT INTO crossfade_comparison (pipeline, level, every_s, started_at, finished_at, "
        "verdict, whole, "
        "fence_id, lsn, tables, row_count, differences, held_us, reason, p95_source_us, p95_target_us, "
        "lag_us) "
        "VALUES ($1, $2, $3, "
        "TIMESTAMP '1970-01-01 00:00:00' + INTERVAL $4 MICROSECOND, TIMESTAMP '1970-01-01 "
        "00:00:00' + INTERVAL $5 MICROSECOND, $6, $7 = 't', $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
    .comparison_prune = "DELETE FROM crossfade_comparison WHERE id IN (SELECT id FROM (SELECT id, started_at "
                        "FROM crossfade_comparison WHERE "
                        "pipeline = $1 ORDER BY id LIMIT 5000) o WHERE started_at < TIMESTAMP '1970-01-01 "
                        "00:00:00' + INTERVAL $2 MICROSECOND)",
    .comparison_rows =
        "SELECT id, level, verdict, whole, every_s, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', started_at), "
        "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', finished_at), fence_id FROM crossfade_comparison WHERE "
        "pipeline = $1 AND id > CAST($2 AS unsigned) ORDER BY id LIMIT " COMPARISON_ROWS_SQL,
    .comparisons =
        "SELECT level, verdict, reason, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', started_at), "
        "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', finished_at), fence_id, tables, row_count, differences, "
        "whole, p95_source_us, p95_target_us, lag_us FROM crossfade_comparison WHERE pipeline = $1 ORDER BY "
        "id DESC "
        "LIMIT 1000",
    .last_verdict =
        "SELECT v.verdict, TIMESTAMPDIFF(SECOND, v.finished_at, UTC_TIMESTAMP(6)), v.scope, "
        "COALESCE((SELECT f.scope FROM crossfade_verdict f WHERE f.pipeline = $1 AND f.id > v.id AND "
        "f.verdict = 'FAIL' AND f.scope NOT IN ('full', 'changed', 'shadow') ORDER BY f.id DESC LIMIT 1), "
        "'') FROM crossfade_verdict v WHERE v.pipeline = $1 AND v.scope IN ('full', 'changed') ORDER BY "
        "v.finished_at DESC LIMIT 1",
    .rest_owed =
        "SELECT COALESCE(MAX(owed), 0) FROM (SELECT COALESCE(CAST(JSON_VALUE(detail, '$.rest_owed_ms') AS "
        "SIGNED), 0) - TIMESTAMPDIFF(MICROSECOND, finished_at, UTC_TIMESTAMP(6)) DIV 1000 AS owed FROM "
        "crossfade_verdict WHERE pipeline = $1 ORDER BY id DESC LIMIT 20) AS l",
    .held_letters = "SELECT COUNT(*) FROM crossfade_dead_letter WHERE pipeline = $1 AND state = 'held'",
    .open_conflicts = "SELECT COUNT(*) FROM crossfade_conflict WHERE pipeline = $1 AND state = 'open'",
};
