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
#include "window.h"

bool history_add(struct session *target, const char *pipeline, const struct watch_level *level,
                 int64_t started_us, const struct outcome *outcome, struct err *err) MUST_CHECK;
/* Removes up to some thousand rows that are older than keep_s. */
bool history_prune(struct session *target, const char *pipeline, int64_t keep_s, struct err *err) MUST_CHECK;
/* Adds the rows that were kept since the last call; of windows that are empty: all. */
bool history_read_on(struct session *target, const char *pipeline, struct windows *windows,
                     struct err *err) MUST_CHECK;
/* The windows of all levels and the newest `limit` runs; nothing to release when it fails. See watch.h. */
bool history_read(struct session *target, const char *pipeline, size_t limit, struct watch_history *ret,
                  struct err *err) MUST_CHECK;
/* Since when (us, wall) every level of the schedule is clean; 0 = one is not, or there is none. */
int64_t history_clean_since(const struct windows *windows, const struct watch_schedule *schedule);

#endif
