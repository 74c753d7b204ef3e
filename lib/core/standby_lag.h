/* How late a server's standbys are, from what was written and what the slowest of them has replayed, by our clock: positions have no
 * times of their own. @thread owner */
#ifndef CORE_STANDBY_LAG_H
#define CORE_STANDBY_LAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STANDBY_SAMPLES_MAX 64

struct standby_lag {
    int64_t max_us; /* the setting */
    struct {
        int64_t at_us; /* mono */
        uint64_t written;
    } samples[STANDBY_SAMPLES_MAX]; /* not replayed yet, oldest first */
    size_t sample_count;
    bool late;
};

/* What was written and what was replayed of it, at a time: lag->late tells whether it is too late. */
void standby_lag_note(struct standby_lag *lag, uint64_t written, uint64_t replayed, int64_t now_us);

#endif
