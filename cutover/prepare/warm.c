/*
 * Owns the target's caches: what clients ask for in the first minute shall not come from disk. The shadow queries are the application's own
 * reads; pg_prewarm reads whole relations, those first that the source reads most, until shared_buffers is full: more would push the first out again.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "compare/shadow/shadow.h"
#include "core/alloc.h"
#include "cutover/gates.h"
#include "jobs.h"
#include "prepare.h"

/* The schema of pg_prewarm(); NULL: the extension is not there, or we may not call it (*ret_there says which). */
static bool find_prewarm(struct cutover *co, char **ret_schema, bool *ret_there, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    *ret_schema = NULL;
    if (!pg_query(co->target,
                  "SELECT n.nspname, has_function_privilege(p.oid, 'EXECUTE') AND "
                  "has_schema_privilege(n.oid, 'USAGE')"
                  " FROM pg_extension e JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND "
                  "d.refobjid = e.oid"
                  " AND d.classid = 'pg_proc'::regclass JOIN pg_proc p ON p.oid = d.objid AND p.proname = "
                  "'pg_prewarm'"
                  " JOIN pg_namespace n ON n.oid = p.pronamespace WHERE e.extname = 'pg_prewarm'",
                  0, NULL, &res, err))
        return err_wrap(err, "pg_prewarm on the target");
    *ret_there = pg_rows(res) > 0;
    if (*ret_there && pg_cell_bool(res, 0, 1))
        *ret_schema = xstrdup(pg_cell(res, 0, 0));
    return true;
}

bool gate_warm(struct cutover *co, struct gate_result *gate)
{
    char *schema CLEANUP(free_ptr) = NULL;
    struct err failed = ERR_INIT;
    bool there = false, prewarm = config_bool(co->cfg, "cutover.prewarm");
    int64_t warm_s = config_int(co->cfg, "cutover.warm_up");
    if (!prewarm && warm_s == 0)
        return false;
    gate_limit(gate, "can be filled before the pause");
    gate_measured(gate, "shadow queries for %" PRId64 " s%s", warm_s, prewarm ? ", pg_prewarm" : "");
    if (warm_s > 0 && !shadow_has_workload(co->cfg, &failed))
        gate_refuse(gate, "cutover.warm_up: %.200s", failed.text);
    else if (prewarm && co->target == NULL)
        gate_refuse(gate,
                    "MariaDB has no pg_prewarm: set cutover.prewarm to false; cutover.warm_up fills its "
                    "buffer pool by shadow queries");
    else if (prewarm && !find_prewarm(co, &schema, &there, &failed))
        (void)gate_unmeasured(gate, &failed);
    else if (prewarm && !there)
        gate_refuse(gate, "on the target: CREATE EXTENSION pg_prewarm; or set cutover.prewarm to false");
    else if (prewarm && schema == NULL)
        gate_refuse(gate, "on the target: GRANT EXECUTE ON FUNCTION pg_prewarm TO our role (%s)",
                    pg_user(co->target));
    return true;
}

/* The source's relations by how much they were read there, as two parameters (schemas, names). */
static bool read_busiest(struct cutover *co, char **ret_schemas, char **ret_names, struct err *err)
{
    char *schemas CLEANUP(free_ptr) = gate_schemas(co);
    const char *params[] = {schemas};
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(co->source,
                  "SELECT array_agg(s ORDER BY busy DESC, s, r)::text, array_agg(r ORDER BY busy DESC, s, "
                  "r)::text FROM ("
                  "SELECT schemaname::text, relname::text, heap_blks_read + heap_blks_hit FROM "
                  "pg_statio_all_tables UNION ALL"
                  " SELECT schemaname::text, indexrelname::text, idx_blks_read + idx_blks_hit FROM "
                  "pg_statio_all_indexes)"
                  " x (s, r, busy) WHERE s = ANY ($1::text[]) AND busy > 0",
                  1, params, &res, err))
        return err_wrap(err, "what the source reads most");
    *ret_schemas = xstrdup(pg_is_null(res, 0, 0) ? "{}" : pg_cell(res, 0, 0));
    *ret_names = xstrdup(pg_is_null(res, 0, 1) ? "{}" : pg_cell(res, 0, 1));
    return true;
}

