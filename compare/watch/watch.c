/* Owns: the loop of a parallel-run window. See compare/watch.h. */
#include "compare/watch.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "compare/shadow/shadow.h"
#include "control/alerts.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"
#include "history.h"
#include "outcome.h"
#include "schedule.h"

#define INCONCLUSIVE_ALERT 3 /* so many in a row: nobody knows any more whether the sides are equal */
#define WAIT_MAX_MS        60000
#define CONTINUOUS_S       60 /* a run each minute at most: two weeks of them are as many rows as of counts */

/* Levels run in two lines, one after the other in each: comparisons in that of the calling thread, and beside them shadow queries, which
 * take long and do not need the pipeline's lock. */
struct line {
    struct watch *watch;
    bool beside;
    int stop_fd;
    bool ok; /* of a line that has ended */
    struct err err;
};

struct watch {
    const struct config *cfg;
    const char *pipeline;
    int stop_fd;
    bool once, stop_on_mismatch;
    struct watch_schedule schedule;        /* what changes of a level belongs to its line */
    pthread_mutex_t lock;                  /* of all that follows */
    enum compare_verdict last[LEVELS_MAX]; /* PASS or FAIL: the last of this process that was one of them */
    bool failed_before[LEVELS_MAX];        /* the last that an earlier process has kept was a FAIL */
    unsigned inconclusive[LEVELS_MAX];     /* in a row */
    struct windows windows;                /* of what is kept, as far as it was read */
    bool clean;                            /* told */
    struct alerts *alerts;
    bool beside_ended;
    int wake_fd; /* eventfd: the line beside has come to something */
};

static const struct {
    const char *name;
    enum compare_building building;
    enum compare_level level;
    bool beside;
} kinds[] = {{"counts", BUILD_NOTHING, LEVEL_COUNTS, false},
             {"changed", BUILD_CHANGED, LEVEL_DIGESTS, false},
             {"digests", BUILD_NOTHING, LEVEL_DIGESTS, false},
             {"full", BUILD_NOTHING, LEVEL_FULL, false},
             {"shadow", BUILD_NOTHING, LEVEL_UNKNOWN, true}};

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
        if (every_s < 0) /* "continuous" */
            every_s = CONTINUOUS_S;
        if (every_s > 0)
            ret->levels[ret->count++] = (struct watch_level){
                .name = kinds[i].name, .every_us = every_s * 1000000, .beside = kinds[i].beside};
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
    bool ok = open_target(w->cfg, &target, err) && history_read_on(target, w->pipeline, &w->windows, err);
    for (size_t i = 0; ok && i < w->schedule.count; i++) {
        struct watch_level *level = &w->schedule.levels[i];
        const struct window *window = windows_find(&w->windows, level->name);
        level->last_us = window != NULL ? window->began_us : 0;
        w->failed_before[i] = window != NULL && strcmp(window->told.last_verdict, "FAIL") == 0;
    }
    session_close(target);
    return ok;
}

bool watch_clean_since(const struct config *cfg, int64_t *ret_us, struct err *err)
{
    struct watch_schedule schedule = {.count = 0};
    struct windows windows = {.count = 0};
    struct session *target = NULL;
    read_schedule(cfg, &schedule);
    bool ok = open_target(cfg, &target, err) &&
              history_read_on(target, config_text(cfg, "pipeline"), &windows, err);
    session_close(target);
    if (ok)
        *ret_us = history_clean_since(&windows, &schedule);
    return ok;
}

static bool tell_clean_locked(struct watch *w, struct session *target, int64_t wanted_s, struct err *err)
{
    if (!history_read_on(target, w->pipeline, &w->windows, err))
        return false;
    int64_t since_us = history_clean_since(&w->windows, &w->schedule);
    bool clean = since_us > 0 && clock_wall_us() - since_us >= wanted_s * 1000000;
    if (clean && !w->clean) {
        char at[ISO_TIME_MAX], text[120];
        (void)snprintf(text, sizeof text, "all levels are clean since %s", clock_iso(since_us, at));
        alerts_raise(w->alerts, "clean", "all", text, true);
    }
    w->clean = clean;
    return true;
}

