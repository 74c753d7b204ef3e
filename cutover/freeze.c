/*
 * Owns closing the source to writers, and opening it again.
 *
 * Every table through which published rows are written (refuse.h) carries a BEFORE STATEMENT trigger that fires ALWAYS, also for
 * sessions in replica role, and calls one function (refuse.c). The triggers are put up while writers go on (arming: the function lets
 * everything pass); closing is one CREATE OR REPLACE of that function, so that it raises, and opening again
 * is another one: neither needs a lock on a table. It is durable, and no setting of a session undoes it. What does pass: apply
 * workers of subscriptions (they fire no triggers of statements), and owners who take triggers away; that nobody did, late.c verifies
 * before the decision.
 *
 * Then the barrier: whoever holds a writer's lock on one of the tables just then is waited for, prepared
 * transactions included. A statement that still meets the old function had its ROW EXCLUSIVE lock before the
 * new one was committed (a session that takes a lock it does not hold yet looks at invalidations next:
 * LockRelationOid, AcceptInvalidationMessages in PostgreSQL's lmgr.c), so it is among those listed. The
 * barrier takes no lock itself: it stands in nobody's way, nor VACUUM or ANALYZE in its.
 *
 * Who still writes after the grace time is a straggler and is ended (pg_terminate_backend), never one of our
 * own, and never one that only maintains the table.
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "cutover_internal.h"
#include "from_maria/from_maria.h"
#include "refuse.h"
#include "json/text.h"

#define POLL_MS         20
#define BARRIER_POLL_MS 5

static const char frozen_tables_sql[] = FROZEN_TABLES("$1");

static bool frozen_tables(struct cutover *co, struct pg_result **ret, struct err *err)
{
    char publication[64];
    (void)snprintf(publication, sizeof publication, "crossfade_%s", co->pipeline);
    const char *params[] = {publication};
    return pg_query(co->watch, frozen_tables_sql, 1, params, ret, err);
}

/* Of sessions of other roles only members of pg_read_all_stats see more than the pid. */
#define CLIENT_SESSION                                                                                       \
    "coalesce(a.backend_type, 'client backend') = 'client backend'"                                          \
    " AND coalesce(a.application_name, '') NOT LIKE 'crossfade %'"

/* Modes that a transaction which writes to a table may hold on it. */
#define WRITER_MODES "('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')"

void freeze_note_straggler(struct cutover *co, const char *pid, const char *role, const char *application)
{
    cutover_say(co, "ended straggler pid=%s role=%s application=%s", pid, role, application);
    notes_add(co, json_pack("{s:s, s:o, s:I, s:o, s:o}", "kind", "straggler", "name", json_text(pid), "at_us",
                            (json_int_t)clock_wall_us(), "role", json_text(role), "application",
                            json_text(application)));
    size_t used = strlen(co->report->stragglers);
    (void)snprintf(co->report->stragglers + used, sizeof co->report->stragglers - used, "%s%s",
                   used > 0 ? "," : "", pid);
}

/* Rows: pid, role, application. One that may not be ended (a superuser's) does not keep the others alive; why
 * the last one could not is left in co->straggler_why. */
static void end_sessions(struct cutover *co, const struct pg_result *rows)
{
    for (int i = 0; i < pg_rows(rows); i++) {
        PG_RESULT_AUTO res = NULL;
        struct err refused = ERR_INIT;
        const char *params[] = {pg_cell(rows, i, 0)};
        if (pg_query(co->watch, "SELECT pg_catalog.pg_terminate_backend($1::int)", 1, params, &res, &refused))
            freeze_note_straggler(co, pg_cell(rows, i, 0), pg_cell(rows, i, 1), pg_cell(rows, i, 2));
        else
            (void)snprintf(co->straggler_why, sizeof co->straggler_why, "; pid=%s role=%s: %.200s",
                           pg_cell(rows, i, 0), pg_cell(rows, i, 1), refused.text);
    }
}

