/* See tick.h. */
#include "tick.h"

#include <poll.h>

#include "core/clock.h"
#include "core/mono_cond.h"

#define TICK_US 200000

bool tick_stop_asked(int stop_fd)
{
    struct pollfd fd = {.fd = stop_fd, .events = POLLIN};
    return stop_fd >= 0 && poll(&fd, 1, 0) == 1;
}

void tick_wait(pthread_cond_t *changed, pthread_mutex_t *lock)
{
    (void)mono_cond_wait(changed, lock, clock_mono_us() + TICK_US);
}
