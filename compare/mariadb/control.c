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
                "complete, pending IS NOT NULL FROM crossfade_position WHERE pipeline = $1 ORDER BY shard",
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
    .comparison_add = "INSERT INTO crossfade_comparison (pipeline, level, every_s, started_at, finished_at, "
                      "verdict, whole, "
                      "fence_id, lsn, tables, row_count, differences, held_us, reason) VALUES ($1, $2, $3, "
                      "TIMESTAMP '1970-01-01 00:00:00' + INTERVAL $4 MICROSECOND, TIMESTAMP '1970-01-01 "
                      "00:00:00' + INTERVAL $5 MICROSECOND, $6, $7 = 't', $8, $9, $10, $11, $12, $13, $14)",
    .comparison_prune = "DELETE FROM crossfade_comparison WHERE pipeline = $1 AND started_at < TIMESTAMP "
                        "'1970-01-01 00:00:00' + INTERVAL $2 MICROSECOND "
                        "ORDER BY id LIMIT 5000",
    .comparison_levels =
        "SELECT c.level, c.every_s, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', c.started_at) FROM "
        "crossfade_comparison c JOIN (SELECT MAX(id) AS id FROM crossfade_comparison WHERE pipeline = $1 "
        "GROUP BY level) n ON n.id = c.id ORDER BY c.every_s, c.level",
    .comparison_window =
        COMPARISON_WINDOW_SQL("crossfade_comparison", "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', started_at)",
                              "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', finished_at)"),
    .comparisons =
        "SELECT level, verdict, reason, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', started_at), "
        "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', finished_at), fence_id, tables, row_count, differences, "
        "whole FROM crossfade_comparison WHERE pipeline = $1 ORDER BY id DESC LIMIT 1000",
};
