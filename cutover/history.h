/* Cutovers of a pipeline, as they are recorded: what `crossfade cutover list` and `status` show. Reads only. @thread any */
#ifndef CUTOVER_HISTORY_H
#define CUTOVER_HISTORY_H

#include "cutover/cutover.h"

struct cutover_past_step {
    char state[16], at[32];
    int64_t took_us; /* of its action; -1: it did not succeed, or has not ended */
};

struct cutover_past {
    char id[40], state[16];
    char began_at[32], changed_at[32]; /* ISO 8601, by the target's clock */
    int64_t pause_us;                  /* 0: nobody waited, or it is not over */
    char reason[1200];                 /* why it was aborted; "" = it was not */
    bool running; /* a process is at it now; else an open one waits for `cutover resume` or `abort` */
    char decision
        [16]; /* status alone: "open", "switched", "aborted", "none", "of another"; "": see the next */
    char decision_unread[1200];                        /* why the source could not be asked; "" = it was */
    struct cutover_past_step steps[CUTOVER_STEPS_MAX]; /* status alone */
    size_t step_count;
};

/* Newest first, the last hundred. *ret is malloc'd; none: a count of 0. */
bool cutover_list(const struct config *cfg, struct cutover_past **ret, size_t *ret_count,
                  struct err *err) MUST_CHECK;
/* One with its steps: the newest (id NULL), or the one that is named. */
bool cutover_status(const struct config *cfg, const char *id, struct cutover_past *ret, bool *ret_found,
                    struct err *err) MUST_CHECK;

#endif
