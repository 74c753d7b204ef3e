/*
 * What of a copy is done and what is next: the tables' parts (leaf partitions) in a fixed order, each cut into key
 * ranges from the lowest key on. Ranges are given out in order, and a fence is written only when all that were given out
 * are in the journal, so a place (part, key) says all of it: what lies before is copied, the rest is not.
 *
 * A table without key has no ranges: it is one chunk. Rows that were asked for by their keys are one, too.
 *
 * @thread: cap_plan_next() from any, the rest the owner's while no worker runs.
 */
#ifndef CAPTURE_COPY_PLAN_H
#define CAPTURE_COPY_PLAN_H

#include "capture/capture_internal.h"

/* In place of a part: all of a partitioned table. One without key is copied under one snapshot, whatever its partitions: its changes are
 * told apart by what that snapshot sees, and they come under the table's own name. */
#define CAP_WHOLE SIZE_MAX

/* (lower, upper] of a part's key; texts as the server writes them. */
struct cap_chunk {
    size_t table, part; /* of session->tables; part may be CAP_WHOLE */
    char **lower;       /* NULL = from the first row */
    char **upper;       /* NULL = to the last row */
    size_t key_count;   /* 0 = all rows */
};

void cap_chunk_release(struct cap_chunk *chunk);

struct cap_plan;

/* Tables and their parts are loaded; the queue says which of them. `place` NULL, not there or not begun: from the beginning. NULL
 * when the place was made over other tables, parts or keys; the copy of a table that was asked for then begins anew. */
struct cap_plan *cap_plan_new(const struct cap_session *s, const struct fence_copy *place);
void cap_plan_free(struct cap_plan *plan); /* NULL allowed */

bool cap_plan_done(const struct cap_plan *plan);
/* The next part's table has no key: it must be copied alone. */
bool cap_plan_next_is_keyless(const struct cap_plan *plan);
/* Its table. */
uint32_t cap_plan_next_oid(const struct cap_plan *plan);
/* Gives out the next range of about chunk_rows rows, its end found on `conn`. *ret_found false: nothing is left, or the next
 * part is one that must be copied alone and `alone` is not set. */
bool cap_plan_next(struct cap_plan *plan, struct pg_conn *conn, int64_t chunk_rows, bool alone,
                   struct cap_chunk *ret, bool *ret_found, struct err *err) MUST_CHECK;
/* Everything given out so far. Valid until the next call. */
void cap_plan_place(const struct cap_plan *plan, struct fence_copy *ret);

/* The table is to be copied from its first row on once more, with all that comes behind it in the order: what was given out of that
 * comes again. Nothing if its turn has not come. */
void cap_plan_rewind(struct cap_plan *plan, uint32_t oid);
/* Everything given out so far has its fence (or is on the way to it). */
void cap_plan_settle(struct cap_plan *plan);
/* All of the table was copied before the last cap_plan_settle(). A table that is copied to its end in the window at hand is not done:
 * transactions that its last snapshot sees come once more, and change rows that may be gone by then. */
bool cap_plan_table_done(const struct cap_plan *plan, uint32_t oid);

/* The key `rows` rows behind `lower` (NULL: the first one), on `conn`, by the index alone where the visibility map allows. *ret_key
 * NULL: there are fewer; else t->key_count texts, malloc'd each and all. */
bool cap_plan_walk(struct pg_conn *conn, const struct source_table *t, const struct source_part *part,
                   char *const *lower, int64_t rows, char ***ret_key, struct err *err) MUST_CHECK;

/* All rows have come by another way. */
void cap_plan_finish(struct cap_plan *plan);

/* SQL: the key's columns of alias p, and "(p.k1, …) > ('…', …)". */
void cap_plan_key_list(const struct source_table *t, bool as_text, struct strbuf *sql);
void cap_plan_key_bound(const struct source_table *t, const char *op, char *const *key, struct strbuf *sql);

#endif
