/* When a cutover runs by itself: the rule, without clock or I/O. Private to this module. @thread any */
#ifndef CUTOVER_WATCH_AUTOMATIC_H
#define CUTOVER_WATCH_AUTOMATIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cutover/cutover.h"

/* All that decides, but for the gates. Times are wall clock, in microseconds. */
struct automatic_view {
    bool cut_over;  /* there was one, or there is one that has not ended, or nobody knows */
    bool firing;    /* a trigger */
    bool postponed; /* cutover.postpone_file is there */
    int64_t now_us;
    bool in_window;
    int64_t until_us, next_us; /* the end of this window; when the next begins, 0 = none within days */
    int64_t clean_since_us;    /* 0 = not clean */
    int64_t clean_for_us;      /* that is asked for */
    int64_t attempts, max_attempts, not_before_us;
};

/* "" into ret: the gates may be asked. Else what it waits for. */
void automatic_waits(const struct automatic_view *view, char *ret, size_t size);
/* The same, of gates that were asked: what they refuse, or that the time left is shorter than the estimate. */
void automatic_gates(const struct cutover_report *report, int64_t left_us, char *ret, size_t size);

#endif
