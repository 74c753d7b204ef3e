/* Owns: SHA-256 of a key range on both sides, and walking the source's keys. */
#include "range.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "sqlgen.h"

struct range_bounds range_bounds_of(const struct key_range *range)
{
    return (struct range_bounds){.lower = range->lower != NULL, .upper = range->upper != NULL};
}

void range_statement_init(struct range_statement *rs, const struct plan_table *pt,
                          const struct key_range *range)
{
    int n = 0;
    rs->params = xcalloc(2 * pt->key_count, sizeof *rs->params);
    for (size_t i = 0; range->lower != NULL && i < pt->key_count; i++)
        rs->params[n++] = range->lower[i];
    for (size_t i = 0; range->upper != NULL && i < pt->key_count; i++)
        rs->params[n++] = range->upper[i];
    for (int side = 0; side < SIDE_COUNT; side++)
        rs->sides[side] =
            (struct statement){.sql = STRBUF_INIT(STRBUF_SQL_MAX), .param_count = n, .params = rs->params};
}

void range_statement_release(struct range_statement *rs)
{
    strbuf_release(&rs->sides[SIDE_SOURCE].sql);
    strbuf_release(&rs->sides[SIDE_TARGET].sql);
    free(rs->params);
}

bool range_no_digest(struct err *err)
{
    return err_set(
        err, ERR_DATA,
        "target: what is hashed of a row, or the hashes of a part's rows, are longer than one value "
        "of the server may be: raise its max_allowed_packet");
}

bool range_digests(struct pair *pair, const struct plan_table *pt, const struct key_range *range,
                   int64_t limit_rows, struct range_digest *ret, struct err *err)
{
    struct range_statement rs;
    struct rowset *results[SIDE_COUNT] = {NULL};
    range_statement_init(&rs, pt, range);
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT;
         side++) /* one row more on the target is enough to differ */
        sql_range_digest(pt, side, range_bounds_of(range), limit_rows + 1, &rs.sides[side].sql);
    bool ok = pair_query(pair, rs.sides, results, err) &&
              (!rowset_is_null(results[SIDE_TARGET], 0, 1) || range_no_digest(err));
    if (ok) {
        for (int side = 0; side < SIDE_COUNT; side++)
            ret->rows[side] = rowset_int64(results[side], 0, 0);
        ret->same = ret->rows[0] == ret->rows[1] &&
                    strcmp(rowset_cell(results[0], 0, 1), rowset_cell(results[1], 0, 1)) == 0;
        ret->capped = ret->rows[SIDE_TARGET] > limit_rows;
    }
    pair_results_free(results);
    range_statement_release(&rs);
    return ok;
}

static bool count_target(struct pair *pair, const struct plan_table *pt, const struct key_range *range,
                         int64_t *ret_rows, struct err *err)
{
    struct range_statement rs;
    range_statement_init(&rs, pt, range);
    struct statement *st = &rs.sides[SIDE_TARGET];
    sql_range_count(pt, SIDE_TARGET, range_bounds_of(range), &st->sql);
    bool ok =
        strbuf_ok(&st->sql, "statement", err) &&
        session_int64(pair->session[SIDE_TARGET], st->sql.data, st->param_count, st->params, ret_rows, err);
    range_statement_release(&rs);
    return ok;
}

bool range_compare(struct engine *engine, struct pair *pair, struct plan_table *pt,
                   const struct key_range *range, struct range_digest *ret, struct err *err)
{
    int64_t started_us = clock_mono_us();
    struct range_digest digest = {0};
    if (!range_digests(pair, pt, range, engine->chunk_rows, &digest, err))
        return false;
    if (digest.capped && !count_target(pair, pt, range, &digest.rows[SIDE_TARGET], err))
        return false;
    atomic_fetch_add(&engine->rows_done, digest.rows[SIDE_SOURCE]);
    pthread_mutex_lock(&pt->lock);
    pt->out.rows_source += (uint64_t)digest.rows[SIDE_SOURCE];
    pt->out.rows_target += (uint64_t)digest.rows[SIDE_TARGET];
    pt->out.chunks++;
    pt->out.chunks_differing += !digest.same;
    pthread_mutex_unlock(&pt->lock);
    bool ok = digest.same || range_narrow(engine, pair, pt, range, digest.rows[SIDE_SOURCE], err);
    pthread_mutex_lock(&pt->lock);
    pt->out.duration_us += clock_mono_us() - started_us;
    pthread_mutex_unlock(&pt->lock);
    *ret = digest;
    return ok;
}

bool range_walk(struct session *source, const struct plan_table *pt, char *const *lower, int64_t offset_rows,
                char ***ret_key, struct err *err)
{
    ROWSET_AUTO res = NULL;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    sql_range_walk(pt, SIDE_SOURCE, lower != NULL, offset_rows, &sql);
    bool ok = strbuf_ok(&sql, "statement", err) &&
              session_ask(source, sql.data, lower != NULL ? (int)pt->key_count : 0,
                          (const char *const *)lower, &res, err);
    strbuf_release(&sql);
    if (!ok)
        return err_wrap(err, "source: walking the key");
    *ret_key = NULL;
    if (rowset_rows(res) == 1) {
        char **key = xcalloc(pt->key_count + 1, sizeof *key);
        for (size_t i = 0; i < pt->key_count; i++)
            key[i] = xstrdup(rowset_cell(res, 0, (int)i));
        *ret_key = key;
    }
    return true;
}
