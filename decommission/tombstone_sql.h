/* Statements that the ways of a tombstone share. Private to this module. */
#ifndef DECOMMISSION_TOMBSTONE_SQL_H
#define DECOMMISSION_TOMBSTONE_SQL_H

#include "decommission_internal.h"

/* A jsonb expression: the database's comment, null for none. */
#define SAVED_COMMENT                                                                                        \
    "pg_catalog.to_jsonb(pg_catalog.shobj_description((SELECT d.oid FROM pg_catalog.pg_database d WHERE "    \
    "d.datname = pg_catalog.current_database()), 'pg_database'))"
/* … where nothing else is replaced. $1: the role, $2: those that are let in. */
#define SAVED_COMMENT_ALONE                                                                                  \
    "SELECT pg_catalog.jsonb_build_object('comment', " SAVED_COMMENT                                         \
    ", 'role', $1::text, 'allowed', $2::text)::text"

bool tombstone_is_superuser(struct decom *d, bool *ret, struct err *err) MUST_CHECK;
/* ALTER DATABASE …: begins with these words and the name. */
void tombstone_add_database(struct strbuf *sql, const struct tombstone *t, const char *words);
void tombstone_add_comment(struct strbuf *sql, const struct tombstone *t);
/* The comment that was there before. */
bool tombstone_add_old_comment(struct strbuf *sql, const struct tombstone *t, struct err *err) MUST_CHECK;
/* Adds rows of one column, statements, that the query gives; $1: the role, $2: allowed, $3: the message, $4: what was saved. */
bool tombstone_add_from(struct strbuf *sql, const struct tombstone *t, const char *query,
                        struct err *err) MUST_CHECK;

#endif
