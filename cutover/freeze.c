/*
 * Owns closing the source to writers, and opening it again.
 *
 * Every published table and each of its partitions carries a BEFORE STATEMENT trigger that calls one
 * function, crossfade.refuse_write(). The triggers are put up while writers go on (arming: the function lets
 * everything pass); closing is one CREATE OR REPLACE of that function, so that it raises, and opening again
 * is another one: neither needs a lock on a table. It is durable, no setting of an application role undoes it, and sessions
 * with session_replication_role = replica (ours, on the way back) pass; that nobody else did, late.c verifies before the
 * decision.
 *
 * At first the function raises until the pause budget ends, by the source's own clock: should the cutover die and nobody come,
 * the source serves again by itself. Right before the decision it is made to raise without end. What slipped in between, if the
 * budget ended just then, was committed behind the final fence, where late.c finds it; what is not committed yet, the second
 * barrier waits for.
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
#include "json/text.h"

#define POLL_MS         20
#define BARRIER_POLL_MS 5

#define FUNCTION_HEAD                                                                                        \
    "CREATE OR REPLACE FUNCTION crossfade.refuse_write() RETURNS trigger LANGUAGE plpgsql"                   \
    " SET search_path = pg_catalog AS $body$ BEGIN "
#define FUNCTION_TAIL " END $body$"

static const char pass_function_sql[] = FUNCTION_HEAD "RETURN NULL;" FUNCTION_TAIL;

static const char refuse_sql[] =
    "RAISE EXCEPTION 'database % is closed to writes: it has moved or is moving to another server', "
    "current_database()"
    " USING ERRCODE = 'read_only_sql_transaction', HINT = 'Connect to the new primary database.';";

/* All tables that hold published rows: the published ones and, of partitioned ones, every level below. */
static const char frozen_tables_sql[] =
    "SELECT DISTINCT n.nspname, c.relname, c.oid FROM pg_catalog.pg_publication_tables p"
    " JOIN pg_catalog.pg_namespace pn ON pn.nspname = p.schemaname"
    " JOIN pg_catalog.pg_class pc ON pc.relnamespace = pn.oid AND pc.relname = p.tablename"
    " CROSS JOIN LATERAL (SELECT pc.oid AS relid UNION SELECT relid FROM "
    "pg_catalog.pg_partition_tree(pc.oid)) t"
    " JOIN pg_catalog.pg_class c ON c.oid = t.relid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE p.pubname = $1 AND p.schemaname <> 'crossfade' AND c.relkind IN ('r', 'p') ORDER BY 1, 2";

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

static void note_straggler(struct cutover *co, const char *pid, const char *role, const char *application)
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
            note_straggler(co, pg_cell(rows, i, 0), pg_cell(rows, i, 1), pg_cell(rows, i, 2));
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
 * of the table would wait behind it. */
