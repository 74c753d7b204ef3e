/*
 * SQL text of one table on one side. All values are parameters ($1…, text): first the lower bound's key
 * columns, then the upper bound's. No I/O. Private to this module.
 */
#ifndef COMPARE_SQLGEN_H
#define COMPARE_SQLGEN_H

#include "core/strbuf.h"
#include "plan.h"

/* A row whose binary form is longer goes into a chunk's hash as its own SHA-256: bounds the server's memory.
 */
#define ROW_INLINE_BYTES 512
/* A longer value is shown by its length, SHA-256 and beginning. */
#define VALUE_FETCH_CHARS 32768

struct range_bounds {
    bool lower, upper; /* is there one; [lower, upper) */
};

/* → count(*), SHA-256 in hex of the rows of the range in key order; at most limit_rows rows. */
void sql_range_digest(const struct plan_table *pt, enum side side, struct range_bounds bounds,
                      int64_t limit_rows, struct strbuf *out);
/* → count(*) of the range. */
void sql_range_count(const struct plan_table *pt, enum side side, struct range_bounds bounds,
                     struct strbuf *out);
/* → key columns as text, SHA-256 of the row in hex; in key order. */
void sql_range_rows(const struct plan_table *pt, enum side side, struct range_bounds bounds,
                    int64_t limit_rows, struct strbuf *out);
/* → key columns as text of the row that is offset_rows behind the lower bound; no row if there is none. */
void sql_range_walk(const struct plan_table *pt, enum side side, bool lower, int64_t offset_rows,
                    struct strbuf *out);

/* → bucket, count(*), SHA-256 in hex over the sorted row hashes; bucket_count is a power of two up to 65536.
 */
void sql_bucket_digests(const struct plan_table *pt, enum side side, unsigned bucket_count,
                        struct strbuf *out);
/* $1 = buckets (int[]). → key columns as text, row hash in hex; without key: row hash in hex, count(*). */
void sql_bucket_rows(const struct plan_table *pt, enum side side, unsigned bucket_count, int64_t limit_rows,
                     struct strbuf *out);

/* $1… = one text[] per key column. → position in these arrays (from 1), then all columns as shown. */
void sql_rows_by_key(const struct plan_table *pt, enum side side, struct strbuf *out);
/* $1 = row hashes in hex (text[]). → hash in hex, then all columns as shown; one row per hash. */
void sql_rows_by_hash(const struct plan_table *pt, enum side side, struct strbuf *out);

/* Adds one element of a PostgreSQL array literal; the caller puts the braces. */
void sql_array_add(struct strbuf *array, const char *text);

#endif
