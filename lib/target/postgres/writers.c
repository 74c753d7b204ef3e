/* Owns: the PostgreSQL target's part in a crew (crew.h): prepared transactions (documentation: PREPARE TRANSACTION). Their names are
 * crossfade:<pipeline>:<shard>:<token>:<writer>; a token is of one try, so names are never used twice. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/failpoint.h"
#include "core/log.h"
#include "postgres.h"

#define BUSY    "55000" /* another session is ending it, one that the server has not yet seen the end of */
#define GONE    "42704" /* it has */
#define NO_ROOM "53200" /* max_prepared_transactions */

static bool open_writer(const struct target_options *options, unsigned number, struct target **ret,
                        struct err *err)
{
    int64_t room = 0;
    struct pg_target *pt = NULL;
    if (!pgt_connect(options, number, &pt, err))
        return false;
    const char *slash = strchr(options->shard, '/');
    size_t shards = slash != NULL ? (size_t)strtoull(slash + 1, NULL, 10) : 1;
    size_t needed = (options->writers - 1) * shards;
    bool ok = pg_query_int64(pt->conn, "SELECT current_setting('max_prepared_transactions')::int", 0, NULL,
                             &room, err);
    if (ok && room == 0)
        ok = err_set(
            err, ERR_UNSUPPORTED,
            "apply.writers: %zu: the target keeps no prepared transactions (max_prepared_transactions is "
            "0), without which several writers have no common commit: one writes all. Set it to %zu or "
            "more (the server has to be restarted), or share tables out over processes (apply.shard)",
            options->writers, needed);
    else if (ok && room < (int64_t)needed)
        ok = err_set(
            err, ERR_CONFIG,
            "apply.writers: %zu in %zu shards need max_prepared_transactions of at least %zu on the target, "
            "where it is %lld. Set it (the server has to be restarted), or set apply.writers: 1",
            options->writers, shards, needed, (long long)room);
    if (!ok) {
        pt->base.ops->close(&pt->base);
        return err_wrap(err, "target");
    }
    *ret = &pt->base;
    return true;
}

static void add_name(const struct pg_target *pt, struct strbuf *sql)
{
    struct strbuf name = STRBUF_INIT(1000);
    strbuf_addf(&name, "crossfade:%s:%s:%s:%u", pt->pipeline, pt->shard, pt->token, pt->writer);
    pg_quote_literal(sql, name.data);
    strbuf_release(&name);
}

static bool with_name(struct pg_target *pt, const char *verb, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(2000);
    strbuf_adds(&sql, verb);
    add_name(pt, &sql);
    bool ok = pgt_exec(pt, &sql, err);
    strbuf_release(&sql);
    return ok || err_wrap(err, "target");
}

static bool begin_writer(struct target *tgt, uint64_t attempt, const char *token, struct err *err)
{
    struct pg_target *pt = (struct pg_target *)tgt;
    if (pt->transaction_prepared && !with_name(pt, "ROLLBACK PREPARED ", err))
        return false;
    pt->transaction_prepared = false;
    (void)snprintf(pt->token, sizeof pt->token, "%s", token);
    return tgt->ops->writing->begin(tgt, attempt, err);
}

static bool prepare_writer(struct target *tgt, struct err *err)
{
    struct pg_target *pt = (struct pg_target *)tgt;
    if (!pgt_plain(pt, err))
        return err_wrap(err, "target");
    const char *prepare =
        pt->origin.set ? "SELECT " PG_ORIGIN_MARK("'0/0'") "; PREPARE TRANSACTION " : "PREPARE TRANSACTION ";
    if (!with_name(pt, prepare, err)) {
        if (strcmp(err->sqlstate, NO_ROOM) == 0)
            err->code = ERR_TRANSIENT; /* others prepare, too: the lead writes this batch alone */
        return false;
    }
    pt->transaction_prepared = true;
    return true;
}

