/*
 * Columns named by patterns: schema.table.column, or a column alone (of whatever table). '*' stands for any number of characters, never for
 * the dots between the parts; double quotes take a part literally. @thread any (immutable once made)
 */
#ifndef CONFIG_COLUMN_FILTER_H
#define CONFIG_COLUMN_FILTER_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

struct column_filter;

/* ERR_CONFIG names the pattern that does not read; `key` is the option that they come from. No patterns: nothing matches. */
bool column_filter_new(const char *key, const char *const *patterns, size_t count, struct column_filter **ret,
                       struct err *err) MUST_CHECK;
/* Whether one pattern reads. */
bool column_pattern_fits(const char *text);
bool column_filter_matches(const struct column_filter *filter, const char *schema, const char *table,
                           const char *column);
/* A column of that name is among them in some table: for values whose table is not known. */
bool column_filter_names(const struct column_filter *filter, const char *column);
bool column_filter_is_empty(const struct column_filter *filter);
void column_filter_free(struct column_filter *filter); /* NULL allowed */

#endif
