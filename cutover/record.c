/*
 * Owns what a cutover persists: its steps in crossfade.cutover on the target (each written before it is
 * taken) and the decision row on the source. A commit that is lost in transit can always be looked up again:
 * both are idempotent.
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/reverse.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "cutover_internal.h"
#include "from_maria/from_maria.h"
#include "pg/control_tables.h"
#include "poolers/poolers.h"
#include "refuse.h"
#include "sql/embedded.h"
#include "tell.h"

/* Settings of the role or the database must not end our statements and sessions, or let a commit that we
 * build on be lost with a crash (closing, deciding, the steps). A transaction of ours never rests: should our machine be gone with a lock on
 * the decision row, writers must not wait for TCP to find out. Compiling what asks catalogs takes a hundred times as long as asking
 * them. */
static const char session_sql[] =
    "SELECT pg_catalog.set_config(s.name, v.setting, false) FROM (VALUES ('statement_timeout', '0'),"
    " ('lock_timeout', '0'), ('idle_session_timeout', '0'), ('idle_in_transaction_session_timeout', '10s'),"
    " ('transaction_timeout', '0'), ('synchronous_commit', 'local'), ('default_transaction_read_only', "
    "'off'),"
    " ('jit', 'off'), ('search_path', '')) v (name, setting) JOIN pg_catalog.pg_settings s ON s.name = v.name"
    " WHERE v.name <> 'synchronous_commit' OR s.setting = 'off'";

bool cutover_connect(struct cutover *co, const char *key, struct pg_conn **ret, struct err *err)
{
    char name[80];
    (void)snprintf(name, sizeof name, "crossfade cutover %s", co->pipeline);
    struct pg_options options = {.application_name = name};
    struct pg_conn *conn = NULL;
    if (!pg_open(config_text(co->cfg, key), &options, &conn, err) || !pg_exec(conn, session_sql, err)) {
        pg_close(conn);
        return err_wrap(err, "%s", key);
    }
    *ret = conn;
    return true;
}

static bool comes_from_maria(const struct config *cfg)
{
    return dialect_of_url(config_text(cfg, "source.url")) == DIALECT_MARIADB;
}

static bool connect_both(struct cutover *co, struct err *err)
{
    if (comes_from_maria(co->cfg))
        return from_maria_open(co, err) && co->store->open(co, err);
    return cutover_connect(co, "source.url", &co->source, err) &&
           cutover_connect(co, "source.url", &co->watch, err) && co->store->open(co, err);
}

bool cutover_renew(struct cutover *co, const char *key, struct pg_conn **conn, struct err *err)
{
    if (!pg_busy(*conn) && pg_exec(*conn, pg_in_transaction(*conn) ? "ROLLBACK" : "SELECT 1", NULL))
        return true;
    struct pg_conn *fresh = NULL;
    if (!cutover_connect(co, key, &fresh, err))
        return false;
    deadline_replace(co, conn, fresh);
    return true;
}

/* How long the target may be away while the source is closed to writers. */
#define TARGET_PATIENCE_US (5 * INT64_C(1000000))

bool cutover_reconnect_target(struct cutover *co, struct err *err)
{
    int64_t deadline_us = clock_mono_us() + TARGET_PATIENCE_US;
    for (unsigned attempt = 0;; attempt++) {
        struct err now = ERR_INIT;
        /* The lock went with the session; the server may hold the old one for a moment. */
        if (co->store->renew(co, &now) && cutover_lock(co, &now))
            return true;
        if (clock_mono_us() > deadline_us) {
            *err = now;
            return false;
        }
        (void)poll(NULL, 0, (int)(clock_backoff_us(attempt, 50, 500) / 1000));
    }
}

static bool renew_source(struct cutover *co, struct err *err)
{
    if (co->from_maria != NULL)
        return from_maria_renew(co, err);
    return cutover_renew(co, "source.url", &co->source, err) &&
           cutover_renew(co, "source.url", &co->watch, err);
}

