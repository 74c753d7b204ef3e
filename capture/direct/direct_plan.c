/* Owns: which chunks of a direct load are left, and giving them out. See direct.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/copy/copy_plan.h"
#include "capture/direct/direct_internal.h"
#include "core/alloc.h"
#include "core/hash.h"
#include "core/log.h"

/* Of a table that nobody has analysed. */
#define ROWS_PER_BLOCK 64
/* At most: a row takes its header and its place in the list. (server: MaxHeapTuplesPerPage) */
#define ROWS_PER_BLOCK_MOST 291
#define TINY_BLOCKS         64
#define JOB_BLOCKS          256

/* --- what a table is --- */

static bool refuse_protected(const struct cap_session *s, const struct source_table *t, struct err *err)
{
    for (size_t i = 0; i < t->column_count; i++) {
        if (table_rules_protects(s->settings->rules, t->schema, t->name, t->columns[i].name))
            return err_set(
                err, ERR_CONFIG,
                "table=%s.%s column=%s: source.filters masks it, and a direct load passes rows on as "
                "they are: set capture.snapshot_path: journal",
                t->schema, t->name, t->columns[i].name);
    }
    return true;
}

static void name_key(const struct source_table *t, struct direct_table *dt)
{
    dt->target.key = xcalloc(t->key_count + 1, sizeof *dt->target.key);
    for (size_t k = 0; k < t->key_count; k++)
        dt->target.key[dt->target.key_count++] = dt->target.columns[t->key[k]].name;
}

/* All that must be the same for chunks of two runs to make one table. */
static char *shape_of(const struct cap_session *s, const struct source_table *t,
                      const struct direct_table *dt)
{
    uint64_t hash = HASH_FNV1A;
    const char *where = table_rules_where(s->settings->rules, t->schema, t->name);
    hash = hash_fnv1a(hash, t->schema, strlen(t->schema) + 1);
    hash = hash_fnv1a(hash, t->name, strlen(t->name) + 1);
    hash = where != NULL ? hash_fnv1a(hash, where, strlen(where) + 1) : hash;
    for (size_t i = 0; i < t->column_count; i++) {
        const struct loader_column *c = &dt->target.columns[i];
        hash = hash_fnv1a(hash, c->name, strlen(c->name) + 1);
        hash = hash_fnv1a(hash, c->type, strlen(c->type) + 1);
    }
    for (size_t k = 0; k < t->key_count; k++)
        hash = hash_fnv1a(hash, &t->key[k], sizeof t->key[k]);
    return xasprintf("%016llx", (unsigned long long)hash);
}

/* Rows become datums on their way: masks are applied there. */
static bool describe_rows(const struct cap_session *s, struct pg_conn *conn, const struct source_table *t,
                          struct direct_table *dt, struct err *err)
{
    if (!direct_reader_open(s, t, conn, &dt->reader, err))
        return false;
    dt->target.rows = direct_reader_schema(dt->reader);
    return true;
}

static bool describe(const struct cap_session *s, struct pg_conn *conn, bool rows,
                     const struct direct_types *types, const struct source_table *t, struct direct_table *dt,
                     struct err *err)
{
    dt->target = (struct loader_table){.oid = t->oid, .schema = t->schema, .name = t->name};
    dt->target.columns = xcalloc(t->column_count + 1, sizeof *dt->target.columns);
    if (rows ? !describe_rows(s, conn, t, dt, err) : !refuse_protected(s, t, err))
        return false;
    for (size_t i = 0; i < t->column_count; i++) {
        struct loader_column *c = &dt->target.columns[dt->target.column_count++];
        c->name = xstrdup(table_rules_rename(s->settings->rules, t->schema, t->name, t->columns[i].name));
    }
    if (!direct_types_name(types, t, dt->target.columns, err))
        return false;
    /* Of a table as a whole: columns that are left out or renamed may be the key's. */
    bool whole = !table_rules_any(s->settings->rules, t->schema, t->name);
    const char *key = whole && !rows && t->key_count > 0 ? direct_types_key(types, t->oid) : NULL;
    dt->key_as = key != NULL ? xstrdup(key) : NULL;
    name_key(t, dt);
    dt->shape = shape_of(s, t, dt);
    dt->target.shape = dt->shape;
    dt->target.key_as = dt->key_as;
    return true;
}

