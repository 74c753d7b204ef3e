/*
 * Owns: set-based writes. The rows of a batch are sorted by what has to be done; then, over all tables:
 * TRUNCATE, deletes (children first), updates and moves, upserts (parents first). Few rows of a table go as
 * row statements in a pipeline, many through staging. REPLACE takes every row that is touched out first, and
 * puts all of them back then.
 */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/failpoint.h"
#include "postgres.h"

static void push(struct target_row const ***rows, size_t *count, size_t *cap, const struct target_row *row)
{
    if (*count == *cap) {
        *cap = *cap == 0 ? 64 : 2 * *cap;
        *rows = xrealloc(*rows, *cap * sizeof **rows);
    }
    (*rows)[(*count)++] = row;
}

static bool moves_key(const struct pg_table *tab, const struct target_row *row)
{
    return tab->key_count == 0 || row->old != NULL;
}

static bool set_fits(const struct pg_table *tab, const struct column_set *set, const struct target_row *row)
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
struct column_set *pgt_column_set(struct pg_table *tab, const struct target_row *row)
{
    for (size_t i = 0; i < tab->set_count; i++) {
        if (set_fits(tab, &tab->sets[i], row))
            return &tab->sets[i];
    }
    tab->sets = xrealloc(tab->sets, (tab->set_count + 1) * sizeof *tab->sets);
    struct column_set *set = &tab->sets[tab->set_count++];
    *set = (struct column_set){.moves = moves_key(tab, row),
                               .may_miss = row->may_miss,
                               .present = xcalloc(tab->column_count, sizeof(bool))};
    for (size_t i = 0; i < tab->column_count; i++)
        set->present[i] = row->row[tab->columns[i].index].state != DATUM_UNAVAILABLE;
    return set;
}

static void sort_rows(struct pg_table *tab, const struct target_batch *batch, bool direct)
{
    memset(tab->row_count, 0, sizeof tab->row_count);
    for (size_t i = 0; i < tab->set_count; i++)
        tab->sets[i].row_count = 0;
    for (size_t i = 0; i < batch->row_count; i++) {
        const struct target_row *row = &batch->rows[i];
        enum stage_kind kind = STAGE_UPSERT;
        if (row->op == TARGET_UPDATE) {
            struct column_set *set = pgt_column_set(tab, row);
            push(&set->rows, &set->row_count, &set->row_cap, row);
            continue;
        }
        if (row->op == TARGET_DELETE)
            kind = STAGE_DELETE;
        else if (row->op == TARGET_INSERT && direct)
            kind = STAGE_DIRECT;
        push(&tab->rows[kind], &tab->row_count[kind], &tab->row_cap[kind], row);
    }
}

static bool found_all(const struct pg_table *tab, int64_t touched, int64_t must_touch, struct err *err)
{
    if (touched == must_touch)
        return true;
    err_set(
        err, ERR_DATA,
        "%lld of %lld rows to be changed are not on the target: compare both sides, then start a new copy",
        (long long)(must_touch - touched), (long long)must_touch);
    memcpy(err->sqlstate, "P0002", 6); /* no_data_found: replay in order names the row */
    return pgt_table_err(tab, err);
}

/* Runs a statement made by sql_*; an empty one is none. What is queued goes first. */
static bool run(struct pg_target *pt, const struct pg_table *tab, struct strbuf *sql, int64_t must_touch,
                struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    bool ok =
        sql->len == 0 || (strbuf_ok(sql, "statement", err) && pgt_plain(pt, err) &&
                          (pg_query(pt->conn, sql->data, 0, NULL, &res, err) || pgt_table_err(tab, err)));
    strbuf_release(sql);
    if (!ok || must_touch < 0 || res == NULL)
        return ok;
    return found_all(tab, pg_affected(res), must_touch, err);
}

static bool queue_rows(struct pg_target *pt, struct pg_table *tab, const struct target_row *const *rows,
                       size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (!pgt_row_queue(pt, tab, rows[i], err))
            return false;
    }
    return true;
}

/* What makes staged rows be there: the first statement may be empty. */
static void sql_upserts(struct strbuf sql[2], const struct pg_table *tab)
{
    if (tab->delete_first)
        sql_merge_delete(&sql[0], tab, STAGE_UPSERT, NULL);
    else if (!tab->arbiter)
        sql_merge_update_existing(&sql[0], tab);
    sql_merge_upsert(&sql[1], tab, false);
}

