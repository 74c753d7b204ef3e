/*
 * When the levels of a parallel-run window are due. Pure; times are wall clock, in microseconds. Private to this module.
 */
#ifndef COMPARE_WATCH_SCHEDULE_H
#define COMPARE_WATCH_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LEVELS_MAX 5

struct watch_level {
    const char *name;      /* "digests" */
    int64_t every_us;      /* from start to start */
    int64_t last_us;       /* when it was last begun; 0 = never */
    int64_t not_before_us; /* after a run that could not be made */
    unsigned failed_tries; /* such runs in a row */
    bool at_once;          /* asked for, whatever the schedule says */
    bool beside; /* runs while others do, by a line of its own: only levels of one line wait for each other */
};

struct watch_schedule {
    struct watch_level levels[LEVELS_MAX];
    size_t count;
};

/* What is to run next of this line, and when (<= now_us: now); NULL = the line has no level. What was asked for comes first, then what has been due for longest: so a level that takes
 * longer than its interval leaves the others their turn. A clock that was set back makes nothing wait for longer than its interval. */
struct watch_level *schedule_next(struct watch_schedule *schedule, bool beside, int64_t now_us,
                                  int64_t *ret_at_us);
void schedule_began(struct watch_level *level, int64_t now_us);
/* It could not be made (a server was away): again after a pause that grows to a minute, but never longer than the interval. */
void schedule_failed(struct watch_level *level, int64_t now_us);
void schedule_done(struct watch_level *level);

#endif