/* Ends the writers that stand before our request for a lock. */
static bool end_blockers(struct cutover *co, const char *our_pid, struct err *err)
{
    const char *params[] = {our_pid};
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(
            co->watch,
            "SELECT a.pid, a.usename, coalesce(a.application_name, '')"
            " FROM pg_catalog.pg_stat_activity a WHERE a.pid = ANY (pg_catalog.pg_blocking_pids($1::int))"
            " AND " CLIENT_SESSION " AND EXISTS (SELECT FROM pg_catalog.pg_locks o JOIN pg_catalog.pg_locks l"
            "  USING (locktype, database, relation) WHERE o.pid = $1::int AND NOT o.granted"
            "  AND o.locktype = 'relation' AND l.pid = a.pid AND l.granted AND l.mode IN " WRITER_MODES ")",
            1, params, &res, err))
        return err_wrap(err, "who blocks the source's locks");
    end_sessions(co, res);
    return true;
}

static bool prepared_blocker(struct cutover *co, struct err *err)
{
    char *gid = NULL;
    if (!pg_query_text(co->watch,
                       "SELECT string_agg(gid, ', ') FROM pg_catalog.pg_prepared_xacts WHERE database = "
                       "current_database()",
                       0, NULL, &gid, err))
        return false;
    if (gid == NULL)
        return true;
    err_set(err, ERR_BUSY,
            "prepared transactions are open on the source: %s; COMMIT PREPARED or ROLLBACK PREPARED them",
            gid);
    free(gid);
    return false;
}

#define TAKE_BACK_MS 5000

/* Ends the statement that was sent, however: one that waits for a lock must not be left standing, all writers
 * of the table would wait behind it. True: it had got its lock by then, and is done. */
static bool take_back(struct cutover *co, const char *our_pid)
{
    int64_t begin_us = clock_mono_us();
    bool ended = false;
    for (;;) {
        PG_RESULT_AUTO res = NULL;
        struct err ignored = ERR_INIT; /* that it was cancelled */
        enum pg_poll got = pg_poll_result(co->source, &res, &ignored);
        if (got != PG_POLL_WAIT)
            return got == PG_POLL_READY;
        int64_t waited_ms = (clock_mono_us() - begin_us) / 1000;
        if (waited_ms > TAKE_BACK_MS && !ended) {
            PG_RESULT_AUTO gone = NULL;
            ended = true;
            (void)!pg_query(co->watch, "SELECT pg_catalog.pg_terminate_backend($1::int)", 1, &our_pid, &gone,
                            NULL);
        } else if (waited_ms > 2 * TAKE_BACK_MS) {
            return false; /* the connection is replaced before it is used again */
        } else {
            pg_cancel(co->source);
        }
        (void)poll(&(struct pollfd){.fd = pg_socket(co->source), .events = POLLIN}, 1, POLL_MS);
    }
}

static bool lock_not_granted(struct cutover *co, int64_t timeout_ms, struct err *err)
{
    return prepared_blocker(co, err) &&
           err_set(err, ERR_TIMEOUT, "a lock on the source was not granted within %" PRId64 " ms%s",
                   timeout_ms, co->straggler_why);
}

/* Who stands before the statement that was sent, for the one who reads why it failed. An autovacuum (a session of nobody's) gives way to
 * who waits for longer than deadlock_timeout, which short tries never do. */
static void note_blockers(struct cutover *co, const char *our_pid)
{
    PG_RESULT_AUTO res = NULL;
    struct err ignored = ERR_INIT; /* that it was not granted is told anyway */
    if (!pg_query(
            co->watch,
            "SELECT string_agg(pg_catalog.format('pid=%s %s', a.pid, CASE WHEN a.usesysid IS NULL THEN "
            "'autovacuum'"
            " ELSE pg_catalog.format('role=%s application=%s', a.usename, a.application_name) END), ', '),"
            " CASE WHEN bool_or(a.usesysid IS NULL) THEN (SELECT s.setting FROM pg_catalog.pg_settings s"
            "  WHERE s.name = 'deadlock_timeout') ELSE '0' END"
            " FROM pg_catalog.pg_stat_activity a WHERE a.pid = ANY (pg_catalog.pg_blocking_pids($1::int))",
            1, &our_pid, &res, &ignored) ||
        pg_is_null(res, 0, 0))
        return;
    co->vacuum_yields_ms = pg_cell_int64(res, 0, 1);
    if (co->straggler_why[0] == '\0')
        (void)snprintf(co->straggler_why, sizeof co->straggler_why, "; it is held by %.270s",
                       pg_cell(res, 0, 0));
}

/* Waits for the statement that was sent; with end_writers it ends those who stand in its way; takes it back
 * after timeout_ms. */
