/* Owns: life of the PostgreSQL target, its transaction and its position. */
#include "postgres.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/failpoint.h"
#include "pg/control_tables.h"
#include "pg/standbys.h"
#include "sql/embedded.h"
#include "target/loader.h"
#include "target/target_impl.h"

/* Joins are always by key from a staging table that is smaller than what it meets: nested loops over the
 * key's index. Without statistics (staging tables have none) the planner might read the whole target instead.
 */
static const char SESSION[] =
    "SET client_min_messages = warning; SET statement_timeout = 0; SET lock_timeout = '30s'; "
    "SET idle_in_transaction_session_timeout = 0; SET default_transaction_isolation = 'read committed'; "
    "SET default_transaction_read_only = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit "
    "= off; "
    "SET row_security = off; SET temp_buffers = '32MB'; SET work_mem = '64MB'";

/* Division by zero: another process has moved it. */
#define POSITION_TAIL(more) " RETURNING 1) SELECT 1 / count(*)" more " FROM moved"

#define WRITERS_TEXT    "31" /* beside the lead, at most: apply.writers */
#define POSITION_PARAMS 14
#define OUT_KEEP        ((size_t)4 << 20)

bool pgt_exec(struct pg_target *pt, struct strbuf *sql, struct err *err)
{
    return strbuf_ok(sql, "statement", err) && pg_exec(pt->conn, sql->data, err);
}

static bool leave_pipeline(struct pg_target *pt, struct err *err)
{
    return !pg_pipeline_active(pt->conn) || (pgt_sync(pt, err) && pg_pipeline_end(pt->conn, err));
}

bool pgt_plain(struct pg_target *pt, struct err *err)
{
    if (!pgt_copy_end(pt, err) || !leave_pipeline(pt, err))
        return false;
    if (!pt->begun && pt->in_transaction) {
        if (!pg_exec(pt->conn, "BEGIN", err))
            return false;
        pt->begun = true;
    }
    return true;
}

static bool busy(const struct pg_target *pt, struct err *err)
{
    return err_set(err, ERR_BUSY, "another apply of pipeline %s, shard %s, is connected to the target",
                   pt->pipeline, pt->shard);
}

/* A writer whose lead is gone may be about to prepare: recover() would not see it, and a run with fewer writers would not meet its
 * lock. */
static bool no_writer_left(struct pg_target *pt, struct err *err)
{
    const char *params[] = {pt->pipeline, pt->shard};
    int64_t left = 0;
    if (!pg_query_int64(
            pt->conn,
            "SELECT count(*) FROM pg_locks l, generate_series(1, " WRITERS_TEXT
            ") k WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.database = (SELECT oid FROM "
            "pg_database WHERE datname = current_database()) AND (l.classid::bigint << 32 | "
            "l.objid::bigint) = hashtextextended('crossfade apply ' || $1::text || ' ' || $2::text || "
            "' writer ' || k, 0)",
            2, params, &left, err))
        return false;
    return left == 0 || busy(pt, err);
}

/* The lock belongs to the session: as long as an earlier session of ours lives, its COMMIT may still come. */
bool pgt_take_lock(struct pg_target *pt, struct err *err)
{
    char number[32] = "";
    if (pt->writer > 0)
        (void)snprintf(number, sizeof number, " writer %u", pt->writer);
    const char *params[] = {pt->pipeline, pt->shard, number};
    int64_t got = 0;
    if (!pg_query_int64(pt->conn,
                        "SELECT pg_try_advisory_lock(hashtextextended('crossfade apply ' || $1::text || ' ' "
                        "|| $2::text || $3::text, 0))::int",
                        3, params, &got, err))
        return false;
    return got == 1 ? pt->writer > 0 || no_writer_left(pt, err) : busy(pt, err);
}

static bool make_control_tables(struct pg_target *pt, struct err *err)
{
    static const char needed[] =
        "crossfade.position crossfade.position.offsets "
        "crossfade.position.pending crossfade.loaded "
        "crossfade.loaded.table_oid crossfade.release crossfade.dead_letter "
        "crossfade.dead_letter.begun "
        "crossfade.direct_load crossfade.direct_table crossfade.direct_chunk crossfade.direct_letter "
        "crossfade.shard_home crossfade.audit";
    return pg_control_tables_ensure(pt->conn, needed, embedded_sql_target_sql, "target", err);
}

