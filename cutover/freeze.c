/*
 * Owns closing the source to writers, and opening it again.
 *
 * Every published table and each of its partitions carries a BEFORE STATEMENT trigger that calls one
 * function, crossfade.refuse_write(). The triggers are put up while writers go on (arming: the function lets
 * everything pass); closing is one CREATE OR REPLACE of that function, so that it raises, and opening again
 * is another one: neither needs a lock on a table. It is durable (a cutover that dies leaves it standing), no
 * setting of an application role undoes it, and sessions with session_replication_role = replica (ours, on
 * the way back) pass.
 *
 * Then the barrier: each table is locked in SHARE mode for a moment, one at a time. A statement that still
 * meets the old function had its ROW EXCLUSIVE lock before the new one was committed (taking a lock makes a
 * session look at invalidations first: AcceptInvalidationMessages in PostgreSQL's lmgr.c), and SHARE waits
 * for it. So behind the barrier no transaction that wrote to these tables is open, prepared ones included.
 * Holding one lock at a time, with nothing else held, cannot deadlock.
 *
 * A second session watches: whoever still blocks after the grace time is a straggler and is ended
 * (pg_terminate_backend), never one of our own.
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

#define POLL_MS 20

#define FUNCTION_HEAD                                                                                        \
    "CREATE OR REPLACE FUNCTION crossfade.refuse_write() RETURNS trigger LANGUAGE plpgsql"                   \
    " SET search_path = pg_catalog AS $body$ BEGIN "
#define FUNCTION_TAIL " END $body$"

static const char pass_function_sql[] = FUNCTION_HEAD "RETURN NULL;" FUNCTION_TAIL;

static const char refuse_function_sql[] =
    FUNCTION_HEAD "RAISE EXCEPTION 'database % is closed to writes: it has moved or is moving to another "
                  "server', current_database()"
                  " USING ERRCODE = 'read_only_sql_transaction', HINT = 'Connect to the new primary "
                  "database.';" FUNCTION_TAIL;

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

/* Ends the sessions that stand between us and the locks. Walsenders and other Crossfade sessions are left
 * alone. */
static bool end_blockers(struct cutover *co, const char *our_pid, struct err *err)
{
    const char *params[] = {our_pid};
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(
            co->watch,
            "SELECT a.pid, a.usename, coalesce(a.application_name, ''), "
            "pg_catalog.pg_terminate_backend(a.pid)"
            " FROM pg_catalog.pg_stat_activity a WHERE a.pid = ANY (pg_catalog.pg_blocking_pids($1::int))"
            " AND a.backend_type = 'client backend' AND a.application_name NOT LIKE 'crossfade %'",
            1, params, &res, err))
        return err_wrap(err, "stragglers cannot be ended (pg_signal_backend is needed)");
    for (int i = 0; i < pg_rows(res); i++) {
        cutover_say(co, "ended straggler pid=%s role=%s application=%s", pg_cell(res, i, 0),
                    pg_cell(res, i, 1), pg_cell(res, i, 2));
        size_t used = strlen(co->report->stragglers);
        (void)snprintf(co->report->stragglers + used, sizeof co->report->stragglers - used, "%s%s",
                       used > 0 ? "," : "", pg_cell(res, i, 0));
    }
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

/* Waits for the statement that was sent; ends stragglers after grace_ms; takes it back after timeout_ms. */
static bool await_locks(struct cutover *co, const char *our_pid, int64_t grace_ms, int64_t timeout_ms,
                        struct err *err)
{
    int64_t start_us = clock_mono_us();
    int64_t next_end_us = start_us + grace_ms * 1000;
    for (;;) {
        PG_RESULT_AUTO res = NULL;
        enum pg_poll got = pg_poll_result(co->source, &res, err);
        if (got != PG_POLL_WAIT)
            return got == PG_POLL_READY;
        int64_t now_us = clock_mono_us();
        bool stop = co->talk->stop_asked(co->talk->ctx);
        if (stop || now_us - start_us > timeout_ms * 1000) {
            pg_cancel(co->source);
            while ((got = pg_poll_result(co->source, &res, NULL)) == PG_POLL_WAIT)
                (void)poll(&(struct pollfd){.fd = pg_socket(co->source), .events = POLLIN}, 1, POLL_MS);
            if (stop)
                return err_set(err, ERR_INTERRUPTED, "stop was asked for while the source was being closed");
            return prepared_blocker(co, err) &&
                   err_set(err, ERR_TIMEOUT, "locks on the source were not granted within %" PRId64 " ms",
                           timeout_ms);
        }
        if (now_us >= next_end_us) {
            if (!end_blockers(co, our_pid, err))
                return false;
            next_end_us = now_us + 200000;
        }
        (void)poll(&(struct pollfd){.fd = pg_socket(co->source), .events = POLLIN}, 1, POLL_MS);
    }
}

/* Sends one statement that needs a table's lock, alone in its transaction, and waits for it; ends stragglers.
 */
