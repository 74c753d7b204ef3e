/*
 * Owns: the first copy from MariaDB: all tables one after the other under one consistent snapshot, whose place in the binlog is known, rows
 * as they come (one at a time in memory, in the order of the primary key). The stream begins at that place when all are copied, so
 * nothing of it has to be held; the source keeps its binlog meanwhile. A copy that is killed starts over.
 *
 * Failpoints: capture.snapshot_opened, capture.snapshot_chunk, capture.snapshot_copied.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "capture/asked.h"
#include "capture/maria/maria_internal.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "core/log.h"
#include "maria/binlog/shape.h"
#include "maria/binlog/value_text.h"

/* A fence without end would be a unit of the journal without end. */
#define FENCE_BYTES ((uint64_t)64 << 20)
#define FENCE_US    INT64_C(5000000)
#define ROW_BYTES   ((size_t)64 << 10)
#define SHOW_ROWS   1000

struct listed {
    char *database, *table, *engine;
};

struct maria_copy {
    struct cap_maria *m;
    struct maria_conn *conn;
    char *file, *pos;
    struct listed *tables;
    size_t count;
    int64_t time_us, begun_us, fence_us;
    uint64_t fence_bytes;
    uint64_t rows;

    /* the table at hand */
    struct maria_table *table;
    struct shape shape;
    struct datum *row;
    uint64_t table_rows;
    struct cap_batch *batch;
    struct arena arena;
    struct strbuf scratch;
};

/* --- the snapshot --- */

static bool each_status(void *ctx, char **cells, size_t count, struct err *err)
{
    struct maria_copy *c = ctx;
    (void)err;
    if (count < 2 || cells[0] == NULL || cells[1] == NULL)
        return true;
    char **to = strcasecmp(cells[0], "Binlog_snapshot_file") == 0       ? &c->file
                : strcasecmp(cells[0], "Binlog_snapshot_position") == 0 ? &c->pos
                                                                        : NULL;
    if (to != NULL && *to == NULL)
        *to = xstrdup(cells[1]);
    return true;
}

static bool read_place(struct maria_copy *c, char **ret_gtid, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    if (!maria_query(c->conn, "SHOW SESSION STATUS LIKE 'binlog_snapshot_%'", each_status, c, err))
        return false;
    if (c->file == NULL || c->pos == NULL || *c->file == '\0' ||
        strspn(c->pos, "0123456789") != strlen(c->pos))
        return err_set(err, ERR_CONFIG,
                       "the server does not say where its binlog stands for a consistent snapshot "
                       "(binlog_snapshot_file): is log_bin on?");
    strbuf_adds(&sql, "SELECT BINLOG_GTID_POS(");
    maria_quote_literal(&sql, c->file);
    strbuf_addf(&sql, ", %s)", c->pos);
    bool ok = strbuf_ok(&sql, "statement", err) && maria_query_text(c->conn, sql.data, 0, ret_gtid, err);
    strbuf_release(&sql);
    if (ok && *ret_gtid == NULL)
        ok = err_set(err, ERR_TRANSIENT, "the server does not know the GTIDs of its own place %s:%s", c->file,
                     c->pos);
    return ok;
}

bool maria_copy_open(struct cap_maria *m, struct maria_copy **ret, char **ret_gtid, struct err *err)
{
    struct maria_copy *c = xcalloc(1, sizeof *c);
    const struct cap_settings *s = m->session->settings;
    c->m = m;
    arena_init(&c->arena, ROW_BYTES, CAP_MESSAGE_BYTES_MAX);
    strbuf_init(&c->scratch, CAP_MESSAGE_BYTES_MAX);
    c->time_us = clock_wall_us();
    bool ok = maria_open_as(s->source_url, s->application_name, &c->conn, err) &&
              maria_exec(c->conn,
                         "SET SESSION net_write_timeout = 31536000, SESSION wait_timeout = 31536000, SESSION "
                         "max_statement_time = 0, SESSION idle_transaction_timeout = 0",
                         err) &&
              maria_exec(c->conn, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ", err) &&
              maria_exec(c->conn, "START TRANSACTION WITH CONSISTENT SNAPSHOT", err) &&
              read_place(c, ret_gtid, err);
    if (!ok) {
        maria_copy_close(c);
        return err_wrap(err, "snapshot");
    }
    *ret = c;
    return true;
}

void maria_copy_close(struct maria_copy *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->count; i++) {
        free(c->tables[i].database);
        free(c->tables[i].table);
        free(c->tables[i].engine);
    }
    free(c->tables);
    maria_close(c->conn);
    cap_batch_free(c->batch);
    shape_release(&c->shape, false);
    free(c->row);
    free(c->file);
    free(c->pos);
    arena_release(&c->arena);
    strbuf_release(&c->scratch);
    free(c);
}

/* --- the tables --- */

