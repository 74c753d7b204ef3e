/* Owns: the lock of closing, and waiting for those who wrote before it was taken. See from_maria.h. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "compare/borrowed.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "cutover/deadline.h"
#include "cutover/from_maria/from_maria.h"

#define BARRIER_POLL_MS 5
#define END_AGAIN_US    500000

bool from_maria_lock_name(struct session *s, const char *pipeline, char ret[64], struct err *err)
{
    ROWSET_AUTO rs = NULL;
    if (!session_ask(s, "SELECT CONCAT('crossfade_freeze_', SHA1(CONCAT_WS('\\n', DATABASE(), $1)))", 1,
                     &pipeline, &rs, err))
        return false;
    (void)snprintf(ret, 64, "%s", rowset_cell(rs, 0, 0));
    return true;
}

bool from_maria_is_held(struct cutover *co, bool *ret, struct err *err)
{
    struct from_maria *fm = co->from_maria;
    const char *params[] = {fm->lock_name, fm->keeper_id};
    int64_t held = 0;
    *ret = false;
    if (fm->keeper == NULL)
        return true;
    if (!session_int64(fm->main, "SELECT IS_USED_LOCK($1) = $2", 2, params, &held, err))
        return err_wrap(err, "whether the source is closed");
    *ret = held == 1;
    return true;
}

void from_maria_let_go(struct cutover *co)
{
    struct session *keeper = co->from_maria->keeper;
    deadline_hold(co);
    co->from_maria->keeper = NULL;
    deadline_let_go(co);
    session_close(keeper);
}

/* Until when the server keeps the session that says nothing: the end of the pause budget. */
static bool limit_keeper(struct cutover *co, struct session *keeper, struct err *err)
{
    char sql[80];
    int64_t left_s = MAX_OF(1, (deadline_pause_left_ms(co) + 999) / 1000);
    (void)snprintf(sql, sizeof sql, "SET SESSION wait_timeout = %" PRId64, MIN_OF(left_s, 604800));
    return session_exec(keeper, sql, err);
}

static bool take_lock(struct cutover *co, struct err *err)
{
    struct from_maria *fm = co->from_maria;
    struct session *keeper = NULL;
    ROWSET_AUTO rs = NULL;
    char program[80];
    const char *params[] = {fm->lock_name};
    (void)snprintf(program, sizeof program, "crossfade cutover %s", co->pipeline);
    bool ok = session_mariadb_as(config_text(co->cfg, "source.url"), program, &keeper, err) &&
              limit_keeper(co, keeper, err) &&
              session_ask(keeper, "SELECT GET_LOCK($1, 2), CONNECTION_ID()", 1, params, &rs, err);
    if (ok && !rowset_bool(rs, 0, 0))
        ok = err_set(err, ERR_BUSY,
                     "another session holds the lock %s: one that was killed, or another cutover",
                     fm->lock_name);
    if (!ok) {
        session_close(keeper);
        return false;
    }
    (void)snprintf(fm->keeper_id, sizeof fm->keeper_id, "%s", rowset_cell(rs, 0, 1));
    deadline_hold(co);
    fm->keeper = keeper;
    deadline_let_go(co);
    return true;
}

static bool hold_closed(struct cutover *co, struct err *err)
{
    bool held = false;
    if (!from_maria_is_held(co, &held, err))
        return false;
    if (held)
        return limit_keeper(co, co->from_maria->keeper, err);
    from_maria_let_go(co);
    return take_lock(co, err);
}

static void end_one(struct cutover *co, struct session *watch, const struct rowset *rows, int row)
{
    const char *id = rowset_cell(rows, row, 0), *user = rowset_cell(rows, row, 1);
    char sql[64];
    struct err refused = ERR_INIT;
    (void)snprintf(sql, sizeof sql, "KILL CONNECTION %" PRId64, rowset_int64(rows, row, 0));
    if (rowset_int64(rows, row, 0) == 0) /* it has lost its session, or comes from before a restart */
        (void)snprintf(co->straggler_why, sizeof co->straggler_why,
                       "; a prepared XA transaction: XA RECOVER names it");
    else if (session_exec(watch, sql, &refused))
        freeze_note_straggler(co, id, user, rowset_cell(rows, row, 2));
    else
        (void)snprintf(co->straggler_why, sizeof co->straggler_why, "; id=%s user=%s: %.200s", id, user,
                       refused.text);
}

static void end_all(struct cutover *co, struct session *watch, const struct rowset *rows)
{
    for (int i = 0; i < rowset_rows(rows); i++)
        end_one(co, watch, rows, i);
}

void from_maria_end(struct cutover *co, const struct rowset *rows)
{
    end_all(co, co->from_maria->watch, rows);
}

