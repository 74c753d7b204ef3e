/* Owns: what one worker of a direct load does. See direct.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "capture/copy/copy_plan.h"
#include "capture/direct/direct_internal.h"
#include "core/clock.h"
#include "core/failpoint.h"

#define ROWS_A_LOOK 256 /* between two looks at the limit */
#define NAP_NS      (20 * 1000000)

struct worker {
    struct cap_direct *d;
    struct pg_conn *conn, *side;
    struct loader *ld;
    struct direct_reader *reader; /* of reader_of; NULL = none yet */
    size_t reader_of;
    bool target_failed; /* the error at hand is the loader's */
};

/* --- reading --- */

static const struct source_part *part_of(const struct worker *w, const struct direct_chunk *chunk)
{
    return &w->d->session->tables.items[chunk->part->table].parts[chunk->part->part];
}

/* The lock comes first; then the snapshot must know the storage that there is now: a rewritten or truncated table looks empty to it. */
static bool begin_snapshot(struct worker *w, const struct direct_chunk *chunk, struct err *err)
{
    const struct source_part *part = part_of(w, chunk);
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    PG_RESULT_AUTO res = NULL;
    strbuf_adds(&sql, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET TRANSACTION SNAPSHOT ");
    pg_quote_literal(&sql, w->d->snap.name);
    bool ok = strbuf_ok(&sql, "snapshot", err) && pg_exec(w->conn, sql.data, err);
    if (!ok) {
        direct_snapshot_err(err);
        strbuf_release(&sql);
        return false;
    }
    strbuf_clear(&sql);
    strbuf_adds(&sql, "SET LOCAL lock_timeout = " DIRECT_LOCK_TIMEOUT "; LOCK TABLE ONLY ");
    pg_quote_table(&sql, part->schema, part->name);
    strbuf_adds(&sql, " IN ACCESS SHARE MODE");
    ok = strbuf_ok(&sql, "LOCK TABLE", err) && pg_exec(w->conn, sql.data, err);
    strbuf_release(&sql);
    char oid[16];
    (void)snprintf(oid, sizeof oid, "%u", part->oid);
    const char *params[1] = {oid};
    if (!ok || !pg_query(w->conn,
                         "SELECT 1 FROM pg_catalog.pg_class WHERE oid = $1::oid AND relfilenode = "
                         "pg_catalog.pg_relation_filenode(oid)",
                         1, params, &res, err))
        return false;
    return pg_rows(res) == 1 ||
           err_set(err, ERR_TRANSIENT, "it was truncated, or rewritten, since the load began");
}

static void put_bounds(const struct source_table *t, const struct direct_chunk *chunk, bool more,
                       struct strbuf *sql)
{
    char *const *upper = chunk->chunk.upper;
    const char *link = more ? " AND " : " WHERE ";
    if (chunk->lower != NULL) {
        strbuf_adds(sql, link);
        if (t->key_count > 0)
            cap_plan_key_bound(t, ">", chunk->lower, sql);
        else
            strbuf_addf(sql, "p.ctid >= '(%s,0)'::tid", chunk->lower[0]);
        link = " AND ";
    }
    if (upper == NULL)
        return;
    strbuf_adds(sql, link);
    if (t->key_count > 0)
        cap_plan_key_bound(t, "<=", upper, sql);
    else
        strbuf_addf(sql, "p.ctid < '(%s,0)'::tid", upper[0]);
}

/* Values that are names (regclass …) are written whole, as in the journal; the target has a search_path of its own. The statement itself is
 * read by the path of the role: operators of the key's types are found by it. Computed once, before the first row. */
#define QUALIFIED_NAMES "(SELECT pg_catalog.set_config('search_path', 'pg_catalog', true)) IS NOT NULL"

static bool begin_copy(struct worker *w, const struct direct_chunk *chunk, enum loader_form form,
                       struct err *err)
{
    const struct source_table *t = &w->d->session->tables.items[chunk->part->table];
    const struct source_part *part = part_of(w, chunk);
    const char *where = table_rules_where(w->d->session->settings->rules, t->schema, t->name);
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql, "COPY (SELECT ");
    for (size_t i = 0; i < t->column_count; i++) {
        strbuf_adds(&sql, i > 0 ? ", p." : "p.");
        pg_quote_ident(&sql, t->columns[i].name);
        if (form == LOADER_ROWS && direct_reader_as_text(w->reader, i))
            strbuf_adds(&sql, "::text");
    }
    strbuf_adds(&sql, " FROM ONLY ");
    pg_quote_table(&sql, part->schema, part->name);
    strbuf_adds(&sql, " AS p");
    if (where != NULL) /* as the publication has it */
        strbuf_addf(&sql, " WHERE (%s\n)", where);
    if (form != LOADER_BINARY)
        strbuf_addf(&sql, " %s " QUALIFIED_NAMES, where != NULL ? "AND" : "WHERE");
    put_bounds(t, chunk, where != NULL || form != LOADER_BINARY, &sql);
    strbuf_addf(&sql, ") TO STDOUT (FORMAT %s)", form == LOADER_TEXT ? "text" : "binary");
    bool ok = strbuf_ok(&sql, "COPY", err) && pg_copy_out_begin(w->conn, sql.data, err);
    strbuf_release(&sql);
    return ok;
}

