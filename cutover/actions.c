/* Owns the guards and actions of the state table, as far as they are not whole subjects of their own (freeze.c, drain.c …). */
#include "actions.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/failpoint.h"
#include "deadline.h"
#include "poolers/actions.h"
#include "prepare/prepare.h"
#include "reads.h"
#include "tell.h"

#define POSTPONE_POLL_MS 500

bool guard_open(struct cutover *co, struct err *err)
{
    char stands[16];
    bool ours;
    if (!decision_stands(co, stands, &ours, err))
        return false;
    if (ours && strcmp(stands, "open") == 0)
        return true;
    return err_set(err, ERR_FENCED,
                   "the decision row on the source says '%s'%s: this cutover was ended from elsewhere",
                   stands, ours ? "" : " of another cutover");
}

bool guard_switched(struct cutover *co, struct err *err)
{
    char stands[16];
    bool ours;
    if (!cutover_reconnect_source(co, err) || !decision_stands(co, stands, &ours, err))
        return false;
    if (ours && strcmp(stands, "switched") == 0)
        return true;
    return err_set(
        err, ERR_BUG,
        "the decision row on the source says '%s', the steps say 'switching'. Hint: keep both sides as "
        "they are, and report this",
        stands);
}

/* The answer of DECIDING may have been lost in transit: the decision row knows. */
bool guard_not_switched(struct cutover *co, struct err *err)
{
    char stands[16];
    bool ours;
    if (!cutover_reconnect_source(co, err) || !deadline_on_source(co, err) ||
        !decision_stands(co, stands, &ours, err))
        return false;
    return !ours || strcmp(stands, "switched") != 0 || err_set(err, ERR_FENCED, "the decision is 'switched'");
}

bool guard_nothing_late(struct cutover *co, struct err *err)
{
    char stands[16];
    bool ours;
    if (!decision_stands(co, stands, &ours, err))
        return false;
    /* Taken again after a crash it may have been set already. */
    if (ours && strcmp(stands, "switched") == 0)
        return true;
    return guard_open(co, err) && act_hold(co, err) && freeze_source(co, true, err) && late_none(co, err) &&
           back_stands(co, err);
}

bool act_begin(struct cutover *co, struct err *err)
{
    return decision_begin(co, err);
}

static bool file_exists(const char *path, bool *ret, struct err *err)
{
    struct stat st;
    *ret = stat(path, &st) == 0;
    return *ret || errno == ENOENT ||
           err_set_errno(err, errno, "cutover.postpone_file: %s: whether it exists cannot be told", path);
}

/* Gates that held before long work or a long wait say nothing of now. */
static bool gates_again(struct cutover *co, struct err *err)
{
    bool hold;
    if (!gates_run(co, &hold, err) || !trail_gates(co, hold, err))
        return false;
    if (!hold)
        tell_gates(co);
    for (size_t i = 0; !hold && i < co->report->gate_count; i++) {
        const struct gate_result *gate = &co->report->gates[i];
        if (gate->verdict != GATE_OK)
            return err_set(err, ERR_REFUSED, "now gate %s refuses: %s (%s). Hint: %s", gate->name,
                           gate->measured, gate->limit, gate->hint);
    }
    return true;
}

/* A wait of days outlives a server's restart. */
bool guard_still_open(struct cutover *co, struct err *err)
{
    struct err now = ERR_INIT;
    store_keep_in_touch(co);
    if (guard_open(co, &now))
        return true;
    if (now.code != ERR_FENCED)
        return cutover_reconnect_source(co, err) && guard_open(co, err);
    *err = now;
    return false;
}

bool act_wait(struct cutover *co, struct err *err)
{
    const char *path = config_text(co->cfg, "cutover.postpone_file");
    bool waited = false, there = false;
    if (path == NULL)
        return true;
    for (;;) {
        if (!file_exists(path, &there, err))
            return false;
        if (!there)
            return !waited || (cutover_reconnect_target(co, err) && gates_again(co, err));
        if (!waited)
            cutover_say(co, "waiting as long as %s exists", path);
        waited = true;
        if (co->talk->stop_asked(co->talk->ctx))
            return err_set(err, ERR_INTERRUPTED, "stop was asked for while %s exists", path);
        if (!guard_still_open(co, err))
            return false;
        (void)poll(NULL, 0, POSTPONE_POLL_MS);
    }
}

bool act_read(struct cutover *co, struct err *err)
{
    return !reads_wanted(co) || (reads_step_up(co, err) && gates_again(co, err));
}

bool act_prepare(struct cutover *co, struct err *err)
{
    bool worked = false;
    return prepare_all(co, &worked, err) && (!worked || gates_again(co, err));
}

bool act_arm(struct cutover *co, struct err *err)
{
    return freeze_arm(co, err);
}

bool act_freeze(struct cutover *co, struct err *err)
{
    return freeze_source(co, false, err) && freeze_verify(co, err);
}

bool act_mark(struct cutover *co, struct err *err)
{
    nonce_make(co->nonce);
    return marker_write(co, "final", co->nonce, &co->final_lsn, err);
}

bool act_drain(struct cutover *co, struct err *err)
{
    return drain_wait(co, co->final_lsn, co->nonce, deadline_left_ms(co), err);
}

bool act_sequences(struct cutover *co, struct err *err)
{
    return sequences_copy(co, err);
}

bool act_verify(struct cutover *co, struct err *err)
{
    return verify_changed(co, err);
}

bool act_decide(struct cutover *co, struct err *err)
{
    char stands[16];
    if (!failpoint("cutover.decide", err) || !decision_switch(co, stands, err))
        return false;
    return strcmp(stands, "switched") == 0 ||
           err_set(err, ERR_FENCED, "the decision row says '%s': somebody else ended this cutover", stands);
}

/* The cutover has been done: what cannot be finished is told. */
bool act_finish(struct cutover *co, struct err *err)
{
    views_refresh_after(co);
    return true;
}

bool act_abort(struct cutover *co, struct err *err)
{
    char stands[16];
    bool ours;
    if (!cutover_reconnect_source(co, err) || !decision_abort(co, err) ||
        !decision_stands(co, stands, &ours, err))
        return false;
    if (!ours) /* a later cutover's: what is closed now was closed by that one */
        return true;
    /* It was still under way when the guard looked: our row had to wait for it. */
    if (strcmp(stands, "switched") == 0)
        return err_set(err, ERR_FENCED, "the decision is 'switched': the source stays closed");
    if (!freeze_undo(co, err) || !act_unpause(co, err))
        return false;
    freeze_clean(co);
    return true;
}