static bool await_lock(struct cutover *co, const char *our_pid, bool end_writers, int64_t timeout_ms,
                       struct err *err)
{
    int64_t start_us = clock_mono_us(), next_end_us = start_us;
    for (;;) {
        PG_RESULT_AUTO res = NULL;
        enum pg_poll got = pg_poll_result(co->source, &res, err);
        if (got == PG_POLL_ERROR &&
            strcmp(err->sqlstate, "55P03") == 0) /* we were late: the server's own timeout came first */
            return lock_not_granted(co, timeout_ms, err);
        if (got != PG_POLL_WAIT)
            return got == PG_POLL_READY;
        int64_t now_us = clock_mono_us();
        /* What puts the source back is not stopped by the very signal that it follows from. */
        bool stop = co->state != CUT_ABORTING && co->talk->stop_asked(co->talk->ctx);
        bool late =
            now_us - start_us > timeout_ms * 1000 || (co->state != CUT_ABORTING && deadline_passed(co));
        bool asked = !stop && !late && end_writers && now_us >= next_end_us;
        if (late)
            note_blockers(co, our_pid);
        if (stop || late || (asked && !end_blockers(co, our_pid, err))) {
            bool done = take_back(co, our_pid);
            if (stop)
                err_set(err, ERR_INTERRUPTED, "stop was asked for while the source was being prepared");
            else if (late && done)
                return true;
            else if (late)
                return lock_not_granted(co, timeout_ms, err);
            return false;
        }
        if (asked)
            next_end_us = now_us + 200000;
        (void)poll(&(struct pollfd){.fd = pg_socket(co->source), .events = POLLIN}, 1, POLL_MS);
    }
}

/* Sends one statement that needs a table's lock, alone in its transaction, and waits for it. The server's own
 * timeout is for the case that we die meanwhile. */
static bool locked_statement(struct cutover *co, const char *sql, bool end_writers, int64_t timeout_ms,
                             struct err *err)
{
    char *our_pid CLEANUP(free_ptr) = NULL;
    char timeout[32];
    struct err ignored = ERR_INIT; /* of a broken session, which is replaced before it is used again */
    (void)snprintf(timeout, sizeof timeout, "%" PRId64, timeout_ms + 1000);
    const char *params[] = {timeout};
    bool ok = pg_query_text(co->source,
                            "SELECT pg_catalog.pg_backend_pid()::text WHERE"
                            " pg_catalog.set_config('lock_timeout', $1, false) IS NOT NULL",
                            1, params, &our_pid, err) &&
              pg_send(co->source, sql, 0, NULL, err) && await_lock(co, our_pid, end_writers, timeout_ms, err);
    /* Also where it failed: what follows on this session waits for its locks. */
    if (!pg_busy(co->source) && !pg_exec(co->source, "SET lock_timeout = 0", ok ? err : &ignored))
        return false;
    return ok;
}

enum armed { ARMED_UNKNOWN = 0, ARMED_NOT, ARMED_PLAIN, ARMED_ALWAYS };

/* How far a table is armed. One that another pipeline's cutover has closed or is closing must stay that one's. */
static bool how_armed(struct cutover *co, const char *oid, enum armed *ret, struct err *err)
{
    struct strbuf name = STRBUF_INIT(STRBUF_SQL_MAX);
    PG_RESULT_AUTO res = NULL;
    refuse_add_name(&name, co->pipeline);
    const char *params[] = {oid, FREEZE_TRIGGER, name.data};
    bool ok =
        strbuf_ok(&name, "name", err) &&
        pg_query(co->watch,
                 "SELECT tgfoid = pg_catalog.to_regproc($3)::oid, tgenabled = 'A', tgfoid::regproc::text"
                 " FROM pg_catalog.pg_trigger WHERE tgrelid = $1::oid AND tgname = $2",
                 3, params, &res, err);
    strbuf_release(&name);
    if (!ok)
        return false;
    *ret = pg_rows(res) == 0 ? ARMED_NOT : pg_cell_bool(res, 0, 1) ? ARMED_ALWAYS : ARMED_PLAIN;
    return pg_rows(res) == 0 || pg_cell_bool(res, 0, 0) ||
           err_set(err, ERR_REFUSED,
                   "its trigger " FREEZE_TRIGGER
                   " calls %s, of another pipeline's cutover. Hint: a table is moved by one pipeline; "
                   "if that one was given up, drop the trigger",
                   pg_cell(res, 0, 2));
}

