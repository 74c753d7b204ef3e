/* Owns: loading chunks directly into PostgreSQL, and whose turn that is. See target/loader.h. */
#include "loader_postgres.h"
#include "postgres.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/failpoint.h"
#include "pg/control_tables.h"
#include "sql/embedded.h"

/* COPY data goes to the server in pieces of this size: a message a row costs it more than the row. */
#define PUT_BYTES ((size_t)64 << 10)
#define OUT_MAX   ((size_t)1200 << 20)

static const char SESSION[] =
    "SET client_min_messages = warning; SET client_encoding = 'UTF8'; SET statement_timeout = 0; SET "
    "lock_timeout = '30s'; SET idle_in_transaction_session_timeout = 0; SET default_transaction_isolation = "
    "'read committed'; SET default_transaction_read_only = off; SET row_security = off; SET datestyle = "
    "'ISO'; "
    "SET intervalstyle = 'postgres'; SET timezone = 'UTC'; SET xmloption = 'content'; SET synchronous_commit "
    "= on";

bool pgl_query_bool(struct pg_loader *ld, const char *sql, int count, const char *const *params, bool *ret,
                    struct err *err)
{
    return pg_query_bool(ld->conn, sql, count, params, ret, err);
}

/* --- life --- */

static void pgl_close(struct loader *base)
{
    struct pg_loader *ld = (struct pg_loader *)base;
    pg_close(ld->conn);
    strbuf_release(&ld->out);
    free(ld->search_path);
    free(ld);
}

static void pgl_cancel(struct loader *base)
{
    pg_cancel(((struct pg_loader *)base)->conn);
}

static bool set_up(struct pg_loader *ld, struct err *err)
{
    static const char needed[] = "crossfade.position crossfade.loaded crossfade.loaded.table_oid "
                                 "crossfade.direct_load crossfade.direct_table crossfade.direct_chunk "
                                 "crossfade.direct_letter crossfade.shard_home";
    struct err refused = ERR_INIT;
    if (!pg_exec(ld->conn, SESSION, err) ||
        (pg_server_version(ld->conn) >= 170000 && !pg_exec(ld->conn, "SET transaction_timeout = 0", err)))
        return false;
    ld->triggers_fire = !pg_exec(ld->conn, "SET session_replication_role = replica", &refused);
    if (ld->triggers_fire && refused.code != ERR_AUTH) {
        *err = refused;
        return false;
    }
    return pg_control_tables_ensure(ld->conn, needed, embedded_sql_target_sql, "target", err) &&
           pgt_refuse_source(ld->conn, ld->base.pipeline, err) &&
           pg_query_text(ld->conn, "SELECT pg_catalog.current_setting('search_path')", 0, NULL,
                         &ld->search_path, err);
}

/* Its sessions have no origin, as apply's have (several side by side could not share one). */
static bool refuse_way_back(struct pg_loader *ld, const char *pipeline, struct err *err)
{
    bool captured = false;
    if (!pgt_is_captured_by(ld->conn, pipeline, &captured, err))
        return false;
    return !captured || err_set(err, ERR_SCHEMA,
                                "pipeline %s captures the target, and would send all that is loaded there "
                                "directly back to the "
                                "source, over newer rows. Hint: set capture.snapshot_path: journal; or give "
                                "the way back up for now: end "
                                "its capture, and drop its slot crossfade_%s on the target",
                                pipeline, pipeline);
}

static bool pgl_open(const struct loader_options *options, struct loader **ret, struct err *err)
{
    struct pg_loader *ld = xcalloc(1, sizeof *ld);
    char *name CLEANUP(free_ptr) = xasprintf("crossfade load %s", options->pipeline);
    struct pg_options pg = {.application_name = name};
    loader_base(&ld->base, &loader_postgres, options);
    (void)snprintf(ld->attempt, sizeof ld->attempt, "%llu", (unsigned long long)options->attempt);
    strbuf_init(&ld->out, OUT_MAX);
    if (!pg_open(options->url, &pg, &ld->conn, err) || !set_up(ld, err) ||
        !refuse_way_back(ld, options->way_back, err)) {
        loader_close(&ld->base);
        return false;
    }
    *ret = &ld->base;
    return true;
}

/* --- whose turn it is --- */

