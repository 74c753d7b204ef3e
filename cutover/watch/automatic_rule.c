/* Owns: the rule of cutovers that run by themselves. See automatic.h. */
#include "automatic.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"

static void clean(const struct automatic_view *v, char *ret, size_t size)
{
    if (v->clean_since_us == 0)
        (void)snprintf(ret, size,
                       "waits for a clean window: not all levels of `crossfade compare watch` pass");
    else if (v->now_us - v->clean_since_us < v->clean_for_us)
        (void)snprintf(ret, size, "waits until all is clean for %" PRId64 " s", v->clean_for_us / 1000000);
}

void automatic_waits(const struct automatic_view *v, char *ret, size_t size)
{
    char at[ISO_TIME_MAX];
    *ret = '\0';
    if (v->cut_over)
        (void)snprintf(ret, size, "there was a cutover, or one is not ended: no other runs by itself");
    else if (!v->in_window && v->next_us == 0)
        (void)snprintf(ret, size, "waits for a maintenance window: none begins within a week");
    else if (!v->in_window)
        (void)snprintf(ret, size, "waits for the maintenance window at %s", clock_iso(v->next_us, at));
    else if (v->attempts >= v->max_attempts)
        (void)snprintf(ret, size,
                       "waits for the next maintenance window: %" PRId64 " attempts were made in this one",
                       v->attempts);
    else if (v->now_us < v->not_before_us)
        (void)snprintf(ret, size, "waits until %s before it tries again", clock_iso(v->not_before_us, at));
    else if (v->firing)
        (void)snprintf(ret, size, "waits: a trigger fires");
    else if (v->postponed)
        (void)snprintf(ret, size, "waits as long as cutover.postpone_file exists");
    else
        clean(v, ret, size);
}

static const struct gate_result *refused_beside(const struct cutover_report *report, bool approvals)
{
    for (size_t i = 0; i < report->gate_count; i++) {
        const struct gate_result *g = &report->gates[i];
        bool asks = strcmp(g->name, "approvals") == 0 || strcmp(g->name, "confirmed") == 0;
        if (g->verdict != GATE_OK && asks == approvals)
            return g;
    }
    return NULL;
}

static int64_t estimate_ms(const struct cutover_report *report)
{
    int64_t sum = 0;
    for (size_t i = 0; i < report->estimate_count; i++)
        sum += MAX_OF(report->estimates[i].ms, 0);
    return MAX_OF(sum, report->pause_estimate_ms);
}

void automatic_gates(const struct cutover_report *report, int64_t left_us, char *ret, size_t size)
{
    const struct gate_result *gate = refused_beside(report, false), *asks = refused_beside(report, true);
    int64_t ms = estimate_ms(report);
    *ret = '\0';
    if (gate != NULL)
        (void)snprintf(ret, size, "waits for the gate %s: %s", gate->name, gate->hint);
    else if (asks != NULL)
        (void)snprintf(ret, size, "waits for approval: %s", asks->hint);
    else if (ms * 1000 > left_us)
        (void)snprintf(ret, size,
                       "waits for the next maintenance window: about %" PRId64 " s are needed, %" PRId64
                       " s are left",
                       ms / 1000, left_us / 1000000);
}