/* A writer beside the lead has no staging tables: arrays, or row by row where a column cannot be an element of one. */
static bool write_unstaged(struct pg_target *pt, struct pg_table *tab, enum stage_kind kind,
                           struct column_set *set, const struct target_row *const *rows, size_t count,
                           int64_t must_touch, struct err *err)
{
    struct strbuf sql[2] = {STRBUF_INIT(STRBUF_SQL_MAX), STRBUF_INIT(STRBUF_SQL_MAX)};
    int64_t touched = 0;
    if (!tab->arrays)
        return queue_rows(pt, tab, rows, count, err);
    if (kind == STAGE_DELETE)
        sql_merge_delete(&sql[0], tab, kind, NULL);
    else if (kind == STAGE_UPDATE)
        sql_merge_update(&sql[0], tab, set);
    else
        sql_upserts(sql, tab);
    if (!pgt_write_arrays(pt, tab, kind, set, rows, count, sql, 2, &touched, err))
        return false;
    return must_touch < 0 || found_all(tab, touched, must_touch, err);
}

static bool do_deletes(struct pg_target *pt, struct pg_table *tab, struct err *err)
{
    size_t count = tab->row_count[STAGE_DELETE];
    if (count == 0)
        return true;
    if (count <= ROWWISE_MAX)
        return queue_rows(pt, tab, tab->rows[STAGE_DELETE], count, err);
    if (pt->writer > 0)
        return write_unstaged(pt, tab, STAGE_DELETE, NULL, tab->rows[STAGE_DELETE], count, -1, err);
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    if (!pgt_stage(pt, tab, STAGE_DELETE, NULL, tab->rows[STAGE_DELETE], count, err))
        return false;
    sql_merge_delete(&sql, tab, STAGE_DELETE, NULL);
    return run(pt, tab, &sql, -1, err);
}

/* How many rows a set's statement has to find; -1 = that many as there are. */
static int64_t must_find(const struct column_set *set)
{
    return set->may_miss ? -1 : (int64_t)set->row_count;
}

static bool do_updates(struct pg_target *pt, struct pg_table *tab, struct err *err)
{
    for (size_t i = 0; i < tab->set_count; i++) {
        struct column_set *set = &tab->sets[i];
        if (set->row_count == 0 || !set_changes_anything(tab, set))
            continue;
        if (set->row_count <= ROWWISE_MAX) {
            if (!queue_rows(pt, tab, set->rows, set->row_count, err))
                return false;
            continue;
        }
        if (pt->writer > 0) {
            if (!write_unstaged(pt, tab, STAGE_UPDATE, set, set->rows, set->row_count, must_find(set), err))
                return false;
            continue;
        }
        struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
        if (!pgt_stage(pt, tab, STAGE_UPDATE, set, set->rows, set->row_count, err))
            return false;
        sql_merge_update(&sql, tab, set);
        if (!run(pt, tab, &sql, must_find(set), err))
            return false;
    }
    return true;
}

bool pgt_may_take_out(const struct pg_target *pt, const struct pg_table *tab, struct err *err)
{
    if (!pt->base.triggers_fire || !tab->has_wards)
        return true;
    err_set(err, ERR_DATA,
            "rows would have to be taken out and put back (values that must be unique change places, or an "
            "identity column "
            "that cannot be updated), and foreign keys with ON DELETE CASCADE, SET NULL or SET DEFAULT would "
            "take rows of "
            "other tables with them. Hint: GRANT SET ON PARAMETER session_replication_role to the target's "
            "role (15 and "
            "later), or make those foreign keys NO ACTION until the cutover");
    memcpy(err->sqlstate, "23001", 6); /* restrict_violation */
    return pgt_table_err(tab, err);
}

static bool merge_upserts(struct pg_target *pt, struct pg_table *tab, bool plain, struct err *err)
{
    struct strbuf sql[2] = {STRBUF_INIT(STRBUF_SQL_MAX), STRBUF_INIT(STRBUF_SQL_MAX)};
    if (!plain && tab->delete_first && !pgt_may_take_out(pt, tab, err))
        return false;
    if (plain)
        sql_merge_upsert(&sql[1], tab, true);
    else
        sql_upserts(sql, tab);
    if (run(pt, tab, &sql[0], -1, err))
        return run(pt, tab, &sql[1], -1, err);
    strbuf_release(&sql[1]);
    return false;
}

