/*
 * Replication origins (documentation: "Replication Progress Tracking"): the mark that the server puts on all that a session commits. What
 * apply writes carries one of ours, so that a capture on that server can leave it out, and that anybody can tell it from what others write.
 *
 * A name is crossfade:<pipeline>:<database's OID>:<part>: names are the server's, not a database's, and one origin is one session's at a
 * time (14 to 18), so that each session has a part of its own.
 */
#ifndef PG_ORIGIN_H
#define PG_ORIGIN_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"
#include "pg/conn.h"

#define PG_ORIGIN_PREFIX   "crossfade:"
#define PG_ORIGIN_NAME_MAX 120

struct pg_origin {
    bool set;                      /* the session has it */
    char name[PG_ORIGIN_NAME_MAX]; /* … and this is its name; "" before */
    char why_not[240];             /* "" = it has; else why it goes without, with what to do */
};

/* Gives the session its origin, which is made if it is not there. `part` ("1:0") is the session's alone: while an earlier session of ours still
 * has it, this waits, for some seconds at most (ERR_TRANSIENT).
 * A role or server that allows none is no failure: ret->why_not. Outside of a transaction. */
bool pg_origin_set_up(struct pg_conn *conn, const char *pipeline, const char *part, struct pg_origin *ret,
                      struct err *err) MUST_CHECK;

/* SQL for a select list: what the transaction at hand is marked with, beside the origin: `lsn` (SQL, of the other side) and this moment. Without
 * it the server takes the time of the session's transaction before for the time of this commit, wherever the mark is read. */
#define PG_ORIGIN_MARK(lsn)                                                                                  \
    "pg_catalog.pg_replication_origin_xact_setup(" lsn ", pg_catalog.clock_timestamp())"

/* Whose: the pipeline of a name of ours, in ret (cut to size); false: it is another's. */
bool pg_origin_pipeline(const char *name, char *ret, size_t size);

/* Functions that the role needs EXECUTE on, and lacks: "f(text), g(text)", as GRANT takes them; "" = none. malloc'd. */
bool pg_origin_lacks(struct pg_conn *conn, char **ret, struct err *err) MUST_CHECK;

#endif
