/* Owns: settings of a comparison's sessions, and running statements on both sides at once. */
#include "session.h"

#include <poll.h>
#include <stdio.h>

/*
 * Beyond what pg_open sets. row_security off: a policy that would hide rows is an error, not a smaller table.
 * One process per connection: our workers share the load, and rows of a sub-select keep their order.
 * lock_timeout: a table under ALTER TABLE must not hold up everything.
 */
static const char settings[] =
    "SET search_path = 'pg_catalog'; SET row_security = off; SET statement_timeout = 0; SET lock_timeout = "
    "'20s';"
    "SET idle_in_transaction_session_timeout = 0; SET max_parallel_workers_per_gather = 0; SET jit = off;"
    "SET enable_seqscan = off; SET work_mem = '32MB'; SET lc_monetary = 'C'; SET client_min_messages = "
    "warning;"
    "SET xmloption = content; SET array_nulls = on; SET default_transaction_read_only = off";

const char *side_name(enum side side)
{
    return side == SIDE_SOURCE ? "source" : "target";
}

bool session_open(const char *url, const char *name, const char *pipeline, struct pg_conn **ret,
                  struct err *err)
{
    char app[80];
    (void)snprintf(app, sizeof app, "crossfade compare %s", pipeline);
    struct pg_conn *conn = NULL;
    if (!pg_open(url, &(struct pg_options){.application_name = app}, &conn, err))
        return err_wrap(err, "%s", name);
    if (!pg_exec(conn, settings, err)) {
        pg_close(conn);
        return err_wrap(err, "%s: settings", name);
    }
    *ret = conn;
    return true;
}

bool session_begin(struct pg_conn *conn, const char *snapshot, struct err *err)
{
    if (!pg_exec(conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err))
        return false;
    if (snapshot == NULL)
        return true;
    struct strbuf sql = STRBUF_INIT(256);
    strbuf_adds(&sql, "SET TRANSACTION SNAPSHOT ");
    pg_quote_literal(&sql, snapshot);
    bool ok = strbuf_ok(&sql, "statement", err) && pg_exec(conn, sql.data, err);
    strbuf_release(&sql);
    return ok;
}

bool session_savepoint(struct pg_conn *conn, struct err *err)
{
    return pg_exec(conn, "SAVEPOINT crossfade", err);
}

bool session_recover(struct pg_conn *conn, struct err *err)
{
    return pg_exec(conn, "ROLLBACK TO SAVEPOINT crossfade", err);
}

void pair_results_free(struct pg_result *results[SIDE_COUNT])
{
    for (int i = 0; i < SIDE_COUNT; i++) {
        pg_result_free(results[i]);
        results[i] = NULL;
    }
}

struct flight {
    bool open[SIDE_COUNT];
    bool failed;
};

static void side_failed(struct flight *flight, enum side side, struct err *found, struct err *err)
{
    flight->open[side] = false;
    if (!flight->failed) { /* the first failure is the one to tell */
        err_wrap(found, "%s", side_name(side));
        if (err != NULL)
            *err = *found;
    }
    flight->failed = true;
}

static void collect(struct pair *pair, struct flight *flight, struct pg_result *ret[SIDE_COUNT],
                    struct err *err)
{
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        struct err found = ERR_INIT;
        if (!flight->open[side])
            continue;
        enum pg_poll poll = pg_poll_result(pair->conn[side], &ret[side], &found);
        if (poll == PG_POLL_ERROR)
            side_failed(flight, side, &found, err);
        else if (poll == PG_POLL_READY)
            flight->open[side] = false;
    }
}

static void wait_any(const struct pair *pair, const struct flight *flight)
{
    struct pollfd fds[SIDE_COUNT];
    nfds_t n = 0;
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        if (flight->open[side])
            fds[n++] = (struct pollfd){.fd = pg_socket(pair->conn[side]), .events = POLLIN};
    }
    if (n > 0)
        (void)poll(fds, n, 1000); /* a wakeup for nothing is harmless */
}

bool pair_query(struct pair *pair, const struct statement statements[SIDE_COUNT],
                struct pg_result *ret[SIDE_COUNT], struct err *err)
{
    struct flight flight = {0};
    struct pg_result *results[SIDE_COUNT] = {NULL};
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        const struct statement *st = &statements[side];
        struct err found = ERR_INIT;
        flight.open[side] = strbuf_ok(&st->sql, "statement", &found) &&
                            pg_send(pair->conn[side], st->sql.data, st->param_count, st->params, &found);
        if (!flight.open[side])
            side_failed(&flight, side, &found, err);
    }
    for (;;) {
        collect(pair, &flight, results, err);
        if (!flight.open[SIDE_SOURCE] && !flight.open[SIDE_TARGET])
            break;
        wait_any(pair, &flight);
    }
    if (flight.failed) {
        pair_results_free(results);
        for (int i = 0; i < SIDE_COUNT; i++)
            (void)!session_recover(pair->conn[i],
                                   NULL); /* a broken connection shows with the next statement */
        return false;
    }
    ret[SIDE_SOURCE] = results[SIDE_SOURCE];
    ret[SIDE_TARGET] = results[SIDE_TARGET];
    return true;
}

bool pair_exec(struct pair *pair, const char *sql, struct err *err)
{
    return pg_exec(pair->conn[SIDE_SOURCE], sql, err) && pg_exec(pair->conn[SIDE_TARGET], sql, err);
}

void pair_close(struct pair *pair)
{
    for (int i = 0; i < SIDE_COUNT; i++) {
        pg_close(pair->conn[i]);
        pair->conn[i] = NULL;
    }
}
