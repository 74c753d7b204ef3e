/* One loop per process: its last sign of life, as atomics that any thread reads. */
#include "core/alive.h"

#include <stdatomic.h>
#include <stddef.h>

#include "core/attr.h"
#include "core/clock.h"

#define TICK_EVERY_US INT64_C(100000)

static _Thread_local bool is_loop;
static void (*tick_hook)(void);
static int64_t hook_every_us, hook_called_us; /* the loop's alone */
static _Atomic int64_t seen_us;               /* 0 = there is no loop */
static atomic_int waits;

void alive_loop_is_here(void (*on_tick)(void), int64_t every_us)
{
    is_loop = true;
    tick_hook = on_tick;
    hook_every_us = every_us;
    hook_called_us = 0;
    atomic_store(&waits, 0);
    alive_tick();
}

void alive_loop_ended(void)
{
    is_loop = false;
    tick_hook = NULL;
    atomic_store(&seen_us, 0);
}

void alive_tick(void)
{
    if (!is_loop)
        return;
    int64_t now_us = clock_mono_us();
    atomic_store_explicit(&seen_us, now_us, memory_order_relaxed);
    if (tick_hook == NULL || (hook_called_us != 0 && now_us - hook_called_us < hook_every_us))
        return;
    hook_called_us = now_us;
    tick_hook();
}

void alive_wait_begin(void)
{
    if (is_loop)
        atomic_fetch_add(&waits, 1);
}

void alive_wait_end(void)
{
    if (!is_loop)
        return;
    alive_tick(); /* first: nobody sees a moment without either */
    atomic_fetch_sub(&waits, 1);
}

int alive_poll(struct pollfd *fds, size_t count, int64_t timeout_ms)
{
    int64_t end_us = clock_mono_us() + timeout_ms * 1000, left_us = timeout_ms * 1000;
    int n = 0;
    do {
        alive_tick();
        n = poll(fds, count, (int)((MIN_OF(left_us, TICK_EVERY_US) + 999) / 1000));
        left_us = end_us - clock_mono_us();
    } while (n == 0 && left_us > 0);
    alive_tick();
    return n;
}

bool alive_waits(void)
{
    return atomic_load(&waits) > 0;
}

int64_t alive_age_us(void)
{
    int64_t seen = atomic_load_explicit(&seen_us, memory_order_relaxed);
    if (seen == 0 || alive_waits())
        return 0;
    int64_t age_us = clock_mono_us() - seen;
    return age_us > 0 ? age_us : 0;
}
