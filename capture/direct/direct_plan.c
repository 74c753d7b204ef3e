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
#define BUILTIN_OIDS                                                                                         \
    10000 /* server: access/transam.h, FirstGenbkiObjectId: fixed by hand, the same everywhere */

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

/* OIDs of this server's objects, units of its lc_monetary, or none at all: in binary form they mean something else elsewhere. */
static bool is_local(const char *bare)
{
    return strncmp(bare, "reg", 3) == 0 || strncmp(bare, "money", 5) == 0 || strncmp(bare, "aclitem", 7) == 0;
}

static void put_number(struct strbuf *array, size_t i, long long number)
{
    strbuf_addf(array, "%c%lld", i == 0 ? '{' : ',', number);
}

static bool take_type(struct pg_conn *conn, const struct source_column *c, const struct pg_result *res,
                      int row, struct loader_column *ret, struct err *err)
{
    char oid[16];
    (void)snprintf(oid, sizeof oid, "%u", c->type_oid);
    const char *params[1] = {oid};
    ret->type = xstrdup(pg_cell(res, row, 0));
    ret->bare = xstrdup(pg_cell(res, row, 1));
    ret->builtin = c->type_oid < BUILTIN_OIDS;
    ret->binary = ret->builtin && !is_local(ret->bare);
    return ret->builtin || pg_query_text(conn, LOADER_TYPE_INSIDE, 1, params, &ret->inside, err);
}

/* One question a table: there may be thousands. */
static bool type_names(struct pg_conn *conn, const struct source_table *t, struct loader_column *ret,
                       struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    struct strbuf oids = STRBUF_INIT(STRBUF_SQL_MAX), mods = STRBUF_INIT(STRBUF_SQL_MAX);
    for (size_t i = 0; i < t->column_count; i++) {
        put_number(&oids, i, t->columns[i].type_oid);
        put_number(&mods, i, t->columns[i].typmod);
    }
    strbuf_adds(&oids, t->column_count > 0 ? "}" : "{}");
    strbuf_adds(&mods, t->column_count > 0 ? "}" : "{}");
    const char *params[2] = {oids.data, mods.data};
    bool ok = strbuf_ok(&oids, "columns", err) && strbuf_ok(&mods, "columns", err) &&
              pg_query(conn,
                       "SELECT pg_catalog.format_type(o, m), pg_catalog.format_type(o, NULL) FROM "
                       "ROWS FROM (unnest($1::oid[]), unnest($2::integer[])) WITH ORDINALITY AS c (o, m, n) "
                       "ORDER BY n",
                       2, params, &res, err);
    strbuf_release(&oids);
    strbuf_release(&mods);
    if (ok && (size_t)pg_rows(res) != t->column_count)
        return err_set(err, ERR_PROTOCOL, "%d types of %zu columns", pg_rows(res), t->column_count);
    for (size_t i = 0; ok && i < t->column_count; i++)
        ok = take_type(conn, &t->columns[i], res, (int)i, &ret[i], err);
    return ok;
}

