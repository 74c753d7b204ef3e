/* Time: one monotonic clock for durations, one wall clock for people and commit times. All in microseconds.
 */
#ifndef CORE_CLOCK_H
#define CORE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* Microseconds between 1970-01-01 and PostgreSQL's epoch, 2000-01-01. */
#define PG_EPOCH_US  INT64_C(946684800000000)
#define ISO_TIME_MAX 40

int64_t clock_mono_us(void);
int64_t clock_wall_us(void); /* since 1970-01-01 UTC */
/* "2026-01-31T12:34:56.123456Z"; returns out. */
char *clock_iso(int64_t wall_us, char out[ISO_TIME_MAX]);
/* Backoff with jitter: doubles from base_ms to max_ms with `attempt` (0, 1, …), +-25 %. */
int64_t clock_backoff_us(unsigned attempt, int64_t base_ms, int64_t max_ms);

#endif
