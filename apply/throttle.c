/* See throttle.h. */
#include "apply/throttle.h"

#include <stdio.h>
#include <string.h>

#include "control/desk.h"
#include "core/clock.h"
#include "core/err.h"

#define LOOK_AT_STANDBYS_US 200000
#define MINUTE_US           INT64_C(60000000)
#define DAY_MIN             1440

bool throttle_schedule(struct throttle *th, const char *text, struct err *err)
{
    th->window_count = 0;
    for (const char *p = text != NULL ? text : ""; *p != '\0';) {
        int h1, m1, h2, m2, used = 0;
        if (th->window_count == WINDOWS_MAX || sscanf(p, "%2d:%2d-%2d:%2d%n", &h1, &m1, &h2, &m2, &used) != 4)
            return err_set(
                err, ERR_CONFIG,
                "apply.schedule: found \"%.80s\", expected windows such as \"22:00-06:00 UTC\" (%d at most)",
                text, WINDOWS_MAX);
        if (h1 > 23 || h2 > 24 || m1 > 59 || m2 > 59 || h2 * 60 + m2 > DAY_MIN)
            return err_set(err, ERR_CONFIG, "apply.schedule: \"%.11s\" is no time of the day", p);
        th->windows[th->window_count].from_min = h1 * 60 + m1;
        th->windows[th->window_count++].to_min = h2 * 60 + m2;
        p += used;
        p += strspn(p, ", ");
        if (strcmp(p, "UTC") == 0)
            break;
    }
    return true;
}

bool throttle_init(struct throttle *th, const struct config *cfg, struct err *err)
{
    *th = (struct throttle){.batch_latency_us = config_int(cfg, "apply.batch_latency_ms") * 1000,
                            .standbys.max_us = config_int(cfg, "apply.max_replica_lag_ms") * 1000,
                            .max_lag_us = config_int(cfg, "apply.max_lag_ms") * 1000,
                            .rows_configured = (uint64_t)config_int(cfg, "apply.max_rows_per_second"),
                            .batch_max = (uint64_t)config_int(cfg, "apply.batch_max_changes")};
    th->batch_now = th->batch_max;
    th->max_rows_per_s = th->rows_configured;
    return throttle_schedule(th, config_text(cfg, "apply.schedule"), err);
}

bool throttle_check(const struct config *cfg, struct err *err)
{
    struct throttle ignored;
    return throttle_init(&ignored, cfg, err);
}

void throttle_take(struct throttle *th, const struct config *cfg)
{
    struct throttle was = *th;
    struct err cannot = ERR_INIT;
    if (!throttle_init(th, cfg, &cannot))
        BUG("a schedule that was checked does not read: %s", cannot.text);
    th->batch_now = MIN_OF(was.batch_now, th->batch_max);
    if (th->batch_latency_us == 0 || was.batch_now == was.batch_max)
        th->batch_now = th->batch_max;
    th->max_rows_per_s = was.max_rows_per_s; /* throttle_rate() comes behind */
    th->rows_until_us = was.rows_until_us;
    int64_t max_us = th->standbys.max_us;
    th->standbys = was.standbys;
    th->standbys.max_us = max_us;
    th->standbys.late = was.standbys.late && max_us > 0;
}

void throttle_rate(struct throttle *th, int64_t asked)
{
    uint64_t rate = asked == DESK_AS_CONFIGURED ? th->rows_configured : (uint64_t)asked;
    if (rate != th->max_rows_per_s)
        th->rows_until_us = 0; /* what the old one still had to wait for */
    th->max_rows_per_s = rate;
}

uint64_t throttle_batch(const struct throttle *th)
{
    uint64_t most = th->batch_now;
    return th->max_rows_per_s > 0 ? MAX_OF(1, MIN_OF(most, th->max_rows_per_s)) : most;
}

/* Down in proportion, but to a quarter at most, and up by doubling: one slow commit is not a trend. */
static void learn_batch(struct throttle *th, uint64_t changes, int64_t took_us)
{
    if (th->batch_latency_us == 0)
        return;
    if (took_us > th->batch_latency_us) {
        uint64_t fit = changes * (uint64_t)th->batch_latency_us / (uint64_t)took_us;
        th->batch_now = MAX_OF(MAX_OF(fit, changes / 4), BATCH_CHANGES_MIN);
    } else if (took_us < th->batch_latency_us / 2 && changes * 2 >= th->batch_now) {
        th->batch_now *= 2;
    }
    th->batch_now = MIN_OF(th->batch_now, th->batch_max);
}

void throttle_note(struct throttle *th, uint64_t changes, int64_t took_us)
{
    int64_t now_us = clock_mono_us();
    learn_batch(th, changes, took_us);
    if (th->max_rows_per_s > 0) {
        int64_t began_us = MAX_OF(th->rows_until_us, now_us - took_us);
        th->rows_until_us = began_us + (int64_t)(changes * 1000000 / th->max_rows_per_s);
    }
}

bool throttle_in_schedule(const struct throttle *th, int64_t wall_us)
{
    int now = (int)(wall_us / MINUTE_US % DAY_MIN);
    for (size_t i = 0; i < th->window_count; i++) {
        int from = th->windows[i].from_min, to = th->windows[i].to_min;
        if (from < to ? now >= from && now < to : now >= from || now < to)
            return true;
    }
    return th->window_count == 0;
}

static bool look_at_standbys(struct throttle *th, struct target *tgt, struct err *err)
{
    uint64_t written = 0, replayed = 0;
    int64_t now_us = clock_mono_us();
    if (th->standbys.max_us == 0 || now_us < th->look_at_standbys_us)
        return true;
    if (!target_standbys(tgt, &written, &replayed, err))
        return false;
    standby_lag_note(&th->standbys, written, replayed, now_us);
    th->look_at_standbys_us = now_us + MIN_OF(LOOK_AT_STANDBYS_US, MAX_OF(th->standbys.max_us / 4, 1000));
    return true;
}

bool throttle_look(struct throttle *th, struct target *tgt, bool paused, const char **ret_why,
                   struct err *err)
{
    if (!look_at_standbys(th, tgt, err))
        return false;
    *ret_why = paused                                       ? "paused"
               : !throttle_in_schedule(th, clock_wall_us()) ? "schedule"
               : th->standbys.late                          ? "replica_lag"
               : clock_mono_us() < th->rows_until_us        ? "rows_per_second"
                                                            : NULL;
    return true;
}