/* --- what is there --- */

static void note_bound(struct direct_part *p, const struct loader_chunk *chunk)
{
    if (p->bound_count == p->bound_cap) {
        p->bound_cap = p->bound_cap != 0 ? p->bound_cap * 2 : 16;
        p->bounds = xrealloc(p->bounds, p->bound_cap * sizeof *p->bounds);
    }
    char **copy = chunk->upper == NULL ? NULL : xcalloc(chunk->upper_count + 1, sizeof *copy);
    for (size_t i = 0; copy != NULL && i < chunk->upper_count; i++)
        copy[i] = xstrdup(chunk->upper[i]);
    p->bounds[p->bound_count++] = copy;
    p->ended = p->ended || copy == NULL;
}

static uint32_t part_oid(const struct direct_plan *plan, const struct direct_part *p)
{
    return plan->session->tables.items[p->table].parts[p->part].oid;
}

static int compare_oids(size_t table_a, uint32_t a, size_t table_b, uint32_t b)
{
    return table_a != table_b ? (table_a > table_b) - (table_a < table_b) : (a > b) - (a < b);
}

static int compare_parts(const void *a, const void *b, void *ctx)
{
    const struct direct_plan *plan = ctx;
    const struct direct_part *x = &plan->parts[*(const size_t *)a], *y = &plan->parts[*(const size_t *)b];
    return compare_oids(x->table, part_oid(plan, x), y->table, part_oid(plan, y));
}

