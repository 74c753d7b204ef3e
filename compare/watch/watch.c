/* Owns: the loop of a parallel-run window. See compare/watch.h. */
#include "compare/watch.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alerts.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"
#include "history.h"
#include "schedule.h"

#define INCONCLUSIVE_ALERT 3 /* so many in a row: nobody knows any more whether the sides are equal */
#define WAIT_MAX_MS        60000

struct watch {
    const struct config *cfg;
    const char *pipeline;
    int stop_fd;
    bool once, stop_on_mismatch;
    struct watch_schedule schedule;
    enum compare_verdict last[LEVELS_MAX]; /* PASS or FAIL: the last of this process that was one of them */
    bool failed_before[LEVELS_MAX];        /* the last that an earlier process has kept was a FAIL */
    unsigned inconclusive[LEVELS_MAX];     /* in a row */
    bool clean;                            /* told */
    struct alerts *alerts;
};

static const struct {
    const char *name;
    enum compare_building building;
    enum compare_level level;
} kinds[] = {{"counts", BUILD_NOTHING, LEVEL_COUNTS},
             {"changed", BUILD_CHANGED, LEVEL_DIGESTS},
             {"digests", BUILD_NOTHING, LEVEL_DIGESTS},
             {"full", BUILD_NOTHING, LEVEL_FULL}};

_Static_assert(ARRAY_LEN(kinds) <= LEVELS_MAX, "room for every kind");

static size_t index_of(const struct watch *w, const struct watch_level *level)
{
    return (size_t)(level - w->schedule.levels);
}

static void read_schedule(const struct config *cfg, struct watch_schedule *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        char key[64];
        (void)snprintf(key, sizeof key, "compare.watch.%s", kinds[i].name);
        int64_t every_s = config_int(cfg, key);
        if (every_s > 0)
            ret->levels[ret->count++] =
                (struct watch_level){.name = kinds[i].name, .every_us = every_s * 1000000};
    }
}

static bool open_target(const struct config *cfg, struct session **ret, struct err *err)
{
    struct session *target = NULL;
    if (!session_open(config_text(cfg, "target.url"), "target", config_text(cfg, "pipeline"), &target, err))
        return false;
    if (control_of(target)->ensure(target, err)) {
        *ret = target;
        return true;
    }
    session_close(target);
    return false;
}

/* Goes on where an earlier watcher has left it. */
static bool take_up(struct watch *w, struct err *err)
{
    struct session *target = NULL;
    bool ok = open_target(w->cfg, &target, err);
    for (size_t i = 0; ok && i < w->schedule.count; i++) {
        struct watch_level *level = &w->schedule.levels[i];
        struct watch_window window = {.every_s = level->every_us / 1000000};
        ok = history_last(target, w->pipeline, level->name, &level->last_us, err) &&
             history_window(target, w->pipeline, level->name, &window, err);
        w->failed_before[i] = strcmp(window.last_verdict, "FAIL") == 0;
    }
    session_close(target);
    return ok;
}

bool watch_clean_since(const struct config *cfg, int64_t *ret_us, struct err *err)
{
    struct watch_schedule schedule = {.count = 0};
    struct session *target = NULL;
    read_schedule(cfg, &schedule);
    bool ok = open_target(cfg, &target, err) &&
              history_clean_since(target, config_text(cfg, "pipeline"), &schedule, ret_us, err);
    session_close(target);
    return ok;
}

/* Whether all levels have been clean for as long as is asked for: told once, until one is not any more. */
static bool tell_clean(struct watch *w, struct session *target, struct err *err)
{
    int64_t wanted_s = config_int(w->cfg, "cutover.clean_for"), since_us = 0;
    if (wanted_s == 0)
        return true;
    if (!history_clean_since(target, w->pipeline, &w->schedule, &since_us, err))
        return false;
    bool clean = since_us > 0 && clock_wall_us() - since_us >= wanted_s * 1000000;
    if (clean && !w->clean) {
        char at[ISO_TIME_MAX], text[120];
        (void)snprintf(text, sizeof text, "all levels are clean since %s", clock_iso(since_us, at));
        alerts_raise(w->alerts, "clean", "all", text);
    }
    w->clean = clean;
    return true;
}

/* What else the table is for fails apart: the run itself is kept by then, and must not be made again for it. */
static void look_after(struct watch *w, struct session *target)
{
    struct err err = ERR_INIT;
    if (!history_prune(target, w->pipeline, config_int(w->cfg, "compare.watch.keep"), &err) ||
        !tell_clean(w, target, &err))
        log_event(LOG_LEVEL_ERROR, "watch_failed", "text=\"%s\"", err.text);
}

