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

/*
 * The format of what lies in schema crossfade is written in the schema's comment (no right is needed to read it, and whoever makes the schema may
 * write it): "Crossfade's control tables, format 1". Without one it is 1. It is raised when an older program would misread what a newer one
 * has written; new tables, and columns that old programs may ignore, raise nothing. pg_open() looks at it, so every command does.
 */
#define PG_CONTROL_FORMAT 1
/* An expression: the format as text, or null. */
#define PG_CONTROL_FORMAT_SQL                                                                                \
    "pg_catalog.substring(pg_catalog.obj_description(pg_catalog.to_regnamespace('crossfade'), "              \
    "'pg_namespace'), "                                                                                      \
    "'^Crossfade.* format ([0-9]{1,9})$')"
/* ERR_UNSUPPORTED when `format` ("" = none) is newer than ours. */
bool pg_control_format_check(const char *database, const char *format, struct err *err) MUST_CHECK;

bool pg_control_tables_look(struct pg_conn *conn, const char *needed, bool *ret_there,
                            struct err *err) MUST_CHECK;
/* Runs `sql` (schemas/sql: idempotent) in a transaction when one of them is missing. Not in a transaction. side: "source". */
bool pg_control_tables_ensure(struct pg_conn *conn, const char *needed, const char *sql, const char *side,
                              struct err *err) MUST_CHECK;

#endif
