/* Owns: pairing rows by key and saying which columns differ. See rows.h. */
#include "rows.h"

#include <stdlib.h>
#include <string.h>

#include "collated.h"
#include "core/alloc.h"
#include "sqlgen.h"
#include "strays.h"
#include "unicode.h"

/* Rows looked up with one statement: few where values may be long, many where each lookup reads the whole
 * table. */
#define LOOKUP_ROWS_INDEXED 20
#define LOOKUP_ROWS_SCAN    500

struct row_list row_list_of(const struct rowset *res)
{
    struct row_list list = {.count = (size_t)rowset_rows(res)};
    list.rows = xcalloc(list.count, sizeof *list.rows);
    for (size_t i = 0; i < list.count; i++)
        list.rows[i] = (struct row_ref){res, (int)i};
    return list;
}

static int compare_cells(const struct row_ref *a, const struct row_ref *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int c = strcmp(rowset_cell(a->res, a->row, (int)i), rowset_cell(b->res, b->row, (int)i));
        if (c != 0)
            return c;
    }
    return 0;
}

static int compare_rows(const void *a, const void *b, void *key_count)
{
    return compare_cells(a, b, *(const size_t *)key_count + 1); /* the hash stands behind the key */
}

void row_lists_subtract(struct row_list lists[SIDE_COUNT], size_t key_count)
{
    struct row_list *a = &lists[SIDE_SOURCE], *b = &lists[SIDE_TARGET];
    size_t i = 0, j = 0, left_a = 0, left_b = 0;
    if (a->count > 1)
        qsort_r(a->rows, a->count, sizeof *a->rows, compare_rows, &key_count);
    if (b->count > 1)
        qsort_r(b->rows, b->count, sizeof *b->rows, compare_rows, &key_count);
    while (i < a->count || j < b->count) {
        int c = i == a->count ? 1 : j == b->count ? -1 : compare_rows(&a->rows[i], &b->rows[j], &key_count);
        if (c == 0) {
            i++, j++;
        } else if (c < 0) {
            a->rows[left_a++] = a->rows[i++];
        } else {
            b->rows[left_b++] = b->rows[j++];
        }
    }
    a->count = left_a;
    b->count = left_b;
}

/* A key to look up on both sides. */
struct candidate {
    struct row_ref key[SIDE_COUNT]; /* one key; of two texts if they are apart */
    bool apart;
    bool on[SIDE_COUNT]; /* the hashes of this side named it */
};

static struct candidate *make_candidates(const struct row_list lists[SIDE_COUNT], size_t key_count,
                                         size_t *ret_count)
{
    const struct row_list *a = &lists[SIDE_SOURCE], *b = &lists[SIDE_TARGET];
    struct candidate *list = xcalloc(a->count + b->count, sizeof *list);
    size_t n = 0, i = 0, j = 0;
    while (i < a->count || j < b->count) {
        int c = i == a->count ? 1 : j == b->count ? -1 : compare_cells(&a->rows[i], &b->rows[j], key_count);
        struct candidate *cand = &list[n++];
        cand->key[SIDE_SOURCE] = cand->key[SIDE_TARGET] = c <= 0 ? a->rows[i] : b->rows[j];
        cand->on[SIDE_SOURCE] = c <= 0;
        cand->on[SIDE_TARGET] = c >= 0;
        /* the same key may come again on a side without a unique index: once is enough, the lookup finds all
         */
        while (i < a->count && compare_cells(&a->rows[i], &cand->key[SIDE_SOURCE], key_count) == 0)
            i++;
        while (j < b->count && compare_cells(&b->rows[j], &cand->key[SIDE_SOURCE], key_count) == 0)
            j++;
    }
    *ret_count = n;
    return list;
}

/* Rows [first, first + count) of a lookup's result that belong to one candidate. */
struct found {
    const struct rowset *res;
    int first, count;
    const bool *
        alike; /* target: of each column of each row of res, whether its text is the source's by collation; NULL = none is */
};