/* $5: the position's LSN. Where the session has no origin, there is nothing to mark. */
static const char *position_tail(const struct pg_target *pt)
{
    return pt->origin.set ? POSITION_TAIL(", " PG_ORIGIN_MARK("$5::pg_lsn")) : POSITION_TAIL("");
}

/* What has no origin would be sent back, and be an older row there by then. */
static bool may_go_without_origin(struct pg_target *pt, struct err *err)
{
    bool captured = false;
    const char *params[] = {pt->way_back};
    if (pt->way_back[0] == '\0')
        return true;
    if (!pg_query_bool(pt->conn,
                       "SELECT EXISTS (SELECT FROM pg_catalog.pg_replication_slots WHERE slot_name = "
                       "'crossfade_' || $1 AND "
                       "database = current_database())",
                       1, params, &captured, err))
        return false;
    return !captured ||
           err_set(err, ERR_SCHEMA,
                   "there is no replication origin, and pipeline %s would send all that is written here back "
                   "to the source: %.300s. Hint: grant it (docs/PRIVILEGES.md), or end that pipeline and "
                   "drop its slot",
                   pt->way_back, pt->origin.why_not);
}

static bool set_up_origin(struct pg_target *pt, struct err *err)
{
    char part[48];
    (void)snprintf(part, sizeof part, "%.*s:%u", (int)strcspn(pt->shard, "/"), pt->shard, pt->writer);
    if (!pg_origin_set_up(pt->conn, pt->pipeline, part, &pt->origin, err))
        return false;
    pt->base.no_origin = pt->origin.set ? NULL : pt->origin.why_not;
    return pt->origin.set || may_go_without_origin(pt, err);
}

/* The origin comes behind the lock: what still has it is an earlier session of ours that is about to end. */
static bool set_up_session(struct pg_target *pt, struct err *err)
{
    struct err refused = ERR_INIT;
    if (!pg_exec(pt->conn, SESSION, err))
        return false;
    pt->base.triggers_fire = !pg_exec(pt->conn, "SET session_replication_role = replica", &refused);
    if (pt->base.triggers_fire && refused.code != ERR_AUTH) {
        *err = refused;
        return false;
    }
    return (pt->writer > 0 || make_control_tables(pt, err)) && pgt_take_lock(pt, err) &&
           set_up_origin(pt, err);
}

static void pgt_close(struct target *tgt)
{
    struct pg_target *pt = (struct pg_target *)tgt;
    for (size_t i = 0; i < pt->table_count; i++)
        pgt_table_free(pt->tables[i]);
    pg_result_free(pt->halted);
    pg_close(pt->conn);
    pg_type_catalog_free(pt->types);
    strbuf_release(&pt->out);
    free(pt->queued);
    free(pt->touched);
    free(pt->slots);
    free(pt->tables);
    free(pt->pipeline);
    free(pt->offsets);
    free(pt->shard);
    target_layout_release(&pt->layout);
    free(pt);
}

bool pgt_connect(const struct target_options *options, unsigned writer, struct pg_target **ret,
                 struct err *err)
{
    struct pg_target *pt = xcalloc(1, sizeof *pt);
    pt->stages_max = STAGES_MAX;
    pt->writer = writer;
    pt->crewed = options->writers > 1;
    char *name = xasprintf("crossfade apply %s", options->pipeline);
    struct pg_options pg = {.application_name = name};
    pt->base.ops = &target_postgres;
    pt->pipeline = xstrdup(options->pipeline);
    pt->shard = xstrdup(options->shard);
    memcpy(pt->way_back, options->way_back, sizeof pt->way_back);
    pt->comes_back = options->comes_back;
    pt->truncate_nonempty = options->truncate_nonempty;
    pt->unfit = options->unfit;
    pt->types = pg_type_catalog_new();
    strbuf_init(&pt->out, VALUE_MAX);
    bool ok = pg_open(options->url, &pg, &pt->conn, err) && set_up_session(pt, err);
    free(name);
    if (!ok) {
        pgt_close(&pt->base);
        return err_wrap(err, "target");
    }
    *ret = pt;
    return true;
}

