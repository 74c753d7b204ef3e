/* Owns: putting keys together that are not the same text. See strays.h. */
#include "strays.h"

#include <stdlib.h>
#include <string.h>

#include "collated.h"
#include "core/alloc.h"
#include "session_impl.h"
#include "unicode.h"

/* Of a table, both sides together: they go to a server in one statement. */
#define STRAYS_MOST  40000
#define STRAYS_BYTES ((size_t)2 << 20)

/* A key: its texts, each with its NUL, one behind the other. */
struct stray {
    enum side side;
    char *texts;
};

struct strays {
    struct stray *list;
    size_t count, bytes;
    bool full, settled;
};

/* A key that may belong to another one. */
struct keyed {
    enum side side;
    size_t index;                /* the caller's */
    const char *texts;           /* as stray.texts; the caller's */
    struct strbuf form;          /* equal ones belong together */
    const struct keyed *partner; /* of the other side; NULL = none, or more than one */
};

struct strays *strays_new(void)
{
    return xcalloc(1, sizeof(struct strays));
}

void strays_clear(struct strays *strays)
{
    if (strays == NULL)
        return;
    for (size_t i = 0; i < strays->count; i++)
        free(strays->list[i].texts);
    free(strays->list);
    *strays = (struct strays){0};
}

void strays_free(struct strays *strays)
{
    strays_clear(strays);
    free(strays);
}

bool strays_keep(struct plan_table *pt, enum side side, const struct row_ref *key)
{
    struct strays *strays = pt->strays;
    size_t bytes = 0;
    if (strays == NULL || strays->settled)
        return false;
    for (size_t k = 0; k < pt->key_count; k++)
        bytes += strlen(rowset_cell(key->res, key->row, (int)k)) + 1;
    strays->full = strays->full || strays->count == STRAYS_MOST || strays->bytes + bytes > STRAYS_BYTES;
    if (strays->full)
        return false;
    if ((strays->count & (strays->count - 1)) == 0) /* doubled at each power of two */
        strays->list =
            xrealloc(strays->list, (strays->count > 0 ? strays->count * 2 : 1) * sizeof *strays->list);
    char *at = xcalloc(bytes, 1);
    strays->list[strays->count++] = (struct stray){side, at};
    strays->bytes += bytes;
    for (size_t k = 0; k < pt->key_count; k++)
        at = stpcpy(at, rowset_cell(key->res, key->row, (int)k)) + 1;
    return true;
}

/* ---- which belong together ---- */

static const char *text_at(const char *texts, size_t k)
{
    for (; k > 0; k--)
        texts += strlen(texts) + 1;
    return texts;
}

/* How texts of a key's column are held against each other. */
struct likeness {
    bool nfc;
    const struct collation *by; /* NULL = none */
};

/* in_any_way: as if everything were configured that could be. */
static struct likeness likeness_of(const struct plan_table *pt, size_t k, bool in_any_way)
{
    const struct plan_column *c = plan_column_named(pt, pt->keys[k].name);
    if (c == NULL || !c->is_text)
        return (struct likeness){0};
    bool collated = c->collation.name != NULL && (in_any_way || c->lenient.collated);
    return (struct likeness){in_any_way || c->lenient.nfc, collated ? &c->collation : NULL};
}

static char *normal(const struct likeness *like, const char *text)
{
    char *nfc = like->nfc ? unicode_nfc(text) : NULL;
    return nfc != NULL ? nfc : xstrdup(text);
}

/* Adds the form of one column to all keys. */
static bool add_column_form(struct pair *pair, const struct likeness *like, size_t k, struct keyed *keys,
                            size_t count, struct err *err)
{
    char **texts = xcalloc(count, sizeof *texts);
    int64_t *ranks = xcalloc(count, sizeof *ranks);
    for (size_t i = 0; i < count; i++)
        texts[i] = normal(like, text_at(keys[i].texts, k));
    bool ok = like->by == NULL || collated_ranks(pair, like->by, texts, count, ranks, err);
    for (size_t i = 0; i < count; i++) {
        if (like->by != NULL)
            strbuf_addf(&keys[i].form, "%lld,", (long long)ranks[i]);
        else
            strbuf_addf(&keys[i].form, "%zu:%s,", strlen(texts[i]), texts[i]);
        free(texts[i]);
    }
    free(texts);
    free(ranks);
    return ok;
}

