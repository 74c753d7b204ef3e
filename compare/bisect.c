/* Owns: narrowing a range that differs: eight parts at a time while it is large, then row by row. */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "range.h"
#include "rows.h"
#include "sqlgen.h"

#define PARTS      8
#define SMALL_ROWS 2000

/* Keys of other texts sort elsewhere, and all of them are wanted. */
static void suspect_order(struct plan_table *pt)
{
    pthread_mutex_lock(&pt->lock);
    pt->order_suspect = true;
    pthread_mutex_unlock(&pt->lock);
}

/* Fetches (key, hash) of all rows of a small range from both sides and explains what is not in both. */
static bool narrow_rows(struct engine *engine, struct pair *pair, struct plan_table *pt,
                        const struct key_range *range, int64_t rows, struct err *err)
{
    struct range_statement rs;
    struct rowset *results[SIDE_COUNT] = {NULL};
    range_statement_init(&rs, pt, range);
    int64_t most[SIDE_COUNT] = {rows, rows + DIFFERENCES_PER_TABLE + 1}; /* beyond: "more", not memory */
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++)
        sql_range_rows(pt, side, range_bounds_of(range), most[side], &rs.sides[side].sql);
    bool ok = pair_query(pair, rs.sides, results, err);
    if (ok) {
        struct row_list lists[SIDE_COUNT] = {row_list_of(results[SIDE_SOURCE]),
                                             row_list_of(results[SIDE_TARGET])};
        bool complete = rowset_rows(results[SIDE_TARGET]) < most[SIDE_TARGET];
        row_lists_subtract(lists, pt->key_count);
        if (pt->strays != NULL && !complete)
            suspect_order(pt);
        ok = rows_explain(engine, pair, pt, lists, complete, err);
        free(lists[SIDE_SOURCE].rows);
        free(lists[SIDE_TARGET].rows);
    }
    pair_results_free(results);
    range_statement_release(&rs);
    return ok;
}

static bool narrow_part(struct engine *engine, struct pair *pair, struct plan_table *pt,
                        const struct key_range *part, int64_t limit_rows, struct err *err)
{
    struct range_digest digest = {0};
    if (!range_digests(pair, pt, part, limit_rows, &digest, err))
        return false;
    return digest.same || range_narrow(engine, pair, pt, part, digest.rows[SIDE_SOURCE], err);
}

bool range_narrow(struct engine *engine, struct pair *pair, struct plan_table *pt,
                  const struct key_range *range, int64_t rows, struct err *err)
{
    if (!engine_has_room(engine, pt))
        return true;
    if (rows <= SMALL_ROWS)
        return narrow_rows(engine, pair, pt, range, rows, err);
    int64_t step = (rows + PARTS - 1) / PARTS;
    char **lower = range->lower;
    bool ok = true;
    for (int64_t done = 0; ok && done < rows && engine_has_room(engine, pt); done += step) {
        char **next = NULL;
        bool last = done + step >= rows;
        ok = last || range_walk(pair->session[SIDE_SOURCE], pt, lower, step, &next, err);
        struct key_range part = {.lower = lower, .upper = next != NULL ? next : range->upper};
        ok = ok && narrow_part(engine, pair, pt, &part, step, err);
        if (lower != range->lower)
            key_range_release(&(struct key_range){.lower = lower});
        lower = next;
    }
    if (lower != range->lower && lower != NULL)
        key_range_release(&(struct key_range){.lower = lower});
    return ok;
}
