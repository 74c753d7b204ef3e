/*
 * The slot is looked at while the role cannot: its stream looks twice a second, but while the journal is opened anew, or a call to it waits
 * for brokers that are away, there is no stream, and the source keeps WAL all the same. Then this thread asks, on a connection of its own,
 * and shows what it finds on the board. PostgreSQL only.
 */
#ifndef CAPTURE_SLOT_WATCH_H
#define CAPTURE_SLOT_WATCH_H

#include "capture/source/wal_guard.h"
#include "control/status.h"

struct cap_settings;
struct cap_slot_watch;
struct pg_result;

/* What is asked of any connection to the source: its WAL's end, and of the slot ($1) restart_lsn, safe_wal_size, wal_status. */
extern const char cap_slot_look_sql[];
/* Puts an answer into the status (source_lsn, the slot, the guard's level). */
void cap_slot_take(const struct cap_settings *settings, const struct pg_result *res,
                   struct role_status *status);

struct cap_slot_watch *cap_slot_watch_start(const struct cap_settings *settings, struct status_board *board);
/* NULL allowed. Waits for a look under way: some seconds. */
void cap_slot_watch_stop(struct cap_slot_watch *watch);
/* The stream has an answer itself: it is taken, and nobody else needs to ask for a while. watch NULL: the first alone. @thread owner */
void cap_slot_watch_took(struct cap_slot_watch *watch, const struct cap_settings *settings,
                         const struct pg_result *res, struct role_status *status);

#endif
