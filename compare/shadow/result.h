/* What a run found, query by query. Private to compare. */
#ifndef COMPARE_SHADOW_RESULT_H
#define COMPARE_SHADOW_RESULT_H

#include <pthread.h>

#include "histogram.h"
#include "lane.h"
#include "latency.h"
#include "shadow.h"
#include "workload.h"

/* From what says least to what needs a person; a query gets the last in this order of all that happened to it. */
enum outcome {
    OUTCOME_NOT_RUN = 0, /* no time was left, or it needs something: query->needs */
    OUTCOME_REFUSED,     /* it writes: both sides' read-only transactions stopped it */
    OUTCOME_BOTH_FAIL,   /* with one SQLSTATE on both sides */
    OUTCOME_TOO_LARGE,   /* compare.shadow.max_rows */
    OUTCOME_EQUAL,
    OUTCOME_UNSTABLE, /* the source does not answer itself alike */
    OUTCOME_UNDECIDED, /* its answer is left open (order, clock …), or moves faster than it can be read twice */
    OUTCOME_ERROR,     /* one side fails, or each in its own way */
    OUTCOME_DIFFERENT
};

enum side_shown { SHOWN_SOURCE = 0, SHOWN_AGAIN, SHOWN_TARGET, SHOWN_COUNT };

struct query_result {
    pthread_mutex_t lock;
    enum outcome outcome;
    char *why;      /* of the outcome; malloc'd or NULL */
    size_t variant; /* that it was seen with */
    uint64_t runs;  /* answers compared */
    uint64_t equal, ties, floats, order, transient;
    uint64_t rows; /* of the source, in the last run */
    struct histogram times[SHOWN_COUNT];
    struct latency_sample *samples;
    size_t sample_count;
    struct latency_judgement latency;
    char *plan[2]; /* shapes; NULL = not known */
    bool plan_changed;
};

struct shadow_result {
    enum compare_verdict verdict;
    char *reason; /* "" if there is nothing to add */
    char *pipeline, *server[2];
    bool live, stopped_early;
    uint64_t seed, fence_id;
    lsn_t lsn;
    int64_t started_us, finished_us, hold_us, fence_us;
    struct workload workload;
    struct query_result *queries; /* one for each of the workload's */
    struct latency_judgement overall;
    struct latency_rule rule;
    struct histogram times[SHOWN_COUNT];
    double coverage; /* 0..100: of all reads, by weight, those that were compared */
    int min_coverage;
    size_t different, slower, plan_changes, compared;
    char *report_dir, *report_file, *json;
};

const char *outcome_name(enum outcome outcome); /* "different" */
bool outcome_is_compared(enum outcome outcome);
bool outcome_is_finding(enum outcome outcome);
/* Keeps the worst. why is copied. */
void query_result_note(struct query_result *q, enum outcome outcome, size_t variant, const char *why);
/* Judges latencies, coverage and verdict. */
void shadow_judge(struct shadow_result *r);
bool shadow_json_make(const struct shadow_result *r, char **ret, struct err *err) MUST_CHECK;
/* compare.redact: hides all values of statements where any column is to be. */
bool shadow_redact(const struct config *cfg, struct shadow_result *r, struct err *err) MUST_CHECK;
bool shadow_junit_make(const struct shadow_result *r, struct strbuf *out, struct err *err) MUST_CHECK;
bool shadow_html_make(const struct shadow_result *r, struct strbuf *out, struct err *err) MUST_CHECK;

#endif