static bool pgt_open(const struct target_options *options, struct target **ret, struct err *err)
{
    struct pg_target *pt = NULL;
    if (!pgt_connect(options, 0, &pt, err))
        return false;
    if (!pgt_change_shards(pt, options, err)) {
        pgt_close(&pt->base);
        return err_wrap(err, "target");
    }
    *ret = &pt->base;
    return true;
}

/* After a rollback: staging tables made in that transaction are gone, rows in them as well. */
void pgt_forget_transaction(struct pg_target *pt, bool committed)
{
    for (size_t i = 0; i < pt->touched_count; i++) {
        struct pg_table *tab = pt->touched[i];
        tab->touched = false;
        tab->loaded = tab->loaded || (committed && tab->loading);
        tab->loading = tab->emptied = false;
        for (size_t k = 0; k < STAGE_MAX_; k++) {
            tab->used[k] = false;
            tab->staged[k] = tab->staged[k] && committed;
        }
        for (size_t k = 0; k < tab->set_count; k++) {
            tab->sets[k].used = false;
            tab->sets[k].staged = tab->sets[k].staged && committed;
        }
        pgt_watch_ended(tab->watch, committed);
    }
    if (pt->out.cap > OUT_KEEP) /* one huge row is no reason to stay large */
        strbuf_release(&pt->out);
    pt->touched_count = pt->queued_count = 0;
    pt->begun = pt->in_transaction = pt->deferred = pt->saved = false;
}

static bool pgt_begin(struct target *tgt, uint64_t attempt, struct err *err)
{
    struct pg_target *pt = (struct pg_target *)tgt;
    if (!pgt_recover(pt, err))
        return err_wrap(err, "target");
    if (pg_in_transaction(pt->conn) && !pg_exec(pt->conn, "ROLLBACK", err))
        return err_wrap(err, "target");
    pgt_forget_transaction(pt, false);
    if (!pgt_statements_tidy(pt, err) || !pgt_stages_tidy(pt, err))
        return err_wrap(err, "target");
    pt->attempt = attempt;
    pt->in_transaction = true;
    return true;
}

static bool pgt_abandon(struct target *tgt, struct err *err)
{
    struct pg_target *pt = (struct pg_target *)tgt;
    if (!pgt_begin(tgt, pt->attempt, err)) /* a transaction begins with its first statement */
        return false;
    pt->in_transaction = false;
    return true;
}

/* Truncates that follow each other, without rows between them, are one statement. */
static size_t truncate_run(struct pg_target *pt, const struct target_batch *batches, size_t count,
                           struct pg_table **tabs)
{
    size_t n = 0;
    while (n < count && batches[n].truncate) {
        tabs[n] = (struct pg_table *)batches[n].table;
        n++;
        if (batches[n - 1].row_count > 0)
            break;
    }
    return n;
}

static bool write_rows_in_order(struct pg_target *pt, const struct target_batch *batch, struct err *err)
{
    for (size_t i = 0; i < batch->row_count; i++) {
        if (!pgt_row_queue(pt, (struct pg_table *)batch->table, &batch->rows[i], err))
            return false;
    }
    return true;
}

static bool write_ordered(struct pg_target *pt, const struct target_batch *batches, size_t count,
                          struct err *err)
{
    struct pg_table **tabs = xmalloc((count + 1) * sizeof *tabs);
    bool ok = pgt_plain(pt, err) && (pt->deferred || pg_exec(pt->conn, "SET CONSTRAINTS ALL DEFERRED", err));
    pt->deferred = ok;
    for (size_t i = 0; i < count; i++)
        tabs[i] = (struct pg_table *)batches[i].table;
    ok = ok && pgt_ensure_loaded(pt, tabs, count, err);
    for (size_t i = 0; ok && i < count; i++) {
        size_t n = truncate_run(pt, batches + i, count - i, tabs);
        if (n > 0) {
            ok = pgt_truncate(pt, tabs, n, err);
            i += n - 1;
        }
        ok = ok && write_rows_in_order(pt, &batches[i], err);
    }
    free(tabs);
    return ok && leave_pipeline(pt, err);
}

