/*
 * Durations in bounded memory, in the manner of HdrHistogram: a counter for each 1/32 of each power of two, so that a quantile is
 * at most 3.2 % off; from 1 µs to more than an hour. Private to compare. @thread owner
 */
#ifndef COMPARE_SHADOW_HISTOGRAM_H
#define COMPARE_SHADOW_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 5
#define HISTOGRAM_CELLS    ((33 - HISTOGRAM_SUB_BITS) << HISTOGRAM_SUB_BITS)

struct histogram {
    uint64_t count;
    int64_t max_us, sum_us;
    uint32_t cells[HISTOGRAM_CELLS];
};

void histogram_add(struct histogram *h, int64_t us);
void histogram_merge(struct histogram *into, const struct histogram *h);
/* Upper edge of the cell that the share (0..1) falls into, never above the maximum; 0 without values. */
int64_t histogram_quantile(const struct histogram *h, double share);

#endif
