/*
 * Owns: the comparison by hash buckets. A row's bucket comes from the first bytes of its SHA-256; per bucket
 * the sorted hashes are hashed, so neither order nor collation plays a part. A changed row shows in two
 * buckets.
 */
#include "buckets.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "range.h"
#include "rows.h"
#include "sqlgen.h"

#define ROWS_PER_BUCKET  500
#define BUCKETS_MOST     65536u
#define ROWS_FETCHED     50000 /* hashes fetched from either side in one round */
#define HASHES_EXPLAINED 500   /* keyless rows looked up in one round */

static unsigned bucket_count_for(int64_t rows)
{
    unsigned n = 16;
    while (n < BUCKETS_MOST && (int64_t)n * ROWS_PER_BUCKET < rows)
        n *= 2;
    return n;
}

static bool both_sides(struct pair *pair, struct statement st[SIDE_COUNT], struct rowset *results[SIDE_COUNT],
                       struct err *err)
{
    bool ok = pair_query(pair, st, results, err);
    strbuf_release(&st[SIDE_SOURCE].sql);
    strbuf_release(&st[SIDE_TARGET].sql);
    return ok;
}

/* Buckets of both results, in order of their numbers; one that is missing counts as empty. */
struct bucket_walk {
    struct rowset *const *results;
    int pos[SIDE_COUNT];
    int64_t bucket, rows[SIDE_COUNT];
    bool same;
};

static int64_t bucket_at(const struct bucket_walk *w, int side)
{
    return w->pos[side] < rowset_rows(w->results[side]) ? rowset_int64(w->results[side], w->pos[side], 0)
                                                        : INT64_MAX;
}

static bool bucket_next(struct bucket_walk *w)
{
    const char *hash[SIDE_COUNT] = {"", ""};
    w->bucket = MIN_OF(bucket_at(w, SIDE_SOURCE), bucket_at(w, SIDE_TARGET));
    if (w->bucket == INT64_MAX)
        return false;
    for (int side = 0; side < SIDE_COUNT; side++) {
        w->rows[side] = 0;
        if (bucket_at(w, side) == w->bucket) {
            w->rows[side] = rowset_int64(w->results[side], w->pos[side], 1);
            hash[side] = rowset_cell(w->results[side], w->pos[side]++, 2);
        }
    }
    w->same = w->rows[0] == w->rows[1] && strcmp(hash[0], hash[1]) == 0;
    return true;
}

/* Sums up, and lists the buckets that differ, in rounds of about ROWS_FETCHED rows: "1,2" NUL "7" NUL …
 */
static void sum_buckets(struct plan_table *pt, struct rowset *const results[SIDE_COUNT],
                        struct strbuf *rounds)
{
    struct bucket_walk w = {.results = results};
    int64_t in_round = 0;
    while (bucket_next(&w)) {
        pt->out.chunks++;
        pt->out.rows_source += (uint64_t)w.rows[SIDE_SOURCE];
        pt->out.rows_target += (uint64_t)w.rows[SIDE_TARGET];
        if (w.same)
            continue;
        pt->out.chunks_differing++;
        int64_t most = MAX_OF(w.rows[SIDE_SOURCE], w.rows[SIDE_TARGET]);
        bool fresh = in_round == 0 || in_round + most > ROWS_FETCHED;
        if (fresh && rounds->len > 0)
            strbuf_add(rounds, "", 1);
        strbuf_addf(rounds, "%s%lld", fresh ? "" : ",", (long long)w.bucket);
        in_round = fresh ? most : in_round + most;
    }
    if (rounds->len > 0)
        strbuf_add(rounds, "", 1);
}

static bool fetch_rows(struct pair *pair, const struct plan_table *pt, unsigned bucket_count,
                       const char *buckets, struct rowset *results[SIDE_COUNT], struct err *err)
{
    struct statement st[SIDE_COUNT];
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        st[side] = (struct statement){.sql = STRBUF_INIT(STRBUF_SQL_MAX)};
        sql_bucket_rows(pt, side, bucket_count, buckets, 2 * ROWS_FETCHED, &st[side].sql);
    }
    return both_sides(pair, st, results, err);
}

