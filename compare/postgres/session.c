/* Owns: a comparison's sessions on PostgreSQL. See session.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "borrowed.h"
#include "core/alloc.h"
#include "pg/conn.h"
#include "pg/pipeline.h"
#include "postgres.h"
#include "session_impl.h"

#define REPEATED_MOST 16
#define VALUE_MOST    ((int64_t)1 << 30) /* a value's bytes */

/* A statement that comes again, as that of a table's chunks does: from the second time on only its parameters travel. */
struct repeated {
    char *sql;
    bool prepared; /* as "crossfade_<place>" */
};

struct postgres_session {
    struct session base;
    struct pg_conn *conn;
    struct repeated repeated[REPEATED_MOST];
    size_t next; /* place of the oldest */
};

/*
 * Beyond what pg_open sets. row_security off: a policy that would hide rows is an error, not a smaller table.
 * One process per connection: our workers share the load, and rows of a sub-select keep their order.
 * idle_session_timeout: who holds the pipeline's lock, and who keeps proofs, may have nothing to say for hours.
 * lock_timeout: a table under ALTER TABLE must not hold up everything. Prepared statements are planned for their parameters each time:
 * a plan for any range would read more than the range at hand.
 */
static const char settings[] =
    "SET search_path = 'pg_catalog'; SET row_security = off; SET statement_timeout = 0; SET lock_timeout = "
    "'20s';"
    "SET idle_in_transaction_session_timeout = 0; SET idle_session_timeout = 0; SET "
    "max_parallel_workers_per_gather = 0; SET jit = off;"
    "SET enable_seqscan = off; SET work_mem = '32MB'; SET lc_monetary = 'C'; SET client_min_messages = "
    "warning;"
    "SET plan_cache_mode = force_custom_plan;"
    "SET xmloption = content; SET array_nulls = on; SET default_transaction_read_only = off";

struct pg_conn *session_postgres_conn(const struct session *s)
{
    return ((const struct postgres_session *)s)->conn;
}

static void postgres_close(struct session *s)
{
    struct postgres_session *ps = (struct postgres_session *)s;
    for (size_t i = 0; i < REPEATED_MOST; i++)
        free(ps->repeated[i].sql);
    pg_close(ps->conn);
    free(s->server);
    free(s->database);
    free(s);
}

static bool postgres_open(const char *url, const char *application, struct session **ret, struct err *err)
{
    struct pg_conn *conn = NULL;
    if (!pg_open(url, &(struct pg_options){.application_name = application}, &conn, err))
        return false;
    if (!pg_exec(conn, settings, err)) {
        pg_close(conn);
        return err_wrap(err, "settings");
    }
    struct postgres_session *ps = xcalloc(1, sizeof *ps);
    int version = pg_server_version(conn);
    ps->conn = conn;
    ps->base = (struct session){
        .ops = &session_postgres,
        .dialect = DIALECT_POSTGRES,
        .fd = pg_socket(conn),
        .version = version,
        .hashes_most = VALUE_MOST / HASH_BYTES,
        .database = xstrdup(pg_database(conn)),
        .server =
            xasprintf("PostgreSQL %d.%d, database %s", version / 10000, version % 10000, pg_database(conn)),
        .limit_head = "SET statement_timeout = '",
        .limit_tail = "s'",
    };
    *ret = &ps->base;
    return true;
}

