/* Owns: talking to PgBouncer's console with deadlines. See console.h. */
#include "cutover/poolers/console.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"

#define STATEMENT_BYTES_MAX 4096

/* libpq's words for what connect(2) says; there is no code for it. */
static bool nobody_listens(const char *text)
{
    return strstr(text, "Connection refused") != NULL || strstr(text, "No such file or directory") != NULL;
}

bool console_open(const char *url, int64_t timeout_ms, struct pg_conn **ret, bool *ret_gone, struct err *err)
{
    struct pg_options options = {.application_name = "crossfade cutover",
                                 .console = true,
                                 .connect_timeout_s = (int)((timeout_ms + 999) / 1000)};
    struct err failed = ERR_INIT;
    if (pg_open(url, &options, ret, &failed))
        return true;
    if (ret_gone != NULL)
        *ret_gone = nobody_listens(failed.text);
    if (err != NULL)
        *err = failed;
    return false;
}

static bool await(struct pg_conn *conn, int64_t deadline_us, struct pg_result **ret, struct err *err)
{
    for (;;) {
        enum pg_poll got = pg_poll_result(conn, ret, err);
        if (got != PG_POLL_WAIT)
            return got == PG_POLL_READY;
        int64_t left_us = deadline_us - clock_mono_us();
        if (left_us <= 0)
            return err_set(err, ERR_TIMEOUT, "no answer in time");
        struct pollfd fd = {.fd = pg_socket(conn), .events = POLLIN};
        (void)poll(&fd, 1, (int)(left_us / 1000) + 1);
    }
}

bool console_query(struct pg_conn *conn, const char *sql, int64_t deadline_us, struct pg_result **ret,
                   struct err *err)
{
    return pg_send(conn, sql, 0, NULL, err) &&
           (await(conn, deadline_us, ret, err) || err_wrap(err, "%s", sql));
}

bool console_send(struct pg_conn *conn, const char *verb, const char *database, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STATEMENT_BYTES_MAX);
    strbuf_addf(&sql, "%s ", verb);
    pg_quote_ident(&sql, database);
    bool ok = strbuf_ok(&sql, "statement", err) && pg_send(conn, sql.data, 0, NULL, err);
    strbuf_release(&sql);
    return ok;
}

bool console_run(struct pg_conn *conn, const char *verb, const char *database, int64_t deadline_us,
                 struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    return console_send(conn, verb, database, err) &&
           (await(conn, deadline_us, &res, err) || err_wrap(err, "%s", verb));
}

const char *console_cell(const struct pg_result *res, int row, const char *column)
{
    for (int i = 0; i < pg_columns(res); i++) {
        if (strcmp(pg_column_name(res, i), column) == 0)
            return pg_cell(res, row, i);
    }
    return "";
}

bool console_waiting(struct pg_conn *conn, const char *database, int64_t deadline_us,
                     struct console_waiting *ret, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    *ret = (struct console_waiting){.clients = 0};
    if (!console_query(conn, "SHOW POOLS", deadline_us, &res, err))
        return false;
    for (int i = 0; i < pg_rows(res); i++) {
        if (strcmp(console_cell(res, i, "database"), database) != 0)
            continue;
        int64_t waited_us = strtoll(console_cell(res, i, "maxwait"), NULL, 10) * 1000000 +
                            strtoll(console_cell(res, i, "maxwait_us"), NULL, 10);
        ret->clients += strtoll(console_cell(res, i, "cl_waiting"), NULL, 10);
        ret->longest_us = MAX_OF(ret->longest_us, waited_us);
    }
    return true;
}

bool console_database(struct pg_conn *conn, const char *name, int64_t deadline_us,
                      struct console_database *ret, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (!console_query(conn, "SHOW DATABASES", deadline_us, &res, err))
        return false;
    *ret = (struct console_database){.found = false};
    for (int i = 0; i < pg_rows(res); i++) {
        if (strcmp(console_cell(res, i, "name"), name) != 0)
            continue;
        ret->found = true;
        ret->paused = atoi(console_cell(res, i, "paused")) != 0;
        ret->disabled = atoi(console_cell(res, i, "disabled")) != 0;
        (void)snprintf(ret->host, sizeof ret->host, "%s", console_cell(res, i, "host"));
        (void)snprintf(ret->port, sizeof ret->port, "%s", console_cell(res, i, "port"));
        (void)snprintf(ret->database, sizeof ret->database, "%s", console_cell(res, i, "database"));
        (void)snprintf(ret->pool_mode, sizeof ret->pool_mode, "%s", console_cell(res, i, "pool_mode"));
    }
    return true;
}
