/* Owns: the steps in which reads go to the target. See reads.h. */
#include "reads.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actions.h"
#include "compare/shadow/shadow.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "cutover/poolers/hooks.h"

#define SHARE_ALL  100
#define MEASURE_US INT64_C(60000000) /* while a share is held: this often at most */
#define LOOK_MS    500
#define STEPS_MAX  20

/* In a rollback there are none: at its switch all reads go back at once, as the writes do. */
static size_t steps_of(const struct cutover *co, int shares[STEPS_MAX])
{
    size_t count;
    if (config_is_reversed(co->cfg))
        return 0;
    const char *const *texts = config_list(co->cfg, "cutover.read_steps", &count);
    count = MIN_OF(count, STEPS_MAX);
    for (size_t i = 0; i < count; i++)
        shares[i] = atoi(texts[i]);
    return count;
}

bool reads_wanted(const struct cutover *co)
{
    int shares[STEPS_MAX];
    return steps_of(co, shares) > 0;
}

int64_t reads_hold_ms(const struct cutover *co)
{
    int shares[STEPS_MAX];
    return (int64_t)steps_of(co, shares) * config_int(co->cfg, "cutover.read_step_hold") * 1000;
}

static bool run_hook(struct cutover *co, int share, struct err *err)
{
    co->read_share = share;
    return hooks_run(co, "on_read_step", err);
}

/* Each is recorded: whoever goes on after a crash begins with the share at hand. */
static bool record_share(struct cutover *co, int share, struct err *err)
{
    co->read_share = share;
    co->took_us = 0;
    return record_state(co, CUT_READING, err);
}

static bool judge(const struct cutover *co, const struct shadow_result *result, int share, struct err *err)
{
    struct shadow_summary sum;
    double most = strtod(config_text(co->cfg, "cutover.shadow_latency_ratio"), NULL);
    shadow_summary(result, &sum);
    if (shadow_verdict(result) != VERDICT_PASS)
        return err_set(err, ERR_REFUSED,
                       "with %d %% of the reads on the target its shadow queries are no PASS: %s%s%s", share,
                       sum.reason, sum.report_dir != NULL ? "; look at " : "",
                       sum.report_dir != NULL ? sum.report_dir : "");
    if (most > 0 && (double)sum.p95_us[1] > most * MAX_OF(1.0, (double)sum.p95_us[0]))
        return err_set(err, ERR_REFUSED,
                       "with %d %% of the reads on the target it answers too slowly: p95 %.1f ms, on the "
                       "source %.1f ms (cutover.shadow_latency_ratio %s)",
                       share, (double)sum.p95_us[1] / 1000.0, (double)sum.p95_us[0] / 1000.0,
                       config_text(co->cfg, "cutover.shadow_latency_ratio"));
    return true;
}

static bool measure(struct cutover *co, int share, struct err *err)
{
    const struct shadow_request req = {
        .live = true, .report_unless_pass = true, .stop_fd = co->talk->stop_fd};
    struct shadow_result *result = NULL;
    struct shadow_summary sum;
    if (!shadow_run(co->cfg, &req, &result, err))
        return err_wrap(err, "with %d %% of the reads on the target", share);
    shadow_summary(result, &sum);
    cutover_say(co,
                "reads: %d %% on the target: %" PRIu64 " shadow queries, p95 %.1f ms, on the source %.1f ms",
                share, sum.compared, (double)sum.p95_us[1] / 1000.0, (double)sum.p95_us[0] / 1000.0);
    bool ok = co->talk->stop_asked(co->talk->ctx)
                  ? err_set(err, ERR_INTERRUPTED, "stop was asked for while reads were led to the target")
                  : judge(co, result, share, err);
    shadow_result_free(result);
    return ok;
}

/* Until `until_us`, or until it is to end. */
static bool hold(struct cutover *co, int64_t until_us, struct err *err)
{
    while (clock_mono_us() < until_us) {
        if (co->talk->stop_asked(co->talk->ctx))
            return err_set(err, ERR_INTERRUPTED, "stop was asked for while reads were led to the target");
        if (!guard_still_open(co, err))
            return false;
        int64_t left_ms = (until_us - clock_mono_us()) / 1000 + 1;
        (void)poll(NULL, 0, (int)MIN_OF(left_ms, LOOK_MS));
    }
    return guard_still_open(co, err);
}

/* Measured again and again, and once when all of the time has gone by. */
static bool hold_and_measure(struct cutover *co, int share, struct err *err)
{
    int64_t end_us = clock_mono_us() + config_int(co->cfg, "cutover.read_step_hold") * 1000000;
    do {
        if (!hold(co, MIN_OF(end_us, clock_mono_us() + MEASURE_US), err) || !measure(co, share, err))
            return false;
    } while (clock_mono_us() < end_us);
    return cutover_reconnect_target(co, err);
}

bool reads_step_up(struct cutover *co, struct err *err)
{
    int shares[STEPS_MAX], begun = co->read_share;
    size_t count = steps_of(co, shares);
    for (size_t i = 0; i < count; i++) {
        if (shares[i] < begun)
            continue;
        if (!record_share(co, shares[i], err) || !failpoint("cutover.read_step", err) ||
            !run_hook(co, shares[i], err) || !hold_and_measure(co, shares[i], err))
            return false;
    }
    return true;
}

bool reads_all(struct cutover *co, struct err *err)
{
    int shares[STEPS_MAX];
    size_t count = steps_of(co, shares), configured;
    (void)config_list(co->cfg, "cutover.read_steps", &configured);
    if (config_is_reversed(co->cfg))
        return configured == 0 || run_hook(co, 0, err);
    return count == 0 || shares[count - 1] == SHARE_ALL || run_hook(co, SHARE_ALL, err);
}

bool reads_back(struct cutover *co, struct err *err)
{
    return !reads_wanted(co) || run_hook(co, 0, err) ||
           err_wrap(err, "reads may still be led to the target (put it right, then abort again)");
}

static bool rising(const int *shares, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (shares[i] <= shares[i - 1])
            return false;
    }
    return true;
}

bool gate_reads(struct cutover *co, struct gate_result *gate)
{
    int shares[STEPS_MAX];
    size_t count = steps_of(co, shares), all, hooks;
    struct err missing = ERR_INIT;
    if (count == 0)
        return false;
    (void)config_list(co->cfg, "cutover.read_steps", &all);
    (void)config_list(co->cfg, "cutover.on_read_step", &hooks);
    gate_limit(gate, "rising shares, a hook, shadow queries");
    gate_measured(gate, "%zu steps up to %d %%, each for %" PRId64 " s", all, shares[count - 1],
                  config_int(co->cfg, "cutover.read_step_hold"));
    if (all > STEPS_MAX || !rising(shares, count))
        gate_refuse(gate, "cutover.read_steps: each share must be greater than the one before, %d at most",
                    STEPS_MAX);
    else if (hooks == 0)
        gate_refuse(gate,
                    "set cutover.on_read_step: a command that leads $CROSSFADE_READ_SHARE percent there");
    else if (!shadow_has_workload(co->cfg, &missing))
        gate_refuse(gate, "nothing would measure it: %.180s", missing.text);
    return true;
}
