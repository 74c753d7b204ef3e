/*
 * What a row's hash is: SHA-256, as 64 lower-case hexadecimal digits, over these texts in this order, each as its number of bytes (UTF-8, in
 * decimal), ':', the text, ',':
 *
 *     "crossfade audit 1", seq, prev, at, pipeline, cutover_id, event, os_user, db_user, host, detail
 *
 * seq in decimal; at as 2026-01-31T12:34:56.123456Z (UTC, six digits); prev of the first row is 64 zeros. docs/OPERATIONS.md shows the same
 * in SQL. No I/O. @thread any. Private to this module.
 */
#ifndef AUDIT_CHAIN_H
#define AUDIT_CHAIN_H

#include "audit/audit.h"

extern const char audit_first_prev[SHA256_HEX];

/* Of all but row->hash. False: no memory, or the library failed. */
bool audit_hash(const struct audit_row *row, char ret[SHA256_HEX], struct err *err) MUST_CHECK;

/* A walk along the chain. Begins zeroed but for verdict and expected. */
struct chain_walk {
    struct audit_verdict *verdict;
    struct audit_expected *expected;
    size_t expected_count;
};
/* The next row, in the order of their numbers. */
bool chain_walk_row(struct chain_walk *walk, const struct audit_row *row, struct err *err) MUST_CHECK;
/* Behind the last one. stored: how many rows with such numbers there are. */
void chain_walk_end(struct chain_walk *walk, int64_t stored);

#endif