static bool postgres_begin(struct session *s, const char *snapshot, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(256);
    strbuf_adds(&sql, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    if (snapshot != NULL) {
        strbuf_adds(&sql, "; SET TRANSACTION SNAPSHOT ");
        pg_quote_literal(&sql, snapshot);
    }
    bool ok = strbuf_ok(&sql, "statement", err) && pg_exec(session_postgres_conn(s), sql.data, err);
    strbuf_release(&sql);
    return ok;
}

static bool postgres_exec(struct session *s, const char *sql, struct err *err)
{
    return pg_exec(session_postgres_conn(s), sql, err);
}

static size_t place_of(const struct postgres_session *ps, const char *sql)
{
    size_t i = 0;
    while (i < REPEATED_MOST && (ps->repeated[i].sql == NULL || strcmp(ps->repeated[i].sql, sql) != 0))
        i++;
    return i;
}

/* In the place of the oldest, whose prepared statement goes. */
static bool note_statement(struct postgres_session *ps, const char *sql, struct err *err)
{
    struct repeated *oldest = &ps->repeated[ps->next];
    if (oldest->prepared && !pg_execf(ps->conn, err, "DEALLOCATE crossfade_%zu", ps->next))
        return false;
    free(oldest->sql);
    *oldest = (struct repeated){.sql = xstrdup(sql)};
    ps->next = (ps->next + 1) % REPEATED_MOST;
    return true;
}

static bool postgres_send(struct session *s, const struct statement *st, struct err *err)
{
    struct postgres_session *ps = (struct postgres_session *)s;
    char name[32];
    size_t place = st->param_count > 0 ? place_of(ps, st->sql.data) : REPEATED_MOST;
    if (place == REPEATED_MOST)
        return (st->param_count == 0 || note_statement(ps, st->sql.data, err)) &&
               pg_send(ps->conn, st->sql.data, st->param_count, st->params, err);
    (void)snprintf(name, sizeof name, "crossfade_%zu", place);
    if (!ps->repeated[place].prepared && !pg_prepare(ps->conn, name, st->sql.data, err))
        return false;
    ps->repeated[place].prepared = true;
    return pg_send_prepared(ps->conn, name, st->sql.data, st->param_count, st->params, err);
}

static void free_result(void *owner)
{
    pg_result_free(owner);
}

static enum column_kind kind_of(uint32_t type)
{
    switch (type) {
    case 16:
        return COLUMN_BOOL;
    case 17: /* bytea */
        return COLUMN_BYTES;
    case 18:   /* "char" */
    case 19:   /* name */
    case 25:   /* text */
    case 705:  /* a literal */
    case 1043: /* varchar */
    case 2950: /* uuid */
        return COLUMN_TEXT;
    case 1042: /* char(n) */
        return COLUMN_CHAR;
    case 20: /* bigint, smallint, integer, oid, numeric */
    case 21:
    case 23:
    case 26:
    case 1700:
        return COLUMN_NUMBER;
    case 700:
        return COLUMN_SINGLE;
    case 701:
        return COLUMN_FLOAT;
    case 1082: /* date, time, timestamp, timestamptz, timetz */
    case 1083:
    case 1114:
    case 1184:
    case 1266:
        return COLUMN_TIME;
    default:
        return COLUMN_OTHER;
    }
}

struct rowset *rowset_of_pg(struct pg_result *res)
{
    struct rowset *rs = rowset_new(pg_rows(res), pg_columns(res), res, free_result);
    struct rowset_cell *cell = rs->cells;
    for (int i = 0; i < rs->columns; i++)
        rs->names[i] = xstrdup(pg_column_name(res, i));
    for (int i = 0; i < rs->columns; i++)
        rs->kinds[i] = kind_of(pg_column_type(res, i));
    for (int row = 0; row < rs->rows; row++) {
        for (int i = 0; i < rs->columns; i++, cell++) {
            if (!pg_is_null(res, row, i))
                *cell = (struct rowset_cell){pg_cell(res, row, i), pg_cell_len(res, row, i)};
        }
    }
    return rs;
}

static enum session_poll postgres_poll(struct session *s, struct rowset **ret, struct err *err)
{
    struct pg_result *res = NULL;
    switch (pg_poll_result(session_postgres_conn(s), &res, err)) {
    case PG_POLL_WAIT:
        return SESSION_WAIT;
    case PG_POLL_READY:
        *ret = rowset_of_pg(res);
        return SESSION_READY;
    case PG_POLL_ERROR:
        break;
    }
    return SESSION_ERROR;
}

static void postgres_cancel(struct session *s)
{
    pg_cancel(session_postgres_conn(s));
}

static bool postgres_scan_whole(struct session *s, bool whole, struct err *err)
{
    return pg_exec(session_postgres_conn(s),
                   whole ? "SET LOCAL enable_seqscan = on" : "SET LOCAL enable_seqscan = off", err);
}

const struct session_ops session_postgres = {
    .open = postgres_open,
    .close = postgres_close,
    .begin = postgres_begin,
    .exec = postgres_exec,
    .send = postgres_send,
    .poll = postgres_poll,
    .cancel = postgres_cancel,
    .scan_whole = postgres_scan_whole,
};