static bool read_places(struct pg_loader *ld, const char *sql, struct loader_place *ret, size_t *ret_count,
                        struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    const char *params[1] = {ld->base.pipeline};
    if (!pg_query(ld->conn, sql, 1, params, &res, err))
        return false;
    if (pg_rows(res) > LOADER_PLACES_MAX)
        return loader_too_many_places(err);
    for (*ret_count = 0; *ret_count < (size_t)pg_rows(res); (*ret_count)++) {
        int row = (int)*ret_count;
        struct loader_place *place = &ret[row];
        (void)snprintf(place->shard, sizeof place->shard, "%s", pg_cell(res, row, 0));
        place->attempt = (uint64_t)pg_cell_int64(res, row, 1);
        place->source_system_id = strtoull(pg_cell(res, row, 3), NULL, 10);
        place->complete = pg_cell_bool(res, row, 4);
        if (!lsn_parse(pg_cell(res, row, 2), &place->lsn))
            return err_set(err, ERR_PROTOCOL, "crossfade.position.lsn does not parse");
    }
    return true;
}

#define PLACES                                                                                               \
    "SELECT shard, attempt, lsn, source_system_id, complete FROM crossfade.position WHERE pipeline = $1"

static bool pgl_places(struct loader *base, struct loader_place *ret, size_t *ret_count, struct err *err)
{
    return read_places((struct pg_loader *)base, PLACES, ret, ret_count, err);
}

static bool pgl_claim(struct loader *base, bool *ret_done, struct err *err)
{
    struct pg_loader *ld = (struct pg_loader *)base;
    PG_RESULT_AUTO res = NULL;
    PG_RESULT_AUTO chunks = NULL;
    PG_RESULT_AUTO tables = NULL;
    PG_RESULT_AUTO letters = NULL;
    PG_RESULT_AUTO claim = NULL;
    const char *params[3] = {ld->base.pipeline, ld->attempt, ld->base.owner};
    /* The lists of an earlier attempt go with its claim, which is locked first, as by apply when it empties the target. */
    bool ok =
        pg_exec(ld->conn, "BEGIN", err) &&
        pg_query(ld->conn, "SELECT 1 FROM crossfade.direct_load WHERE pipeline = $1 FOR UPDATE", 1, params,
                 &claim, err) &&
        pg_query(ld->conn,
                 "DELETE FROM crossfade.direct_chunk WHERE pipeline = $1 AND NOT EXISTS (SELECT 1 FROM "
                 "crossfade.direct_load WHERE pipeline = $1 AND attempt >= $2::bigint)",
                 2, params, &chunks, err) &&
        pg_query(ld->conn,
                 "DELETE FROM crossfade.direct_table WHERE pipeline = $1 AND NOT EXISTS (SELECT 1 FROM "
                 "crossfade.direct_load WHERE pipeline = $1 AND attempt >= $2::bigint)",
                 2, params, &tables, err) &&
        pg_query(ld->conn,
                 "DELETE FROM crossfade.direct_letter WHERE pipeline = $1 AND NOT EXISTS (SELECT 1 FROM "
                 "crossfade.direct_load WHERE pipeline = $1 AND attempt >= $2::bigint)",
                 2, params, &letters, err) &&
        pg_query(ld->conn,
                 "INSERT INTO crossfade.direct_load AS l (pipeline, attempt, owner) VALUES ($1, $2::bigint, "
                 "$3) ON CONFLICT (pipeline) DO UPDATE SET done = l.done AND l.attempt = excluded.attempt, "
                 "attempt = excluded.attempt, owner = excluded.owner WHERE l.attempt <= excluded.attempt "
                 "RETURNING done",
                 3, params, &res, err) &&
        pg_exec(ld->conn, "COMMIT", err);
    if (!ok)
        return false;
    if (pg_rows(res) == 0)
        return err_set(err, ERR_FENCED, "a later attempt than %s is being loaded: another capture runs",
                       ld->attempt);
    *ret_done = pg_cell_bool(res, 0, 0);
    return true;
}