static bool fetched_all(struct rowset *const results[SIDE_COUNT])
{
    return rowset_rows(results[SIDE_SOURCE]) < 2 * ROWS_FETCHED &&
           rowset_rows(results[SIDE_TARGET]) < 2 * ROWS_FETCHED;
}

static int by_hash(const void *a, const void *b)
{
    return strcmp(((const struct hash_count *)a)->hash, ((const struct hash_count *)b)->hash);
}

/* Hashes of both sides whose counts differ. */
static struct hash_count *count_hashes(struct rowset *const results[SIDE_COUNT], size_t *ret_count)
{
    size_t n = 0, kept = 0;
    struct hash_count *list =
        xcalloc((size_t)(rowset_rows(results[0]) + rowset_rows(results[1])), sizeof *list);
    for (int side = 0; side < SIDE_COUNT; side++) {
        for (int i = 0; i < rowset_rows(results[side]); i++, n++) {
            list[n].hash = rowset_cell(results[side], i, 0);
            list[n].copies[side] = (uint64_t)rowset_int64(results[side], i, 1);
        }
    }
    if (n > 1)
        qsort(list, n, sizeof *list, by_hash);
    for (size_t i = 0; i < n; i++) {
        struct hash_count h = list[i];
        if (i + 1 < n && strcmp(list[i + 1].hash, h.hash) == 0) { /* one of each side */
            h.copies[0] += list[i + 1].copies[0];
            h.copies[1] += list[i + 1].copies[1];
            i++;
        }
        if (h.copies[0] != h.copies[1])
            list[kept++] = h;
    }
    *ret_count = kept;
    return list;
}

static bool narrow_keyless(struct engine *engine, struct pair *pair, struct plan_table *pt,
                           struct rowset *const results[SIDE_COUNT], struct err *err)
{
    size_t count = 0;
    struct hash_count *hashes = count_hashes(results, &count);
    bool ok = true;
    for (size_t i = 0; ok && i < count && engine_has_room(engine, pt); i += HASHES_EXPLAINED)
        ok = rows_explain_hashes(engine, pair, pt, &hashes[i], MIN_OF((size_t)HASHES_EXPLAINED, count - i),
                                 err);
    free(hashes);
    return ok;
}

static bool narrow_round(struct engine *engine, struct pair *pair, struct plan_table *pt,
                         unsigned bucket_count, const char *buckets, struct err *err)
{
    struct rowset *results[SIDE_COUNT] = {NULL};
    if (!fetch_rows(pair, pt, bucket_count, buckets, results, err))
        return false;
    bool ok = true;
    if (pt->key_count == 0 && !fetched_all(results)) {
        pthread_mutex_lock(&pt->lock);
        pt->out.more = true; /* what is missing in a part of the hashes may be in the rest */
        pthread_mutex_unlock(&pt->lock);
    } else if (pt->key_count == 0) {
        ok = narrow_keyless(engine, pair, pt, results, err);
    } else {
        struct row_list lists[SIDE_COUNT] = {row_list_of(results[SIDE_SOURCE]),
                                             row_list_of(results[SIDE_TARGET])};
        row_lists_subtract(lists, pt->key_count);
        /* A row changed by the pipeline's rules sits in two buckets, maybe of two rounds: seen twice, told
         * once. */
        ok = rows_explain(engine, pair, pt, lists, fetched_all(results), err);
        free(lists[SIDE_SOURCE].rows);
        free(lists[SIDE_TARGET].rows);
    }
    pair_results_free(results);
    return ok;
}

