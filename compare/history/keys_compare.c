/* Owns: comparing rows by their keys: many with one statement, of which only a digest comes back; row by row where it differs. */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "history/history.h"
#include "rows.h"
#include "sqlgen.h"

typedef void keys_sql(const struct plan_table *pt, enum side side, const struct key_list *keys,
                      struct strbuf *out);

/* Keys as each side takes them: PostgreSQL's own texts, and on another target the canonical ones. */
struct side_keys {
    struct key_list of[SIDE_COUNT];
    struct rowset *canonical; /* has the target's texts; NULL = both sides take the same */
    const char **cells;       /* that point there */
};

static bool ask(struct pair *pair, const struct plan_table *pt, keys_sql *sql, const struct side_keys *keys,
                struct rowset *results[SIDE_COUNT], struct err *err)
{
    struct statement st[SIDE_COUNT];
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        st[side] = (struct statement){.sql = STRBUF_INIT(STRBUF_SQL_MAX)};
        sql(pt, side, &keys->of[side], &st[side].sql);
    }
    bool ok = pair_query(pair, st, results, err);
    for (int side = 0; side < SIDE_COUNT; side++)
        strbuf_release(&st[side].sql);
    return ok;
}

static bool explain(struct engine *engine, struct pair *pair, struct plan_table *pt,
                    const struct side_keys *keys, struct err *err)
{
    struct rowset *results[SIDE_COUNT] = {NULL};
    if (!engine_has_room(engine, pt))
        return true;
    if (!ask(pair, pt, sql_keys_rows, keys, results, err))
        return false;
    struct row_list lists[SIDE_COUNT] = {row_list_of(results[SIDE_SOURCE]),
                                         row_list_of(results[SIDE_TARGET])};
    row_lists_subtract(lists, pt->key_count);
    bool ok = rows_explain(engine, pair, pt, lists, true, err);
    free(lists[SIDE_SOURCE].rows);
    free(lists[SIDE_TARGET].rows);
    pair_results_free(results);
    return ok;
}

static bool compare_digests(struct engine *engine, struct pair *pair, struct plan_table *pt,
                            const struct side_keys *keys, bool *ret_same, uint64_t *ret_rows, struct err *err)
{
    struct rowset *results[SIDE_COUNT] = {NULL};
    uint64_t rows[SIDE_COUNT];
    if (!ask(pair, pt, sql_keys_digest, keys, results, err))
        return false;
    for (int side = 0; side < SIDE_COUNT; side++)
        rows[side] = (uint64_t)rowset_int64(results[side], 0, 0);
    *ret_same =
        rows[0] == rows[1] && strcmp(rowset_cell(results[0], 0, 1), rowset_cell(results[1], 0, 1)) == 0;
    *ret_rows = rows[SIDE_SOURCE];
    pair_results_free(results);
    atomic_fetch_add(&engine->rows_done, (long long)rows[SIDE_SOURCE]);
    pthread_mutex_lock(&pt->lock);
    pt->out.rows_source += rows[SIDE_SOURCE];
    pt->out.rows_target += rows[SIDE_TARGET];
    pt->out.chunks++;
    pt->out.chunks_differing += !*ret_same;
    pthread_mutex_unlock(&pt->lock);
    return true;
}

/* The canonical texts are the source's to make: it has no rows of keys that were deleted, but the forms are of values. */
static bool make_canonical(struct pair *pair, const struct plan_table *pt, struct side_keys *keys,
                           struct err *err)
{
    const struct key_list *own = &keys->of[SIDE_SOURCE];
    struct statement st = {.sql = STRBUF_INIT(STRBUF_SQL_MAX)};
    sql_key_texts(pt, own, &st.sql);
    bool ok = session_query(pair->session[SIDE_SOURCE], &st, &keys->canonical, err);
    strbuf_release(&st.sql);
    if (!ok) {
        (void)!session_recover(pair->session[SIDE_SOURCE], NULL); /* what is broken shows with the next */
        return err_wrap(err, "source: texts of changed keys");
    }
    keys->cells = xcalloc(own->count * pt->key_count, sizeof *keys->cells);
    for (size_t i = 0; i < own->count * pt->key_count; i++) {
        int row = (int)(i / pt->key_count), column = (int)(i % pt->key_count);
        if (row >= rowset_rows(keys->canonical))
            return err_set(err, ERR_PROTOCOL, "source: texts of changed keys: %d rows for %zu keys", row,
                           own->count);
        if (!rowset_is_null(keys->canonical, row, column)) /* else the target can have no such row */
            keys->cells[i] = rowset_cell(keys->canonical, row, column);
    }
    keys->of[SIDE_TARGET] = (struct key_list){keys->cells, own->count};
    return true;
}

bool keys_compare(struct engine *engine, struct pair *pair, struct plan_table *pt,
                  const struct key_batch *batch, bool *ret_same, uint64_t *ret_rows, struct err *err)
{
    int64_t started_us = clock_mono_us();
    const char **cells = xcalloc(batch->count * pt->key_count, sizeof *cells);
    const char *p = batch->bytes;
    for (size_t i = 0; i < batch->count * pt->key_count; i++, p += strlen(p) + 1)
        cells[i] = p;
    const struct key_list own = {.cells = cells, .count = batch->count};
    struct side_keys keys = {.of = {own, own}};
    bool ok = (!pt->as_text || make_canonical(pair, pt, &keys, err)) &&
              compare_digests(engine, pair, pt, &keys, ret_same, ret_rows, err) &&
              (*ret_same || explain(engine, pair, pt, &keys, err));
    free(cells);
    free(keys.cells);
    rowset_free(keys.canonical);
    pthread_mutex_lock(&pt->lock);
    pt->out.duration_us += clock_mono_us() - started_us;
    pthread_mutex_unlock(&pt->lock);
    return ok;
}
