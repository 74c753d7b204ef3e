/*
 * A hot standby as the place that is read (PostgreSQL 16 and later): its slot, stream and copy. Nothing can be written there, so
 * that what has to be written goes to the primary, if source.url names it, or must be there.
 *
 * What is different (server: procarray.c, standby.c, slot.c):
 * - pg_current_snapshot() lists no running transactions there: its list is empty between xmin and xmax. But what was decoded was
 *   replayed before, and what was replayed is visible: each later snapshot sees it.
 * - Its timeline may change under a session that goes on undisturbed: it is promoted, or its primary is replaced by another standby.
 * - A slot's creation waits for a record of the running transactions, which only the primary can write.
 * @thread owner
 */
#ifndef CAPTURE_STANDBY_H
#define CAPTURE_STANDBY_H

#include "capture/capture_internal.h"

/* Finds out whether the server of s->sql is a standby, and opens s->primary if there is one to open. ERR_CONFIG if
 * source.standby_url is none, or one of another primary; ERR_UNSUPPORTED before PostgreSQL 16. */
bool cap_standby_open(struct cap_session *s, struct err *err) MUST_CHECK;
/* Where control tables and publication are made; NULL = nowhere (a standby alone). */
struct pg_conn *cap_writable(const struct cap_session *s);
/* Waits until the standby has replayed what the primary has written by now. Nothing to do without a primary. */
bool cap_standby_catch_up(struct cap_session *s, struct err *err) MUST_CHECK;
/* To be asked before a fence, when everything below it has been received: true only if that is of the timeline that the session's
 * fences are labelled with. ERR_TRANSIENT if the standby has gone over to another one meanwhile: the next session begins at the
 * last fence, which is before the fork, and takes the new timeline. Nothing is asked of a primary: it changes its timeline only
 * while it is down. */
bool cap_standby_same_timeline(struct cap_session *s, struct err *err) MUST_CHECK;
/* Which transactions a snapshot sees is not told by a standby: a table without key cannot be copied there. */
bool cap_standby_check_table(const struct source_table *t, struct err *err) MUST_CHECK;
/* All that are to be copied; true if s reads from no standby. */
bool cap_standby_check_tables(const struct cap_session *s, struct err *err) MUST_CHECK;
/* Called again and again while a slot is made: has the primary record its running transactions. Best effort: it does so by itself
 * every 15 s while something is written. @thread the watch of the slot's creation */
void cap_standby_nudge(const struct cap_session *s);

#endif
