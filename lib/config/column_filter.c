/* See column_filter.h. */
#include "config/column_filter.h"

#include <stdlib.h>
#include <string.h>

#include "config/pattern.h"
#include "core/alloc.h"

enum { PART_SCHEMA, PART_TABLE, PART_COLUMN, PART_COUNT };

struct column_pattern_parts {
    char *globs[PART_COUNT]; /* a column alone: the others are NULL and fit whatever is there */
};

struct column_filter {
    struct column_pattern_parts *items;
    size_t count;
};

static void parts_free(struct column_pattern_parts *parts)
{
    for (int i = 0; i < PART_COUNT; i++)
        free(parts->globs[i]);
    *parts = (struct column_pattern_parts){0};
}

/* One part, or three. */
static bool parts_read(const char *text, struct column_pattern_parts *ret)
{
    struct column_pattern_parts parts = {0};
    const char *at = text;
    int n = 0;
    for (bool more = true; more && n < PART_COUNT; n++) {
        if ((parts.globs[n] = pattern_read(&at)) == NULL)
            break;
        more = *at == '.';
        at += more;
    }
    if (at > text && at[-1] == '.' && at[-2] != '"')
        n = 0; /* nothing behind the dot */
    if (n == 1 && *at == '\0') {
        parts.globs[PART_COLUMN] = parts.globs[PART_SCHEMA];
        parts.globs[PART_SCHEMA] = NULL;
    } else if (n != PART_COUNT || *at != '\0') {
        parts_free(&parts);
        return false;
    }
    *ret = parts;
    return true;
}

bool column_pattern_fits(const char *text)
{
    struct column_pattern_parts parts;
    if (!parts_read(text, &parts))
        return false;
    parts_free(&parts);
    return true;
}

bool column_filter_new(const char *key, const char *const *patterns, size_t count, struct column_filter **ret,
                       struct err *err)
{
    struct column_filter *filter = xcalloc(1, sizeof *filter);
    filter->items = xcalloc(count, sizeof *filter->items);
    for (; filter->count < count; filter->count++) {
        if (!parts_read(patterns[filter->count], &filter->items[filter->count])) {
            err_set(err, ERR_CONFIG,
                    "%s: found \"%s\", expected schema.table.column or a column, each with '*'", key,
                    patterns[filter->count]);
            column_filter_free(filter);
            return false;
        }
    }
    *ret = filter;
    return true;
}

static bool part_fits(const char *glob, const char *text)
{
    return glob == NULL || pattern_matches(glob, text);
}

bool column_filter_matches(const struct column_filter *filter, const char *schema, const char *table,
                           const char *column)
{
    for (size_t i = 0; i < filter->count; i++) {
        char *const *globs = filter->items[i].globs;
        if (part_fits(globs[PART_SCHEMA], schema) && part_fits(globs[PART_TABLE], table) &&
            part_fits(globs[PART_COLUMN], column))
            return true;
    }
    return false;
}

bool column_filter_names(const struct column_filter *filter, const char *column)
{
    for (size_t i = 0; i < filter->count; i++) {
        if (part_fits(filter->items[i].globs[PART_COLUMN], column))
            return true;
    }
    return false;
}

bool column_filter_is_empty(const struct column_filter *filter)
{
    return filter->count == 0;
}

void column_filter_free(struct column_filter *filter)
{
    if (filter == NULL)
        return;
    for (size_t i = 0; i < filter->count; i++)
        parts_free(&filter->items[i]);
    free(filter->items);
    free(filter);
}
