/* Owns: comparing the partitions behind their tables, and adding what they came to. See by_partition.h. */
#include "by_partition.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

/* Takes the texts. */
static void add_part(struct compare_table *to, struct compare_table *leaf)
{
    size_t n = to->part_count;
    if ((n & (n - 1)) == 0) /* full at every power of two */
        to->partitions = xrealloc(to->partitions, (n == 0 ? 1 : 2 * n) * sizeof *to->partitions);
    to->partitions[to->part_count++] = (struct compare_part){.name = leaf->partition,
                                                             .verdict = leaf->verdict,
                                                             .method = leaf->method,
                                                             .reason = leaf->reason,
                                                             .rows_source = leaf->rows_source,
                                                             .rows_target = leaf->rows_target,
                                                             .differences = leaf->difference_count,
                                                             .more = leaf->more,
                                                             .duration_us = leaf->duration_us};
    leaf->partition = leaf->reason = NULL;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct compare_part *)a)->name, ((const struct compare_part *)b)->name);
}

/* What the partitions say of their table. */
static void judge(struct compare_table *t)
{
    size_t untold = 0;
    if (t->part_count > 1)
        qsort(t->partitions, t->part_count, sizeof *t->partitions, by_name);
    for (size_t i = 0; i < t->part_count; i++) {
        const struct compare_part *part = &t->partitions[i];
        if (part->verdict == VERDICT_FAIL)
            table_conclude(t, VERDICT_FAIL, "partition %s: %s", part->name, part->reason);
        untold += part->verdict == VERDICT_INCONCLUSIVE;
    }
    if (untold > 0)
        table_add_note(t, "%zu of %zu partitions could not be compared one by one", untold, t->part_count);
}

/* Partitions without a table do not occur: both plans were made from the same catalogs. */
static void fold(struct plan *leaves, struct plan *whole)
{
    for (size_t i = 0; i < leaves->count; i++) {
        struct compare_table *leaf = &leaves->tables[i]->out;
        struct plan_table *pt = plan_find(whole, leaf->schema, leaf->table);
        if (pt == NULL || leaf->partition == NULL) /* its table has the verdict: it cannot be compared */
            continue;
        add_part(&pt->out, leaf);
    }
    for (size_t i = 0; i < whole->count; i++)
        judge(&whole->tables[i]->out);
}

bool by_partition_compare(struct engine *engine, const struct compare_request *req, struct plan *leaves,
                          struct plan *whole, struct err *err)
{
    struct history *history = engine->history;
    if (leaves->count == 0 ||
        atomic_load(&engine->stop)) /* tables that were not compared to the end say why */
        return true;
    engine->plan = leaves;
    engine->history = NULL; /* which is of whole tables */
    atomic_store(&engine->rows_done, 0);
    atomic_store(&engine->tables_done, 0);
    atomic_store(&engine->tables_failed, 0);
    atomic_store(&engine->differences, 0);
    bool ok = engine_run(engine, req, err);
    engine->plan = whole;
    engine->history = history;
    engine->aged = false; /* the tables are done: nothing goes on under a later fence */
    if (ok)
        fold(leaves, whole);
    return ok;
}
