/*
 * Owns the planner's statistics on the target: without them the first minute has plans of an empty database. ANALYZE before the pause,
 * the largest table first, and only of what the planner knows too little of: so what is done is not done again.
 */
#include <inttypes.h>
#include <stdio.h>

#include "core/alloc.h"
#include "cutover/gates.h"
#include "jobs.h"
#include "prepare.h"
#include "sql/embedded.h"

static bool read_tables(struct cutover *co, struct pg_result **ret, struct err *err)
{
    char *schemas CLEANUP(free_ptr) = gate_schemas(co);
    const char *params[] = {schemas, prepare_maintain(co)};
    return pg_query(co->target, embedded_sql_cutover_statistics_sql, 2, params, ret, err) ||
           err_wrap(err, "statistics of the target");
}

static size_t count_needed(const struct pg_result *res, int64_t *ret_bytes)
{
    size_t n = 0;
    *ret_bytes = 0;
    for (int i = 0; i < pg_rows(res); i++) {
        if (*pg_cell(res, i, 2) == '\0')
            continue;
        n++;
        *ret_bytes += pg_cell_int64(res, i, 3);
    }
    return n;
}

bool gate_statistics(struct cutover *co, struct gate_result *gate)
{
    struct strbuf grants = STRBUF_INIT(PREPARE_STATEMENTS_MAX);
    PG_RESULT_AUTO res = NULL;
    struct err failed = ERR_INIT;
    int64_t bytes;
    if (!config_bool(co->cfg, "cutover.analyze"))
        return false;
    if (!read_tables(co, &res, &failed))
        return gate_unmeasured(gate, &failed);
    gate_limit(gate, "made before the pause");
    size_t needed = count_needed(res, &bytes);
    gate_measured(gate, "%zu of %d tables (%" PRId64 " MiB) want ANALYZE", needed, pg_rows(res),
                  bytes / 1048576);
    prepare_add_grants(res, 4, &grants);
    if (grants.len > 0)
        gate_refuse_with(gate, "only their owner may ANALYZE tables; on the target", &grants);
    strbuf_release(&grants);
    return true;
}

bool statistics_make(struct cutover *co, size_t *ret_done, struct err *err)
{
    struct jobs jobs = {.name = "analyze", .state = "open"};
    PG_RESULT_AUTO res = NULL;
    if (!config_bool(co->cfg, "cutover.analyze"))
        return true;
    if (co->maria != NULL)
        return maria_statistics_make(co, ret_done, err);
    if (!read_tables(co, &res, err))
        return false;
    for (int i = 0; i < pg_rows(res); i++) {
        struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
        if (*pg_cell(res, i, 2) == '\0')
            continue;
        strbuf_adds(&sql, "ANALYZE ");
        pg_quote_table(&sql, pg_cell(res, i, 0), pg_cell(res, i, 1));
        /* A sample is read: the time does not grow with the table for ever. */
        jobs_add(&jobs, strbuf_detach(&sql), xasprintf("table=%s.%s", pg_cell(res, i, 0), pg_cell(res, i, 1)),
                 MIN_OF(pg_cell_int64(res, i, 3) / 8192, INT64_C(30000)) + 10);
    }
    *ret_done = jobs.count;
    bool ok = jobs_run(co, &jobs, (size_t)config_int(co->cfg, "cutover.prepare_workers"), err);
    if (ok && jobs.count > 0)
        prepare_note(co, "%zu tables analyzed", jobs.count);
    jobs_release(&jobs);
    return ok;
}

int64_t prepare_estimate_ms(struct cutover *co, char *ret_basis, size_t size)
{
    PG_RESULT_AUTO res = NULL;
    struct err failed = ERR_INIT;
    int64_t bytes;
    if (co->maria != NULL) {
        (void)snprintf(ret_basis, size, "%zu tables to ANALYZE",
                       config_bool(co->cfg, "cutover.analyze") ? co->table_count : 0);
        return -1;
    }
    if (!config_bool(co->cfg, "cutover.analyze") || !read_tables(co, &res, &failed)) {
        (void)snprintf(ret_basis, size, "views to refresh");
        return -1;
    }
    (void)snprintf(ret_basis, size, "views to refresh, %zu tables to ANALYZE", count_needed(res, &bytes));
    return -1;
}
