/* See standby_lag.h. */
#include "core/standby_lag.h"

#include <string.h>

void standby_lag_note(struct standby_lag *lag, uint64_t written, uint64_t replayed, int64_t now_us)
{
    size_t done = 0;
    while (done < lag->sample_count && lag->samples[done].written <= replayed)
        done++;
    lag->sample_count -= done;
    memmove(lag->samples, lag->samples + done, lag->sample_count * sizeof lag->samples[0]);
    bool known = lag->sample_count > 0 && lag->samples[lag->sample_count - 1].written >= written;
    if (written > replayed && !known && lag->sample_count < STANDBY_SAMPLES_MAX) {
        lag->samples[lag->sample_count].at_us = now_us;
        lag->samples[lag->sample_count++].written = written;
    }
    lag->late = lag->sample_count > 0 && now_us - lag->samples[0].at_us > lag->max_us;
}
