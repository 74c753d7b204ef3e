/*
 * Owns: a chunk with rows that the target refuses. All in one transaction, as any chunk: its rows are loaded in ranges behind a savepoint; a
 * range that fails is halved, down to the row. n rows with one at fault take 2 log2 n tries. Ranges are of places (ctid): every table has
 * them, and under one snapshot and a lock they stay.
 *
 * The row becomes the record that the journal would have of it, with a schema that the journal has: it is registered, and durable in a
 * fence, before the chunk's transaction begins.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "capture/direct/direct_internal.h"
#include "capture/publish/table_writer.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "core/log.h"
#include "core/sqlstate.h"
#include "pg/copy_binary.h"

#define NAP_NS         (20 * 1000000)
#define ASK_EVERY_NAPS 50
#define TID_MAX        32
#define HEADERS_MAX    ((size_t)4096)

struct narrow {
    struct direct_hand *w;
    const struct source_table *t;
    struct direct_chunk chunk; /* with the range at hand */
    struct pg_type_catalog *types;
    struct cap_table_writer *tw; /* NULL: the first refused row ends the load */
    int64_t loaded, held;
    uint64_t shown;
};

/* --- the record of a row --- */

static void nap(void)
{
    static const struct timespec t = {.tv_nsec = NAP_NS};
    (void)nanosleep(&t, NULL);
}

/* An idle source has no fences: a commit makes one. */
static bool nudge(struct direct_hand *w, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    return pg_query(w->side, "SELECT pg_catalog.pg_logical_emit_message(true, 'crossfade', $1)", 1,
                    &w->d->session->settings->pipeline, &res, err);
}

/* Registered, and in the journal for good: else its number could become another schema's. */
static bool open_writer(struct narrow *n, struct err *err)
{
    struct direct_hand *w = n->w;
    struct cap_publisher *pub = w->d->session->publisher;
    n->types = pg_type_catalog_new();
    if (!cap_table_writer_open(w->d->session, n->t, n->types, w->side, pub, &n->tw, err))
        return false;
    uint64_t before = cap_publisher_fences(pub);
    for (int naps = 0; cap_publisher_fences(pub) == before; naps++) {
        if (direct_is_over(w->d))
            return err_set(err, ERR_INTERRUPTED, "the load was ended");
        if (naps % ASK_EVERY_NAPS == 0 && !nudge(w, err))
            return false;
        nap();
    }
    return true;
}

static bool encode_row(struct narrow *n, struct cap_batch *batch, struct err *err)
{
    const struct direct_hand *w = n->w;
    const struct change chg = {
        .op = CHANGE_READ,
        .schema = n->tw->schema,
        .source = {.server = w->d->session->settings->topic_prefix,
                   .database = pg_database(w->conn),
                   .lsn = w->d->snap.lsn,
                   .commit_lsn = w->d->snap.lsn,
                   .commit_time_us = clock_wall_us(),
                   .snapshot = SNAPSHOT_TRUE},
        .after = n->tw->after,
        .captured_us = clock_wall_us(),
    };
    return cap_table_writer_put(n->tw, batch, &chg, n->tw->after, CAP_HEADER_NONE, NULL, err);
}

/* The row as a record. Its values lie in what COPY has sent, until the next piece of that is asked for. */
static bool read_row(struct narrow *n, const char *tid, struct copy_binary *parser, struct arena *arena,
                     struct cap_batch *batch, struct err *err)
{
    const struct source_part *part = direct_part_of(n->w, &n->chunk);
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql, "COPY (SELECT ");
    for (size_t i = 0; i < n->t->column_count; i++) {
        strbuf_adds(&sql, i > 0 ? ", p." : "p.");
        pg_quote_ident(&sql, n->t->columns[i].name);
        strbuf_adds(&sql, n->tw->readers[i].as_text ? "::text" : "");
    }
    strbuf_adds(&sql, " FROM ONLY ");
    pg_quote_table(&sql, part->schema, part->name);
    strbuf_addf(&sql,
                " AS p WHERE p.ctid = '%s'::tid AND " DIRECT_QUALIFIED_NAMES ") TO STDOUT (FORMAT binary)",
                tid);
    n->w->path_is_set = true;
    bool ok = strbuf_ok(&sql, "COPY", err) && pg_copy_out_begin(n->w->conn, sql.data, err), found = false;
    strbuf_release(&sql);
    for (size_t len = 1; ok && len > 0;) {
        const char *bytes;
        ok = pg_copy_out_get(n->w->conn, &bytes, &len, err) &&
             (len == 0 || copy_binary_feed(parser, bytes, len, err));
        while (ok && len > 0 && copy_binary_next(parser, err) == COPY_ROW) {
            found = true;
            ok = cap_table_writer_read(n->tw, parser->values, parser->column_count, arena, n->tw->after,
                                       err) &&
                 encode_row(n, batch, err);
        }
    }
    return ok && (found || err_set(err, ERR_TRANSIENT, "a row is gone under its snapshot"));
}

