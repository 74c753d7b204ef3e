/* Owns: judging durations. See latency.h. */
#include "latency.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/attr.h"

#define BOOTSTRAP_ROUNDS 1000
#define BOOTSTRAP_DRAWS  5000000 /* in all: fewer rounds for large runs, but never fewer than: */
#define BOOTSTRAP_LEAST  200
#define STRATUM_LEAST    5

uint64_t shadow_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t shadow_random_below(uint64_t *state, uint64_t below)
{
    return (uint64_t)(((unsigned __int128)shadow_random(state) * below) >> 64);
}

size_t latency_samples_needed(double alpha)
{
    return (size_t)ceil(-log2(alpha));
}

/* How many of the smallest of n values may be left out so that what is then the smallest is below the median with 1 - alpha; n if
 * there are too few values. */
static size_t bound_index(size_t n, double alpha)
{
    double term = -(double)n * log(2.0), sum = 0; /* log of C(n, k) / 2^n */
    for (size_t k = 0; k < n; k++) {
        sum += exp(term);
        if (sum > alpha)
            return k == 0 ? n : k - 1;
        term += log((double)(n - k)) - log((double)(k + 1));
    }
    return n;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_of_sorted(const double *v, size_t n)
{
    return n % 2 == 1 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static double clamp_us(float us)
{
    return us < 1 ? 1 : (double)us;
}

/* Logarithm of target/source, or of again/source; the source of the former is the mean of its two runs. */
static double log_ratio(const struct latency_sample *s, bool noise)
{
    double a = log(clamp_us(s->source_us)), again = log(clamp_us(s->again_us));
    return noise ? again - a : log(clamp_us(s->target_us)) - (a + again) / 2;
}

static double gap_us(const struct latency_sample *s)
{
    return clamp_us(s->target_us) - (clamp_us(s->source_us) + clamp_us(s->again_us)) / 2;
}

static enum latency_verdict decide(const struct latency_judgement *j, const struct latency_rule *rule,
                                   double typical_gap_us)
{
    double bar = MAX_OF(rule->threshold, j->noise);
    if (j->low > bar && typical_gap_us >= rule->floor_us)
        return LATENCY_SLOWER;
    if (j->high < 1 / bar && -typical_gap_us >= rule->floor_us)
        return LATENCY_FASTER;
    return LATENCY_SAME;
}

void latency_judge(const struct latency_sample *samples, size_t count, const struct latency_rule *rule,
                   struct latency_judgement *ret)
{
    double *v = xcalloc(count * 3 + 1, sizeof *v), *noise = v + count, *gaps = noise + count;
    size_t k = bound_index(count, rule->alpha);
    *ret = (struct latency_judgement){0};
    for (size_t i = 0; i < count; i++) {
        v[i] = log_ratio(&samples[i], false);
        noise[i] = log_ratio(&samples[i], true);
        gaps[i] = gap_us(&samples[i]);
    }
    qsort(v, count, sizeof *v, by_value);
    qsort(noise, count, sizeof *v, by_value);
    qsort(gaps, count, sizeof *v, by_value);
    if (count > 0)
        ret->ratio = exp(median_of_sorted(v, count));
    if (k < count && rule->threshold > 0) {
        ret->low = exp(v[k]);
        ret->high = exp(v[count - 1 - k]);
        ret->noise = exp(MAX_OF(fabs(noise[k]), fabs(noise[count - 1 - k])));
        ret->verdict = decide(ret, rule, median_of_sorted(gaps, count));
    }
    free(v);
}

struct totals {
    double source, again, target;
};

/* Medians of a query's three durations, of all samples or (random) of as many drawn from them. room: 3 * s->count. */
static struct totals medians_of(const struct latency_stratum *s, uint64_t *random, double *room)
{
    double *source = room, *again = room + s->count, *target = again + s->count;
    for (size_t i = 0; i < s->count; i++) {
        const struct latency_sample *x =
            &s->samples[random != NULL ? shadow_random_below(random, s->count) : i];
        source[i] = clamp_us(x->source_us);
        again[i] = clamp_us(x->again_us);
        target[i] = clamp_us(x->target_us);
    }
    for (int i = 0; i < 3; i++)
        qsort(room + (size_t)i * s->count, s->count, sizeof *room, by_value);
    return (struct totals){median_of_sorted(source, s->count), median_of_sorted(again, s->count),
                           median_of_sorted(target, s->count)};
}

static struct totals add_up(const struct latency_stratum *strata, size_t count, uint64_t *random,
                            double *room)
{
    struct totals all = {0};
    for (size_t q = 0; q < count; q++) {
        if (strata[q].count == 0)
            continue;
        struct totals t = medians_of(&strata[q], random, room);
        all.source += strata[q].weight * t.source;
        all.again += strata[q].weight * t.again;
        all.target += strata[q].weight * t.target;
    }
    return all;
}

static double ratio_of(const struct totals *t, bool noise)
{
    return noise ? t->again / t->source : 2 * t->target / (t->source + t->again);
}

void latency_judge_all(const struct latency_stratum *strata, size_t count, const struct latency_rule *rule,
                       uint64_t seed, struct latency_judgement *ret)
{
    size_t n = 0, most = 0;
    double weight = 0;
    bool enough = count > 0;
    *ret = (struct latency_judgement){0};
    for (size_t q = 0; q < count; q++) {
        n += strata[q].count;
        most = MAX_OF(most, strata[q].count);
        weight += strata[q].weight;
        enough = enough && strata[q].count >= STRATUM_LEAST;
    }
    if (n == 0 || weight <= 0)
        return;
    double *room CLEANUP(free_ptr) = xcalloc(3 * most, sizeof *room);
    struct totals all = add_up(strata, count, NULL, room);
    ret->ratio = ratio_of(&all, false);
    if (!enough || n < latency_samples_needed(rule->alpha) || rule->threshold <= 0)
        return;
    size_t rounds = MAX_OF(MIN_OF((size_t)BOOTSTRAP_ROUNDS, BOOTSTRAP_DRAWS / n), (size_t)BOOTSTRAP_LEAST);
    double *v = xcalloc(rounds * 2, sizeof *v), *noise = v + rounds;
    for (size_t r = 0; r < rounds; r++) {
        struct totals t = add_up(strata, count, &seed, room);
        v[r] = ratio_of(&t, false);
        noise[r] = ratio_of(&t, true);
    }
    qsort(v, rounds, sizeof *v, by_value);
    qsort(noise, rounds, sizeof *v, by_value);
    size_t k = (size_t)(rule->alpha * (double)rounds);
    ret->low = v[k];
    ret->high = v[rounds - 1 - k];
    ret->noise = MAX_OF(1 / noise[k], noise[rounds - 1 - k]);
    ret->noise = MAX_OF(ret->noise, 1.0);
    ret->verdict = decide(ret, rule, (all.target - (all.source + all.again) / 2) / weight);
    free(v);
}

const char *latency_verdict_name(enum latency_verdict verdict)
{
    static const char *const names[] = {[LATENCY_UNKNOWN] = "unknown",
                                        [LATENCY_SAME] = "same",
                                        [LATENCY_SLOWER] = "slower",
                                        [LATENCY_FASTER] = "faster"};
    return names[verdict];
}
