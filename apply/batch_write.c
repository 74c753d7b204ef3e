/* Owns: from a batch's items to calls of the target. Items of one table that follow each other under one
 * schema form a run; a set-based write takes the first runs of all tables, then their second ones (a table
 * changed its shape inside the batch), and so on. */
#include <stdlib.h>
#include <string.h>

#include "apply/batch_internal.h"
#include "apply/dual_write.h"
#include "core/alloc.h"

static int by_order(const void *a, const void *b)
{
    return item_order(a, b);
}

static int by_order_of_pointers(const void *a, const void *b)
{
    const struct item *const *x = a, *const *y = b;
    return item_order(*x, *y);
}

void batch_sort_table(struct batch_table *bt)
{
    if (bt->unsorted)
        qsort(bt->items, bt->count, sizeof *bt->items, by_order);
    bt->unsorted = false;
}

/* Length of the run that starts at items[from]. */
static size_t run_length(const struct item *items, size_t from, size_t count)
{
    size_t end = from + 1;
    while (end < count && items[end].schema == items[from].schema)
        end++;
    return end - from;
}

static bool collapse_run(struct batch *b, struct table_map *tables, const struct item *items, size_t count,
                         enum rows_new rows_new, struct target_batch *ret, struct err *err)
{
    struct action_list list = {0};
    struct target_table *table = NULL;
    if (!table_map_get(tables, items[0].schema, &table, err))
        return false;
    if (table_map_rule(tables, items[0].schema) != NULL) /* the application may have made such a row, too */
        rows_new = MIN_OF(rows_new, ROWS_NEW_READ);
    if (!collapse_items(items, count, rows_new, &b->arena, &list, err))
        return false;
    *ret = (struct target_batch){
        .table = table, .truncate = list.truncate, .rows = list.rows, .row_count = list.count};
    return true;
}

static bool write_sets(struct batch *b, struct table_map *tables, struct target *tgt, enum target_mode mode,
                       enum rows_new rows_new, struct err *err)
{
    struct target_batch *out = xcalloc(b->touched_count + 1, sizeof *out);
    size_t *done = xcalloc(b->touched_count + 1, sizeof *done);
    bool ok = true;
    for (bool more = true; ok && more;) {
        size_t n = 0;
        more = false;
        for (size_t i = 0; ok && i < b->touched_count; i++) {
            struct batch_table *bt = &b->tables[b->touched[i]];
            if (done[i] >= bt->count)
                continue;
            if (done[i] == 0)
                batch_sort_table(bt);
            size_t len = run_length(bt->items, done[i], bt->count);
            size_t left = len;
            ok = dual_write_check(&b->arena, tables, tgt, bt->items + done[i], &left, &b->counts.conflicts,
                                  err) &&
                 (left == 0 || collapse_run(b, tables, bt->items + done[i], left, rows_new, &out[n++], err));
            done[i] += len;
            more = true;
        }
        ok = ok && (n == 0 || target_write(tgt, mode, out, n, err));
    }
    free(out);
    free(done);
    return ok;
}

/* Replay in order looks at each table as a whole, before any of it is written. */
static bool check_tables(struct batch *b, struct table_map *tables, struct target *tgt, struct err *err)
{
    for (size_t i = 0; i < b->touched_count; i++) {
        struct batch_table *bt = &b->tables[b->touched[i]];
        struct target_table *table = NULL;
        if (bt->count == 0)
            continue;
        batch_sort_table(bt);
        if (!table_map_get(tables, bt->items[0].schema, &table, err))
            return false;
        if (table_map_rule(tables, bt->items[0].schema) == NULL)
            continue;
        if (run_length(bt->items, 0, bt->count) < bt->count)
            return err_set(err, ERR_SCHEMA,
                           "table=%s.%s: its shape changed among changes that have to be replayed in order, "
                           "while it is written on both sides (apply.conflicts). Hint: end its dual "
                           "write, then start apply again: nothing was skipped",
                           bt->schema, bt->table);
        size_t left = bt->count;
        if (!dual_write_check(&b->arena, tables, tgt, bt->items, &left, &b->counts.conflicts, err))
            return false;
        b->item_count -= bt->count - left;
        bt->count = left;
    }
    return true;
}

static struct item **sorted_items(const struct batch *b)
{
    struct item **all = xcalloc(b->item_count + 1, sizeof *all);
    size_t n = 0;
    for (size_t i = 0; i < b->touched_count; i++) {
        const struct batch_table *bt = &b->tables[b->touched[i]];
        for (size_t k = 0; k < bt->count; k++)
            all[n++] = &bt->items[k];
    }
    qsort(all, n, sizeof *all, by_order_of_pointers);
    return all;
}