/* Whether all levels have been clean for as long as is asked for: told once, until one is not any more. */
static bool tell_clean(struct watch *w, struct session *target, struct err *err)
{
    int64_t wanted_s = config_int(w->cfg, "cutover.clean_for");
    if (wanted_s == 0)
        return true;
    pthread_mutex_lock(&w->lock);
    bool ok = tell_clean_locked(w, target, wanted_s, err);
    pthread_mutex_unlock(&w->lock);
    return ok;
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
                 const struct outcome *outcome, struct err *err)
{
    struct session *target = NULL;
    bool ok = open_target(w->cfg, &target, err) &&
              history_add(target, w->pipeline, level, started_us, outcome, err);
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
static void judge_locked(struct watch *w, const struct watch_level *level, const struct outcome *o)
{
    size_t i = index_of(w, level);
    if (o->verdict == VERDICT_INCONCLUSIVE) {
        if (++w->inconclusive[i] == INCONCLUSIVE_ALERT)
            alerts_raise(w->alerts, "inconclusive", level->name, o->text, false);
        return;
    }
    if (o->verdict == VERDICT_FAIL && w->last[i] != VERDICT_FAIL)
        alerts_raise(w->alerts, "mismatch", level->name, o->text, false);
    else if (o->verdict == VERDICT_PASS && (is_failing(w, i) || w->inconclusive[i] >= INCONCLUSIVE_ALERT))
        alerts_raise(w->alerts, "recovered", level->name, "equal again", true);
    w->inconclusive[i] = 0;
    w->last[i] = o->verdict;
}

static void judge(struct watch *w, const struct watch_level *level, const struct outcome *o)
{
    pthread_mutex_lock(&w->lock);
    judge_locked(w, level, o);
    pthread_mutex_unlock(&w->lock);
    if (level->beside)
        (void)eventfd_write(w->wake_fd, 1);
}

static void tell(const struct watch_level *level, const struct outcome *o)
{
    log_event(o->verdict == VERDICT_PASS ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, "compared",
              "level=%s verdict=%s tables=%" PRIu64 " rows=%" PRIu64 " differences=%" PRIu64
              " took_ms=%" PRId64 " held_ms=%.1f fence=%" PRIu64 " lsn=" LSN_FMT,
              level->name, compare_verdict_name(o->verdict), o->tables, o->rows, o->differences,
              (o->finished_us - o->started_us) / 1000, (double)o->hold_us / 1000.0, o->fence_id,
              LSN_ARGS(o->lsn));
}

/* A run that took place, whatever it found. False: it could not be kept. */
static bool took_place(struct watch *w, struct watch_level *level, int64_t started_us,
                       const struct outcome *outcome, struct err *err)
{
    tell(level, outcome);
    if (!keep(w, level, started_us, outcome, err))
        return false; /* a verdict that nobody can look up does not count */
    schedule_done(level);
    judge(w, level, outcome);
    return true;
}

/* One that could not be made, or not be kept. False: no later one will be. */
static bool failed(struct watch *w, struct watch_level *level, int64_t started_us, const struct err *err)
{
    if (w->once || err->code == ERR_CONFIG || err->code == ERR_UNSUPPORTED || err->code == ERR_BUG)
        return false;
    log_event(LOG_LEVEL_ERROR, "compare_failed", "level=%s text=\"%s\"", level->name, err->text);
    struct err unkept = ERR_INIT;
    struct outcome outcome;
    outcome_of_failure(err->text, &outcome);
    if (err->code != ERR_BUSY &&
        level->failed_tries == 0 && /* busy: another comparison runs, and has a verdict of its own */
        !keep(w, level, started_us, &outcome, &unkept))
        log_event(LOG_LEVEL_ERROR, "compare_failed", "level=%s text=\"%s\"", level->name, unkept.text);
    if (err->code != ERR_BUSY)
        judge(w, level, &outcome);
    outcome_release(&outcome);
    schedule_failed(level, clock_wall_us());
    return true;
}

/* Reports are of what is no PASS, and of changed keys only of the first that differ: a window of weeks must not fill the disk. */
static struct compare_request request_of(struct watch *w, const struct watch_level *level)
{
    struct compare_request req = {.stop_fd = w->stop_fd, .report_unless_pass = true, .all_rows = true};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (strcmp(kinds[i].name, level->name) != 0)
            continue;
        req.building = kinds[i].building;
        req.level = kinds[i].level;
    }
    pthread_mutex_lock(&w->lock);
    req.skip_report = req.building == BUILD_CHANGED && w->last[index_of(w, level)] == VERDICT_FAIL;
    req.skip_causes = req.skip_report;
    pthread_mutex_unlock(&w->lock);
    return req;
}