/* A statement that waits for the decision row. */
struct waiter {
    struct cutover *co; /* whose report names those that are ended */
    struct session *main, *watch;
    const char *like;    /* the statement, as the server shows it */
    bool names_only;     /* those that it waits for are told of, and not ended */
    int64_t next_end_us; /* when they are looked for */
};

/* Who has a share of the decision row, and is waited for. */
static bool blockers(const struct waiter *w, struct rowset **ret, struct err *err)
{
    return session_ask(
               w->watch,
               "SELECT DISTINCT b.trx_mysql_thread_id, COALESCE(l.USER, ''), COALESCE(l.HOST, '') FROM "
               "information_schema.INNODB_LOCK_WAITS w JOIN information_schema.INNODB_TRX b ON b.trx_id = "
               "w.blocking_trx_id JOIN information_schema.INNODB_TRX r ON r.trx_id = w.requesting_trx_id "
               "JOIN "
               "information_schema.PROCESSLIST m ON m.ID = r.trx_mysql_thread_id LEFT JOIN "
               "information_schema.PROCESSLIST l ON l.ID = b.trx_mysql_thread_id WHERE r.trx_query LIKE $1 "
               "AND m.USER = SUBSTRING_INDEX(USER(), '@', 1) AND COALESCE(l.USER, '') <> m.USER",
               1, &w->like, ret, err) ||
           err_wrap(err, "who keeps the decision row (GRANT PROCESS ON *.* to our role shows it)");
}

static bool writers_stay(struct cutover *co, int64_t waited_ms, struct err *err)
{
    char *prepared CLEANUP(free_ptr) = NULL;
    if (!from_maria_prepared(co, &prepared, err))
        return false;
    if (prepared != NULL)
        return err_set(err, ERR_BUSY,
                       "XA transactions are prepared on the source: %s; XA COMMIT or XA ROLLBACK them",
                       prepared);
    return err_set(err, ERR_TIMEOUT,
                   "a transaction that writes to the source did not end within %" PRId64 " ms%s", waited_ms,
                   co->straggler_why);
}

static void name_one(struct cutover *co, const struct rowset *rows)
{
    if (rowset_rows(rows) > 0)
        (void)snprintf(co->straggler_why, sizeof co->straggler_why,
                       "; id=%s user=%s host=%s: nothing is closed, so it is not ended. Hint: wait for it or "
                       "KILL it, and take the command again",
                       rowset_cell(rows, 0, 0), rowset_cell(rows, 0, 1), rowset_cell(rows, 0, 2));
}

/* The session that looks is there from the first moment that somebody has to be looked for. */
static void end_blockers(struct waiter *w)
{
    ROWSET_AUTO who = NULL;
    struct err failed = ERR_INIT;
    if ((w->watch == NULL && !from_maria_watch_target(w->co, &w->watch, &failed)) ||
        !blockers(w, &who, &failed))
        (void)snprintf(w->co->straggler_why, sizeof w->co->straggler_why, "; %.250s", failed.text);
    else if (w->names_only)
        name_one(w->co, who);
    else
        end_all(w->co, w->watch, who);
}

/* One try, of a second at most (innodb_lock_wait_timeout). *ret NULL: not had. */
static bool try_row(struct waiter *w, const struct statement *st, struct rowset **ret, struct err *err)
{
    enum session_poll got = SESSION_WAIT;
    struct err failed = ERR_INIT;
    if (!session_send(w->main, st, err))
        return false;
    while ((got = session_poll(w->main, ret, &failed)) == SESSION_WAIT) {
        if (clock_mono_us() >= w->next_end_us) {
            end_blockers(w);
            w->next_end_us = clock_mono_us() + END_AGAIN_US;
        }
        (void)poll(&(struct pollfd){.fd = session_socket(w->main), .events = POLLIN}, 1, BARRIER_POLL_MS);
    }
    if (got == SESSION_READY || strcmp(failed.sqlstate, "55P03") == 0 ||
        strcmp(failed.sqlstate, "40P01") == 0)
        return true;
    *err = failed;
    return false;
}

static bool try_hold(struct waiter *w, struct rowset **ret, struct err *err)
{
    const char *params[] = {w->co->pipeline};
    struct statement st = {STRBUF_INIT(STRBUF_SQL_MAX), 1, params};
    strbuf_adds(&st.sql, "SELECT state, cutover_id FROM crossfade_decision WHERE pipeline = $1 FOR UPDATE");
    bool ok = session_exec(w->main, "START TRANSACTION READ WRITE", err) && try_row(w, &st, ret, err) &&
              (*ret != NULL || session_exec(w->main, "ROLLBACK", err));
    strbuf_release(&st.sql);
    return ok;
}