bool cutover_reconnect_source(struct cutover *co, struct err *err)
{
    int64_t deadline_us = clock_mono_us() + config_int(co->cfg, "cutover.abort_timeout_ms") * 1000;
    for (unsigned attempt = 0;; attempt++) {
        struct err now = ERR_INIT;
        if (renew_source(co, &now))
            return true;
        if (err_policy(now.code) == POLICY_HALT || clock_mono_us() > deadline_us) {
            *err = now;
            return false;
        }
        (void)poll(NULL, 0, (int)(clock_backoff_us(attempt, 50, 2000) / 1000));
    }
}

/* MariaDB has no list of what is captured: it is what came from the other side. */
static bool load_tables(struct cutover *co, struct err *err)
{
    char publication[80], other[64];
    bool back = co->from_maria != NULL;
    config_other_pipeline(co->cfg, other);
    (void)snprintf(publication, sizeof publication, "crossfade_%s", back ? other : co->pipeline);
    const char *params[] = {publication};
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(back ? co->target : co->source,
                  "SELECT schemaname, tablename FROM pg_catalog.pg_publication_tables"
                  " WHERE pubname = $1 AND schemaname <> 'crossfade' ORDER BY 1, 2",
                  1, params, &res, err))
        return false;
    if (pg_rows(res) == 0)
        return err_set(err, ERR_REFUSED,
                       "publication %s publishes no table: is `crossfade capture` set up for pipeline %s?",
                       publication, co->pipeline);
    co->table_count = (size_t)pg_rows(res);
    co->tables = xcalloc(co->table_count, sizeof *co->tables);
    for (size_t i = 0; i < co->table_count; i++) {
        co->tables[i].schema = xstrdup(pg_cell(res, (int)i, 0));
        co->tables[i].table = xstrdup(pg_cell(res, (int)i, 1));
    }
    return true;
}

static bool ensure_control_tables(struct cutover *co, struct err *err)
{
    bool source = co->from_maria != NULL
                      ? from_maria_control_tables(co, err)
                      : pg_control_tables_ensure(co->source, "crossfade.marker crossfade.decision",
                                                 embedded_sql_source_sql, "source", err);
    return source && co->store->make(co, err);
}

bool cutover_open(struct cutover *co, const struct config *cfg, const struct cutover_talk *talk,
                  struct cutover_report *report, struct err *err)
{
    *co = (struct cutover){.cfg = cfg,
                           .talk = talk,
                           .report = report,
                           .pipeline = config_text(cfg, "pipeline"),
                           .attempt = 1,
                           .timer_fd = -1,
                           .deadline_fd = -1};
    if (!config_require(cfg, err, "pipeline", "source.url", "target.url", (char *)NULL))
        return false;
    co->store = store_of_url(config_text(cfg, "target.url"));
    if (connect_both(co, err) && ensure_control_tables(co, err) && load_tables(co, err))
        return true;
    cutover_close(co);
    return false;
}

bool cutover_open_target(struct cutover *co, const struct config *cfg, struct err *err)
{
    *co = (struct cutover){
        .cfg = cfg, .pipeline = config_text(cfg, "pipeline"), .timer_fd = -1, .deadline_fd = -1};
    if (!config_require(cfg, err, "pipeline", "target.url", (char *)NULL))
        return false;
    co->store = store_of_url(config_text(cfg, "target.url"));
    return co->store->open(co, err);
}

bool cutover_open_source(struct cutover *co, struct err *err)
{
    if (config_is_set(co->cfg, "source.url") && comes_from_maria(co->cfg))
        return from_maria_look(co, err);
    return config_require(co->cfg, err, "source.url", (char *)NULL) &&
           cutover_connect(co, "source.url", &co->source, err);
}