static bool compare(struct watch *w, const struct watch_level *level, struct outcome *ret, struct err *err)
{
    struct compare_request req = request_of(w, level);
    struct compare_result result;
    if (!compare_run(w->cfg, &req, &result, err))
        return false;
    outcome_of_compare(&result, ret);
    compare_result_release(&result);
    return true;
}

static bool shadow(const struct line *line, struct outcome *ret, struct err *err)
{
    const struct config *cfg = line->watch->cfg;
    struct shadow_request req = {.live = strcmp(config_text(cfg, "compare.watch.shadow_at"), "live") == 0,
                                 .stop_fd = line->stop_fd,
                                 .report_unless_pass = true};
    struct shadow_result *result = NULL;
    if (!shadow_run(cfg, &req, &result, err))
        return false;
    outcome_of_shadow(result, ret);
    shadow_result_free(result);
    return true;
}

static bool run_level(struct line *line, struct watch_level *level, bool *ret_stopped, struct err *err)
{
    struct watch *w = line->watch;
    int64_t started_us = clock_wall_us();
    struct outcome outcome = {0};
    struct err found = ERR_INIT;
    schedule_began(level, started_us);
    bool kept = false;
    if (line->beside ? shadow(line, &outcome, &found) : compare(w, level, &outcome, &found)) {
        kept = took_place(w, level, started_us, &outcome, &found);
        outcome_release(&outcome);
    } else if (found.code == ERR_INTERRUPTED) {
        *ret_stopped = true;
        return true;
    }
    if (kept || failed(w, level, started_us, &found))
        return true;
    *err = found;
    return false;
}

/* When alerts are to be delivered (us, mono), 0 = none waits. */
static int64_t alert_due_us(struct watch *w)
{
    pthread_mutex_lock(&w->lock);
    int64_t due_us = alerts_due_us(w->alerts);
    pthread_mutex_unlock(&w->lock);
    return due_us;
}

static void deliver_alerts(struct watch *w)
{
    pthread_mutex_lock(&w->lock);
    alerts_deliver(w->alerts);
    pthread_mutex_unlock(&w->lock);
}

