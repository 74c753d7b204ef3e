/* Owns: what one worker of the copy does. See copy_work.h. Failpoint: capture.snapshot_chunk. */
#include "capture/copy/copy_work.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "capture/copy/copy_keys.h"
#include "capture/publish/table_writer.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "pg/copy_binary.h"

#define LOCK_TIMEOUT_MS 30000

struct worker {
    struct cap_copy *copy;
    const struct cap_session *session;
    struct pg_conn *conn, *side;
    struct pg_type_catalog *types;
    struct cap_table_writer **writers; /* by table */
    struct cap_batch *batch;
    struct copy_binary *parser;
    struct arena arena;
};

static void fail(struct cap_copy *copy, const struct err *err)
{
    pthread_mutex_lock(&copy->lock);
    if (!err_is_set(&copy->first_err))
        copy->first_err = *err;
    pthread_mutex_unlock(&copy->lock);
    atomic_store(&copy->abort, true);
}

static void show_conn(struct cap_copy *copy, int index, struct pg_conn *conn)
{
    pthread_mutex_lock(&copy->lock);
    copy->conns[index] = conn;
    pthread_mutex_unlock(&copy->lock);
}

static void notify(struct cap_copy *copy)
{
    uint64_t one = 1;
    ssize_t n = write(copy->event_fd, &one, sizeof one);
    (void)n; /* EAGAIN: the counter is full, so the owner will wake anyway */
}

void cap_copy_abort(struct cap_copy *copy, int workers, bool lost)
{
    atomic_store(&copy->abort, true);
    pthread_mutex_lock(&copy->lock);
    copy->quit = true;
    pthread_cond_broadcast(&copy->opened);
    for (int i = 0; i < workers; i++) {
        if (copy->conns[i] != NULL)
            (lost ? pg_break : pg_cancel)(copy->conns[i]);
    }
    pthread_mutex_unlock(&copy->lock);
}

static bool open_worker(struct worker *w, int index, struct err *err)
{
    if (!cap_connect(w->session->settings, false, &w->conn, err) ||
        !cap_connect(w->session->settings, false, &w->side, err))
        return false;
    show_conn(w->copy, index, w->conn);
    return true;
}

static bool writer_of(struct worker *w, size_t table, struct cap_table_writer **ret, struct err *err)
{
    if (w->writers[table] == NULL &&
        !cap_table_writer_open(w->session, &w->session->tables.items[table], w->types, w->side,
                               w->session->publisher, &w->writers[table], err))
        return false;
    *ret = w->writers[table];
    return true;
}

static void select_columns(const struct source_table *t, const struct cap_table_writer *tw,
                           struct strbuf *sql)
{
    for (size_t i = 0; i < t->column_count; i++) {
        strbuf_adds(sql, i > 0 ? ", " : "");
        strbuf_adds(sql, "p.");
        pg_quote_ident(sql, t->columns[i].name);
        strbuf_adds(sql, tw->readers[i].as_text ? "::text" : "");
    }
}

/* Where the rows lie: one part, or all of a partitioned table. */
static void put_storage(const struct source_table *t, size_t part, struct strbuf *sql)
{
    if (part == CAP_WHOLE) {
        pg_quote_table(sql, t->schema, t->name);
        return;
    }
    strbuf_adds(sql, "ONLY ");
    pg_quote_table(sql, t->parts[part].schema, t->parts[part].name);
}

static bool begin_copy(struct worker *w, const struct cap_chunk *chunk, const struct cap_table_writer *tw,
                       struct err *err)
{
    const struct source_table *t = &w->session->tables.items[chunk->table];
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql, "COPY (SELECT ");
    select_columns(t, tw, &sql);
    strbuf_adds(&sql, " FROM ");
    put_storage(t, chunk->part, &sql);
    strbuf_adds(&sql, " AS p");
    const char *where = table_rules_where(w->session->settings->rules, t->schema, t->name);
    if (where != NULL) /* as the publication has it */
        strbuf_addf(&sql, " WHERE (%s\n)", where);
    if (chunk->lower != NULL) {
        strbuf_adds(&sql, where != NULL ? " AND " : " WHERE ");
        cap_plan_key_bound(t, ">", chunk->lower, &sql);
    }
    if (chunk->upper != NULL) {
        strbuf_adds(&sql, where != NULL || chunk->lower != NULL ? " AND " : " WHERE ");
        cap_plan_key_bound(t, "<=", chunk->upper, &sql);
    }
    if (w->copy->where != NULL) {
        bool more = where != NULL || chunk->lower != NULL || chunk->upper != NULL;
        strbuf_adds(&sql, more ? " AND (" : " WHERE (");
        strbuf_adds(&sql, w->copy->where);
        strbuf_adds(&sql, "\n)"); /* behind a comment at its end, too */
    }
    strbuf_adds(&sql, ") TO STDOUT (FORMAT binary)");
    bool ok = strbuf_ok(&sql, "COPY", err) && pg_copy_out_begin(w->conn, sql.data, err);
    strbuf_release(&sql);
    return ok;
}

