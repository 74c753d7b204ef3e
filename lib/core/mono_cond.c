/* Wraps pthread_cond_timedwait(). See mono_cond.h. */
#include "core/mono_cond.h"

#include <errno.h>
#include <time.h>

#include "core/err.h"

void mono_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    if (pthread_condattr_init(&attr) != 0 || pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) != 0 ||
        pthread_cond_init(cond, &attr) != 0)
        BUG("no condition for a thread to wait on");
    (void)pthread_condattr_destroy(&attr);
}

bool mono_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t until_us)
{
    struct timespec until = {.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000};
    return pthread_cond_timedwait(cond, lock, &until) != ETIMEDOUT;
}
