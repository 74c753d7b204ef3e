/* Owns: COPY over a connection. See conn.h. */
#include <stdlib.h>

#include "conn_internal.h"

static bool copy_begin(struct pg_conn *conn, const char *sql, ExecStatusType expected, struct err *err)
{
    char head[72];
    PGresult *res = pg_wait_exec(conn->pq, sql);
    bool ok = PQresultStatus(res) == expected;
    if (!ok)
        pg_fail(conn, res, pg_sql_head(sql, head), err);
    PQclear(res);
    return ok;
}

/* Reads what follows a COPY up to the idle state; false if the server refused it. */
static bool copy_finish(struct pg_conn *conn, int64_t *ret_rows, struct err *err)
{
    bool ok = true;
    for (PGresult *res; (res = pg_wait_result(conn->pq)) != NULL; PQclear(res)) {
        if (PQresultStatus(res) != PGRES_COMMAND_OK) {
            if (ok)
                pg_fail(conn, res, "COPY", err);
            ok = false;
        } else if (ret_rows != NULL) {
            *ret_rows = strtoll(PQcmdTuples(res), NULL, 10);
        }
        if (PQstatus(conn->pq) == CONNECTION_BAD)
            return PQclear(res), ok ? pg_fail(conn, NULL, "COPY", err) : false;
    }
    return ok;
}

bool pg_copy_in_begin(struct pg_conn *conn, const char *sql, struct err *err)
{
    return copy_begin(conn, sql, PGRES_COPY_IN, err);
}

bool pg_copy_in_put(struct pg_conn *conn, const void *bytes, size_t len, struct err *err)
{
    while (len > 0) {
        int part = len > (1 << 20) ? 1 << 20 : (int)len;
        alive_wait_begin();
        int rc = PQputCopyData(conn->pq, bytes, part);
        alive_wait_end();
        if (rc != 1)
            return pg_fail(conn, NULL, "COPY data", err);
        bytes = (const char *)bytes + part;
        len -= (size_t)part;
    }
    return true;
}

bool pg_copy_in_end(struct pg_conn *conn, int64_t *ret_rows, struct err *err)
{
    if (PQputCopyEnd(conn->pq, NULL) != 1)
        return pg_fail(conn, NULL, "end of COPY", err);
    return copy_finish(conn, ret_rows, err);
}

void pg_copy_in_abort(struct pg_conn *conn, const char *reason)
{
    if (PQputCopyEnd(conn->pq, reason) == 1)
        (void)copy_finish(conn, NULL, NULL);
}

bool pg_copy_out_begin(struct pg_conn *conn, const char *sql, struct err *err)
{
    return copy_begin(conn, sql, PGRES_COPY_OUT, err);
}

bool pg_copy_out_get(struct pg_conn *conn, const char **ret_bytes, size_t *ret_len, struct err *err)
{
    PQfreemem(conn->copy_row);
    conn->copy_row = NULL;
    alive_wait_begin();
    int n = PQgetCopyData(conn->pq, &conn->copy_row, 0);
    alive_wait_end();
    if (n == -2)
        return pg_fail(conn, NULL, "COPY data", err);
    if (n == -1) {
        if (!copy_finish(conn, NULL, err))
            return false;
        n = 0;
    }
    *ret_bytes = conn->copy_row;
    *ret_len = (size_t)n;
    return true;
}
