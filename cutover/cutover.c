/* Owns the life of a cutover as a command sees it: plan, execute, resume, abort. */
#include "cutover/cutover.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "cutover_internal.h"
#include "tell.h"

void cutover_say(struct cutover *co, const char *fmt, ...)
{
    char text[1500];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    co->talk->say(co->talk->ctx, text);
}

const char *cutover_command(const struct cutover *co)
{
    return config_is_reversed(co->cfg) ? "rollback" : "cutover";
}

int cutover_exit_code(const struct cutover_report *report)
{
    static const struct {
        const char *outcome;
        int code;
    } codes[] = {{"planned", CUTOVER_EXIT_DONE},
                 {"done", CUTOVER_EXIT_DONE},
                 {"refused", CUTOVER_EXIT_REFUSED},
                 {"aborted", CUTOVER_EXIT_ABORTED}};
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        if (report->outcome != NULL && strcmp(codes[i].outcome, report->outcome) == 0)
            return codes[i].code;
    }
    return CUTOVER_EXIT_PERSON;
}

bool cutover_lock(struct cutover *co, struct err *err)
{
    const char *params[] = {co->pipeline};
    bool got = false, freed = false;
    if (!store_bool(co, STORE_LOCK, 1, params, &got, err))
        return false;
    if (!got && co->maria != NULL && !store_mariadb_free_lock(co, &freed, err))
        return false;
    if (freed && !store_bool(co, STORE_LOCK, 1, params, &got, err))
        return false;
    return got ? true
               : err_set(err, ERR_BUSY, "another cutover of pipeline %s is running right now", co->pipeline);
}

static bool refuse_after_switch(struct cutover *co, struct err *err)
{
    bool done;
    if (!record_done_before(co, &done, err))
        return false;
    if (done && co->state == CUT_UNKNOWN)
        return err_set(err, ERR_REFUSED,
                       "pipeline %s was cut over already (crossfade.decision on the source)%s", co->pipeline,
                       config_is_reversed(co->cfg) ? "" : ". Hint: `crossfade rollback plan` leads back");
    return true;
}

bool cutover_plan(const struct config *cfg, const struct cutover_talk *talk, struct cutover_report *ret,
                  struct err *err)
{
    struct cutover co;
    bool ok_gates = false;
    *ret = (struct cutover_report){.outcome = "planned"};
    if (!cutover_open(&co, cfg, talk, ret, err))
        return false;
    bool ok = refuse_after_switch(&co, err) && gates_run(&co, &ok_gates, err);
    if (ok && !ok_gates)
        ret->outcome = "refused";
    cutover_close(&co);
    return ok;
}

static void new_id(struct cutover *co)
{
    time_t now = time(NULL);
    struct tm tm;
    char nonce[40];
    gmtime_r(&now, &tm);
    size_t n = strftime(co->id, sizeof co->id, "%Y%m%dT%H%M%SZ-", &tm);
    nonce_make(nonce);
    (void)snprintf(co->id + n, sizeof co->id - n, "%.8s", nonce);
}

/* A cutover that was aborted while the target was away has its steps still open there: the decision row
 * knows. */
static bool resume_aborted(struct cutover *co, struct err *err)
{
    char stands[16];
    bool ours;
    if (!decision_stands(co, stands, &ours, err))
        return false;
    return !ours || strcmp(stands, "aborted") != 0 || co->state == CUT_ABORTING ||
           record_state(co, CUT_ABORTING, err);
}

/* MariaDB serves again as soon as the process has gone that had closed it (from_maria/): it is closed anew, with a final marker and a comparison
 * behind that. */
static bool close_anew(struct cutover *co, struct err *err)
{
    char stands[16];
    bool ours;
    if (co->from_maria == NULL || co->state < CUT_MARKING || co->state > CUT_DECIDING)
        return true;
    if (!decision_stands(co, stands, &ours, err))
        return false;
    if (!ours || strcmp(stands, "open") != 0)
        return true;
    co->pause_began_wall_us = 0;
    return record_state(co, CUT_FREEZING, err);
}

static bool begin(struct cutover *co, struct err *err)
{
    bool gates_ok;
    if (!gates_run(co, &gates_ok, err))
        return false;
    if (!gates_ok) {
        co->report->outcome = "refused";
        tell_gates(co);
        return trail_gates(co, false, err);
    }
    if (!successor_start(co, err))
        return false;
    new_id(co);
    return trail_gates(co, true, err) && record_state(co, CUT_BEGINNING, err);
}

static bool begin_or_resume(struct cutover *co, bool must_resume, struct err *err)
{
    bool found;
    if (!cutover_lock(co, err) || !record_find_open(co, &found, err) ||
        (!found && must_resume && !record_adopt(co, &found, err)) || !refuse_after_switch(co, err))
        return false;
    if (!found && must_resume)
        return err_set(err, ERR_REFUSED, "no cutover of pipeline %s is open: there is nothing to resume",
                       co->pipeline);
    if (!found)
        return begin(co, err);
    struct err alone = ERR_INIT;
    cutover_say(co, "resuming cutover %s at '%s'", co->id, cutover_state_name(co->state));
    if (!successor_start(co, &alone))
        cutover_say(co, "%s", alone.text);
    return notes_resumed(co, err) && resume_aborted(co, err) && close_anew(co, err);
}

