/* "permission denied for …" says what, not what to do about it: the GRANT that is missing. Pure. */
#ifndef PG_PRIVILEGE_H
#define PG_PRIVILEGE_H

#include "core/strbuf.h"

/*
 * Appends " Hint: GRANT … TO role …" for an error 42501 of the server, as far as its text tells the object; else where the
 * statements are. statement: its head; it tells which right on a table was wanted. Messages: server, aclchk.c, aclcheck_error().
 */
void pg_privilege_hint(const char *role, const char *statement, const char *message, struct strbuf *sb);

#endif