static struct direct_part *find_part(const struct direct_plan *plan, size_t table, uint32_t oid)
{
    for (size_t low = 0, high = plan->part_count; low < high;) {
        size_t middle = low + (high - low) / 2;
        struct direct_part *p = &plan->parts[plan->by_oid[middle]];
        int order = compare_oids(table, oid, p->table, part_oid(plan, p));
        if (order == 0)
            return p;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

static void take_chunk(struct direct_plan *plan, size_t table, struct loader_chunk *chunk,
                       _Atomic uint64_t *rows, lsn_t *high_lsn)
{
    struct direct_part *p = find_part(plan, table, chunk->part_oid);
    if (p == NULL)
        return;
    note_bound(p, chunk);
    if (chunk->done) {
        atomic_fetch_add(&rows[table], (uint64_t)chunk->rows);
        *high_lsn = MAX_OF(*high_lsn, chunk->lsn);
        return;
    }
    p->redo = xrealloc(p->redo, (p->redo_count + 1) * sizeof *p->redo);
    p->redo[p->redo_count++] = *chunk;
    *chunk = (struct loader_chunk){0};
}

/* Chunks of another snapshot may stay if the table is whole, or if theirs and ours do not get in each other's way. */
static bool may_stay(const struct direct_plan *plan, size_t table, const struct loader_chunk *chunks,
                     size_t count, lsn_t snapshot_lsn, bool same, bool mixable)
{
    const struct source_table *t = &plan->session->tables.items[table];
    size_t ends = 0;
    bool whole = true, mixed = false;
    for (size_t i = 0; i < count; i++) {
        ends += chunks[i].upper == NULL;
        whole = whole && chunks[i].done;
        mixed = mixed || (chunks[i].done && chunks[i].lsn != snapshot_lsn);
    }
    if (!same)
        return false;
    return (whole && ends == t->part_count) || !mixed ||
           (t->key_count > 0 && t->replica_identity != 'i' && mixable);
}

/* What of `seen` stays. False: the table has to be begun anew. */
static bool take_seen(struct direct_plan *plan, size_t table, struct loader_seen *seen, lsn_t snapshot_lsn,
                      _Atomic uint64_t *rows, lsn_t *high_lsn)
{
    struct direct_table *dt = &plan->tables[table];
    dt->form = seen->form;
    bool stays =
        may_stay(plan, table, seen->chunks, seen->chunk_count, snapshot_lsn, seen->same, seen->mixable);
    for (size_t i = 0; stays && i < seen->chunk_count; i++)
        take_chunk(plan, table, &seen->chunks[i], rows, high_lsn);
    if (!stays && seen->chunk_count > 0)
        log_event(LOG_LEVEL_INFO, "direct_anew", "table=%s.%s chunks=%zu", dt->target.schema, dt->target.name,
                  seen->chunk_count);
    return stays;
}

/* tables: numbers of up to LOADER_TABLES of them. */
static bool look_at(struct direct_plan *plan, struct loader *ld, const size_t *tables, size_t count,
                    lsn_t snapshot_lsn, _Atomic uint64_t *rows, lsn_t *high_lsn, struct err *err)
{
    const struct loader_table *all[LOADER_TABLES] = {NULL}, *anew[LOADER_TABLES] = {NULL};
    struct loader_seen seen[LOADER_TABLES];
    size_t anew_count = 0;
    for (size_t i = 0; i < count; i++)
        all[i] = &plan->tables[tables[i]].target;
    if (!loader_look(ld, all, count, seen, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!take_seen(plan, tables[i], &seen[i], snapshot_lsn, rows, high_lsn))
            anew[anew_count++] = all[i];
        loader_seen_release(&seen[i]);
    }
    return loader_begin_tables(ld, anew, anew_count, err);
}

/* --- making it --- */

static bool is_wanted(const struct source_table *t)
{
    return t->from_start;
}

static int compare_sizes(const void *a, const void *b, void *ctx)
{
    const struct cap_tables *tables = ctx;
    const struct direct_part *x = a, *y = b;
    int64_t m = tables->items[x->table].parts[x->part].blocks,
            n = tables->items[y->table].parts[y->part].blocks;
    return m != n ? (m < n ? 1 : -1) : (x->table > y->table) - (x->table < y->table);
}

static void list_parts(struct direct_plan *plan)
{
    const struct cap_tables *all = &plan->session->tables;
    size_t most = 0;
    for (size_t i = 0; i < all->count; i++)
        most += all->items[i].part_count;
    plan->parts = xcalloc(most + 1, sizeof *plan->parts);
    for (size_t i = 0; i < all->count; i++) {
        for (size_t p = 0; plan->tables[i].wanted && p < all->items[i].part_count; p++)
            plan->parts[plan->part_count++] = (struct direct_part){.table = i, .part = p};
    }
    qsort_r(plan->parts, plan->part_count, sizeof *plan->parts, compare_sizes, (void *)all);
    plan->by_oid = xcalloc(plan->part_count + 1, sizeof *plan->by_oid);
    for (size_t i = 0; i < plan->part_count; i++)
        plan->by_oid[i] = i;
    qsort_r(plan->by_oid, plan->part_count, sizeof *plan->by_oid, compare_parts, plan);
}

/* What is left of each table; one that is whole gets what comes behind its last chunk. */
static bool count_left(struct direct_plan *plan, struct loader *ld, struct err *err)
{
    const struct loader_table *whole[LOADER_TABLES];
    size_t count = 0;
    for (size_t i = 0; i < plan->part_count; i++) {
        const struct direct_part *p = &plan->parts[i];
        plan->tables[p->table].left += p->redo_count + !p->ended;
    }
    for (size_t i = 0; i < plan->session->tables.count; i++) {
        struct direct_table *dt = &plan->tables[i];
        if (!dt->wanted || dt->left > 0)
            continue;
        atomic_store(&dt->done, true);
        whole[count++] = &dt->target;
        if (count == LOADER_TABLES) {
            if (!loader_end_tables(ld, whole, count, err))
                return false;
            count = 0;
        }
    }
    return loader_end_tables(ld, whole, count, err);
}

/* What each table is, and what of it is there already: for many at a time. */
static bool look_at_all(struct direct_plan *plan, struct pg_conn *conn, struct loader *ld, lsn_t snapshot_lsn,
                        _Atomic uint64_t *rows, lsn_t *high_lsn, struct err *err)
{
    const struct cap_session *s = plan->session;
    struct direct_types *types = NULL;
    size_t tables[LOADER_TABLES], count = 0;
    bool ok = direct_types_read(conn, s, &types, err);
    for (size_t i = 0; ok && i < s->tables.count; i++) {
        if (!plan->tables[i].wanted)
            continue;
        ok = describe(s, conn, loader_takes_rows(ld), types, &s->tables.items[i], &plan->tables[i], err);
        tables[count++] = i;
        if (ok && count == LOADER_TABLES) {
            ok = look_at(plan, ld, tables, count, snapshot_lsn, rows, high_lsn, err);
            count = 0;
        }
    }
    ok = ok && look_at(plan, ld, tables, count, snapshot_lsn, rows, high_lsn, err);
    direct_types_free(types);
    return ok;
}

bool direct_plan_make(const struct cap_session *s, struct pg_conn *conn, struct loader *ld,
                      lsn_t snapshot_lsn, _Atomic uint64_t *rows, struct direct_plan **ret,
                      lsn_t *ret_high_lsn, struct err *err)
{
    struct direct_plan *plan = xcalloc(1, sizeof *plan);
    plan->session = s;
    plan->chunk_rows = s->settings->chunk_rows;
    plan->tables = xcalloc(s->tables.count + 1, sizeof *plan->tables);
    pthread_mutex_init(&plan->lock, NULL);
    for (size_t i = 0; i < s->tables.count; i++)
        plan->tables[i].wanted = is_wanted(&s->tables.items[i]);
    list_parts(plan);
    bool ok = look_at_all(plan, conn, ld, snapshot_lsn, rows, ret_high_lsn, err);
    ok = ok && count_left(plan, ld, err);
    if (!ok) {
        direct_plan_free(plan);
        return false;
    }
    *ret = plan;
    return true;
}

static void free_table(struct direct_table *dt)
{
    for (size_t i = 0; i < dt->target.column_count; i++) {
        free(dt->target.columns[i].name);
        free(dt->target.columns[i].type);
        free(dt->target.columns[i].bare);
        free(dt->target.columns[i].inside);
    }
    free(dt->target.columns);
    free(dt->target.key);
    direct_reader_free(dt->reader);
    free(dt->shape);
    free(dt->key_as);
}

static void free_part(const struct direct_plan *plan, struct direct_part *p)
{
    const struct source_table *t = &plan->session->tables.items[p->table];
    size_t width = t->key_count > 0 ? t->key_count : 1;
    for (size_t i = p->redo_at; i < p->redo_count; i++)
        loader_chunk_release(&p->redo[i]);
    free(p->redo);
    for (size_t i = 0; i < p->bound_count; i++) {
        for (size_t k = 0; p->bounds[i] != NULL && k < width; k++)
            free(p->bounds[i][k]);
        free(p->bounds[i]);
    }
    free(p->bounds);
}

void direct_plan_free(struct direct_plan *plan)
{
    if (plan == NULL)
        return;
    for (size_t i = 0; i < plan->session->tables.count; i++)
        free_table(&plan->tables[i]);
    for (size_t i = 0; i < plan->part_count; i++)
        free_part(plan, &plan->parts[i]);
    pthread_mutex_destroy(&plan->lock);
    free(plan->tables);
    free(plan->parts);
    free(plan->by_oid);
    free(plan);
}

/* --- giving out --- */

/* One chunk will do: the table is known to be small. */
static bool is_small(const struct direct_plan *plan, const struct source_part *part)
{
    return part->rows_estimate >= 0 && part->rows_estimate <= plan->chunk_rows &&
           part->blocks <= plan->chunk_rows; /* the estimate is not from long ago */
}

/* Without a key: blocks. A table grows while it is read: the last chunk has no end. */
static void next_block(const struct direct_plan *plan, const struct source_part *part, char *const *lower,
                       struct loader_chunk *chunk)
{
    int64_t per_block = part->rows_estimate > 0 && part->blocks > 0
                            ? MAX_OF(1, part->rows_estimate / part->blocks)
                            : ROWS_PER_BLOCK;
    int64_t end = (lower != NULL ? strtoll(lower[0], NULL, 10) : 0) + MAX_OF(1, plan->chunk_rows / per_block);
    if (end >= part->blocks)
        return;
    chunk->upper = xcalloc(2, sizeof *chunk->upper);
    chunk->upper[0] = xasprintf("%lld", (long long)end);
    chunk->upper_count = 1;
}

static bool note_next(struct direct_plan *plan, struct direct_part *p, struct pg_conn *conn,
                      struct loader *ld, struct loader_chunk *ret, struct err *err)
{
    const struct source_table *t = &plan->session->tables.items[p->table];
    const struct source_part *part = &t->parts[p->part];
    char *const *lower = p->bound_count > 0 ? p->bounds[p->bound_count - 1] : NULL;
    *ret = (struct loader_chunk){.table_oid = t->oid, .part_oid = part->oid, .number = (int)p->bound_count};
    if (lower != NULL || !is_small(plan, part)) {
        if (t->key_count == 0)
            next_block(plan, part, lower, ret);
        else if (!cap_plan_walk(conn, t, part, lower, plan->chunk_rows, &ret->upper, err)) {
            direct_gone_err(err);
            return err_wrap(err, "table=%s.%s", t->schema, t->name);
        } else if (ret->upper != NULL)
            ret->upper_count = t->key_count;
    }
    if (!loader_plan(ld, ret, err)) {
        loader_chunk_release(ret);
        return false;
    }
    ret->noted = true;
    note_bound(p, ret);
    plan->tables[p->table].left += !p->ended; /* this chunk; the part's own count is the last one's */
    return true;
}

/* A whole part, so small that many of its kind go into one transaction. Whether one was loaded is noted with its rows: until then it is
 * none of an earlier run's. */
static bool is_tiny(const struct direct_plan *plan, const struct direct_part *p)
{
    const struct source_part *part = &plan->session->tables.items[p->table].parts[p->part];
    return p->bound_count == 0 && part->blocks <= TINY_BLOCKS &&
           (is_small(plan, part) || part->blocks * ROWS_PER_BLOCK_MOST <= plan->chunk_rows);
}

/* Several small ones at once, but so that all workers have something to do. */
static void take_tiny(struct direct_plan *plan, struct direct_job *ret)
{
    size_t share = (plan->part_count - plan->at) / (2 * (size_t)plan->session->settings->snapshot_workers),
           most = MIN_OF(DIRECT_JOB_CHUNKS, MAX_OF(share, 1));
    int64_t blocks = 0;
    while (ret->count < most && plan->at < plan->part_count && is_tiny(plan, &plan->parts[plan->at])) {
        struct direct_part *p = &plan->parts[plan->at];
        const struct source_table *t = &plan->session->tables.items[p->table];
        blocks += t->parts[p->part].blocks;
        if (ret->count > 0 && blocks > JOB_BLOCKS)
            break;
        struct direct_chunk *c = &ret->chunks[ret->count++];
        *c = (struct direct_chunk){.part = p,
                                   .chunk = {.table_oid = t->oid, .part_oid = t->parts[p->part].oid}};
        note_bound(p, &c->chunk);
        plan->at++;
    }
}

static bool next_locked(struct direct_plan *plan, struct pg_conn *conn, struct loader *ld,
                        struct direct_job *ret, struct err *err)
{
    while (plan->at < plan->part_count) {
        struct direct_part *p = &plan->parts[plan->at];
        struct direct_chunk *c = &ret->chunks[0];
        if (p->redo_at == p->redo_count && p->ended) {
            plan->at++;
            continue;
        }
        if (is_tiny(plan, p)) {
            take_tiny(plan, ret);
            return true;
        }
        *c = (struct direct_chunk){.part = p};
        if (p->redo_at < p->redo_count)
            c->chunk = p->redo[p->redo_at++];
        else if (!note_next(plan, p, conn, ld, &c->chunk, err))
            return false;
        int number = c->chunk.number;
        c->lower = number > 0 ? p->bounds[number - 1] : NULL;
        ret->count = 1;
        return true;
    }
    return true;
}

bool direct_plan_next(struct direct_plan *plan, struct pg_conn *conn, struct loader *ld,
                      struct direct_job *ret, struct err *err)
{
    ret->count = 0;
    pthread_mutex_lock(&plan->lock);
    bool ok = next_locked(plan, conn, ld, ret, err);
    pthread_mutex_unlock(&plan->lock);
    return ok;
}

void direct_plan_done(struct direct_plan *plan, struct direct_chunk *chunk, bool *ret_last)
{
    pthread_mutex_lock(&plan->lock);
    *ret_last = --plan->tables[chunk->part->table].left == 0;
    pthread_mutex_unlock(&plan->lock);
}
