/* Owns: what one worker of a direct load does. See direct.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "capture/copy/copy_plan.h"
#include "capture/direct/direct_internal.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "core/sqlstate.h"

#define ROWS_A_LOOK 256 /* between two looks at the limit */
#define NAP_NS      (20 * 1000000)

/* --- reading --- */

const struct source_part *direct_part_of(const struct direct_hand *w, const struct direct_chunk *chunk)
{
    return &w->d->session->tables.items[chunk->part->table].parts[chunk->part->part];
}

/* Each table of the job once: parts of one may follow each other. */
static size_t tables_of(const struct direct_hand *w, const struct direct_job *job,
                        const struct source_table **ret, const struct loader_table **ret_target)
{
    size_t count = 0;
    for (size_t i = 0; i < job->count; i++) {
        size_t table = job->chunks[i].part->table;
        const struct source_table *t = &w->d->session->tables.items[table];
        size_t k = 0;
        while (k < count && ret[k] != t)
            k++;
        if (k < count)
            continue;
        ret[count] = t;
        ret_target[count++] = &w->d->plan->tables[table].target;
    }
    return count;
}

static bool take_snapshot(struct direct_hand *w, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET TRANSACTION SNAPSHOT ");
    pg_quote_literal(&sql, w->d->snap.name);
    bool ok = strbuf_ok(&sql, "snapshot", err) && pg_exec(w->conn, sql.data, err);
    strbuf_release(&sql);
    w->path_is_set = false;
    if (!ok)
        direct_snapshot_err(err);
    return ok;
}

/* The locks come first; then the snapshot must know the storage that there is now: a rewritten or truncated table looks empty to it. */
bool direct_begin_snapshot(struct direct_hand *w, const struct direct_job *job, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX), oids = STRBUF_INIT(STRBUF_SQL_MAX);
    PG_RESULT_AUTO res = NULL;
    strbuf_adds(&sql, "SET LOCAL lock_timeout = " DIRECT_LOCK_TIMEOUT "; LOCK TABLE ONLY ");
    for (size_t i = 0; i < job->count; i++) {
        const struct source_part *part = direct_part_of(w, &job->chunks[i]);
        strbuf_adds(&sql, i > 0 ? ", ONLY " : "");
        pg_quote_table(&sql, part->schema, part->name);
        pg_array_int64(&oids, i, part->oid);
    }
    strbuf_adds(&sql, " IN ACCESS SHARE MODE");
    pg_array_end(&oids, job->count);
    const char *params[1] = {oids.data};
    bool ok = strbuf_ok(&sql, "LOCK TABLE", err) && strbuf_ok(&oids, "tables", err) &&
              take_snapshot(w, err) && pg_exec(w->conn, sql.data, err) &&
              pg_query(w->conn,
                       "SELECT 1 FROM pg_catalog.pg_class WHERE oid = ANY ($1::oid[]) AND relfilenode = "
                       "pg_catalog.pg_relation_filenode(oid)",
                       1, params, &res, err);
    strbuf_release(&sql);
    strbuf_release(&oids);
    if (!ok)
        return false;
    return pg_rows(res) == (int)job->count ||
           err_set(err, ERR_TRANSIENT, "it was truncated, or rewritten, since the load began");
}

