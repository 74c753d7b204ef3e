/* Owns: the course of one comparison, from the request to verdict and report. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "by_partition.h"
#include "cause/causes.h"
#include "config/report_formats.h"
#include "control.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "dead_letters.h"
#include "dual_write.h"
#include "journal_reach.h"
#include "report/report.h"
#include "rest.h"
#include "run_internal.h"
#include "standing.h"
#include "verdict_record.h"

/* Not where earlier comparisons are built upon: that is there so as not to read all rows. */
static bool is_by_partition(const struct run *run)
{
    return run->req->by_partition && !run->req->frozen && !run->history.build;
}

/* What a condition is about must be there. */
static bool read_scope(struct run *run, struct err *err)
{
    bool read = run->scope.partitions != NULL || is_by_partition(run);
    for (enum side side = SIDE_SOURCE; read && side < SIDE_COUNT; side++) {
        if (!catalog_read_partitions(run->engine.pairs[0].session[side], &run->cats[side], err))
            return err_wrap(err, "%s", side_name(side));
    }
    return scope_check(&run->scope, &run->cats[SIDE_SOURCE], run->pipeline_filter, run->wanted, err);
}

static bool plan_leaves(struct run *run, struct err *err)
{
    struct scope scope = run->scope;
    scope.each_partition = true;
    for (size_t i = 0; run->req->by_partition && run->history.build && i < run->plan.count; i++) {
        if (run->plan.tables[i]->tree[SIDE_SOURCE])
            table_add_note(&run->plan.tables[i]->out, "its partitions were not compared one by one: this run "
                                                      "builds on rows that were compared before");
    }
    if (!is_by_partition(run) || run->scope.partitions != NULL) /* these have results of their own */
        return true;
    plan_make(run->cats, run->published, run->pipeline_filter, run->rules, run->wanted, &scope, &run->leaves);
    return lenient_plan(run->cfg, &run->cats[SIDE_SOURCE], run->rules, &run->leaves, err);
}

static bool read_plan(struct run *run, struct err *err)
{
    if (!run_read_catalog(run, SIDE_TARGET, err) || !aside_end(&run->reading, err))
        return false;
    run->cats[SIDE_TARGET].unfit = &run->unfit;
    if (!read_scope(run, err))
        return false;
    plan_make(run->cats, run->published, run->pipeline_filter, run->rules, run->wanted, &run->scope,
              &run->plan);
    if (!lenient_plan(run->cfg, &run->cats[SIDE_SOURCE], run->rules, &run->plan, err) ||
        !plan_leaves(run, err))
        return false;
    run->engine.plan = run->history.plan = &run->plan;
    run->out->full = run->plan.full;
    run->history.pre_shapes = run->shapes;
    run->history.source = run->fence.source_session;
    if (run->engine.counts_only || run->scope.any) /* proves nothing that a later comparison could build on */
        return true;
    run->engine.history = &run->history;
    return history_open(&run->history, run->engine.pairs[0].session[SIDE_TARGET], err);
}

static void take_tables(struct run *run)
{
    run->out->tables = xcalloc(run->plan.count, sizeof *run->out->tables);
    run->out->table_count = run->plan.count;
    for (size_t i = 0; i < run->plan.count; i++) {
        run->out->tables[i] = run->plan.tables[i]->out;
        run->out->built = run->out->built || run->out->tables[i].built != BUILT_NONE;
        run->plan.tables[i]->out = (struct compare_table){0};
    }
}

/* Counting reads all there is to read. */
static bool read_whole_tables(struct run *run, struct err *err)
{
    for (size_t i = 0; run->engine.counts_only && i < run->engine.worker_count; i++) {
        if (!pair_scan_whole(&run->engine.pairs[i], true, err) ||
            !session_savepoint(run->engine.pairs[i].session[SIDE_SOURCE], err) ||
            !session_savepoint(run->engine.pairs[i].session[SIDE_TARGET], err))
            return false;
    }
    return true;
}