static bool each_table(void *ctx, char **cells, size_t count, struct err *err)
{
    struct maria_copy *c = ctx;
    if (count != 4 || cells[0] == NULL || cells[1] == NULL)
        return err_set(err, ERR_PROTOCOL, "an unexpected row of tables");
    if (!maria_wanted(c->m, cells[0], cells[1]) ||
        maria_table_named(c->m, cells[0], cells[1])->role != MARIA_DATA)
        return true;
    c->tables = xrealloc(c->tables, (c->count + 1) * sizeof *c->tables);
    c->tables[c->count++] = (struct listed){.database = xstrdup(cells[0]),
                                            .table = xstrdup(cells[1]),
                                            .engine = xstrdup(cells[2] != NULL ? cells[2] : "")};
    c->m->session->status->snapshot_rows_estimate += cells[3] != NULL ? strtoull(cells[3], NULL, 10) : 0;
    return true;
}

static bool list_tables(struct maria_copy *c, struct err *err)
{
    c->m->session->status->snapshot_rows_estimate = 0;
    return maria_query(
        c->conn,
        "SELECT TABLE_SCHEMA, TABLE_NAME, ENGINE, TABLE_ROWS FROM information_schema.TABLES WHERE "
        "TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY 1, 2",
        each_table, c, err);
}

/* --- rows --- */

/* The unit's end, without which it would hold the whole copy. */
static bool give(struct maria_copy *c, bool fence, struct err *err)
{
    struct cap_session *s = c->m->session;
    struct cap_batch *batch = c->batch;
    c->fence_bytes += cap_batch_size(batch);
    c->batch = cap_publisher_batch(s->publisher);
    c->batch->snapshot = true;
    if (fence) {
        struct fence_copy place = {.there = true};
        batch->copy_fence =
            (struct cap_copy_fence){.wanted = true, .lsn = s->position.lsn, .commit_time_us = c->time_us};
        batch->copy_fence.place = fence_copy_clone(&place);
        c->fence_bytes = 0;
        c->fence_us = clock_mono_us();
    }
    return maria_submit(c->m, batch, err);
}

/* capture.max_rows_per_second */
static void pace(const struct maria_copy *c)
{
    cap_asked_look(c->m->session->asked);
    int64_t most = c->m->session->settings->max_rows_per_second;
    if (most <= 0)
        return;
    int64_t ahead_us = (int64_t)(c->rows * 1000000 / (uint64_t)most) - (clock_mono_us() - c->begun_us);
    struct timespec nap = {.tv_sec = ahead_us / 1000000, .tv_nsec = ahead_us % 1000000 * 1000};
    if (ahead_us > 1000)
        (void)nanosleep(&nap, NULL);
}

static bool look_around(struct maria_copy *c, struct err *err)
{
    struct cap_session *s = c->m->session;
    if (cap_stop_asked(s))
        return err_set(err, ERR_INTERRUPTED, "stopped during the copy");
    s->status->snapshot_rows = c->rows;
    cap_status_show(s, PHASE_SNAPSHOT);
    pace(c);
    return true;
}

static bool put_row(struct maria_copy *c, struct err *err)
{
    const struct cap_settings *s = c->m->session->settings;
    const struct change chg = {
        .op = CHANGE_READ,
        .schema = c->table->writer->schema,
        .after = c->row,
        .source = {.server = s->topic_prefix,
                   .database = c->shape.schema->schema,
                   .commit_time_us = c->time_us,
                   .snapshot = SNAPSHOT_TRUE,
                   .file = c->file,
                   .pos = strtoull(c->pos, NULL, 10)},
        .captured_us = clock_wall_us(),
    };
    if (!cap_table_writer_put(c->table->writer, c->batch, &chg, c->row, CAP_HEADER_NONE, NULL, err))
        return false;
    c->rows++;
    c->table_rows++;
    if (c->rows % SHOW_ROWS == 0 && !look_around(c, err))
        return false;
    if (cap_batch_size(c->batch) < s->batch_bytes)
        return true;
    return give(c, c->fence_bytes >= FENCE_BYTES || clock_mono_us() - c->fence_us >= FENCE_US, err);
}

static bool each_row(void *ctx, char **cells, const unsigned long *lens, size_t count, struct err *err)
{
    struct maria_copy *c = ctx;
    const struct value_context values = {.arena = &c->arena, .scratch = &c->scratch};
    if (count != c->shape.schema->field_count)
        return err_set(err, ERR_PROTOCOL, "a row has %zu columns, its table %zu", count,
                       c->shape.schema->field_count);
    arena_clear(&c->arena);
    for (size_t i = 0; i < count; i++) {
        if (!value_of_text(&c->shape.plans[i], cells[i], lens[i], &values, &c->row[i], err))
            return err_wrap(err, "column %s", c->shape.schema->fields[i].name);
    }
    return put_row(c, err);
}