void cutover_close(struct cutover *co)
{
    successor_end(co);
    deadline_end(co);
    trail_close(co, NULL);
    notes_clear(co);
    pg_close(co->source);
    pg_close(co->watch);
    from_maria_close(co);
    if (co->store != NULL)
        co->store->close(co);
    for (size_t i = 0; i < co->table_count; i++) {
        free(co->tables[i].schema);
        free(co->tables[i].table);
        free(co->tables[i].topic);
    }
    free(co->tables);
    poolers_free(co->poolers);
    co->poolers = NULL;
    co->source = co->watch = NULL;
    co->tables = NULL;
    co->table_count = 0;
    tell_close(co);
}

static bool wrap_step(const struct cutover *co, enum cutover_state state, struct err *err)
{
    return err_wrap(err, "step %s of cutover %s", cutover_state_name(state), co->id);
}

static bool add_step(struct cutover *co, enum cutover_state state, struct err *err)
{
    char seq[16];
    (void)snprintf(seq, sizeof seq, "%d", co->seq + 1);
    char *detail CLEANUP(free_ptr) = notes_text(co);
    const char *params[] = {co->id, co->pipeline, seq, cutover_state_name(state), detail};
    ROWSET_AUTO none = NULL;
    if (!store_ask(co, STORE_STEP_ADD, ARRAY_LEN(params), params, &none, err))
        return err_wrap(err, "cannot be recorded on the target");
    return trail_step(co, (int)state, err);
}

static void take_step(struct cutover *co, enum cutover_state state)
{
    notes_clear(co);
    co->seq++;
    co->state = state;
    tell_step(co, (int)state);
}

bool record_state(struct cutover *co, enum cutover_state state, struct err *err)
{
    if (!trail_begin(co, err) || !add_step(co, state, err))
        return wrap_step(co, state, err);
    take_step(co, state);
    return true;
}

/* Within a transaction that holds the chain, which a commit of ours that is still under way holds until it is done. */
static bool look_for_step(struct cutover *co, enum cutover_state state, bool *ret_there, struct err *err)
{
    char seq[16];
    (void)snprintf(seq, sizeof seq, "%d", co->seq + 1);
    const char *params[] = {co->id, seq};
    ROWSET_AUTO rs = NULL;
    if (!store_ask(co, STORE_STEP_STATE, ARRAY_LEN(params), params, &rs, err))
        return false;
    *ret_there = rowset_rows(rs) > 0;
    return !*ret_there || strcmp(rowset_cell(rs, 0, 0), cutover_state_name(state)) == 0 ||
           err_set(err, ERR_FENCED, "record %s is '%s' by now: another process has gone on with this cutover",
                   seq, rowset_cell(rs, 0, 0));
}

bool record_state_again(struct cutover *co, enum cutover_state state, struct err *err)
{
    bool there = false;
    if (!trail_begin(co, err) || !trail_hold(co, err) || !look_for_step(co, state, &there, err) ||
        !(there ? trail_step_there(co, (int)state, err) : add_step(co, state, err)))
        return wrap_step(co, state, err);
    take_step(co, state);
    return true;
}

bool record_find_open(struct cutover *co, bool *ret_found, struct err *err)
{
    const char *params[] = {co->pipeline};
    ROWSET_AUTO rs = NULL;
    if (!store_ask(co, STORE_FIND_OPEN, 1, params, &rs, err))
        return false;
    *ret_found = false;
    if (rowset_rows(rs) == 0)
        return true;
    enum cutover_state state = cutover_state_parse(rowset_cell(rs, 0, 2));
    if (state == CUT_UNKNOWN)
        return err_set(err, ERR_UNSUPPORTED,
                       "cutover %s is in state %s, which this version does not know: use the version"
                       " that began it",
                       rowset_cell(rs, 0, 0), rowset_cell(rs, 0, 2));
    (void)snprintf(co->id, sizeof co->id, "%s", rowset_cell(rs, 0, 0));
    co->seq = (int)rowset_int64(rs, 0, 1);
    co->state = state;
    co->pause_began_wall_us = rowset_int64(rs, 0, 3);
    (void)snprintf(co->nonce, sizeof co->nonce, "%s", rowset_cell(rs, 0, 5));
    co->read_share = (int)rowset_int64(rs, 0, 6);
    if (!lsn_parse(rowset_cell(rs, 0, 4), &co->final_lsn))
        co->final_lsn = 0;
    *ret_found = true;
    return true;
}

