/* Owns: what one worker of the copy does. See copy_work.h. Failpoint: capture.snapshot_chunk. */
#include "capture/copy_work.h"

#include <stdlib.h>
#include <string.h>

#include "capture/table_writer.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "pg/copy_binary.h"

#define LOCK_TIMEOUT_MS 30000
/* With more, every worker holding every lock could fill the server's lock table. */
#define LOCK_TABLES_MAX 500

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

void cap_copy_abort(struct cap_copy *copy, int workers)
{
    atomic_store(&copy->abort, true);
    pthread_mutex_lock(&copy->lock);
    for (int i = 0; i < workers; i++) {
        if (copy->conns[i] != NULL)
            pg_cancel(copy->conns[i]);
    }
    pthread_mutex_unlock(&copy->lock);
}

bool cap_copy_lock(const struct cap_session *s, struct pg_conn *conn, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_addf(&sql, "SET LOCAL lock_timeout = %d; LOCK TABLE ", LOCK_TIMEOUT_MS);
    for (size_t i = 0; i < s->tables.count; i++) {
        strbuf_adds(&sql, i > 0 ? ", " : "");
        strbuf_adds(&sql, s->tables.items[i].partitioned ? "" : "ONLY ");
        pg_quote_table(&sql, s->tables.items[i].schema, s->tables.items[i].name);
    }
    strbuf_adds(&sql, " IN ACCESS SHARE MODE");
    bool ok = strbuf_ok(&sql, "LOCK TABLE", err) && pg_exec(conn, sql.data, err);
    strbuf_release(&sql);
    return ok || err_wrap(err, "locking the tables for the copy");
}

static bool open_worker(struct worker *w, int index, struct err *err)
{
    if (!cap_connect(w->session->settings, false, &w->conn, err) ||
        !cap_connect(w->session->settings, false, &w->side, err))
        return false;
    show_conn(w->copy, index, w->conn);
    struct strbuf sql = STRBUF_INIT(256);
    strbuf_adds(&sql, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET TRANSACTION SNAPSHOT ");
    pg_quote_literal(&sql, w->copy->snapshot);
    bool ok = strbuf_ok(&sql, "snapshot", err) && pg_exec(w->conn, sql.data, err);
    strbuf_release(&sql);
    if (!ok || w->session->tables.count > LOCK_TABLES_MAX)
        return ok;
    return cap_copy_lock(w->session, w->conn, err);
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
        pg_quote_ident(sql, t->columns[i].name);
        strbuf_adds(sql, tw->readers[i].as_text ? "::text" : "");
    }
}

static bool begin_copy(struct worker *w, const struct cap_chunk *chunk, const struct cap_table_writer *tw,
                       struct err *err)
{
    const struct source_table *t = &w->session->tables.items[chunk->table];
    const struct source_part *part = &t->parts[chunk->part];
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql, "COPY (SELECT ");
    select_columns(t, tw, &sql);
    strbuf_adds(&sql, " FROM ONLY ");
    pg_quote_table(&sql, part->schema, part->name);
    if (chunk->first_block > 0 || chunk->end_block >= 0)
        strbuf_addf(&sql, " WHERE ctid >= '(%lld,0)'::pg_catalog.tid", (long long)chunk->first_block);
    if (chunk->end_block >= 0)
        strbuf_addf(&sql, " AND ctid < '(%lld,0)'::pg_catalog.tid", (long long)chunk->end_block);
    strbuf_adds(&sql, ") TO STDOUT (FORMAT binary)");
    bool ok = strbuf_ok(&sql, "COPY", err) && pg_copy_out_begin(w->conn, sql.data, err);
    strbuf_release(&sql);
    return ok;
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
    if (!cap_table_writer_read(tw, w->parser->values, w->parser->column_count, &w->arena, tw->after, err))
        return false;
    chg.after = tw->after;
    if (w->batch == NULL) {
        w->batch = cap_publisher_batch(w->session->publisher);
        w->batch->snapshot = true;
    }
    if (!cap_table_writer_put(tw, w->batch, &chg, tw->after, CAP_HEADER_NONE, NULL, err))
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

static bool copy_chunk(struct worker *w, const struct cap_chunk *chunk, struct err *err)
{
    struct cap_table_writer *tw = NULL;
    if (!failpoint("capture.snapshot_chunk", err) || !writer_of(w, chunk->table, &tw, err))
        return false;
    struct change base = {
        .op = CHANGE_READ,
        .schema = tw->schema,
        .source = {.server = w->session->settings->topic_prefix,
                   .database = pg_database(w->conn),
                   .lsn = w->copy->consistent_lsn,
                   .commit_lsn = w->copy->consistent_lsn,
                   .commit_time_us = w->copy->started_us,
                   .snapshot = SNAPSHOT_TRUE},
        .captured_us = clock_wall_us(),
    };
    copy_binary_init(w->parser, (uint16_t)tw->schema->field_count);
    bool ok = begin_copy(w, chunk, tw, err) && copy_rows(w, tw, &base, chunk->table, err);
    copy_binary_release(w->parser);
    if (!ok)
        return err_wrap(err, "copy of table=%s.%s", tw->schema->schema, tw->schema->table);
    atomic_fetch_sub(&w->copy->chunks_left[chunk->table], 1);
    return true;
}

static bool work(struct worker *w, int index, struct err *err)
{
    if (!open_worker(w, index, err))
        return err_wrap(err, "copy worker");
    while (!atomic_load(&w->copy->abort)) {
        size_t i = atomic_fetch_add(&w->copy->next_chunk, 1);
        if (i >= w->copy->chunk_count)
            break;
        if (!copy_chunk(w, &w->copy->chunks[i], err))
            return false;
    }
    return hand_over(w, err);
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
    if (!work(&w, self->index, &err))
        fail(self->copy, &err);
    close_worker(&w, self->index);
    atomic_fetch_sub(&self->copy->running, 1);
    return NULL;
}