static bool read_key(struct pg_conn *conn, uint32_t oid, char **ret, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    char text[16];
    (void)snprintf(text, sizeof text, "%u", oid);
    const char *params[1] = {text};
    if (!pg_query(conn,
                  "SELECT pg_catalog.format('CONSTRAINT %I ', conname) || "
                  "pg_catalog.pg_get_constraintdef(oid) FROM "
                  "pg_catalog.pg_constraint WHERE conrelid = $1::oid AND contype = 'p' AND NOT condeferrable",
                  1, params, &res, err))
        return false;
    *ret = pg_rows(res) == 1 ? xstrdup(pg_cell(res, 0, 0)) : NULL;
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
                     const struct source_table *t, struct direct_table *dt, struct err *err)
{
    dt->target = (struct loader_table){.oid = t->oid, .schema = t->schema, .name = t->name};
    dt->target.columns = xcalloc(t->column_count + 1, sizeof *dt->target.columns);
    if (rows ? !describe_rows(s, conn, t, dt, err) : !refuse_protected(s, t, err))
        return false;
    for (size_t i = 0; i < t->column_count; i++) {
        struct loader_column *c = &dt->target.columns[dt->target.column_count++];
        c->name = xstrdup(table_rules_rename(s->settings->rules, t->schema, t->name, t->columns[i].name));
    }
    if (!type_names(conn, t, dt->target.columns, err))
        return false;
    /* Of a table as a whole: columns that are left out or renamed may be the key's. */
    bool whole = !table_rules_any(s->settings->rules, t->schema, t->name);
    if (whole && !rows && t->key_count > 0 && !read_key(conn, t->oid, &dt->key_as, err))
        return false;
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

static bool look_at(struct direct_plan *plan, struct loader *ld, size_t table, lsn_t snapshot_lsn,
                    _Atomic uint64_t *rows, lsn_t *high_lsn, struct err *err)
{
    struct direct_table *dt = &plan->tables[table];
    struct loader_chunk *chunks = NULL;
    size_t count = 0;
    bool same = false, mixable = false;
    if (!loader_fits(ld, &dt->target, &dt->form, err) ||
        !loader_look(ld, &dt->target, &chunks, &count, &same, &mixable, err))
        return false;
    bool stays = may_stay(plan, table, chunks, count, snapshot_lsn, same, mixable);
    for (size_t i = 0; i < count; i++) {
        if (stays)
            take_chunk(plan, table, &chunks[i], rows, high_lsn);
        loader_chunk_release(&chunks[i]);
    }
    free(chunks);
    if (!stays && count > 0)
        log_event(LOG_LEVEL_INFO, "direct_anew", "table=%s.%s chunks=%zu", dt->target.schema, dt->target.name,
                  count);
    return stays || loader_begin_table(ld, &dt->target, err);
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
    for (size_t i = 0; i < plan->part_count; i++) {
        const struct direct_part *p = &plan->parts[i];
        plan->tables[p->table].left += p->redo_count + !p->ended;
    }
    for (size_t i = 0; i < plan->session->tables.count; i++) {
        struct direct_table *dt = &plan->tables[i];
        if (!dt->wanted || dt->left > 0)
            continue;
        if (!loader_end_table(ld, &dt->target, err))
            return false;
        atomic_store(&dt->done, true);
    }
    return true;
}

bool direct_plan_make(const struct cap_session *s, struct pg_conn *conn, struct loader *ld,
                      lsn_t snapshot_lsn, _Atomic uint64_t *rows, struct direct_plan **ret,
                      lsn_t *ret_high_lsn, struct err *err)
{
    struct direct_plan *plan = xcalloc(1, sizeof *plan);
    bool ok = true;
    plan->session = s;
    plan->chunk_rows = s->settings->chunk_rows;
    plan->tables = xcalloc(s->tables.count + 1, sizeof *plan->tables);
    pthread_mutex_init(&plan->lock, NULL);
    for (size_t i = 0; i < s->tables.count; i++)
        plan->tables[i].wanted = is_wanted(&s->tables.items[i]);
    list_parts(plan);
    for (size_t i = 0; ok && i < s->tables.count; i++) {
        if (!plan->tables[i].wanted)
            continue;
        ok = describe(s, conn, loader_takes_rows(ld), &s->tables.items[i], &plan->tables[i], err) &&
             look_at(plan, ld, i, snapshot_lsn, rows, ret_high_lsn, err);
    }
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
    note_bound(p, ret);
    plan->tables[p->table].left += !p->ended; /* this chunk; the part's own count is the last one's */
    return true;
}

static bool next_locked(struct direct_plan *plan, struct pg_conn *conn, struct loader *ld,
                        struct direct_chunk *ret, bool *ret_found, struct err *err)
{
    while (plan->at < plan->part_count) {
        struct direct_part *p = &plan->parts[plan->at];
        if (p->redo_at == p->redo_count && p->ended) {
            plan->at++;
            continue;
        }
        ret->part = p;
        if (p->redo_at < p->redo_count)
            ret->chunk = p->redo[p->redo_at++];
        else if (!note_next(plan, p, conn, ld, &ret->chunk, err))
            return false;
        int number = ret->chunk.number;
        ret->lower = number > 0 ? p->bounds[number - 1] : NULL;
        *ret_found = true;
        return true;
    }
    *ret_found = false;
    return true;
}

bool direct_plan_next(struct direct_plan *plan, struct pg_conn *conn, struct loader *ld,
                      struct direct_chunk *ret, bool *ret_found, struct err *err)
{
    pthread_mutex_lock(&plan->lock);
    bool ok = next_locked(plan, conn, ld, ret, ret_found, err);
    pthread_mutex_unlock(&plan->lock);
    return ok;
}

void direct_plan_done(struct direct_plan *plan, struct direct_chunk *chunk, bool *ret_last)
{
    pthread_mutex_lock(&plan->lock);
    *ret_last = --plan->tables[chunk->part->table].left == 0;
    pthread_mutex_unlock(&plan->lock);
}