/* --- snapshots --- */

/* The lock comes before the snapshot, so that nothing has rewritten the part behind its back (a rewriting ALTER and TRUNCATE are
 * not seen by older snapshots); LOCK TABLE takes none by itself (server: PlannedStmtRequiresSnapshot). */
static bool look(struct worker *w, const struct source_table *t, size_t part, struct cap_snapshot *ret_snap,
                 lsn_t *ret_high_lsn, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_addf(&sql,
                "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL lock_timeout = %d; LOCK TABLE ",
                LOCK_TIMEOUT_MS);
    put_storage(t, part, &sql);
    strbuf_adds(&sql, " IN ACCESS SHARE MODE");
    bool ok = strbuf_ok(&sql, "LOCK TABLE", err) && pg_exec(w->conn, sql.data, err) &&
              pg_query(w->conn, "SELECT pg_current_snapshot()::text, (" SOURCE_VISIBLE_LSN ")::text", 0, NULL,
                       &res, err);
    strbuf_release(&sql);
    if (!ok)
        return false;
    if (pg_rows(res) != 1 || !lsn_parse(pg_cell(res, 0, 1), ret_high_lsn))
        return err_set(err, ERR_PROTOCOL, "no snapshot from the source");
    return cap_snapshot_parse(pg_cell(res, 0, 0), ret_snap, err);
}

static void show_snapshot(struct worker *w, struct cap_snapshot *snap, lsn_t high_lsn)
{
    struct cap_copy *copy = w->copy;
    pthread_mutex_lock(&copy->lock);
    cap_snapshot_release(&copy->own);
    copy->own = *snap;
    copy->own_there = true;
    copy->high_lsn = MAX_OF(copy->high_lsn, high_lsn);
    bool tell = copy->window.alone;
    pthread_mutex_unlock(&copy->lock);
    if (tell)
        notify(copy);
}

/* A snapshot that sees all that was published. A transaction that misses is one between its commit record and its end: it takes
 * a moment, or as long as its synchronous standby does. */
static bool take_snapshot(struct worker *w, const struct source_table *t, size_t part, struct err *err)
{
    struct timespec nap = {.tv_nsec = 1000000};
    while (!atomic_load(&w->copy->abort)) {
        struct cap_snapshot snap = {0};
        lsn_t high_lsn = 0;
        if (!look(w, t, part, &snap, &high_lsn, err))
            return false;
        if (cap_visible_covers(w->copy->visible, &snap)) {
            show_snapshot(w, &snap, high_lsn);
            return true;
        }
        cap_snapshot_release(&snap);
        if (!pg_exec(w->conn, "ROLLBACK", err))
            return false;
        (void)nanosleep(&nap, NULL);
        nap.tv_nsec = MIN_OF(nap.tv_nsec * 2, 100000000);
    }
    return err_set(err, ERR_INTERRUPTED, "the copy was ended");
}

static bool hand_over(struct worker *w, struct err *err)
{
    if (w->batch == NULL || w->batch->record_count == 0)
        return true;
    struct cap_batch *batch = w->batch;
    w->batch = NULL;
    if (cap_publisher_submit(w->session->publisher, batch))
        return true;
    cap_batch_free(batch);
    return err_set(err, ERR_INTERRUPTED, "the journal's writer has failed"); /* it tells why itself */
}

