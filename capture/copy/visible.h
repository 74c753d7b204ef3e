/*
 * Which transactions a snapshot of the source sees, and whether it sees all that were published: a commit can be read in
 * the WAL before snapshots see it (its backend has not left the list of running transactions yet, for long
 * when it waits for a synchronous standby). A copy of rows taken under a snapshot that misses a published
 * transaction would take its changes back.
 *
 * The floor sees all that was published before this session: the exported snapshot of a slot that was created in it, or any
 * snapshot for which everything that had begun before the session is over. What comes by the stream since is noted.
 *
 * Transaction ids are compared in 32 bits, modulo, as the server does (server: transam.c, TransactionIdPrecedes).
 * Pure. @thread one writer; cap_visible_covers() from any while nobody notes.
 */
#ifndef CAPTURE_VISIBLE_H
#define CAPTURE_VISIBLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

/* pg_current_snapshot(): visible = finished, and either below xmin or below xmax and not in running. */
struct cap_snapshot {
    uint32_t xmin, xmax;
    uint32_t *running; /* sorted as numbers */
    size_t running_count;
};

/* "xmin:xmax:xip,…" with 64-bit ids. ERR_PROTOCOL if it is not. */
bool cap_snapshot_parse(const char *text, struct cap_snapshot *ret, struct err *err) MUST_CHECK;
void cap_snapshot_release(struct cap_snapshot *snap);
bool cap_snapshot_sees(const struct cap_snapshot *snap, uint32_t xid);
/* Everything that began before this transaction id was given out is over. */
bool cap_snapshot_is_past(const struct cap_snapshot *snap, uint32_t xid);

struct cap_visible;

/* Takes the floor over. */
struct cap_visible *cap_visible_new(struct cap_snapshot *floor);
void cap_visible_free(struct cap_visible *v); /* NULL allowed */
/* Forgets what the snapshot sees: every later one will see it, too. Keeps memory bounded while no window opens for long. */
void cap_visible_forget(struct cap_visible *v, const struct cap_snapshot *snap);
/* A floor that was found later: what is noted stays noted. Takes it over. */
void cap_visible_begin(struct cap_visible *v, struct cap_snapshot *floor);
/* A transaction that was decoded. */
void cap_visible_note(struct cap_visible *v, uint32_t xid);
/* True if the snapshot sees everything that is noted and everything that the floor sees. */
bool cap_visible_covers(const struct cap_visible *v, const struct cap_snapshot *snap);
/* The snapshot covers all: nothing noted so far needs to be asked about again, and it is the new floor. Takes it over. */
void cap_visible_settle(struct cap_visible *v, struct cap_snapshot *snap);
size_t cap_visible_noted(const struct cap_visible *v);

#endif
