/* Owns: when a copy waits. See copy_pace.h. */
#include "capture/copy/copy_pace.h"

#include "capture/asked.h"
#include "core/clock.h"
#include "core/log.h"

/* A slowed window: its ranges are to be read in about this time. */
#define SLOW_WINDOW_S 0.25
#define SLOW_ROWS_MIN 100
#define SLOW_LOG_US   (60 * INT64_C(1000000))

/* What the last window read must have had its time before the next one opens. */
static bool within_rate(const struct cap_copy_pace *pace, int64_t rate, uint64_t copied_rows, int64_t now_us)
{
    if (rate == 0 || pace->opened_us == 0)
        return true;
    double due_us = (double)(copied_rows - pace->opened_rows) / (double)rate * 1e6;
    return (double)(now_us - pace->opened_us) >= due_us;
}

static bool source_is_slow(struct cap_copy_pace *pace, struct cap_session *s, bool *ret_slow, struct err *err)
{
    int64_t limit_us = s->settings->max_source_latency_us, begin_us = clock_mono_us(), one = 0;
    *ret_slow = false;
    if (limit_us == 0)
        return true;
    if (!pg_query_int64(s->sql, "SELECT count(*) FROM pg_catalog.pg_namespace", 0, NULL, &one, err))
        return false;
    int64_t took_us = clock_mono_us() - begin_us;
    *ret_slow = took_us > limit_us;
    if (*ret_slow && begin_us - pace->slow_log_us > SLOW_LOG_US) {
        pace->slow_log_us = begin_us;
        log_event(LOG_LEVEL_WARN, "snapshot_slowed", "latency_ms=%lld limit_ms=%lld",
                  (long long)(took_us / 1000), (long long)(limit_us / 1000));
    }
    return true;
}

bool cap_copy_pace_must_wait(struct cap_copy_pace *pace, struct cap_session *s, uint64_t copied_rows,
                             int64_t now_us, bool *ret_wait, struct err *err)
{
    *ret_wait = true;
    cap_asked_look(s->asked);
    if (s->status->wal_guard >= WAL_GUARD_THROTTLE || cap_asked_paused(s->asked))
        return true;
    return !within_rate(pace, s->settings->max_rows_per_second, copied_rows, now_us) ||
           source_is_slow(pace, s, ret_wait, err);
}

int64_t cap_copy_pace_range_rows(const struct cap_settings *settings)
{
    if (settings->max_rows_per_second == 0)
        return settings->chunk_rows;
    double rows = (double)settings->max_rows_per_second * SLOW_WINDOW_S / settings->snapshot_workers;
    return MIN_OF(settings->chunk_rows, MAX_OF((int64_t)rows, SLOW_ROWS_MIN));
}