void direct_put_bounds(const struct source_table *t, const struct direct_chunk *chunk, bool more,
                       struct strbuf *sql)
{
    char *const *upper = chunk->chunk.upper;
    const char *link = more ? " AND " : " WHERE ";
    if (chunk->after != NULL) {
        strbuf_addf(sql, "%sp.ctid > '%s'::tid", link, chunk->after);
        link = " AND ";
    }
    if (chunk->upto != NULL) {
        strbuf_addf(sql, "%sp.ctid <= '%s'::tid", link, chunk->upto);
        link = " AND ";
    }
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

bool direct_own_path(struct direct_hand *w, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    const char *params[1] = {w->own_path};
    if (w->path_is_set &&
        !pg_query(w->conn, "SELECT pg_catalog.set_config('search_path', $1, true)", 1, params, &res, err))
        return false;
    w->path_is_set = false;
    return true;
}

static bool begin_copy(struct direct_hand *w, const struct direct_chunk *chunk, enum loader_form form,
                       struct err *err)
{
    const struct source_table *t = &w->d->session->tables.items[chunk->part->table];
    const struct source_part *part = direct_part_of(w, chunk);
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
        strbuf_addf(&sql, " %s " DIRECT_QUALIFIED_NAMES, where != NULL ? "AND" : "WHERE");
    direct_put_bounds(t, chunk, where != NULL || form != LOADER_BINARY, &sql);
    strbuf_addf(&sql, ") TO STDOUT (FORMAT %s)", form == LOADER_TEXT ? "text" : "binary");
    bool ok = strbuf_ok(&sql, "COPY", err) && direct_own_path(w, err);
    w->path_is_set = ok && form != LOADER_BINARY;
    ok = ok && pg_copy_out_begin(w->conn, sql.data, err);
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

static bool hold_back(struct direct_hand *w, struct err *err)
{
    while (over_rate(w->d) && !direct_is_over(w->d))
        nap();
    return !direct_is_over(w->d) || err_set(err, ERR_INTERRUPTED, "the load was ended");
}

/* Between chunks. */
static bool wait_for_turn(struct direct_hand *w, struct err *err)
{
    while ((atomic_load(&w->d->paused) || atomic_load(&w->d->slow)) && !direct_is_over(w->d))
        nap();
    return hold_back(w, err);
}

/* --- a chunk --- */

/* A reader of the worker's own: its catalog of types belongs to one thread. Chunks of one table mostly follow each other. */
static bool find_reader(struct direct_hand *w, size_t table, struct err *err)
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

static bool of_target(struct direct_hand *w)
{
    w->target_failed = true;
    return false;
}

/* The source sends a row a message. */
static bool pass(struct direct_hand *w, size_t table, const char *bytes, size_t len, uint64_t *rows,
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

static bool pass_rows(struct direct_hand *w, size_t table, uint64_t *shown, struct err *err)
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

/* In the snapshot, and now: COPY reads by the catalog of now, where a name may be another column's. */
bool direct_columns_hold(struct direct_hand *w, const struct source_table *const *tables, size_t count,
                         struct err *err)
{
    bool hold = false;
    if (!source_tables_hold(w->conn, tables, count, &hold, err) ||
        (hold && !source_tables_hold(w->side, tables, count, &hold, err)))
        return false;
    return hold || err_set(err, ERR_TRANSIENT, "it was altered since the load began");
}

/* Its rows go into the transaction at hand. *shown: of them, in the status. */
bool direct_copy_rows(struct direct_hand *w, struct direct_chunk *chunk, uint64_t *shown, struct err *err)
{
    size_t table = chunk->part->table;
    const struct direct_table *dt = &w->d->plan->tables[table];
    return find_reader(w, table, err) && (loader_start(w->ld, &dt->target, dt->form, err) || of_target(w)) &&
           begin_copy(w, chunk, dt->form, err) && pass_rows(w, table, shown, err) &&
           (loader_stop(w->ld, &chunk->chunk.rows, err) || of_target(w));
}

static bool copy_all(struct direct_hand *w, struct direct_job *job, uint64_t *shown, struct err *err)
{
    struct loader_chunk chunks[DIRECT_JOB_CHUNKS];
    for (size_t i = 0; i < job->count; i++) {
        w->at = job->chunks[i].part->table;
        if (!direct_copy_rows(w, &job->chunks[i], &shown[i], err))
            return false;
        chunks[i] = job->chunks[i].chunk;
    }
    return loader_end(w->ld, chunks, job->count, w->d->snap.lsn, err) || of_target(w);
}

static bool copy_job(struct direct_hand *w, struct direct_job *job, struct err *err)
{
    const struct source_table *tables[DIRECT_JOB_CHUNKS];
    const struct loader_table *targets[DIRECT_JOB_CHUNKS];
    uint64_t shown[DIRECT_JOB_CHUNKS] = {0};
    size_t count = tables_of(w, job, tables, targets);
    w->target_failed = false;
    bool ok = direct_begin_snapshot(w, job, err) && direct_columns_hold(w, tables, count, err) &&
              (loader_begin(w->ld, targets, count, err) || of_target(w)) && copy_all(w, job, shown, err) &&
              pg_exec(w->conn, "ROLLBACK", err);
    for (size_t i = 0; i < job->count; i++) /* modulo: it may have been one too many */
        atomic_fetch_add(&w->d->rows[job->chunks[i].part->table],
                         (ok ? (uint64_t)job->chunks[i].chunk.rows : 0) - shown[i]);
    return ok && failpoint("capture.direct_chunk_done", err);
}

/* --- trouble --- */

/* The source's transaction is given up; what still comes of its rows is nobody's. */
bool direct_give_up(struct direct_hand *w, struct err *err)
{
    struct err ignored = ERR_INIT;
    const char *bytes;
    size_t len = 1;
    while (pg_busy(w->conn) && len > 0 && pg_copy_out_get(w->conn, &bytes, &len, &ignored))
        continue;
    return !pg_in_transaction(w->conn) || pg_exec(w->conn, "ROLLBACK", err);
}

/* A table that is gone on the target is nothing that another session would mend. */
static bool job_failed(const struct direct_hand *w, const struct direct_job *job, struct err *err)
{
    const struct source_table *t =
        &w->d->session->tables.items[job->count == 1 ? job->chunks[0].part->table : w->at];
    if (!w->target_failed)
        direct_gone_err(err);
    return err_wrap(err, "direct load of table=%s.%s", t->schema, t->name);
}

/* May it be the fault of one table of several? */
static bool is_one_tables(const struct err *err)
{
    enum err_policy policy = err_policy(err->code);
    return policy != POLICY_RECONNECT && err->code != ERR_INTERRUPTED && err->code != ERR_FENCED;
}

/* A row that the target refuses is looked for; everything else is as it was. */
static bool load_one(struct direct_hand *w, struct direct_job *job, struct err *err)
{
    struct err failed = ERR_INIT;
    if (copy_job(w, job, &failed))
        return true;
    bool ok = false;
    if (w->target_failed && err_fault(&failed) != FAULT_OTHER && !direct_is_over(w->d))
        ok = direct_give_up(w, err) && direct_narrow(w, &job->chunks[0], &failed, err);
    else
        *err = failed;
    return ok || job_failed(w, job, err);
}

/* One after the other, each in a transaction of its own: the one at fault says so, and the others are loaded. */
static bool copy_apart(struct direct_hand *w, struct direct_job *job, struct err *err)
{
    for (size_t i = 0; i < job->count; i++) {
        struct direct_job one = {.chunks = {job->chunks[i]}, .count = 1};
        if (!direct_give_up(w, err) || !load_one(w, &one, err))
            return false;
    }
    return true;
}

static bool load_job(struct direct_hand *w, struct direct_job *job, struct err *err)
{
    struct err failed = ERR_INIT;
    if (job->count == 1)
        return load_one(w, job, err);
    if (copy_job(w, job, &failed))
        return true;
    if (is_one_tables(&failed) && !direct_is_over(w->d))
        return copy_apart(w, job, err);
    *err = failed;
    return job_failed(w, job, err);
}

static bool finish_tables(struct direct_hand *w, struct direct_job *job, struct err *err)
{
    const struct loader_table *ended[DIRECT_JOB_CHUNKS];
    size_t tables[DIRECT_JOB_CHUNKS], count = 0;
    for (size_t i = 0; i < job->count; i++) {
        bool last = false;
        direct_plan_done(w->d->plan, &job->chunks[i], &last);
        if (last) {
            tables[count] = job->chunks[i].part->table;
            ended[count] = &w->d->plan->tables[tables[count]].target;
            count++;
        }
    }
    if (!loader_end_tables(w->ld, ended, count, err))
        return false;
    for (size_t i = 0; i < count; i++)
        atomic_store(&w->d->table_done[tables[i]], true);
    return true;
}

static bool work(struct direct_hand *w, int index, struct err *err)
{
    struct cap_direct *d = w->d;
    struct direct_job *job CLEANUP(free_ptr) = xcalloc(1, sizeof *job);
    if (!direct_open_source(d, index, &w->conn, err) ||
        !direct_open_side(d, DIRECT_SIDE_PLACE(d->workers, index), &w->side, err) ||
        !direct_open_loader(d, index, &w->ld, err) ||
        !pg_query_text(w->conn, "SELECT pg_catalog.current_setting('search_path')", 0, NULL, &w->own_path,
                       err))
        return err_wrap(err, "direct load");
    for (;;) {
        if (!wait_for_turn(w, err) || !failpoint("capture.direct_chunk", err) ||
            !direct_plan_next(d->plan, w->side, w->ld, job, err))
            return false;
        if (job->count == 0)
            return true;
        bool ok = load_job(w, job, err);
        for (size_t i = 0; i < job->count; i++)
            loader_chunk_release(&job->chunks[i].chunk);
        if (!ok || !finish_tables(w, job, err))
            return false;
    }
}

void *direct_worker_main(void *arg)
{
    struct direct_worker *self = arg;
    struct direct_hand w = {.d = self->direct};
    struct err err = ERR_INIT;
    if (!work(&w, self->index, &err))
        direct_fail(self->direct, &err);
    direct_reader_free(w.reader);
    free(w.own_path);
    direct_close_place(self->direct, DIRECT_SIDE_PLACE(self->direct->workers, self->index), w.side, NULL);
    direct_close_place(self->direct, self->index, w.conn, w.ld);
    return NULL;
}
