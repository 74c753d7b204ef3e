/*
 * Which tables belong to a pipeline: source.tables as patterns. A pattern is schema.table; '*' stands for any
 * number of characters (never for the dot between the two), '!' in front excludes, double quotes take a part
 * literally ("" is a quote inside). Letters are taken as they are: no folding. The last pattern that fits
 * decides. Without patterns, all tables belong but those of pg_catalog, information_schema, pg_toast…,
 * pg_temp… and crossfade, which never do. If the first pattern excludes, the list starts from all tables.
 * @thread any (immutable once made)
 */
#ifndef CONFIG_TABLE_FILTER_H
#define CONFIG_TABLE_FILTER_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

struct config;
struct table_filter;

/* ERR_CONFIG names the pattern that does not read. */
bool table_filter_new(const char *const *patterns, size_t count, struct table_filter **ret,
                      struct err *err) MUST_CHECK;
/* Whether one pattern reads. */
bool table_pattern_fits(const char *text);
/* The pattern, narrowed to one schema, whose name needs no quotes: malloc'd, NULL = it has nothing to do with that. */
char *table_pattern_of_schema(const char *text, const char *schema);
/* From source.tables. */
bool table_filter_from_config(const struct config *cfg, struct table_filter **ret,
                              struct err *err) MUST_CHECK;
bool table_filter_matches(const struct table_filter *filter, const char *schema, const char *table);
void table_filter_free(struct table_filter *filter); /* NULL allowed */

#endif
