/* Owns: the control tables on PostgreSQL. See control.h. */
#include "control.h"

#include "pg/control_tables.h"
#include "postgres.h"
#include "sql/embedded.h"

static bool ensure(struct session *target, struct err *err)
{
    return pg_control_tables_ensure(session_postgres_conn(target),
                                    "crossfade.position crossfade.position.pending crossfade.release "
                                    "crossfade.verdict crossfade.comparison",
                                    embedded_sql_target_sql, "target", err);
}

const struct control control_postgres = {
    .ensure = ensure,
    .clean_releases = "DELETE FROM crossfade.release WHERE (pipeline, nonce) IN (SELECT pipeline, nonce FROM "
                      "crossfade.release WHERE pipeline = $1 AND released_at < now() - interval '1 day' "
                      "LIMIT 1000)",
    .copied = "SELECT count(*), bool_and(complete) FROM crossfade.position WHERE pipeline = $1",
    .position = "SELECT fence_id, lsn, coalesce(marker_kind, ''), coalesce(marker_nonce, ''), shard, "
                "complete, pending IS NOT NULL, fence_offset, (extract(epoch FROM commit_time) * "
                "1000000)::bigint FROM crossfade.position WHERE pipeline = $1 ORDER BY shard",
    .release = "INSERT INTO crossfade.release (pipeline, nonce) VALUES ($1, $2) ON CONFLICT DO NOTHING",
    .verdict =
        "INSERT INTO crossfade.verdict (pipeline, fence_id, lsn, scope, verdict, detail, started_at)"
        " VALUES ($1, $2::bigint, $3::pg_lsn, $4, $5, $6::jsonb || CASE WHEN $8::jsonb IS NULL THEN '{}'"
        " ELSE jsonb_build_object('shapes', $8::jsonb) END, $7::timestamptz)",
    /* by the tables' owner: our role may not delete (schemas/sql/target.sql) */
    .prune_verdicts = "SELECT crossfade.prune_verdicts($1)",
    .table_there = "SELECT count(to_regclass('crossfade.' || $1))",
    .dead_letters = "SELECT schema_name, table_name, count(*) FROM crossfade.dead_letter WHERE pipeline = $1 "
                    "AND state = 'held' GROUP BY 1, 2 ORDER BY 1, 2",
    .dual_writes =
        "SELECT d.schema_name, d.table_name, to_char(d.since, 'YYYY-MM-DD HH24:MI:SSOF'), count(c.id) "
        "FILTER (WHERE c.decision = 'source'), count(c.id) FILTER (WHERE c.decision = 'target'), "
        "count(c.id) FILTER (WHERE c.state = 'open') FROM crossfade.dual_write d LEFT JOIN "
        "crossfade.conflict c ON c.pipeline = d.pipeline AND c.schema_name = d.schema_name AND "
        "c.table_name = d.table_name AND c.seen_at >= d.since WHERE d.pipeline = $1 GROUP BY d.id",
    .triggers =
        "SELECT g.tgname FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON "
        "n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 AND NOT g.tgisinternal AND "
        "g.tgenabled IN ('A', 'R') ORDER BY 1",
    .unique_indexes =
        "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid "
        "= "
        "c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 AND (i.indisunique OR i.indisexclusion)",
    .comparison_add =
        "INSERT INTO crossfade.comparison (pipeline, level, every_s, started_at, finished_at, verdict, "
        "whole, "
        "fence_id, lsn, tables, row_count, differences, held_us, reason, p95_source_us, p95_target_us, "
        "lag_us) "
        "VALUES ($1, $2, $3::bigint, "
        "timestamptz 'epoch' + $4::bigint * interval '1 microsecond', timestamptz 'epoch' + $5::bigint * "
        "interval '1 microsecond', $6, $7::boolean, $8::bigint, $9::pg_lsn, $10::bigint, $11::bigint, "
        "$12::bigint, $13::bigint, $14, $15::bigint, $16::bigint, $17::bigint)",
    /* only the oldest are looked at: they are the first to go */
    .comparison_prune = "DELETE FROM crossfade.comparison WHERE id IN (SELECT id FROM (SELECT id, started_at "
                        "FROM crossfade.comparison WHERE pipeline = $1 "
                        "ORDER BY id LIMIT 5000) o WHERE started_at < timestamptz 'epoch' + $2::bigint * "
                        "interval '1 microsecond')",
    .comparison_rows =
        "SELECT id, level, verdict, whole, every_s, (extract(epoch FROM started_at) * 1000000)::bigint, "
        "(extract(epoch FROM finished_at) * 1000000)::bigint, fence_id FROM crossfade.comparison WHERE "
        "pipeline = $1 AND id > $2::bigint ORDER BY id LIMIT " COMPARISON_ROWS_SQL,
    .comparisons =
        "SELECT level, verdict, reason, (extract(epoch FROM started_at) * 1000000)::bigint, (extract(epoch "
        "FROM finished_at) * 1000000)::bigint, fence_id, tables, row_count, differences, whole, "
        "p95_source_us, p95_target_us, lag_us FROM "
        "crossfade.comparison WHERE pipeline = $1 ORDER BY id DESC LIMIT 1000",
    .last_verdict =
        "SELECT verdict, extract(epoch FROM clock_timestamp() - finished_at)::bigint, scope, "
        "coalesce((SELECT f.scope FROM crossfade.verdict f WHERE f.pipeline = $1 AND f.id > v.id AND "
        "f.verdict = 'FAIL' AND f.scope NOT IN ('full', 'changed', 'shadow') ORDER BY f.id DESC LIMIT 1), "
        "'') FROM crossfade.verdict v WHERE pipeline = $1 AND scope IN ('full', 'changed') ORDER BY "
        "finished_at DESC LIMIT 1",
    .rest_owed =
        "SELECT coalesce(max(owed), 0)::bigint FROM (SELECT coalesce((detail->>'rest_owed_ms')::bigint, "
        "0) - extract(epoch FROM clock_timestamp() - finished_at) * 1000 AS owed FROM "
        "crossfade.verdict WHERE pipeline = $1 ORDER BY id DESC LIMIT 20) AS last",
    .held_letters = "SELECT count(*) FROM crossfade.dead_letter WHERE pipeline = $1 AND state = 'held'",
    .open_conflicts = "SELECT count(*) FROM crossfade.conflict WHERE pipeline = $1 AND state = 'open'",
};
