/* Owns: which column each parameter of a statement is held against. */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "sqlparse_internal.h"

/* The tables of the SELECTs around a place, innermost first. */
struct scope {
    const json_t *from;
    const struct scope *outer;
};

struct finder {
    struct sql_statement *st;
    bool failed;
};

static const json_t *without_cast(const json_t *node)
{
    const json_t *cast;
    while ((cast = sql_node_of(node, "TypeCast")) != NULL)
        node = json_object_get(cast, "arg");
    return node;
}

static struct sql_param *param_of(struct finder *f, const json_t *node)
{
    const json_t *ref = sql_node_of(without_cast(node), "ParamRef");
    json_int_t number = json_integer_value(json_object_get(ref, "number"));
    if (ref == NULL || number < 1)
        return NULL;
    if (number > SQL_PARAMS_MAX) {
        f->failed = true;
        return NULL;
    }
    struct sql_statement *st = f->st;
    if ((size_t)number > st->param_count) {
        st->params = xrealloc(st->params, (size_t)number * sizeof *st->params);
        memset(st->params + st->param_count, 0, ((size_t)number - st->param_count) * sizeof *st->params);
        st->param_count = (size_t)number;
    }
    st->params[number - 1].used = true;
    return &st->params[number - 1];
}

static void add_table(struct sql_param *p, const json_t *range)
{
    const char *schema = sql_text_of(range, "schemaname");
    p->tables = xrealloc(p->tables, (p->table_count + 1) * sizeof *p->tables);
    p->tables[p->table_count++] = (struct sql_table_name){.schema = *schema != '\0' ? xstrdup(schema) : NULL,
                                                          .name = xstrdup(sql_text_of(range, "relname"))};
}

/* qualifier "": all tables; else the one that goes by this name. */
static void add_tables(struct sql_param *p, const json_t *tree, const char *qualifier)
{
    const json_t *range = sql_node_of(tree, "RangeVar"), *join = sql_node_of(tree, "JoinExpr"), *item;
    size_t i;
    if (range != NULL) {
        const char *alias = sql_text_of(json_object_get(range, "alias"), "aliasname");
        const char *name = *alias != '\0' ? alias : sql_text_of(range, "relname");
        if (*qualifier == '\0' || strcmp(name, qualifier) == 0)
            add_table(p, range);
    } else if (join != NULL) {
        add_tables(p, json_object_get(join, "larg"), qualifier);
        add_tables(p, json_object_get(join, "rarg"), qualifier);
    } else if (json_is_array(tree)) {
        json_array_foreach((json_t *)tree, i, item) add_tables(p, item, qualifier);
    }
}

static void bind_column(struct finder *f, const json_t *maybe_param, const json_t *maybe_column,
                        const struct scope *scope, const struct sql_param *how)
{
    const char *qualifier = "", *name;
    struct sql_param *p = param_of(f, maybe_param);
    const json_t *column = sql_node_of(without_cast(maybe_column), "ColumnRef");
    if (p == NULL || p->role == PARAM_COLUMN || column == NULL)
        return;
    name = sql_last_name(json_object_get(column, "fields"), &qualifier);
    for (; scope != NULL && p->table_count == 0; scope = scope->outer)
        add_tables(p, scope->from, qualifier);
    if (p->table_count == 0 || *name == '\0')
        return;
    p->role = PARAM_COLUMN;
    p->column = xstrdup(name);
    p->array = how->array;
    p->range = how->range;
    p->pattern = how->pattern;
}

static void bind_all(struct finder *f, const json_t *side, const json_t *column, const struct scope *scope,
                     const struct sql_param *how)
{
    const json_t *list = sql_node_of(side, "List"), *item;
    const json_t *array = sql_node_of(without_cast(side), "A_ArrayExpr");
    size_t i;
    if (array != NULL) { /* = ANY (ARRAY[$1, $2]) */
        struct sql_param each = *how;
        each.array = false;
        json_array_foreach(json_object_get(array, "elements"), i, item)
            bind_column(f, item, column, scope, &each);
    } else if (json_is_array(side) || list != NULL) {
        json_array_foreach((json_t *)(list != NULL ? json_object_get(list, "items") : side), i, item)
            bind_column(f, item, column, scope, how);
    } else {
        bind_column(f, side, column, scope, how);
    }
}

static void look_at_expression(struct finder *f, const json_t *e, const struct scope *scope)
{
    const char *kind = sql_text_of(e, "kind"), *before = "";
    const char *op = sql_last_name(json_object_get(e, "name"), &before);
    const json_t *left = json_object_get(e, "lexpr"), *right = json_object_get(e, "rexpr");
    struct sql_param how = {.array = strcmp(kind, "AEXPR_OP_ANY") == 0 || strcmp(kind, "AEXPR_OP_ALL") == 0,
                            .range = strstr(kind, "BETWEEN") != NULL || op[0] == '<' || op[0] == '>',
                            .pattern = strstr(kind, "LIKE") != NULL || op[0] == '~'};
    bool plain = strcmp(op, "=") == 0 || strcmp(op, "<>") == 0 || strcmp(op, "<") == 0 ||
                 strcmp(op, ">") == 0 || strcmp(op, "<=") == 0 || strcmp(op, ">=") == 0 ||
                 strcmp(kind, "AEXPR_OP") != 0;
    if (!plain)
        return;
    bind_all(f, right, left, scope, &how);
    bind_all(f, left, right, scope, &how);
}

static void set_role(struct finder *f, const json_t *node, enum sql_param_role role)
{
    struct sql_param *p = param_of(f, node);
    if (p != NULL && p->role == PARAM_UNKNOWN)
        p->role = role;
}

static void look_at_select(struct finder *f, const json_t *select)
{
    const json_t *target;
    size_t i;
    set_role(f, json_object_get(select, "limitCount"), PARAM_LIMIT);
    set_role(f, json_object_get(select, "limitOffset"), PARAM_OFFSET);
    json_array_foreach(json_object_get(select, "targetList"), i, target)
        set_role(f, json_object_get(sql_node_of(target, "ResTarget"), "val"), PARAM_VALUE);
}

static void walk(struct finder *f, const json_t *tree, const struct scope *scope)
{
    const char *key;
    json_t *value;
    size_t i;
    if (json_is_array(tree)) {
        json_array_foreach((json_t *)tree, i, value) walk(f, value, scope);
        return;
    }
    if (sql_node_of(tree, "ParamRef") != NULL)
        (void)param_of(f, tree);
    json_object_foreach((json_t *)tree, key, value)
    {
        bool is_select =
            strcmp(key, "SelectStmt") == 0 || strcmp(key, "larg") == 0 || strcmp(key, "rarg") == 0;
        struct scope inner = {.from = json_object_get(value, "fromClause"), .outer = scope};
        bool opens = is_select && inner.from != NULL;
        if (is_select && json_is_object(value))
            look_at_select(f, value);
        if (strcmp(key, "A_Expr") == 0)
            look_at_expression(f, value, scope);
        if (json_is_object(value) || json_is_array(value))
            walk(f, value, opens ? &inner : scope);
    }
}

bool sql_find_params(const json_t *tree, struct sql_statement *st)
{
    struct finder f = {.st = st};
    walk(&f, tree, NULL);
    return !f.failed;
}