static bool pgt_write(struct target *tgt, enum target_mode mode, const struct target_batch *batches,
                      size_t count, struct err *err)
{
    struct pg_target *pt = (struct pg_target *)tgt;
    pt->rows_valid = true;
    bool ok = false;
    switch (mode) {
    case TARGET_SET:
    case TARGET_REPLACE:
        ok = pgt_write_set(pt, mode, batches, count, err);
        break;
    case TARGET_ORDERED:
        ok = write_ordered(pt, batches, count, err);
        break;
    case TARGET_RESET:
        ok = pgt_reset(pt, err);
        break;
    case TARGET_MODE_UNKNOWN:
        BUG("write without mode");
    }
    pt->rows_valid = false;
    for (size_t i = 0; i < pt->queued_count; i++)
        pt->queued[i].row =
            NULL; /* they are the caller's and go away; their statements may still be on the way */
    return ok || err_wrap(err, "target");
}

static bool prepare_position(struct pg_target *pt, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(4096);
    const char *columns =
        "$3::bigint, $4::bigint, $5::pg_lsn, $6::numeric, $7::bigint, $8::boolean, "
        "timestamptz 'epoch' + $9::bigint * interval '1 microsecond', $10, $11, $14, clock_timestamp()";
    strbuf_addf(
        &sql,
        "WITH moved AS (UPDATE crossfade.position SET (%s) = ROW(%s) WHERE pipeline = $1 AND shard = $2 AND "
        "fence_id = $12::bigint AND lsn = $13::pg_lsn AND pending IS NULL%s",
        POSITION_NAMES, columns, position_tail(pt));
    bool ok = strbuf_ok(&sql, "statement", err) && pg_prepare(pt->conn, "crossfade_move", sql.data, err);
    strbuf_clear(&sql);
    strbuf_addf(&sql,
                "WITH moved AS (INSERT INTO crossfade.position (pipeline, shard, %s) SELECT $1, $2, %s WHERE "
                "$12::bigint IS NULL AND $13::pg_lsn IS NULL ON CONFLICT DO NOTHING%s",
                POSITION_NAMES, columns, position_tail(pt));
    ok = ok && strbuf_ok(&sql, "statement", err) && pg_prepare(pt->conn, "crossfade_first", sql.data, err);
    strbuf_release(&sql);
    pt->prepared_position = ok;
    return ok;
}

/* token: of what is decided; NULL: the position moves at once. */
static bool queue_position(struct pg_target *pt, const struct target_position *pos, const char *token,
                           struct err *err)
{
    char text[POSITION_PARAMS][24];
    char lsn[LSN_TEXT_MAX], last_lsn[LSN_TEXT_MAX];
    const uint64_t numbers[POSITION_PARAMS] = {[2] = pos->fence_id,
                                               [3] = pos->fence_offset,
                                               [5] = pos->source_system_id,
                                               [6] = pos->attempt,
                                               [11] = pt->last.fence_id};
    for (size_t i = 0; i < POSITION_PARAMS; i++)
        (void)snprintf(text[i], sizeof text[i], "%" PRIu64, numbers[i]);
    (void)snprintf(text[8], sizeof text[8], "%" PRId64, pos->commit_time_us);
    const char *values[POSITION_PARAMS + 1] = {
        pt->pipeline,
        pt->shard,
        text[2],
        text[3],
        lsn_format(pos->lsn, lsn),
        text[5],
        text[6],
        pos->complete ? "t" : "f",
        pos->commit_time_us != 0 ? text[8] : NULL,
        pos->marker_kind != MARKER_NONE ? marker_kind_name(pos->marker_kind) : NULL,
        pos->marker_nonce[0] != '\0' ? pos->marker_nonce : NULL,
        pt->position_found ? text[11] : NULL,
        pt->position_found ? lsn_format(pt->last.lsn, last_lsn) : NULL,
        pos->offsets,
        token};
    struct pg_params params = {.count = token != NULL ? POSITION_PARAMS + 1 : POSITION_PARAMS,
                               .values = values};
    if (token != NULL)
        return pg_pipeline_exec(pt->conn, "crossfade_decide", &params, err);
    return pg_pipeline_exec(pt->conn, pt->position_found ? "crossfade_move" : "crossfade_first", &params,
                            err);
}