static bool read_buckets(struct pair *pair, const struct plan_table *pt, unsigned buckets,
                         struct rowset *results[SIDE_COUNT], struct err *err)
{
    struct statement st[SIDE_COUNT];
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        st[side] = (struct statement){.sql = STRBUF_INIT(STRBUF_SQL_MAX)};
        sql_bucket_digests(pt, side, buckets, &st[side].sql);
    }
    return both_sides(pair, st, results, err);
}

/* The number of buckets came of an estimate. */
struct bucket_look {
    int64_t rows; /* of the side that has more */
    bool cut;     /* a bucket has more rows than the target makes a digest of */
    bool crowded; /* one that differs has more than are fetched */
};

static struct bucket_look look_at(struct rowset *const results[SIDE_COUNT])
{
    struct bucket_look look = {0};
    struct bucket_walk w = {.results = results};
    int64_t rows[SIDE_COUNT] = {0};
    for (int i = 0; i < rowset_rows(results[SIDE_TARGET]); i++)
        look.cut = look.cut || rowset_is_null(results[SIDE_TARGET], i, 2);
    while (bucket_next(&w)) {
        rows[SIDE_SOURCE] += w.rows[SIDE_SOURCE];
        rows[SIDE_TARGET] += w.rows[SIDE_TARGET];
        look.crowded =
            look.crowded || (!w.same && MAX_OF(w.rows[SIDE_SOURCE], w.rows[SIDE_TARGET]) > ROWS_FETCHED);
    }
    look.rows = MAX_OF(rows[SIDE_SOURCE], rows[SIDE_TARGET]);
    return look;
}

/* As many buckets as the rows need, which the first look may tell. */
static bool read_enough_buckets(struct pair *pair, const struct plan_table *pt, unsigned *ret_buckets,
                                struct rowset *results[SIDE_COUNT], struct err *err)
{
    *ret_buckets = bucket_count_for(pt->rows_estimate);
    if (!read_buckets(pair, pt, *ret_buckets, results, err))
        return false;
    struct bucket_look look = look_at(results);
    unsigned wanted = bucket_count_for(look.rows);
    if ((look.cut || look.crowded) && wanted > *ret_buckets) {
        pair_results_free(results);
        *ret_buckets = wanted;
        if (!read_buckets(pair, pt, wanted, results, err))
            return false;
        look = look_at(results);
    }
    return !look.cut || range_no_digest(err);
}

static bool compare_all(struct engine *engine, struct pair *pair, struct plan_table *pt, struct err *err)
{
    unsigned buckets = 0;
    struct rowset *results[SIDE_COUNT] = {NULL};
    struct strbuf rounds = STRBUF_INIT(STRBUF_SQL_MAX);
    bool ok = read_enough_buckets(pair, pt, &buckets, results, err);
    if (ok) {
        pthread_mutex_lock(&pt->lock);
        sum_buckets(pt, results, &rounds);
        atomic_fetch_add(&engine->rows_done, (long long)pt->out.rows_source);
        pthread_mutex_unlock(&pt->lock);
        ok = strbuf_ok(&rounds, "buckets", err);
    }
    pair_results_free(results);
    for (const char *round = rounds.data; ok && round < rounds.data + rounds.len;
         round += strlen(round) + 1) {
        if (!engine_has_room(engine, pt))
            break;
        ok = narrow_round(engine, pair, pt, buckets, round, err);
    }
    strbuf_release(&rounds);
    return ok;
}

bool buckets_compare(struct engine *engine, struct pair *pair, struct plan_table *pt, struct err *err)
{
    int64_t started_us = clock_mono_us();
    /* The whole table is read: its pages in their order are the fastest way. */
    bool ok = pair_scan_whole(pair, true, err) && compare_all(engine, pair, pt, err);
    struct err later = ERR_INIT;
    bool reset = pair_scan_whole(pair, false, ok ? err : &later);
    pthread_mutex_lock(&pt->lock);
    pt->out.method = METHOD_BUCKETS;
    pt->out.duration_us += clock_mono_us() - started_us;
    pthread_mutex_unlock(&pt->lock);
    return ok && reset;
}
