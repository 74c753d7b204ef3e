/* Owns: the order of a copy, and the place that it has come to. See copy_plan.h. */
#include "capture/copy/copy_plan.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/hash.h"
#include "core/log.h"

struct plan_part {
    size_t table, part;
};

/* Where a table's last part stands in the order. */
struct last_part {
    uint32_t oid;
    size_t index;
};

struct cap_plan {
    const struct cap_session *session;
    bool by_key; /* rows were asked for by their keys: one chunk, without ranges */
    struct plan_part *parts;
    size_t count, at;       /* at: of the first part that is not given out to its end */
    struct last_part *last; /* by oid; one a table that has parts */
    size_t last_count;
    size_t settled; /* what `at` was at the last cap_plan_settle() */
    char **key;     /* where parts[at] stands; NULL = at its beginning */
    size_t key_count;
    uint64_t hash;
    pthread_mutex_t lock;
};

static char **copy_key(char *const *key, size_t count)
{
    if (key == NULL)
        return NULL;
    char **copy = xcalloc(count + 1, sizeof *copy);
    for (size_t i = 0; i < count; i++)
        copy[i] = xstrdup(key[i]);
    return copy;
}

static void free_key(char **key, size_t count)
{
    for (size_t i = 0; key != NULL && i < count; i++)
        free(key[i]);
    free(key);
}

void cap_chunk_release(struct cap_chunk *chunk)
{
    free_key(chunk->lower, chunk->key_count);
    free_key(chunk->upper, chunk->key_count);
    *chunk = (struct cap_chunk){0};
}

/* --- the order --- */

static int compare_parts(const void *a, const void *b, void *ctx)
{
    const struct cap_tables *tables = ctx;
    const struct plan_part *x = a, *y = b;
    const struct source_table *s = &tables->items[x->table], *t = &tables->items[y->table];
    int order = strcmp(s->schema, t->schema);
    order = order != 0 ? order : strcmp(s->name, t->name);
    if (order != 0 || x->part == CAP_WHOLE || y->part == CAP_WHOLE)
        return order;
    const struct source_part *p = &s->parts[x->part], *q = &t->parts[y->part];
    order = strcmp(p->schema, q->schema);
    return order != 0 ? order : strcmp(p->name, q->name);
}

static const uint32_t *oid_of(const struct source_table *t, size_t part)
{
    return part == CAP_WHOLE ? &t->oid : &t->parts[part].oid;
}

/* A place counts for exactly these parts with exactly these keys. */
static uint64_t hash_parts(const struct cap_plan *plan)
{
    uint64_t hash = HASH_FNV1A;
    for (size_t i = 0; i < plan->count; i++) {
        const struct source_table *t = &plan->session->tables.items[plan->parts[i].table];
        hash = hash_fnv1a(hash, oid_of(t, plan->parts[i].part), sizeof(uint32_t));
        for (size_t k = 0; k < t->key_count; k++) {
            const struct source_column *c = &t->columns[t->key[k]];
            hash = hash_fnv1a(hash, c->name, strlen(c->name) + 1);
            hash = hash_fnv1a(hash, &c->type_oid, sizeof c->type_oid);
        }
    }
    return hash & INT64_MAX;
}

/* The table that was asked for; else all that the publication had from the beginning (none, if there is to be no copy): one that came
 * later has to be asked for. */
static bool is_wanted(const struct cap_session *s, const struct source_table *t)
{
    const struct copy_request *req = cap_queue_at_hand(&s->queue);
    if (s->queue.requested)
        return req != NULL && req->oid == t->oid;
    return s->settings->snapshot_mode != SNAPSHOT_NEVER && t->from_start;
}

static void list_parts(struct cap_plan *plan)
{
    const struct cap_tables *tables = &plan->session->tables;
    size_t most = 0;
    for (size_t t = 0; t < tables->count; t++)
        most += tables->items[t].part_count;
    plan->parts = xcalloc(most + 1, sizeof *plan->parts);
    for (size_t t = 0; t < tables->count; t++) {
        const struct source_table *table = &tables->items[t];
        if (!is_wanted(plan->session, table))
            continue;
        bool whole = table->partitioned && (table->key_count == 0 || plan->by_key);
        if (whole && table->part_count > 0)
            plan->parts[plan->count++] = (struct plan_part){t, CAP_WHOLE};
        for (size_t p = 0; !whole && p < table->part_count; p++)
            plan->parts[plan->count++] = (struct plan_part){t, p};
    }
    qsort_r(plan->parts, plan->count, sizeof *plan->parts, compare_parts, (void *)tables);
}

