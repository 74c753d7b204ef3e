/* PgBouncer's console: its admin database. Nothing waits longer than asked for. @thread owner */
#ifndef CUTOVER_POOLERS_CONSOLE_H
#define CUTOVER_POOLERS_CONSOLE_H

#include "pg/conn.h"

/* What SHOW DATABASES says of one. */
struct console_database {
    bool found, paused, disabled;
    char host[256], port[16], database[128]; /* host "" = a Unix socket */
    char pool_mode[24];                      /* "" = as pool_mode in the configuration */
};

/* *ret_gone (may be NULL), when it fails: nobody listens there: the process is not there. */
bool console_open(const char *url, int64_t timeout_ms, struct pg_conn **ret, bool *ret_gone,
                  struct err *err) MUST_CHECK;
/* ERR_TIMEOUT when the answer has not come by then (monotonic); the connection is then of no further use. */
bool console_query(struct pg_conn *conn, const char *sql, int64_t deadline_us, struct pg_result **ret,
                   struct err *err) MUST_CHECK;
/* Who waits in the pools of a database, as SHOW POOLS says. */
struct console_waiting {
    int64_t clients;
    int64_t longest_us; /* the one that has waited longest, so far */
};
bool console_waiting(struct pg_conn *conn, const char *database, int64_t deadline_us,
                     struct console_waiting *ret, struct err *err) MUST_CHECK;
/* verb "PAUSE", "RESUME": of a database. */
bool console_send(struct pg_conn *conn, const char *verb, const char *database, struct err *err) MUST_CHECK;
bool console_run(struct pg_conn *conn, const char *verb, const char *database, int64_t deadline_us,
                 struct err *err) MUST_CHECK;
bool console_database(struct pg_conn *conn, const char *name, int64_t deadline_us,
                      struct console_database *ret, struct err *err) MUST_CHECK;
/* A cell by its column's name; "" where there is no such column (older and newer versions). */
const char *console_cell(const struct pg_result *res, int row, const char *column);

#endif
