/*
 * From hashes that differ to rows and columns that differ: what both sides hold under the same keys is
 * fetched and compared column by column, so a difference is reported only after it was seen in the rows.
 * Private to this module.
 */
#ifndef COMPARE_ROWS_H
#define COMPARE_ROWS_H

#include "engine.h"

/* A row of a result of (key columns as text, hash): key_count cells, then the hash. */
struct row_ref {
    const struct rowset *res;
    int row;
};

struct row_list {
    struct row_ref *rows;
    size_t count;
};

struct row_list row_list_of(const struct rowset *res);
/* Drops from both lists what is in both, key and hash; sorts them. */
void row_lists_subtract(struct row_list lists[SIDE_COUNT], size_t key_count);
/* Explains what is left, by keys. complete: the lists came from all rows in question (else a row that turns
 * out to be equal says nothing). */
bool rows_explain(struct engine *engine, struct pair *pair, struct plan_table *pt,
                  const struct row_list lists[SIDE_COUNT], bool complete, struct err *err) MUST_CHECK;

/* Compares the rows of keys that count as one, the i-th of either list, although their texts differ. */
bool rows_explain_pairs(struct engine *engine, struct pair *pair, struct plan_table *pt,
                        const struct row_list lists[SIDE_COUNT], struct err *err) MUST_CHECK;

/* Tables without key: a row by its hash, with its copies on each side. */
struct hash_count {
    const char *hash;
    uint64_t copies[SIDE_COUNT];
};
bool rows_explain_hashes(struct engine *engine, struct pair *pair, struct plan_table *pt,
                         const struct hash_count *hashes, size_t count, struct err *err) MUST_CHECK;

#endif
