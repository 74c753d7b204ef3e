/*
 * Cells of two dialects in one form: what MariaDB and PostgreSQL write differently for the same value. Decimals and floating-point
 * numbers lose zeros at the end of their fraction, times too, and the zone of UTC; PostgreSQL's booleans are 1 and 0, its bytea is
 * bytes. Texts stay as they are. Private to compare. @thread any
 */
#ifndef COMPARE_SHADOW_CELL_TEXT_H
#define COMPARE_SHADOW_CELL_TEXT_H

#include "core/strbuf.h"
#include "rows_hash.h"

/* Cells afterwards point into `text`. */
bool cells_plain(struct rows_cell *cells, size_t count, struct strbuf *text, struct err *err) MUST_CHECK;

#endif
