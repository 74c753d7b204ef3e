/* Owns: pairing the tables of both sides, and the choice of key and method. */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

#include "canonical.h"
#include "config/table_filter.h"
#include "core/alloc.h"
#include "core/strbuf.h"
#include "history/history.h"
#include "mariadb/pairing.h"
#include "moved.h"
#include "pg/conn.h"
#include "scope.h"
#include "sqlgen.h"
#include "strays.h"

static struct plan_column *plan_add_column(struct plan_table *pt, const char *name)
{
    pt->columns = xrealloc(pt->columns, (pt->column_count + 1) * sizeof *pt->columns);
    struct plan_column *column = &pt->columns[pt->column_count++];
    *column = (struct plan_column){.name = xstrdup(name)};
    return column;
}

static void add_column(struct plan_table *pt, const struct cat_column *source,
                       const struct cat_column *target)
{
    char *note = NULL;
    canonical_forms(source, target, plan_add_column(pt, source->name)->form, &note);
    table_add_rule(&pt->out, source->name, canonical_rule(source, target));
    if (note != NULL)
        table_add_note(&pt->out, "%s", note);
    free(note);
}

static bool add_mariadb_column(struct plan_table *pt, const struct cat_column *source,
                               const struct cat_column *target, enum target_unfit unfit)
{
    struct canonical canonical;
    char *reason = NULL;
    if (!mariadb_pair(source, target, unfit, &canonical, &reason)) {
        table_conclude(&pt->out, VERDICT_INCONCLUSIVE, "%s", reason);
        free(reason);
        return false;
    }
    struct plan_column *column = plan_add_column(pt, source->name);
    memcpy(column->form, canonical.form, sizeof column->form);
    memcpy(column->shown, canonical.shown, sizeof column->shown);
    column->may_be_long = mariadb_may_be_longer(target, VALUE_INLINE_BYTES);
    column->merges = unfit != TARGET_UNFIT_HALT;
    table_add_rule(&pt->out, source->name, canonical.rule);
    canonical.rule = NULL;
    memset(canonical.form, 0, sizeof canonical.form);
    memset(canonical.shown, 0, sizeof canonical.shown);
    if (canonical.note != NULL)
        table_add_note(&pt->out, "%s", canonical.note);
    canonical_release(&canonical);
    return true;
}

/* Cells behind those of the forms, and behind them what says of a row whether it is inside. */
static void number_shown(struct plan_table *pt)
{
    size_t cell = pt->column_count;
    for (size_t i = 0; i < pt->column_count; i++) {
        if (pt->columns[i].shown[SIDE_SOURCE] != NULL && pt->columns[i].shown[SIDE_TARGET] != NULL)
            pt->columns[i].shown_at = ++cell;
    }
    pt->inside_at = cell + 1;
}

static bool is_json(const struct cat_column *c)
{
    return strcmp(c->type, "json") == 0 || strcmp(c->type, "jsonb") == 0 ||
           strcmp(c->type, "pg_catalog.json") == 0 || strcmp(c->type, "pg_catalog.jsonb") == 0;
}

/* What compare.json, compare.text and compare.unicode go by. */
static void describe_content(struct plan_table *pt, const struct cat_column *s, const struct cat_column *t)
{
    struct plan_column *column = &pt->columns[pt->column_count - 1];
    column->is_json = is_json(s);
    column->is_text =
        collated_is_text(pt->dialect[SIDE_SOURCE], s) && collated_is_text(pt->dialect[SIDE_TARGET], t);
    if (column->is_text)
        column->collation = collated_of(pt->dialect, s, t);
}

/* False: the table is concluded, and the column is not in the plan. */
static bool pair_column(struct plan_table *pt, const struct cat_column *s, const struct cat_column *t,
                        const struct target_unfit_rules *unfit)
{
    if (pt->dialect[SIDE_TARGET] != DIALECT_MARIADB) {
        add_column(pt, s, t);
        return true;
    }
    return add_mariadb_column(pt, s, t, target_unfit_of(unfit, pt->out.schema, pt->out.table, s->name));
}