static void take_back(struct cutover *co, const char *our_pid)
{
    int64_t begin_us = clock_mono_us();
    bool ended = false;
    for (;;) {
        PG_RESULT_AUTO res = NULL;
        struct err ignored = ERR_INIT; /* that it was cancelled */
        if (pg_poll_result(co->source, &res, &ignored) != PG_POLL_WAIT)
            return;
        int64_t waited_ms = (clock_mono_us() - begin_us) / 1000;
        if (waited_ms > TAKE_BACK_MS && !ended) {
            PG_RESULT_AUTO gone = NULL;
            ended = true;
            (void)!pg_query(co->watch, "SELECT pg_catalog.pg_terminate_backend($1::int)", 1, &our_pid, &gone,
                            NULL);
        } else if (waited_ms > 2 * TAKE_BACK_MS) {
            return; /* the connection is replaced before it is used again */
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
        if (stop || late || (asked && !end_blockers(co, our_pid, err))) {
            take_back(co, our_pid);
            if (stop)
                err_set(err, ERR_INTERRUPTED, "stop was asked for while the source was being prepared");
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
    return pg_execf(co->source, err, "SET lock_timeout = %" PRId64, timeout_ms + 1000) &&
           pg_query_text(co->source, "SELECT pg_catalog.pg_backend_pid()::text", 0, NULL, &our_pid, err) &&
           pg_send(co->source, sql, 0, NULL, err) && await_lock(co, our_pid, end_writers, timeout_ms, err) &&
           pg_exec(co->source, "SET lock_timeout = 0", err);
}

static bool has_trigger(struct cutover *co, const char *oid, bool *ret, struct err *err)
{
    const char *params[] = {oid, FREEZE_TRIGGER};
    int64_t count;
    if (!pg_query_int64(co->watch,
                        "SELECT count(*) FROM pg_catalog.pg_trigger WHERE tgrelid = $1::oid AND tgname = $2"
                        " AND tgenabled <> 'D'",
                        2, params, &count, err))
        return false;
    *ret = count > 0;
    return true;
}

/* Writers wait behind us while we wait for those before us: short tries, so that nobody waits for long. After
 * the grace time who writes on and on is ended: the freeze would do that anyway. */
#define ARM_TRY_MS 300

static bool arm_table(struct cutover *co, const struct pg_result *tables, int row, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    bool there = false, ok = has_trigger(co, pg_cell(tables, row, 2), &there, err);
    if (!ok || there)
        return ok;
    strbuf_adds(&sql, "CREATE OR REPLACE TRIGGER " FREEZE_TRIGGER
                      " BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON ");
    pg_quote_table(&sql, pg_cell(tables, row, 0), pg_cell(tables, row, 1));
    strbuf_adds(&sql, " FOR EACH STATEMENT EXECUTE FUNCTION crossfade.refuse_write()");
    int64_t begin_us = clock_mono_us();
    int64_t grace_us = config_int(co->cfg, "cutover.straggler_grace_ms") * 1000;
    int64_t deadline_us = begin_us + grace_us + config_int(co->cfg, "cutover.freeze_timeout_ms") * 1000;
    ok = strbuf_ok(&sql, "trigger", err);
    for (unsigned attempt = 0; ok; attempt++) {
        struct err now = ERR_INIT;
        if (locked_statement(co, sql.data, clock_mono_us() - begin_us >= grace_us, ARM_TRY_MS, &now))
            break;
        if (now.code != ERR_TIMEOUT || clock_mono_us() > deadline_us || deadline_passed(co)) {
            *err = now;
            ok = err_wrap(err, "table=%s.%s", pg_cell(tables, row, 0), pg_cell(tables, row, 1));
        } else {
            (void)poll(NULL, 0, (int)(clock_backoff_us(attempt, 50, 500) / 1000));
        }
    }
    strbuf_release(&sql);
    return ok;
}

bool freeze_arm(struct cutover *co, struct err *err)
{
    PG_RESULT_AUTO tables = NULL;
    co->straggler_why[0] = '\0';
    if (!frozen_tables(co, &tables, err) || !pg_exec(co->source, pass_function_sql, err))
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

/* The decision row stays locked meanwhile, so that an abort by somebody else comes before this or behind it, never between. */
static bool decision_is_open(struct cutover *co, struct err *err)
{
    const char *params[] = {co->pipeline, co->id};
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(co->source,
                  "SELECT 1 FROM crossfade.decision WHERE pipeline = $1 AND cutover_id = $2 AND state = "
                  "'open' FOR SHARE",
                  2, params, &res, err))
        return err_wrap(err, "the decision row on the source cannot be read");
    return pg_rows(res) == 1 || err_set(err, ERR_FENCED, "the decision is not open any more");
}

static bool replace_function(struct cutover *co, const char *body, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_addf(&sql, FUNCTION_HEAD "%s" FUNCTION_TAIL, body);
    bool ok = strbuf_ok(&sql, "function", err) && pg_exec(co->source, "BEGIN", err) &&
              decision_is_open(co, err) && pg_exec(co->source, sql.data, err) &&
              pg_exec(co->source, "COMMIT", err);
    strbuf_release(&sql);
    struct err ignored =
        ERR_INIT; /* the first one counts; a broken session is replaced before it is used again */
    if (!ok && pg_in_transaction(co->source))
        (void)!pg_exec(co->source, "ROLLBACK", &ignored);
    return ok;
}

/* Seconds since the epoch by the source's clock, so that neither time zones nor the clock of this machine play a part. */
static bool lease_end(struct cutover *co, char ret[40], struct err *err)
{
    char left[32];
    char *text CLEANUP(free_ptr) = NULL;
    (void)snprintf(left, sizeof left, "%" PRId64, MAX_OF(1, deadline_pause_left_ms(co)));
    const char *params[] = {left};
    if (!pg_query_text(co->source,
                       "SELECT (extract(epoch FROM pg_catalog.clock_timestamp())::numeric(20, 3) + "
                       "$1::numeric / 1000)::text",
                       1, params, &text, err))
        return false;
    (void)snprintf(ret, 40, "%.39s", text);
    return true;
}

bool freeze_source(struct cutover *co, struct err *err)
{
    char until[40];
    struct strbuf body = STRBUF_INIT(STRBUF_SQL_MAX);
    bool ok = lease_end(co, until, err);
    if (ok)
        strbuf_addf(&body, "IF extract(epoch FROM clock_timestamp()) < %s THEN %s END IF; RETURN NULL;",
                    until, refuse_sql);
    ok = ok && strbuf_ok(&body, "function", err) && replace_function(co, body.data, err) &&
         failpoint("cutover.refusing", err);
    strbuf_release(&body);
    if (!ok)
        return err_wrap(err, "the source cannot be closed to writers");
    return barrier(co, config_int(co->cfg, "cutover.straggler_grace_ms") * 1000, err) ||
           err_wrap(err, "writers of the source do not end");
}

bool freeze_for_good(struct cutover *co, struct err *err)
{
    if (!replace_function(co, refuse_sql, err) || !failpoint("cutover.closing", err))
        return err_wrap(err, "the source cannot be closed for good");
    return barrier(co, 0, err) || err_wrap(err, "writers of the source do not end");
}

/* Each table refuses a write that touches no row, tried the way an application would. */
static bool probe_table(struct cutover *co, const char *schema, const char *table, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    struct err probe = ERR_INIT;
    strbuf_adds(&sql, "DELETE FROM ONLY ");
    pg_quote_table(&sql, schema, table);
    strbuf_adds(&sql, " WHERE false");
    bool ran = strbuf_ok(&sql, "probe", err) && pg_exec(co->source, sql.data, &probe);
    strbuf_release(&sql);
    if (ran)
        return err_set(
            err, ERR_BUSY,
            "table=%s.%s takes writes although the source is closed: it was made, attached or freed of "
            "its trigger meanwhile",
            schema, table);
    if (strcmp(probe.sqlstate, "25006") != 0) {
        *err = probe;
        return err_wrap(err, "probe of table=%s.%s", schema, table);
    }
    return true;
}

bool freeze_verify(struct cutover *co, struct err *err)
{
    PG_RESULT_AUTO tables = NULL;
    if (!frozen_tables(co, &tables, err))
        return false;
    for (int i = 0; i < pg_rows(tables); i++) {
        if (!probe_table(co, pg_cell(tables, i, 0), pg_cell(tables, i, 1), err))
            return false;
    }
    return prepared_blocker(co, err);
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

bool freeze_pass_on(struct pg_conn *conn, struct err *err)
{
    return pg_exec(conn, pass_function_sql, err);
}

bool freeze_undo(struct cutover *co, struct err *err)
{
    PG_RESULT_AUTO tables = NULL;
    if (pg_in_transaction(co->source) && !pg_exec(co->source, "ROLLBACK", err))
        return false;
    if (!frozen_tables(co, &tables, err) || !pg_exec(co->source, pass_function_sql, err) ||
        !drop_triggers(co, tables, err))
        return err_wrap(err, "the source cannot be opened again");
    return true;
}
