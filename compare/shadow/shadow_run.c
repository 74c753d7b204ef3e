/* Owns: the course of a shadow run, from the configuration to verdict and report. See shadow.h. */
#include "shadow.h"

#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/report_formats.h"
#include "control.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "fence.h"
#include "players.h"
#include "postgres/postgres.h"
#include "report/report.h"

#define EXPLAIN_US INT64_C(10000000) /* beyond the deadline of the queries */

struct course {
    const struct config *cfg;
    const struct shadow_request *req;
    struct shadow_result *out;
    struct compare_request fence_req;
    struct fence_run fence;
    struct lane_settings settings;
    struct step_sides *sides;
    size_t worker_count;
};

static const char *url_of(const struct course *c, bool target)
{
    return config_text(c->cfg, target ? "target.url" : "source.url");
}

static bool is_stopped(const void *ctx)
{
    const struct shadow_request *req = ctx;
    struct pollfd fd = {.fd = req->stop_fd, .events = POLLIN};
    return req->stop_fd >= 0 && poll(&fd, 1, 0) > 0;
}

static void prepare(struct course *c)
{
    struct workload *w = &c->out->workload;
    const struct config *cfg = c->cfg;
    c->settings =
        (struct lane_settings){.pipeline = c->out->pipeline,
                               .statement_timeout_ms = config_int(cfg, "compare.shadow.statement_timeout_ms"),
                               .max_rows = (uint64_t)config_int(cfg, "compare.shadow.max_rows")};
    c->settings.search_path = config_list(cfg, "compare.shadow.search_path", &c->settings.search_path_count);
    w->query_max = (size_t)config_int(cfg, "compare.shadow.max_queries");
    w->variant_max = (size_t)config_int(cfg, "compare.shadow.variants");
    w->sample_percent = (uint64_t)config_int(cfg, "compare.shadow.sample");
    w->exclude = config_list(cfg, "compare.shadow.exclude", &w->exclude_count);
    w->translate = dialect_of_url(url_of(c, true)) != DIALECT_POSTGRES;
    w->random = c->out->seed;
    w->stopped = is_stopped;
    w->stopped_ctx = c->req;
    c->out->rule.threshold = atof(config_text(cfg, "compare.shadow.latency_regression"));
    c->out->rule.floor_us = (double)config_int(cfg, "compare.shadow.latency_floor_ms") * 1000;
    c->out->min_coverage = (int)config_int(cfg, "compare.shadow.min_coverage");
    c->worker_count = (size_t)config_int(cfg, "compare.shadow.workers");
    c->sides = xcalloc(c->worker_count, sizeof *c->sides);
    c->fence_req = (struct compare_request){.stop_fd = c->req->stop_fd};
}

static bool read_with(struct course *c, struct lane *lane, struct err *err)
{
    struct workload *w = &c->out->workload;
    size_t logs;
    const char *const *paths = config_list(c->cfg, "compare.shadow.log", &logs);
    bool ok = workload_read_list(w, c->cfg, err);
    for (size_t i = 0; ok && i < logs; i++)
        ok = workload_read_log(w, paths[i], session_database(lane->session), err);
    if (ok && config_bool(c->cfg, "compare.shadow.statements"))
        ok = lane_begin(lane, NULL, err) && lane_guard(lane, err) &&
             workload_read_statements(w, session_postgres_conn(lane->session), err);
    return ok;
}

bool shadow_has_workload(const struct config *cfg, struct err *err)
{
    size_t queries, logs;
    (void)config_list(cfg, "compare.shadow.queries", &queries);
    (void)config_list(cfg, "compare.shadow.log", &logs);
    if (queries + logs > 0 || config_text(cfg, "compare.shadow.file") != NULL ||
        config_bool(cfg, "compare.shadow.statements"))
        return true;
    return err_set(
        err, ERR_CONFIG,
        "there is no workload: set compare.shadow.queries, compare.shadow.file, compare.shadow.log or "
        "compare.shadow.statements");
}

