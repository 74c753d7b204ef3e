/* What of MariaDB state.c, open.c and running.c ask: cutovers that are recorded there, and who is at work. Private to this module. */
#ifndef CLEANUP_MARIA_STATE_H
#define CLEANUP_MARIA_STATE_H

#include "cleanup_internal.h"

/* $1 in sql is the pipeline, $2 (if it is there) `second`. */
bool maria_ask(struct cleanup *cl, struct maria_conn *conn, const char *sql, const char *second,
               maria_each_row *each, void *ctx, struct err *err) MUST_CHECK;
/* An each() for one cell: ctx is a char *, malloc'd; NULL = null, or no row. */
bool maria_take_text(void *ctx, char **cells, size_t count, struct err *err);
/* Cutovers that stand somewhere; whether one is done; until when the old side is kept (malloc'd, NULL: not, or that is over). */
bool maria_steps_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err) MUST_CHECK;
bool maria_switched(struct cleanup *cl, bool *ret, struct err *err) MUST_CHECK;
bool maria_window(struct cleanup *cl, char **ret_until, struct err *err) MUST_CHECK;
/* Adds who holds a lock of the pipeline's capture, cutover or watch on MariaDB, on either side; take: or holds it from now on. */
bool maria_locks(struct cleanup *cl, const struct cleanup_kind *kind, bool take, struct err *err) MUST_CHECK;

#endif
