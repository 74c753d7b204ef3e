/*
 * Owns: what comparisons and shadow queries have found, from the control tables of the target that they were written to. After a cutover only
 * what began behind it counts: how the sides were before it says nothing of now.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "watching.h"

#define NOISE_US 1000 /* a difference of p95 below this is none */

static void since_text(const struct watching *w, char out[24])
{
    (void)snprintf(out, 24, "%lld", (long long)(w->stage == STAGE_AFTER ? w->switched_us : 0));
}

static void reconciliation(struct watching *w, struct signal *s)
{
    const struct config *cfg = watch_running(w);
    struct err away = ERR_INIT;
    char since[24];
    ROWSET_AUTO res = NULL;
    if (cfg == NULL) {
        signal_unknown(
            s,
            "there is no way back (crossfade --reverse capture and apply, or cutover.watch.reverse_config)");
        return;
    }
    since_text(w, since);
    const char *params[] = {config_text(cfg, "pipeline"), since};
    struct cutover *side = cfg == w->cfg ? &w->co : watch_back(w, &away);
    if (side == NULL || !watch_ask(side, ASK_FAILING, 2, params, &res, &away)) {
        signal_unknown(s, "%.280s", away.text);
        return;
    }
    if (rowset_int64(res, 0, 2) == 0)
        signal_unknown(s, "no comparison of `crossfade compare watch` yet");
    else
        signal_set(s, (double)rowset_int64(res, 0, 0), "%.280s", rowset_cell(res, 0, 1));
}

static void latency(const struct rowset *res, struct signal *s)
{
    if (rowset_is_null(res, 0, 2) || rowset_is_null(res, 0, 3)) {
        signal_unknown(s, "the last shadow queries were not timed");
        return;
    }
    double source = (double)rowset_int64(res, 0, 2), target = (double)rowset_int64(res, 0, 3);
    double ratio = target - source < NOISE_US ? 1 : target / MAX_OF(source, 1);
    signal_set(s, ratio, "p95 %.1f ms on the source, %.1f ms on the target", source / 1000, target / 1000);
}

static void errors(const struct rowset *res, struct signal *s)
{
    int64_t compared = rowset_int64(res, 0, 0), failed = rowset_int64(res, 0, 1);
    if (rowset_is_null(res, 0, 1) || compared == 0)
        signal_unknown(s, "the last shadow queries compared nothing");
    else
        signal_set(s, 100.0 * (double)failed / (double)compared, "%lld of %lld queries failed on one side",
                   (long long)failed, (long long)compared);
}

static void shadow(struct watching *w)
{
    struct signal *p95 = &w->triggers[TRIGGER_LATENCY_P95].signal,
                  *rate = &w->triggers[TRIGGER_ERROR_RATE].signal;
    struct err away = ERR_INIT;
    char since[24];
    ROWSET_AUTO res = NULL;
    since_text(w, since);
    const char *params[] = {w->pipeline, since};
    if (!watch_ask(&w->co, ASK_SHADOW, 2, params, &res, &away)) {
        signal_unknown(p95, "%.280s", away.text);
    } else if (rowset_rows(res) == 0) {
        signal_unknown(p95, "no shadow queries yet");
    } else {
        latency(res, p95);
        errors(res, rate);
        return;
    }
    *rate = *p95;
}

void signals_of_verdicts(struct watching *w)
{
    static const enum trigger_kind kinds[] = {TRIGGER_RECONCILIATION, TRIGGER_LATENCY_P95,
                                              TRIGGER_ERROR_RATE};
    for (size_t i = 0; !watch_there(&w->co) && i < ARRAY_LEN(kinds); i++)
        signal_unknown(&w->triggers[kinds[i]].signal, "the target is away");
    if (!watch_there(&w->co))
        return;
    reconciliation(w, &w->triggers[TRIGGER_RECONCILIATION].signal);
    shadow(w);
}
