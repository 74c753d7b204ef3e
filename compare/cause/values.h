/* The values of some rows in the forms in which they are compared: on both sides, and in the journal's records. Private to cause/. */
#ifndef COMPARE_CAUSE_VALUES_H
#define COMPARE_CAUSE_VALUES_H

#include "compare/cause/journal_rows.h"

#define VALUES_BATCH 20

struct values {
    const struct plan_table *pt;
    struct rowset *sides[SIDE_COUNT], *images;
    int row_of[SIDE_COUNT][VALUES_BATCH]; /* -1: not there */
    int image_of[VALUES_BATCH][IMAGES_PER_ROW];
};

/* keys: texts of the columns, row by row; rows: what the journal has of each (NULL: nothing is known). Both sides are recovered after a
 * failure. */
bool values_fetch(struct pair *pair, const struct plan_table *pt, const char *const *keys,
                  const struct wanted_row *const *rows, size_t count, struct values *ret,
                  struct err *err) MUST_CHECK;
void values_release(struct values *v);

/* NULL for null; only of a row that is there. */
const char *values_side(const struct values *v, enum side side, size_t row, size_t column);
const char *values_image(const struct values *v, size_t row, size_t image, size_t column);
bool values_same(const char *a, const char *b);
/* As it may be read by a server again, where the form is not its own text. */
const char *values_readable(const struct values *v, enum side side, size_t row, size_t column);

#endif