static const char *shown(const struct found *f, int row, size_t column)
{
    int c = (int)column + 1;
    return f->count == 0 || rowset_is_null(f->res, f->first + row, c)
               ? NULL
               : rowset_cell(f->res, f->first + row, c);
}

/* What stands for that value in a report. */
static const char *readable(const struct found *f, int row, const struct plan_table *pt, size_t column)
{
    size_t at = pt->columns[column].shown_at;
    return shown(f, row, at > 0 ? at - 1 : column);
}

static bool same_value(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* *leniently is set where they are not the same, but count as such. */
static bool same_cell(const struct plan_table *pt, const struct found *s, const struct found *t, int t_row,
                      size_t column, bool *leniently)
{
    if (same_value(shown(s, 0, column), shown(t, t_row, column)))
        return true;
    const char *a = readable(s, 0, pt, column), *b = readable(t, t_row, pt, column);
    bool same = a != NULL && b != NULL &&
                (lenient_same(&pt->columns[column].lenient, a, b) ||
                 (t->alike != NULL && t->alike[(size_t)(t->first + t_row) * pt->column_count + column]));
    *leniently = *leniently || same;
    return same;
}

static bool same_shown(const struct plan_table *pt, const struct found *s, const struct found *t, int t_row,
                       bool *leniently)
{
    *leniently = false;
    for (size_t i = 0; i < pt->column_count; i++) {
        if (!same_cell(pt, s, t, t_row, i, leniently))
            return false;
    }
    return true;
}

/* Cells of one row (missing, extra) or of the columns that differ (changed). Keys stand in front. */
static void fill_cells(struct compare_difference *diff, const struct plan_table *pt, const struct found *s,
                       const struct found *t, int t_row)
{
    for (size_t i = 0; i < pt->column_count; i++) {
        const struct plan_column *col = &pt->columns[i];
        bool on_source = diff->kind != DIFF_EXTRA, on_target = diff->kind != DIFF_MISSING;
        const char *sv = on_source ? readable(s, 0, pt, i) : NULL;
        const char *tv = on_target ? readable(t, t_row, pt, i) : NULL;
        bool leniently = false, same = on_source && on_target && same_cell(pt, s, t, t_row, i, &leniently);
        if (!same && (!col->is_key || diff->kind == DIFF_CHANGED))
            difference_add_column(diff, col->name, sv, tv);
        if (col->is_key)
            difference_add_key(diff, col->name, sv, tv);
    }
}

/* What is shown of a key may be shortened: this is all of it. */
static void keep_key(struct compare_difference *diff, const struct plan_table *pt, const struct row_ref *key)
{
    if (pt->key_count == 0)
        return;
    for (size_t k = 0; k < pt->key_count; k++)
        diff->key_texts_len += strlen(rowset_cell(key->res, key->row, (int)k)) + 1;
    diff->key_texts = xcalloc(pt->key_count, sizeof *diff->key_texts);
    char *at = xcalloc(diff->key_texts_len, 1);
    for (size_t k = 0; k < pt->key_count; k++) {
        diff->key_texts[k] = at;
        at = stpcpy(at, rowset_cell(key->res, key->row, (int)k)) + 1;
    }
}

static void add_difference(struct engine *engine, struct plan_table *pt, const struct candidate *cand,
                           enum compare_kind kind, const struct found *s, const struct found *t, int t_row)
{
    struct compare_difference diff = {.kind = kind, .key_alike = cand->apart && kind == DIFF_CHANGED};
    keep_key(&diff, pt, &cand->key[kind == DIFF_EXTRA ? SIDE_TARGET : SIDE_SOURCE]);
    diff.copies_source = kind != DIFF_EXTRA;
    diff.copies_target = kind != DIFF_MISSING;
    fill_cells(&diff, pt, s, t, t_row);
    engine_add_difference(engine, pt, &diff);
}

static bool inside(const struct plan_table *pt, enum side side, const struct found *f, int row)
{
    return pt->whole[side] == NULL || rowset_bool(f->res, f->first + row, (int)pt->inside_at);
}

/* Equal, and the condition chooses the row on one side alone: it means another thing on each. */
static bool is_split(struct plan_table *pt, const struct found *s, const struct found *t, int partner)
{
    bool split = partner >= 0 && inside(pt, SIDE_SOURCE, s, 0) != inside(pt, SIDE_TARGET, t, partner);
    pt->split += split;
    return split;
}

/* Both sides have rows under this key. What the target alone names with an equal key is told with the
 * source's row. */
static void judge_both(struct engine *engine, struct plan_table *pt, const struct candidate *cand,
                       const struct found *s, const struct found *t, bool complete)
{
    int partner = -1;
    bool leniently = false;
    for (int i = 0; i < t->count && partner < 0; i++) {
        if (same_shown(pt, s, t, i, &leniently))
            partner = i;
    }
    if (is_split(pt, s, t, partner) ||
        (partner < 0 && !cand->on[SIDE_SOURCE] && inside(pt, SIDE_SOURCE, s, 0)))
        return;
    if (partner >= 0 && leniently && t->count == 1) {
        pt->lenient_rows += cand->on[SIDE_SOURCE]; /* buckets name it twice: each hash has its own */
        return;
    }
    if (partner >= 0 && t->count == 1 && cand->on[SIDE_SOURCE] != cand->on[SIDE_TARGET]) {
        pt->order_suspect = pt->order_suspect || complete; /* the row is there and equal, in another range */
        pt->out.more = pt->out.more || !complete;
    } else if (partner < 0 || t->count == 1) {
        add_difference(engine, pt, cand, DIFF_CHANGED, s, t, partner = 0);
    }
    for (int i = 0; i < t->count; i++) {
        if (i != partner && inside(pt, SIDE_TARGET, t, i))
            add_difference(engine, pt, cand, DIFF_EXTRA, s, t, i);
    }
}

static void judge(struct engine *engine, struct plan_table *pt, const struct candidate *cand,
                  const struct found *s, const struct found *t, bool complete)
{
    if (s->count == 0 && t->count == 0)
        table_conclude(&pt->out, VERDICT_FAIL,
                       "a row was met by its key's range but is not found by its key: check "
                       "the indexes of both sides with amcheck");
    else if (s->count > 0 && t->count > 0)
        judge_both(engine, pt, cand, s, t, complete);
    else if (!cand->apart &&
             strays_keep(pt, s->count > 0 ? SIDE_SOURCE : SIDE_TARGET, &cand->key[SIDE_SOURCE]))
        return;
    else if (s->count > 0)
        add_difference(engine, pt, cand, DIFF_MISSING, s, t, 0);
    for (int i = 0; s->count == 0 && i < t->count; i++)
        add_difference(engine, pt, cand, DIFF_EXTRA, s, t, i);
}

/* The rows of `res` whose first cell is n; *pos moves behind them. */
static struct found take_found(const struct rowset *res, int64_t n, int *pos)
{
    struct found f = {.res = res, .first = *pos};
    while (*pos < rowset_rows(res) && rowset_int64(res, *pos, 0) == n) {
        (*pos)++;
        f.count++;
    }
    return f;
}

static void judge_all(struct engine *engine, struct plan_table *pt, const struct candidate *batch,
                      size_t count, struct rowset *const results[SIDE_COUNT], const bool *alike,
                      bool complete)
{
    int pos[SIDE_COUNT] = {0};
    for (size_t i = 0; i < count; i++) {
        struct found s = take_found(results[SIDE_SOURCE], (int64_t)i + 1, &pos[SIDE_SOURCE]);
        struct found t = take_found(results[SIDE_TARGET], (int64_t)i + 1, &pos[SIDE_TARGET]);
        t.alike = alike;
        if (engine_has_room(engine, pt)) {
            pthread_mutex_lock(&pt->lock);
            judge(engine, pt, &batch[i], &s, &t, complete);
            pthread_mutex_unlock(&pt->lock);
        }
    }
}

/* ---- what collations say ---- */

/* Texts of a batch that a collation is asked about, and the places of the answers. */
struct asking {
    struct collated_pair *pairs;
    size_t *places;
    size_t count;
};

static char *normal(const struct lenient *lenient, const char *text)
{
    char *nfc = lenient->nfc ? unicode_nfc(text) : NULL;
    return nfc != NULL ? nfc : xstrdup(text);
}

static void ask_of_row(const struct plan_table *pt, const struct found *s, const struct found *t, int t_row,
                       struct asking *asking)
{
    for (size_t c = 0; c < pt->column_count; c++) {
        const struct plan_column *column = &pt->columns[c];
        const char *a = shown(s, 0, c), *b = shown(t, t_row, c);
        if (!column->lenient.collated || a == NULL || b == NULL || strcmp(a, b) == 0)
            continue;
        asking->pairs = xrealloc(asking->pairs, (asking->count + 1) * sizeof *asking->pairs);
        asking->places = xrealloc(asking->places, (asking->count + 1) * sizeof *asking->places);
        asking->pairs[asking->count] = (struct collated_pair){&column->collation, normal(&column->lenient, a),
                                                              normal(&column->lenient, b), false};
        asking->places[asking->count++] = (size_t)(t->first + t_row) * pt->column_count + c;
    }
}

static bool any_collated(const struct plan_table *pt)
{
    for (size_t c = 0; c < pt->column_count; c++) {
        if (pt->columns[c].lenient.collated)
            return true;
    }
    return false;
}

/* *ret_alike: see struct found; malloc'd, NULL = no collation has a say. */
static bool ask_collations(struct pair *pair, const struct plan_table *pt, size_t count,
                           struct rowset *const results[SIDE_COUNT], bool **ret_alike, struct err *err)
{
    struct asking asking = {0};
    int pos[SIDE_COUNT] = {0};
    if (!any_collated(pt))
        return true;
    for (size_t i = 0; i < count; i++) {
        struct found s = take_found(results[SIDE_SOURCE], (int64_t)i + 1, &pos[SIDE_SOURCE]);
        struct found t = take_found(results[SIDE_TARGET], (int64_t)i + 1, &pos[SIDE_TARGET]);
        for (int row = 0; s.count > 0 && row < t.count; row++)
            ask_of_row(pt, &s, &t, row, &asking);
    }
    bool ok = collated_ask(pair, asking.pairs, asking.count, err);
    *ret_alike =
        xcalloc((size_t)rowset_rows(results[SIDE_TARGET]) * pt->column_count + 1, sizeof **ret_alike);
    for (size_t i = 0; i < asking.count; i++) {
        (*ret_alike)[asking.places[i]] = asking.pairs[i].same;
        free(asking.pairs[i].a);
        free(asking.pairs[i].b);
    }
    free(asking.pairs);
    free(asking.places);
    return ok;
}

static bool look_up(struct engine *engine, struct pair *pair, struct plan_table *pt,
                    const struct candidate *batch, size_t count, bool complete, struct err *err)
{
    const char **cells = xcalloc(count * pt->key_count, sizeof *cells);
    struct statement st[SIDE_COUNT];
    struct rowset *results[SIDE_COUNT] = {NULL};
    bool *alike = NULL;
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        st[side] = (struct statement){.sql = STRBUF_INIT(STRBUF_SQL_MAX)};
        for (size_t i = 0; i < count * pt->key_count; i++) {
            const struct row_ref *key = &batch[i / pt->key_count].key[side];
            cells[i] = rowset_cell(key->res, key->row, (int)(i % pt->key_count));
        }
        sql_rows_by_key(pt, side, &(struct key_list){cells, count}, &st[side].sql);
    }
    bool ok = pair_query(pair, st, results, err) && ask_collations(pair, pt, count, results, &alike, err);
    if (ok)
        judge_all(engine, pt, batch, count, results, alike, complete);
    free(alike);
    pair_results_free(results);
    for (int side = 0; side < SIDE_COUNT; side++)
        strbuf_release(&st[side].sql);
    free(cells);
    return ok;
}

