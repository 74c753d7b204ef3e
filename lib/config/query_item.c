/* Owns: reading queries with parameters. See query_item.h. */
#include "config/query_item.h"

#include <stdlib.h>
#include <string.h>

#include "config/yaml.h"
#include "core/alloc.h"

void query_item_release(struct query_item *item)
{
    for (size_t i = 0; i < item->params_count; i++) {
        for (size_t v = 0; v < item->params[i].count; v++)
            free(item->params[i].values[v]);
        free(item->params[i].values);
    }
    free(item->params);
    free(item->name);
    free(item->sql);
    free(item->target_sql);
    *item = (struct query_item){0};
}

static bool refuse(const struct yaml_node *at, const char *what, struct err *err)
{
    return err_set(err, ERR_CONFIG, "a query for compare shadow (line %d): %s", at->line, what);
}

static bool read_values(const struct yaml_node *list, struct query_item *item, struct err *err)
{
    item->params = xrealloc(item->params, (item->params_count + 1) * sizeof *item->params);
    struct query_params *p = &item->params[item->params_count++];
    *p = (struct query_params){.values = xcalloc(list->child_count + 1, sizeof *p->values)};
    for (size_t i = 0; i < list->child_count; i++) {
        const struct yaml_node *v = &list->children[i];
        if (v->kind != YAML_SCALAR && v->kind != YAML_NULL)
            return refuse(v, "params: found a list or map as a value, expected text, a number or null", err);
        p->values[p->count++] = v->kind == YAML_SCALAR ? xstrdup(v->text) : NULL;
    }
    return true;
}

static bool read_params(const struct yaml_node *node, struct query_item *item, struct err *err)
{
    bool lists = node->kind == YAML_LIST && node->child_count > 0 && node->children[0].kind == YAML_LIST;
    if (node->kind != YAML_LIST)
        return refuse(node, "params: expected a list of values, or a list of such lists", err);
    for (size_t i = 0; lists && i < node->child_count; i++) {
        if (node->children[i].kind != YAML_LIST)
            return refuse(node, "params: found values beside lists of values", err);
        if (!read_values(&node->children[i], item, err))
            return false;
    }
    return lists || read_values(node, item, err);
}

static bool read_node(const struct yaml_node *node, struct query_item *item, struct err *err)
{
    if (node->kind == YAML_SCALAR) { /* nothing but the text */
        item->sql = xstrdup(node->text);
        return true;
    }
    if (node->kind != YAML_MAP)
        return refuse(node, "expected a map with sql, or the text of a query", err);
    for (size_t i = 0; i < node->child_count; i++) {
        const struct yaml_node *child = &node->children[i];
        char **text = strcmp(child->key, "name") == 0         ? &item->name
                      : strcmp(child->key, "sql") == 0        ? &item->sql
                      : strcmp(child->key, "target_sql") == 0 ? &item->target_sql
                                                              : NULL;
        if (text == NULL && strcmp(child->key, "params") != 0)
            return refuse(child, "found an unknown key, expected name, sql, target_sql or params", err);
        if (text == NULL && !read_params(child, item, err))
            return false;
        if (text != NULL && (child->kind != YAML_SCALAR || *text != NULL))
            return refuse(child, "name, sql and target_sql are texts, each once", err);
        if (text != NULL)
            *text = xstrdup(child->text);
    }
    return item->sql != NULL || refuse(node, "sql is missing", err);
}

static bool read_item(const struct yaml_node *node, struct query_item *ret, struct err *err)
{
    struct query_item item = {0};
    if (!read_node(node, &item, err)) {
        query_item_release(&item);
        return false;
    }
    *ret = item;
    return true;
}

bool query_item_read(const char *text, struct query_item *ret, struct err *err)
{
    struct yaml_node *root = NULL;
    if (!yaml_parse("compare.shadow.queries", text, strlen(text), &root, err))
        return false;
    bool ok = read_item(root, ret, err);
    yaml_free(root);
    return ok;
}

bool query_item_check(const char *text, struct err *err)
{
    struct query_item item;
    if (!query_item_read(text, &item, err))
        return false;
    query_item_release(&item);
    return true;
}

static bool hand_out(const struct yaml_node *node, query_item_fn *each, void *ctx, struct err *err)
{
    struct query_item item;
    if (!read_item(node, &item, err))
        return false;
    each(ctx, &item);
    query_item_release(&item);
    return true;
}

static bool read_line(const char *name, size_t number, const char *line, size_t len, query_item_fn *each,
                      void *ctx, struct err *err)
{
    struct yaml_node *root = NULL;
    bool ok = yaml_parse(name, line, len, &root, err) && hand_out(root, each, ctx, err);
    yaml_free(root);
    return ok || err_wrap(err, "line %zu", number);
}

bool query_items_read(const char *name, const char *text, size_t len, query_item_fn *each, void *ctx,
                      struct err *err)
{
    struct yaml_node *root = NULL;
    bool ok = true;
    size_t blank = strspn(text, " \t\r\n"), number = 1;
    if (text[blank] != '{') {
        if (!yaml_parse(name, text, len, &root, err))
            return false;
        if (root->kind != YAML_LIST)
            ok = refuse(root, "expected a list of queries, or a JSON object on each line", err);
        for (size_t i = 0; ok && i < root->child_count; i++)
            ok = hand_out(&root->children[i], each, ctx, err);
        yaml_free(root);
        return ok || err_wrap(err, "%s", name);
    }
    for (const char *p = text, *end = text + len; ok && p < end; number++) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        size_t n = newline != NULL ? (size_t)(newline - p) : (size_t)(end - p);
        if (strspn(p, " \t\r") < n)
            ok = read_line(name, number, p, n, each, ctx, err);
        p += n + 1;
    }
    return ok;
}
