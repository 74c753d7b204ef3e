/*
 * A direct load (capture.snapshot_path: direct): the rows of the first copy go from the source straight into the target, in parallel
 * chunks, while the stream goes on into the journal, where apply leaves it until all rows are there.
 *
 * All chunks are read under one snapshot, that of the slot: every table is then exactly what it was where the stream begins. When that
 * snapshot is lost (capture ended, the source did) what is left is read under another one, whose position is known as exactly (a
 * temporary slot's). Apply drops changes that a table's rows have already; a table with rows of two snapshots has them by
 * ranges of its key, and the changes between the two converge as those of any copy's window do (copy_work.h); where they could
 * be in each other's way (a second unique index) or nothing tells them apart (no key), the table is loaded anew.
 *
 * Files: direct.c (threads, snapshots, errors), direct_types.c (what the source's tables are), direct_plan.c (what is left), direct_work.c (one
 * worker), direct_rows.c (rows as datums), direct_narrow.c (rows that the target refuses).
 * Failpoints: capture.direct_claimed, capture.direct_chunk, capture.direct_copied, capture.direct_chunk_done,
 * capture.direct_loaded, capture.direct_finished, capture.direct_held.
 * @thread: the session's owner.
 */
#ifndef CAPTURE_DIRECT_H
#define CAPTURE_DIRECT_H

#include <stdatomic.h>

#include "capture/capture_internal.h"

/* From the snapshot that a slot's creation has just exported. */
bool cap_direct_keep(const struct cap_settings *settings, const struct repl_slot *slot,
                     struct cap_direct_snapshot *ret, struct err *err) MUST_CHECK;
void cap_direct_snapshot_release(struct cap_direct_snapshot *snap);

struct cap_direct;

/* Begins. snap: taken over. rows: of each of the session's tables, counted up. event_fd: is written when it has ended. */
struct cap_direct *cap_direct_open(const struct cap_session *s, struct cap_direct_snapshot *snap,
                                   _Atomic uint64_t *rows, int event_fd);
/* Ends its threads, waits for them. lost: the source cannot be reached. NULL allowed. */
void cap_direct_close(struct cap_direct *d, bool lost);
/* paused: for now nothing new is read. *ret_done: all is there, read at *ret_high_lsn at the latest. */
bool cap_direct_look(struct cap_direct *d, bool paused, bool *ret_done, lsn_t *ret_high_lsn,
                     struct err *err) MUST_CHECK;
bool cap_direct_table_done(const struct cap_direct *d, size_t table);
/* What it waits for, for the status; "" = nothing. */
void cap_direct_notice(struct cap_direct *d, char *ret, size_t size);

#endif
