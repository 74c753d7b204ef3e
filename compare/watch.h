/*
 * The window of a parallel run: comparisons by schedule (compare.watch.*) for days, their results kept in crossfade.comparison on the
 * target, an alert when something differs. Survives restarts of both servers, of capture and of apply, and its own: the
 * schedule goes on from the table.
 */
#ifndef COMPARE_WATCH_H
#define COMPARE_WATCH_H

#include "compare/compare.h"

/* Runs until stop_fd is readable (then true), or for as long as compare.watch.on_mismatch allows. *ret_verdict: FAIL if the last
 * run of some level was one, else INCONCLUSIVE or PASS alike. once: each level runs once, whatever the schedule, and a run that cannot be made is not tried again: false. False: could not run at
 * all (configuration). @thread owner; compare_run starts and joins its own. */
bool compare_watch(const struct config *cfg, bool once, int stop_fd, enum compare_verdict *ret_verdict,
                   struct err *err) MUST_CHECK;

/* What the kept results of one level come to. A window is clean since the first PASS behind the last FAIL, and behind the last gap: a time
 * in which no comparison passed for longer than three intervals (or three times what one took) proves nothing. A PASS of a level that reads
 * all that this one does closes a gap, too: counts and changed are in digests, all three in full. A fence of a lower number is one of another journal: the
 * target was filled anew. INCONCLUSIVE breaks nothing by itself. */
struct watch_window {
    char level[16];
    int64_t every_s;
    uint64_t runs, passed, failed, inconclusive; /* of all that are kept */
    uint64_t clean_runs;                         /* PASSes in a row */
    int64_t clean_since_us;                      /* wall; when the first of them began; 0 = it is not clean */
    int64_t last_us;                             /* wall; when the last run ended */
    int64_t passed_us; /* wall; when the last PASS began, 0 = there is none: so old is the verdict */
    char last_verdict[16];
    bool stale; /* no PASS for longer than three intervals, or three times what the last one took */
};

/* Since when (us, wall) every level that the configuration schedules is clean; 0 = one is not, or nothing is scheduled. */
bool watch_clean_since(const struct config *cfg, int64_t *ret_us, struct err *err) MUST_CHECK;

struct watch_run {
    char level[16], verdict[16];
    char *reason;
    int64_t started_us, finished_us;              /* wall */
    uint64_t fence_id, tables, rows, differences; /* shadow: queries, their runs, queries that are not well */
    int64_t lag_us; /* from the cut on the source until the target stood there; 0 = not measured */
    bool full, timed;
    int64_t p95_us[2]; /* timed: of the source's answers, of the target's */
};

struct watch_history {
    struct watch_window windows[8];
    size_t window_count;
    struct watch_run *runs; /* newest first */
    size_t run_count;
};

/* Reads the newest `limit` runs and the windows of all levels. */
bool watch_history_read(const struct config *cfg, size_t limit, struct watch_history *ret,
                        struct err *err) MUST_CHECK;
/* schemas/history.schema.json; malloc'd, with a newline at the end. */
bool watch_history_json(const struct watch_history *history, char **ret, struct err *err) MUST_CHECK;
/* Writes a page (one file without outside parts) of the window, the lag and a cutover's gates. */
bool watch_history_page(const struct config *cfg, const char *path, struct err *err) MUST_CHECK;
void watch_history_release(struct watch_history *history);

#endif
