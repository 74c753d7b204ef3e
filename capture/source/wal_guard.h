/*
 * How near the slot is to what the source will bear: WAL that it holds back, against capture.max_retained_wal and the server's own
 * max_slot_wal_keep_size (behind which it would drop the slot). Levels by the smaller limit: half of it is told, from three
 * quarters on a copy pauses (it is what can wait), the whole of it is an alarm.
 * Pure, but for the log. @thread owner
 */
#ifndef CAPTURE_WAL_GUARD_H
#define CAPTURE_WAL_GUARD_H

#include <stdint.h>

#include "control/status.h"

/* What the server says of the slot (pg_replication_slots). */
struct cap_slot_wal {
    int64_t retained_bytes; /* -1 = not known */
    int64_t safe_bytes;     /* safe_wal_size: so much more may be written; -1 = without limit */
    const char *state;      /* wal_status */
};

enum wal_guard_level cap_wal_guard_level(const struct cap_slot_wal *wal, int64_t max_retained_bytes);
/* Puts what was found into the status and tells of each change of level. */
void cap_wal_guard(const struct cap_slot_wal *wal, int64_t max_retained_bytes, const char *slot,
                   struct role_status *status);

#endif