static bool put_row(struct worker *w, struct cap_table_writer *tw, const struct change *base, struct err *err)
{
    struct change chg = *base;
    arena_clear(&w->arena);
    bool gone = base->op == CHANGE_DELETE;
    struct datum *row = gone ? tw->before : tw->after;
    if (!cap_table_writer_read(tw, w->parser->values, w->parser->column_count, &w->arena, row, err))
        return false;
    chg.before = gone ? row : NULL;
    chg.after = gone ? NULL : row;
    if (w->batch == NULL) {
        w->batch = cap_publisher_batch(w->session->publisher);
        w->batch->snapshot = true;
    }
    if (!cap_table_writer_put(tw, w->batch, &chg, row, CAP_HEADER_NONE, NULL, err) ||
        (gone && !cap_table_writer_tombstone(tw, w->batch, row, CAP_HEADER_NONE, NULL, err)))
        return false;
    bool full = cap_batch_size(w->batch) >= w->session->settings->batch_bytes ||
                w->batch->changes >= w->session->settings->fence_max_changes;
    return !full || hand_over(w, err);
}

/* Rows of the chunk that are whole in what has arrived. */
static bool put_rows(struct worker *w, struct cap_table_writer *tw, const struct change *base, size_t table,
                     bool *ret_end, struct err *err)
{
    uint64_t rows = 0;
    for (;;) {
        switch (copy_binary_next(w->parser, err)) {
        case COPY_ERROR:
            return false;
        case COPY_END:
            *ret_end = true;
            /* fall through */
        case COPY_MORE:
            atomic_fetch_add_explicit(&w->copy->rows[table], rows, memory_order_relaxed);
            return true;
        case COPY_ROW:
            if (!put_row(w, tw, base, err))
                return false;
            rows++;
            break;
        }
    }
}

static bool copy_rows(struct worker *w, struct cap_table_writer *tw, const struct change *base, size_t table,
                      struct err *err)
{
    bool end = false;
    for (;;) {
        const char *bytes;
        size_t len;
        if (atomic_load_explicit(&w->copy->abort, memory_order_relaxed))
            return err_set(err, ERR_INTERRUPTED, "the copy was ended");
        if (!pg_copy_out_get(w->conn, &bytes, &len, err))
            return false;
        if (len == 0)
            return end || err_set(err, ERR_PROTOCOL, "binary COPY ended without its trailer");
        if (!copy_binary_feed(w->parser, bytes, len, err) || !put_rows(w, tw, base, table, &end, err))
            return false;
    }
}

/* Under the lock: what is read now has the columns that the writer was made for. Else everything is opened anew, and the copy
 * goes on behind its last fence with the columns of now. */
static bool columns_hold(struct worker *w, const struct source_table *t, struct err *err)
{
    bool hold = false;
    if (!source_columns_hold(w->conn, t, &hold, err))
        return false;
    return hold ||
           err_set(err, ERR_TRANSIENT, "it was altered meanwhile; the copy goes on with its columns of now");
}

/* Renamed or dropped: likewise (the next session reads the catalog again). */
static bool copy_failed(const struct source_table *t, struct err *err)
{
    if (strcmp(err->sqlstate, "42P01") == 0 || strcmp(err->sqlstate, "42703") == 0 ||
        strcmp(err->sqlstate, "3F000") == 0)
        err->code = ERR_TRANSIENT;
    return err_wrap(err, "copy of table=%s.%s", t->schema, t->name);
}

static bool take_copy(struct worker *w, struct cap_table_writer *tw, const struct change *base, size_t table,
                      struct err *err)
{
    copy_binary_init(w->parser, (uint16_t)tw->schema->field_count);
    bool ok = copy_rows(w, tw, base, table, err);
    copy_binary_release(w->parser);
    return ok;
}

/* Keys that were asked for, and under which the same snapshot has no row: deletions in front of all that is held. A row that comes
 * later is held, and follows. */
static bool copy_gone(struct worker *w, const struct cap_chunk *chunk, struct cap_table_writer *tw,
                      const struct change *base, struct err *err)
{
    const struct source_table *t = &w->session->tables.items[chunk->table];
    const struct copy_keys *keys = w->copy->keys;
    if (keys == NULL || !keys->delete_gone)
        return true;
    struct strbuf storage = STRBUF_INIT(STRBUF_SQL_MAX), sql = STRBUF_INIT(STRBUF_SQL_MAX);
    bool *as_text = xcalloc(t->column_count + 1, sizeof *as_text);
    struct change gone = *base;
    gone.op = CHANGE_DELETE;
    gone.before_key_only = true;
    for (size_t i = 0; i < t->column_count; i++)
        as_text[i] = tw->readers[i].as_text;
    put_storage(t, chunk->part, &storage);
    strbuf_adds(&sql, "COPY (");
    bool ok = cap_keys_gone(w->session, t, keys, w->conn, storage.data, as_text, &sql, err);
    strbuf_adds(&sql, ") TO STDOUT (FORMAT binary)");
    ok = ok && strbuf_ok(&sql, "COPY", err) && pg_copy_out_begin(w->conn, sql.data, err) &&
         take_copy(w, tw, &gone, chunk->table, err);
    strbuf_release(&storage);
    strbuf_release(&sql);
    free(as_text);
    return ok;
}

