/* Owns: the course of one comparison, from the request to verdict and report. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/table_filter.h"
#include "config/table_rules.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "dead_letters.h"
#include "dual_write.h"
#include "engine.h"
#include "fence.h"
#include "report.h"

struct run {
    const struct config *cfg;
    const struct compare_request *req;
    struct compare_result *out;
    struct fence_run fence;
    struct engine engine;
    struct plan plan;
    struct catalog cats[SIDE_COUNT];
    struct table_filter *pipeline_filter, *wanted;
    struct table_rules *rules;
    char *shapes; /* compare_shapes() before the snapshot; NULL in frozen mode */
};

static const char *url_of(const struct run *run, enum side side)
{
    return config_text(run->cfg, side == SIDE_SOURCE ? "source.url" : "target.url");
}

static bool open_sessions(struct run *run, enum side side, const char *snapshot, struct err *err)
{
    const char *pipeline = run->out->pipeline;
    for (size_t i = 0; i < run->engine.worker_count; i++) {
        struct pg_conn **conn = &run->engine.pairs[i].conn[side];
        if (!session_open(url_of(run, side), side_name(side), pipeline, conn, err) ||
            !session_begin(*conn, snapshot, err))
            return false;
    }
    if (side == SIDE_TARGET)
        return true;
    return session_open(url_of(run, side), side_name(side), pipeline, &run->engine.walker, err) &&
           session_begin(run->engine.walker, snapshot, err);
}

static bool set_savepoints(struct run *run, struct err *err)
{
    for (size_t i = 0; i < run->engine.worker_count; i++) {
        if (!session_savepoint(run->engine.pairs[i].conn[SIDE_SOURCE], err) ||
            !session_savepoint(run->engine.pairs[i].conn[SIDE_TARGET], err))
            return false;
    }
    return session_savepoint(run->engine.walker, err);
}

/* Both sides stand still: one snapshot on each, shared by all its sessions. */
static bool begin_frozen(struct run *run, struct err *err)
{
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        struct pg_conn *exporter = NULL;
        char *snapshot = NULL;
        bool ok = session_open(url_of(run, side), side_name(side), run->out->pipeline, &exporter, err) &&
                  session_begin(exporter, NULL, err) &&
                  pg_query_text(exporter, "SELECT pg_export_snapshot()", 0, NULL, &snapshot, err) &&
                  open_sessions(run, side, snapshot, err);
        free(snapshot);
        pg_close(exporter);
        if (!ok)
            return false;
    }
    return true;
}

/* Where apply stands, for the report's name: best effort, there may be no such table. */
static void note_position(struct run *run)
{
    PG_RESULT_AUTO res = NULL;
    const char *pipeline = run->out->pipeline;
    struct pg_conn *conn = run->engine.pairs[0].conn[SIDE_TARGET];
    int64_t there = 0;
    if (!pg_query_int64(conn, "SELECT (to_regclass('crossfade.position') IS NOT NULL)::int", 0, NULL, &there,
                        NULL) ||
        there == 0)
        return;
    if (pg_query(conn,
                 "SELECT fence_id, lsn FROM crossfade.position WHERE pipeline = $1 ORDER BY fence_id LIMIT 1",
                 1, &pipeline, &res, NULL)) {
        if (pg_rows(res) == 1) {
            run->out->fence_id = (uint64_t)pg_cell_int64(res, 0, 0);
            (void)lsn_parse(pg_cell(res, 0, 1), &run->out->lsn);
        }
    } else {
        (void)!session_recover(conn, NULL);
    }
}

/* What a fence step came to: true = go on. Sets an INCONCLUSIVE verdict, or *err. */
static bool step(struct run *run, enum fence_outcome outcome, char **reason)
{
    if (outcome == FENCE_INCONCLUSIVE) {
        run->out->verdict = VERDICT_INCONCLUSIVE;
        free(run->out->reason);
        run->out->reason = *reason;
        *reason = NULL;
    }
    return outcome == FENCE_REACHED;
}

static bool check_all(struct run *run, struct err *err)
{
    for (size_t i = 0; i < run->engine.worker_count; i++) {
        char *reason = NULL;
        enum fence_outcome outcome =
            fence_check(&run->fence, run->engine.pairs[i].conn[SIDE_TARGET], &reason, err);
        if (!step(run, outcome, &reason))
            return false;
    }
    return true;
}