static bool commit_writer(struct target *tgt, struct err *err)
{
    struct pg_target *pt = (struct pg_target *)tgt;
    if (!with_name(pt, "COMMIT PREPARED ", err))
        return false;
    pt->transaction_prepared = false;
    pgt_forget_transaction(pt, true);
    return true;
}

/* Rows of others would wait for the lock of an emptied table. */
static bool share(struct target *lead, const struct target_batch *batches, size_t count, bool *ret_may,
                  struct err *err)
{
    struct pg_target *pt = (struct pg_target *)lead;
    struct pg_table **tabs CLEANUP(free_ptr) = xcalloc(count + 1, sizeof *tabs);
    for (size_t i = 0; i < count; i++)
        tabs[i] = (struct pg_table *)batches[i].table;
    if (!pgt_ensure_loaded(pt, tabs, count, err))
        return err_wrap(err, "target");
    for (size_t i = 0; i < count; i++)
        ret_may[i] = !tabs[i]->emptied && !tabs[i]->lead_only;
    return true;
}

/* What has been decided becomes the position. This commit need not wait for the disk: without it, recovery does the same again. */
static bool move_to_pending(struct pg_target *pt, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    const char *params[] = {pt->pipeline, pt->shard};
    return pg_query(
        pt->conn,
        "UPDATE crossfade.position p SET (" POSITION_NAMES ", pending) = (SELECT " POSITION_NAMES
        ", NULL::jsonb FROM jsonb_populate_record(NULL::crossfade.position, p.pending)) WHERE pipeline = $1 "
        "AND shard = $2 AND pending IS NOT NULL AND set_config('synchronous_commit', 'off', true) = 'off'",
        2, params, &res, err);
}

static bool finish(struct target *lead, const struct target_position *position, struct err *err)
{
    struct pg_target *pt = (struct pg_target *)lead;
    if (!move_to_pending(pt, err))
        return err_wrap(err, "target");
    pt->last = *position;
    pt->last.offsets = NULL;
    return true;
}

static bool recover(struct target *lead, struct err *err)
{
    struct pg_target *pt = (struct pg_target *)lead;
    PG_RESULT_AUTO left = NULL;
    const char *params[] = {pt->pipeline, pt->shard};
    if (!pg_query(pt->conn,
                  "SELECT x.gid, coalesce(split_part(x.gid, ':', 4) = p.pending->>'token', false) FROM "
                  "pg_prepared_xacts x "
                  "LEFT JOIN crossfade.position p ON p.pipeline = $1 AND p.shard = $2 WHERE x.database = "
                  "current_database() AND starts_with(x.gid, 'crossfade:' || $1::text || ':' || $2::text || "
                  "':') ORDER BY 1",
                  2, params, &left, err))
        return err_wrap(err, "target");
    for (int i = 0; i < pg_rows(left); i++) {
        struct strbuf sql = STRBUF_INIT(2000);
        bool decided = pg_cell_bool(left, i, 1);
        strbuf_adds(&sql, decided ? "COMMIT PREPARED " : "ROLLBACK PREPARED ");
        pg_quote_literal(&sql, pg_cell(left, i, 0));
        bool ok = pgt_exec(pt, &sql, err) && failpoint("apply.writers_recover", err);
        strbuf_release(&sql);
        if (!ok && (strcmp(err->sqlstate, BUSY) == 0 || strcmp(err->sqlstate, GONE) == 0))
            err->code = ERR_TRANSIENT;
        if (!ok)
            return err_wrap(err, "target: prepared transaction %s of an earlier run", pg_cell(left, i, 0));
        log_event(LOG_LEVEL_INFO, "prepared_settled", "gid=%s outcome=%s", pg_cell(left, i, 0),
                  decided ? "committed" : "rolled_back");
    }
    return move_to_pending(pt, err) || err_wrap(err, "target");
}

const struct target_crew_ops pgt_crew = {
    .open_writer = open_writer,
    .begin_writer = begin_writer,
    .prepare_writer = prepare_writer,
    .commit_writer = commit_writer,
    .share = share,
    .decide = pgt_decide,
    .finish = finish,
    .recover = recover,
};
