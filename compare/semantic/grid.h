/*
 * The result of a query, whole and bounded, and the comparison of two of them. Pure; filled by fetch.c. Private to this module.
 */
#ifndef COMPARE_SEMANTIC_GRID_H
#define COMPARE_SEMANTIC_GRID_H

#include "compare/model.h"
#include "compare/semantic/value.h"

#define GRID_BYTES_MAX ((size_t)64 << 20)

struct grid {
    char **names;
    enum value_class *classes;
    size_t column_count;
    char **cells; /* row by row; NULL = null */
    size_t row_count, bytes;
    bool more; /* there were more rows, or bytes, than allowed */
};

void grid_add_column(struct grid *grid, const char *name, enum value_class of);
/* A row of nulls behind the others; its first cell's place. */
size_t grid_add_row(struct grid *grid);
/* Takes over `text`. False: the grid holds too much already (`more` is set). */
bool grid_set(struct grid *grid, size_t at, char *text);
const char *grid_cell(const struct grid *grid, size_t row, size_t column);
void grid_release(struct grid *grid);

struct grid_rules {
    const struct tolerances *tolerances; /* by names of the source's columns */
    bool ordered;                        /* rows are paired in the order in which they came */
    char *const *key;                    /* else by these columns; none: as a set with counts */
    size_t key_count;
    bool subset;         /* rows that only the target has mean nothing */
    const char *subject; /* "row" */
};

/* Source against target: PASS, FAIL with the rows that differ, or INCONCLUSIVE (a key that is not unique or not there). Sets rows_… too. */
void grid_compare(const struct grid sides[2], const struct grid_rules *rules, struct compare_check *check);

#endif
