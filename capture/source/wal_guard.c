/* Owns: from retained WAL to a level. See wal_guard.h. */
#include "capture/source/wal_guard.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/attr.h"
#include "core/log.h"

/* The server's limit as one of ours; both: the smaller. 0 = none. */
static int64_t limit_of(const struct cap_slot_wal *wal, int64_t max_retained_bytes)
{
    int64_t servers = wal->safe_bytes >= 0 ? wal->retained_bytes + wal->safe_bytes : 0;
    if (servers == 0 || max_retained_bytes == 0)
        return MAX_OF(servers, max_retained_bytes);
    return MIN_OF(servers, max_retained_bytes);
}

enum wal_guard_level cap_wal_guard_level(const struct cap_slot_wal *wal, int64_t max_retained_bytes)
{
    int64_t limit = limit_of(wal, max_retained_bytes), retained = wal->retained_bytes;
    if (strcmp(wal->state, "unreserved") == 0 || strcmp(wal->state, "lost") == 0)
        return WAL_GUARD_ALERT; /* the next checkpoint may remove it, or has */
    if (retained < 0 || limit <= 0 || retained < limit / 2)
        return WAL_GUARD_OK;
    if (retained >= limit)
        return WAL_GUARD_ALERT;
    return retained >= limit - limit / 4 ? WAL_GUARD_THROTTLE : WAL_GUARD_WARN;
}

static void tell(const struct cap_slot_wal *wal, int64_t limit_bytes, const char *slot,
                 enum wal_guard_level level)
{
    static const char *const advice[] = {
        [WAL_GUARD_OK] = "the slot lets go again",
        [WAL_GUARD_WARN] = "the source keeps WAL for the slot: is the journal slow or away, or does a "
                           "transaction run for long?",
        [WAL_GUARD_THROTTLE] = "a copy that runs pauses until the slot lets go of WAL",
        [WAL_GUARD_ALERT] = "the source's disk may fill, or the server drop the slot: make room, end long "
                            "transactions, mend the "
                            "journal",
    };
    enum log_level how = level == WAL_GUARD_OK      ? LOG_LEVEL_INFO
                         : level == WAL_GUARD_ALERT ? LOG_LEVEL_ERROR
                                                    : LOG_LEVEL_WARN;
    log_event(how, "wal_guard",
              "level=%s slot=%s retained_bytes=%" PRId64 " limit_bytes=%" PRId64 " wal_status=%s text=\"%s\"",
              wal_guard_level_name(level), slot, wal->retained_bytes, limit_bytes, wal->state, advice[level]);
}

void cap_wal_guard(const struct cap_slot_wal *wal, int64_t max_retained_bytes, const char *slot,
                   struct role_status *status)
{
    enum wal_guard_level level = cap_wal_guard_level(wal, max_retained_bytes);
    status->retained_wal_bytes = wal->retained_bytes;
    status->safe_wal_bytes = wal->safe_bytes;
    status->max_retained_wal_bytes = limit_of(wal, max_retained_bytes);
    (void)snprintf(status->wal_status, sizeof status->wal_status, "%s", wal->state);
    if (level != status->wal_guard)
        tell(wal, status->max_retained_wal_bytes, slot, level);
    status->wal_guard = level;
}
