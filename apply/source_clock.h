/*
 * How far the source's clock is ahead of ours, as far as the journal shows: a commit that we read cannot be later than now, so one whose
 * time is, by our clock, still to come was stamped by a clock that goes before ours by at least so much. (How far it is behind cannot be told from
 * a journal that may be read late, and is not asked.) The last ten to twenty minutes count: clocks are set right. Times are wall
 * microseconds. Pure. @thread: the owner's
 */
#ifndef APPLY_SOURCE_CLOCK_H
#define APPLY_SOURCE_CLOCK_H

#include <stdint.h>

/* All zero: nothing was seen yet. */
struct source_clock {
    int64_t in_span_us, before_us; /* in this span of ten minutes, and in the one before */
    int64_t since_us;              /* when this one began; 0 = none has */
};

/* A commit of the source was read now; commit_us 0 = its time is not known. */
void source_clock_saw(struct source_clock *clock, int64_t commit_us, int64_t now_us);
/* Never negative. */
int64_t source_clock_ahead_us(const struct source_clock *clock);

#endif