/* True: all sessions stand at the fence. False: *err is set, or the verdict is INCONCLUSIVE. */
static bool begin_at_fence(struct run *run, struct err *err)
{
    struct fence_run *fence = &run->fence;
    char *reason = NULL;
    if (!fence_open(fence, run->cfg, run->req, err))
        return false;
    memcpy(run->out->nonce, fence->nonce, sizeof run->out->nonce);
    if (!compare_shapes(fence->source, run->out->pipeline, &run->shapes, err))
        return false;
    if (!step(run, fence_hold(fence, &reason, err), &reason))
        return false;
    run->out->lsn = fence->slot.consistent_lsn;
    if (!failpoint("compare.held", err) || !open_sessions(run, SIDE_SOURCE, fence->slot.snapshot, err) ||
        !fence_cut(fence, err) || !failpoint("compare.cut", err))
        return false;
    /* BEGIN takes no snapshot yet: the first statement will, at the fence */
    if (!open_sessions(run, SIDE_TARGET, NULL, err) || !step(run, fence_wait(fence, &reason, err), &reason))
        return false;
    int64_t reached_us = clock_mono_us();
    bool all = check_all(run, err);
    if (err_is_set(err) || !failpoint("compare.reached", err) || !fence_release_apply(fence, err))
        return false;
    run->out->hold_us = clock_mono_us() - reached_us;
    run->out->fence_us = clock_mono_us() - fence->started_us;
    run->out->fence_id = fence->fence_id;
    return all;
}

static char *server_text(const struct pg_conn *conn)
{
    int v = pg_server_version(conn);
    return xasprintf("PostgreSQL %d.%d, database %s", v / 10000, v % 10000, pg_database(conn));
}

static bool read_plan(struct run *run, struct err *err)
{
    char publication[80];
    bool published = false;
    (void)snprintf(publication, sizeof publication, "crossfade_%s", run->out->pipeline);
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        struct pg_conn *conn = run->engine.pairs[0].conn[side];
        run->out->server[side] = server_text(conn);
        if (!catalog_read(conn, &run->cats[side], err))
            return err_wrap(err, "%s", side_name(side));
    }
    if (!catalog_mark_published(run->engine.pairs[0].conn[SIDE_SOURCE], publication, &run->cats[SIDE_SOURCE],
                                &published, err))
        return false;
    plan_make(run->cats, published, run->pipeline_filter, run->rules, run->wanted, &run->plan);
    run->engine.plan = &run->plan;
    run->out->full = run->plan.full;
    return true;
}

static void take_tables(struct run *run)
{
    run->out->tables = xcalloc(run->plan.count, sizeof *run->out->tables);
    run->out->table_count = run->plan.count;
    for (size_t i = 0; i < run->plan.count; i++) {
        run->out->tables[i] = run->plan.tables[i]->out;
        run->plan.tables[i]->out = (struct compare_table){0};
    }
}

static bool compare_tables(struct run *run, struct err *err)
{
    bool ready = run->req->frozen ? begin_frozen(run, err) : begin_at_fence(run, err);
    if (!ready)
        return !err_is_set(err); /* INCONCLUSIVE is a result */
    if (!set_savepoints(run, err))
        return false;
    if (run->req->frozen)
        note_position(run);
    if (!read_plan(run, err) || !engine_run(&run->engine, run->req, err))
        return false;
    take_tables(run);
    struct pg_conn *target = run->engine.pairs[0].conn[SIDE_TARGET];
    return dead_letters_conclude(target, run->out, err) && dual_write_conclude(target, run->out, err);
}

static void close_all(struct run *run)
{
    for (size_t i = 0; i < run->engine.worker_count; i++)
        pair_close(&run->engine.pairs[i]);
    pg_close(run->engine.walker);
    free(run->engine.pairs);
    if (!run->req->frozen)
        fence_close(&run->fence);
    plan_release(&run->plan);
    catalog_release(&run->cats[SIDE_SOURCE]);
    catalog_release(&run->cats[SIDE_TARGET]);
    table_filter_free(run->pipeline_filter);
    table_filter_free(run->wanted);
    table_rules_free(run->rules);
}

/* 'full', or the tables. */
static char *scope_text(const struct compare_result *r)
{
    struct strbuf sb = STRBUF_INIT(1 << 20);
    if (r->full)
        strbuf_adds(&sb, "full");
    for (size_t i = 0; !r->full && i < r->table_count; i++)
        strbuf_addf(&sb, "%s%s.%s", i > 0 ? ", " : "", r->tables[i].schema, r->tables[i].table);
    if (sb.len == 0)
        strbuf_adds(&sb, "nothing");
    return strbuf_detach(&sb);
}

static char *detail_text(const struct compare_result *r)
{
    json_t *j = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:s?, s:s}", "tables", (json_int_t)r->table_count, "passed",
        (json_int_t)r->passed, "failed", (json_int_t)r->failed, "inconclusive", (json_int_t)r->inconclusive,
        "rows_source", (json_int_t)r->rows_source, "rows_target", (json_int_t)r->rows_target, "differences",
        (json_int_t)r->differences, "frozen", r->frozen, "report_dir", r->report_dir, "reason", r->reason);
    char *text = j != NULL ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    return text != NULL ? text : xstrdup("{}");
}