static int by_form(const void *a, const void *b)
{
    const struct keyed *x = *(const struct keyed *const *)a, *y = *(const struct keyed *const *)b;
    int c = strcmp(x->form.data, y->form.data);
    return c != 0 ? c : (int)x->side - (int)y->side;
}

/* One key of either side: which of several belong together cannot be told. */
static void find_partners(struct keyed *keys, size_t count)
{
    struct keyed **order = xcalloc(count, sizeof(struct keyed *));
    for (size_t i = 0; i < count; i++)
        order[i] = &keys[i];
    qsort(order, count, sizeof(struct keyed *), by_form);
    for (size_t i = 0, next; i < count; i = next) {
        for (next = i + 1; next < count && strcmp(order[i]->form.data, order[next]->form.data) == 0;)
            next++;
        if (next == i + 2 && order[i]->side != order[i + 1]->side) {
            order[i]->partner = order[i + 1];
            order[i + 1]->partner = order[i];
        }
    }
    free(order);
}

static bool pair_up(struct pair *pair, const struct plan_table *pt, bool in_any_way, struct keyed *keys,
                    size_t count, struct err *err)
{
    bool ok = true;
    for (size_t i = 0; i < count; i++)
        keys[i].form = (struct strbuf)STRBUF_INIT(STRBUF_SQL_MAX);
    for (size_t k = 0; ok && k < pt->key_count; k++) {
        struct likeness like = likeness_of(pt, k, in_any_way);
        ok = add_column_form(pair, &like, k, keys, count, err);
    }
    if (ok)
        find_partners(keys, count);
    for (size_t i = 0; i < count; i++)
        strbuf_release(&keys[i].form);
    return ok;
}

/* ---- their rows ---- */

/* Keys as a result of (key columns, hash), the way rows_explain() takes them. */
struct key_rows {
    struct rowset *set;
    struct row_list list;
};

static struct key_rows key_rows_make(const struct plan_table *pt, size_t most)
{
    struct key_rows rows = {.set = rowset_new((int)most, (int)pt->key_count + 1, NULL, NULL)};
    rows.list.rows = xcalloc(most, sizeof *rows.list.rows);
    return rows;
}

/* hash: of no row; it differs by side. */
static void key_rows_add(struct key_rows *rows, const struct plan_table *pt, const char *texts,
                         const char *hash)
{
    int row = (int)rows->list.count++;
    struct rowset_cell *cells = &rows->set->cells[(size_t)row * (pt->key_count + 1)];
    for (size_t k = 0; k < pt->key_count; k++, texts += strlen(texts) + 1)
        cells[k] = (struct rowset_cell){texts, strlen(texts)};
    cells[pt->key_count] = (struct rowset_cell){hash, strlen(hash)};
    rows->list.rows[row] = (struct row_ref){rows->set, row};
}

static void key_rows_release(struct key_rows *rows)
{
    rowset_free(rows->set);
    free(rows->list.rows);
}