static bool read_workload(struct course *c, struct err *err)
{
    struct lane lane;
    if (!shadow_has_workload(c->cfg, err))
        return false;
    bool ok = lane_open(&lane, url_of(c, false), "source", &c->settings, err) && read_with(c, &lane, err);
    if (ok)
        c->out->server[0] = xstrdup(session_server(lane.session));
    lane_close(&lane);
    struct shadow_result *r = c->out;
    r->queries = xcalloc(r->workload.count + 1, sizeof *r->queries);
    for (size_t i = 0; i < r->workload.count; i++) {
        pthread_mutex_init(&r->queries[i].lock, NULL);
        r->queries[i].samples =
            xcalloc((size_t)config_int(c->cfg, "compare.shadow.samples"), sizeof *r->queries[i].samples);
    }
    return ok;
}

static bool any_to_run(const struct workload *w)
{
    for (size_t i = 0; i < w->count; i++) {
        if (w->queries[i].needs == NULL)
            return true;
    }
    return false;
}

static bool open_side(struct course *c, bool target, struct err *err)
{
    const char *url = url_of(c, target), *name = target ? "target" : "source";
    bool other = c->out->workload.translate, ok = true;
    for (size_t i = 0; ok && i < c->worker_count; i++) {
        struct step_sides *s = &c->sides[i];
        ok = target ? lane_open(&s->target, url, name, &c->settings, err)
                    : lane_open(&s->source, url, name, &c->settings, err) &&
                          lane_open(&s->again, url, name, &c->settings, err);
        s->source.live = s->again.live = s->target.live = c->out->live;
        s->source.plain = s->again.plain = s->target.plain = other;
    }
    if (ok && target)
        c->out->server[1] = xstrdup(session_server(c->sides[0].target.session));
    return ok;
}

static bool begin_source(struct course *c, const char *snapshot, struct err *err)
{
    for (size_t i = 0; i < c->worker_count; i++) {
        if (!lane_begin(&c->sides[i].source, snapshot, err) || !lane_begin(&c->sides[i].again, snapshot, err))
            return false;
    }
    return true;
}

static bool guard_all(struct course *c, struct err *err)
{
    for (size_t i = 0; i < c->worker_count; i++) {
        if (!lane_guard(&c->sides[i].source, err) || !lane_guard(&c->sides[i].again, err) ||
            !lane_guard(&c->sides[i].target, err))
            return false;
    }
    return true;
}

/* What a fence step came to: true = go on. Sets an INCONCLUSIVE verdict, or *err. */
static bool step(struct course *c, enum fence_outcome outcome, char **reason)
{
    if (outcome == FENCE_INCONCLUSIVE) {
        c->out->verdict = VERDICT_INCONCLUSIVE;
        free(c->out->reason);
        c->out->reason = *reason;
        *reason = NULL;
    }
    return outcome == FENCE_REACHED;
}

static bool begin_target(struct course *c, struct err *err)
{
    for (size_t i = 0; i < c->worker_count; i++) {
        char *reason = NULL;
        if (!lane_begin(&c->sides[i].target, NULL, err) ||
            !step(c, fence_check(&c->fence, c->sides[i].target.session, &reason, err), &reason))
            return false;
    }
    return true;
}

/* True: all sessions stand at one fence. False: *err is set, or the verdict is INCONCLUSIVE. The course is run.c's. */
static bool begin_at_fence(struct course *c, struct err *err)
{
    struct fence_run *fence = &c->fence;
    char *reason = NULL;
    if (!fence_open(fence, c->cfg, &c->fence_req, err) || !step(c, fence_hold(fence, &reason, err), &reason))
        return false;
    c->out->lsn = fence->slot.consistent_lsn;
    if (!open_side(c, false, err) || !begin_source(c, fence->slot.snapshot, err) || !fence_cut(fence, err))
        return false;
    if (!open_side(c, true, err) || !step(c, fence_wait(fence, &reason, err), &reason))
        return false;
    int64_t reached_us = clock_mono_us();
    bool all = begin_target(c, err);
    if (err_is_set(err) || !fence_release_apply(fence, err))
        return false;
    c->out->hold_us = clock_mono_us() - reached_us;
    c->out->fence_us = clock_mono_us() - fence->started_us;
    c->out->fence_id = fence->fence_id;
    if (!all || !guard_all(c, err))
        return false;
    fence_close(fence); /* the sessions hold their snapshots: the next comparison may begin */
    return true;
}