/* Writers wait behind us while we wait for those before us: short tries, so that nobody waits for long. After
 * the grace time who writes on and on is ended: the freeze would do that anyway. */
#define ARM_TRY_MS 300

/* Which of the two deadlines it was; that of the step tells itself. */
static bool given_up(const struct cutover *co, int64_t begin_us, struct err *err)
{
    return err->code == ERR_TIMEOUT && !deadline_passed(co) &&
           err_wrap(err, "tried again and again for %" PRId64 " ms (cutover.freeze_timeout_ms)",
                    (clock_mono_us() - begin_us) / 1000);
}

/* Sends the statement in short tries until it gets its lock. */
static bool in_short_tries(struct cutover *co, const char *sql, struct err *err)
{
    int64_t begin_us = clock_mono_us();
    int64_t grace_us = config_int(co->cfg, "cutover.straggler_grace_ms") * 1000;
    int64_t deadline_us = begin_us + grace_us + config_int(co->cfg, "cutover.freeze_timeout_ms") * 1000;
    bool waited_for_vacuum = false;
    co->vacuum_yields_ms = 0;
    for (unsigned attempt = 0;; attempt++) {
        struct err now = ERR_INIT;
        /* Once: one that prevents wraparound does not give way. */
        int64_t try_ms = ARM_TRY_MS + (waited_for_vacuum ? 0 : co->vacuum_yields_ms);
        waited_for_vacuum = waited_for_vacuum || co->vacuum_yields_ms > 0;
        co->straggler_why[0] = '\0';
        if (locked_statement(co, sql, clock_mono_us() - begin_us >= grace_us, try_ms, &now))
            return true;
        if (now.code != ERR_TIMEOUT || clock_mono_us() > deadline_us || deadline_passed(co)) {
            *err = now;
            return given_up(co, begin_us, err);
        }
        (void)poll(NULL, 0, (int)(clock_backoff_us(attempt, 50, 500) / 1000));
    }
}

/* CREATE TRIGGER cannot say ALWAYS; with ONLY, for each partition is armed by itself. */
static void add_arming(struct cutover *co, enum armed so_far, const struct pg_result *tables, int row,
                       struct strbuf *sql)
{
    strbuf_adds(sql, so_far == ARMED_NOT ? "CREATE TRIGGER " FREEZE_TRIGGER
                                           " BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON "
                                         : "ALTER TABLE ONLY ");
    pg_quote_table(sql, pg_cell(tables, row, 0), pg_cell(tables, row, 1));
    if (so_far == ARMED_NOT) {
        strbuf_adds(sql, " FOR EACH STATEMENT EXECUTE FUNCTION ");
        refuse_add_name(sql, co->pipeline);
        strbuf_adds(sql, "()");
    } else {
        strbuf_adds(sql, " ENABLE ALWAYS TRIGGER " FREEZE_TRIGGER);
    }
}

static bool arm_table(struct cutover *co, const struct pg_result *tables, int row, struct err *err)
{
    enum armed armed;
    bool ok = how_armed(co, pg_cell(tables, row, 2), &armed, err);
    for (; ok && armed != ARMED_ALWAYS; armed++) {
        struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
        add_arming(co, armed, tables, row, &sql);
        ok = strbuf_ok(&sql, "trigger", err) && in_short_tries(co, sql.data, err);
        strbuf_release(&sql);
    }
    return ok || err_wrap(err, "table=%s.%s", pg_cell(tables, row, 0), pg_cell(tables, row, 1));
}

bool freeze_arm(struct cutover *co, struct err *err)
{
    PG_RESULT_AUTO tables = NULL;
    if (co->from_maria != NULL)
        return from_maria_arm(co, err);
    co->straggler_why[0] = '\0';
    if (!frozen_tables(co, &tables, err) || !refuse_nobody(co, err))
        return false;
    for (int i = 0; i < pg_rows(tables); i++) {
        if (!failpoint("cutover.arm_table", err) || !arm_table(co, tables, i, err))
            return err_wrap(err, "the source cannot be prepared for its freeze");
    }
    return true;
}

