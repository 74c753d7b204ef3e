/* What the files of this dialect share; and the fence's protocol on the source, which is always PostgreSQL. */
#ifndef COMPARE_POSTGRES_H
#define COMPARE_POSTGRES_H

struct session;
struct pg_conn;

/* The session's connection; the session keeps it. */
struct pg_conn *session_postgres_conn(const struct session *s);

#endif