static bool run(const struct config *cfg, const struct cutover_talk *talk, bool must_resume,
                struct cutover_report *ret, struct err *err)
{
    struct cutover co;
    *ret = (struct cutover_report){.outcome = "needs_person"};
    if (!cutover_open(&co, cfg, talk, ret, err))
        return false;
    tell_open(&co);
    bool ok = begin_or_resume(&co, must_resume, err);
    if (ok && strcmp(ret->outcome, "refused") != 0) {
        (void)snprintf(ret->id, sizeof ret->id, "%s", co.id);
        ok = cutover_walk(&co, err);
        lsn_format(co.final_lsn, ret->final_lsn);
        if (!ok)
            notes_keep(&co);
    }
    if (!ok)
        tell_failed(&co, err);
    trail_close(&co, ok ? NULL : err);
    cutover_close(&co);
    return ok;
}

bool cutover_execute(const struct config *cfg, const struct cutover_talk *talk, struct cutover_report *ret,
                     struct err *err)
{
    return run(cfg, talk, false, ret, err);
}

bool cutover_resume(const struct config *cfg, const struct cutover_talk *talk, struct cutover_report *ret,
                    struct err *err)
{
    return run(cfg, talk, true, ret, err);
}

static bool refuse_decided(struct cutover *co, struct err *err)
{
    char stands[16];
    bool ours;
    if (!decision_stands(co, stands, &ours, err))
        return false;
    return !ours || strcmp(stands, "switched") != 0 ||
           err_set(err, ERR_REFUSED, "cutover %s is decided: the target serves; there is nothing to abort",
                   co->id);
}

static bool find_open(struct cutover *co, struct err *err)
{
    bool found;
    if (!record_find_open(co, &found, err) || (!found && !record_adopt(co, &found, err)))
        return false;
    return found || err_set(err, ERR_REFUSED, "no cutover of pipeline %s is open", co->pipeline);
}

#define LOCK_POLL_MS 100

/* The process that is at it asks the decision row before each step, and puts the source back by itself; should it not be able to, we
 * do so when its session has ended. */
static bool tell_the_running_one(struct cutover *co, struct err *err)
{
    int64_t deadline_us = clock_mono_us() + config_int(co->cfg, "cutover.abort_timeout_ms") * 1000;
    struct err busy = ERR_INIT;
    if (!find_open(co, err) || !decision_abort(co, err) || !refuse_decided(co, err))
        return false;
    cutover_say(co, "cutover %s runs in another process: it was told to put the source back", co->id);
    while (!cutover_lock(co, &busy)) {
        if (busy.code != ERR_BUSY || clock_mono_us() > deadline_us || co->talk->stop_asked(co->talk->ctx)) {
            *err = busy;
            return err_wrap(err, "the decision is aborted, the process that runs the cutover has not ended");
        }
        (void)poll(NULL, 0, LOCK_POLL_MS);
    }
    return true;
}

/* Whether the one that ran elsewhere has ended the work itself. */
static bool has_ended(struct cutover *co, bool *ret, struct err *err)
{
    bool found;
    char id[sizeof co->id];
    memcpy(id, co->id, sizeof id);
    if (!record_find_open(co, &found, err))
        return false;
    *ret = !found || strcmp(id, co->id) != 0;
    memcpy(co->id, id, sizeof id);
    return true;
}

static bool abort_it(struct cutover *co, struct err *err)
{
    struct err busy = ERR_INIT;
    bool ended = false;
    if (cutover_lock(co, &busy)) {
        if (!find_open(co, err) || !refuse_decided(co, err))
            return false;
    } else if (busy.code != ERR_BUSY) {
        *err = busy;
        return false;
    } else if (!tell_the_running_one(co, err) || !has_ended(co, &ended, err) || !refuse_decided(co, err)) {
        return false;
    }
    (void)snprintf(co->report->id, sizeof co->report->id, "%s", co->id);
    if (ended) {
        co->report->outcome = "aborted";
        return true;
    }
    return notes_resumed(co, err) && (co->state == CUT_ABORTING || record_state(co, CUT_ABORTING, err)) &&
           cutover_walk(co, err);
}

bool cutover_abort(const struct config *cfg, const struct cutover_talk *talk, struct cutover_report *ret,
                   struct err *err)
{
    struct cutover co;
    *ret = (struct cutover_report){.outcome = "needs_person"};
    if (!cutover_open(&co, cfg, talk, ret, err))
        return false;
    tell_open(&co);
    bool ok = abort_it(&co, err);
    if (!ok) {
        notes_keep(&co);
        tell_failed(&co, err);
    }
    trail_close(&co, ok ? NULL : err);
    cutover_close(&co);
    return ok;
}