static bool add_prewarms(struct cutover *co, const char *function_schema, struct jobs *jobs, struct err *err)
{
    char *schemas CLEANUP(free_ptr) = NULL;
    char *names CLEANUP(free_ptr) = NULL;
    PG_RESULT_AUTO res = NULL;
    if (!read_busiest(co, &schemas, &names, err))
        return false;
    const char *params[] = {schemas, names};
    if (!pg_query(co->target,
                  "SELECT s, r, pages FROM (SELECT s, r, pages, sum(pages) OVER (ORDER BY i) AS used FROM "
                  "(SELECT s, r, i,"
                  " pg_relation_size(c.oid) / current_setting('block_size')::bigint AS pages FROM "
                  "unnest($1::text[], $2::text[])"
                  " WITH ORDINALITY x (s, r, i) JOIN pg_namespace n ON n.nspname = s JOIN pg_class c ON "
                  "c.relnamespace ="
                  " n.oid AND c.relname = r AND c.relkind IN ('r', 'm', 'i')) y WHERE pages > 0) z WHERE "
                  "used <= (SELECT"
                  " setting::bigint FROM pg_settings WHERE name = 'shared_buffers') ORDER BY used",
                  2, params, &res, err))
        return err_wrap(err, "what the target has of it");
    for (int i = 0; i < pg_rows(res); i++) {
        struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX), name = STRBUF_INIT(STRBUF_SQL_MAX);
        strbuf_adds(&sql, "SELECT ");
        pg_quote_table(&sql, function_schema, "pg_prewarm");
        pg_quote_table(&name, pg_cell(res, i, 0), pg_cell(res, i, 1));
        strbuf_addc(&sql, '(');
        pg_quote_literal(&sql, name.data);
        strbuf_adds(&sql, "::pg_catalog.regclass)");
        jobs_add(jobs, strbuf_detach(&sql),
                 xasprintf("relation=%s.%s", pg_cell(res, i, 0), pg_cell(res, i, 1)),
                 pg_cell_int64(res, i, 2));
        strbuf_release(&name);
    }
    return true;
}

bool prewarm_take(struct cutover *co, size_t *ret_done, struct err *err)
{
    struct jobs jobs = {.name = "pg_prewarm", .state = "open"};
    char *schema CLEANUP(free_ptr) = NULL;
    bool there;
    /* What MariaDB reads most it does not tell by PostgreSQL's names. */
    if (!config_bool(co->cfg, "cutover.prewarm") || co->target == NULL || co->from_maria != NULL)
        return true;
    if (!find_prewarm(co, &schema, &there, err))
        return false;
    if (schema == NULL)
        return err_set(err, ERR_REFUSED, "pg_prewarm is not on the target any more, or may not be called");
    bool ok = add_prewarms(co, schema, &jobs, err) &&
              jobs_run(co, &jobs, (size_t)config_int(co->cfg, "cutover.prepare_workers"), err);
    *ret_done = jobs.count;
    if (ok && jobs.count > 0)
        prepare_note(co, "%zu relations read by pg_prewarm", jobs.count);
    jobs_release(&jobs);
    return ok;
}

bool queries_warm(struct cutover *co, size_t *ret_done, struct err *err)
{
    struct shadow_warmth warmth;
    int64_t for_s = config_int(co->cfg, "cutover.warm_up");
    if (for_s == 0)
        return true;
    cutover_say(co, "shadow queries on the target for %" PRId64 " s", for_s);
    if (!shadow_warm(co->cfg, for_s * 1000000, deadline_fd(co), &warmth, err))
        return false;
    *ret_done = (size_t)warmth.runs;
    prepare_note(co, "%" PRIu64 " shadow queries run, %" PRIu64 " of them failed", warmth.runs,
                 warmth.failed);
    return true;
}
