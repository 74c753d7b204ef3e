/*
 * crossfade.comparison on the target: a row for each run of the window, small enough that two weeks of minutes are 20,000 rows,
 * and what follows from them: since when all has been equal. Private to this module, but for watch.h.
 * @thread owner
 */
#ifndef COMPARE_WATCH_HISTORY_H
#define COMPARE_WATCH_HISTORY_H

#include "../control.h"
#include "compare/watch.h"
#include "outcome.h"
#include "schedule.h"

bool history_add(struct session *target, const char *pipeline, const struct watch_level *level,
                 int64_t started_us, const struct outcome *outcome, struct err *err) MUST_CHECK;
/* Removes up to some thousand rows that are older than keep_s. */
bool history_prune(struct session *target, const char *pipeline, int64_t keep_s, struct err *err) MUST_CHECK;
/* When the level last began (us, wall), 0 = never: a window goes on where a watcher that ended has left it. */
bool history_last(struct session *target, const char *pipeline, const char *level, int64_t *ret_us,
                  struct err *err) MUST_CHECK;
/* See watch.h. */
bool history_window(struct session *target, const char *pipeline, const char *level, struct watch_window *ret,
                    struct err *err) MUST_CHECK;

/* Since when (us, wall) every level of the schedule is clean; 0 = one is not, or there is none. */
bool history_clean_since(struct session *target, const char *pipeline, const struct watch_schedule *schedule,
                         int64_t *ret_us, struct err *err) MUST_CHECK;

#endif
