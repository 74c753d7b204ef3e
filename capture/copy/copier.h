/*
 * A running copy beside the stream: opens windows for the workers (copy_work.h), holds the stream's transactions back while
 * one is open, lets them follow, and has a fence written behind each. While the copy runs no other fences are written.
 * @thread owner
 */
#ifndef CAPTURE_COPIER_H
#define CAPTURE_COPIER_H

#include "capture/copy/copy_work.h"

struct cap_copier;
struct cap_stream;

/* `place`: of an earlier session, one that fits; or NULL. floor: exact at a position from which on everything is streamed; taken
 * over. NULL: it has yet to be found, while the stream goes on. */
struct cap_copier *cap_copier_open(struct cap_session *s, const struct fence_copy *place,
                                   struct cap_snapshot *floor);
/* Ends its threads, waits for them. lost: the source cannot be reached. NULL allowed. */
void cap_copier_close(struct cap_copier *c, bool lost);

/* Readable when cap_copier_turn() has something to do. */
int cap_copier_fd(const struct cap_copier *c);
/* Complete transactions must wait in st->held. */
bool cap_copier_holds(const struct cap_copier *c);
/* The stream must not be read on for a moment: a snapshot is being taken. */
bool cap_copier_pauses(const struct cap_copier *c);
/* One step: opens a window, or ends one. *ret_done: everything is copied and the fence that says so is on its way. */
bool cap_copier_turn(struct cap_stream *st, bool *ret_done, struct err *err) MUST_CHECK;

/* What to do with a change of this table in the transaction at hand. */
enum cap_fate { CAP_KEEP = 0, CAP_DROP, CAP_COMPLETE /* its row may be missing on the target */ };
enum cap_fate cap_copier_fate(const struct cap_copier *c, uint32_t oid, size_t key_count, uint32_t xid);
/* No window is open: a fence here, with the place that the copy has come to. The stream stands between two transactions. */
bool cap_copier_fence(struct cap_stream *st, struct err *err) MUST_CHECK;
/* The transaction at hand has a table's new shape. Apply must be able to stop in front of it, so no fence may have rows or changes
 * from before it as well. False with ERR_TRANSIENT: there are some; the session gives its window up, and the next one writes a
 * fence at that point and opens no window before the stream has come to where the tables are as they are now. */
bool cap_copier_may_part(struct cap_stream *st, struct err *err) MUST_CHECK;
/* A row of this table is needed that cannot be read any more as the change at hand has it: its copy begins anew, in front of the
 * next fence. False: it is no copy of all of its rows. */
bool cap_copier_begin_anew(struct cap_copier *c, uint32_t oid);
/* Puts the tables' progress into the status and shows it. */
void cap_copier_show(struct cap_copier *c);
/* A transaction was decoded to its end. */
void cap_copier_note(struct cap_copier *c, uint32_t xid);
/* Something newer than the stream was read on the source: the next fence must stand behind this position. */
void cap_copier_read_ahead(struct cap_copier *c, lsn_t insert_lsn);

#endif