static bool explain(struct engine *engine, struct pair *pair, struct plan_table *pt, const struct keyed *keys,
                    size_t count, struct err *err)
{
    struct key_rows pairs[SIDE_COUNT], others[SIDE_COUNT];
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        pairs[side] = key_rows_make(pt, count);
        others[side] = key_rows_make(pt, count);
    }
    for (size_t i = 0; i < count; i++) {
        if (keys[i].partner == NULL) {
            key_rows_add(&others[keys[i].side], pt, keys[i].texts, side_name(keys[i].side));
        } else if (keys[i].side == SIDE_SOURCE) {
            key_rows_add(&pairs[SIDE_SOURCE], pt, keys[i].texts, "");
            key_rows_add(&pairs[SIDE_TARGET], pt, keys[i].partner->texts, "");
        }
    }
    const struct row_list together[SIDE_COUNT] = {pairs[SIDE_SOURCE].list, pairs[SIDE_TARGET].list};
    struct row_list alone[SIDE_COUNT] = {others[SIDE_SOURCE].list, others[SIDE_TARGET].list};
    row_lists_subtract(alone, pt->key_count); /* sorts them */
    bool ok = rows_explain_pairs(engine, pair, pt, together, err) &&
              rows_explain(engine, pair, pt, alone, true, err);
    for (int side = 0; side < SIDE_COUNT; side++) {
        key_rows_release(&pairs[side]);
        key_rows_release(&others[side]);
    }
    return ok;
}

bool strays_settle(struct engine *engine, struct pair *pair, struct plan_table *pt, struct err *err)
{
    struct strays *strays = pt->strays;
    if (strays == NULL || strays->settled)
        return true;
    pthread_mutex_lock(&pt->lock); /* the table may be looked at */
    strays->settled = true;
    if (strays->full)
        table_add_note(
            &pt->out,
            "more than %zu keys are on one side only: those beyond are told as missing and extra, even "
            "where compare.text or compare.unicode would take two of them for one",
            strays->count);
    pthread_mutex_unlock(&pt->lock);
    struct keyed *keys = xcalloc(strays->count + 1, sizeof *keys);
    for (size_t i = 0; i < strays->count; i++)
        keys[i] = (struct keyed){.side = strays->list[i].side, .texts = strays->list[i].texts};
    bool ok = strays->count == 0 || (pair_up(pair, pt, false, keys, strays->count, err) &&
                                     explain(engine, pair, pt, keys, strays->count, err));
    free(keys);
    return ok;
}

/* ---- what stays apart ---- */

static bool has_text_key(const struct plan_table *pt)
{
    for (size_t k = 0; k < pt->key_count; k++) {
        const struct plan_column *c = plan_column_named(pt, pt->keys[k].name);
        if (c != NULL && c->is_text)
            return true;
    }
    return false;
}

static size_t take_lonely(const struct compare_table *out, struct keyed *keys)
{
    size_t count = 0, sides[SIDE_COUNT] = {0};
    for (size_t i = 0; i < out->difference_count; i++) {
        const struct compare_difference *d = &out->differences[i];
        if (d->kind == DIFF_CHANGED || d->key_texts == NULL)
            continue;
        enum side side = d->kind == DIFF_MISSING ? SIDE_SOURCE : SIDE_TARGET;
        keys[count++] = (struct keyed){.side = side, .index = i, .texts = d->key_texts[0]};
        sides[side]++;
    }
    return sides[SIDE_SOURCE] > 0 && sides[SIDE_TARGET] > 0 ? count : 0;
}

bool strays_mark(struct pair *pair, struct plan_table *pt, struct err *err)
{
    struct compare_table *out = &pt->out;
    size_t marked = 0;
    if (!has_text_key(pt))
        return true;
    struct keyed *keys = xcalloc(out->difference_count + 1, sizeof *keys);
    size_t count = take_lonely(out, keys);
    bool ok = count == 0 || pair_up(pair, pt, true, keys, count, err);
    pthread_mutex_lock(&pt->lock); /* the table may be looked at */
    for (size_t i = 0; ok && i < count; i++) {
        out->differences[keys[i].index].key_alike = keys[i].partner != NULL;
        marked += keys[i].partner != NULL && keys[i].side == SIDE_SOURCE;
    }
    if (marked > 0)
        table_add_note(
            out,
            "%zu of the missing rows stand%s on the target under a key that differs in case, accents, "
            "blanks at the end or Unicode form alone: each is told as missing and as extra "
            "(compare.text and compare.unicode may take these keys for one)",
            marked, marked == 1 ? "s" : "");
    pthread_mutex_unlock(&pt->lock);
    free(keys);
    return ok;
}