static bool begin_live(struct course *c, struct err *err)
{
    return open_side(c, false, err) && open_side(c, true, err);
}

/* Its time is compare.shadow.duration_s's, too: the snapshots are held. */
static bool explain_all(struct course *c, int64_t deadline_us, struct err *err)
{
    struct shadow_result *r = c->out;
    for (size_t i = 0; i < r->workload.count && clock_mono_us() < deadline_us; i++) {
        if (workload_is_stopped(&r->workload, err))
            return false;
        if (r->queries[i].outcome >= OUTCOME_EQUAL &&
            !step_explain(&c->sides[0], &r->workload.queries[i], &r->queries[i], err))
            return false;
    }
    return true;
}

static bool replay(struct course *c, struct err *err)
{
    int64_t rate = config_int(c->cfg, "compare.shadow.rate");
    if (!any_to_run(&c->out->workload))
        return true;
    if (!(c->out->live ? begin_live(c, err) : begin_at_fence(c, err)))
        return !err_is_set(err); /* INCONCLUSIVE is a result */
    struct players players = {.result = c->out,
                              .req = c->req,
                              .sides = c->sides,
                              .count = c->worker_count,
                              .rounds = (size_t)config_int(c->cfg, "compare.shadow.samples"),
                              .deadline_us =
                                  clock_mono_us() + config_int(c->cfg, "compare.shadow.duration_s") * 1000000,
                              .interval_us = rate > 0 ? 1000000 / rate : 0,
                              .rechecks = (int)config_int(c->cfg, "compare.shadow.rechecks")};
    return players_run(&players, err) && explain_all(c, players.deadline_us + EXPLAIN_US, err);
}

static void close_all(struct course *c)
{
    for (size_t i = 0; c->sides != NULL && i < c->worker_count; i++) {
        lane_close(&c->sides[i].source);
        lane_close(&c->sides[i].again);
        lane_close(&c->sides[i].target);
    }
    free(c->sides);
    if (!c->out->live && c->fence.pipeline != NULL)
        fence_close(&c->fence);
}

static json_int_t failed_count(const struct shadow_result *r)
{
    json_int_t failed = 0;
    for (size_t i = 0; i < r->workload.count; i++)
        failed += r->queries[i].outcome == OUTCOME_ERROR;
    return failed;
}

/* Gates and triggers of a cutover read it. */
static char *detail_text(const struct shadow_result *r)
{
    json_t *j = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:b, s:I, s:s?, s:s}", "queries", (json_int_t)r->workload.count,
        "compared", (json_int_t)r->compared, "failed", failed_count(r), "different", (json_int_t)r->different,
        "slower", (json_int_t)r->slower, "plan_changes", (json_int_t)r->plan_changes, "coverage", r->coverage,
        "live", r->live, "seed", (json_int_t)r->seed, "report_dir", r->report_dir, "reason", r->reason);
    struct shadow_summary sum;
    shadow_summary(r, &sum);
    for (int side = 0; j != NULL && sum.timed && side < 2; side++)
        json_object_set_new(j, side == 0 ? "p95_source_us" : "p95_target_us", json_integer(sum.p95_us[side]));
    char *text = j != NULL ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    return text != NULL ? text : xstrdup("{}");
}

static bool insert_verdict(const struct shadow_result *r, struct session *target, struct err *err)
{
    ROWSET_AUTO res = NULL;
    char fence_id[24], lsn[LSN_TEXT_MAX], started[ISO_TIME_MAX];
    char *detail CLEANUP(free_ptr) = detail_text(r);
    (void)snprintf(fence_id, sizeof fence_id, "%llu", (unsigned long long)r->fence_id);
    const char *params[] = {r->pipeline,
                            r->fence_id > 0 ? fence_id : NULL,
                            r->lsn != 0 ? lsn_format(r->lsn, lsn) : NULL,
                            "shadow",
                            compare_verdict_name(r->verdict),
                            detail,
                            clock_iso(r->started_us, started),
                            NULL};
    return session_ask(target, control_of(target)->verdict, 8, params, &res, err);
}