static bool select_text(const struct maria_copy *c, const struct listed *t, struct strbuf *sql,
                        struct err *err)
{
    const struct table_schema *schema = c->shape.schema;
    strbuf_adds(sql, "SELECT ");
    for (size_t i = 0; i < schema->field_count; i++) {
        strbuf_adds(sql, i > 0 ? ", " : "");
        value_select(&c->shape.plans[i], schema->fields[i].name, sql);
    }
    strbuf_adds(sql, " FROM ");
    maria_quote_ident(sql, t->database);
    strbuf_addc(sql, '.');
    maria_quote_ident(sql, t->table);
    for (size_t i = 0; i < schema->key_count; i++) {
        strbuf_adds(sql, i > 0 ? ", " : " ORDER BY ");
        maria_quote_ident(sql, schema->fields[schema->key_fields[i]].name);
    }
    return strbuf_ok(sql, "statement", err);
}

/* --- one table --- */

/* Other engines have no snapshots: what was written since comes twice, and only a key makes that the same. */
static bool check_engine(const struct listed *t, const struct shape *shape, struct err *err)
{
    if (strcasecmp(t->engine, "InnoDB") == 0)
        return true;
    if (shape->schema->key_count == 0)
        return err_set(
            err, ERR_UNSUPPORTED,
            "a table of engine %s without a primary key cannot be copied while it is written: make it "
            "InnoDB, or leave it out (source.tables)",
            t->engine);
    log_event(LOG_LEVEL_WARN, "no_snapshot",
              "table=%s.%s engine=%s text=\"its rows are of different moments until the "
              "stream has caught up\"",
              t->database, t->table, t->engine);
    return true;
}

static bool open_table(struct maria_copy *c, const struct listed *t, struct err *err)
{
    struct cap_maria *m = c->m;
    const struct shape_options options = {.topic_prefix = m->session->settings->topic_prefix};
    struct catalog_table cat = {0};
    if ((m->sets == NULL && !charsets_open(m->sql, &m->sets, err)) ||
        !catalog_table_read(m->sql, t->database, t->table, &cat, err))
        return false;
    bool ok = shape_of_catalog(t->database, t->table, &cat, m->sets, &options, &c->shape, err);
    catalog_table_release(&cat);
    if (!ok || !check_engine(t, &c->shape, err))
        return false;
    c->row = xcalloc(c->shape.schema->field_count + 1, sizeof *c->row);
    c->table = maria_table_named(m, t->database, t->table);
    return maria_use_shape(m, c->table, c->shape.schema, err);
}

static void close_table(struct maria_copy *c)
{
    if (c->table != NULL)
        c->table->shape = NULL; /* it goes */
    c->table = NULL;
    shape_release(&c->shape, false);
    free(c->row);
    c->row = NULL;
}

static bool copy_table(struct maria_copy *c, const struct listed *t, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    c->table_rows = 0;
    bool ok = failpoint("capture.snapshot_chunk", err) && open_table(c, t, err) &&
              select_text(c, t, &sql, err) && maria_stream(c->conn, sql.data, each_row, c, err);
    strbuf_release(&sql);
    close_table(c);
    if (ok)
        log_event(LOG_LEVEL_INFO, "snapshot_table", "table=%s.%s rows=%llu", t->database, t->table,
                  (unsigned long long)c->table_rows);
    if (!ok &&
        strstr(err->text, "(error 1412)") != NULL) /* altered since the snapshot: another one sees it */
        err->code = ERR_TRANSIENT;
    return ok || err_wrap(err, "copy: table=%s.%s", t->database, t->table);
}

bool maria_copy_run(struct maria_copy *c, struct err *err)
{
    struct role_status *status = c->m->session->status;
    status->snapshot_started_us = clock_wall_us();
    status->snapshot_finished_us = 0;
    c->begun_us = c->fence_us = clock_mono_us();
    c->batch = cap_publisher_batch(c->m->session->publisher);
    c->batch->snapshot = true;
    if (!failpoint("capture.snapshot_opened", err) || !list_tables(c, err))
        return false;
    log_event(LOG_LEVEL_INFO, "snapshot_begin", "attempt=%llu binlog=%s:%s tables=%zu",
              (unsigned long long)status->attempt, c->file, c->pos, c->count);
    for (size_t i = 0; i < c->count; i++) {
        if (!look_around(c, err) || !copy_table(c, &c->tables[i], err))
            return false;
    }
    if (!give(c, false, err))
        return false;
    status->snapshot_rows = c->rows;
    status->snapshot_finished_us = clock_wall_us();
    log_event(LOG_LEVEL_INFO, "snapshot_end", "rows=%llu seconds=%.1f", (unsigned long long)c->rows,
              (double)(status->snapshot_finished_us - status->snapshot_started_us) / 1e6);
    return failpoint("capture.snapshot_copied", err);
}
