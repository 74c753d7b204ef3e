/* What is different between two shapes of a table, for people: a diff, and the statements that make the same of the target. */
#ifndef CAPTURE_DDL_TEXT_H
#define CAPTURE_DDL_TEXT_H

#include "capture/ddl/shapes.h"

/* `change`: "+"w" integer, -"v" text, …". `advice`: ALTER TABLE statements; defaults are looked up in the catalog, which may be
 * ahead of the stream, so they are advice and nothing else. conn: idle. */
bool cap_ddl_describe(struct pg_conn *conn, const struct cap_shape *old, const struct source_table *now,
                      struct strbuf *change, struct strbuf *advice, struct err *err) MUST_CHECK;

#endif
