/*
 * Owns the state table of a cutover and the loop that walks it. Each row: the state, what is done in it,
 * where it goes on success, and where on failure. A state is recorded on the target before its action is
 * taken; after a crash the action is taken again. Before CUT_DECIDING every failure leads to CUT_ABORTING;
 * behind it there is no way but forward.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/failpoint.h"
#include "core/utf8.h"
#include "cutover_internal.h"
#include "poolers/actions.h"

static bool act_begin(struct cutover *co, struct err *err)
{
    return decision_begin(co, err);
}

static bool act_freeze(struct cutover *co, struct err *err)
{
    return freeze_source(co, err) && freeze_verify(co, err);
}

static bool act_mark(struct cutover *co, struct err *err)
{
    nonce_make(co->nonce);
    return marker_write(co, "final", co->nonce, &co->final_lsn, err);
}

static bool act_drain(struct cutover *co, struct err *err)
{
    return drain_wait(co, co->final_lsn, co->nonce, config_int(co->cfg, "cutover.drain_timeout_s") * 1000,
                      err);
}

static bool act_decide(struct cutover *co, struct err *err)
{
    char stands[16];
    if (!decision_get(co, stands, err))
        return false;
    /* Taken again after a crash it may have been set already. */
    if (strcmp(stands, "switched") != 0 && (!act_hold(co, err) || !late_none(co, err)))
        return false;
    if (!decision_set(co, "switched", stands, err))
        return false;
    if (strcmp(stands, "switched") != 0)
        return err_set(err, ERR_BUSY, "the decision row says '%s': somebody else ended this cutover", stands);
    return true;
}

static bool act_abort(struct cutover *co, struct err *err)
{
    char stands[16];
    if (!cutover_reconnect_source(co, err) || !decision_set(co, "aborted", stands, err))
        return false;
    if (strcmp(stands, "switched") == 0)
        return err_set(err, ERR_BUG, "the decision is 'switched': the source stays closed");
    return freeze_undo(co, err) && act_unpause(co, err);
}

struct transition {
    enum cutover_state state;
    const char *action;
    bool (*act)(struct cutover *co, struct err *err);
    const char *undo; /* what the abort takes back of it */
    enum cutover_state next;
    enum cutover_state failed; /* CUT_UNKNOWN: stays here and needs a person (or a resume) */
};

static const struct transition table[CUT_MAX_] = {
    [CUT_BEGINNING] = {CUT_BEGINNING, "open the decision row on the source", act_begin, "decision → aborted",
                       CUT_ARMING, CUT_ABORTING},
    [CUT_ARMING] = {CUT_ARMING, "put up the triggers, letting everything pass", freeze_arm, "drop them",
                    CUT_PAUSING, CUT_ABORTING},
    [CUT_PAUSING] = {CUT_PAUSING, "pause the poolers, all or none", act_pause, "resume the poolers",
                     CUT_FREEZING, CUT_ABORTING},
    [CUT_FREEZING] = {CUT_FREEZING, "close the source to writers, verify that every table refuses",
                      act_freeze, "open the source again", CUT_MARKING, CUT_ABORTING},
    [CUT_MARKING] = {CUT_MARKING, "write the final marker", act_mark, "nothing", CUT_DRAINING, CUT_ABORTING},
    [CUT_DRAINING] = {CUT_DRAINING, "wait until the target holds the final fence", act_drain, "nothing",
                      CUT_SEQUENCING, CUT_ABORTING},
    [CUT_SEQUENCING] = {CUT_SEQUENCING, "set the target's sequences", sequences_copy,
                        "nothing (overwritten next time)", CUT_VERIFYING, CUT_ABORTING},
    [CUT_VERIFYING] = {CUT_VERIFYING, "compare what changed since the last full PASS", verify_changed,
                       "nothing", CUT_DECIDING, CUT_ABORTING},
    [CUT_DECIDING] = {CUT_DECIDING, "decide: open → switched", act_decide, "none: the point of no return",
                      CUT_SWITCHING, CUT_ABORTING},
    [CUT_SWITCHING] = {CUT_SWITCHING, "switch and resume the poolers", act_switch, "none", CUT_DONE,
                       CUT_UNKNOWN},
    [CUT_ABORTING] = {CUT_ABORTING, "decision → aborted, open the source again", act_abort, "none",
                      CUT_ABORTED, CUT_UNKNOWN},
};

static const char *const names[CUT_MAX_] = {
    [CUT_UNKNOWN] = "unknown",   [CUT_BEGINNING] = "beginning",   [CUT_ARMING] = "arming",
    [CUT_PAUSING] = "pausing",   [CUT_FREEZING] = "freezing",     [CUT_MARKING] = "marking",
    [CUT_DRAINING] = "draining", [CUT_SEQUENCING] = "sequencing", [CUT_VERIFYING] = "verifying",
    [CUT_DECIDING] = "deciding", [CUT_SWITCHING] = "switching",   [CUT_DONE] = "done",
    [CUT_ABORTING] = "aborting", [CUT_ABORTED] = "aborted",
};

const char *cutover_state_name(enum cutover_state state)
{
    return (unsigned)state < CUT_MAX_ ? names[state] : "unknown";
}

enum cutover_state cutover_state_parse(const char *name)
{
    for (int s = CUT_UNKNOWN + 1; s < CUT_MAX_; s++) {
        if (strcmp(names[s], name) == 0)
            return (enum cutover_state)s;
    }
    return CUT_UNKNOWN;
}

