/* Owns: pairing the tables of both sides, and the choice of key and method. */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

#include "canonical.h"
#include "config/table_filter.h"
#include "core/alloc.h"
#include "core/strbuf.h"
#include "moved.h"
#include "pg/conn.h"

static char *from_clause(const struct cat_table *t)
{
    struct strbuf sb = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sb, t->partitioned ? "" : "ONLY "); /* inheritance children are tables of their own */
    pg_quote_table(&sb, t->schema, t->name);
    strbuf_adds(&sb, " AS t");
    return strbuf_detach(&sb);
}

static void add_column(struct plan_table *pt, const struct cat_column *source,
                       const struct cat_column *target)
{
    struct plan_column column = {.name = xstrdup(source->name)};
    char *note = NULL;
    canonical_forms(source, target, column.form, &note);
    if (note != NULL)
        table_add_note(&pt->out, "%s", note);
    free(note);
    pt->columns = xrealloc(pt->columns, (pt->column_count + 1) * sizeof *pt->columns);
    pt->columns[pt->column_count++] = column;
}

static void pair_columns(struct plan_table *pt, const struct cat_table *source,
                         const struct cat_table *target)
{
    for (size_t i = 0; i < source->column_count; i++) {
        const struct cat_column *s = &source->columns[i];
        const struct cat_column *t = cat_table_column(target, s->name);
        if (t == NULL && !s->generated)
            table_conclude(&pt->out, VERDICT_FAIL, "column %s is missing on the target", s->name);
        else if (t == NULL || s->generated || t->generated)
            table_add_note(&pt->out, "column %s was not compared: generated on the %s", s->name,
                           s->generated ? (t != NULL && t->generated ? "source and the target" : "source")
                                        : "target");
        else
            add_column(pt, s, t);
    }
    for (size_t i = 0; i < target->column_count; i++) {
        if (cat_table_column(source, target->columns[i].name) == NULL)
            table_add_note(&pt->out, "column %s is on the target only", target->columns[i].name);
    }
    pt->out.column_count = pt->column_count;
    if (pt->column_count == 0)
        table_conclude(&pt->out, VERDICT_INCONCLUSIVE, "no column is on both sides");
}

static bool same_columns(const struct cat_key *a, const struct cat_key *b)
{
    if (a->column_count != b->column_count)
        return false;
    for (size_t i = 0; i < a->column_count; i++) {
        if (strcmp(a->columns[i], b->columns[i]) != 0)
            return false;
    }
    return true;
}

static bool has_key(const struct cat_table *t, const struct cat_key *key)
{
    for (size_t i = 0; i < t->key_count; i++) {
        if (same_columns(&t->keys[i], key))
            return true;
    }
    return false;
}

/* The source's first key that the target has as well, else the first of those whose columns the target has.
 */
static const struct cat_key *choose_key(const struct cat_table *source, const struct cat_table *target)
{
    for (size_t i = 0; i < source->key_count; i++) {
        if (has_key(target, &source->keys[i]))
            return &source->keys[i];
    }
    for (size_t i = 0; i < source->key_count; i++) {
        bool there = true;
        for (size_t k = 0; k < source->keys[i].column_count; k++)
            there = there && cat_table_column(target, source->keys[i].columns[k]) != NULL;
        if (there)
            return &source->keys[i];
    }
    return NULL;
}

static void mark_key_column(struct plan_table *pt, const char *name)
{
    for (size_t i = 0; i < pt->column_count; i++) {
        if (strcmp(pt->columns[i].name, name) == 0)
            pt->columns[i].is_key = true;
    }
}

static void plan_keys(struct plan_table *pt, const struct cat_table *source, const struct cat_table *target)
{
    const struct cat_key *key = choose_key(source, target);
    if (key == NULL) {
        table_add_note(&pt->out, "no key: compared as a set of rows with their counts");
        return;
    }
    pt->target_indexed = pt->ranges = has_key(target, key);
    pt->keys = xcalloc(key->column_count, sizeof *pt->keys);
    pt->out.keys = xcalloc(key->column_count, sizeof *pt->out.keys);
    for (size_t i = 0; i < key->column_count; i++) {
        const struct cat_column *s = cat_table_column(source, key->columns[i]);
        const struct cat_column *t = cat_table_column(target, key->columns[i]);
        pt->keys[i] =
            (struct plan_key){.name = xstrdup(s->name), .type = {xstrdup(s->type), xstrdup(t->type)}};
        pt->out.keys[i] = xstrdup(s->name);
        pt->ranges = pt->ranges && canonical_sorts_alike(s, t);
        mark_key_column(pt, s->name);
    }
    pt->key_count = pt->out.key_count = key->column_count;
    if (!pt->ranges)
        table_add_note(&pt->out, "%s",
                       pt->target_indexed
                           ? "keys do not surely sort alike on both sides: compared by hash buckets"
                           : "the target has no unique index for the key: compared by hash buckets");
}

