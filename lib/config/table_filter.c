/* Patterns of tables: parsed once into two globs each; matching is linear in patterns and allocates nothing.
 */
#include "config/table_filter.h"

#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/pattern.h"
#include "core/alloc.h"

struct pattern {
    bool exclude;
    char *schema, *table; /* globs */
};

struct table_filter {
    size_t count;
    struct pattern patterns[];
};

static bool read_pattern(const char *text, struct pattern *out, struct err *err)
{
    const char *at = text + (*text == '!');
    out->exclude = *text == '!';
    out->schema = pattern_read(&at);
    if (out->schema != NULL && *at == '.') {
        at++;
        out->table = pattern_read(&at);
    }
    if (out->table != NULL && *at == '\0')
        return true;
    return err_set(
        err, ERR_CONFIG,
        "source.tables: found pattern \"%s\", expected schema.table, such as public.*, !public.audit_* or "
        "\"My Schema\".\"T\"",
        text);
}

bool table_pattern_fits(const char *text)
{
    struct pattern pattern = {0};
    struct err err = ERR_INIT;
    bool good = read_pattern(text, &pattern, &err);
    free(pattern.schema);
    free(pattern.table);
    return good;
}

char *table_pattern_of_schema(const char *text, const char *schema)
{
    const char *not = *text == '!' ? "!" : "", *at = text + strlen(not );
    char *glob CLEANUP(free_ptr) = pattern_read(&at);
    return glob != NULL && pattern_matches(glob, schema) ? xasprintf("%s%s%s", not, schema, at) : NULL;
}

bool table_filter_new(const char *const *patterns, size_t count, struct table_filter **ret, struct err *err)
{
    bool from_all = count == 0 || patterns[0][0] == '!';
    struct table_filter *filter = xcalloc(1, sizeof *filter + (count + 1) * sizeof filter->patterns[0]);
    static const char any[] = {PATTERN_WILDCARD, '\0'};
    if (from_all)
        filter->patterns[filter->count++] = (struct pattern){.schema = xstrdup(any), .table = xstrdup(any)};
    for (size_t i = 0; i < count; i++) {
        if (!read_pattern(patterns[i], &filter->patterns[filter->count++], err)) {
            table_filter_free(filter);
            return false;
        }
    }
    *ret = filter;
    return true;
}

bool table_filter_from_config(const struct config *cfg, struct table_filter **ret, struct err *err)
{
    size_t count;
    const char *const *patterns = config_list(cfg, "source.tables", &count);
    return table_filter_new(patterns, count, ret, err);
}

static bool is_system_schema(const char *schema)
{
    return strncmp(schema, "pg_", 3) == 0 || strcmp(schema, "information_schema") == 0 ||
           strcmp(schema, "crossfade") == 0;
}

bool table_filter_matches(const struct table_filter *filter, const char *schema, const char *table)
{
    if (is_system_schema(schema))
        return false;
    for (size_t i = filter->count; i-- > 0;) {
        const struct pattern *p = &filter->patterns[i];
        if (pattern_matches(p->schema, schema) && pattern_matches(p->table, table))
            return !p->exclude;
    }
    return false;
}

void table_filter_free(struct table_filter *filter)
{
    if (filter == NULL)
        return;
    for (size_t i = 0; i < filter->count; i++) {
        free(filter->patterns[i].schema);
        free(filter->patterns[i].table);
    }
    free(filter);
}