static bool decision_read(struct cutover *co, char ret_state[16], char ret_id[64], struct err *err)
{
    const char *params[] = {co->pipeline};
    PG_RESULT_AUTO res = NULL;
    if (co->from_maria != NULL)
        return from_maria_decision(co, ret_state, ret_id, err);
    if (!pg_query(co->source, "SELECT state, cutover_id FROM crossfade.decision WHERE pipeline = $1", 1,
                  params, &res, err))
        return err_wrap(err, "the decision row on the source cannot be read");
    bool there = pg_rows(res) > 0;
    (void)snprintf(ret_state, 16, "%s", there ? pg_cell(res, 0, 0) : "none");
    (void)snprintf(ret_id, 64, "%s", there ? pg_cell(res, 0, 1) : "");
    return true;
}

bool record_adopt(struct cutover *co, bool *ret_found, struct err *err)
{
    char state[16], found[64];
    bool ended;
    *ret_found = false;
    if (!decision_read(co, state, found, err))
        return false;
    if (strcmp(state, "none") == 0 || strcmp(state, "aborted") == 0)
        return true;
    const char *id[] = {found};
    if (!store_bool(co, STORE_ENDED, 1, id, &ended, err))
        return false;
    if (ended)
        return true;
    (void)snprintf(co->id, sizeof co->id, "%s", id[0]);
    *ret_found = true;
    return record_state(co, strcmp(state, "open") == 0 ? CUT_ABORTING : CUT_SWITCHING, err);
}

bool record_done_before(struct cutover *co, bool *ret_done, struct err *err)
{
    char state[16];
    if (!decision_get(co, state, err))
        return false;
    *ret_done = strcmp(state, "switched") == 0;
    return true;
}

bool decision_get(struct cutover *co, char ret_state[16], struct err *err)
{
    char id[64];
    return decision_read(co, ret_state, id, err);
}

bool decision_stands(struct cutover *co, char ret_state[16], bool *ret_ours, struct err *err)
{
    char id[64];
    if (!decision_read(co, ret_state, id, err))
        return false;
    *ret_ours = id[0] == '\0' || strcmp(id, co->id) == 0;
    return true;
}

/* Who decides has the row alone until the commit, which the server may still be at when its process has gone. What that has not sent by then never
 * comes. */
bool decision_settled(struct cutover *co, char ret_state[16], bool *ret_ours, struct err *err)
{
    const char *params[] = {co->pipeline};
    PG_RESULT_AUTO none = NULL;
    bool ok = co->from_maria != NULL
                  ? from_maria_decision_settled(co, err)
                  : pg_query(co->source, "SELECT FROM crossfade.decision WHERE pipeline = $1 FOR SHARE", 1,
                             params, &none, err);
    return (ok || err_wrap(err, "the decision row on the source")) &&
           decision_stands(co, ret_state, ret_ours, err);
}

/* A row that an earlier cutover has left as aborted is taken over: this one must not open it any more. */
bool decision_abort(struct cutover *co, struct err *err)
{
    const char *params[] = {co->pipeline, co->id};
    PG_RESULT_AUTO res = NULL;
    if (co->from_maria != NULL)
        return from_maria_decision_abort(co, err);
    return pg_query(
               co->source,
               "INSERT INTO crossfade.decision AS d (pipeline, cutover_id, state) VALUES ($1, $2, 'aborted')"
               " ON CONFLICT (pipeline) DO UPDATE SET cutover_id = $2, state = 'aborted', changed_at = "
               "clock_timestamp()"
               " WHERE d.state IN ('aborted', 'returned') OR (d.state = 'open' AND d.cutover_id = $2)",
               2, params, &res, err) ||
           err_wrap(err, "the decision row on the source cannot be set to aborted");
}

