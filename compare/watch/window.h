/*
 * What the kept runs of each level come to: since when it is clean. Pure: rows are added in their order, once each; times are wall clock,
 * in microseconds. The rule: watch.h. Private to this module.
 */
#ifndef COMPARE_WATCH_WINDOW_H
#define COMPARE_WATCH_WINDOW_H

#include "compare/watch.h"

#define WINDOWS_MAX 8

struct window_row {
    uint64_t id;
    const char *level, *verdict;
    bool whole; /* a PASS of some tables proves nothing here */
    int64_t every_s, began_us, ended_us;
    uint64_t fence_id; /* 0 = none */
};

struct window {
    struct watch_window told;       /* but for what depends on the time of asking */
    uint64_t last_id, before_fence; /* of the last own run; of the last PASS */
    int64_t began_us, before_began_us,
        before_ended_us; /* of the last own run; of the last PASS, own or one that reads more */
};

struct windows {
    struct window levels[WINDOWS_MAX];
    size_t count;
    uint64_t last_id;
};

/* A row of a level that was added already is passed over. */
void windows_add(struct windows *windows, const struct window_row *row);
/* NULL: it never ran. */
const struct window *windows_find(const struct windows *windows, const char *level);
/* every_s: as the schedule is now; 0 = as it was for the last run. */
void window_tell(const struct window *window, int64_t every_s, int64_t now_us, struct watch_window *ret);

#endif