/* Who holds a writer's lock on a published table: all ($2 NULL), or those of a list of transactions. */
static bool look_for_writers(struct cutover *co, const char *among, struct pg_result **ret, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    char publication[64];
    (void)snprintf(publication, sizeof publication, "crossfade_%s", co->pipeline);
    const char *params[] = {publication, among};
    strbuf_addf(
        &sql,
        "SELECT DISTINCT coalesce(l.pid, 0), coalesce(a.usename, ''), coalesce(a.application_name, ''),"
        " l.virtualtransaction, l.relation::regclass::text FROM pg_catalog.pg_locks l"
        " LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid"
        " WHERE l.locktype = 'relation' AND l.granted AND l.mode IN " WRITER_MODES
        " AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = "
        "current_database())"
        " AND l.relation IN (SELECT f.oid FROM (%s) f)"
        " AND ($2::text IS NULL OR l.virtualtransaction = ANY (string_to_array($2, ' ')))",
        frozen_tables_sql);
    bool ok = strbuf_ok(&sql, "statement", err) && pg_query(co->watch, sql.data, 2, params, ret, err);
    strbuf_release(&sql);
    return ok || err_wrap(err, "who writes to the source");
}

static bool writers_stay(struct cutover *co, const struct pg_result *rows, int64_t timeout_ms,
                         struct err *err)
{
    return prepared_blocker(co, err) &&
           err_set(err, ERR_TIMEOUT,
                   "a transaction that writes to table=%s did not end within %" PRId64
                   " ms: pid=%s role=%s application=%s%s",
                   pg_cell(rows, 0, 4), timeout_ms, pg_cell(rows, 0, 0), pg_cell(rows, 0, 1),
                   pg_cell(rows, 0, 2), co->straggler_why);
}

/* Ends the sessions of the rows that are applications' (a prepared transaction has pid 0). */
static bool end_writers(struct cutover *co, const char *among, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(co->watch,
                  "SELECT DISTINCT a.pid, coalesce(a.usename, ''), coalesce(a.application_name, '')"
                  " FROM pg_catalog.pg_stat_activity a JOIN pg_catalog.pg_locks l ON l.pid = a.pid"
                  " WHERE " CLIENT_SESSION " AND l.virtualtransaction = ANY (string_to_array($1, ' '))",
                  1, &among, &res, err))
        return err_wrap(err, "who writes to the source");
    end_sessions(co, res);
    return true;
}

/* Waits until nobody is left of those who may not have seen the closed function. */
static bool barrier(struct cutover *co, int64_t grace_us, struct err *err)
{
    int64_t begin_us = clock_mono_us(), next_end_us = begin_us + grace_us;
    char *among CLEANUP(free_ptr) = NULL;
    for (;;) {
        PG_RESULT_AUTO rows = NULL;
        if (!look_for_writers(co, among, &rows, err))
            return false;
        if (pg_rows(rows) == 0)
            return true;
        if (among == NULL) {
            struct strbuf list = STRBUF_INIT(STRBUF_SQL_MAX);
            for (int i = 0; i < pg_rows(rows); i++)
                strbuf_addf(&list, "%s%s", i > 0 ? " " : "", pg_cell(rows, i, 3));
            if (!strbuf_ok(&list, "list of transactions", err)) {
                strbuf_release(&list);
                return false;
            }
            among = strbuf_detach(&list);
        }
        int64_t now_us = clock_mono_us();
        if (co->talk->stop_asked(co->talk->ctx))
            return err_set(err, ERR_INTERRUPTED, "stop was asked for while the source was being closed");
        if (deadline_left_ms(co) <= 0)
            return writers_stay(co, rows, (now_us - begin_us) / 1000, err);
        if (now_us >= next_end_us) {
            if (!end_writers(co, among, err))
                return false;
            next_end_us = now_us + 500000;
        }
        (void)poll(NULL, 0, BARRIER_POLL_MS);
    }
}

bool freeze_source(struct cutover *co, bool again, struct err *err)
{
    int64_t grace_ms = again ? 0 : config_int(co->cfg, "cutover.straggler_grace_ms");
    if (co->from_maria != NULL)
        return from_maria_close_side(co, again, err);
    if (!refuse_for_now(co, err) ||
        !(again ? failpoint("cutover.closing", err) : failpoint("cutover.refusing", err)))
        return err_wrap(err, "the source cannot be closed to writers");
    return barrier(co, grace_ms * 1000, err) || err_wrap(err, "writers of the source do not end");
}