/* Begins a transaction that holds the claim: neither another loader nor apply's next attempt comes in between. */
bool pgl_begin_claimed(struct pg_loader *ld, struct err *err)
{
    const char *params[3] = {ld->base.pipeline, ld->attempt, ld->base.owner};
    struct loader_place *places CLEANUP(free_ptr) = xcalloc(LOADER_PLACES_MAX, sizeof *places);
    size_t count = 0;
    bool ours = false, ready = false;
    ld->saved = false;
    if (pg_busy(ld->conn)) /* what was given up */
        pg_copy_in_abort(ld->conn, "given up");
    if ((pg_in_transaction(ld->conn) && !pg_exec(ld->conn, "ROLLBACK", err)) ||
        !pg_exec(ld->conn, "BEGIN", err) ||
        !pgl_query_bool(
            ld,
            "SELECT true FROM crossfade.direct_load WHERE pipeline = $1 AND attempt = $2::bigint AND "
            "owner = $3 AND NOT done FOR SHARE",
            3, params, &ours, err))
        return false;
    if (ours && (!read_places(ld, PLACES " FOR SHARE", places, &count, err) ||
                 !loader_places_ready(&ld->base, places, count, &ld->shards, &ready, err)))
        return false;
    return ready || loader_taken_over(err);
}

/* --- chunks --- */

static void put_upper(const struct loader_chunk *chunk, struct strbuf *sql)
{
    if (chunk->upper == NULL) {
        strbuf_adds(sql, "NULL");
        return;
    }
    strbuf_adds(sql, "ARRAY[");
    for (size_t i = 0; i < chunk->upper_count; i++) {
        strbuf_adds(sql, i > 0 ? ", " : "");
        pg_quote_literal(sql, chunk->upper[i]);
    }
    strbuf_adds(sql, "]::text[]");
}

static bool pgl_plan(struct loader *base, const struct loader_chunk *chunk, struct err *err)
{
    struct pg_loader *ld = (struct pg_loader *)base;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(
        &sql, "INSERT INTO crossfade.direct_chunk (pipeline, source_oid, part_oid, number, upper) VALUES (");
    pg_quote_literal(&sql, ld->base.pipeline);
    strbuf_addf(&sql, ", %u, %u, %d, ", chunk->table_oid, chunk->part_oid, chunk->number);
    put_upper(chunk, &sql);
    strbuf_adds(&sql, ")");
    bool ok = strbuf_ok(&sql, "statement", err) && pgl_begin_claimed(ld, err) &&
              pg_exec(ld->conn, sql.data, err) && pg_exec(ld->conn, "COMMIT", err);
    strbuf_release(&sql);
    return ok;
}

static bool pgl_begin(struct loader *base, const struct loader_table *const *tables, size_t count,
                      struct err *err)
{
    (void)tables;
    (void)count;
    return pgl_begin_claimed((struct pg_loader *)base, err);
}

static bool pgl_start(struct loader *base, const struct loader_table *t, enum loader_form form,
                      struct err *err)
{
    struct pg_loader *ld = (struct pg_loader *)base;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql, "COPY ");
    pg_quote_table(&sql, t->schema, t->name);
    strbuf_adds(&sql, " (");
    for (size_t i = 0; i < t->column_count; i++) {
        strbuf_adds(&sql, i > 0 ? ", " : "");
        pg_quote_ident(&sql, t->columns[i].name);
    }
    strbuf_addf(&sql, ") FROM STDIN (FORMAT %s)", form == LOADER_BINARY ? "binary" : "text");
    strbuf_clear(&ld->out);
    bool ok = strbuf_ok(&sql, "COPY", err) && pg_copy_in_begin(ld->conn, sql.data, err);
    strbuf_release(&sql);
    return ok;
}

static bool flush(struct pg_loader *ld, struct err *err)
{
    bool ok = ld->out.len == 0 || pg_copy_in_put(ld->conn, ld->out.data, ld->out.len, err);
    strbuf_clear(&ld->out);
    return ok;
}

static bool pgl_put(struct loader *base, const void *bytes, size_t len, struct err *err)
{
    struct pg_loader *ld = (struct pg_loader *)base;
    if (ld->out.len > 0 && ld->out.len + len > PUT_BYTES && !flush(ld, err))
        return false;
    if (len >= PUT_BYTES) /* as it is */
        return pg_copy_in_put(ld->conn, bytes, len, err);
    strbuf_add(&ld->out, bytes, len);
    return strbuf_ok(&ld->out, "COPY data", err);
}

static bool pgl_stop(struct loader *base, int64_t *ret_rows, struct err *err)
{
    struct pg_loader *ld = (struct pg_loader *)base;
    return flush(ld, err) && pg_copy_in_end(ld->conn, ret_rows, err);
}

