/* What others that speak to either kind of server take of a comparison's sessions: rows of PostgreSQL in the form that both have, and the
 * connection below a session on MariaDB. @thread: as the session's */
#ifndef COMPARE_BORROWED_H
#define COMPARE_BORROWED_H

#include "compare/session.h"

struct pg_result;
struct maria_conn;

/* Takes the result over: it lives as long as the rows. */
struct rowset *rowset_of_pg(struct pg_result *res);
/* A session on MariaDB under a program's name of its own, as its process list shows it. */
bool session_mariadb_as(const char *url, const char *program, struct session **ret,
                        struct err *err) MUST_CHECK;
/* Of a session on MariaDB; the session keeps it. */
struct maria_conn *session_mariadb_conn(const struct session *s);

#endif