static bool do_upserts(struct pg_target *pt, struct pg_table *tab, struct err *err)
{
    size_t count = tab->row_count[STAGE_UPSERT];
    size_t direct = tab->row_count[STAGE_DIRECT];
    if (count > 0 && count <= ROWWISE_MAX) {
        if (!queue_rows(pt, tab, tab->rows[STAGE_UPSERT], count, err))
            return false;
    } else if (count > 0 && pt->writer > 0) {
        if ((tab->delete_first && !pgt_may_take_out(pt, tab, err)) ||
            !write_unstaged(pt, tab, STAGE_UPSERT, NULL, tab->rows[STAGE_UPSERT], count, -1, err))
            return false;
    } else if (count > 0) {
        if (!pgt_stage(pt, tab, STAGE_UPSERT, NULL, tab->rows[STAGE_UPSERT], count, err) ||
            !merge_upserts(pt, tab, false, err))
            return false;
    }
    if (direct > 0 && direct <= ROWWISE_MAX && pt->copy != tab)
        return queue_rows(pt, tab, tab->rows[STAGE_DIRECT], direct, err);
    return direct == 0 || pgt_stage(pt, tab, STAGE_DIRECT, NULL, tab->rows[STAGE_DIRECT], direct, err);
}

/* Rows of a table without key keep their order; runs of inserts are copied. */
static bool do_keyless(struct pg_target *pt, struct pg_table *tab, const struct target_batch *batch,
                       struct err *err)
{
    for (size_t i = 0, end; i < batch->row_count; i = end) {
        tab->row_count[STAGE_DIRECT] = 0;
        for (end = i; end < batch->row_count && batch->rows[end].op == TARGET_INSERT; end++)
            push(&tab->rows[STAGE_DIRECT], &tab->row_count[STAGE_DIRECT], &tab->row_cap[STAGE_DIRECT],
                 &batch->rows[end]);
        bool copy = (end - i > ROWWISE_MAX || pt->copy == tab) && (pt->writer == 0 || tab->all_binary);
        if (end == i) {
            if (!pgt_row_queue(pt, tab, &batch->rows[end++], err))
                return false;
        } else if (!copy) {
            if (!queue_rows(pt, tab, tab->rows[STAGE_DIRECT], end - i, err))
                return false;
        } else if (tab->all_binary) {
            if (!pgt_stage(pt, tab, STAGE_DIRECT, NULL, tab->rows[STAGE_DIRECT], end - i, err))
                return false;
        } else if (!pgt_stage(pt, tab, STAGE_UPSERT, NULL, tab->rows[STAGE_DIRECT], end - i, err) ||
                   !merge_upserts(pt, tab, true, err)) {
            return false;
        }
    }
    return true;
}

static struct pg_table *table_of(const struct target_batch *batch)
{
    return (struct pg_table *)batch->table;
}

static int by_rank(const void *a, const void *b)
{
    const struct target_batch *const *x = a, *const *y = b;
    return ((*x)->table->fk_rank > (*y)->table->fk_rank) - ((*x)->table->fk_rank < (*y)->table->fk_rank);
}

/* Out: the rows that the sets of columns change, already changed, into hold tables; then everything that is
 * touched. */