static bool look_up_all(struct engine *engine, struct pair *pair, struct plan_table *pt,
                        const struct candidate *cands, size_t count, bool complete, struct err *err)
{
    size_t batch = pt->target_indexed ? LOOKUP_ROWS_INDEXED : LOOKUP_ROWS_SCAN;
    bool ok = true;
    for (size_t i = 0; ok && i < count && engine_has_room(engine, pt); i += batch)
        ok = look_up(engine, pair, pt, &cands[i], MIN_OF(batch, count - i), complete, err);
    return ok;
}

bool rows_explain(struct engine *engine, struct pair *pair, struct plan_table *pt,
                  const struct row_list lists[SIDE_COUNT], bool complete, struct err *err)
{
    size_t count = 0;
    struct candidate *cands = make_candidates(lists, pt->key_count, &count);
    bool ok = look_up_all(engine, pair, pt, cands, count, complete, err);
    free(cands);
    return ok;
}

bool rows_explain_pairs(struct engine *engine, struct pair *pair, struct plan_table *pt,
                        const struct row_list lists[SIDE_COUNT], struct err *err)
{
    size_t count = lists[SIDE_SOURCE].count;
    struct candidate *cands = xcalloc(count, sizeof *cands);
    for (size_t i = 0; i < count; i++)
        cands[i] = (struct candidate){.key = {lists[SIDE_SOURCE].rows[i], lists[SIDE_TARGET].rows[i]},
                                      .apart = true,
                                      .on = {true, true}};
    bool ok = look_up_all(engine, pair, pt, cands, count, true, err);
    free(cands);
    return ok;
}