/* Until then, or something calls for a look. True: stop was asked for. */
static bool wait_until(const struct line *line, int64_t at_us)
{
    struct watch *w = line->watch;
    int64_t ms = (at_us - clock_wall_us() + 999) / 1000, alert_us = line->beside ? 0 : alert_due_us(w);
    if (alert_us > 0)
        ms = MIN_OF(ms, (alert_us - clock_mono_us() + 999) / 1000);
    struct pollfd fds[2] = {{.fd = line->stop_fd, .events = POLLIN},
                            {.fd = line->beside ? -1 : w->wake_fd, .events = POLLIN}};
    int ready = poll(fds, 2, (int)MAX_OF(0, MIN_OF(ms, WAIT_MAX_MS)));
    eventfd_t n;
    if (ready > 0 && fds[1].revents != 0)
        (void)eventfd_read(w->wake_fd, &n);
    return ready > 0 && fds[0].revents != 0;
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

static bool all_ran(const struct line *line, int64_t since_us)
{
    for (size_t i = 0; i < line->watch->schedule.count; i++) {
        const struct watch_level *level = &line->watch->schedule.levels[i];
        if (level->beside == line->beside && (level->last_us < since_us || level->at_once))
            return false;
    }
    return true;
}

/* A FAIL of this process (what an earlier one has found may have been repaired) that is to end it, or the end of the other line. */
static bool is_over(struct watch *w)
{
    pthread_mutex_lock(&w->lock);
    bool over = w->beside_ended;
    for (size_t i = 0; w->stop_on_mismatch && i < w->schedule.count; i++)
        over |= w->last[i] == VERDICT_FAIL;
    pthread_mutex_unlock(&w->lock);
    return over;
}

static bool run_line(struct line *line, struct err *err)
{
    struct watch *w = line->watch;
    int64_t since_us = clock_wall_us(), at_us = 0;
    bool stopped = false, ok = true;
    for (size_t i = 0; w->once && i < w->schedule.count; i++)
        w->schedule.levels[i].at_once |= w->schedule.levels[i].beside == line->beside;
    while (ok && !stopped && !is_over(w)) {
        if (!line->beside)
            deliver_alerts(w);
        if (w->once && all_ran(line, since_us))
            break;
        struct watch_level *level = schedule_next(&w->schedule, line->beside, clock_wall_us(), &at_us);
        if (level == NULL || at_us > clock_wall_us())
            stopped = wait_until(line, level != NULL ? at_us : INT64_MAX);
        else
            ok = run_level(line, level, &stopped, err);
    }
    return ok;
}

static void *beside_main(void *arg)
{
    struct line *line = arg;
    struct watch *w = line->watch;
    line->ok = run_line(line, &line->err);
    pthread_mutex_lock(&w->lock);
    w->beside_ended = true; /* asked to, by a mismatch, or because it cannot: nothing is left to wait for */
    pthread_mutex_unlock(&w->lock);
    (void)eventfd_write(w->wake_fd, 1);
    return NULL;
}

/* Both lines at the same time, until one of them ends. */
static bool run_both(struct line *here, struct line *beside, struct err *err)
{
    pthread_t thread;
    beside->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (beside->stop_fd < 0 || pthread_create(&thread, NULL, beside_main, beside) != 0)
        BUG("no thread");
    bool ok = run_line(here, err);
    (void)eventfd_write(beside->stop_fd, 1);
    pthread_join(thread, NULL);
    (void)close(beside->stop_fd);
    if (ok && !beside->ok)
        *err = beside->err;
    return ok && beside->ok;
}

static bool has_beside(const struct watch *w)
{
    for (size_t i = 0; i < w->schedule.count; i++) {
        if (w->schedule.levels[i].beside)
            return true;
    }
    return false;
}

/* once: one line after the other, so that neither finds the other's fence in its way. */
static bool run_lines(struct watch *w, struct line *here, struct err *err)
{
    struct line beside = {.watch = w, .beside = true, .stop_fd = w->stop_fd, .err = ERR_INIT};
    if (!has_beside(w))
        return run_line(here, err);
    if (!w->once)
        return run_both(here, &beside, err);
    return run_line(here, err) && run_line(&beside, err);
}

/* The target may be away just when the watch begins. True with *ret_stopped: stop was asked for meanwhile. */
static bool take_up_patiently(struct line *line, bool *ret_stopped, struct err *err)
{
    struct watch *w = line->watch;
    for (unsigned tries = 0; !*ret_stopped; tries++) {
        struct err found = ERR_INIT;
        if (take_up(w, &found))
            return true;
        if (w->once || err_policy(found.code) == POLICY_HALT) {
            *err = found;
            return false;
        }
        log_event(LOG_LEVEL_ERROR, "compare_failed", "level=none text=\"%s\"", found.text);
        *ret_stopped = wait_until(line, clock_wall_us() + clock_backoff_us(tries, 1000, WAIT_MAX_MS));
    }
    return true;
}

static bool check(const struct watch *w, struct err *err)
{
    if (w->schedule.count == 0)
        return err_set(
            err, ERR_CONFIG,
            "nothing is to be watched: compare.watch.counts, changed, digests, full and shadow are all 0");
    return !has_beside(w) || shadow_has_workload(w->cfg, err) || err_wrap(err, "compare.watch.shadow");
}

bool compare_watch(const struct config *cfg, bool once, int stop_fd, enum compare_verdict *ret_verdict,
                   struct err *err)
{
    struct watch w = {.cfg = cfg,
                      .pipeline = config_text(cfg, "pipeline"),
                      .stop_fd = stop_fd,
                      .once = once,
                      .stop_on_mismatch = strcmp(config_text(cfg, "compare.watch.on_mismatch"), "stop") == 0};
    struct line here = {.watch = &w, .stop_fd = stop_fd, .err = ERR_INIT};
    read_schedule(cfg, &w.schedule);
    if (!check(&w, err))
        return false;
    pthread_mutex_init(&w.lock, NULL);
    w.wake_fd = eventfd(0, EFD_CLOEXEC);
    if (w.wake_fd < 0)
        BUG("no eventfd");
    struct alert_ways ways = alert_ways_of(cfg);
    ways.webhook.url = config_text(cfg, "compare.watch.webhook");
    ways.webhook.secret = config_text(cfg, "compare.watch.webhook_secret");
    w.alerts = alerts_new(&ways);
    bool stopped = false;
    bool ok = take_up_patiently(&here, &stopped, err) && (stopped || run_lines(&w, &here, err));
    alerts_deliver(w.alerts);
    alerts_free(w.alerts);
    (void)close(w.wake_fd);
    pthread_mutex_destroy(&w.lock);
    *ret_verdict = worst(&w);
    return ok;
}