static bool take_out(struct pg_target *pt, struct pg_table *tab, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    bool hold = false;
    for (size_t i = 0; i < tab->set_count; i++)
        hold = hold || tab->sets[i].row_count > 0;
    bool takes_out = hold || tab->row_count[STAGE_UPSERT] > 0;
    if ((takes_out && !pgt_may_take_out(pt, tab, err)) || !pgt_plain(pt, err))
        return false;
    if (hold) {
        sql_create_hold(&sql, tab);
        if (!run(pt, tab, &sql, -1, err))
            return false;
        strbuf_addf(&sql, "DELETE FROM pg_temp.crossfade_h%u", tab->id);
        if (!run(pt, tab, &sql, -1, err))
            return false;
    }
    for (size_t i = 0; i < tab->set_count; i++) {
        struct column_set *set = &tab->sets[i];
        if (set->row_count == 0)
            continue;
        if (!pgt_stage(pt, tab, STAGE_UPDATE, set, set->rows, set->row_count, err))
            return false;
        sql_hold(&sql, tab, set);
        if (!run(pt, tab, &sql, must_find(set), err))
            return false;
    }
    for (size_t i = 0; i < tab->set_count; i++) {
        if (tab->sets[i].row_count == 0)
            continue;
        sql_merge_delete(&sql, tab, STAGE_UPDATE, &tab->sets[i]);
        if (!run(pt, tab, &sql, -1, err))
            return false;
    }
    if (tab->row_count[STAGE_DELETE] > 0) {
        if (!pgt_stage(pt, tab, STAGE_DELETE, NULL, tab->rows[STAGE_DELETE], tab->row_count[STAGE_DELETE],
                       err))
            return false;
        sql_merge_delete(&sql, tab, STAGE_DELETE, NULL);
        if (!run(pt, tab, &sql, -1, err))
            return false;
    }
    if (tab->row_count[STAGE_UPSERT] == 0)
        return true;
    if (!pgt_stage(pt, tab, STAGE_UPSERT, NULL, tab->rows[STAGE_UPSERT], tab->row_count[STAGE_UPSERT], err))
        return false;
    sql_merge_delete(&sql, tab, STAGE_UPSERT, NULL);
    return run(pt, tab, &sql, -1, err);
}

static bool put_back(struct pg_target *pt, struct pg_table *tab, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    for (size_t i = 0; i < tab->set_count; i++) {
        if (tab->sets[i].row_count == 0)
            continue;
        sql_unhold(&sql, tab);
        if (!run(pt, tab, &sql, -1, err))
            return false;
        break;
    }
    if (tab->row_count[STAGE_UPSERT] == 0)
        return true;
    sql_merge_upsert(&sql, tab, true);
    return run(pt, tab, &sql, -1, err);
}

static bool write_replace(struct pg_target *pt, const struct target_batch **order, size_t count,
                          struct err *err)
{
    for (size_t i = count; i > 0; i--) {
        if (table_of(order[i - 1])->key_count > 0 && !take_out(pt, table_of(order[i - 1]), err))
            return false;
    }
    for (size_t i = 0; i < count; i++) {
        struct pg_table *tab = table_of(order[i]);
        bool ok = tab->key_count > 0 ? put_back(pt, tab, err) : do_keyless(pt, tab, order[i], err);
        if (!ok)
            return false;
    }
    return true;
}

static bool write_phases(struct pg_target *pt, const struct target_batch **order, size_t count,
                         struct err *err)
{
    for (size_t i = count; i > 0; i--) {
        if (table_of(order[i - 1])->key_count > 0 && !do_deletes(pt, table_of(order[i - 1]), err))
            return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (table_of(order[i])->key_count > 0 && !do_updates(pt, table_of(order[i]), err))
            return false;
    }
    if (!failpoint("apply.mid_write", err))
        return false;
    for (size_t i = 0; i < count; i++) {
        struct pg_table *tab = table_of(order[i]);
        bool ok = tab->key_count > 0 ? do_upserts(pt, tab, err) : do_keyless(pt, tab, order[i], err);
        if (!ok)
            return false;
    }
    return true;
}

static bool make_room(struct pg_target *pt, const struct target_batch **order, size_t count, struct err *err)
{
    struct pg_table **tabs = xmalloc((count + 1) * sizeof *tabs);
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        tabs[i] = table_of(order[i]);
    bool ok = pgt_ensure_loaded(pt, tabs, count, err);
    for (size_t i = 0; ok && i < count; i++) {
        if (order[i]->truncate)
            tabs[n++] = table_of(order[i]);
    }
    ok = ok && (n == 0 || pgt_truncate(pt, tabs, n, err));
    free(tabs);
    return ok;
}

bool pgt_write_set(struct pg_target *pt, enum target_mode mode, const struct target_batch *batches,
                   size_t count, struct err *err)
{
    const struct target_batch **order = xmalloc((count + 1) * sizeof(struct target_batch *));
    for (size_t i = 0; i < count; i++) {
        struct pg_table *tab = table_of(&batches[i]);
        order[i] = &batches[i];
        if (tab->key_count > 0)
            sort_rows(tab, &batches[i], mode == TARGET_SET && tab->all_binary);
    }
    qsort(order, count, sizeof *order, by_rank);
    bool ok =
        make_room(pt, order, count, err) &&
        (mode == TARGET_REPLACE ? write_replace(pt, order, count, err) : write_phases(pt, order, count, err));
    free(order);
    return ok;
}