static void plan_pair(struct plan_table *pt, const struct cat_table *source, const struct cat_table *target,
                      const struct table_rules *rules, bool publication_exists)
{
    if (target == NULL) {
        table_conclude(&pt->out, VERDICT_FAIL, "the table is missing on the target");
        return;
    }
    pt->oid[SIDE_SOURCE] = source->oid;
    pt->oid[SIDE_TARGET] = target->oid;
    struct cat_table moved = {0};
    char *from_moved = moved_table(source, rules, &moved, &pt->out);
    pt->from[SIDE_SOURCE] = from_moved != NULL ? from_moved : from_clause(source);
    pt->from[SIDE_TARGET] = from_clause(target);
    pt->tree[SIDE_SOURCE] = source->partitioned;
    pt->tree[SIDE_TARGET] = target->partitioned;
    pt->rows_estimate = source->rows_estimate;
    if (!source->logged)
        table_conclude(&pt->out, VERDICT_INCONCLUSIVE,
                       "unlogged on the source: its changes are not in the WAL");
    else if (publication_exists && !source->published)
        table_conclude(&pt->out, VERDICT_INCONCLUSIVE,
                       "not in the publication: its changes are not captured");
    if (pt->out.verdict == VERDICT_UNKNOWN) {
        pair_columns(pt, from_moved != NULL ? &moved : source, target);
        plan_keys(pt, from_moved != NULL ? &moved : source, target);
        pt->comparable = pt->column_count > 0;
    }
    moved_release(&moved);
}

static struct plan_table *plan_add(struct plan *plan, const char *schema, const char *table)
{
    struct plan_table *pt = xcalloc(1, sizeof *pt);
    pt->out.schema = xstrdup(schema);
    pt->out.table = xstrdup(table);
    pt->out.reason = xstrdup("");
    pthread_mutex_init(&pt->lock, NULL);
    plan->tables = xrealloc(plan->tables, (plan->count + 1) * sizeof *plan->tables);
    plan->tables[plan->count++] = pt;
    return pt;
}

static int by_work(const void *a, const void *b)
{
    const struct plan_table *x = *(struct plan_table *const *)a, *y = *(struct plan_table *const *)b;
    if (x->ranges != y->ranges) /* buckets are one long job: first */
        return x->ranges ? 1 : -1;
    return x->rows_estimate == y->rows_estimate ? 0 : x->rows_estimate > y->rows_estimate ? -1 : 1;
}

void plan_make(const struct catalog cats[SIDE_COUNT], bool publication_exists,
               const struct table_filter *pipeline_filter, const struct table_rules *rules,
               const struct table_filter *wanted, struct plan *ret)
{
    struct plan plan = {.full = true};
    for (size_t i = 0; i < cats[SIDE_SOURCE].table_count; i++) {
        const struct cat_table *source = &cats[SIDE_SOURCE].tables[i];
        if (!table_filter_matches(pipeline_filter, source->schema, source->name))
            continue;
        if (wanted != NULL && !table_filter_matches(wanted, source->schema, source->name)) {
            plan.full = false;
            continue;
        }
        const struct cat_table *target = catalog_find(&cats[SIDE_TARGET], source->schema, source->name);
        plan_pair(plan_add(&plan, source->schema, source->name), source, target, rules, publication_exists);
    }
    for (size_t i = 0; i < cats[SIDE_TARGET].table_count; i++) {
        const struct cat_table *target = &cats[SIDE_TARGET].tables[i];
        if (!table_filter_matches(pipeline_filter, target->schema, target->name) ||
            (wanted != NULL && !table_filter_matches(wanted, target->schema, target->name)) ||
            catalog_find(&cats[SIDE_SOURCE], target->schema, target->name) != NULL)
            continue;
        table_conclude(&plan_add(&plan, target->schema, target->name)->out, VERDICT_FAIL,
                       "the table is missing on the source");
    }
    if (plan.count > 1)
        qsort(plan.tables, plan.count, sizeof *plan.tables, by_work);
    *ret = plan;
}

static void plan_table_free(struct plan_table *pt)
{
    for (size_t i = 0; i < pt->column_count; i++) {
        free(pt->columns[i].name);
        free(pt->columns[i].form[0]);
        free(pt->columns[i].form[1]);
    }
    for (size_t i = 0; i < pt->key_count; i++) {
        free(pt->keys[i].name);
        free(pt->keys[i].type[0]);
        free(pt->keys[i].type[1]);
    }
    free(pt->columns);
    free(pt->keys);
    free(pt->from[0]);
    free(pt->from[1]);
    table_release(&pt->out);
    pthread_mutex_destroy(&pt->lock);
    free(pt);
}

void plan_release(struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        plan_table_free(plan->tables[i]);
    free(plan->tables);
    *plan = (struct plan){0};
}
