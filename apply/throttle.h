/*
 * When, how fast and in how large steps apply may work: the size of a batch by the target's latency, rows per second,
 * the lag of the target's standbys, a schedule, a pause that somebody asked for; and the alarm of apply.max_lag_ms.
 * @thread owner
 */
#ifndef APPLY_THROTTLE_H
#define APPLY_THROTTLE_H

#include "config/config.h"
#include "control/status.h"
#include "core/standby_lag.h"
#include "target/target.h"

#define WINDOWS_MAX       16
#define BATCH_CHANGES_MIN 100

struct throttle {
    /* settings; 0 = none */
    int64_t batch_latency_us, max_lag_us;
    uint64_t max_rows_per_s; /* that hold now */
    uint64_t rows_configured, batch_max;
    struct {
        int from_min, to_min; /* of the day, UTC; from > to: over midnight */
    } windows[WINDOWS_MAX];
    size_t window_count;
    /* state */
    uint64_t batch_now; /* changes */
    int64_t rows_until_us, look_at_standbys_us;
    struct standby_lag standbys;
};

/* "22:00-06:00, 12:00-13:00 UTC"; NULL or "": always. */
bool throttle_schedule(struct throttle *th, const char *text, struct err *err) MUST_CHECK;
bool throttle_init(struct throttle *th, const struct config *cfg, struct err *err) MUST_CHECK;
/* Another configuration, which throttle_check() has passed: what was measured so far stays. */
void throttle_take(struct throttle *th, const struct config *cfg);
bool throttle_check(const struct config *cfg, struct err *err) MUST_CHECK;
/* Rows a second that somebody has asked for; DESK_AS_CONFIGURED: nobody has. */
void throttle_rate(struct throttle *th, int64_t asked);
/* Most changes of the next batch. */
uint64_t throttle_batch(const struct throttle *th);
/* A batch was committed. */
void throttle_note(struct throttle *th, uint64_t changes, int64_t took_us);
/* NULL: go on. Else why not, as status shows it: "paused", "schedule", "replica_lag", "rows_per_second". */
bool throttle_look(struct throttle *th, struct target *tgt, bool paused, const char **ret_why,
                   struct err *err) MUST_CHECK;
bool throttle_in_schedule(const struct throttle *th, int64_t wall_us);

#endif
