/*
 * SQL text of one table on one side, by the side's dialect. A row is hashed over `record_send` where both sides are PostgreSQL;
 * else over a text: of each column its length in bytes, ':' and its canonical text; ':' alone is null. Bounds are parameters
 * ($1…, text): first the lower bound's key columns, then the upper bound's. No I/O. Private to this module.
 */
#ifndef COMPARE_SQLGEN_H
#define COMPARE_SQLGEN_H

#include "core/strbuf.h"
#include "plan.h"

/* A row whose binary form is longer goes into a chunk's hash as its own SHA-256: bounds the server's memory.
 */
#define ROW_INLINE_BYTES 512
/* A longer text stands in its row's text by its SHA-256 in hex, behind its own length: bounds the server's memory, too. */
#define VALUE_INLINE_BYTES 65536
/* A longer value is shown by its length, SHA-256 and beginning. */
#define VALUE_FETCH_CHARS 32768

struct range_bounds {
    bool lower, upper; /* is there one; [lower, upper) */
};

/* Keys to look up: cells row by row, pt->key_count each. */
struct key_list {
    const char *const *cells;
    size_t count;
};

/* One table for each dialect; the functions below say what is wanted. */
struct sql_ops {
    void (*range_digest)(const struct plan_table *pt, enum side side, struct range_bounds bounds,
                         int64_t limit_rows, struct strbuf *out);
    void (*range_count)(const struct plan_table *pt, enum side side, struct range_bounds bounds,
                        struct strbuf *out);
    void (*range_rows)(const struct plan_table *pt, enum side side, struct range_bounds bounds,
                       int64_t limit_rows, struct strbuf *out);
    void (*range_walk)(const struct plan_table *pt, enum side side, bool lower, int64_t offset_rows,
                       struct strbuf *out);
    void (*bucket_digests)(const struct plan_table *pt, enum side side, unsigned bucket_count,
                           struct strbuf *out);
    void (*bucket_rows)(const struct plan_table *pt, enum side side, unsigned bucket_count,
                        const char *buckets, int64_t limit_rows, struct strbuf *out);
    void (*rows_by_key)(const struct plan_table *pt, enum side side, const struct key_list *keys,
                        struct strbuf *out);
    void (*rows_by_hash)(const struct plan_table *pt, enum side side, const struct key_list *hashes,
                         struct strbuf *out);
};
extern const struct sql_ops sql_postgres, sql_mariadb;

/* For the dialects: all columns' canonical forms, then what is shown in place of those that have it; add_shown puts one, with a
 * comma before it. */
void sql_add_columns(const struct plan_table *pt, enum side side,
                     void (*add_shown)(const char *form, struct strbuf *out), struct strbuf *out);

/* For lookups by key, which see rows outside of a condition, too: what they read from, and the cell that says whether it holds. */
const char *sql_lookup_from(const struct plan_table *pt, enum side side);
void sql_add_inside(const struct plan_table *pt, enum side side, struct strbuf *out);

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
/* buckets: "1,7". → key columns as text, row hash in hex; without key: row hash in hex, count(*). */
void sql_bucket_rows(const struct plan_table *pt, enum side side, unsigned bucket_count, const char *buckets,
                     int64_t limit_rows, struct strbuf *out);

/* → position in the list (from 1), in order of it, then all columns' canonical forms, then what is shown in their place of those
 * that have it (plan_column.shown_at), then, with a condition, whether it holds (plan_table.inside_at). */
void sql_rows_by_key(const struct plan_table *pt, enum side side, const struct key_list *keys,
                     struct strbuf *out);
/* PostgreSQL's " FROM <the list> AS u(k0,…,n) JOIN t ON …": all rows by these keys, u.n being their places in the list (postgres/sqlgen.c). */
void sql_postgres_keys_join(const struct plan_table *pt, enum side side, const struct key_list *keys,
                            struct strbuf *out);
/* hashes: in hex, one cell each. → hash in hex, then columns as above; a row per hash, or some. */
void sql_rows_by_hash(const struct plan_table *pt, enum side side, const struct key_list *hashes,
                      struct strbuf *out);

/* Lookups of keys that the journal has named: seekable ones alone (plan_key). */
struct sql_seek_ops {
    void (*keys_digest)(const struct plan_table *pt, enum side side, const struct key_list *keys,
                        struct strbuf *out);
    void (*keys_rows)(const struct plan_table *pt, enum side side, const struct key_list *keys,
                      struct strbuf *out);
};
extern const struct sql_seek_ops sql_seek_postgres, sql_seek_mariadb;

/* keys: as the side's `seek_head` wants them. → count(*), SHA-256 in hex over the rows with these keys, in the order of the list. */
void sql_keys_digest(const struct plan_table *pt, enum side side, const struct key_list *keys,
                     struct strbuf *out);
/* As above. → key columns as text, SHA-256 of the row in hex. */
void sql_keys_rows(const struct plan_table *pt, enum side side, const struct key_list *keys,
                   struct strbuf *out);
/* The source, which is PostgreSQL. texts: pt->column_count for each row, as the server prints values; NULL = null. → position in the list
 * (from 1), in order of it, then what sql_rows_by_key() would give for such a row. */
void sql_values_forms(const struct plan_table *pt, const char *const *texts, size_t count,
                      struct strbuf *out);
/* PostgreSQL's own texts of keys → their canonical texts, row by row in the order of the list. For the source (postgres/sqlgen.c). */
void sql_key_texts(const struct plan_table *pt, const struct key_list *keys, struct strbuf *out);

#endif
