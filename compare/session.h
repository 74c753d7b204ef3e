/*
 * Connections of a comparison: settings under which equal values have equal texts on every server, and one
 * read-only transaction with a fixed snapshot in which all is read. Private to this module.
 */
#ifndef COMPARE_SESSION_H
#define COMPARE_SESSION_H

#include <stdatomic.h>

#include "pg/conn.h"
#include "plan.h"

struct statement {
    struct strbuf sql;
    int param_count;
    const char *const *params;
};

/* The two connections of a worker. */
struct pair {
    struct pg_conn *conn[SIDE_COUNT];
};

/* side_name stands in messages: "source". */
bool session_open(const char *url, const char *side_name, const char *pipeline, struct pg_conn **ret,
                  struct err *err) MUST_CHECK;
/* BEGIN with this snapshot (NULL = a new one, taken by the next statement), and a savepoint to come back to.
 */
bool session_begin(struct pg_conn *conn, const char *snapshot, struct err *err) MUST_CHECK;
bool session_savepoint(struct pg_conn *conn, struct err *err) MUST_CHECK;
/* After a failed statement: the snapshot stays. */
bool session_recover(struct pg_conn *conn, struct err *err) MUST_CHECK;

/* Runs one statement on each side at the same time. After a failure both sides are recovered (if they can
 * be). The error names the side. */
bool pair_query(struct pair *pair, const struct statement statements[SIDE_COUNT],
                struct pg_result *ret[SIDE_COUNT], struct err *err) MUST_CHECK;
void pair_results_free(struct pg_result *results[SIDE_COUNT]);
/* Sets on both sides, e.g. "SET LOCAL enable_seqscan = on". */
bool pair_exec(struct pair *pair, const char *sql, struct err *err) MUST_CHECK;
void pair_close(struct pair *pair);

const char *side_name(enum side side); /* "source" */

#endif
