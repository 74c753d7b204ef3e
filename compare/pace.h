/* How many rows the workers may read in a second, all together (compare.max_rate_rows). Private to this module. @thread any */
#ifndef COMPARE_PACE_H
#define COMPARE_PACE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

struct pace {
    pthread_mutex_t lock;
    int64_t rows_per_s; /* 0 = as fast as it goes */
    int64_t free_us;    /* mono: what was read so far has been paid for by then */
};

void pace_init(struct pace *pace, int64_t rows_per_s);
void pace_destroy(struct pace *pace);
/* Waits until what was read has been paid for, or *stop. */
void pace_wait(struct pace *pace, const atomic_bool *stop);
/* So many rows were read. */
void pace_spend(struct pace *pace, uint64_t rows);

#endif
