/* What a run of a level came to, of whatever kind it was: a comparison, shadow queries, or a run that could not be made. Private to this module.
 * @thread owner */
#ifndef COMPARE_WATCH_OUTCOME_H
#define COMPARE_WATCH_OUTCOME_H

#include "compare/compare.h"
#include "compare/shadow/shadow.h"

struct outcome {
    enum compare_verdict verdict;
    bool whole; /* all tables of the pipeline, or all of the workload */
    uint64_t fence_id;
    lsn_t lsn;
    int64_t started_us, finished_us, hold_us; /* wall, wall, duration */
    int64_t lag_us;                           /* compare_result.lag_us; 0 = not measured */
    uint64_t tables, rows, differences;       /* shadow: queries, their runs, queries that are not well */
    bool timed;                               /* shadow */
    int64_t p95_us[2];                        /* of the source's answers, of the target's */
    char *reason;                             /* of what is no PASS, for the history; NULL = nothing to say */
    char *text;                               /* for alerts */
};

void outcome_of_compare(const struct compare_result *result, struct outcome *ret);
void outcome_of_shadow(const struct shadow_result *result, struct outcome *ret);
/* It could not be made: INCONCLUSIVE. */
void outcome_of_failure(const char *why, struct outcome *ret);
void outcome_release(struct outcome *outcome);

#endif
