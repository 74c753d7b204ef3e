/*
 * Tables of schema crossfade that several programs need and any of them may make first (capture, apply, compare, cutover). A
 * role with few rights may use what is there, not make it: so look first, and make only what is missing.
 * `needed`: names with a space between them, "crossfade.marker" for a table, "crossfade.marker.detail" for a column of it.
 * @thread: the connection's owner.
 */
#ifndef PG_CONTROL_TABLES_H
#define PG_CONTROL_TABLES_H

#include <stdbool.h>

#include "core/err.h"
#include "pg/conn.h"

bool pg_control_tables_look(struct pg_conn *conn, const char *needed, bool *ret_there,
                            struct err *err) MUST_CHECK;
/* Runs `sql` (schemas/sql: idempotent) in a transaction when one of them is missing. Not in a transaction. side: "source". */
bool pg_control_tables_ensure(struct pg_conn *conn, const char *needed, const char *sql, const char *side,
                              struct err *err) MUST_CHECK;

#endif
