/*
 * Owns: the ways of writing. Sets: over all tables emptying, deletes, updates and moves, upserts; each kind as arrays of one
 * statement. Foreign keys are not checked (conn.c), so the order of tables does not matter. Where the key is not the only unique
 * index, an upsert is a delete by key and a plain insert: ON DUPLICATE KEY UPDATE would change whatever row the other index finds,
 * while this fails with 1062, and the batch is taken up again in exact order. REPLACE takes every row that is touched out first, the
 * changed ones into a temporary table with their changes made, and puts all back then.
 */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/failpoint.h"
#include "mariadb.h"

static struct md_table *table_of(const struct target_batch *batch)
{
    return (struct md_table *)batch->table;
}

static bool moves_key(const struct md_table *tab, const struct target_row *row)
{
    return tab->key_count == 0 || row->old != NULL;
}

static bool set_fits(const struct md_table *tab, const struct md_set *set, const struct target_row *row)
{
    if (set->moves != moves_key(tab, row) || set->may_miss != row->may_miss)
        return false;
    for (size_t i = 0; i < tab->column_count; i++) {
        if (set->present[i] != (row->row[tab->columns[i].index].state != DATUM_UNAVAILABLE))
            return false;
    }
    return true;
}

/* The set of columns that this row has values for. Sets are few: they come from which columns are toasted. */
static struct md_set *set_of(struct md_table *tab, const struct target_row *row)
{
    for (size_t i = 0; i < tab->set_count; i++) {
        if (set_fits(tab, tab->sets[i], row))
            return tab->sets[i];
    }
    struct md_set *set = xcalloc(1, sizeof *set);
    set->moves = moves_key(tab, row);
    set->may_miss = row->may_miss;
    set->present = xcalloc(tab->column_count, sizeof(bool));
    for (size_t i = 0; i < tab->column_count; i++)
        set->present[i] = row->row[tab->columns[i].index].state != DATUM_UNAVAILABLE;
    tab->sets = xrealloc(tab->sets, (tab->set_count + 1) * sizeof *tab->sets);
    tab->sets[tab->set_count++] = set;
    return set;
}

/* The rows of the batch with one of two operations (or of one set of columns), as arrays. *ret_count = so many. */
static bool send(struct md_target *mt, const struct target_batch *batch, enum target_op op, enum md_kind kind,
                 struct md_set *set, struct md_set *const *set_by_row, size_t *ret_count, int64_t *ret_found,
                 struct err *err)
{
    struct md_stmt *st = NULL;
    size_t count = 0;
    for (size_t i = 0; i < batch->row_count; i++) {
        const struct target_row *row = &batch->rows[i];
        if (row->op != op || (set_by_row != NULL && set_by_row[i] != set))
            continue;
        if ((st == NULL && !md_stmt_start(mt, table_of(batch), kind, set, &st, err)) ||
            !md_stmt_add(mt, st, row, err))
            return false;
        count++;
    }
    if (st != NULL && !md_stmt_flush(mt, st, err))
        return md_table_err(table_of(batch), err);
    *ret_count = count;
    *ret_found = st != NULL ? st->touched : 0;
    return true;
}

static bool send_all(struct md_target *mt, const struct target_batch *batch, enum target_op op,
                     enum md_kind kind, struct err *err)
{
    size_t count;
    int64_t found;
    return send(mt, batch, op, kind, NULL, NULL, &count, &found, err);
}

/* malloc'd; NULL where the row is no update. */
static struct md_set **sets_by_row(const struct target_batch *batch)
{
    struct md_set **sets = xcalloc(batch->row_count + 1, sizeof *sets);
    for (size_t i = 0; i < batch->row_count; i++) {
        if (batch->rows[i].op == TARGET_UPDATE)
            sets[i] = set_of(table_of(batch), &batch->rows[i]);
    }
    return sets;
}

/* For each set of columns: its updates, or copies of its rows into the hold. */
static bool each_set(struct md_target *mt, const struct target_batch *batch, enum md_kind kind,
                     struct err *err)
{
    struct md_table *tab = table_of(batch);
    struct md_set **sets = sets_by_row(batch);
    bool ok = true;
    for (size_t i = 0; ok && i < tab->set_count; i++) {
        size_t count;
        int64_t found;
        if (kind == MD_UPDATE && !md_set_changes(tab, tab->sets[i]))
            continue;
        ok = send(mt, batch, TARGET_UPDATE, kind, tab->sets[i], sets, &count, &found, err) &&
             (tab->sets[i]->may_miss || md_all_found(tab, found, (int64_t)count, err));
    }
    free(sets);
    return ok;
}

static bool upserts(struct md_target *mt, const struct target_batch *batch, struct err *err)
{
    bool ok = table_of(batch)->one_unique ? send_all(mt, batch, TARGET_UPSERT, MD_UPSERT, err)
                                          : send_all(mt, batch, TARGET_UPSERT, MD_DELETE, err) &&
                                                send_all(mt, batch, TARGET_UPSERT, MD_INSERT, err);
    return ok && send_all(mt, batch, TARGET_INSERT, MD_INSERT,
                          err); /* last: they may take values that were let go */
}

