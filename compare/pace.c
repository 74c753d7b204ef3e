/* Owns: the rate of reading. See pace.h. */
#include "pace.h"

#include <stddef.h>
#include <time.h>

#include "core/clock.h"

#define NAP_US  INT64_C(20000)
#define DEBT_US INT64_C(3600000000) /* more than an hour is not waited for */

void pace_init(struct pace *pace, int64_t rows_per_s)
{
    *pace = (struct pace){.rows_per_s = rows_per_s};
    pthread_mutex_init(&pace->lock, NULL);
}

void pace_destroy(struct pace *pace)
{
    pthread_mutex_destroy(&pace->lock);
}

static int64_t left_us(struct pace *pace)
{
    pthread_mutex_lock(&pace->lock);
    int64_t left = pace->free_us - clock_mono_us();
    pthread_mutex_unlock(&pace->lock);
    return left;
}

void pace_wait(struct pace *pace, const atomic_bool *stop)
{
    int64_t left;
    while (pace->rows_per_s > 0 && !atomic_load(stop) && (left = left_us(pace)) > 0) {
        int64_t nap_us = left < NAP_US ? left : NAP_US;
        (void)nanosleep(&(struct timespec){.tv_nsec = (long)nap_us * 1000}, NULL);
    }
}

void pace_spend(struct pace *pace, uint64_t rows)
{
    if (pace->rows_per_s <= 0)
        return;
    pthread_mutex_lock(&pace->lock);
    int64_t now_us = clock_mono_us();
    double cost_us = (double)rows * 1e6 / (double)pace->rows_per_s;
    pace->free_us =
        (pace->free_us > now_us ? pace->free_us : now_us) + (int64_t)(cost_us < DEBT_US ? cost_us : DEBT_US);
    pthread_mutex_unlock(&pace->lock);
}