/* Each table refuses a write that touches no row, tried the way an application would. In one statement of the server, for clients wait: what
 * is refused takes its locks back. */
static const char probe_sql[] =
    "DO $probe$ DECLARE probed record; ran boolean; BEGIN FOR probed IN %s LOOP ran := false;"
    " BEGIN EXECUTE pg_catalog.format('DELETE FROM ONLY %%I.%%I WHERE false', probed.nspname, "
    "probed.relname); ran := "
    "true;"
    " EXCEPTION WHEN read_only_sql_transaction THEN NULL;"
    " WHEN others THEN RAISE EXCEPTION USING ERRCODE = SQLSTATE,"
    "  MESSAGE = pg_catalog.format('probe of table=%%s.%%s: %%s', probed.nspname, probed.relname, SQLERRM); "
    "END;"
    " IF ran THEN RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE ="
    "  pg_catalog.format('table=%%s.%%s takes writes although the source is closed: it was made, attached or "
    "freed of"
    " its trigger meanwhile', probed.nspname, probed.relname); END IF; END LOOP; END $probe$";

bool freeze_verify(struct cutover *co, struct err *err)
{
    char tables[sizeof frozen_tables_sql + 80];
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    if (co->from_maria != NULL)
        return from_maria_verify(co, err);
    (void)snprintf(tables, sizeof tables, FROZEN_TABLES("'crossfade_%s'"), co->pipeline);
    strbuf_addf(&sql, probe_sql, tables);
    bool ok = strbuf_ok(&sql, "probe", err) && pg_exec(co->source, sql.data, err);
    strbuf_release(&sql);
    return ok && prepared_blocker(co, err);
}

#define DROP_TRIES 3

static bool drop_trigger(struct cutover *co, const char *sql, bool *ret_left, struct err *err)
{
    *ret_left = false;
    for (unsigned attempt = 0;; attempt++) {
        struct err now = ERR_INIT;
        if (locked_statement(co, sql, false, ARM_TRY_MS, &now))
            return true;
        if (now.code != ERR_TIMEOUT && now.code != ERR_BUSY) { /* busy: a prepared transaction */
            *err = now;
            return false;
        }
        if (attempt + 1 == DROP_TRIES)
            break;
        (void)poll(NULL, 0, (int)(clock_backoff_us(attempt, 50, 500) / 1000));
    }
    *ret_left = true;
    return true;
}

/* Triggers that let everything pass do no harm; those that cannot be dropped now are left and told of. */
static bool drop_triggers(struct cutover *co, const struct pg_result *tables, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    int left = 0;
    bool ok = true;
    for (int i = 0; ok && i < pg_rows(tables); i++) {
        bool stays = false;
        strbuf_clear(&sql);
        strbuf_adds(&sql, "DROP TRIGGER IF EXISTS " FREEZE_TRIGGER " ON ");
        pg_quote_table(&sql, pg_cell(tables, i, 0), pg_cell(tables, i, 1));
        ok = strbuf_ok(&sql, "trigger", err) && drop_trigger(co, sql.data, &stays, err);
        left += stays;
    }
    if (left > 0)
        cutover_say(co,
                    "%d triggers " FREEZE_TRIGGER
                    " could not be dropped without waiting; they let everything pass",
                    left);
    strbuf_release(&sql);
    return ok;
}

/* Slow on MariaDB, where each one is a statement, and needed by nobody who writes. */
void freeze_clean(struct cutover *co)
{
    if (co->from_maria != NULL)
        from_maria_clean(co, co->from_maria->main, co->pipeline, "source");
}

/* The triggers that call our function, wherever they are: a table may have left the publication, and another pipeline's are not ours. */
bool freeze_undo(struct cutover *co, struct err *err)
{
    PG_RESULT_AUTO triggers = NULL;
    if (co->from_maria != NULL) {
        from_maria_let_go(co);
        return true;
    }
    if (pg_in_transaction(co->source) && !pg_exec(co->source, "ROLLBACK", err))
        return false;
    if (!refuse_no_more(co, err) || !refuse_triggers(co->watch, co->pipeline, &triggers, err) ||
        !drop_triggers(co, triggers, err))
        return err_wrap(err, "the source cannot be opened again");
    return true;
}