/* printf counts bytes. */
static int columns(const char *text, int want)
{
    return want + (int)(strlen(text) - utf8_count(text));
}

void cutover_describe(struct strbuf *out)
{
    for (int s = CUT_UNKNOWN + 1; s < CUT_MAX_; s++) {
        const struct transition *t = &table[s];
        if (t->act == NULL)
            continue;
        strbuf_addf(out, "  %-10s  %-*s  undo: %-*s  then %s, on failure %s\n", names[s],
                    columns(t->action, 62), t->action, columns(t->undo, 32), t->undo, names[t->next],
                    t->failed != CUT_UNKNOWN ? names[t->failed] : "stay (resume)");
    }
}

void cutover_diagram(struct strbuf *out)
{
    strbuf_adds(out, "stateDiagram-v2\n    [*] --> beginning: gates hold\n");
    for (int s = CUT_UNKNOWN + 1; s < CUT_MAX_; s++) {
        const struct transition *t = &table[s];
        if (t->act == NULL)
            continue;
        strbuf_addf(out, "    %s --> %s: %s\n", names[s], names[t->next], t->action);
        if (t->failed != CUT_UNKNOWN)
            strbuf_addf(out, "    %s --> %s: failure or abort\n", names[s], names[t->failed]);
    }
    strbuf_adds(out, "    done --> [*]\n    aborted --> [*]\n");
}

static void note_step(struct cutover *co, enum cutover_state state, int64_t took_us)
{
    struct cutover_report *report = co->report;
    if (report->step_count < CUTOVER_STEPS_MAX)
        report->steps[report->step_count++] = (struct cutover_step){cutover_state_name(state), took_us};
    cutover_say(co, "%-10s  %6.1f ms  %s", cutover_state_name(state), (double)took_us / 1000.0,
                table[state].action);
}

static void note_pause_end(struct cutover *co)
{
    if (co->pause_began_wall_us == 0 || co->report->pause_us != 0)
        return;
    co->report->pause_us = co->pause_started_us != 0 ? clock_mono_us() - co->pause_started_us
                                                     : clock_wall_us() - co->pause_began_wall_us;
}

/* Writes the next state down. Should the target be away for longer than writers can wait, and nothing be
 * decided, the source is opened again all the same: the decision row on the source is what counts, and the
 * steps on the target are closed by whoever comes next. */
static bool move_on(struct cutover *co, enum cutover_state next, struct err *abort_reason, struct err *err)
{
    struct err away = ERR_INIT, failed = ERR_INIT;
    if (record_state(co, next, &away))
        return true;
    if (cutover_reconnect_target(co, &failed) && record_state(co, next, &failed))
        return true;
    if (co->state == CUT_SWITCHING || next == CUT_SWITCHING) {
        *err = failed;
        return false;
    }
    cutover_say(co, "the target is away: %s", failed.text);
    if (next != CUT_ABORTED && !act_abort(co, err))
        return false;
    note_pause_end(co);
    if (!err_is_set(abort_reason))
        *abort_reason = away;
    co->state = CUT_ABORTED;
    return true;
}

/* Takes the action of the current state and moves on. *ret_failed holds why the cutover is being aborted. */
static bool step(struct cutover *co, struct err *abort_reason, struct err *err)
{
    const struct transition *t = &table[co->state];
    char point[48];
    (void)snprintf(point, sizeof point, "cutover.%s", cutover_state_name(co->state));
    struct err failure = ERR_INIT;
    int64_t start_us = clock_mono_us();
    enum cutover_state from = co->state, next = t->next;
    if (!failpoint(point, &failure) || !t->act(co, &failure)) {
        if (t->failed == CUT_UNKNOWN) {
            *err = failure;
            return err_wrap(err, "cutover %s at '%s'", co->id, cutover_state_name(from));
        }
        *abort_reason = failure;
        (void)snprintf(co->report->reason, sizeof co->report->reason, "%s", failure.text);
        next = t->failed;
        cutover_say(co, "%s failed: %s", cutover_state_name(from), failure.text);
    } else {
        note_step(co, from, clock_mono_us() - start_us);
    }
    if (next == CUT_SWITCHING || next == CUT_ABORTED)
        note_pause_end(co);
    return move_on(co, next, abort_reason, err);
}

/* If DECIDING's answer was lost in transit, the decision row knows. */
static bool settle_lost_decision(struct cutover *co, struct err *err)
{
    char stands[16];
    if (co->state != CUT_ABORTING)
        return true;
    if (!cutover_reconnect_source(co, err) || !decision_get(co, stands, err))
        return false;
    if (strcmp(stands, "switched") != 0)
        return true;
    struct err ignored = ERR_INIT;
    return move_on(co, CUT_SWITCHING, &ignored, err);
}

bool cutover_walk(struct cutover *co, struct err *err)
{
    struct err abort_reason = ERR_INIT;
    while (co->state != CUT_DONE && co->state != CUT_ABORTED) {
        if (!settle_lost_decision(co, err) || !step(co, &abort_reason, err))
            return false;
    }
    co->report->outcome = co->state == CUT_DONE ? "done" : "aborted";
    if (co->state == CUT_ABORTED && err_is_set(&abort_reason))
        (void)snprintf(co->report->reason, sizeof co->report->reason, "%s", abort_reason.text);
    return true;
}
