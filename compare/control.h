/*
 * The control tables of the target (schemas/sql/target*.sql) as statements of each dialect. The columns of the results are the
 * same in both. Private to this module.
 */
#ifndef COMPARE_CONTROL_H
#define COMPARE_CONTROL_H

#include "session.h"

#define COMPARISON_ROWS     10000
#define COMPARISON_ROWS_SQL "10000"

struct control {
    /* Makes them if they are missing; a role that may not make them is fine once they are there. */
    bool (*ensure)(struct session *target, struct err *err) MUST_CHECK;
    const char *clean_releases; /* $1 pipeline: rows of earlier days */
    const char *copied;         /* $1 pipeline → positions, all of them complete */
    const char *
        position; /* $1 pipeline → fence id, lsn, marker's kind, its nonce, shard, complete, pending, place in the fence stream, commit time (us); a row for each shard */
    const char *release; /* $1 pipeline, $2 nonce */
    const char
        *verdict; /* $1 pipeline, fence id, lsn, scope, verdict, detail, started (ISO), $8 shapes (JSON) */
    const char *
        prune_verdicts; /* $1 pipeline: all but the newest hundreds, and those since the newest PASS of all tables */
    const char *table_there;  /* $1 name without schema or prefix: "dead_letter" → how many there are */
    const char *dead_letters; /* $1 pipeline → schema, table, count */
    const char
        *dual_writes; /* $1 pipeline → schema, table, since, decided for the source, for the target, open */
    const char *triggers; /* $1 schema, $2 table → name of each trigger that runs for what apply writes */
    const char *unique_indexes; /* $1 schema, $2 table → how many it has */
    /* crossfade.comparison; times are microseconds since 1970. */
    const char *
        comparison_add; /* $1 pipeline, level, every_s, started, finished, verdict, whole, fence id, lsn, tables, rows,
                            differences, $13 held us, reason, p95 of the source and of the target (us), lag us */
    const char *comparison_prune; /* $1 pipeline, $2 older than (us) */
    const char *
        comparison_rows; /* $1 pipeline, $2 an id → of the next COMPARISON_ROWS behind it: id, level, verdict, whole, every_s,
                                    started, finished, fence id */
    const char *
        comparisons; /* $1 pipeline → of the newest 1,000: level, verdict, reason, started, finished, fence id, tables, rows,
                                differences, whole, p95 of the source and of the target (us), lag us; newest first */
    /* What a cutover waits for (readiness.h). */
    const char *
        last_verdict; /* $1 pipeline → of the newest of all tables: verdict, age in s, scope; the newest part that FAILed since */
    const char *
        rest_owed; /* $1 pipeline → ms that are left of what the last comparisons owe a busy source (rest.h) */
    const char *held_letters;   /* $1 pipeline → how many */
    const char *open_conflicts; /* $1 pipeline → how many */
};

const struct control *control_of(const struct session *target);
/* Deletes rows that earlier comparisons left; $1 of the statement is the pipeline. A role that may not delete leaves them to one
 * that may: that is no error. Either side's session. */
bool control_delete_old(struct session *s, const char *sql, const char *pipeline, struct err *err) MUST_CHECK;

extern const struct control control_postgres, control_mariadb;

#endif
