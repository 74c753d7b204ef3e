/* Owns: how a comparison begins: its sessions, their snapshots, and the fence that both sides stand at. */
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "journal_reach.h"
#include "run_internal.h"
#include "verdict_record.h"

const char *run_url(const struct run *run, enum side side)
{
    return config_text(run->cfg, side == SIDE_SOURCE ? "source.url" : "target.url");
}

static bool open_sessions(struct run *run, enum side side, struct err *err)
{
    const char *pipeline = run->out->pipeline;
    for (size_t i = 0; i < run->engine.worker_count; i++) {
        if (!session_open(run_url(run, side), side_name(side), pipeline, &run->engine.pairs[i].session[side],
                          err))
            return false;
    }
    return side == SIDE_TARGET ||
           session_open(run_url(run, side), side_name(side), pipeline, &run->engine.walker, err);
}

static bool open_source(void *ctx, struct err *err)
{
    return open_sessions(ctx, SIDE_SOURCE, err);
}

static bool open_target(void *ctx, struct err *err)
{
    struct run *run = ctx;
    return open_sessions(run, SIDE_TARGET, err) &&
           (run->engine.counts_only || session_open(run_url(run, SIDE_TARGET), side_name(SIDE_TARGET),
                                                    run->out->pipeline, &run->history.session, err));
}

static bool begin_sessions(struct run *run, enum side side, const char *snapshot, struct err *err)
{
    for (size_t i = 0; i < run->engine.worker_count; i++) {
        if (!session_begin(run->engine.pairs[i].session[side], snapshot, err))
            return err_wrap(err, "%s", side_name(side));
    }
    return side == SIDE_TARGET || session_begin(run->engine.walker, snapshot, err);
}

bool run_set_savepoints(struct run *run, enum side side, struct err *err)
{
    for (size_t i = 0; i < run->engine.worker_count; i++) {
        if (!session_savepoint(run->engine.pairs[i].session[side], err))
            return false;
    }
    return side == SIDE_TARGET || session_savepoint(run->engine.walker, err);
}

bool run_read_catalog(struct run *run, enum side side, struct err *err)
{
    struct session *session = run->engine.pairs[0].session[side];
    run->out->server[side] = xstrdup(session_server(session));
    return catalog_read(session, &run->cats[side], err) || err_wrap(err, "%s", side_name(side));
}

static bool read_source(void *ctx, struct err *err)
{
    struct run *run = ctx;
    char publication[80];
    (void)snprintf(publication, sizeof publication, "crossfade_%s", run->out->pipeline);
    return run_read_catalog(run, SIDE_SOURCE, err) &&
           catalog_mark_published(run->engine.pairs[0].session[SIDE_SOURCE], publication,
                                  &run->cats[SIDE_SOURCE], &run->published, err);
}

/* The source's sessions stand in their snapshot: nobody needs the first one until the target's do, too. */
static bool begin_reading(struct run *run, struct err *err)
{
    if (!run_set_savepoints(run, SIDE_SOURCE, err))
        return false;
    aside_begin(&run->reading, read_source, run);
    return true;
}

/* A snapshot that all sessions of a side share, where the server has such a thing; NULL where it does not. The exporter holds
 * it. */
static bool export_snapshot(struct run *run, enum side side, struct session **exporter, char **ret,
                            struct err *err)
{
    if (dialect_of_url(run_url(run, side)) != DIALECT_POSTGRES)
        return true;
    return session_open(run_url(run, side), side_name(side), run->out->pipeline, exporter, err) &&
           session_begin(*exporter, NULL, err) &&
           session_text(*exporter, "SELECT pg_export_snapshot()", 0, NULL, ret, err);
}

/* Both sides stand still. */
bool run_begin_frozen(struct run *run, struct err *err)
{
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        struct session *exporter = NULL;
        char *snapshot = NULL;
        bool ok = export_snapshot(run, side, &exporter, &snapshot, err) && open_sessions(run, side, err) &&
                  begin_sessions(run, side, snapshot, err);
        free(snapshot);
        session_close(exporter);
        if (!ok)
            return false;
    }
    return begin_reading(run, err);
}

