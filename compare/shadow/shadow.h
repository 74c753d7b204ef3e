/*
 * Shadow queries: reads of the real workload, run on both sides, at one fence or (live) on both as they are. What is compared, and
 * what each verdict proves: docs/COMPARE.md, "Shadow queries". A run that took place ends with a verdict; false + err means that it
 * could not run at all.
 */
#ifndef COMPARE_SHADOW_SHADOW_H
#define COMPARE_SHADOW_SHADOW_H

#include "compare/compare.h"

struct shadow_request {
    bool live;               /* no fence: sides as they are, differences are looked at again */
    uint64_t seed;           /* of order, sampling and sides; 0 = a new one */
    const char *report_dir;  /* NULL = compare.report_dir */
    bool report_unless_pass; /* files only of what is no PASS */
    int stop_fd;             /* readable when the run is to end; -1 = none */
    void (*progress)(void *ctx, const char *text); /* NULL allowed; from the calling thread */
    void *progress_ctx;
};

struct shadow_result;

/* What a run came to in a few numbers. Texts are the result's. */
struct shadow_summary {
    const char *reason, *report_dir; /* ""; NULL = no report was written */
    uint64_t fence_id;               /* 0 = live */
    lsn_t lsn;
    int64_t started_us, finished_us, hold_us; /* wall, wall, duration */
    uint64_t compared, runs;                  /* queries whose answers were compared; how often any was run */
    uint64_t findings; /* queries that answer differently or are slower; at least 1 if all together are */
    bool timed;        /* some answers were */
    int64_t p95_us[2]; /* over all answers of the source, of the target */
};

/* Whether the configuration names any workload; else *err says what is missing. */
bool shadow_has_workload(const struct config *cfg, struct err *err) MUST_CHECK;
/* *ret is the caller's to release. Its verdict is recorded in crossfade.verdict on the target, with scope "shadow". Nothing stays
 * behind on either side. @thread owner; starts and joins threads of its own. */
bool shadow_run(const struct config *cfg, const struct shadow_request *req, struct shadow_result **ret,
                struct err *err) MUST_CHECK;
/* The same queries on the target alone, over and over, so that it has their pages and plans at hand: for that long, in whole passes of which the
 * last may be cut short. Nothing is compared or recorded. stop_fd: as above; stopped is ERR_INTERRUPTED. An error of a query is counted. @thread owner */
struct shadow_warmth {
    uint64_t passes, runs, failed;
};
bool shadow_warm(const struct config *cfg, int64_t for_us, int stop_fd, struct shadow_warmth *ret,
                 struct err *err) MUST_CHECK;
void shadow_result_free(struct shadow_result *result); /* NULL allowed */
enum compare_verdict shadow_verdict(const struct shadow_result *result);
void shadow_summary(const struct shadow_result *result, struct shadow_summary *ret);
const char *shadow_json(const struct shadow_result *result); /* schemas/shadow-report.schema.json */
/* As JUnit's XML; the file is written whole or not at all. */
bool shadow_write_junit(const struct shadow_result *result, const char *path, struct err *err) MUST_CHECK;
/* For people: findings first; all: every query. */
void shadow_text(const struct shadow_result *result, bool all, struct strbuf *out);

#endif