static bool commit_with(struct pg_target *pt, const struct target_position *position, const char *token,
                        struct err *err)
{
    bool ok = pgt_pipeline(pt, err) && failpoint("apply.before_commit", err) &&
              (!pt->must_look || pgt_sync(pt, err));
    ok = ok && queue_position(pt, position, token, err) &&
         pg_pipeline_query(pt->conn, "COMMIT", 0, NULL, err) && pgt_sync(pt, err) &&
         pg_pipeline_end(pt->conn, err);
    if (!ok && strcmp(err->sqlstate, "22012") == 0)
        return err_set(err, ERR_FENCED,
                       "target: the position of pipeline %s is not the one that this process wrote last: "
                       "another apply has taken over",
                       pt->pipeline);
    if (!ok)
        return err_wrap(err, "target");
    pgt_forget_transaction(pt, true);
    return true;
}

static bool prepare_decide(struct pg_target *pt, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(4096);
    strbuf_addf(
        &sql,
        "WITH moved AS (UPDATE crossfade.position SET pending = jsonb_build_object('token', $15::text, "
        "'fence_id', $3::bigint, 'fence_offset', $4::bigint, 'lsn', $5::pg_lsn, 'source_system_id', "
        "$6::numeric, 'attempt', $7::bigint, 'complete', $8::boolean, 'commit_time', timestamptz 'epoch' + "
        "$9::bigint * interval '1 microsecond', 'marker_kind', $10::text, 'marker_nonce', $11::text, "
        "'offsets', $14::text, 'applied_at', clock_timestamp()) WHERE pipeline = $1 AND shard = $2 AND "
        "fence_id = $12::bigint AND lsn = $13::pg_lsn AND pending IS NULL%s",
        position_tail(pt));
    bool ok = strbuf_ok(&sql, "statement", err) && pg_prepare(pt->conn, "crossfade_decide", sql.data, err);
    strbuf_release(&sql);
    pt->prepared_decide = ok;
    return ok;
}

bool pgt_decide(struct target *lead, const struct target_position *position, const char *token,
                struct err *err)
{
    struct pg_target *pt = (struct pg_target *)lead;
    if (!pt->prepared_decide && (!pgt_plain(pt, err) || !prepare_decide(pt, err)))
        return err_wrap(err, "target");
    return commit_with(pt, position, token, err);
}

static bool pgt_commit(struct target *tgt, const struct target_position *position, struct err *err)
{
    struct pg_target *pt = (struct pg_target *)tgt;
    if (!pt->prepared_position && (!pgt_plain(pt, err) || !prepare_position(pt, err)))
        return err_wrap(err, "target");
    if (!commit_with(pt, position, NULL, err))
        return false;
    pt->last = *position;
    pt->last.offsets = NULL;
    pt->position_found = true;
    return true;
}

static void parse_position(const struct pg_result *res, struct target_position *pos)
{
    *pos = (struct target_position){
        .fence_id = (uint64_t)pg_cell_int64(res, 0, 0),
        .fence_offset = (uint64_t)pg_cell_int64(res, 0, 1),
        .source_system_id = strtoull(pg_cell(res, 0, 3), NULL, 10),
        .attempt = (uint64_t)pg_cell_int64(res, 0, 4),
        .complete = pg_cell_bool(res, 0, 5),
        .commit_time_us = pg_cell_int64(res, 0, 6),
        .marker_kind = marker_kind_parse(pg_cell(res, 0, 7)),
        .released = pg_cell_bool(res, 0, 9),
        .age_us = pg_cell_int64(res, 0, 10),
    };
    (void)snprintf(pos->marker_nonce, sizeof pos->marker_nonce, "%s", pg_cell(res, 0, 8));
}

