/* Owns the life of a cutover as a command sees it: plan, execute (or resume), abort. */
#include "cutover/cutover.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "cutover_internal.h"

void cutover_say(struct cutover *co, const char *fmt, ...)
{
    char text[1500];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    co->talk->say(co->talk->ctx, text);
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
    char *got = NULL;
    if (!pg_query_text(
            co->target,
            "SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended('crossfade.cutover:' || $1, "
            "0))"
            "::text",
            1, params, &got, err))
        return false;
    bool ok = got != NULL && strcmp(got, "true") == 0;
    free_ptr(&got);
    return ok ? true
              : err_set(err, ERR_BUSY, "another cutover of pipeline %s is running right now", co->pipeline);
}

static bool refuse_after_switch(struct cutover *co, struct err *err)
{
    bool done;
    if (!record_done_before(co, &done, err))
        return false;
    if (done && co->state == CUT_UNKNOWN)
        return err_set(err, ERR_REFUSED,
                       "pipeline %s was cut over already (crossfade.decision on the source)", co->pipeline);
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
    bool aborted;
    if (!decision_aborted(co, &aborted, err))
        return false;
    return !aborted || co->state == CUT_ABORTING || record_state(co, CUT_ABORTING, err);
}

static bool begin_or_resume(struct cutover *co, struct err *err)
{
    bool found, gates_ok;
    if (!cutover_lock(co, err) || !record_find_open(co, &found, err) || !refuse_after_switch(co, err))
        return false;
    if (found) {
        cutover_say(co, "resuming cutover %s at '%s'", co->id, cutover_state_name(co->state));
        return resume_aborted(co, err);
    }
    if (!gates_run(co, &gates_ok, err))
        return false;
    if (!gates_ok) {
        co->report->outcome = "refused";
        return trail_gates(co, false, err);
    }
    if (!verify_prepare(co, err))
        return false;
    new_id(co);
    return trail_gates(co, true, err) && record_state(co, CUT_BEGINNING, err);
}

bool cutover_execute(const struct config *cfg, const struct cutover_talk *talk, struct cutover_report *ret,
                     struct err *err)
{
    struct cutover co;
    *ret = (struct cutover_report){.outcome = "needs_person"};
    if (!cutover_open(&co, cfg, talk, ret, err))
        return false;
    bool ok = begin_or_resume(&co, err);
    if (ok && strcmp(ret->outcome, "refused") != 0) {
        (void)snprintf(ret->id, sizeof ret->id, "%s", co.id);
        ok = cutover_walk(&co, err);
        lsn_format(co.final_lsn, ret->final_lsn);
    }
    trail_close(&co, ok ? NULL : err);
    cutover_close(&co);
    return ok;
}

bool cutover_abort(const struct config *cfg, const struct cutover_talk *talk, struct cutover_report *ret,
                   struct err *err)
{
    struct cutover co;
    bool found = false;
    char stands[16];
    *ret = (struct cutover_report){.outcome = "needs_person"};
    if (!cutover_open(&co, cfg, talk, ret, err))
        return false;
    bool ok = cutover_lock(&co, err) && record_find_open(&co, &found, err) && decision_get(&co, stands, err);
    if (ok && !found)
        ok = err_set(err, ERR_REFUSED, "no cutover of pipeline %s is open", co.pipeline);
    if (ok && strcmp(stands, "switched") == 0)
        ok = err_set(err, ERR_REFUSED, "cutover %s is decided: the target serves; there is nothing to abort",
                     co.id);
    if (ok) {
        (void)snprintf(ret->id, sizeof ret->id, "%s", co.id);
        ok = (co.state == CUT_ABORTING || record_state(&co, CUT_ABORTING, err)) && cutover_walk(&co, err);
    }
    trail_close(&co, ok ? NULL : err);
    cutover_close(&co);
    return ok;
}
