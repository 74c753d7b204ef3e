/*
 * Binary form → the text that the server's output function prints, under the settings of pg_open():
 * extra_float_digits 1, DateStyle ISO, IntervalStyle postgres, TimeZone UTC, bytea_output hex, lc_monetary C.
 * For every built-in type, hstore, ltree and citext; recursive through arrays, ranges, multiranges,
 * composites and domains.
 *
 * Differs from the server in two places, on purpose: "char" above 127 is \ooo (before 16 the server sends the
 * bare byte, which is no UTF-8), and reg* names of user objects are always qualified (the target has its own
 * search_path).
 */
#ifndef PG_TYPES_TEXT_H
#define PG_TYPES_TEXT_H

#include "pg/types/catalog.h"

/* Appends to `out`. ERR_PROTOCOL: bytes do not parse; ERR_UNSUPPORTED: unknown binary form; ERR_NO_MEMORY:
 * `out` is full. `conn` as for pg_type_catalog_get. @thread owner of cat */
bool pg_value_to_text(struct pg_type_catalog *cat, struct pg_conn *conn, uint32_t oid, const void *bytes,
                      uint32_t len, struct strbuf *out, struct err *err) MUST_CHECK;

#endif