/* --- slower than possible --- */

static void nap(void)
{
    static const struct timespec t = {.tv_nsec = NAP_NS};
    (void)nanosleep(&t, NULL);
}

static bool over_rate(const struct cap_direct *d)
{
    int64_t rate = d->session->settings->max_rows_per_second;
    double took_us = (double)(clock_mono_us() - d->run_since_us);
    return rate != 0 && (double)atomic_load(&d->run_rows) / (double)rate * 1e6 > took_us;
}

static bool hold_back(struct worker *w, struct err *err)
{
    while (over_rate(w->d) && !direct_is_over(w->d))
        nap();
    return !direct_is_over(w->d) || err_set(err, ERR_INTERRUPTED, "the load was ended");
}

/* Between chunks. */
static bool wait_for_turn(struct worker *w, struct err *err)
{
    while ((atomic_load(&w->d->paused) || atomic_load(&w->d->slow)) && !direct_is_over(w->d))
        nap();
    return hold_back(w, err);
}

/* --- a chunk --- */

/* A reader of the worker's own: its catalog of types belongs to one thread. Chunks of one table mostly follow each other. */
static bool find_reader(struct worker *w, size_t table, struct err *err)
{
    if (w->d->plan->tables[table].form != LOADER_ROWS)
        return true;
    if (w->reader == NULL || w->reader_of != table) {
        direct_reader_free(w->reader);
        w->reader = NULL;
        if (!direct_reader_open(w->d->session, &w->d->session->tables.items[table], w->side, &w->reader, err))
            return false;
        w->reader_of = table;
    }
    direct_reader_start(w->reader);
    return true;
}

static bool of_target(struct worker *w)
{
    w->target_failed = true;
    return false;
}

/* The source sends a row a message. */
static bool pass(struct worker *w, size_t table, const char *bytes, size_t len, uint64_t *rows,
                 struct err *err)
{
    uint64_t found = 0;
    if (w->d->plan->tables[table].form != LOADER_ROWS) {
        *rows += len > 0;
        return len == 0 || loader_put(w->ld, bytes, len, err) || of_target(w);
    }
    bool ok = direct_reader_pass(w->reader, w->ld, bytes, len, w->d->snap.lsn, &found, err);
    *rows += found;
    return ok || of_target(w);
}

