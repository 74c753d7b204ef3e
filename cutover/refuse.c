/*
 * Owns the function crossfade.refuse_write_<pipeline>() on the source: its texts, and that each is put up only while the decision row
 * says what it has to say.
 *
 * It raises for everybody but sessions of ours in replica role (the way back). What it does when a cutover dies behind it: it has an
 * end, that of the pause budget by the source's own clock, and from then on it lets pass whoever finds the decision not switched. Each
 * such transaction holds a share of the decision row's key until it ends, and the row cannot be switched meanwhile, nor behind the end
 * (decision_switch()): so either a writer comes first, then the source serves, or the decision does, then it stays closed. Nobody has
 * to come for that, and it depends on no clock but one.
 *
 * An abort does not wait for such writers: it changes no key.
 */
#include "refuse.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/alloc.h"
#include "deadline.h"

/* EXECUTE is asked for when a trigger is made, not when it fires; SECURITY DEFINER: applications may not see the decision row. */
#define FUNCTION_TAIL " END $body$"

static const char raise_sql[] =
    "RAISE EXCEPTION 'database % is closed to writes: it has moved or is moving to another server', "
    "current_database()"
    " USING ERRCODE = 'read_only_sql_transaction', HINT = 'Connect to the new primary database.';";

/* Not a cutover's own: it probes as an application, should its role be set to replica, too. */
static const char ours_pass_sql[] =
    "IF current_setting('session_replication_role') = 'replica' AND current_setting('application_name')"
    " ~ '^crossfade (?!cutover)' THEN RETURN NULL; END IF; ";

void refuse_add_name(struct strbuf *out, const char *pipeline)
{
    char *name CLEANUP(free_ptr) = xasprintf("refuse_write_%s", pipeline);
    pg_quote_table(out, "crossfade", name);
}

static void begin_function(const char *pipeline, struct strbuf *sql)
{
    strbuf_adds(sql, "CREATE OR REPLACE FUNCTION ");
    refuse_add_name(sql, pipeline);
    strbuf_adds(sql, "() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS"
                     " $body$ BEGIN ");
}

/* The row stays locked until the function stands, so that whoever changes it comes before this or behind it, never between. */
static bool decision_is(struct cutover *co, const char *state, struct err *err)
{
    const char *params[] = {co->pipeline, co->id, state};
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(co->source,
                  "SELECT 1 FROM crossfade.decision WHERE pipeline = $1 AND cutover_id = $2 AND state = $3"
                  " FOR SHARE",
                  3, params, &res, err))
        return err_wrap(err, "the decision row on the source cannot be read");
    return pg_rows(res) == 1 || err_set(err, ERR_FENCED, "the decision is not %s any more", state);
}

static bool replace_if(struct cutover *co, const char *state, struct strbuf *sql, struct err *err)
{
    struct err ignored =
        ERR_INIT; /* the first one counts; a broken session is replaced before it is used again */
    bool ok = strbuf_ok(sql, "function", err) &&
              pg_exec(co->source, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", err) &&
              decision_is(co, state, err) && pg_exec(co->source, sql->data, err) &&
              pg_exec(co->source, "COMMIT", err);
    if (!ok && pg_in_transaction(co->source))
        (void)!pg_exec(co->source, "ROLLBACK", &ignored);
    return ok;
}

static void add_passing(const char *pipeline, struct strbuf *sql)
{
    begin_function(pipeline, sql);
    strbuf_adds(sql, "RETURN NULL;" FUNCTION_TAIL);
}

static bool pass_if(struct cutover *co, const char *state, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    add_passing(co->pipeline, &sql);
    bool ok = replace_if(co, state, &sql, err);
    strbuf_release(&sql);
    return ok;
}

bool refuse_pass_on(struct pg_conn *conn, const char *pipeline, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    add_passing(pipeline, &sql);
    bool ok = strbuf_ok(&sql, "function", err) && pg_exec(conn, sql.data, err);
    strbuf_release(&sql);
    return ok;
}

bool refuse_triggers(struct pg_conn *conn, const char *pipeline, struct pg_result **ret, struct err *err)
{
    struct strbuf name = STRBUF_INIT(STRBUF_SQL_MAX);
    refuse_add_name(&name, pipeline);
    const char *params[] = {FREEZE_TRIGGER, name.data};
    bool ok = strbuf_ok(&name, "name", err) &&
              pg_query(conn,
                       "SELECT n.nspname, c.relname FROM pg_catalog.pg_trigger g"
                       " JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid"
                       " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
                       " WHERE g.tgname = $1 AND g.tgfoid = pg_catalog.to_regproc($2)::oid ORDER BY 1, 2",
                       2, params, ret, err);
    strbuf_release(&name);
    return ok;
}

bool refuse_nobody(struct cutover *co, struct err *err)
{
    return pass_if(co, "open", err);
}

bool refuse_no_more(struct cutover *co, struct err *err)
{
    return pass_if(co, "aborted", err);
}

/* Seconds since the epoch by the source's clock, so that neither time zones nor the clock of this machine play a part. */
static bool lease_end(struct cutover *co, struct err *err)
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
    (void)snprintf(co->closed_until, sizeof co->closed_until, "%.39s", text);
    return true;
}

bool refuse_for_now(struct cutover *co, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    if (!lease_end(co, err))
        return false;
    begin_function(co->pipeline, &sql);
    strbuf_adds(&sql, ours_pass_sql);
    strbuf_addf(&sql, "IF extract(epoch FROM clock_timestamp()) < %s THEN %s END IF; ", co->closed_until,
                raise_sql);
    strbuf_adds(&sql, "PERFORM FROM crossfade.decision WHERE pipeline = ");
    pg_quote_literal(&sql, co->pipeline);
    strbuf_addf(
        &sql,
        " AND state <> 'switched' FOR KEY SHARE; IF NOT FOUND THEN %s END IF; RETURN NULL;" FUNCTION_TAIL,
        raise_sql);
    bool ok = replace_if(co, "open", &sql, err);
    strbuf_release(&sql);
    return ok;
}

bool refuse_for_good(struct cutover *co, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    begin_function(co->pipeline, &sql);
    strbuf_adds(&sql, ours_pass_sql);
    strbuf_adds(&sql, raise_sql);
    strbuf_adds(&sql, FUNCTION_TAIL);
    bool ok = strbuf_ok(&sql, "function", err) && pg_exec(co->source, sql.data, err);
    strbuf_release(&sql);
    return ok;
}