bool decision_begin(struct cutover *co, struct err *err)
{
    const char *params[] = {co->pipeline, co->id};
    PG_RESULT_AUTO res = NULL;
    if (co->from_maria != NULL)
        return from_maria_decision_begin(co, err);
    if (!pg_query(co->source,
                  "INSERT INTO crossfade.decision AS d (pipeline, cutover_id, state) VALUES ($1, $2, 'open')"
                  " ON CONFLICT (pipeline) DO UPDATE SET cutover_id = $2, state = 'open', changed_at = "
                  "clock_timestamp()"
                  " WHERE (d.state IN ('aborted', 'returned') AND d.cutover_id <> $2)"
                  " OR (d.state = 'open' AND d.cutover_id = $2)",
                  2, params, &res, err))
        return err_wrap(err, "the decision row on the source cannot be written");
    if (pg_affected(res) == 1)
        return true;
    char state[16];
    if (!decision_get(co, state, err))
        return false;
    return err_set(err, ERR_BUSY,
                   "another cutover of pipeline %s stands at '%s' (crossfade.decision on the source):"
                   " resume it with `crossfade %s resume`, or end it with `crossfade %s abort`",
                   co->pipeline, state, cutover_command(co), cutover_command(co));
}

/* The row's lock waits for writers that have passed the end of the freeze; only then the clock is asked. Deleted and made anew, not updated: that
 * takes the lock that those writers' own (of the key) conflicts with, and tells one whose snapshot is older, too. */
static bool switch_within(struct cutover *co, bool *ret_switched, struct err *err)
{
    const char *params[] = {co->pipeline, co->id, co->closed_until};
    PG_RESULT_AUTO held = NULL;
    PG_RESULT_AUTO gone = NULL;
    PG_RESULT_AUTO made = NULL;
    if (!pg_query(co->source,
                  "SELECT 1 FROM crossfade.decision WHERE pipeline = $1 AND cutover_id = $2 AND state = "
                  "'open' FOR UPDATE",
                  2, params, &held, err))
        return false;
    *ret_switched = pg_rows(held) == 1;
    if (!*ret_switched)
        return true;
    if (!failpoint("cutover.decision_held", err))
        return false;
    if (!pg_query(co->source,
                  "DELETE FROM crossfade.decision WHERE pipeline = $1 AND cutover_id = $2 AND state = 'open'"
                  " AND extract(epoch FROM pg_catalog.clock_timestamp()) < $3::numeric",
                  3, params, &gone, err))
        return false;
    if (pg_affected(gone) != 1)
        return err_set(
            err, ERR_TIMEOUT,
            "clients have waited for longer than cutover.pause_budget_ms: the source serves again");
    return pg_query(
               co->source,
               "INSERT INTO crossfade.decision (pipeline, cutover_id, state) VALUES ($1, $2, 'switched')", 2,
               params, &made, err) &&
           refuse_for_good(co, err);
}

bool decision_switch(struct cutover *co, char ret_state[16], struct err *err)
{
    struct err ignored = ERR_INIT; /* the first one counts */
    bool switched = false;
    if (co->from_maria != NULL)
        return from_maria_decision_switch(co, err) && decision_get(co, ret_state, err);
    bool ok = pg_exec(co->source, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", err) &&
              switch_within(co, &switched, err) && pg_exec(co->source, switched ? "COMMIT" : "ROLLBACK", err);
    if (ok)
        return decision_get(co, ret_state, err);
    if (pg_in_transaction(co->source))
        (void)!pg_exec(co->source, "ROLLBACK", &ignored);
    return err_wrap(err, "the decision row on the source cannot be set to switched");
}
