/*
 * Owns: turning what changed since the proofs into parts for the workers. The sets of keys share KEYS_BYTES_MAX: the largest one is
 * handed out when they are full; what comes again afterwards is compared twice. A table of which more than CHANGED_PERCENT
 * changed is read whole: that is faster.
 */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "history/history.h"

#define KEYS_BYTES_MAX  ((size_t)64 << 20)
#define KEYS_PER_PART   ((size_t)2000)
#define PART_BYTES_MAX  ((size_t)1 << 20)
#define CHANGED_PERCENT 10
#define CHANGED_LEAST   1000 /* so many are looked up whatever the table's size */

struct collecting {
    struct history *history;
    struct engine *engine;
    struct changes changes;
    size_t bytes; /* of all sets */
};

static bool stopped(struct err *err)
{
    return err_set(err, ERR_INTERRUPTED, "stopped");
}

/* Hands out the table's set, in parts. */
static bool hand_out(struct collecting *c, struct plan_table *pt, struct err *err)
{
    struct key_set *set = &pt->history->keys;
    bool ok = true;
    for (size_t i = 0; ok && i < set->count;) {
        struct key_batch batch = {0};
        size_t len, first = i;
        for (; i < set->count && i - first < KEYS_PER_PART && batch.len < PART_BYTES_MAX; i++) {
            (void)key_set_at(set, i, &len);
            batch.len += len;
        }
        batch.count = i - first;
        batch.bytes = xcalloc(batch.len, 1);
        memcpy(batch.bytes, key_set_at(set, first, &len), batch.len); /* they lie one behind the other */
        pt->history->key_parts++;
        ok = engine_push_keys(c->engine, pt, &batch);
    }
    c->bytes -= key_set_bytes(set);
    key_set_release(set);
    return ok || stopped(err);
}

static bool hand_out_largest(struct collecting *c, struct err *err)
{
    struct plan_table *largest = NULL;
    size_t most = 0;
    for (size_t i = 0; i < c->changes.table_count; i++) {
        struct plan_table *pt = c->changes.tables[i].ctx;
        if (key_set_bytes(&pt->history->keys) > most) {
            most = key_set_bytes(&pt->history->keys);
            largest = pt;
        }
    }
    return largest == NULL || hand_out(c, largest, err);
}

static bool too_many(const struct plan_table *pt, uint64_t keys)
{
    uint64_t rows = pt->history->base.rows;
    if (pt->rows_estimate > 0)
        rows = MAX_OF(rows, (uint64_t)pt->rows_estimate);
    return keys > CHANGED_LEAST && keys * 100 > rows * CHANGED_PERCENT;
}

static void lose(struct changed_table *t, char *why)
{
    if (t->lost == NULL)
        t->lost = why;
    else
        free(why);
}

static bool is_seekable(const struct plan_table *pt)
{
    bool all = true;
    for (size_t k = 0; k < pt->key_count; k++)
        all = all && pt->keys[k].seek_head[SIDE_TARGET] != NULL;
    return all;
}

static bool take_key(void *ctx, struct changed_table *t, const char *key, size_t len, struct err *err)
{
    struct collecting *c = ctx;
    struct plan_table *pt = t->ctx;
    struct table_history *h = pt->history;
    size_t before = key_set_bytes(&h->keys);
    if (atomic_load(&c->engine->stop))
        return stopped(err);
    if (!key_set_add(&h->keys, key, len))
        return true;
    c->bytes += key_set_bytes(&h->keys) - before;
    h->key_count++;
    if (!pt->target_indexed)
        lose(t, xasprintf("the target has no unique index for the key"));
    else if (!is_seekable(pt))
        lose(t, xstrdup("no row of the target can be looked up by keys of these types"));
    else if (too_many(pt, h->key_count))
        lose(t, xasprintf("more than %d %% of its rows were changed since fence %llu", CHANGED_PERCENT,
                          (unsigned long long)t->since.id));
    else if (c->bytes > KEYS_BYTES_MAX)
        return hand_out_largest(c, err);
    return true;
}

/* Builds on nothing any more. */
static void drop_base(struct collecting *c, struct plan_table *pt, const char *why)
{
    c->bytes -= key_set_bytes(&pt->history->keys);
    key_set_release(&pt->history->keys);
    pthread_mutex_lock(&pt->lock);
    table_add_note(&pt->out, "read whole: %s", why);
    pt->history->stale = true;
    pt->out.built = BUILT_NONE;
    pt->out.since_fence = pt->out.rows_kept = 0;
    pt->out.read_us = 0;
    proof_release(&pt->history->base);
    pthread_mutex_unlock(&pt->lock);
}

static bool settle(struct collecting *c, struct changed_table *t, struct err *err)
{
    struct plan_table *pt = t->ctx;
    if (t->lost != NULL) {
        drop_base(c, pt, t->lost);
        return true;
    }
    pthread_mutex_lock(&pt->lock);
    pt->out.keys_changed = pt->history->key_count;
    pthread_mutex_unlock(&pt->lock);
    return hand_out(c, pt, err);
}

static void list_tables(struct collecting *c)
{
    struct plan *plan = c->history->plan;
    c->changes.tables = xcalloc(plan->count, sizeof *c->changes.tables);
    for (size_t i = 0; i < plan->count; i++) {
        struct plan_table *pt = plan->tables[i];
        struct table_history *h = pt->history;
        if (h == NULL || !h->base.there || !pt->comparable)
            continue;
        c->changes.tables[c->changes.table_count++] = (struct changed_table){.schema = pt->out.schema,
                                                                             .table = pt->out.table,
                                                                             .topic = h->topic,
                                                                             .keys = h->key_names,
                                                                             .key_count = pt->key_count,
                                                                             .since = h->base.at,
                                                                             .ctx = pt};
    }
}

static void mark_planned(struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        struct plan_table *pt = plan->tables[i];
        pthread_mutex_lock(&pt->lock);
        if (pt->history != NULL)
            pt->history->keys_planned = true;
        pthread_mutex_unlock(&pt->lock);
    }
}

bool history_plan_keys(struct history *history, struct engine *engine, struct err *err)
{
    struct collecting c = {.history = history, .engine = engine};
    list_tables(&c);
    c.changes.cfg = history->cfg;
    c.changes.until = history->at;
    c.changes.key = take_key;
    c.changes.ctx = &c;
    bool ok = changes_read(&c.changes, err);
    for (size_t i = 0; ok && i < c.changes.table_count; i++)
        ok = settle(&c, &c.changes.tables[i], err);
    for (size_t i = 0; i < c.changes.table_count; i++)
        changed_table_release(&c.changes.tables[i]);
    free(c.changes.tables);
    mark_planned(history->plan);
    return ok;
}