bool from_maria_hold(struct cutover *co, int64_t grace_ms, bool heeds_stop, char ret_state[16],
                     char ret_id[64], struct err *err)
{
    int64_t begin_us = clock_mono_us();
    struct waiter w = {.co = co,
                       .main = co->from_maria->main,
                       .watch = co->from_maria->watch,
                       .like = "SELECT state, cutover_id FROM crossfade_decision%FOR UPDATE%",
                       .names_only = grace_ms == FROM_MARIA_ENDS_NOBODY,
                       .next_end_us = begin_us + MAX_OF(grace_ms, 0) * 1000};
    ROWSET_AUTO row = NULL;
    int64_t most_ms =
        MIN_OF(MAX_OF(1, deadline_left_ms(co)), config_int(co->cfg, "cutover.abort_timeout_ms"));
    co->straggler_why[0] = '\0';
    for (unsigned attempt = 0;; attempt++) {
        if (!try_hold(&w, &row, err))
            return false;
        if (row != NULL)
            break;
        if (heeds_stop && co->talk->stop_asked(co->talk->ctx))
            return err_set(err, ERR_INTERRUPTED,
                           "stop was asked for while writers of the source were waited for");
        int64_t waited_ms = (clock_mono_us() - begin_us) / 1000;
        if (waited_ms > most_ms)
            return writers_stay(co, waited_ms, err);
        if (w.names_only)
            (void)poll(NULL, 0,
                       (int)MIN_OF(most_ms - waited_ms, clock_backoff_us(attempt, 500, 5000) / 1000));
    }
    bool there = rowset_rows(row) > 0;
    (void)snprintf(ret_state, 16, "%s", there ? rowset_cell(row, 0, 0) : "none");
    (void)snprintf(ret_id, 64, "%s", there ? rowset_cell(row, 0, 1) : "");
    return true;
}

#define PASS_GRACE_MS 200 /* a statement that was just refused is gone by then */

static bool until_passed(struct waiter *w, const struct statement *st, struct err *err)
{
    int64_t begin_us = clock_mono_us();
    for (;;) {
        ROWSET_AUTO done = NULL;
        if (!try_row(w, st, &done, err))
            return false;
        if (done != NULL)
            return true;
        if (deadline_passed(w->co))
            return err_set(
                err, ERR_TIMEOUT,
                "a transaction that was refused there keeps the decision row, and did not end within "
                "%" PRId64 " ms%s. Hint: GRANT CONNECTION ADMIN ON *.* to our role lets it end such ones; "
                "`crossfade cutover resume` goes on",
                (clock_mono_us() - begin_us) / 1000, w->co->straggler_why);
    }
}

bool from_maria_pass_and_return(struct cutover *co, const char *pipeline, struct err *err)
{
    struct statement st = {STRBUF_INIT(STRBUF_SQL_MAX), 1, &pipeline};
    struct waiter w = {.co = co,
                       .main = co->maria,
                       .like = "%UPDATE crossfade_decision SET state%",
                       .next_end_us = clock_mono_us() + PASS_GRACE_MS * 1000};
    co->straggler_why[0] = '\0';
    strbuf_adds(&st.sql,
                "SET STATEMENT innodb_lock_wait_timeout = 1 FOR UPDATE crossfade_decision SET state = "
                "'returned', changed_at = SYSDATE(6) WHERE pipeline = $1 AND state = 'switched'");
    bool ok = until_passed(&w, &st, err);
    strbuf_release(&st.sql);
    from_maria_unwatch_target(co);
    return ok || err_wrap(err, "the target cannot be opened to writers");
}

static bool barrier(struct cutover *co, int64_t grace_ms, struct err *err)
{
    char state[16], id[64];
    struct err ignored = ERR_INIT; /* the first one counts */
    if (!from_maria_hold(co, grace_ms, true, state, id, err)) {
        (void)!session_exec(co->from_maria->main, "ROLLBACK", &ignored);
        return false;
    }
    return session_exec(co->from_maria->main, "ROLLBACK", err) &&
           ((strcmp(state, "open") == 0 && strcmp(id, co->id) == 0) ||
            err_set(err, ERR_FENCED, "the decision is not open any more"));
}

bool from_maria_close_side(struct cutover *co, bool again, struct err *err)
{
    int64_t grace_ms = again ? 0 : config_int(co->cfg, "cutover.straggler_grace_ms");
    co->straggler_why[0] = '\0';
    if (!hold_closed(co, err) ||
        !(again ? failpoint("cutover.closing", err) : failpoint("cutover.refusing", err)))
        return err_wrap(err, "the source cannot be closed to writers");
    return barrier(co, grace_ms, err) || err_wrap(err, "writers of the source do not end");
}
