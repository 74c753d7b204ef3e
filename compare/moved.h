/* What source.filters left of a source table, as it should stand on the target: rows, columns, names, masks. Private to this module. */
#ifndef COMPARE_MOVED_H
#define COMPARE_MOVED_H

#include "catalog.h"
#include "compare/compare.h"

struct table_rules;

/* Which rows, in SQL over the source's own columns. */
struct moved_rows {
    const char *where;  /* NULL or "": all */
    const char *inside; /* NULL, or what a column SCOPE_INSIDE says of each row (scope.h) */
};

/* NULL: no rule fits. Else SQL to stand behind FROM, as alias t, of these rows (NULL: all), and *ret is the table as that shows it (moved_release). What cannot
 * be compared is left out, and told in notes of `out`. malloc'd. */
char *moved_table(const struct cat_table *source, const struct table_rules *rules,
                  const struct moved_rows *rows, struct cat_table *ret, struct compare_table *out);
void moved_release(struct cat_table *moved);

#endif