static bool insert_verdict(const struct compare_result *r, const char *shapes, struct pg_conn *conn,
                           struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    char fence_id[24], lsn[LSN_TEXT_MAX], started[ISO_TIME_MAX];
    char *scope = scope_text(r), *detail = detail_text(r);
    (void)snprintf(fence_id, sizeof fence_id, "%llu", (unsigned long long)r->fence_id);
    const char *params[] = {r->pipeline,
                            r->fence_id > 0 ? fence_id : NULL,
                            r->lsn != 0 ? lsn_format(r->lsn, lsn) : NULL,
                            scope,
                            compare_verdict_name(r->verdict),
                            detail,
                            clock_iso(r->started_us, started),
                            r->full ? shapes : NULL};
    bool ok = pg_query(
        conn,
        "INSERT INTO crossfade.verdict (pipeline, fence_id, lsn, scope, verdict, detail, started_at)"
        " VALUES ($1, $2::bigint, $3::pg_lsn, $4, $5, $6::jsonb || CASE WHEN $8::jsonb IS NULL THEN '{}'"
        " ELSE jsonb_build_object('shapes', $8::jsonb) END, $7::timestamptz)",
        8, params, &res, err);
    free(scope);
    free(detail);
    return ok;
}

/* On a connection of its own: the comparison may have taken longer than an idle one lives. */
static bool record_verdict(const struct run *run, struct err *err)
{
    struct pg_conn *conn = NULL;
    bool ok = session_open(url_of(run, SIDE_TARGET), "target", run->out->pipeline, &conn, err) &&
              control_tables_ensure(conn, false, err) && insert_verdict(run->out, run->shapes, conn, err);
    pg_close(conn);
    return ok ||
           err_wrap(err, "the verdict (%s) could not be recorded", compare_verdict_name(run->out->verdict));
}

static bool prepare(struct run *run, struct err *err)
{
    const struct compare_request *req = run->req;
    run->engine.worker_count = (size_t)config_int(run->cfg, "compare.workers");
    run->engine.chunk_rows = config_int(run->cfg, "compare.chunk_rows");
    run->engine.pairs = xcalloc(run->engine.worker_count, sizeof *run->engine.pairs);
    return table_filter_from_config(run->cfg, &run->pipeline_filter, err) &&
           table_rules_from_config(run->cfg, &run->rules, err) &&
           (req->table_count == 0 || table_filter_new(req->tables, req->table_count, &run->wanted, err));
}

/* Somebody named tables, and nothing came of it: say what was named. */
static void name_patterns(struct run *run)
{
    struct strbuf text = STRBUF_INIT(4096);
    strbuf_addf(&text, "%s:", run->out->reason);
    for (size_t i = 0; i < run->req->table_count; i++)
        strbuf_addf(&text, " --table %s", run->req->tables[i]);
    strbuf_adds(&text, ". Is it spelled right, and one of the pipeline's (source.tables)?");
    free(run->out->reason);
    run->out->reason = xstrdup(text.data);
    strbuf_release(&text);
}

static bool finish(struct run *run, struct err *err)
{
    struct compare_result *out = run->out;
    const char *dir =
        run->req->report_dir != NULL ? run->req->report_dir : config_text(run->cfg, "compare.report_dir");
    out->finished_us = clock_wall_us();
    bool reached = out->verdict != VERDICT_INCONCLUSIVE;
    result_sum_up(out);
    if (reached && run->req->table_count > 0 && out->table_count == 0)
        name_patterns(run);
    if (run->req->table_count == 0 && out->table_count == 0)
        out->full = true; /* an INCONCLUSIVE run for all tables */
    return (run->req->skip_report || report_write(out, dir, &out->report_dir, err)) &&
           report_json(out, &out->json, err) && record_verdict(run, err);
}

bool compare_run(const struct config *cfg, const struct compare_request *req, struct compare_result *ret,
                 struct err *err)
{
    struct compare_result out = {.frozen = req->frozen, .started_us = clock_wall_us(), .reason = xstrdup("")};
    struct run run = {.cfg = cfg, .req = req, .out = &out};
    out.pipeline = xstrdup(config_text(cfg, "pipeline"));
    bool ok = prepare(&run, err) && compare_tables(&run, err);
    close_all(&run);
    ok = ok && finish(&run, err);
    free(run.shapes);
    if (!ok) {
        compare_result_release(&out);
        return false;
    }
    *ret = out;
    return true;
}
