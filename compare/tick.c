/* See tick.h. */
#include "tick.h"

#include <poll.h>
#include <time.h>

#define TICK_NS     200000000L
#define NS_A_SECOND 1000000000L

bool tick_stop_asked(int stop_fd)
{
    struct pollfd fd = {.fd = stop_fd, .events = POLLIN};
    return stop_fd >= 0 && poll(&fd, 1, 0) == 1;
}

void tick_wait(pthread_cond_t *changed, pthread_mutex_t *lock)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += TICK_NS;
    until.tv_sec += until.tv_nsec / NS_A_SECOND;
    until.tv_nsec %= NS_A_SECOND;
    (void)pthread_cond_timedwait(changed, lock, &until);
}