static bool keep(struct watch *w, const struct watch_level *level, int64_t started_us,
                 const struct compare_result *result, const char *why, struct err *err)
{
    struct session *target = NULL;
    bool ok = open_target(w->cfg, &target, err) &&
              history_add(target, w->pipeline, level, started_us, result, why, err);
    if (ok)
        look_after(w, target);
    session_close(target);
    return ok;
}

/* FAIL: the last run of the level that came to PASS or FAIL, by whichever process. */
static bool is_failing(const struct watch *w, size_t i)
{
    return w->last[i] == VERDICT_FAIL || (w->last[i] == VERDICT_UNKNOWN && w->failed_before[i]);
}

/* A process that ends between a run and its alert leaves the alert to the next one, which tells of the first FAIL of its own: an
 * alert may come twice, but none is lost. */
static void judge(struct watch *w, const struct watch_level *level, enum compare_verdict verdict,
                  const char *text)
{
    size_t i = index_of(w, level);
    if (verdict == VERDICT_INCONCLUSIVE) {
        if (++w->inconclusive[i] == INCONCLUSIVE_ALERT)
            alerts_raise(w->alerts, "inconclusive", level->name, text);
        return;
    }
    if (verdict == VERDICT_FAIL && w->last[i] != VERDICT_FAIL)
        alerts_raise(w->alerts, "mismatch", level->name, text);
    else if (verdict == VERDICT_PASS && (is_failing(w, i) || w->inconclusive[i] >= INCONCLUSIVE_ALERT))
        alerts_raise(w->alerts, "recovered", level->name, "equal again");
    w->inconclusive[i] = 0;
    w->last[i] = verdict;
}

static void tell(const struct watch_level *level, const struct compare_result *r)
{
    log_event(r->verdict == VERDICT_PASS ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, "compared",
              "level=%s verdict=%s tables=%zu rows=%" PRIu64 " differences=%" PRIu64 " took_ms=%" PRId64
              " held_ms=%.1f fence=%" PRIu64 " lsn=" LSN_FMT,
              level->name, compare_verdict_name(r->verdict), r->table_count, r->rows_source, r->differences,
              (r->finished_us - r->started_us) / 1000, (double)r->hold_us / 1000.0, r->fence_id,
              LSN_ARGS(r->lsn));
}

static char *text_of(const struct compare_result *r)
{
    return xasprintf("%s: %zu of %zu tables differ, %" PRIu64 " differences%s%s%s%s",
                     compare_verdict_name(r->verdict), r->failed, r->table_count, r->differences,
                     r->reason[0] != '\0' ? ": " : "", r->reason, r->report_dir != NULL ? ", report: " : "",
                     r->report_dir != NULL ? r->report_dir : "");
}

/* A run that took place, whatever it found. False: it could not be kept. */
static bool took_place(struct watch *w, struct watch_level *level, int64_t started_us,
                       const struct compare_result *result, struct err *err)
{
    tell(level, result);
    if (!keep(w, level, started_us, result, NULL, err))
        return false; /* a verdict that nobody can look up does not count */
    char *text = text_of(result);
    schedule_done(level);
    judge(w, level, result->verdict, text);
    free(text);
    return true;
}

/* One that could not be made, or not be kept. False: no later one will be. */
static bool failed(struct watch *w, struct watch_level *level, int64_t started_us, const struct err *err)
{
    if (w->once || err->code == ERR_CONFIG || err->code == ERR_UNSUPPORTED || err->code == ERR_BUG)
        return false;
    log_event(LOG_LEVEL_ERROR, "compare_failed", "level=%s text=\"%s\"", level->name, err->text);
    struct err unkept = ERR_INIT;
    if (err->code != ERR_BUSY &&
        level->failed_tries == 0 && /* busy: another comparison runs, and has a verdict of its own */
        !keep(w, level, started_us, NULL, err->text, &unkept))
        log_event(LOG_LEVEL_ERROR, "compare_failed", "level=%s text=\"%s\"", level->name, unkept.text);
    if (err->code != ERR_BUSY)
        judge(w, level, VERDICT_INCONCLUSIVE, err->text);
    schedule_failed(level, clock_wall_us());
    return true;
}

/* Reports are of what is no PASS, and of changed keys only of the first that differ: a window of weeks must not fill the disk. */
static struct compare_request request_of(const struct watch *w, const struct watch_level *level)
{
    struct compare_request req = {.stop_fd = w->stop_fd, .report_unless_pass = true, .all_rows = true};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (strcmp(kinds[i].name, level->name) != 0)
            continue;
        req.building = kinds[i].building;
        req.level = kinds[i].level;
    }
    req.skip_report = req.building == BUILD_CHANGED && w->last[index_of(w, level)] == VERDICT_FAIL;
    req.skip_causes = req.skip_report;
    return req;
}

