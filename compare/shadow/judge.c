/* Owns: from what was seen to a verdict. See result.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "result.h"

const char *outcome_name(enum outcome outcome)
{
    static const char *const names[] = {
        [OUTCOME_NOT_RUN] = "not run",     [OUTCOME_REFUSED] = "refused", [OUTCOME_BOTH_FAIL] = "both fail",
        [OUTCOME_TOO_LARGE] = "too large", [OUTCOME_EQUAL] = "equal",     [OUTCOME_UNSTABLE] = "unstable",
        [OUTCOME_UNDECIDED] = "undecided", [OUTCOME_ERROR] = "error",     [OUTCOME_DIFFERENT] = "different"};
    return names[outcome];
}

bool outcome_is_compared(enum outcome outcome)
{
    return outcome == OUTCOME_EQUAL || outcome_is_finding(outcome);
}

bool outcome_is_finding(enum outcome outcome)
{
    return outcome == OUTCOME_ERROR || outcome == OUTCOME_DIFFERENT;
}

void query_result_note(struct query_result *q, enum outcome outcome, size_t variant, const char *why)
{
    pthread_mutex_lock(&q->lock);
    q->runs++;
    q->equal += outcome == OUTCOME_EQUAL;
    if (outcome > q->outcome) {
        q->outcome = outcome;
        q->variant = variant;
        free(q->why);
        q->why = why != NULL && *why != '\0' ? xstrdup(why) : NULL;
    }
    pthread_mutex_unlock(&q->lock);
}

static void judge_queries(struct shadow_result *r)
{
    size_t measured = 0;
    for (size_t i = 0; i < r->workload.count; i++)
        measured += r->queries[i].sample_count > 0;
    r->rule.alpha = LATENCY_ALPHA / (double)MAX_OF(measured, (size_t)1);
    for (size_t i = 0; i < r->workload.count; i++) {
        struct query_result *q = &r->queries[i];
        latency_judge(q->samples, q->sample_count, &r->rule, &q->latency);
        q->plan_changed = q->plan[0] != NULL && q->plan[1] != NULL && strcmp(q->plan[0], q->plan[1]) != 0;
        r->slower += q->latency.verdict == LATENCY_SLOWER;
        r->different += outcome_is_finding(q->outcome);
        r->plan_changes += q->plan_changed;
        r->compared += outcome_is_compared(q->outcome);
        for (int s = 0; s < SHOWN_COUNT; s++)
            histogram_merge(&r->times[s], &q->times[s]);
    }
}

static void judge_all(struct shadow_result *r)
{
    struct latency_stratum *strata = xcalloc(r->workload.count + 1, sizeof *strata);
    struct latency_rule rule = r->rule;
    size_t n = 0;
    for (size_t i = 0; i < r->workload.count; i++) {
        if (r->queries[i].sample_count > 0)
            strata[n++] = (struct latency_stratum){.samples = r->queries[i].samples,
                                                   .count = r->queries[i].sample_count,
                                                   .weight = r->workload.queries[i].weight};
    }
    rule.alpha = LATENCY_ALPHA;
    latency_judge_all(strata, n, &rule, r->seed, &r->overall);
    free(strata);
}

static void judge_coverage(struct shadow_result *r)
{
    double all = r->workload.lost, compared = 0;
    for (size_t i = 0; i < r->workload.count; i++) {
        if (r->queries[i].outcome == OUTCOME_REFUSED)
            continue; /* no read */
        all += r->workload.queries[i].weight;
        compared += outcome_is_compared(r->queries[i].outcome) ? r->workload.queries[i].weight : 0;
    }
    r->coverage = all > 0 ? 100.0 * compared / all : 0;
}

static void give(struct shadow_result *r, enum compare_verdict verdict, char *reason)
{
    r->verdict = verdict;
    free(r->reason);
    r->reason = reason;
}

void shadow_judge(struct shadow_result *r)
{
    judge_queries(r);
    judge_all(r);
    judge_coverage(r);
    bool all_slower = r->overall.verdict == LATENCY_SLOWER;
    if (r->verdict == VERDICT_INCONCLUSIVE)
        return; /* no fence */
    if (r->different > 0 || r->slower > 0 || all_slower)
        give(r, VERDICT_FAIL,
             xasprintf("%zu queries answer differently, %zu are slower%s", r->different, r->slower,
                       all_slower ? ", and so are all of them together" : ""));
    else if (r->workload.count == 0)
        give(r, VERDICT_INCONCLUSIVE, xstrdup("there is no query to compare"));
    else if (r->compared == 0)
        give(r, VERDICT_INCONCLUSIVE, xstrdup("no query could be compared"));
    else if (r->coverage < r->min_coverage)
        give(r, VERDICT_INCONCLUSIVE,
             xasprintf("%.1f %% of the reads were compared, compare.shadow.min_coverage wants %d %%",
                       floor(r->coverage * 10) / 10, r->min_coverage));
    else
        give(r, VERDICT_PASS, xstrdup(""));
}
