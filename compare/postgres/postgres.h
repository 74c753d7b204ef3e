/* What the files of this dialect share; and the fence's protocol on the source, which is always PostgreSQL. */
#ifndef COMPARE_POSTGRES_H
#define COMPARE_POSTGRES_H

#include "catalog.h"

struct pg_conn;

/* The session's connection; the session keeps it. */
struct pg_conn *session_postgres_conn(const struct session *s);
/* partitions.c */
bool postgres_read_partitions(struct session *s, struct catalog *cat, struct err *err) MUST_CHECK;

#endif
