/*
 * A result in bounded memory: its rows are hashed as they stream by and forgotten. A row's hash is SHA-256 over its cells, each with
 * its length; rows are added up modulo 2^256 (a set with counts, whatever the order) and chained (a sequence). Of an ordered result
 * the sort keys are chained apart, and the rows that share the first or the last key are added up apart: with a LIMIT, those may be
 * other ones without either side being wrong. Private to compare. @thread owner
 */
#ifndef COMPARE_SHADOW_ROWS_HASH_H
#define COMPARE_SHADOW_ROWS_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/seal.h"

#define ROWS_KEYS_MAX 16

struct rows_sum {
    uint64_t part[4];
};

struct rows_hash {
    uint64_t rows;
    size_t columns;
    struct rows_sum all;     /* all rows */
    struct rows_sum first;   /* those of the first sort key, once there is a second */
    struct rows_sum middle;  /* without those of the first and last sort key */
    struct rows_sum rounded; /* all rows, floating-point cells rounded */
    uint8_t sequence[SHA256_BYTES], keys[SHA256_BYTES];
    bool has_keys;                  /* all sort keys stand in the output */
    bool vague_keys;                /* of a type whose values may sort as equal and be written differently */
    uint64_t first_rows, last_rows; /* how many share the first and the last sort key */
    /* while streaming */
    size_t key_columns[ROWS_KEYS_MAX];
    size_t key_count;
    struct rows_sum group; /* rows of the sort key at hand */
    char last_key[SHA256_HEX];
    uint64_t groups;
};

enum cell_kind {
    CELL_TEXT = 0, /* and all else that is compared byte by byte */
    CELL_BOOL,
    CELL_BYTES,
    CELL_DECIMAL, /* as a sort key, 1.0 is 1.00 */
    CELL_FLOAT,
    CELL_TIME
};

struct rows_cell {
    const char *bytes; /* NULL = null */
    size_t len;
    enum cell_kind kind;
};

void rows_hash_begin(struct rows_hash *h, size_t columns);
/* keys: columns of the output from 0, in the order of ORDER BY. */
void rows_hash_set_keys(struct rows_hash *h, const size_t *keys, size_t count);
bool rows_hash_add(struct rows_hash *h, const struct rows_cell *cells, struct err *err) MUST_CHECK;

enum rows_relation {
    ROWS_EQUAL = 0,
    ROWS_FLOATS, /* but for the last digits of floating-point numbers */
    ROWS_TIES,   /* only rows with equal sort keys stand in another order */
    ROWS_EDGE, /* with LIMIT or OFFSET: the same sort keys, and other rows only where it may have cut through rows that share one */
    ROWS_ORDER, /* the same rows in another order, and whether it is a right one cannot be told from the output */
    ROWS_DISORDER, /* the same rows, but their sort keys come in another order */
    ROWS_DIFFER
};

struct rows_query {
    bool ordered, limited, offset; /* at the top; limited: LIMIT or OFFSET */
};

enum rows_relation rows_hash_compare(const struct rows_hash *a, const struct rows_hash *b,
                                     const struct rows_query *query);

#endif
