/*
 * Owns closing the source to writers, and opening it again.
 *
 * Every published table and each of its partitions gets a BEFORE STATEMENT trigger that raises. Triggers are
 * durable (a cutover that dies leaves them standing), no session setting of an application role undoes them,
 * and sessions with session_replication_role = replica (ours, on the way back) pass. CREATE TRIGGER needs a
 * SHARE ROW EXCLUSIVE lock, which conflicts with every writer's lock: once the triggers are committed, no
 * transaction that wrote to these tables is still open, prepared ones included.
 *
 * The locks are asked for with a second session watching: whoever still blocks after the grace time is a
 * straggler and is ended (pg_terminate_backend), never one of our own.
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/failpoint.h"
#include "cutover_internal.h"

#define POLL_MS 20

static const char freeze_function_sql[] =
    "CREATE OR REPLACE FUNCTION crossfade.refuse_write() RETURNS trigger LANGUAGE plpgsql"
    " SET search_path = pg_catalog AS $body$ BEGIN"
    " RAISE EXCEPTION 'database % is closed to writes: it has moved or is moving to another server', "
    "current_database()"
    " USING ERRCODE = 'read_only_sql_transaction', HINT = 'Connect to the new primary database.';"
    " END $body$";

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

static void build_lock_sql(const struct pg_result *tables, struct strbuf *sql)
{
    strbuf_adds(sql, "LOCK TABLE ");
    for (int i = 0; i < pg_rows(tables); i++) {
        strbuf_adds(sql, i > 0 ? ", ONLY " : "ONLY ");
        pg_quote_table(sql, pg_cell(tables, i, 0), pg_cell(tables, i, 1));
    }
    strbuf_adds(sql, " IN SHARE ROW EXCLUSIVE MODE");
}

static void build_trigger_sql(const struct pg_result *tables, bool create, struct strbuf *sql)
{
    for (int i = 0; i < pg_rows(tables); i++) {
        strbuf_adds(sql, "DROP TRIGGER IF EXISTS " FREEZE_TRIGGER " ON ");
        pg_quote_table(sql, pg_cell(tables, i, 0), pg_cell(tables, i, 1));
        strbuf_adds(sql, ";\n");
        if (!create)
            continue;
        strbuf_adds(sql,
                    "CREATE TRIGGER " FREEZE_TRIGGER " BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON ");
        pg_quote_table(sql, pg_cell(tables, i, 0), pg_cell(tables, i, 1));
        strbuf_adds(sql, " FOR EACH STATEMENT EXECUTE FUNCTION crossfade.refuse_write();\n");
    }
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

/* Waits for the LOCK statement that was sent; ends stragglers after grace_ms. */
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

static bool lock_and_create(struct cutover *co, const struct pg_result *tables, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    char *our_pid = NULL;
    build_lock_sql(tables, &sql);
    bool ok = strbuf_ok(&sql, "LOCK statement", err) &&
              pg_query_text(co->source, "SELECT pg_catalog.pg_backend_pid()::text", 0, NULL, &our_pid, err) &&
              pg_exec(co->source, "BEGIN", err) && pg_send(co->source, sql.data, 0, NULL, err) &&
              await_locks(co, our_pid, config_int(co->cfg, "cutover.straggler_grace_ms"),
                          config_int(co->cfg, "cutover.freeze_timeout_ms"), err);
    strbuf_clear(&sql);
    build_trigger_sql(tables, true, &sql);
    ok = ok && failpoint("cutover.locked", err) && strbuf_ok(&sql, "triggers", err) &&
         pg_exec(co->source, freeze_function_sql, err) && pg_exec(co->source, sql.data, err) &&
         pg_exec(co->source, "COMMIT", err);
    if (!ok && pg_in_transaction(co->source))
        (void)!pg_exec(co->source, "ROLLBACK", NULL); /* the first error is the one to tell */
    free(our_pid);
    strbuf_release(&sql);
    return ok;
}

bool freeze_source(struct cutover *co, struct err *err)
{
    int64_t attempts = config_int(co->cfg, "cutover.freeze_attempts");
    for (int64_t i = 1;; i++) {
        PG_RESULT_AUTO tables = NULL;
        if (!frozen_tables(co, &tables, err))
            return false;
        if (co->pause_started_us == 0) {
            co->pause_started_us = clock_mono_us();
            co->pause_began_wall_us = clock_wall_us();
        }
        struct err attempt_err = ERR_INIT;
        if (lock_and_create(co, tables, &attempt_err))
            return true;
        bool again =
            err_policy(attempt_err.code) == POLICY_RETRY && i < attempts; /* deadlock, lock timeout */
        if (!again) {
            *err = attempt_err;
            return err_wrap(err, "the source cannot be closed to writers");
        }
        cutover_say(co, "closing the source: try %" PRId64 " of %" PRId64 " failed: %s", i, attempts,
                    attempt_err.text);
        (void)poll(NULL, 0, (int)(clock_backoff_us((unsigned)i, 50, 1000) / 1000));
    }
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

bool freeze_undo(struct cutover *co, struct err *err)
{
    PG_RESULT_AUTO tables = NULL;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    if (!frozen_tables(co, &tables, err))
        return false;
    if (pg_in_transaction(co->source) && !pg_exec(co->source, "ROLLBACK", err))
        return false;
    strbuf_adds(&sql, "BEGIN;\n");
    build_trigger_sql(tables, false, &sql);
    strbuf_adds(&sql, "COMMIT");
    bool ok = strbuf_ok(&sql, "triggers", err) && pg_exec(co->source, sql.data, err);
    if (!ok && pg_in_transaction(co->source))
        (void)!pg_exec(co->source, "ROLLBACK", NULL); /* the first error is the one to tell */
    strbuf_release(&sql);
    return ok ? true : err_wrap(err, "the source cannot be opened again");
}
