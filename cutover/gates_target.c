/* Owns the gates that ask the target: what its control tables tell, and whether it is ready to serve. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* The tables of the target in the schemas that the pipeline has tables in. */
#define OUR_TABLES                                                                                           \
    "(SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"      \
    " WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'crossfade' AND n.nspname = ANY ($1::text[]))"

char *gate_schemas(const struct cutover *co)
{
    struct strbuf list = STRBUF_INIT(STRBUF_SQL_MAX);
    size_t n = 0;
    for (size_t i = 0; i < co->table_count; i++) {
        if (i == 0 || strcmp(co->tables[i].schema, co->tables[i - 1].schema) != 0)
            pg_array_text(&list, n++, co->tables[i].schema);
    }
    pg_array_end(&list, n);
    return strbuf_detach(&list);
}

/* What was put off until after the copy, and never made good. */
bool gate_constraints(struct cutover *co, struct gate_result *gate)
{
    char *schemas CLEANUP(free_ptr) = gate_schemas(co);
    gate_limit(gate, "all proven");
    return gate_counts(
        co->target,
        "SELECT count(*), string_agg(k.conrelid::regclass || ' ' || pg_catalog.quote_ident(k.conname), ', ')"
        " FROM pg_catalog.pg_constraint k WHERE NOT k.convalidated AND k.conrelid IN " OUR_TABLES,
        schemas, gate, 0, "not proven", "on the target: ALTER TABLE … VALIDATE CONSTRAINT …");
}

bool gate_indexes(struct cutover *co, struct gate_result *gate)
{
    char *schemas CLEANUP(free_ptr) = gate_schemas(co);
    gate_limit(gate, "all valid");
    return gate_counts(
        co->target,
        "SELECT count(*), string_agg(i.indexrelid::regclass::text, ', ') FROM pg_catalog.pg_index i"
        " WHERE NOT (i.indisvalid AND i.indisready) AND i.indrelid IN " OUR_TABLES,
        schemas, gate, 0, "not valid", "on the target: REINDEX INDEX …");
}

/* Who writes to the target now, and is not one of us. */
bool gate_writers(struct cutover *co, struct gate_result *gate)
{
    char *schemas CLEANUP(free_ptr) = gate_schemas(co);
    gate_limit(gate, "none");
    return gate_counts(
        co->target,
        "SELECT count(DISTINCT l.pid), string_agg(DISTINCT pg_catalog.format('pid=%s role=%s "
        "application=%s', a.pid, a.usename,"
        " a.application_name), ', ') FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid "
        "= l.pid"
        " WHERE l.locktype = 'relation' AND l.granted AND l.mode IN ('RowExclusiveLock', "
        "'ShareRowExclusiveLock', 'ExclusiveLock',"
        " 'AccessExclusiveLock') AND coalesce(a.backend_type, 'client backend') = 'client backend'"
        " AND coalesce(a.application_name, '') NOT LIKE 'crossfade %' AND l.database = (SELECT d.oid FROM "
        "pg_catalog.pg_database d"
        " WHERE d.datname = current_database()) AND l.relation IN " OUR_TABLES,
        schemas, gate, 0, "writing", "nobody else may write to the target before the switch");
}

/* The last run of shadow queries, where compare watch is to run them. */
bool gate_shadow(struct cutover *co, struct gate_result *gate)
{
    const char *params[] = {co->pipeline};
    PG_RESULT_AUTO res = NULL;
    struct err failed = ERR_INIT;
    if (config_int(co->cfg, "compare.watch.shadow") == 0)
        return false;
    gate_limit(gate, "PASS, latency within %s", config_text(co->cfg, "compare.shadow.latency_regression"));
    if (!pg_query(
            co->target,
            "SELECT verdict, coalesce(p95_source_us, 0), coalesce(p95_target_us, 0) FROM crossfade.comparison"
            " WHERE pipeline = $1 AND level = 'shadow' ORDER BY id DESC LIMIT 1",
            1, params, &res, &failed))
        return gate_unmeasured(gate, &failed);
    if (pg_rows(res) == 0) {
        gate_measured(gate, "never ran");
        gate_refuse(gate, "let `crossfade compare watch` run, or set compare.watch.shadow to 0");
        return true;
    }
    gate_measured(gate, "%s, p95 %.1f ms on the source, %.1f ms on the target", pg_cell(res, 0, 0),
                  (double)pg_cell_int64(res, 0, 1) / 1000.0, (double)pg_cell_int64(res, 0, 2) / 1000.0);
    if (strcmp(pg_cell(res, 0, 0), "PASS") != 0)
        gate_refuse(gate, "look at the report of the shadow queries: `crossfade compare history`");
    return true;
}
