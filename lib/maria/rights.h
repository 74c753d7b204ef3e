/* What the user of a session may do, as the server's catalog tells. @thread: as the connection's */
#ifndef MARIA_RIGHTS_H
#define MARIA_RIGHTS_H

#include "maria/conn.h"

/* Rights on a database, whole or on one table ("" = none), those on everything among them: ",SELECT,INSERT,". malloc'd, NULL = none. What comes by
 * way of a MariaDB role is not listed. */
bool maria_rights(struct maria_conn *conn, const char *database, const char *table, char **ret,
                  struct err *err) MUST_CHECK;
/* "SELECT, TRIGGER": those of `wanted` that `have` (NULL = none) lacks; malloc'd, NULL: nothing is missing. */
char *maria_rights_missing(const char *have, const char *const *wanted, size_t count);
/* 'me'@'host', as GRANT names it; malloc'd. */
bool maria_rights_user(struct maria_conn *conn, char **ret, struct err *err) MUST_CHECK;

#endif