static bool one_row(struct md_target *mt, struct md_table *tab, const struct target_row *row, struct err *err)
{
    struct md_set *set = row->op == TARGET_UPDATE ? set_of(tab, row) : NULL;
    switch (row->op) {
    case TARGET_INSERT:
        return md_stmt_one(mt, tab, MD_INSERT, NULL, row, false, err);
    case TARGET_UPSERT:
        if (tab->one_unique)
            return md_stmt_one(mt, tab, MD_UPSERT, NULL, row, false, err);
        return md_stmt_one(mt, tab, MD_DELETE, NULL, row, false, err) &&
               md_stmt_one(mt, tab, MD_INSERT, NULL, row, false, err);
    case TARGET_UPDATE:
        return !md_set_changes(tab, set) || md_stmt_one(mt, tab, MD_UPDATE, set, row, !row->may_miss, err);
    case TARGET_DELETE:
        return md_stmt_one(mt, tab, MD_DELETE, NULL, row, tab->key_count == 0, err);
    case TARGET_OP_UNKNOWN:
        break;
    }
    BUG("row without operation");
}

/* Rows of a table without key keep their order; runs of inserts go as arrays. */
static bool keyless(struct md_target *mt, const struct target_batch *batch, struct err *err)
{
    struct md_table *tab = table_of(batch);
    for (size_t i = 0, end; i < batch->row_count; i = end) {
        for (end = i; end < batch->row_count && batch->rows[end].op == TARGET_INSERT;)
            end++;
        struct target_batch run = {.table = batch->table, .rows = batch->rows + i, .row_count = end - i};
        if (end > i ? !send_all(mt, &run, TARGET_INSERT, MD_INSERT, err)
                    : !one_row(mt, tab, &batch->rows[end++], err))
            return false;
    }
    return true;
}

static bool write_phases(struct md_target *mt, const struct target_batch *batches, size_t count,
                         struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (table_of(&batches[i])->key_count > 0 && !send_all(mt, &batches[i], TARGET_DELETE, MD_DELETE, err))
            return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (table_of(&batches[i])->key_count > 0 && !each_set(mt, &batches[i], MD_UPDATE, err))
            return false;
    }
    if (!failpoint("apply.mid_write", err))
        return false;
    for (size_t i = 0; i < count; i++) {
        bool keyed = table_of(&batches[i])->key_count > 0;
        if (keyed ? !upserts(mt, &batches[i], err) : !keyless(mt, &batches[i], err))
            return false;
    }
    return true;
}

static bool has_updates(const struct target_batch *batch)
{
    for (size_t i = 0; i < batch->row_count; i++) {
        if (batch->rows[i].op == TARGET_UPDATE)
            return true;
    }
    return false;
}

static bool run(struct md_target *mt, const struct md_table *tab, struct strbuf *sql, struct err *err)
{
    bool ok = strbuf_ok(sql, "statement", err) && (md_exec(mt, sql->data, err) || md_table_err(tab, err));
    strbuf_release(sql);
    return ok;
}

static bool take_out(struct md_target *mt, const struct target_batch *batch, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    struct md_table *tab = table_of(batch);
    if (has_updates(batch)) {
        for (size_t i = 0; i < tab->set_count; i++) /* they are of the hold that was */
            md_stmt_release(&tab->sets[i]->hold);
        md_sql_create_hold(&sql, tab);
        if (!tab->held)
            md_temporary_made(mt, tab);
        tab->held = true;
        if (!run(mt, tab, &sql, err) || !each_set(mt, batch, MD_HOLD, err) ||
            !send_all(mt, batch, TARGET_UPDATE, MD_DELETE, err))
            return false;
    }
    return send_all(mt, batch, TARGET_DELETE, MD_DELETE, err) &&
           send_all(mt, batch, TARGET_UPSERT, MD_DELETE, err) &&
           send_all(mt, batch, TARGET_INSERT, MD_DELETE, err);
}

static bool put_back(struct md_target *mt, const struct target_batch *batch, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    if (has_updates(batch)) {
        md_sql_unhold(&sql, table_of(batch));
        if (!run(mt, table_of(batch), &sql, err))
            return false;
    }
    return send_all(mt, batch, TARGET_INSERT, MD_INSERT, err) &&
           send_all(mt, batch, TARGET_UPSERT, MD_INSERT, err);
}

static bool write_replace(struct md_target *mt, const struct target_batch *batches, size_t count,
                          struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (table_of(&batches[i])->key_count > 0 && !take_out(mt, &batches[i], err))
            return false;
    }
    for (size_t i = 0; i < count; i++) {
        bool keyed = table_of(&batches[i])->key_count > 0;
        if (keyed ? !put_back(mt, &batches[i], err) : !keyless(mt, &batches[i], err))
            return false;
    }
    return true;
}

bool md_write_set(struct md_target *mt, enum target_mode mode, const struct target_batch *batches,
                  size_t count, struct err *err)
{
    if (!md_ensure_loaded(mt, batches, count, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (batches[i].truncate && !md_empty(mt, table_of(&batches[i]), err))
            return false;
    }
    if (!md_begun(mt, err))
        return false;
    return mode == TARGET_REPLACE ? write_replace(mt, batches, count, err)
                                  : write_phases(mt, batches, count, err);
}

bool md_write_ordered(struct md_target *mt, const struct target_batch *batches, size_t count, struct err *err)
{
    if (!md_ensure_loaded(mt, batches, count, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (batches[i].truncate && !md_empty(mt, table_of(&batches[i]), err))
            return false;
        for (size_t r = 0; r < batches[i].row_count; r++) {
            if (!one_row(mt, table_of(&batches[i]), &batches[i].rows[r], err))
                return false;
        }
    }
    return true;
}