/* As after a comparison: a window of shadow queries would let the table grow for ever. */
static bool prune_verdicts(const struct shadow_result *r, struct session *target, struct err *err)
{
    return control_delete_old(target, control_of(target)->prune_verdicts, r->pipeline, err);
}

static bool record_verdict(struct course *c, struct err *err)
{
    struct session *conn = NULL;
    bool ok = session_open(url_of(c, true), "target", c->out->pipeline, &conn, err) &&
              control_of(conn)->ensure(conn, err) && insert_verdict(c->out, conn, err) &&
              prune_verdicts(c->out, conn, err);
    session_close(conn);
    return ok ||
           err_wrap(err, "the verdict (%s) could not be recorded", compare_verdict_name(c->out->verdict));
}

static bool write_files(const struct shadow_result *r, const char *dir, const char *name, unsigned formats,
                        struct err *err)
{
    struct strbuf html = STRBUF_INIT(REPORT_BYTES_MAX), junit = STRBUF_INIT(REPORT_BYTES_MAX);
    bool wants_html = (formats & REPORT_HTML) != 0, wants_junit = (formats & REPORT_JUNIT) != 0;
    const struct report_files files = {.json = (formats & REPORT_JSON) != 0 ? r->json : NULL,
                                       .html = wants_html ? &html : NULL,
                                       .junit = wants_junit ? &junit : NULL};
    bool ok = (!wants_html || shadow_html_make(r, &html, err)) &&
              (!wants_junit || shadow_junit_make(r, &junit, err)) &&
              report_write_files(dir, name, "shadow-latest", &files, err);
    strbuf_release(&html);
    strbuf_release(&junit);
    return ok;
}

/* The folder of the report is part of it. */
static bool write_report(struct course *c, struct err *err)
{
    struct shadow_result *r = c->out;
    const char *dir =
        c->req->report_dir != NULL ? c->req->report_dir : config_text(c->cfg, "compare.report_dir");
    char *name CLEANUP(free_ptr) = xasprintf("shadow-%lld", (long long)(r->started_us / 1000));
    unsigned formats = report_formats(c->cfg);
    r->report_dir = xasprintf("%s/%s", dir, name);
    r->report_file = report_first_file(r->report_dir, formats);
    return shadow_json_make(r, &r->json, err) && write_files(r, dir, name, formats, err);
}

static bool finish(struct course *c, struct err *err)
{
    struct shadow_result *r = c->out;
    r->finished_us = clock_wall_us();
    shadow_judge(r);
    bool skip = c->req->report_unless_pass && r->verdict == VERDICT_PASS;
    return shadow_redact(c->cfg, r, err) &&
           (skip ? shadow_json_make(r, &r->json, err) : write_report(c, err)) && record_verdict(c, err);
}

/* One pass over all queries; *ret_ran: whether there was any. */
static bool warm_pass(struct course *c, struct lane *lane, int64_t until_us, struct shadow_warmth *ret,
                      bool *ret_ran, struct err *err)
{
    const struct workload *w = &c->out->workload;
    *ret_ran = false;
    for (size_t i = 0; i < w->count; i++) {
        const struct shadow_query *q = &w->queries[i];
        for (size_t v = 0; q->needs == NULL && v < q->variant_count; v++) {
            struct lane_answer answer;
            if (clock_mono_us() >= until_us)
                return true;
            if (workload_is_stopped(w, err) || !lane_run(lane, &q->variants[v], true, &answer, err))
                return false;
            ret->runs++;
            ret->failed += answer.end == LANE_ERROR;
            *ret_ran = true;
        }
    }
    ret->passes++;
    return true;
}