static bool run_level(struct watch *w, struct watch_level *level, bool *ret_stopped, struct err *err)
{
    int64_t started_us = clock_wall_us();
    struct compare_request req = request_of(w, level);
    struct compare_result result;
    struct err found = ERR_INIT;
    schedule_began(level, started_us);
    bool kept = false;
    if (compare_run(w->cfg, &req, &result, &found)) {
        kept = took_place(w, level, started_us, &result, &found);
        compare_result_release(&result);
    } else if (found.code == ERR_INTERRUPTED) {
        *ret_stopped = true;
        return true;
    }
    if (kept || failed(w, level, started_us, &found))
        return true;
    *err = found;
    return false;
}

/* True: stop was asked for. */
static bool wait_until(const struct watch *w, int64_t at_us)
{
    int64_t ms = (at_us - clock_wall_us() + 999) / 1000, alert_us = alerts_due_us(w->alerts);
    if (alert_us > 0)
        ms = MIN_OF(ms, (alert_us - clock_mono_us() + 999) / 1000);
    struct pollfd fd = {.fd = w->stop_fd, .events = POLLIN};
    return poll(&fd, 1, (int)MAX_OF(0, MIN_OF(ms, WAIT_MAX_MS))) > 0;
}

static enum compare_verdict worst(const struct watch *w)
{
    enum compare_verdict verdict = VERDICT_PASS;
    for (size_t i = 0; i < w->schedule.count; i++) {
        if (is_failing(w, i))
            return VERDICT_FAIL;
        if (w->inconclusive[i] > 0)
            verdict = VERDICT_INCONCLUSIVE;
    }
    return verdict;
}

static bool all_ran(const struct watch *w, int64_t since_us)
{
    for (size_t i = 0; i < w->schedule.count; i++) {
        if (w->schedule.levels[i].last_us < since_us || w->schedule.levels[i].at_once)
            return false;
    }
    return true;
}

/* A FAIL of this process: what an earlier one has found may have been repaired. */
static bool found_mismatch(const struct watch *w)
{
    for (size_t i = 0; i < w->schedule.count; i++) {
        if (w->last[i] == VERDICT_FAIL)
            return true;
    }
    return false;
}

static bool loop(struct watch *w, struct err *err)
{
    int64_t since_us = clock_wall_us(), at_us = 0;
    bool stopped = false, ok = true;
    for (size_t i = 0; w->once && i < w->schedule.count; i++)
        w->schedule.levels[i].at_once = true;
    while (ok && !stopped) {
        alerts_deliver(w->alerts);
        if ((w->once && all_ran(w, since_us)) || (w->stop_on_mismatch && found_mismatch(w)))
            break;
        struct watch_level *level = schedule_next(&w->schedule, clock_wall_us(), &at_us);
        if (at_us > clock_wall_us())
            stopped = wait_until(w, at_us);
        else
            ok = run_level(w, level, &stopped, err);
    }
    return ok;
}

/* The target may be away just when the watch begins. True with *ret_stopped: stop was asked for meanwhile. */
static bool take_up_patiently(struct watch *w, bool *ret_stopped, struct err *err)
{
    for (unsigned tries = 0; !*ret_stopped; tries++) {
        struct err found = ERR_INIT;
        if (take_up(w, &found))
            return true;
        if (w->once || err_policy(found.code) == POLICY_HALT) {
            *err = found;
            return false;
        }
        log_event(LOG_LEVEL_ERROR, "compare_failed", "level=none text=\"%s\"", found.text);
        *ret_stopped = wait_until(w, clock_wall_us() + clock_backoff_us(tries, 1000, WAIT_MAX_MS));
    }
    return true;
}

bool compare_watch(const struct config *cfg, bool once, int stop_fd, enum compare_verdict *ret_verdict,
                   struct err *err)
{
    struct watch w = {.cfg = cfg,
                      .pipeline = config_text(cfg, "pipeline"),
                      .stop_fd = stop_fd,
                      .once = once,
                      .stop_on_mismatch = strcmp(config_text(cfg, "compare.watch.on_mismatch"), "stop") == 0};
    read_schedule(cfg, &w.schedule);
    if (w.schedule.count == 0)
        return err_set(err, ERR_CONFIG,
                       "nothing is to be watched: compare.watch.counts, changed, digests and full are all 0");
    w.alerts = alerts_new(cfg);
    bool stopped = false;
    bool ok = take_up_patiently(&w, &stopped, err) && (stopped || loop(&w, err));
    alerts_deliver(w.alerts);
    alerts_free(w.alerts);
    *ret_verdict = worst(&w);
    return ok;
}
