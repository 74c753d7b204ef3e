/* Owns: a cutover whose process has gone behind its decision. See take_over.h. */
#include "cutover/take_over.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "core/clock.h"
#include "cutover_internal.h"
#include "successor.h"
#include "tell.h"

bool cutover_await_orphan(int fd)
{
    char word = SUCCESSOR_READY;
    bool decides = false;
    if (send(fd, &word, 1, MSG_NOSIGNAL) != 1)
        return false;
    for (;;) {
        ssize_t got = recv(fd, &word, 1, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got != 1)
            return decides;
        if (word == SUCCESSOR_ENDED)
            return false;
        decides = decides || word == SUCCESSOR_DECIDES;
    }
}

/* The records are looked at before the lock is asked for: who resumes or aborts what is not decided is not in our way, nor we in theirs. */
static bool find_decided(struct cutover *co, bool *ret_found, struct err *err)
{
    char stands[16];
    bool ours = false;
    if (!record_find_open(co, ret_found, err))
        return false;
    if (!*ret_found)
        return true;
    if (!decision_settled(co, stands, &ours, err))
        return false;
    *ret_found = ours && strcmp(stands, "switched") == 0;
    return true;
}

static bool lead_on(struct cutover *co, bool *ret_done, struct err *err)
{
    bool found = false;
    *ret_done = false;
    if (!deadline_on_source(co, err) || !find_decided(co, &found, err))
        return false;
    if (!found)
        return true;
    if (!cutover_lock(co, err) || !record_find_open(co, &found, err))
        return false;
    if (!found)
        return true;
    (void)snprintf(co->report->id, sizeof co->report->id, "%s", co->id);
    cutover_say(co, "taking over cutover %s at '%s': its process is gone behind the decision", co->id,
                cutover_state_name(co->state));
    tell_open(co);
    *ret_done = notes_resumed(co, err) && cutover_walk(co, err);
    return *ret_done;
}

static bool may_pass(enum err_code code)
{
    enum err_policy policy = err_policy(code);
    return policy == POLICY_RETRY || policy == POLICY_RECONNECT;
}

/* *ret_again: it failed, and may go better a little later. */
static bool try_once(struct cutover *co, int64_t until_us, bool *ret_done, bool *ret_again, struct err *err)
{
    co->takes_over = true;
    co->deadline_us = until_us; /* of what is asked before the first step */
    bool ok = lead_on(co, ret_done, err);
    *ret_again = !ok && may_pass(err->code) && clock_mono_us() < until_us;
    if (!ok && co->id[0] != '\0' && err->code != ERR_BUSY)
        notes_keep(co);
    if (!ok && !*ret_again)
        tell_failed(co, err);
    trail_close(co, ok || *ret_again ? NULL : err);
    return ok;
}

bool cutover_take_over(const struct config *cfg, const struct cutover_talk *talk, bool *ret_done,
                       struct cutover_report *ret, struct err *err)
{
    int64_t until_us = clock_mono_us() + config_int(cfg, "cutover.abort_timeout_ms") * 1000;
    for (unsigned attempt = 0;; attempt++) {
        struct cutover co;
        struct err now = ERR_INIT;
        bool again = false;
        *ret = (struct cutover_report){.outcome = "needs_person"};
        bool ok = cutover_open(&co, cfg, talk, ret, &now);
        if (ok) {
            ok = try_once(&co, until_us, ret_done, &again, &now);
            cutover_close(&co);
        } else {
            again = may_pass(now.code) && clock_mono_us() < until_us;
        }
        if (ok)
            return true;
        *err = now;
        if (!again)
            return false;
        cutover_report_release(ret);
        (void)poll(NULL, 0, (int)(clock_backoff_us(attempt, 50, 5000) / 1000));
    }
}
