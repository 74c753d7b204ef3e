/* What the other files of lib/pg see of a connection. */
#ifndef PG_CONN_INTERNAL_H
#define PG_CONN_INTERNAL_H

#include <libpq-fe.h>
#include <stdio.h>
#include <string.h>

#include "core/alive.h"
#include "core/line_socket.h"
#include "pg/conn.h"

struct pg_conn {
    PGconn *pq;
    PGcancel *cancel;
    struct line_socket socket; /* as it was opened */
    char *copy_row;            /* buffer that PQgetCopyData gave last */
    bool console;              /* takes the simple protocol only */
    size_t queued;             /* statements in the pipeline since the last sync */
    char sent[72];             /* the head of the statement that was sent last, for messages */
};

struct pg_result {
    PGresult *pq;
};

/* The head of a statement, for messages: no values beyond it. */
static inline const char *pg_sql_head(const char *sql, char out[72])
{
    (void)snprintf(out, 72, "%.*s", (int)strnlen(sql, 68), sql);
    return out;
}

/* libpq's calls that wait for the server, as long as it takes. */
static inline PGresult *pg_wait_exec(PGconn *pq, const char *sql)
{
    alive_wait_begin();
    PGresult *res = PQexec(pq, sql);
    alive_wait_end();
    return res;
}

static inline PGresult *pg_wait_result(PGconn *pq)
{
    alive_wait_begin();
    PGresult *res = PQgetResult(pq);
    alive_wait_end();
    return res;
}

static inline PGresult *pg_wait_params(PGconn *pq, const char *sql, int count, const Oid *types,
                                       const char *const *values, const int *lens, const int *formats,
                                       int result_format)
{
    alive_wait_begin();
    PGresult *res = PQexecParams(pq, sql, count, types, values, lens, formats, result_format);
    alive_wait_end();
    return res;
}

/* Fills err from a failed result (NULL: from the connection). Always false. */
bool pg_fail(struct pg_conn *conn, const PGresult *res, const char *what, struct err *err);

#endif
