/*
 * crossfade.compared and what a proof rests on, as statements of each dialect of the target. The columns of the results are the same
 * in both. Private to compare/history and the dialects.
 */
#ifndef COMPARE_HISTORY_PROOF_SQL_H
#define COMPARE_HISTORY_PROOF_SQL_H

#include "session.h"

struct proof_sql {
    /* Makes the table if it is missing. *ret: it is there, and the role may use it; one that may not does without. */
    bool (*ensure)(struct session *target, bool *ret, struct err *err) MUST_CHECK;
    const char *place; /* $1 pipeline → fence id, its offset, lsn, attempt, complete: of the earliest shard */
    const char *
        load; /* $1 pipeline → schema, table, whole, upper (JSON array), rows, fence id, offset, lsn, attempt, read at (us), links,
                          shape */
    const char *
        last_end; /* $1 pipeline → when the last comparison of all tables began that came to its end (us); 0 = none did */
    const char *
        give_way; /* $1 pipeline, $2 rows (JSON array), $3 floor (ISO): takes away what `save` may replace; NULL = it does so itself */
    const char *save;   /* as above; leaves a proof of all rows that counts to another one of some */
    const char *forget; /* $1 pipeline, $2 rows */
    const char *types;  /* → a digest of all types' definitions; NULL: the columns' types say all */
    const char
        *storage; /* $1 oids ("{1,2}") → oid, digest of storage and columns; NULL: see plan_table.storage */
};

const struct proof_sql *proof_sql_of(const struct session *target);
extern const struct proof_sql proof_sql_postgres, proof_sql_mariadb;

#endif