/* As letters.c of apply packs them. */
static void pack_headers(const struct cap_record *rec, struct strbuf *out)
{
    if (rec->schema_id == 0)
        return;
    strbuf_add(out, HEADER_SCHEMA_ID, sizeof HEADER_SCHEMA_ID);
    strbuf_add_be32(out, sizeof(uint32_t));
    strbuf_add_be32(out, rec->schema_id);
}

static bool keep_record(struct narrow *n, const struct cap_batch *batch, const struct err *why,
                        struct err *err)
{
    const struct direct_hand *w = n->w;
    const struct cap_record *rec = &batch->records[0];
    struct strbuf headers = STRBUF_INIT(HEADERS_MAX);
    pack_headers(rec, &headers);
    const struct loader_letter letter = {.of = &w->d->plan->tables[n->chunk.part->table].target,
                                         .stream = n->tw->schema->topic,
                                         .timestamp_ms = clock_wall_us() / 1000,
                                         .key = rec->key_len != CAP_NONE ? batch->bytes.data + rec->key_at
                                                                         : NULL,
                                         .key_len = rec->key_len != CAP_NONE ? rec->key_len : 0,
                                         .value = batch->bytes.data + rec->value_at,
                                         .value_len = rec->value_len,
                                         .headers = headers.len > 0 ? headers.data : NULL,
                                         .headers_len = headers.len,
                                         .lsn = w->d->snap.lsn,
                                         .why = why,
                                         .max = w->d->session->settings->max_dead_letters};
    bool ok = loader_hold(w->ld, &letter, err);
    strbuf_release(&headers);
    return ok;
}

static bool keep_row(struct narrow *n, const char *tid, const struct err *why, struct err *err)
{
    struct copy_binary *parser CLEANUP(free_ptr) = xcalloc(1, sizeof *parser);
    struct cap_batch *batch = cap_batch_new();
    struct arena arena;
    arena_init(&arena, 16 << 10, CAP_MESSAGE_BYTES_MAX);
    copy_binary_init(parser, (uint16_t)n->tw->schema->field_count);
    bool ok = read_row(n, tid, parser, &arena, batch, err) && keep_record(n, batch, why, err);
    copy_binary_release(parser);
    arena_release(&arena);
    cap_batch_free(batch);
    return ok;
}

/* --- the row --- */

/* As docs/OPERATIONS.md says that rows are found by it: never a value. */
static bool hash_key(struct narrow *n, const char *tid, char **ret, struct err *err)
{
    const struct source_part *part = direct_part_of(n->w, &n->chunk);
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql, "SELECT left(encode(sha256(convert_to(concat_ws(','");
    for (size_t k = 0; k < n->t->key_count; k++) {
        strbuf_adds(&sql, ", p.");
        pg_quote_ident(&sql, n->t->columns[n->t->key[k]].name);
    }
    strbuf_adds(&sql, "), 'UTF8')), 'hex'), 16) FROM ONLY ");
    pg_quote_table(&sql, part->schema, part->name);
    strbuf_addf(&sql, " AS p WHERE p.ctid = '%s'::tid", tid);
    bool ok = n->t->key_count == 0 ||
              (strbuf_ok(&sql, "statement", err) && pg_query_text(n->w->conn, sql.data, 0, NULL, ret, err));
    strbuf_release(&sql);
    return ok;
}

static bool refuse(struct narrow *n, const char *tid, const struct err *why, struct err *err)
{
    char *hash CLEANUP(free_ptr) = NULL;
    bool keyed = n->t->key_count > 0;
    if (!hash_key(n, tid, &hash, err))
        return false;
    n->w->target_failed = true;
    if (n->tw != NULL) {
        log_event(LOG_LEVEL_WARN, "direct_held",
                  "table=%s.%s lsn=" LSN_FMT " ctid=%s%s%s sqlstate=%s text=\"%s\"", n->t->schema, n->t->name,
                  LSN_ARGS(n->w->d->snap.lsn), tid, keyed ? " key_hash=" : "", keyed ? hash : "",
                  why->sqlstate, why->text);
        n->held++;
        return keep_row(n, tid, why, err) && failpoint("capture.direct_held", err);
    }
    *err = *why;
    return err_wrap(err,
                    "the target refuses the row lsn=" LSN_FMT " ctid=%s%s%s (mend the target, or set "
                    "apply.on_row_error: dead_letter, and start capture again)",
                    LSN_ARGS(n->w->d->snap.lsn), tid, keyed ? " key_hash=" : "", keyed ? hash : "");
}

/* --- ranges --- */

