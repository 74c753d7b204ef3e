/* Owns: what a request and the configuration say of rows, and whether it can be. See scope.h. */
#include "scope.h"

#include <stdlib.h>
#include <string.h>

#include "config/table_filter.h"
#include "core/alloc.h"
#include "maria/condition.h"
#include "sqlparse/condition.h"

static void texts_release(struct scope_texts *texts)
{
    for (size_t i = 0; i < texts->count; i++) {
        table_filter_free(texts->items[i].tables);
        free(texts->items[i].pattern);
        free(texts->items[i].text);
    }
    free(texts->items);
    *texts = (struct scope_texts){0};
}

/* "public.orders=created_at > '2026-01-01'" */
static bool read_texts(const struct config *cfg, const char *option, struct scope_texts *ret, struct err *err)
{
    size_t count;
    const char *const *list = config_list(cfg, option, &count);
    ret->items = xcalloc(count + 1, sizeof *ret->items);
    for (size_t i = 0; i < count; i++) {
        const char *equals = strchr(list[i], '=');
        struct scope_text *item = &ret->items[ret->count++];
        item->pattern = xstrndup(list[i], equals != NULL ? (size_t)(equals - list[i]) : strlen(list[i]));
        item->text = xstrdup(equals != NULL ? equals + 1 : "");
        if (!table_filter_new((const char *const[]){item->pattern}, 1, &item->tables, err))
            return err_wrap(err, "%s", option);
    }
    return true;
}

/* What both servers' SQL reads in the same way, as far as a look at the text can tell. */
static bool is_common(const char *text)
{
    return strpbrk(text, "\"\\") == NULL && strstr(text, "::") == NULL && strstr(text, "||") == NULL;
}

static bool check_target(const struct scope *scope, const char *what, const char *text, struct err *err)
{
    bool ok = scope->mariadb ? maria_condition_check(text, err) : sql_condition_check(text, err);
    return ok || err_wrap(err, "%s", what);
}

/* A condition that stands for both sides. */
static bool check_both(const struct scope *scope, const char *what, const char *text, bool own_target,
                       struct err *err)
{
    if (!sql_condition_check(text, err))
        return err_wrap(err, "%s", what);
    if (!scope->mariadb || own_target)
        return true;
    if (!is_common(text))
        return err_set(
            err, ERR_CONFIG,
            "%s: MariaDB reads \", \\, :: and || in another way: say the condition in its SQL with "
            "--target-where or compare.target_where",
            what);
    return check_target(scope, what, text, err);
}

static const char *text_of(const struct scope_texts *texts, const char *schema, const char *table)
{
    const char *text = NULL; /* the last that fits */
    for (size_t i = 0; i < texts->count; i++) {
        if (table_filter_matches(texts->items[i].tables, schema, table))
            text = texts->items[i].text;
    }
    return text;
}

/* Whether some pattern of compare.target_where is that of this condition. */
static bool has_target(const struct scope *scope, const char *pattern)
{
    for (size_t i = 0; i < scope->target_where.count; i++) {
        if (strcmp(scope->target_where.items[i].pattern, pattern) == 0)
            return true;
    }
    return false;
}

static bool check_texts(const struct scope *scope, struct err *err)
{
    for (size_t i = 0; i < scope->where.count; i++) {
        const struct scope_text *item = &scope->where.items[i];
        char *what = xasprintf("compare.where: %s", item->pattern);
        bool ok = check_both(scope, what, item->text, has_target(scope, item->pattern), err);
        free(what);
        if (!ok)
            return false;
    }
    for (size_t i = 0; i < scope->target_where.count; i++) {
        if (!check_target(scope, "compare.target_where", scope->target_where.items[i].text, err))
            return false;
    }
    const struct compare_request *req = scope->req;
    return (req->where == NULL || check_both(scope, "--where", req->where, req->target_where != NULL, err)) &&
           (req->target_where == NULL || check_target(scope, "--target-where", req->target_where, err));
}

