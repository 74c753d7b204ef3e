/* Owns: the SQL of one table's rows inside a scope. See scope.h. The server folds such a query into the one around it: indexes serve
 * the key's range as well as the condition. */
#include <stdlib.h>
#include <string.h>

#include "config/table_rules.h"
#include "core/alloc.h"
#include "mariadb/bounds.h"
#include "model.h"
#include "moved.h"
#include "scope.h"
#include "semantic/phrases.h"

/* One side's condition, and how it is read. */
struct part_of {
    const struct catalog *cat;
    const struct cat_table *table;
    const struct phrases *phrases;
    struct strbuf where;  /* SQL; "" = all rows of `named` */
    struct strbuf inside; /* SQL over all rows of the table: the same rows */
    char *named;          /* what the rows inside are read from */
};

/* To both conditions: it says of a row what it says, wherever the row is read. */
static void add_both(struct part_of *of, const char *sql)
{
    struct strbuf *both[] = {&of->where, &of->inside};
    for (size_t i = 0; i < ARRAY_LEN(both); i++)
        strbuf_addf(both[i], "%s(%s\n)", both[i]->len > 0 ? " AND " : "", sql);
}

static void add_time(struct part_of *of, const char *column, const char *op, const char *time)
{
    struct strbuf test = STRBUF_INIT(1024);
    if (time == NULL)
        return;
    of->phrases->ident(&test, column);
    strbuf_addf(&test, " %s %s'%s%s'", op, of->phrases->timestamp, time, of->phrases->zone);
    add_both(of, test.data);
    strbuf_release(&test);
}

static bool add_times(const struct scope *scope, struct part_of sides[SIDE_COUNT],
                      const struct table_rules *rules, char **ret_reason)
{
    const struct cat_table *source = sides[SIDE_SOURCE].table;
    if (scope->since == NULL && scope->until == NULL)
        return true;
    const char *column = scope_time_column(scope, source->schema, source->name);
    if (column == NULL) {
        *ret_reason = xstrdup("by which column --since and --until go is not known: --time-column, or "
                              "compare.time_columns; or leave the table out");
        return false;
    }
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        const char *name =
            side == SIDE_SOURCE ? column : table_rules_rename(rules, source->schema, source->name, column);
        if (cat_table_column(sides[side].table, name) == NULL) {
            *ret_reason =
                xasprintf("the %s has no column %s (--since and --until go by it)", side_name(side), name);
            return false;
        }
        add_time(&sides[side], name, ">=", scope->since);
        add_time(&sides[side], name, "<", scope->until);
    }
    return true;
}

/* The rows of one leaf: read from it alone. */
static void add_leaf(struct part_of *of, const struct cat_partition *leaf)
{
    struct cat_table named = {.schema = leaf->schema, .name = leaf->name};
    free(of->named);
    of->named = catalog_named(of->cat, &named);
    strbuf_adds(&of->inside, of->inside.len > 0 ? " AND " : "");
    strbuf_addf(&of->inside, "tableoid = %u::oid", leaf->oid);
}

static const struct cat_partition *same_leaf(const struct part_of *target, const struct cat_partition *part)
{
    for (size_t i = 0; i < target->cat->partition_count; i++) {
        const struct cat_partition *p = &target->cat->partitions[i];
        if (p->root == target->table->oid && strcmp(p->name, part->name) == 0 &&
            strcmp(p->schema, part->schema) == 0 && strcmp(p->bound, part->bound) == 0)
            return p;
    }
    return NULL;
}

/* By the bounds on the source, whether the target is partitioned or not; hash values are told only where it is, alike. */
static bool add_partition(struct part_of sides[SIDE_COUNT], const struct cat_partition *part, bool moved,
                          char **ret_reason)
{
    struct part_of *target = &sides[SIDE_TARGET];
    add_leaf(&sides[SIDE_SOURCE], part);
    if (moved) {
        *ret_reason =
            xstrdup("source.filters speaks of this table: its partitions are compared together only");
        return false;
    }
    if (target->cat->dialect == DIALECT_MARIADB) {
        char *bounds = mariadb_bounds(part->constraint, ret_reason);
        if (bounds != NULL)
            add_both(target, bounds);
        free(bounds);
        return bounds != NULL;
    }
    if (strstr(part->constraint, "satisfies_hash_partition(") == NULL) {
        add_both(target, part->constraint);
        return true;
    }
    const struct cat_partition *leaf = same_leaf(target, part);
    if (leaf != NULL)
        add_leaf(target, leaf);
    else
        *ret_reason =
            xstrdup("partitioned by hash: the target has no partition of this name and these bounds, "
                    "and nothing else tells its rows");
    return leaf != NULL;
}

