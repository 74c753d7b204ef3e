/* The workers of a run: who takes which query when, at what rate, and until when. Private to compare. @thread owner */
#ifndef COMPARE_SHADOW_PLAYERS_H
#define COMPARE_SHADOW_PLAYERS_H

#include "result.h"
#include "step.h"

struct players {
    struct shadow_result *result;
    const struct shadow_request *req;
    struct step_sides *sides; /* one for each worker, open */
    size_t count;
    size_t rounds; /* how often each query is taken */
    int64_t deadline_us, interval_us;
    int rechecks;
};

/* Until every query had its rounds, or time is over (a result), or stop was asked for or a session broke (false). */
bool players_run(struct players *p, struct err *err) MUST_CHECK;

#endif