/* With both sides closed every second counts: digests say all that counts by group could. */
static bool run_checks(struct run *run, struct err *err)
{
    if ((run->req->frozen && run->out->level < LEVEL_FULL) || run->scope.any) /* checks are of whole tables */
        return true;
    char now[ISO_TIME_MAX];
    clock_iso(run->out->started_us, now);
    now[10] = ' '; /* 2026-11-22T08:00:00.… */
    now[19] = '\0';
    struct semantic semantic = {.rules = &run->checks,
                                .plan = &run->plan,
                                .level = run->out->level,
                                .whole_pipeline = run->req->table_count == 0,
                                .now = now,
                                .statement_limit_ms = config_int(run->cfg, "compare.query_timeout_s") * 1000};
    return semantic_run(&semantic, &run->engine, run->req, run->out, err);
}

static void explain_differences(struct run *run)
{
    const struct causes causes = {.cfg = run->cfg,
                                  .pipeline = run->out->pipeline,
                                  .plan = &run->plan,
                                  .cats = run->cats,
                                  .rules = run->rules,
                                  .pair = &run->engine.pairs[0],
                                  .lsn = run->req->frozen ? 0 : run->out->lsn,
                                  .stop_fd = run->req->stop_fd};
    causes_explain(&causes, run->out->tables);
}

static bool compare_tables(struct run *run, struct err *err)
{
    bool ready = run->req->frozen ? run_begin_frozen(run, err) : run_begin_at_fence(run, err);
    if (!ready)
        return !err_is_set(err);                                  /* INCONCLUSIVE is a result */
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) /* one row more than a chunk has is read */
        run->engine.chunk_rows = MAX_OF(
            MIN_OF(run->engine.chunk_rows, session_hashes_most(run->engine.pairs[0].session[side]) - 1),
            INT64_C(1));
    if (!run_set_savepoints(run, SIDE_TARGET, err))
        return false;
    if (run->req->frozen)
        run_note_position(run);
    if (!read_plan(run, err) || !read_whole_tables(run, err))
        return false;
    bool ran = engine_run(&run->engine, run->req, err);
    struct err later = ERR_INIT;
    if (run->engine.history != NULL && !history_save(&run->history, true, ran ? err : &later))
        return false;
    bool again =
        run->engine.aged && run->history.progress; /* under a later fence, where the checks will be made */
    if (!ran || (!again && (!by_partition_compare(&run->engine, run->req, &run->leaves, &run->plan, err) ||
                            !run_checks(run, err))))
        return false;
    take_tables(run);
    struct session *target = run->engine.pairs[0].session[SIDE_TARGET];
    if (!dead_letters_conclude(target, run->out, err) || !dual_write_conclude(target, run->out, err) ||
        !history_conclude(&run->history, run->out->tables, err))
        return false;
    if (!again && !run->req->skip_causes)
        explain_differences(run);
    return true;
}

static void close_all(struct run *run)
{
    struct aside *asides[] = {&run->opening[SIDE_SOURCE], &run->opening[SIDE_TARGET], &run->reading,
                              &run->reaching};
    for (size_t i = 0; i < ARRAY_LEN(asides); i++)
        (void)!aside_end(asides[i], NULL);
    run->recorder = run->history.session;
    run->history.session = NULL;
    for (size_t i = 0; i < run->engine.worker_count; i++)
        pair_close(&run->engine.pairs[i]);
    session_close(run->engine.walker);
    history_close(&run->history);
    free(run->engine.pairs);
    if (!run->req->frozen)
        fence_close(&run->fence);
    plan_release(&run->plan);
    plan_release(&run->leaves);
    catalog_release(&run->cats[SIDE_SOURCE]);
    catalog_release(&run->cats[SIDE_TARGET]);
    table_filter_free(run->pipeline_filter);
    table_filter_free(run->wanted);
    table_rules_free(run->rules);
    semantic_rules_release(&run->checks);
    scope_close(&run->scope);
}

/* A comparison may have taken longer than an idle connection lives. */
static bool open_recorder(struct run *run, struct session **ret, struct err *err)
{
    *ret = run->recorder;
    run->recorder = NULL;
    if (*ret != NULL && control_of(*ret)->ensure(*ret, NULL))
        return true;
    session_close(*ret);
    *ret = NULL;
    return session_open(run_url(run, SIDE_TARGET), "target", run->out->pipeline, ret, err) &&
           control_of(*ret)->ensure(*ret, err);
}