static int compare_last(const void *a, const void *b)
{
    const struct last_part *x = a, *y = b;
    return (x->oid > y->oid) - (x->oid < y->oid);
}

static void list_last(struct cap_plan *plan)
{
    plan->last = xcalloc(plan->count + 1, sizeof *plan->last);
    for (size_t i = 0; i < plan->count; i++) { /* a table's parts stand together */
        if (i + 1 == plan->count || plan->parts[i + 1].table != plan->parts[i].table)
            plan->last[plan->last_count++] =
                (struct last_part){plan->session->tables.items[plan->parts[i].table].oid, i};
    }
    qsort(plan->last, plan->last_count, sizeof *plan->last, compare_last);
}

static const struct source_table *table_at(const struct cap_plan *plan)
{
    return &plan->session->tables.items[plan->parts[plan->at].table];
}

static bool take_place(struct cap_plan *plan, const struct fence_copy *place)
{
    if (place->plan != plan->hash || place->part > plan->count)
        return false;
    plan->at = plan->settled = place->part;
    if (place->key_count == 0)
        return true;
    if (plan->at == plan->count || place->key_count != table_at(plan)->key_count)
        return false;
    plan->key = copy_key(place->key, place->key_count);
    plan->key_count = place->key_count;
    return true;
}

struct cap_plan *cap_plan_new(const struct cap_session *s, const struct fence_copy *place)
{
    struct cap_plan *plan = xcalloc(1, sizeof *plan);
    const struct copy_request *req = cap_queue_at_hand(&s->queue);
    plan->session = s;
    plan->by_key = req != NULL && req->keys != NULL;
    pthread_mutex_init(&plan->lock, NULL);
    list_parts(plan);
    list_last(plan);
    plan->hash = hash_parts(plan);
    if (place == NULL || !place->there || place->plan == 0 || take_place(plan, place))
        return plan;
    if (s->queue.requested) {
        log_event(LOG_LEVEL_WARN, "copy_anew", "text=\"the table's partitions or key have changed\"");
        return plan;
    }
    cap_plan_free(plan);
    return NULL;
}

void cap_plan_free(struct cap_plan *plan)
{
    if (plan == NULL)
        return;
    pthread_mutex_destroy(&plan->lock);
    free_key(plan->key, plan->key_count);
    free(plan->parts);
    free(plan->last);
    free(plan);
}

bool cap_plan_done(const struct cap_plan *plan)
{
    return plan->at == plan->count;
}

void cap_plan_rewind(struct cap_plan *plan, uint32_t oid)
{
    size_t first = 0;
    while (first < plan->count && plan->session->tables.items[plan->parts[first].table].oid != oid)
        first++;
    if (first > plan->at || first == plan->count)
        return;
    free_key(plan->key, plan->key_count);
    plan->key = NULL;
    plan->key_count = 0;
    plan->at = first;
    plan->settled = MIN_OF(plan->settled, first);
}

bool cap_plan_next_is_keyless(const struct cap_plan *plan)
{
    return plan->at < plan->count && table_at(plan)->key_count == 0;
}

uint32_t cap_plan_next_oid(const struct cap_plan *plan)
{
    return plan->at < plan->count ? table_at(plan)->oid : 0;
}

/* Keys stand in fences as the source has them: not where one is masked. Such a part begins again when the copy goes on. */
static bool may_tell_key(const struct cap_plan *plan)
{
    const struct source_table *t = table_at(plan);
    for (size_t k = 0; k < t->key_count; k++) {
        if (table_rules_protects(plan->session->settings->rules, t->schema, t->name,
                                 t->columns[t->key[k]].name))
            return false;
    }
    return true;
}

void cap_plan_place(const struct cap_plan *plan, struct fence_copy *ret)
{
    bool there = plan->key != NULL && may_tell_key(plan);
    *ret = (struct fence_copy){.there = true,
                               .direct = plan->session->direct,
                               .begin_lsn = plan->session->direct ? plan->session->direct_lsn : 0,
                               .plan = plan->hash,
                               .part = plan->at,
                               .key = there ? plan->key : NULL,
                               .key_count = there ? plan->key_count : 0};
    cap_queue_place(&plan->session->queue, ret);
}

void cap_plan_settle(struct cap_plan *plan)
{
    plan->settled = plan->at;
}