static void pair_columns(struct plan_table *pt, const struct cat_table *source,
                         const struct cat_table *target, const struct target_unfit_rules *unfit)
{
    for (size_t i = 0; i < source->column_count; i++) {
        const struct cat_column *s = &source->columns[i];
        const struct cat_column *t = cat_table_column(target, s->name);
        if (t == NULL && !s->generated)
            table_conclude(&pt->out, VERDICT_FAIL, "column %s is missing on the target", s->name);
        else if (t == NULL || s->generated || t->generated)
            table_leave_out(&pt->out, s->name, "generated on the %s",
                            s->generated ? (t != NULL && t->generated ? "source and the target" : "source")
                                         : "target");
        else if (pair_column(pt, s, t, unfit))
            describe_content(pt, s, t);
    }
    for (size_t i = 0; i < target->column_count; i++) {
        if (cat_table_column(source, target->columns[i].name) == NULL)
            table_add_note(&pt->out, "column %s is on the target only", target->columns[i].name);
    }
    number_shown(pt);
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

static char *column_text(const char *name, const char *after)
{
    struct strbuf sb = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sb, "t.");
    pg_quote_ident(&sb, name);
    strbuf_adds(&sb, after);
    return strbuf_detach(&sb);
}

/* Decides whether keys sort alike as far as this column goes. */
static void plan_key(struct plan_table *pt, struct plan_key *key, const struct cat_column *s,
                     const struct cat_column *t)
{
    key->name = xstrdup(s->name);
    key->lax[SIDE_SOURCE] = s->lax;
    key->lax[SIDE_TARGET] = t->lax && pt->dialect[SIDE_TARGET] == DIALECT_POSTGRES;
    if (pt->dialect[SIDE_TARGET] == DIALECT_MARIADB) {
        const struct plan_column *column = plan_column_named(pt, s->name);
        mariadb_pair_key(s, t, column, key);
        pt->ranges = pt->ranges && key->native && mariadb_sorts_alike(s, t);
        return;
    }
    for (int side = 0; side < SIDE_COUNT; side++) {
        key->column[side] = column_text(s->name, "");
        key->text[side] = column_text(s->name, "::text");
        key->head[side] = xstrdup("");
        const struct cat_column *c = side == SIDE_SOURCE ? s : t;
        key->tail[side] = xasprintf("::%s", c->type);
        key->seek_head[side] = xstrdup(key->head[side]);
        key->seek_tail[side] = xstrdup(key->tail[side]);
        key->sorts[side] = xstrdup(c->collation != NULL ? c->collation : "unknown");
    }
    key->native = true;
    pt->ranges = pt->ranges && canonical_sorts_alike(s, t);
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
        pt->out.keys[i] = xstrdup(s->name);
        plan_key(pt, &pt->keys[i], s, t);
        mark_key_column(pt, s->name);
    }
    pt->key_count = pt->out.key_count = key->column_count;
    if (!pt->ranges)
        table_add_note(&pt->out, "%s",
                       pt->target_indexed
                           ? "keys do not surely sort alike on both sides: compared by hash buckets"
                           : "the target has no unique index for the key: compared by hash buckets");
}

/* What all tables are planned by. */
struct planning {
    const struct catalog *cats;
    bool publication_exists;
    const struct table_rules *rules;
    const struct scope *scope;
};

/* Narrows the table to the rows that are asked for. */
static void plan_scope(struct plan_table *pt, const struct planning *by, const struct cat_table *source,
                       const struct cat_table *target, const struct cat_partition *part)
{
    struct table_scope of;
    char *reason = NULL;
    if (!by->scope->any && part == NULL)
        return;
    bool told = scope_of_table(by->scope, by->cats, source, target, part, by->rules, &of, &reason);
    pt->out.partition = of.partition;
    of.partition = NULL;
    if (!told)
        table_conclude(&pt->out, VERDICT_INCONCLUSIVE, "%s", reason);
    for (int side = 0; told && side < SIDE_COUNT && of.from[side] != NULL; side++) {
        free(pt->from[side]);
        pt->from[side] = of.from[side];
        pt->whole[side] = of.whole[side];
        pt->out.where[side] = of.where[side];
        of.from[side] = of.whole[side] = of.where[side] = NULL;
    }
    pt->out.rows_estimate = (uint64_t)source->rows_estimate;
    if (part != NULL) {
        pt->oid[SIDE_SOURCE] = part->oid;
        pt->tree[SIDE_SOURCE] = false;
        pt->rows_estimate = part->rows_estimate;
    }
    free(reason);
    table_scope_release(&of);
}

