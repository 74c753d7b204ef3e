#include "core/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_mono_us(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_wall_us(void)
{
    return read_clock(CLOCK_REALTIME);
}

char *clock_iso(int64_t wall_us, char out[ISO_TIME_MAX])
{
    int64_t us = wall_us % 1000000;
    time_t s = (time_t)(wall_us / 1000000);
    if (us < 0) {
        us += 1000000;
        s--;
    }
    struct tm tm;
    gmtime_r(&s, &tm);
    size_t n = strftime(out, ISO_TIME_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(out + n, ISO_TIME_MAX - n, ".%06dZ", (int)us);
    return out;
}

int64_t clock_backoff_us(unsigned attempt, int64_t base_ms, int64_t max_ms)
{
    int64_t ms = base_ms;
    while (attempt-- > 0 && ms < max_ms)
        ms *= 2;
    if (ms > max_ms)
        ms = max_ms;
    uint64_t random =
        (uint64_t)clock_mono_us() * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    int64_t quarter = ms * 1000 / 4;
    int64_t jitter = quarter > 0 ? (int64_t)((random >> 20) % (uint64_t)(2 * quarter)) - quarter : 0;
    return ms * 1000 + jitter;
}