static bool pgt_position(struct target *tgt, struct target_position *ret, bool *ret_found, struct err *err)
{
    struct pg_target *pt = (struct pg_target *)tgt;
    PG_RESULT_AUTO res = NULL;
    struct target_position pos = {0};
    const char *params[] = {pt->pipeline, pt->shard};
    if (!pg_query(
            pt->conn,
            "SELECT fence_id, fence_offset, lsn, source_system_id, attempt, complete, "
            "(extract(epoch FROM commit_time) * 1000000)::bigint, marker_kind, marker_nonce, EXISTS "
            "(SELECT 1 FROM "
            "crossfade.release r WHERE r.pipeline = p.pipeline AND r.nonce = p.marker_nonce), "
            "(extract(epoch FROM clock_timestamp() - applied_at) * 1000000)::bigint, offsets, format::text "
            "FROM crossfade.position p WHERE pipeline = $1 AND shard = $2",
            2, params, &res, err))
        return err_wrap(err, "target");
    bool found = pg_rows(res) == 1;
    if (found) {
        if (!pg_control_format_check(pg_database(pt->conn), pg_cell(res, 0, 12), err))
            return err_wrap(err, "target");
        parse_position(res, &pos);
        if (!lsn_parse(pg_cell(res, 0, 2), &pos.lsn))
            return err_set(err, ERR_PROTOCOL, "target: crossfade.position holds no LSN");
    }
    free(pt->offsets);
    const char *offsets = found ? pg_cell(res, 0, 11) : NULL;
    pt->offsets = offsets != NULL && offsets[0] != '\0' ? xstrdup(offsets) : NULL;
    pt->last = pos;
    pt->position_found = found;
    *ret = pos;
    ret->offsets = pt->offsets;
    *ret_found = found;
    return true;
}

static bool pgt_standbys(struct target *tgt, uint64_t *ret_written, uint64_t *ret_replayed, struct err *err)
{
    struct pg_target *pt = (struct pg_target *)tgt;
    if (!pgt_plain(pt, err))
        return err_wrap(err, "target: standbys");
    return pg_standbys(pt->conn, ret_written, ret_replayed, err) ||
           err_wrap(err, "target: apply.max_replica_lag_ms");
}

static bool pgt_verdict(struct target *tgt, struct target_verdict *ret, struct err *err)
{
    struct pg_target *pt = (struct pg_target *)tgt;
    PG_RESULT_AUTO res = NULL;
    struct target_verdict found = {.full_pass_age_us = -1};
    if (!pgt_plain(pt, err) ||
        !pg_query(pt->conn,
                  "WITH v AS (SELECT id, verdict, scope, "
                  "(extract(epoch FROM clock_timestamp() - finished_at) * 1000000)::bigint AS age "
                  "FROM crossfade.verdict WHERE pipeline = $1) "
                  "SELECT verdict, age, coalesce((SELECT min(age) FROM v WHERE verdict = 'PASS' AND scope IN "
                  "('full', 'changed')), -1) FROM v ORDER BY id DESC LIMIT 1",
                  1, (const char *const[]){pt->pipeline}, &res, err))
        return err_wrap(err, "target: crossfade.verdict");
    if (pg_rows(res) == 1) {
        (void)snprintf(found.last, sizeof found.last, "%s", pg_cell(res, 0, 0));
        found.age_us = pg_cell_int64(res, 0, 1);
        found.full_pass_age_us = pg_cell_int64(res, 0, 2);
    }
    *ret = found;
    return true;
}

static void pgt_cancel(struct target *tgt)
{
    pg_cancel(((struct pg_target *)tgt)->conn);
}

static const struct target_write_ops writing = {
    .begin = pgt_begin, .write = pgt_write, .commit = pgt_commit, .abandon = pgt_abandon};

static const struct target_narrow_ops narrow = {
    .save = pgt_save, .restore = pgt_restore, .settle = pgt_settle};

const struct target_ops target_postgres = {
    .name = "postgresql",
    .open = pgt_open,
    .prepare = pgt_prepare,
    .position = pgt_position,
    .standbys = pgt_standbys,
    .verdict = pgt_verdict,
    .cancel = pgt_cancel,
    .close = pgt_close,
    .writing = &writing,
    .narrow = &narrow,
    .letters = &pgt_letters,
    .desk = &pgt_desk,
    .crew = &pgt_crew,
    .direct_look = pgt_direct_look,
    .conflicts = &pgt_conflicts,
};