void cap_plan_finish(struct cap_plan *plan)
{
    free_key(plan->key, plan->key_count);
    plan->key = NULL;
    plan->key_count = 0;
    plan->at = plan->count;
}

bool cap_plan_table_done(const struct cap_plan *plan, uint32_t oid)
{
    const struct last_part key = {.oid = oid};
    const struct last_part *last =
        bsearch(&key, plan->last, plan->last_count, sizeof *plan->last, compare_last);
    return last == NULL || last->index < plan->settled;
}

/* --- ranges --- */

void cap_plan_key_list(const struct source_table *t, bool as_text, struct strbuf *sql)
{
    for (size_t i = 0; i < t->key_count; i++) {
        strbuf_adds(sql, i > 0 ? ", p." : "p.");
        pg_quote_ident(sql, t->columns[t->key[i]].name);
        strbuf_adds(sql, as_text ? "::text" : "");
    }
}

void cap_plan_key_bound(const struct source_table *t, const char *op, char *const *key, struct strbuf *sql)
{
    strbuf_adds(sql, "(");
    cap_plan_key_list(t, false, sql);
    strbuf_addf(sql, ") %s (", op);
    for (size_t i = 0; i < t->key_count; i++) {
        strbuf_adds(sql, i > 0 ? ", " : "");
        pg_quote_literal(sql, key[i]);
    }
    strbuf_adds(sql, ")");
}

/* The alias keeps ORDER BY from meaning the texts. */
bool cap_plan_walk(struct pg_conn *conn, const struct source_table *t, const struct source_part *part,
                   char *const *lower, int64_t rows, char ***ret_key, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql, "SELECT ");
    cap_plan_key_list(t, true, &sql);
    strbuf_adds(&sql, " FROM ONLY ");
    pg_quote_table(&sql, part->schema, part->name);
    strbuf_adds(&sql, " AS p");
    if (lower != NULL) {
        strbuf_adds(&sql, " WHERE ");
        cap_plan_key_bound(t, ">", lower, &sql);
    }
    strbuf_adds(&sql, " ORDER BY ");
    cap_plan_key_list(t, false, &sql);
    strbuf_addf(&sql, " OFFSET %lld LIMIT 1", (long long)rows - 1);
    bool ok = strbuf_ok(&sql, "range of keys", err) && pg_query(conn, sql.data, 0, NULL, &res, err);
    strbuf_release(&sql);
    if (!ok)
        return false;
    *ret_key = NULL;
    if (pg_rows(res) == 1) {
        *ret_key = xcalloc(t->key_count + 1, sizeof **ret_key);
        for (size_t i = 0; i < t->key_count; i++)
            (*ret_key)[i] = xstrdup(pg_cell(res, 0, (int)i));
    }
    return true;
}

/* The place moves on to the chunk's end. */
static void move_on(struct cap_plan *plan, const struct cap_chunk *chunk)
{
    free_key(plan->key, plan->key_count);
    plan->key = copy_key(chunk->upper, chunk->key_count);
    plan->key_count = chunk->key_count;
    plan->at += chunk->upper == NULL;
}

static bool next_locked(struct cap_plan *plan, struct pg_conn *conn, int64_t chunk_rows, bool alone,
                        struct cap_chunk *ret, bool *ret_found, struct err *err)
{
    *ret_found = false;
    if (plan->at == plan->count || (cap_plan_next_is_keyless(plan) && !alone))
        return true;
    const struct source_table *t = table_at(plan);
    const struct plan_part *pp = &plan->parts[plan->at];
    struct cap_chunk chunk = {.table = pp->table, .part = pp->part, .key_count = t->key_count};
    if (t->key_count > 0 && !plan->by_key &&
        !cap_plan_walk(conn, t, &t->parts[pp->part], plan->key, chunk_rows, &chunk.upper, err))
        return err_wrap(err, "table=%s.%s", t->schema, t->name);
    chunk.lower = copy_key(plan->key, plan->key_count);
    move_on(plan, &chunk);
    *ret = chunk;
    *ret_found = true;
    return true;
}

bool cap_plan_next(struct cap_plan *plan, struct pg_conn *conn, int64_t chunk_rows, bool alone,
                   struct cap_chunk *ret, bool *ret_found, struct err *err)
{
    pthread_mutex_lock(&plan->lock);
    bool ok = next_locked(plan, conn, chunk_rows, alone, ret, ret_found, err);
    pthread_mutex_unlock(&plan->lock);
    return ok;
}
