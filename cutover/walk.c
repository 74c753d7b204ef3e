/* Owns the loop over the state table: record, guard, action, event, next. Knows no state's meaning but the ends. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "actions.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "deadline.h"

static void note_step(struct cutover *co, enum cutover_state state, int64_t took_us)
{
    struct cutover_report *report = co->report;
    if (report->step_count < CUTOVER_STEPS_MAX)
        report->steps[report->step_count++] = (struct cutover_step){cutover_state_name(state), took_us};
    cutover_say(co, "%-10s  %6.1f ms  %s", cutover_state_name(state), (double)took_us / 1000.0,
                cutover_rule(state, EV_GO)->action);
    co->from = state;
    co->took_us = took_us;
}

/* From the record of the first state in which clients wait on. */
static void note_pause_begin(struct cutover *co, enum cutover_state next)
{
    const struct cutover_rule *rule = cutover_rule(next, EV_GO);
    if (rule == NULL || !rule->in_pause || co->pause_began_wall_us != 0)
        return;
    co->pause_started_us = clock_mono_us();
    co->pause_began_wall_us = clock_wall_us();
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
    note_pause_begin(co, next);
    if (record_state(co, next, &away))
        return true;
    if (cutover_reconnect_target(co, &failed) && record_state_again(co, next, &failed))
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

static bool guard_and_act(struct cutover *co, const struct cutover_rule *rule, struct err *err)
{
    char point[48];
    (void)snprintf(point, sizeof point, "cutover.%s", cutover_state_name(rule->state));
    if (!failpoint(point, err) || !deadline_begin(co, rule, err))
        return false;
    return (rule->holds == NULL || rule->holds(co, err)) && rule->act(co, err);
}

static enum cutover_event event_of(struct cutover *co, const struct err *failure)
{
    if (failure->code == ERR_FENCED)
        return co->state == CUT_ABORTING ? EV_SWITCHED : EV_ABORTED;
    if (co->talk->stop_asked(co->talk->ctx))
        return EV_STOPPED;
    return failure->code == ERR_TIMEOUT || deadline_passed(co) ? EV_LATE : EV_FAILED;
}

/* What did not succeed: where the table says to go on; false where it says nothing. */
static bool go_astray(struct cutover *co, struct err *failure, struct err *abort_reason,
                      enum cutover_state *ret_next, struct err *err)
{
    enum cutover_event event = event_of(co, failure);
    const struct cutover_rule *rule = cutover_rule(co->state, event);
    const char *name = cutover_state_name(co->state);
    if (event == EV_LATE && deadline_passed(co) && co->deadline_key != NULL)
        (void)err_wrap(failure, "the deadline of this step has passed (%s)", co->deadline_key);
    if (rule == NULL) {
        *err = *failure;
        return err_wrap(err, "cutover %s at '%s'", co->id, name);
    }
    if (rule->next == CUT_ABORTING) {
        *abort_reason = *failure;
        cutover_say(co, "%s: %s: %s", name, cutover_event_name(event), failure->text);
    }
    co->ended = cutover_event_name(event);
    *ret_next = rule->next;
    return true;
}

/* Takes the action of the current state and moves on. *abort_reason: why the cutover is being aborted. */
static bool step(struct cutover *co, struct err *abort_reason, struct err *err)
{
    const struct cutover_rule *rule = cutover_rule(co->state, EV_GO);
    struct err failure = ERR_INIT;
    int64_t start_us = clock_mono_us();
    enum cutover_state next = rule->next;
    co->took_us = 0;
    if (co->state == CUT_DECIDING || co->state == CUT_SWITCHING)
        successor_decides(co);
    bool ok = guard_and_act(co, rule, &failure);
    co->spent_us = clock_mono_us() - start_us;
    co->ended = cutover_event_name(EV_GO);
    if (ok)
        note_step(co, co->state, co->spent_us);
    else if (!go_astray(co, &failure, abort_reason, &next, err))
        return false;
    if (next == CUT_SWITCHING || next == CUT_ABORTED)
        note_pause_end(co);
    if (err_is_set(abort_reason))
        (void)snprintf(co->report->reason, sizeof co->report->reason, "%s", abort_reason->text);
    return move_on(co, next, abort_reason, err);
}

bool cutover_walk(struct cutover *co, struct err *err)
{
    struct err abort_reason = ERR_INIT;
    while (co->state != CUT_DONE && co->state != CUT_ABORTED) {
        if (!step(co, &abort_reason, err))
            return false;
    }
    co->report->outcome = co->state == CUT_DONE ? "done" : "aborted";
    if (co->state == CUT_ABORTED && err_is_set(&abort_reason))
        (void)snprintf(co->report->reason, sizeof co->report->reason, "%s", abort_reason.text);
    if (co->state == CUT_DONE)
        co->report->reason[0] = '\0';
    return true;
}