/* One target batch for items[from…] of one table and schema; a TRUNCATE only at its head. *ret_len = items
 * taken. */
static bool sequence_run(struct batch *b, struct table_map *tables, struct item **all, size_t from,
                         struct item *copy, struct target_batch *ret, size_t *ret_len, struct err *err)
{
    size_t end = from;
    size_t count = 0;
    struct action_list list = {0};
    *ret = (struct target_batch){.truncate = all[from]->op == CHANGE_TRUNCATE};
    for (; end < b->item_count && all[end]->schema == all[from]->schema; end++) {
        if (all[end]->op == CHANGE_TRUNCATE && end > from)
            break;
        if (all[end]->op != CHANGE_TRUNCATE)
            copy[count++] = *all[end];
    }
    *ret_len = end - from;
    if (!table_map_get(tables, all[from]->schema, &ret->table, err) ||
        (count > 0 && !sequence_items(copy, count, &b->arena, &list, err)))
        return false;
    ret->rows = list.rows;
    ret->row_count = list.count;
    return true;
}

static bool write_ordered(struct batch *b, struct table_map *tables, struct target *tgt, struct err *err)
{
    if (table_map_watches(tables) && !check_tables(b, tables, tgt, err))
        return false;
    struct item **all = sorted_items(b);
    struct target_batch *out = xcalloc(b->item_count + 1, sizeof *out);
    struct item *copy = xcalloc(b->item_count + 1, sizeof *copy);
    size_t n = 0;
    bool ok = true;
    for (size_t i = 0, len = 0; ok && i < b->item_count; i += len)
        ok = sequence_run(b, tables, all, i, copy, &out[n++], &len, err);
    ok = ok && (n == 0 || target_write(tgt, TARGET_ORDERED, out, n, err));
    free(all);
    free(out);
    free(copy);
    return ok;
}

/* Every shape of every table that the batch has. */
static bool prepare_tables(const struct batch *b, struct table_map *tables, struct err *err)
{
    const struct table_schema **schemas = NULL;
    size_t n = 0, cap = 0;
    for (size_t i = 0; i < b->touched_count; i++) {
        const struct batch_table *bt = &b->tables[b->touched[i]];
        for (size_t k = 0; k < bt->count; k++) {
            if (k > 0 && bt->items[k].schema == bt->items[k - 1].schema)
                continue;
            if (n == cap) {
                cap = cap == 0 ? 64 : 2 * cap;
                schemas = xrealloc(schemas, cap * sizeof(struct table_schema *));
            }
            schemas[n++] = bt->items[k].schema;
        }
    }
    bool ok = table_map_expect(tables, schemas, n, err);
    free(schemas);
    return ok;
}

bool batch_write_items(struct batch *b, struct table_map *tables, struct target *tgt, enum target_mode mode,
                       enum rows_new rows_new, struct err *err)
{
    batch_sort_touched(b);
    if (!prepare_tables(b, tables, err))
        return false;
    return mode == TARGET_ORDERED ? write_ordered(b, tables, tgt, err)
                                  : write_sets(b, tables, tgt, mode, rows_new, err);
}

bool batch_write(struct batch *b, struct table_map *tables, struct target *tgt, enum target_mode mode,
                 enum rows_new rows_new, struct err *err)
{
    bool ok = batch_write_items(b, tables, tgt, mode, rows_new, err);
    batch_forget_items(b);
    return ok;
}

bool batch_divert(struct batch *b, struct letters *letters, struct err *err)
{
    batch_sort_touched(b);
    for (size_t i = 0; i < b->touched_count && letters_count(letters) > 0; i++) {
        struct batch_table *bt = &b->tables[b->touched[i]];
        size_t kept = 0;
        batch_sort_table(bt);
        for (size_t k = 0; k < bt->count; k++) {
            const struct item *it = &bt->items[k];
            bool truncate = it->op == CHANGE_TRUNCATE;
            if (truncate && !letters_void(letters, it, err))
                return false;
            if (truncate || !letters_parks(letters, it))
                bt->items[kept++] = *it;
            else if (!letters_hold(letters, it, NULL, NULL, err))
                return false;
        }
        b->item_count -= bt->count - kept;
        bt->count = kept;
    }
    return true;
}
