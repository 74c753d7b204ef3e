/* Owns the gates that ask the target: what its control tables tell, and whether it is ready to serve. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "back.h"
#include "core/alloc.h"
#include "gates.h"

/* What comparisons know of the target; reports show the same. */
bool gate_readiness(struct cutover *co, struct gate_result *gate)
{
    const struct readiness_gate *from = readiness_find(co->readiness, gate->name);
    if (from == NULL)
        return false;
    gate_measured(gate, "%s", from->measured);
    gate_limit(gate, "%s", from->limit);
    if (!from->met)
        gate_refuse(gate, "%s", from->hint);
    return true;
}

/* Who holds a lock for writing now, and is not one of us; and subscriptions, which write whenever they like. */
static const char writers_sql[] =
    "SELECT count(*), string_agg(f.who, ', ' ORDER BY f.who) FROM (SELECT DISTINCT pg_catalog.format('pid=%s "
    "role=%s "
    "application=%s', a.pid, coalesce(a.usename, a.backend_type), a.application_name) AS who FROM "
    "pg_catalog.pg_locks l JOIN "
    "pg_catalog.pg_stat_activity a ON a.pid = l.pid WHERE l.locktype = 'relation' AND l.granted AND l.mode "
    "IN "
    "('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')"
    " AND coalesce(a.backend_type, '') <> 'autovacuum worker' AND coalesce(a.application_name, '') NOT LIKE "
    "'crossfade %'"
    " AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())"
    " AND l.relation IN " GATE_OUR_TABLES
    " UNION SELECT 'subscription ' || s.subname FROM pg_catalog.pg_subscription s"
    " WHERE s.subenabled AND s.subdbid = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = "
    "current_database())) f";

/* Behind a switch of the other direction its triggers refuse all writers, who hold their locks until they have been told so. */
static bool target_is_closed(struct cutover *co, bool *ret, struct err *err)
{
    char id[40], at[40];
    if (!back_last_switch(co, id, at, err))
        return false;
    *ret = id[0] != '\0';
    return true;
}

bool writers_look(struct cutover *co, struct err *err)
{
    char *schemas CLEANUP(free_ptr) = gate_schemas(co);
    const char *params[] = {schemas};
    PG_RESULT_AUTO res = NULL;
    if (co->maria != NULL)
        return maria_writers_look(co, err);
    if (co->writers.looks == 0 && !target_is_closed(co, &co->writers.none_can, err))
        return err_wrap(err, "who writes to the target");
    co->writers.looks++;
    if (co->writers.none_can)
        return true;
    if (!pg_query(co->target, writers_sql, 1, params, &res, err))
        return err_wrap(err, "who writes to the target");
    if (pg_cell_int64(res, 0, 0) <= co->writers.most)
        return true;
    co->writers.most = pg_cell_int64(res, 0, 0);
    (void)snprintf(co->writers.names, sizeof co->writers.names, "%s", pg_cell(res, 0, 1));
    return true;
}

/* A write takes a moment: gate_lag() has looked as often as it has sent a marker. */
bool gate_writers(struct cutover *co, struct gate_result *gate)
{
    struct err failed = ERR_INIT;
    gate_limit(gate, "none");
    if (!writers_look(co, &failed))
        return gate_unmeasured(gate, &failed);
    gate_measured(gate, "%" PRId64 " writing, in %d looks", co->writers.most, co->writers.looks);
    if (co->writers.elsewhere > 0)
        gate_measured(gate,
                      "%" PRId64 " writing, in %d looks; %" PRId64
                      " in sessions of other databases, of which only "
                      "performance_schema would tell",
                      co->writers.most, co->writers.looks, co->writers.elsewhere);
    if (co->writers.most > 0)
        gate_refuse(gate, "nobody else may write to the target before the switch: %.150s", co->writers.names);
    return true;
}

/* The last run of shadow queries, where compare watch is to run them. */
bool gate_shadow(struct cutover *co, struct gate_result *gate)
{
    const char *params[] = {co->pipeline};
    ROWSET_AUTO rs = NULL;
    struct err failed = ERR_INIT;
    if (config_int(co->cfg, "compare.watch.shadow") == 0)
        return false;
    gate_limit(gate, "PASS, latency within %s", config_text(co->cfg, "compare.shadow.latency_regression"));
    if (!store_ask(co, STORE_SHADOW, 1, params, &rs, &failed))
        return gate_unmeasured(gate, &failed);
    if (rowset_rows(rs) == 0) {
        gate_measured(gate, "never ran");
        gate_refuse(gate, "let `crossfade compare watch` run, or set compare.watch.shadow to 0");
        return true;
    }
    gate_measured(gate, "%s, p95 %.1f ms on the source, %.1f ms on the target", rowset_cell(rs, 0, 0),
                  (double)rowset_int64(rs, 0, 1) / 1000.0, (double)rowset_int64(rs, 0, 2) / 1000.0);
    if (strcmp(rowset_cell(rs, 0, 0), "PASS") != 0)
        gate_refuse(gate, "look at the report of the shadow queries: `crossfade compare history`");
    return true;
}

/* By the run that was last made, by hand or by compare watch. */
bool gate_shadow_latency(struct cutover *co, struct gate_result *gate)
{
    const char *params[] = {co->pipeline}, *ratio = config_text(co->cfg, "cutover.shadow_latency_ratio");
    ROWSET_AUTO rs = NULL;
    struct err failed = ERR_INIT;
    double most = strtod(ratio, NULL);
    if (most <= 0)
        return false;
    gate_limit(gate, "p95 of the target <= %s x the source's", ratio);
    if (!store_ask(co, STORE_SHADOW_LATENCY, 1, params, &rs, &failed))
        return gate_unmeasured(gate, &failed);
    if (rowset_rows(rs) == 0) {
        gate_measured(gate, "never ran");
        gate_refuse(gate, "run `crossfade compare shadow`, or set cutover.shadow_latency_ratio to 0");
        return true;
    }
    double source = MAX_OF(1.0, (double)rowset_int64(rs, 0, 0)), target = (double)rowset_int64(rs, 0, 1);
    int64_t age_s = rowset_int64(rs, 0, 2), limit_s = config_int(co->cfg, "cutover.verdict_max_age_s");
    gate_measured(gate, "%.2f x: p95 %.1f ms on the source, %.1f ms on the target, %" PRId64 " s ago",
                  target / source, source / 1000.0, target / 1000.0, age_s);
    if (age_s > limit_s)
        gate_refuse(gate, "older than cutover.verdict_max_age_s: run `crossfade compare shadow` again");
    else if (target > most * source)
        gate_refuse(gate, "the target answers too slowly: ANALYZE it, warm its caches, look at the report of "
                          "`crossfade compare shadow`");
    return true;
}