static bool locked_statement(struct cutover *co, const char *sql, int64_t grace_ms, int64_t timeout_ms,
                             struct err *err)
{
    char *our_pid CLEANUP(free_ptr) = NULL;
    return pg_query_text(co->source, "SELECT pg_catalog.pg_backend_pid()::text", 0, NULL, &our_pid, err) &&
           pg_send(co->source, sql, 0, NULL, err) && await_locks(co, our_pid, grace_ms, timeout_ms, err);
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

/* Writers wait behind us while we wait for those before us: short tries, so that nobody waits for long. */
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
    int64_t deadline_us = clock_mono_us() + config_int(co->cfg, "cutover.freeze_timeout_ms") * 1000;
    ok = strbuf_ok(&sql, "trigger", err);
    for (unsigned attempt = 0; ok; attempt++) {
        struct err now = ERR_INIT;
        if (locked_statement(co, sql.data, INT64_MAX / 2000, ARM_TRY_MS, &now))
            break;
        if (now.code != ERR_TIMEOUT || clock_mono_us() > deadline_us) {
            *err = now;
            ok = err_wrap(err, "table=%s.%s", pg_cell(tables, row, 0), pg_cell(tables, row, 1));
        } else {
            (void)poll(NULL, 0, (int)(clock_backoff_us(attempt, 50, 2000) / 1000));
        }
    }
    strbuf_release(&sql);
    return ok;
}

bool freeze_arm(struct cutover *co, struct err *err)
{
    PG_RESULT_AUTO tables = NULL;
    if (!frozen_tables(co, &tables, err) || !pg_exec(co->source, pass_function_sql, err))
        return false;
    for (int i = 0; i < pg_rows(tables); i++) {
        if (!failpoint("cutover.arm_table", err) || !arm_table(co, tables, i, err))
            return err_wrap(err, "the source cannot be prepared for its freeze");
    }
    return true;
}

static bool barrier(struct cutover *co, const struct pg_result *tables, int row, int64_t grace_ms,
                    struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql, "DO $lock$ BEGIN LOCK TABLE ONLY ");
    pg_quote_table(&sql, pg_cell(tables, row, 0), pg_cell(tables, row, 1));
    strbuf_adds(&sql, " IN SHARE MODE; END $lock$");
    bool ok = strbuf_ok(&sql, "LOCK statement", err) &&
              locked_statement(co, sql.data, grace_ms, config_int(co->cfg, "cutover.freeze_timeout_ms"), err);
    strbuf_release(&sql);
    return ok ? true : err_wrap(err, "table=%s.%s", pg_cell(tables, row, 0), pg_cell(tables, row, 1));
}

bool freeze_source(struct cutover *co, struct err *err)
{
    int64_t grace_us = config_int(co->cfg, "cutover.straggler_grace_ms") * 1000;
    PG_RESULT_AUTO tables = NULL;
    if (!frozen_tables(co, &tables, err))
        return false;
    if (co->pause_began_wall_us == 0) {
        co->pause_started_us = clock_mono_us();
        co->pause_began_wall_us = clock_wall_us();
    }
    int64_t begin_us = clock_mono_us();
    if (!pg_exec(co->source, refuse_function_sql, err) || !failpoint("cutover.refusing", err))
        return err_wrap(err, "the source cannot be closed to writers");
    for (int i = 0; i < pg_rows(tables); i++) {
        int64_t left_us = begin_us + grace_us - clock_mono_us(); /* the grace is for all tables together */
        if (!barrier(co, tables, i, MAX_OF(left_us, 0) / 1000, err))
            return err_wrap(err, "writers of the source do not end");
    }
    return true;
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
        return err_set(err, ERR_BUG, "table=%s.%s still takes writes after the freeze", schema, table);
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

/* Triggers that let everything pass do no harm; those that cannot be dropped now are left and told of. */
static bool drop_triggers(struct cutover *co, const struct pg_result *tables, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    int left = 0;
    bool ok = true;
    for (int i = 0; ok && i < pg_rows(tables); i++) {
        struct err now = ERR_INIT;
        strbuf_clear(&sql);
        strbuf_adds(&sql, "DROP TRIGGER IF EXISTS " FREEZE_TRIGGER " ON ");
        pg_quote_table(&sql, pg_cell(tables, i, 0), pg_cell(tables, i, 1));
        ok = strbuf_ok(&sql, "trigger", err);
        if (ok && !locked_statement(co, sql.data, INT64_MAX / 2000, ARM_TRY_MS, &now)) {
            left++;
            if (now.code != ERR_TIMEOUT) {
                *err = now;
                ok = false;
            }
        }
    }
    if (left > 0)
        cutover_say(co,
                    "%d triggers " FREEZE_TRIGGER
                    " could not be dropped without waiting; they let everything pass",
                    left);
    strbuf_release(&sql);
    return ok;
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