static bool copy_chunk(struct worker *w, const struct cap_chunk *chunk, lsn_t base_lsn, struct err *err)
{
    struct cap_table_writer *tw = NULL;
    const struct source_table *t = &w->session->tables.items[chunk->table];
    if (!failpoint("capture.snapshot_chunk", err) || !writer_of(w, chunk->table, &tw, err) ||
        !take_snapshot(w, t, chunk->part, err) || !columns_hold(w, t, err))
        return copy_failed(t, err);
    struct change base = {
        .op = CHANGE_READ,
        .schema = tw->schema,
        .source = {.server = w->session->settings->topic_prefix,
                   .database = pg_database(w->conn),
                   .lsn = base_lsn,
                   .commit_lsn = base_lsn,
                   .commit_time_us = w->copy->started_us,
                   .snapshot = SNAPSHOT_TRUE},
        .captured_us = clock_wall_us(),
    };
    bool ok = begin_copy(w, chunk, tw, err) && take_copy(w, tw, &base, chunk->table, err) &&
              copy_gone(w, chunk, tw, &base, err);
    return (ok && pg_exec(w->conn, "ROLLBACK", err)) || copy_failed(t, err);
}

/* False: there is nothing more to do. */
static bool next_window(struct cap_copy *copy, struct cap_window *window)
{
    pthread_mutex_lock(&copy->lock);
    while (!copy->quit && copy->window.number == window->number)
        pthread_cond_wait(&copy->opened, &copy->lock);
    bool go = !copy->quit;
    *window = copy->window;
    pthread_mutex_unlock(&copy->lock);
    return go;
}

static void end_window(struct cap_copy *copy)
{
    pthread_mutex_lock(&copy->lock);
    bool last = --copy->working == 0;
    pthread_mutex_unlock(&copy->lock);
    if (last)
        notify(copy);
}

static bool work_window(struct worker *w, const struct cap_window *window, struct err *err)
{
    bool found = true;
    for (int i = 0; found && !atomic_load(&w->copy->abort) && (i == 0 || clock_mono_us() < window->until_us);
         i++) {
        struct cap_chunk chunk;
        if (!cap_plan_next(w->copy->plan, w->side, w->copy->range_rows, window->alone, &chunk, &found, err))
            return false;
        bool ok = !found || copy_chunk(w, &chunk, window->base_lsn, err);
        if (found)
            cap_chunk_release(&chunk);
        if (!ok)
            return false;
        if (window->alone)
            break;
    }
    return hand_over(w, err);
}

static bool work(struct worker *w, int index, struct err *err)
{
    struct cap_window window = {0};
    if (!open_worker(w, index, err))
        return err_wrap(err, "copy worker");
    while (next_window(w->copy, &window)) {
        if ((!window.alone || index == 0) && !work_window(w, &window, err))
            return false;
        end_window(w->copy);
    }
    return true;
}

static void close_worker(struct worker *w, int index)
{
    show_conn(w->copy, index, NULL);
    for (size_t i = 0; i < w->session->tables.count; i++)
        cap_table_writer_free(w->writers[i]);
    free(w->writers);
    cap_batch_free(w->batch);
    pg_type_catalog_free(w->types);
    pg_close(w->side);
    pg_close(w->conn);
    free(w->parser);
    arena_release(&w->arena);
}

void *cap_copy_worker_main(void *arg)
{
    struct cap_copy_worker *self = arg;
    struct err err = ERR_INIT;
    struct worker w = {
        .copy = self->copy,
        .session = self->copy->session,
        .types = pg_type_catalog_new(),
        .writers = xcalloc(self->copy->session->tables.count + 1, sizeof *w.writers),
        .parser = xcalloc(1, sizeof *w.parser),
    };
    arena_init(&w.arena, 256 << 10, CAP_MESSAGE_BYTES_MAX);
    if (!work(&w, self->index, &err)) {
        fail(self->copy, &err);
        notify(self->copy);
    }
    close_worker(&w, self->index);
    return NULL;
}
