/*
 * A query of compare.shadow.queries, or of the file that compare.shadow.file names: {name, sql, target_sql, params}. params is a list
 * of values (one run) or a list of such lists (several). Values are texts; null is NULL.
 * @thread any
 */
#ifndef CONFIG_QUERY_ITEM_H
#define CONFIG_QUERY_ITEM_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

struct query_params {
    char **values; /* NULL = null */
    size_t count;
};

struct query_item {
    char *name, *sql, *target_sql; /* NULL = not given; sql always is */
    struct query_params *params;
    size_t params_count; /* 0: no parameters */
};

bool query_item_read(const char *text, struct query_item *ret, struct err *err) MUST_CHECK;
/* For the option table. */
bool query_item_check(const char *text, struct err *err) MUST_CHECK;
void query_item_release(struct query_item *item);
/* Calls each() for every query of a file's text: a YAML list, or JSON lines. `name` stands in messages. */
typedef void query_item_fn(void *ctx, const struct query_item *item);
bool query_items_read(const char *name, const char *text, size_t len, query_item_fn *each, void *ctx,
                      struct err *err) MUST_CHECK;

#endif
