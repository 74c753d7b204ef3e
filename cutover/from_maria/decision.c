/*
 * Owns: the decision row on a source that is MariaDB (crossfade_decision): compare-and-set within a transaction that has the row alone. Writers
 * whose triggers have read it hold a share of it until they end (from_maria.h): close.c waits for them.
 */
#include <stdio.h>
#include <string.h>

#include "core/failpoint.h"
#include "cutover/from_maria/from_maria.h"

static bool ask(struct cutover *co, const char *sql, int count, const char *const *params,
                struct rowset **ret, struct err *err)
{
    return session_ask(co->from_maria->main, sql, count, params, ret, err);
}

static bool change(struct cutover *co, const char *sql, int count, const char *const *params, struct err *err)
{
    ROWSET_AUTO none = NULL;
    return ask(co, sql, count, params, &none, err);
}

static void take(const struct rowset *rs, char ret_state[16], char ret_id[64])
{
    bool there = rs != NULL && rowset_rows(rs) > 0;
    (void)snprintf(ret_state, 16, "%s", there ? rowset_cell(rs, 0, 0) : "none");
    (void)snprintf(ret_id, 64, "%s", there ? rowset_cell(rs, 0, 1) : "");
}

bool from_maria_decision(struct cutover *co, char ret_state[16], char ret_id[64], struct err *err)
{
    const char *params[] = {co->pipeline};
    ROWSET_AUTO rs = NULL;
    bool there = false;
    take(NULL, ret_state, ret_id);
    if (!from_maria_there(co->from_maria->main, "crossfade_decision", &there, err) ||
        (there && !ask(co, "SELECT state, cutover_id FROM crossfade_decision WHERE pipeline = $1", 1, params,
                       &rs, err)))
        return err_wrap(err, "the decision row on the source cannot be read");
    if (there)
        take(rs, ret_state, ret_id);
    return true;
}

bool from_maria_decision_settled(struct cutover *co, struct err *err)
{
    const char *params[] = {co->pipeline};
    ROWSET_AUTO none = NULL;
    return ask(co, "SELECT state FROM crossfade_decision WHERE pipeline = $1 LOCK IN SHARE MODE", 1, params,
               &none, err);
}

/* Whether anybody holds the lock of closing. */
static bool is_closed(struct cutover *co, bool *ret, struct err *err)
{
    const char *params[] = {co->from_maria->lock_name};
    int64_t closed = 0;
    bool ok =
        session_int64(co->from_maria->main, "SELECT IS_USED_LOCK($1) IS NOT NULL", 1, params, &closed, err);
    *ret = closed > 0;
    return ok;
}

/* A cutover that is put back does not stop at the signal that it follows from. Where nobody has closed, those who have a share of the row write as
 * ever, and are not ended. */
static bool hold(struct cutover *co, char ret_state[16], char ret_id[64], struct err *err)
{
    bool closed = false;
    if (!is_closed(co, &closed, err))
        return false;
    int64_t grace_ms = closed ? config_int(co->cfg, "cutover.straggler_grace_ms") : FROM_MARIA_ENDS_NOBODY;
    return from_maria_hold(co, grace_ms, false, ret_state, ret_id, err);
}

static bool put(struct cutover *co, const char *state, struct err *err)
{
    const char *params[] = {co->pipeline, co->id, state};
    return change(
        co,
        "INSERT INTO crossfade_decision (pipeline, cutover_id, state) VALUES ($1, $2, $3) ON DUPLICATE "
        "KEY UPDATE cutover_id = $2, state = $3, changed_at = SYSDATE(6)",
        3, params, err);
}

/* Ends the transaction, however it went; the first error counts. */
static bool settle(struct cutover *co, bool ok, bool commit, struct err *err)
{
    struct err ignored = ERR_INIT;
    if (ok && session_exec(co->from_maria->main, commit ? "COMMIT" : "ROLLBACK", err))
        return true;
    (void)!session_exec(co->from_maria->main, "ROLLBACK", &ignored);
    return false;
}

bool from_maria_decision_begin(struct cutover *co, struct err *err)
{
    char state[16], id[64];
    if (!hold(co, state, id, err))
        return settle(co, false, false, err) || err_wrap(err, "the decision row on the source cannot be had");
    bool ours = strcmp(id, co->id) == 0, is_open = strcmp(state, "open") == 0;
    bool free_to_take = strcmp(state, "none") == 0 || (is_open && ours) ||
                        (!ours && (strcmp(state, "aborted") == 0 || strcmp(state, "returned") == 0));
    if (!settle(co, !free_to_take || put(co, "open", err), free_to_take, err))
        return err_wrap(err, "the decision row on the source cannot be written");
    return free_to_take ||
           err_set(err, ERR_BUSY,
                   "another cutover of pipeline %s stands at '%s' (crossfade_decision on the source):"
                   " resume it with `crossfade %s resume`, or end it with `crossfade %s abort`",
                   co->pipeline, state, cutover_command(co), cutover_command(co));
}

/* A row that an earlier cutover has left as aborted is taken over: this one must not open it any more. */
bool from_maria_decision_abort(struct cutover *co, struct err *err)
{
    char state[16], id[64];
    if (!hold(co, state, id, err))
        return settle(co, false, false, err) ||
               err_wrap(err, "the decision row on the source cannot be set to aborted");
    bool is_open = strcmp(state, "open") == 0;
    bool change_it = is_open ? strcmp(id, co->id) == 0 : strcmp(state, "switched") != 0;
    return settle(co, !change_it || put(co, "aborted", err), change_it, err) ||
           err_wrap(err, "the decision row on the source cannot be set to aborted");
}

static bool serves_again(struct err *err)
{
    return err_set(err, ERR_TIMEOUT,
                   "clients have waited for longer than cutover.pause_budget_ms: the source serves again");
}

/* The row is ours alone: who has written since it was closed has ended. Whether nobody has is told by the lock: where the server has let go of
 * it, somebody may have come in. */
static bool switch_it(struct cutover *co, struct err *err)
{
    bool held = false;
    if (!failpoint("cutover.decision_held", err) || !from_maria_is_held(co, &held, err))
        return false;
    return held ? put(co, "switched", err) : serves_again(err);
}

static bool is_ours(const struct cutover *co, const char *state, const char *id)
{
    return strcmp(state, "open") == 0 && strcmp(id, co->id) == 0;
}

/* Nobody is ended for a decision that cannot be made any more. */
bool from_maria_decision_switch(struct cutover *co, struct err *err)
{
    char state[16], id[64];
    bool held = false;
    if (!from_maria_decision(co, state, id, err) || !from_maria_is_held(co, &held, err))
        return false;
    if (!held)
        return !is_ours(co, state, id) || serves_again(err);
    if (!from_maria_hold(co, 0, false, state, id, err))
        return settle(co, false, false, err) ||
               err_wrap(err, "the decision row on the source cannot be set to switched");
    bool ours = is_ours(co, state, id);
    return settle(co, !ours || switch_it(co, err), ours, err) ||
           err_wrap(err, "the decision row on the source cannot be set to switched");
}