static bool warm(struct course *c, int64_t until_us, struct shadow_warmth *ret, struct err *err)
{
    struct lane lane;
    bool ran = true;
    bool ok = lane_open(&lane, url_of(c, true), "target", &c->settings, err);
    lane.live = true;
    while (ok && ran && clock_mono_us() < until_us)
        ok = warm_pass(c, &lane, until_us, ret, &ran, err);
    lane_close(&lane);
    return ok;
}

static void begin_course(struct course *c, const struct shadow_request *req)
{
    c->out->live = req->live;
    c->out->reason = xstrdup("");
    c->out->pipeline = xstrdup(config_text(c->cfg, "pipeline"));
    c->out->started_us = clock_wall_us();
    c->out->seed =
        req->seed != 0 ? req->seed : ((uint64_t)c->out->started_us * UINT64_C(0x9e3779b97f4a7c15) >> 33) | 1;
    prepare(c);
}

bool shadow_warm(const struct config *cfg, int64_t for_us, int stop_fd, struct shadow_warmth *ret,
                 struct err *err)
{
    struct shadow_request req = {.live = true, .stop_fd = stop_fd};
    struct shadow_result *out = xcalloc(1, sizeof *out);
    struct course c = {.cfg = cfg, .req = &req, .out = out};
    *ret = (struct shadow_warmth){0};
    begin_course(&c, &req);
    bool ok = read_workload(&c, err) && warm(&c, clock_mono_us() + for_us, ret, err);
    close_all(&c);
    shadow_result_free(out);
    return ok;
}

bool shadow_run(const struct config *cfg, const struct shadow_request *req, struct shadow_result **ret,
                struct err *err)
{
    struct shadow_result *out = xcalloc(1, sizeof *out);
    struct course c = {.cfg = cfg, .req = req, .out = out};
    begin_course(&c, req);
    bool ok = read_workload(&c, err) && replay(&c, err);
    close_all(&c);
    ok = ok && finish(&c, err);
    if (!ok) {
        shadow_result_free(out);
        return false;
    }
    *ret = out;
    return true;
}

void shadow_result_free(struct shadow_result *r)
{
    if (r == NULL)
        return;
    for (size_t i = 0; r->queries != NULL && i < r->workload.count; i++) {
        struct query_result *q = &r->queries[i];
        pthread_mutex_destroy(&q->lock);
        free(q->why);
        free(q->samples);
        free(q->plan[0]);
        free(q->plan[1]);
    }
    free(r->queries);
    workload_release(&r->workload);
    free(r->reason);
    free(r->pipeline);
    free(r->server[0]);
    free(r->server[1]);
    free(r->report_dir);
    free(r->report_file);
    free(r->json);
    free(r);
}

enum compare_verdict shadow_verdict(const struct shadow_result *r)
{
    return r->verdict;
}

const char *shadow_json(const struct shadow_result *r)
{
    return r->json;
}

void shadow_summary(const struct shadow_result *r, struct shadow_summary *ret)
{
    *ret = (struct shadow_summary){.reason = r->reason,
                                   .report_dir = r->report_dir,
                                   .fence_id = r->fence_id,
                                   .lsn = r->lsn,
                                   .started_us = r->started_us,
                                   .finished_us = r->finished_us,
                                   .hold_us = r->hold_us,
                                   .compared = r->compared,
                                   .timed =
                                       r->times[SHOWN_SOURCE].count > 0 && r->times[SHOWN_TARGET].count > 0};
    for (size_t i = 0; i < r->workload.count; i++) {
        const struct query_result *q = &r->queries[i];
        ret->runs += q->runs;
        ret->findings += outcome_is_finding(q->outcome) || q->latency.verdict == LATENCY_SLOWER;
    }
    if (ret->findings == 0 && r->overall.verdict == LATENCY_SLOWER)
        ret->findings = 1; /* all of them together */
    ret->p95_us[0] = histogram_quantile(&r->times[SHOWN_SOURCE], 0.95);
    ret->p95_us[1] = histogram_quantile(&r->times[SHOWN_TARGET], 0.95);
}