/* One that was planned. */
static bool note_planned(struct pg_loader *ld, const struct loader_chunk *chunk, const char *lsn,
                         int64_t *ret_noted, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    char table[16], part[16], number[16], rows[24];
    (void)snprintf(table, sizeof table, "%u", chunk->table_oid);
    (void)snprintf(part, sizeof part, "%u", chunk->part_oid);
    (void)snprintf(number, sizeof number, "%d", chunk->number);
    (void)snprintf(rows, sizeof rows, "%lld", (long long)chunk->rows);
    const char *params[6] = {ld->base.pipeline, table, part, number, lsn, rows};
    if (!pg_query(
            ld->conn,
            "UPDATE crossfade.direct_chunk SET done = true, lsn = $5::pg_lsn, rows = $6::bigint WHERE "
            "pipeline = $1 AND source_oid = $2::bigint AND part_oid = $3::bigint AND number = $4::integer "
            "AND NOT done",
            6, params, &res, err))
        return false;
    *ret_noted = pg_affected(res);
    return true;
}

/* Whole parts that were not. */
static bool note_whole(struct pg_loader *ld, const struct loader_chunk *chunks, size_t count, const char *lsn,
                       int64_t *ret_noted, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    struct strbuf tables = STRBUF_INIT(STRBUF_SQL_MAX), parts = STRBUF_INIT(STRBUF_SQL_MAX),
                  rows = STRBUF_INIT(STRBUF_SQL_MAX);
    for (size_t i = 0; i < count; i++) {
        pg_array_int64(&tables, i, chunks[i].table_oid);
        pg_array_int64(&parts, i, chunks[i].part_oid);
        pg_array_int64(&rows, i, chunks[i].rows);
    }
    pg_array_end(&tables, count);
    pg_array_end(&parts, count);
    pg_array_end(&rows, count);
    const char *params[5] = {ld->base.pipeline, tables.data, parts.data, rows.data, lsn};
    bool ok =
        strbuf_ok(&tables, "chunks", err) && strbuf_ok(&parts, "chunks", err) &&
        strbuf_ok(&rows, "chunks", err) &&
        pg_query(ld->conn,
                 "INSERT INTO crossfade.direct_chunk (pipeline, source_oid, part_oid, number, lsn, rows, "
                 "done) SELECT $1, t, p, 0, $5::pg_lsn, r, true FROM unnest($2::bigint[], "
                 "$3::bigint[], $4::bigint[]) AS u (t, p, r) ON CONFLICT DO NOTHING",
                 5, params, &res, err);
    if (ok)
        *ret_noted = pg_affected(res);
    strbuf_release(&tables);
    strbuf_release(&parts);
    strbuf_release(&rows);
    return ok;
}

static bool pgl_end(struct loader *base, const struct loader_chunk *chunks, size_t count, lsn_t lsn,
                    struct err *err)
{
    struct pg_loader *ld = (struct pg_loader *)base;
    char at[LSN_TEXT_MAX];
    int64_t noted = 0;
    (void)lsn_format(lsn, at);
    if (!failpoint("capture.direct_copied", err) ||
        !(chunks[0].noted ? note_planned(ld, chunks, at, &noted, err)
                          : note_whole(ld, chunks, count, at, &noted, err)))
        return false;
    if (noted != (int64_t)count)
        return err_set(err, ERR_FENCED, "a chunk of the direct load is gone, or done already");
    return pg_exec(ld->conn, "COMMIT", err);
}

static bool pgl_finish(struct loader *base, struct err *err)
{
    struct pg_loader *ld = (struct pg_loader *)base;
    const char *params[3] = {ld->base.pipeline, ld->attempt, ld->base.owner};
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(
            ld->conn,
            "UPDATE crossfade.direct_load SET done = true, ended_at = clock_timestamp() WHERE pipeline = "
            "$1 AND attempt = $2::bigint AND owner = $3",
            3, params, &res, err))
        return false;
    return pg_affected(res) == 1 || loader_taken_over(err);
}

static const struct loader_table_ops tables = {
    .look = pgl_look, .begin = pgl_begin_tables, .end = pgl_end_tables};

static const struct loader_chunk_ops chunks = {.plan = pgl_plan,
                                               .begin = pgl_begin,
                                               .start = pgl_start,
                                               .put = pgl_put,
                                               .stop = pgl_stop,
                                               .save = pgl_save,
                                               .restore = pgl_restore,
                                               .hold = pgl_hold,
                                               .end = pgl_end};

const struct loader_ops loader_postgres = {
    .open = pgl_open,
    .close = pgl_close,
    .cancel = pgl_cancel,
    .places = pgl_places,
    .claim = pgl_claim,
    .finish = pgl_finish,
    .tables = &tables,
    .chunks = &chunks,
};
