/*
 * Owns materialized views: replication carries the tables that they read, not their rows. They are refreshed before the pause, each behind
 * those that it reads itself; what is written between that and the switch is not in them, as it would not be on the source.
 */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "cutover/gates.h"
#include "jobs.h"
#include "prepare.h"
#include "sql/embedded.h"

static bool wanted(const struct cutover *co)
{
    return strcmp(config_text(co->cfg, "cutover.materialized_views"), "refresh") == 0;
}

static bool read_views(struct cutover *co, struct pg_result **ret, struct err *err)
{
    char *schemas CLEANUP(free_ptr) = gate_schemas(co);
    const char *params[] = {schemas, prepare_maintain(co)};
    return pg_query(co->target, embedded_sql_cutover_views_sql, 2, params, ret, err) ||
           err_wrap(err, "materialized views of the target");
}

/* The statements of the last column, each once: owners are few. */
void prepare_add_grants(const struct pg_result *res, int column, struct strbuf *out)
{
    for (int i = 0; i < pg_rows(res); i++) {
        bool seen = *pg_cell(res, i, column) == '\0';
        for (int j = 0; j < i && !seen; j++)
            seen = strcmp(pg_cell(res, i, column), pg_cell(res, j, column)) == 0;
        if (!seen)
            strbuf_addf(out, "%s;\n", pg_cell(res, i, column));
    }
}

bool gate_views(struct cutover *co, struct gate_result *gate)
{
    struct strbuf grants = STRBUF_INIT(PREPARE_STATEMENTS_MAX);
    PG_RESULT_AUTO res = NULL;
    struct err failed = ERR_INIT;
    size_t empty = 0;
    if (!read_views(co, &res, &failed))
        return gate_unmeasured(gate, &failed);
    for (int i = 0; i < pg_rows(res); i++)
        empty += !pg_cell_bool(res, i, 2);
    gate_limit(gate,
               wanted(co) ? "refreshed before the pause" : "yours (cutover.materialized_views: ignore)");
    gate_measured(gate, "%d on the target, %zu of them without rows", pg_rows(res), empty);
    if (wanted(co))
        prepare_add_grants(res, 4, &grants);
    if (grants.len > 0)
        gate_refuse_with(gate, "only their owner may refresh them; on the target", &grants);
    strbuf_release(&grants);
    return true;
}

/* One that nobody has filled on the source (WITH NO DATA) stays as it is. */
static bool read_unfilled(struct cutover *co, struct pg_result **ret, struct err *err)
{
    *ret = NULL;
    if (co->from_maria != NULL) /* which has none that could tell */
        return true;
    return pg_query(co->source,
                    "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON"
                    " n.oid = c.relnamespace WHERE c.relkind = 'm' AND NOT c.relispopulated",
                    0, NULL, ret, err) ||
           err_wrap(err, "materialized views of the source");
}

static bool has_row(const struct pg_result *res, const char *schema, const char *name)
{
    for (int i = 0; res != NULL && i < pg_rows(res); i++) {
        if (strcmp(pg_cell(res, i, 0), schema) == 0 && strcmp(pg_cell(res, i, 1), name) == 0)
            return true;
    }
    return false;
}

static void add_refresh(struct jobs *jobs, const char *schema, const char *name, bool concurrently)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_addf(&sql, "REFRESH MATERIALIZED VIEW %s", concurrently ? "CONCURRENTLY " : "");
    pg_quote_table(&sql, schema, name);
    jobs_add(jobs, strbuf_detach(&sql), xasprintf("view=%s.%s", schema, name), 1);
}

/* after: clients read them already, so that only those are taken that keep none of them waiting. */
static bool add_all(struct cutover *co, struct jobs *jobs, bool after, size_t *ret_left, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    PG_RESULT_AUTO unfilled = NULL;
    *ret_left = 0;
    if (!read_views(co, &res, err) || !read_unfilled(co, &unfilled, err))
        return false;
    for (int i = 0; i < pg_rows(res); i++) {
        bool concurrently = pg_cell_bool(res, i, 3);
        if (has_row(unfilled, pg_cell(res, i, 0), pg_cell(res, i, 1)))
            continue;
        if (after && !concurrently)
            (*ret_left)++;
        else
            add_refresh(jobs, pg_cell(res, i, 0), pg_cell(res, i, 1), concurrently);
    }
    return true;
}

bool views_refresh(struct cutover *co, size_t *ret_done, struct err *err)
{
    struct jobs jobs = {.name = "refresh", .state = "open"};
    size_t left;
    if (!wanted(co) || co->target == NULL) /* MariaDB has none */
        return true;
    bool ok = add_all(co, &jobs, false, &left, err) && jobs_run(co, &jobs, 1, err);
    *ret_done = jobs.count;
    if (ok && jobs.count > 0)
        prepare_note(co, "%zu materialized views refreshed", jobs.count);
    jobs_release(&jobs);
    return ok;
}

void views_refresh_after(struct cutover *co)
{
    struct jobs jobs = {.name = "refresh", .state = "switched"};
    struct err failed = ERR_INIT;
    size_t left = 0;
    if (!config_bool(co->cfg, "cutover.refresh_after") || co->target == NULL)
        return;
    if (!add_all(co, &jobs, true, &left, &failed) || !jobs_run(co, &jobs, 1, &failed)) {
        cutover_say(co, "materialized views were not all refreshed after the switch: %s", failed.text);
        prepare_note(co, "not all materialized views refreshed after the switch");
    } else {
        prepare_note(co, "%zu materialized views refreshed after the switch", jobs.count);
    }
    if (left > 0)
        prepare_note(co, "%zu without a unique index left", left);
    jobs_release(&jobs);
}