/* A frozen comparison stands between a closed source and its successor: it proves the rows, and no more. */
static enum compare_level level_of(const struct run *run)
{
    if (run->req->level != LEVEL_UNKNOWN)
        return run->req->level;
    return run->req->frozen ? LEVEL_DIGESTS : compare_level_named(config_text(run->cfg, "compare.level"));
}

static bool prepare(struct run *run, struct err *err)
{
    const struct compare_request *req = run->req;
    if (!scope_open(&run->scope, run->cfg, req, err))
        return false;
    run->out->some_rows = run->scope.any;
    run->out->level = run->scope.any ? MIN_OF(level_of(run), LEVEL_DIGESTS) : level_of(run);
    run->engine.counts_only = run->out->level == LEVEL_COUNTS;
    run->engine.worker_count = (size_t)config_int(run->cfg, "compare.workers");
    run->engine.chunk_rows = config_int(run->cfg, "compare.chunk_rows");
    run->engine.pairs = xcalloc(run->engine.worker_count, sizeof *run->engine.pairs);
    run->unfit.all = target_unfit_named(config_text(run->cfg, "target.unfit"));
    run->unfit.rules = config_list(run->cfg, "target.unfit_columns", &run->unfit.rule_count);
    return target_unfit_check(&run->unfit, err) && redaction_open(run->cfg, &run->redaction, err) &&
           table_filter_from_config(run->cfg, &run->pipeline_filter, err) &&
           table_rules_from_config(run->cfg, &run->rules, err) &&
           semantic_rules_from_config(run->cfg, &run->checks, err) &&
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

/* Files as configured, and the JSON in memory whatever is. */
static bool make_report(struct run *run, struct session *target, struct err *err)
{
    struct compare_result *out = run->out;
    const struct compare_request *req = run->req;
    const char *dir = req->report_dir != NULL ? req->report_dir : config_text(run->cfg, "compare.report_dir");
    bool skip = req->skip_report || (req->report_unless_pass && out->verdict == VERDICT_PASS);
    if (!skip && !req->frozen) /* with both sides closed every second counts */
        out->standing = standing_read(run->cfg, target, out, STANDING_RUNS);
    if (!skip && !req->frozen && out->fence_id > 0 && out->reach == NULL)
        out->reach = journal_reach_read(run->cfg, out->fence_id, out->fence_offset);
    return (skip || report_write(out, dir, report_formats(run->cfg), err)) &&
           report_json(out, &out->json, err);
}

static bool conclude(struct run *run, struct err *err)
{
    struct session *conn = NULL;
    bool ok = open_recorder(run, &conn, err) || err_wrap(err, "the verdict (%s) could not be recorded",
                                                         compare_verdict_name(run->out->verdict));
    ok = ok && make_report(run, conn, err) && verdict_record(run->out, run->shapes, run->schema, conn, err);
    session_close(conn);
    return ok;
}

static bool finish(struct run *run, struct err *err)
{
    struct compare_result *out = run->out;
    out->finished_us = clock_wall_us();
    bool reached = out->verdict != VERDICT_INCONCLUSIVE;
    result_sum_up(out);
    if (reached && run->req->table_count > 0 && out->table_count == 0)
        name_patterns(run);
    if (run->req->table_count == 0 && out->table_count == 0 && !out->some_rows)
        out->full = true; /* an INCONCLUSIVE run for all tables */
    return redaction_apply(&run->redaction, out, err) && conclude(run, err);
}

/* What may be built upon. A run that goes on under a new fence builds on what it has proven itself. */
static void prepare_history(struct run *run, int64_t started_us, bool again)
{
    struct history *h = &run->history;
    *h = (struct history){.cfg = run->cfg,
                          .pipeline = run->out->pipeline,
                          .source_url = run_url(run, SIDE_SOURCE),
                          .target_url = run_url(run, SIDE_TARGET),
                          .build = again || run->req->building != BUILD_NOTHING,
                          .resume = run->req->building == BUILD_RESUME,
                          .read_us = started_us,
                          .floor_us = started_us};
    if (run->req->building != BUILD_NOTHING)
        h->floor_us -= config_int(run->cfg, "compare.full_every") * 1000000;
}

/* Of a frozen comparison nobody is held up but the one who waits for it. */
static bool prepare_pace(struct run *run, struct err *err)
{
    const struct config *cfg = run->cfg;
    const struct pace_limits limits = {
        .rows_per_s = config_int(cfg, "compare.max_rate_rows"),
        .busy_percent = config_int(cfg, "compare.busy_share"),
        .burst_us = config_int(cfg, "compare.busy_burst") * 1000000,
        .max_load = config_int(cfg, "compare.max_source_load"),
        .max_latency_us = config_int(cfg, "compare.max_source_latency_ms") * 1000,
        .max_replica_lag_us = config_int(cfg, "compare.max_replica_lag_ms") * 1000,
    };
    const struct load_request servers = {.url = {run_url(run, SIDE_SOURCE), run_url(run, SIDE_TARGET)},
                                         .pipeline = run->out->pipeline,
                                         .probe_latency = limits.max_latency_us > 0,
                                         .max_replica_lag_us = limits.max_replica_lag_us};
    return run->req->frozen || pace_init(&run->engine.pace, &limits, &servers, err);
}

/* Before anything is locked or held. */
static bool rest(struct run *run, bool again, struct err *err)
{
    struct pace *pace = &run->engine.pace;
    bool none = run->req->frozen || run->req->at_once || again || run->engine.counts_only;
    return none || !pace_shares(&pace->limits) ||
           rest_before_run(run->cfg, run->req, run->out->pipeline, pace, err);
}

/* One fence. *ret_again: its snapshots grew too old before the end, and it has come further. */
static bool run_once(const struct config *cfg, const struct compare_request *req, int64_t started_us,
                     bool again, const int64_t waited_us[WAIT_KINDS], int64_t owed_us,
                     struct compare_result *out, bool *ret_again, struct err *err)
{
    struct run run = {.cfg = cfg, .req = req, .out = out};
    int64_t age_s = config_int(cfg, "compare.max_snapshot_age");
    *out = (struct compare_result){.frozen = req->frozen, .started_us = started_us, .reason = xstrdup("")};
    out->pipeline = xstrdup(config_text(cfg, "pipeline"));
    prepare_history(&run, started_us, again);
    run.engine.end_us = age_s > 0 && !req->frozen ? clock_mono_us() + age_s * 1000000 : 0;
    bool ok =
        prepare(&run, err) && prepare_pace(&run, err) && rest(&run, again, err) && compare_tables(&run, err);
    close_all(&run);
    for (int i = 0; i < WAIT_KINDS; i++)
        out->waited_us[i] = waited_us[i] + atomic_load(&run.engine.pace.waited_us[i]);
    out->rest_owed_us = owed_us + run.engine.pace.owed_us;
    pace_destroy(&run.engine.pace);
    *ret_again = ok && run.engine.aged && run.history.progress;
    ok = ok && (*ret_again || finish(&run, err));
    redaction_close(&run.redaction);
    session_close(run.recorder);
    free(run.shapes);
    free(run.schema);
    return ok;
}

bool compare_run(const struct config *cfg, const struct compare_request *req, struct compare_result *ret,
                 struct err *err)
{
    int64_t started_us = clock_wall_us();
    struct compare_result out;
    bool again = false;
    int64_t waited_us[WAIT_KINDS] = {0}, owed_us = 0; /* under earlier fences */
    do {
        if (!run_once(cfg, req, started_us, again, waited_us, owed_us, &out, &again, err)) {
            compare_result_release(&out);
            return false;
        }
        memcpy(waited_us, out.waited_us, sizeof waited_us);
        owed_us = out.rest_owed_us;
        if (again)
            compare_result_release(&out);
    } while (again);
    *ret = out;
    return true;
}
