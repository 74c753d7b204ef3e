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

static bool ask(struct pair *pair, const struct plan_table *pt, keys_sql *sql, const struct key_list *keys,
                struct rowset *results[SIDE_COUNT], struct err *err)
{
    struct statement st[SIDE_COUNT];
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        st[side] = (struct statement){.sql = STRBUF_INIT(STRBUF_SQL_MAX)};
        sql(pt, side, keys, &st[side].sql);
    }
    bool ok = pair_query(pair, st, results, err);
    for (int side = 0; side < SIDE_COUNT; side++)
        strbuf_release(&st[side].sql);
    return ok;
}

static bool explain(struct engine *engine, struct pair *pair, struct plan_table *pt,
                    const struct key_list *keys, struct err *err)
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
                            const struct key_list *keys, bool *ret_same, uint64_t *ret_rows, struct err *err)
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

bool keys_compare(struct engine *engine, struct pair *pair, struct plan_table *pt,
                  const struct key_batch *batch, bool *ret_same, uint64_t *ret_rows, struct err *err)
{
    int64_t started_us = clock_mono_us();
    const char **cells = xcalloc(batch->count * pt->key_count, sizeof *cells);
    const char *p = batch->bytes;
    for (size_t i = 0; i < batch->count * pt->key_count; i++, p += strlen(p) + 1)
        cells[i] = p;
    const struct key_list keys = {.cells = cells, .count = batch->count};
    bool ok = compare_digests(engine, pair, pt, &keys, ret_same, ret_rows, err) &&
              (*ret_same || explain(engine, pair, pt, &keys, err));
    free(cells);
    pthread_mutex_lock(&pt->lock);
    pt->out.duration_us += clock_mono_us() - started_us;
    pthread_mutex_unlock(&pt->lock);
    return ok;
}
