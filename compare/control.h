/*
 * The control tables of the target (schemas/sql/target*.sql) as statements of each dialect. The columns of the results are the
 * same in both. Private to this module.
 */
#ifndef COMPARE_CONTROL_H
#define COMPARE_CONTROL_H

#include "session.h"

struct control {
    /* Makes them if they are missing; a role that may not make them is fine once they are there. */
    bool (*ensure)(struct session *target, struct err *err) MUST_CHECK;
    const char *clean_releases; /* $1 pipeline: rows of earlier days */
    const char *copied;         /* $1 pipeline → positions, all of them complete */
    const char *
        position; /* $1 pipeline → fence id, lsn, marker's kind, its nonce, shard, complete, pending; a row for each shard */
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
                            differences, $13 held us, reason */
    const char *comparison_prune;  /* $1 pipeline, $2 older than (us) */
    const char *comparison_levels; /* $1 pipeline → level, every_s of its newest run, when that began */
    const char *
        comparison_window; /* $1 pipeline, $2 level → runs, passed, failed, inconclusive, PASSes in a row, when the first of
                                      these began, when the last run ended, when the last PASS began, last verdict */
    const char *
        comparisons; /* $1 pipeline → of the newest 1,000: level, verdict, reason, started, finished, fence id, tables, rows,
                                differences, whole; newest first */
};

/* The window of a level: the same on both servers but for the table's name and how a time becomes microseconds. A parameter is a literal's
 * text, so that the whole is one. See comparison_window. */
#define COMPARISON_WINDOW_SQL(table, began_us, ended_us)                                                     \
    "WITH r AS (SELECT id, verdict, " began_us " AS began, " ended_us                                        \
    " AS ended, every_s, fence_id FROM " table                                                               \
    " WHERE pipeline = $1 AND level = $2 AND (whole OR verdict <> 'PASS')), "                                \
    "p AS (SELECT id, began, ended, LAG(began) OVER w AS before_us, LAG(ended) OVER w AS before_ended, "     \
    "fence_id < LAG(fence_id) OVER w AS other_journal, every_s FROM r WHERE verdict = 'PASS' "               \
    "WINDOW w AS (ORDER BY id)), "                                                                           \
    "k AS (SELECT GREATEST(COALESCE((SELECT MAX(id) + 1 FROM r WHERE verdict = 'FAIL'), 0), "                \
    "COALESCE((SELECT MAX(id) FROM p WHERE began - before_us > 3 * "                                         \
    "GREATEST(every_s * 1000000, before_ended - before_us) OR other_journal), 0)) AS first_id) "             \
    "SELECT COUNT(*), COUNT(CASE WHEN verdict = 'PASS' THEN 1 END), "                                        \
    "COUNT(CASE WHEN verdict = 'FAIL' THEN 1 END), COUNT(CASE WHEN verdict = 'INCONCLUSIVE' THEN 1 END), "   \
    "(SELECT COUNT(*) FROM p WHERE id >= (SELECT first_id FROM k)), "                                        \
    "(SELECT MIN(began) FROM p WHERE id >= (SELECT first_id FROM k)), "                                      \
    "MAX(ended), (SELECT MAX(began) FROM p), (SELECT verdict FROM r ORDER BY id DESC LIMIT 1) FROM r"

const struct control *control_of(const struct session *target);
/* Deletes rows that earlier comparisons left; $1 of the statement is the pipeline. A role that may not delete leaves them to one
 * that may: that is no error. Either side's session. */
bool control_delete_old(struct session *s, const char *sql, const char *pipeline, struct err *err) MUST_CHECK;

extern const struct control control_postgres, control_mariadb;

#endif