/* "(SELECT a, b FROM … WHERE …) AS t" */
static char *rows_sql(const struct part_of *of, const char *named, const char *where, const char *mark)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql, "(SELECT ");
    for (size_t i = 0; i < of->table->column_count; i++) {
        strbuf_adds(&sql, i > 0 ? ", " : "");
        of->phrases->ident(&sql, of->table->columns[i].name);
    }
    if (mark != NULL)
        strbuf_addf(&sql, ", ((%s) IS TRUE) AS " SCOPE_INSIDE, mark);
    strbuf_addf(&sql, " FROM %s", named);
    if (where != NULL && *where != '\0')
        strbuf_addf(&sql, " WHERE %s", where);
    strbuf_adds(&sql, ") AS t");
    return strbuf_detach(&sql);
}

static char *moved_sql(const struct part_of *of, const struct table_rules *rules,
                       const struct moved_rows *rows)
{
    struct cat_table shown = {0};
    struct compare_table notes = {0}; /* told by the plan already */
    char *sql = moved_table(of->table, rules, rows, &shown, &notes);
    moved_release(&shown);
    table_release(&notes);
    return sql;
}

/* What people read. */
static char *told(const struct part_of *of, const struct cat_partition *part)
{
    struct strbuf sb = STRBUF_INIT(STRBUF_SQL_MAX);
    if (part != NULL && of->cat->dialect == DIALECT_POSTGRES)
        strbuf_addf(&sb, "partition %s.%s", part->schema, part->name);
    if (of->where.len > 0) {
        strbuf_adds(&sb, sb.len > 0 ? " AND " : "");
        strbuf_adds(&sb, of->where.data);
    }
    return strbuf_detach(&sb);
}

static void say(struct part_of sides[SIDE_COUNT], bool moved, const struct table_rules *rules,
                const struct cat_partition *part, struct table_scope *ret)
{
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        struct part_of *of = &sides[side];
        ret->where[side] = told(of, side == SIDE_SOURCE ? part : NULL);
        if (side == SIDE_SOURCE && moved) {
            ret->from[side] = moved_sql(of, rules, &(struct moved_rows){.where = of->where.data});
            ret->whole[side] = moved_sql(of, rules, &(struct moved_rows){.inside = of->inside.data});
            continue;
        }
        char *named = catalog_named(of->cat, of->table);
        ret->from[side] = rows_sql(of, of->named, of->where.data, NULL);
        ret->whole[side] = rows_sql(of, named, NULL, of->inside.data);
        free(named);
    }
}

bool scope_of_table(const struct scope *scope, const struct catalog cats[SIDE_COUNT],
                    const struct cat_table *source, const struct cat_table *target,
                    const struct cat_partition *part, const struct table_rules *rules,
                    struct table_scope *ret, char **ret_reason)
{
    const struct cat_table *tables[SIDE_COUNT] = {source, target};
    struct part_of sides[SIDE_COUNT];
    bool moved = table_rules_any(rules, source->schema, source->name);
    *ret = (struct table_scope){0};
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        const char *where = scope_where(scope, side, source->schema, source->name);
        sides[side] = (struct part_of){.cat = &cats[side],
                                       .table = tables[side],
                                       .phrases = phrases_of_dialect(cats[side].dialect),
                                       .where = STRBUF_INIT(STRBUF_SQL_MAX),
                                       .inside = STRBUF_INIT(STRBUF_SQL_MAX),
                                       .named = catalog_named(&cats[side], tables[side])};
        if (where != NULL)
            add_both(&sides[side], where);
    }
    bool ok = add_times(scope, sides, rules, ret_reason) &&
              (part == NULL || add_partition(sides, part, moved, ret_reason));
    if (part != NULL)
        ret->partition = xasprintf("%s.%s", part->schema, part->name);
    if (ok && sides[SIDE_SOURCE].inside.len > 0)
        say(sides, moved, rules, part, ret);
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        strbuf_release(&sides[side].where);
        strbuf_release(&sides[side].inside);
        free(sides[side].named);
    }
    return ok;
}

void table_scope_release(struct table_scope *of)
{
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        free(of->where[side]);
        free(of->from[side]);
        free(of->whole[side]);
    }
    free(of->partition);
    *of = (struct table_scope){0};
}
