/*
 * What the server says in errors, made fit for messages of ours: without values of rows, and with the GRANT that is missing. Pure.
 * @thread any
 */
#ifndef PG_MESSAGE_H
#define PG_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/strbuf.h"

/* Whether DETAIL and CONTEXT of errors with this SQLSTATE hold no values of rows. */
bool pg_detail_is_harmless(const char *sqlstate);
/* The primary message as it may stand in a log. */
void pg_safe_message(const char *sqlstate, const char *text, char *out, size_t size);
/*
 * Appends " Hint: GRANT … TO role …" for an error 42501, as far as its text tells the object; else where the statements are.
 * statement: its head; it tells which right on a table was wanted. Messages: server, aclchk.c, aclcheck_error().
 */
void pg_privilege_hint(const char *role, const char *statement, const char *message, struct strbuf *sb);
/* Appends " Hint: GRANT …", where libpq's text of a failed connection tells which right it is. Server: postinit.c. role, database:
 * what was connected to. */
void pg_connect_hint(const char *role, const char *database, const char *text, struct strbuf *sb);

#endif