static void plan_pair(struct plan_table *pt, const struct planning *by, const struct cat_table *source,
                      const struct cat_partition *part)
{
    const struct catalog *cats = by->cats;
    const struct table_rules *rules = by->rules;
    const struct cat_table *target = catalog_find(&cats[SIDE_TARGET], source->schema, source->name);
    static const struct target_unfit_rules refuse = {0};
    const struct target_unfit_rules *unfit =
        cats[SIDE_TARGET].unfit != NULL ? cats[SIDE_TARGET].unfit : &refuse;
    pt->dialect[SIDE_SOURCE] = cats[SIDE_SOURCE].dialect;
    pt->dialect[SIDE_TARGET] = cats[SIDE_TARGET].dialect;
    pt->as_text = pt->dialect[SIDE_TARGET] != pt->dialect[SIDE_SOURCE];
    pt->source_utf8 = cats[SIDE_SOURCE].utf8;
    if (target == NULL) {
        table_conclude(&pt->out, VERDICT_FAIL, "the table is missing on the target");
        return;
    }
    pt->oid[SIDE_SOURCE] = source->oid;
    pt->oid[SIDE_TARGET] = target->oid;
    struct cat_table moved = {0};
    char *from_moved = moved_table(source, rules, NULL, &moved, &pt->out);
    pt->from[SIDE_SOURCE] = from_moved != NULL ? from_moved : catalog_from(&cats[SIDE_SOURCE], source);
    pt->from[SIDE_TARGET] = catalog_from(&cats[SIDE_TARGET], target);
    pt->tree[SIDE_SOURCE] = source->partitioned;
    pt->tree[SIDE_TARGET] = target->partitioned;
    pt->storage = target->storage != NULL ? xstrdup(target->storage) : NULL;
    /* a table that was never analyzed counts as empty on PostgreSQL */
    pt->rows_estimate = MAX_OF(source->rows_estimate, target->rows_estimate);
    if (target->engine != NULL)
        table_conclude(&pt->out, VERDICT_INCONCLUSIVE,
                       "its engine on the target has no snapshots: ALTER TABLE … ENGINE=InnoDB; it is %s",
                       target->engine);
    if (!source->logged)
        table_conclude(&pt->out, VERDICT_INCONCLUSIVE,
                       "unlogged on the source: its changes are not in the WAL");
    else if (by->publication_exists && !source->published)
        table_conclude(&pt->out, VERDICT_INCONCLUSIVE,
                       "not in the publication: its changes are not captured");
    if (pt->out.verdict == VERDICT_UNKNOWN)
        plan_scope(pt, by, source, target, part);
    if (pt->out.verdict == VERDICT_UNKNOWN) {
        pair_columns(pt, from_moved != NULL ? &moved : source, target, unfit);
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

static int name_order(const void *a, const void *b)
{
    const struct plan_table *x = *(struct plan_table *const *)a, *y = *(struct plan_table *const *)b;
    int c = strcmp(x->out.table, y->out.table);
    return c != 0 ? c : strcmp(x->out.schema, y->out.schema);
}

/* By work, and by name. */
static void put_in_order(struct plan *plan)
{
    plan->by_name = xcalloc(plan->count + 1, sizeof(struct plan_table *));
    if (plan->count == 0)
        return;
    memcpy(plan->by_name, plan->tables, plan->count * sizeof(struct plan_table *));
    qsort(plan->by_name, plan->count, sizeof(struct plan_table *), name_order);
    qsort(plan->tables, plan->count, sizeof(struct plan_table *), by_work);
}

struct plan_table *plan_find(const struct plan *plan, const char *schema, const char *table)
{
    size_t low = 0, high = plan->count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        const struct compare_table *t = &plan->by_name[mid]->out;
        int c = strcmp(t->table, table);
        c = c != 0 ? c : strcmp(t->schema, schema);
        if (c == 0)
            return plan->by_name[mid];
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

const struct plan_column *plan_column_named(const struct plan_table *pt, const char *name)
{
    for (size_t i = 0; i < pt->column_count; i++) {
        if (strcmp(pt->columns[i].name, name) == 0)
            return &pt->columns[i];
    }
    return NULL;
}

/* A server of MariaDB may have databases that are nobody's schema here. */
static bool is_of_source(const struct catalog cats[SIDE_COUNT], const struct cat_table *target,
                         const char *schema)
{
    if (cats[SIDE_TARGET].dialect != DIALECT_MARIADB ||
        catalog_same_name(&cats[SIDE_TARGET], target->schema, cats[SIDE_TARGET].database))
        return true;
    for (size_t i = 0; i < cats[SIDE_SOURCE].table_count; i++) {
        if (catalog_same_name(&cats[SIDE_TARGET], cats[SIDE_SOURCE].tables[i].schema, schema))
            return true;
    }
    return false;
}

/* The table, or each of its partitions that is asked for. */
static void plan_table(struct plan *plan, const struct planning *by, const struct cat_table *source)
{
    const struct catalog *cat = &by->cats[SIDE_SOURCE];
    if (by->scope->partitions == NULL && !by->scope->each_partition) {
        plan_pair(plan_add(plan, source->schema, source->name), by, source, NULL);
        return;
    }
    for (size_t i = 0; i < cat->partition_count; i++) {
        const struct cat_partition *part = &cat->partitions[i];
        if (part->root == source->oid &&
            (by->scope->each_partition ||
             table_filter_matches(by->scope->partitions, part->schema, part->name)))
            plan_pair(plan_add(plan, source->schema, source->name), by, source, part);
    }
}

void plan_make(const struct catalog cats[SIDE_COUNT], bool publication_exists,
               const struct table_filter *pipeline_filter, const struct table_rules *rules,
               const struct table_filter *wanted, const struct scope *scope, struct plan *ret)
{
    struct plan plan = {.full = !scope->any};
    const struct planning by = {cats, publication_exists, rules, scope};
    for (size_t i = 0; i < cats[SIDE_SOURCE].table_count; i++) {
        const struct cat_table *source = &cats[SIDE_SOURCE].tables[i];
        if (!table_filter_matches(pipeline_filter, source->schema, source->name))
            continue;
        if (wanted != NULL && !table_filter_matches(wanted, source->schema, source->name)) {
            plan.full = false;
            continue;
        }
        plan_table(&plan, &by, source);
    }
    for (size_t i = 0; i < cats[SIDE_TARGET].table_count; i++) {
        const struct cat_table *target = &cats[SIDE_TARGET].tables[i];
        const char *schema = catalog_schema_of(&cats[SIDE_TARGET], target);
        if (scope->partitions != NULL || scope->each_partition ||
            !table_filter_matches(pipeline_filter, schema, target->name) ||
            (wanted != NULL && !table_filter_matches(wanted, schema, target->name)) ||
            catalog_find_like(&cats[SIDE_SOURCE], &cats[SIDE_TARGET], schema, target->name) != NULL ||
            !is_of_source(cats, target, schema))
            continue;
        table_conclude(&plan_add(&plan, schema, target->name)->out, VERDICT_FAIL,
                       "the table is missing on the source");
    }
    put_in_order(&plan);
    *ret = plan;
}

static void free_both(char *texts[SIDE_COUNT])
{
    free(texts[SIDE_SOURCE]);
    free(texts[SIDE_TARGET]);
}

static void plan_table_free(struct plan_table *pt)
{
    for (size_t i = 0; i < pt->column_count; i++) {
        free(pt->columns[i].name);
        free_both(pt->columns[i].form);
        free_both(pt->columns[i].shown);
        lenient_release(&pt->columns[i].lenient);
        collation_release(&pt->columns[i].collation);
    }
    for (size_t i = 0; i < pt->key_count; i++) {
        free(pt->keys[i].name);
        free_both(pt->keys[i].column);
        free_both(pt->keys[i].text);
        free_both(pt->keys[i].head);
        free_both(pt->keys[i].tail);
        free_both(pt->keys[i].seek_head);
        free_both(pt->keys[i].seek_tail);
        free_both(pt->keys[i].sorts);
    }
    free(pt->columns);
    free(pt->keys);
    free_both(pt->from);
    free_both(pt->whole);
    free(pt->storage);
    table_history_free(pt->history);
    strays_free(pt->strays);
    table_release(&pt->out);
    pthread_mutex_destroy(&pt->lock);
    free(pt);
}

void plan_release(struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        plan_table_free(plan->tables[i]);
    free(plan->tables);
    free(plan->by_name);
    *plan = (struct plan){0};
}