static void add_hash_difference(struct engine *engine, struct plan_table *pt, const struct hash_count *h,
                                const struct found *f)
{
    bool missing = h->copies[SIDE_SOURCE] > h->copies[SIDE_TARGET];
    struct compare_difference diff = {.kind = missing ? DIFF_MISSING : DIFF_EXTRA};
    diff.copies_source = h->copies[SIDE_SOURCE];
    diff.copies_target = h->copies[SIDE_TARGET];
    fill_cells(&diff, pt, f, f, 0);
    pthread_mutex_lock(&pt->lock);
    engine_add_difference(engine, pt, &diff);
    pthread_mutex_unlock(&pt->lock);
}

static int found_hash(const struct rowset *res, const char *hash)
{
    for (int i = 0; i < rowset_rows(res); i++) {
        if (strcmp(rowset_cell(res, i, 0), hash) == 0)
            return i;
    }
    return -1;
}

static void report_hashes(struct engine *engine, struct plan_table *pt, const struct hash_count *hashes,
                          size_t count, struct rowset *const results[SIDE_COUNT])
{
    for (size_t i = 0; i < count && engine_has_room(engine, pt); i++) {
        enum side side =
            hashes[i].copies[SIDE_SOURCE] > hashes[i].copies[SIDE_TARGET] ? SIDE_SOURCE : SIDE_TARGET;
        int row = found_hash(results[side], hashes[i].hash);
        if (row >= 0)
            add_hash_difference(engine, pt, &hashes[i],
                                &(struct found){.res = results[side], .first = row, .count = 1});
    }
}

bool rows_explain_hashes(struct engine *engine, struct pair *pair, struct plan_table *pt,
                         const struct hash_count *hashes, size_t count, struct err *err)
{
    const char **cells = xcalloc(count, sizeof *cells);
    struct statement st[SIDE_COUNT];
    struct rowset *results[SIDE_COUNT] = {NULL};
    for (size_t i = 0; i < count; i++)
        cells[i] = hashes[i].hash;
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        st[side] = (struct statement){.sql = STRBUF_INIT(STRBUF_SQL_MAX)};
        sql_rows_by_hash(pt, side, &(struct key_list){cells, count}, &st[side].sql);
    }
    bool ok = pair_query(pair, st, results, err);
    if (ok)
        report_hashes(engine, pt, hashes, count, results);
    pair_results_free(results);
    for (int side = 0; side < SIDE_COUNT; side++)
        strbuf_release(&st[side].sql);
    free(cells);
    return ok;
}