static bool read_time(const char *flag, const char *text, char **ret, struct err *err)
{
    if (text == NULL)
        return true;
    *ret = scope_time(text);
    return *ret != NULL ||
           err_set(err, ERR_CONFIG,
                   "%s: found \"%.60s\", expected a time such as \"2026-01-31 12:00:00\" (UTC) or "
                   "\"2026-01-31T12:00:00+02:00\"",
                   flag, text);
}

bool scope_open(struct scope *scope, const struct config *cfg, const struct compare_request *req,
                struct err *err)
{
    *scope = (struct scope){.req = req,
                            .mariadb = dialect_of_url(config_text(cfg, "target.url")) == DIALECT_MARIADB};
    if (req->frozen || req->all_rows)
        return true;
    if (!read_texts(cfg, "compare.where", &scope->where, err) ||
        !read_texts(cfg, "compare.target_where", &scope->target_where, err) ||
        !read_texts(cfg, "compare.time_columns", &scope->time, err) || !check_texts(scope, err) ||
        !read_time("--since", req->since, &scope->since, err) ||
        !read_time("--until", req->until, &scope->until, err) ||
        (req->partition_count > 0 &&
         !table_filter_new(req->partitions, req->partition_count, &scope->partitions, err)))
        return false;
    scope->any = scope->where.count > 0 || req->where != NULL || scope->since != NULL ||
                 scope->until != NULL || scope->partitions != NULL;
    return !scope->any || req->building == BUILD_NOTHING ||
           err_set(err, ERR_CONFIG,
                   "--changed and --resume build on what was proven of all rows: not with a condition "
                   "(--all-rows leaves compare.where out)");
}

void scope_close(struct scope *scope)
{
    texts_release(&scope->where);
    texts_release(&scope->target_where);
    texts_release(&scope->time);
    free(scope->since);
    free(scope->until);
    table_filter_free(scope->partitions);
    *scope = (struct scope){0};
}

static bool check_patterns(const struct scope_texts *texts, const char *option, const struct catalog *source,
                           const struct table_filter *pipeline, struct err *err)
{
    for (size_t i = 0; i < texts->count; i++) {
        bool fits = false;
        for (size_t t = 0; t < source->table_count && !fits; t++)
            fits = table_filter_matches(pipeline, source->tables[t].schema, source->tables[t].name) &&
                   table_filter_matches(texts->items[i].tables, source->tables[t].schema,
                                        source->tables[t].name);
        if (!fits)
            return err_set(err, ERR_CONFIG, "%s: no table of the pipeline fits %s", option,
                           texts->items[i].pattern);
    }
    return true;
}

bool scope_check(const struct scope *scope, const struct catalog *source, const struct table_filter *pipeline,
                 const struct table_filter *wanted, struct err *err)
{
    size_t compared = 0;
    for (size_t i = 0; i < source->table_count; i++)
        compared += table_filter_matches(pipeline, source->tables[i].schema, source->tables[i].name) &&
                    (wanted == NULL ||
                     table_filter_matches(wanted, source->tables[i].schema, source->tables[i].name));
    if (scope->req->where != NULL && compared > 1)
        return err_set(
            err, ERR_CONFIG,
            "--where is a condition of one table, and %zu are compared: name it with --table, or put "
            "conditions into compare.where",
            compared);
    return check_patterns(&scope->where, "compare.where", source, pipeline, err) &&
           check_patterns(&scope->target_where, "compare.target_where", source, pipeline, err) &&
           check_patterns(&scope->time, "compare.time_columns", source, pipeline, err);
}

const char *scope_where(const struct scope *scope, enum side side, const char *schema, const char *table)
{
    const struct compare_request *req = scope->req;
    if (req->where != NULL)
        return side == SIDE_TARGET && req->target_where != NULL ? req->target_where : req->where;
    const char *source = text_of(&scope->where, schema, table);
    const char *target = text_of(&scope->target_where, schema, table);
    return source == NULL || side == SIDE_SOURCE || target == NULL ? source : target;
}

const char *scope_time_column(const struct scope *scope, const char *schema, const char *table)
{
    return scope->req->time_column != NULL ? scope->req->time_column : text_of(&scope->time, schema, table);
}