static bool try_range(struct narrow *n, const char *after, const char *upto, struct err *err)
{
    n->chunk.after = after;
    n->chunk.upto = upto;
    n->w->target_failed = false;
    if (!loader_save(n->w->ld, err) || !direct_copy_rows(n->w, &n->chunk, &n->shown, err))
        return false;
    n->loaded += n->chunk.chunk.rows;
    return true;
}

/* What is left of the rows of a COPY that nobody takes any more. */
static bool drain(struct narrow *n, struct err *err)
{
    const char *bytes;
    size_t len = 1;
    while (pg_busy(n->w->conn) && len > 0) {
        if (!pg_copy_out_get(n->w->conn, &bytes, &len, err))
            return false;
    }
    return true;
}

/* *ret_middle: the last place of the first half. */
static bool find_middle(struct narrow *n, const char *after, const char *upto, int64_t *ret_rows,
                        char ret_middle[TID_MAX], struct err *err)
{
    const struct source_part *part = direct_part_of(n->w, &n->chunk);
    const char *where = table_rules_where(n->w->d->session->settings->rules, n->t->schema, n->t->name);
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    PG_RESULT_AUTO res = NULL;
    n->chunk.after = after;
    n->chunk.upto = upto;
    strbuf_adds(&sql, "SELECT count(*), percentile_disc(0.5) WITHIN GROUP (ORDER BY p.ctid) FROM ONLY ");
    pg_quote_table(&sql, part->schema, part->name);
    strbuf_adds(&sql, " AS p");
    if (where != NULL)
        strbuf_addf(&sql, " WHERE (%s\n)", where);
    direct_put_bounds(n->t, &n->chunk, where != NULL, &sql);
    bool ok = strbuf_ok(&sql, "statement", err) && direct_own_path(n->w, err) &&
              pg_query(n->w->conn, sql.data, 0, NULL, &res, err);
    strbuf_release(&sql);
    if (!ok)
        return false;
    *ret_rows = pg_cell_int64(res, 0, 0);
    (void)snprintf(ret_middle, TID_MAX, "%s", pg_cell(res, 0, 1));
    return true;
}

/* Rows behind `after` up to `upto`, of which the target refuses at least one (why), or that have not been tried (why NULL). */
static bool narrow(struct narrow *n, const char *after, const char *upto, const struct err *why,
                   struct err *err)
{
    struct err refused = ERR_INIT;
    char middle[TID_MAX];
    int64_t rows = 0;
    if (direct_is_over(n->w->d))
        return err_set(err, ERR_INTERRUPTED, "the load was ended");
    if (why == NULL) {
        if (try_range(n, after, upto, &refused))
            return true;
        if (!n->w->target_failed || err_fault(&refused) == FAULT_OTHER)
            return *err = refused, false;
        if (!drain(n, err) || !loader_restore(n->w->ld, err))
            return false;
        why = &refused;
    }
    n->w->target_failed = false;
    if (!find_middle(n, after, upto, &rows, middle, err))
        return false;
    if (rows <= 1)
        return rows == 0 || refuse(n, middle, why, err);
    return narrow(n, after, middle, NULL, err) && narrow(n, middle, upto, NULL, err);
}

static bool begin(struct narrow *n, struct err *err)
{
    struct direct_hand *w = n->w;
    const struct direct_job job = {.chunks = {n->chunk}, .count = 1};
    const struct loader_table *target = &w->d->plan->tables[n->chunk.part->table].target;
    if ((w->d->session->settings->dead_letters && !open_writer(n, err)) ||
        !direct_begin_snapshot(w, &job, err) || !direct_columns_hold(w, &n->t, 1, err))
        return false;
    w->target_failed = true;
    return loader_begin(w->ld, &target, 1, err);
}

static bool end(struct narrow *n, struct err *err)
{
    n->chunk.chunk.rows = n->loaded;
    n->w->target_failed = true;
    return loader_end(n->w->ld, &n->chunk.chunk, 1, n->w->d->snap.lsn, err) &&
           pg_exec(n->w->conn, "ROLLBACK", err) && failpoint("capture.direct_chunk_done", err);
}

bool direct_narrow(struct direct_hand *w, struct direct_chunk *chunk, const struct err *why, struct err *err)
{
    size_t table = chunk->part->table;
    struct narrow n = {.w = w, .t = &w->d->session->tables.items[table], .chunk = *chunk};
    log_event(LOG_LEVEL_INFO, "direct_narrows", "table=%s.%s sqlstate=%s text=\"%s\"", n.t->schema, n.t->name,
              why->sqlstate, why->text);
    bool ok = begin(&n, err) && narrow(&n, NULL, NULL, why, err) && end(&n, err);
    atomic_fetch_add(&w->d->rows[table], (ok ? (uint64_t)n.loaded : 0) - n.shown);
    cap_table_writer_free(n.tw);
    pg_type_catalog_free(n.types);
    return ok;
}
