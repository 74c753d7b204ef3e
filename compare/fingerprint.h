/*
 * Fingerprints of whole tables: how many rows, and one hash over all of them in canonical forms, so that PostgreSQL and MariaDB give the same text
 * exactly when they hold the same. Each server reads everything at once, in a snapshot of its own: no fence, no ranges, no history. For who knows
 * that nobody writes, and asks for the rows by another way than a comparison goes (a rehearsal of a rollback).
 * @thread owner
 */
#ifndef COMPARE_FINGERPRINT_H
#define COMPARE_FINGERPRINT_H

#include "compare/session.h"

struct table_filter;

/* Adds "schema.table: 10 rows (hash)" and a line's end for each of the tables, sorted by name, as that side holds it. ERR_DATA: one is missing on
 * either side. */
bool fingerprints_add(const char *const urls[SIDE_COUNT], const struct table_filter *tables, enum side side,
                      struct strbuf *out, struct err *err) MUST_CHECK;

#endif
