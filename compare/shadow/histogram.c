/* Owns: counting durations. See histogram.h. */
#include "histogram.h"

#include <math.h>

#define SUB (1u << HISTOGRAM_SUB_BITS)

/* Below SUB each value has its own cell; above, `shift` bits are dropped. */
static uint32_t cell_of(uint64_t v)
{
    if (v > UINT32_MAX)
        v = UINT32_MAX;
    if (v < SUB)
        return (uint32_t)v;
    uint32_t shift = (uint32_t)(63 - __builtin_clzll(v)) - HISTOGRAM_SUB_BITS;
    return (uint32_t)((shift + 1) << HISTOGRAM_SUB_BITS) + (uint32_t)((v >> shift) - SUB);
}

static int64_t upper_edge(uint32_t cell)
{
    if (cell < SUB)
        return cell;
    uint32_t shift = (cell >> HISTOGRAM_SUB_BITS) - 1, sub = cell & (SUB - 1);
    return (int64_t)(((uint64_t)(SUB + sub + 1) << shift) - 1);
}

void histogram_add(struct histogram *h, int64_t us)
{
    us = us < 0 ? 0 : us;
    h->cells[cell_of((uint64_t)us)]++;
    h->count++;
    h->sum_us += us;
    h->max_us = us > h->max_us ? us : h->max_us;
}

void histogram_merge(struct histogram *into, const struct histogram *h)
{
    for (uint32_t i = 0; i < HISTOGRAM_CELLS; i++)
        into->cells[i] += h->cells[i];
    into->count += h->count;
    into->sum_us += h->sum_us;
    into->max_us = h->max_us > into->max_us ? h->max_us : into->max_us;
}

int64_t histogram_quantile(const struct histogram *h, double share)
{
    uint64_t wanted = (uint64_t)ceil(share * (double)h->count), seen = 0;
    for (uint32_t i = 0; i < HISTOGRAM_CELLS; i++) {
        seen += h->cells[i];
        if (seen > 0 && seen >= wanted)
            return upper_edge(i) < h->max_us ? upper_edge(i) : h->max_us;
    }
    return 0;
}