/* Where apply stands, for the report's name: best effort, there may be no such table. */
void run_note_position(struct run *run)
{
    ROWSET_AUTO res = NULL;
    const char *pipeline = run->out->pipeline, *name = "position";
    struct session *conn = run->engine.pairs[0].session[SIDE_TARGET];
    int64_t there = 0;
    if (!session_int64(conn, control_of(conn)->table_there, 1, &name, &there, NULL) || there == 0)
        return;
    if (session_ask(conn, control_of(conn)->position, 1, &pipeline, &res, NULL)) {
        for (int row = 0; row < rowset_rows(res); row++) {
            uint64_t fence_id = (uint64_t)rowset_int64(res, row, 0);
            if (row > 0 && fence_id >= run->out->fence_id)
                continue;
            run->out->fence_id = fence_id;
            run->out->fence_offset = (uint64_t)rowset_int64(res, row, 7);
            run->out->commit_us = rowset_int64(res, row, 8);
            (void)lsn_parse(rowset_cell(res, row, 1), &run->out->lsn);
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
            fence_check(&run->fence, run->engine.pairs[i].session[SIDE_TARGET], &reason, err);
        if (!step(run, outcome, &reason))
            return false;
    }
    return true;
}

static bool read_reach(void *ctx, struct err *err)
{
    struct compare_result *out = ((struct run *)ctx)->out;
    (void)err; /* what cannot be read is told in the report */
    out->reach = journal_reach_read(((struct run *)ctx)->cfg, out->fence_id, out->fence_offset);
    return true;
}

/* True: all sessions stand at the fence. False: *err is set, or the verdict is INCONCLUSIVE. */
bool run_begin_at_fence(struct run *run, struct err *err)
{
    struct fence_run *fence = &run->fence;
    char *reason = NULL;
    aside_begin(&run->opening[SIDE_SOURCE], open_source, run);
    if (!fence_open(fence, run->cfg, run->req, err))
        return false;
    memcpy(run->out->nonce, fence->nonce, sizeof run->out->nonce);
    aside_begin(&run->opening[SIDE_TARGET], open_target, run);
    if (!compare_shapes(fence->source, run->out->pipeline, &run->shapes, err))
        return false;
    if (run->req->table_count == 0 && !run->engine.counts_only)
        run->schema = verdict_schema(run->cfg, fence->source);
    if (!step(run, fence_hold(fence, &reason, err), &reason))
        return false;
    run->out->lsn = fence->slot.consistent_lsn;
    if (!failpoint("compare.held", err) || !aside_end(&run->opening[SIDE_SOURCE], err) ||
        !begin_sessions(run, SIDE_SOURCE, fence->slot.snapshot, err) || !fence_cut(fence, err) ||
        !failpoint("compare.cut", err) || !begin_reading(run, err))
        return false;
    if (!aside_end(&run->opening[SIDE_TARGET], err) || !step(run, fence_wait(fence, &reason, err), &reason))
        return false;
    int64_t reached_us = clock_mono_us();
    bool all = begin_sessions(run, SIDE_TARGET, NULL, err) && check_all(run, err);
    if (err_is_set(err) || !failpoint("compare.reached", err) || !fence_release_apply(fence, err))
        return false;
    run->out->hold_us = clock_mono_us() - reached_us;
    run->out->fence_us = clock_mono_us() - fence->started_us;
    run->out->fence_id = fence->fence_id;
    run->out->fence_offset = fence->fence_offset;
    run->out->commit_us = fence->commit_us;
    run->out->lag_us = fence->lag_us;
    run->out->reached_us = clock_wall_us();
    if (all && !run->req->skip_report && !run->req->report_unless_pass) /* there will be a report */
        aside_begin(&run->reaching, read_reach, run);
    return all;
}
