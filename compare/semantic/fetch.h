/* From a session's rows to a grid, bounded. Private to this module. */
#ifndef COMPARE_SEMANTIC_FETCH_H
#define COMPARE_SEMANTIC_FETCH_H

#include "compare/semantic/grid.h"
#include "compare/semantic/phrases.h"
#include "compare/session.h"

/* Runs sql[side] on each side at the same time; adds to *duration_us. max_rows: a result with more has `more` set and only that many. After
 * a failure both sides can go on, unless it is ERR_CONNECT; the error names the side. */
bool fetch_pair(struct pair *pair, struct strbuf sql[SIDE_COUNT], size_t max_rows,
                struct grid ret[SIDE_COUNT], int64_t *duration_us, struct err *err) MUST_CHECK;
/* On one side. */
bool fetch_side(struct pair *pair, enum side side, struct strbuf *sql, size_t max_rows, struct grid *ret,
                int64_t *duration_us, struct err *err) MUST_CHECK;
const struct phrases *phrases_of(const struct session *session);

/* The column's place; NONE. Names as written first, else without regard to case where the server does not care. */
#define NO_COLUMN SIZE_MAX
size_t grid_column(const struct grid *grid, const char *name);
/* A cell as a number of rows; 0 for null. */
uint64_t grid_count(const struct grid *grid, size_t row, size_t column);

#endif
