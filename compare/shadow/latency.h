/*
 * Whether the target answers later than the source, beyond noise. A sample is one query run three times in a row, in random order: on
 * the source, on the source again (another session), on the target; all with warm caches. Per query the median of target/source is
 * held against the threshold by its confidence bounds from order statistics (a sign test: nothing is assumed of how durations are
 * distributed), and against the same bounds of again/source, the noise. docs/COMPARE.md, "Latency". Private to compare.
 */
#ifndef COMPARE_SHADOW_LATENCY_H
#define COMPARE_SHADOW_LATENCY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LATENCY_ALPHA 0.01 /* chance of one false finding in a whole run */

struct latency_sample {
    float source_us, again_us, target_us;
};

enum latency_verdict {
    LATENCY_UNKNOWN = 0, /* too few samples, or the threshold is off */
    LATENCY_SAME,        /* no difference beyond threshold, floor and noise */
    LATENCY_SLOWER,
    LATENCY_FASTER
};

struct latency_rule {
    double threshold; /* 1.25; 0 = off */
    double floor_us;  /* smaller differences are none */
    double alpha;     /* chance of a false finding here */
};

struct latency_judgement {
    enum latency_verdict verdict;
    double ratio, low, high; /* target/source, with its bounds; 0 without samples */
    double noise;            /* the source against itself: a factor of at least 1 */
};

/* Samples that it takes at least before anything can be said at that chance of error. */
size_t latency_samples_needed(double alpha);
void latency_judge(const struct latency_sample *samples, size_t count, const struct latency_rule *rule,
                   struct latency_judgement *ret);

/* One query's part of the whole. */
struct latency_stratum {
    const struct latency_sample *samples;
    size_t count;
    double weight; /* how often it comes in the workload */
};

/* The time that the whole workload takes: sums of the queries' median durations by weight; bounds by bootstrap within each query. */
void latency_judge_all(const struct latency_stratum *strata, size_t count, const struct latency_rule *rule,
                       uint64_t seed, struct latency_judgement *ret);

const char *latency_verdict_name(enum latency_verdict verdict); /* "slower" */

/* Numbers from a seed (SplitMix64): the same everywhere. */
uint64_t shadow_random(uint64_t *state);
/* From 0 to below; below > 0. */
uint64_t shadow_random_below(uint64_t *state, uint64_t below);

#endif