static bool pass_rows(struct worker *w, size_t table, uint64_t *shown, struct err *err)
{
    for (uint64_t rows = 0;;) {
        const char *bytes;
        size_t len;
        if (!pg_copy_out_get(w->conn, &bytes, &len, err) || !pass(w, table, bytes, len, &rows, err))
            return false;
        if (len == 0 || rows >= ROWS_A_LOOK) {
            atomic_fetch_add_explicit(&w->d->rows[table], rows, memory_order_relaxed);
            atomic_fetch_add_explicit(&w->d->run_rows, rows, memory_order_relaxed);
            *shown += rows;
            rows = 0;
            if (len == 0)
                return true;
            if (!hold_back(w, err))
                return false;
        }
    }
}

static bool copy_chunk(struct worker *w, struct direct_chunk *chunk, struct err *err)
{
    size_t table = chunk->part->table;
    const struct direct_table *dt = &w->d->plan->tables[table];
    const struct source_table *t = &w->d->session->tables.items[table];
    uint64_t shown = 0;
    int64_t rows = 0;
    bool hold = false;
    if (!begin_snapshot(w, chunk, err))
        return false;
    /* In the snapshot, and now: COPY reads by the catalog of now, where a name may be another column's. */
    if (!source_columns_hold(w->conn, t, &hold, err) ||
        (hold && !source_columns_hold(w->side, t, &hold, err)))
        return false;
    if (!hold)
        return err_set(err, ERR_TRANSIENT, "it was altered since the load began");
    if (!find_reader(w, table, err) || !(loader_begin(w->ld, &dt->target, dt->form, err) || of_target(w)) ||
        !begin_copy(w, chunk, dt->form, err) || !pass_rows(w, table, &shown, err) ||
        !(loader_end(w->ld, &chunk->chunk, w->d->snap.lsn, &rows, err) || of_target(w)) ||
        !pg_exec(w->conn, "ROLLBACK", err))
        return false;
    atomic_fetch_add(&w->d->rows[table], (uint64_t)rows - shown); /* modulo: it may have been one too many */
    return failpoint("capture.direct_chunk_done", err);
}

/* A table that is gone on the target is nothing that another session would mend. */
static bool chunk_failed(const struct worker *w, const struct source_table *t, struct err *err)
{
    if (!w->target_failed)
        direct_gone_err(err);
    return err_wrap(err, "direct load of table=%s.%s", t->schema, t->name);
}

static bool work(struct worker *w, int index, struct err *err)
{
    struct cap_direct *d = w->d;
    if (!direct_open_source(d, index, &w->conn, err) ||
        !direct_open_side(d, DIRECT_SIDE_PLACE(d->workers, index), &w->side, err) ||
        !direct_open_loader(d, index, &w->ld, err))
        return err_wrap(err, "direct load");
    for (;;) {
        struct direct_chunk chunk = {0};
        bool found = false, last = false;
        if (!wait_for_turn(w, err) || !failpoint("capture.direct_chunk", err) ||
            !direct_plan_next(d->plan, w->side, w->ld, &chunk, &found, err))
            return false;
        if (!found)
            return true;
        size_t table = chunk.part->table;
        bool ok = copy_chunk(w, &chunk, err);
        loader_chunk_release(&chunk.chunk);
        if (!ok)
            return chunk_failed(w, &d->session->tables.items[table], err);
        direct_plan_done(d->plan, &chunk, &last);
        if (last && !loader_end_table(w->ld, &d->plan->tables[table].target, err))
            return false;
        if (last)
            atomic_store(&d->table_done[table], true);
    }
}

void *direct_worker_main(void *arg)
{
    struct direct_worker *self = arg;
    struct worker w = {.d = self->direct};
    struct err err = ERR_INIT;
    if (!work(&w, self->index, &err))
        direct_fail(self->direct, &err);
    direct_reader_free(w.reader);
    direct_close_place(self->direct, DIRECT_SIDE_PLACE(self->direct->workers, self->index), w.side, NULL);
    direct_close_place(self->direct, self->index, w.conn, w.ld);
    return NULL;
}
