/* Owns: results row by row. See stream.h. */
#include "pg/stream.h"

#include "conn_internal.h"

static void drain(struct pg_conn *conn)
{
    PGresult *res;
    while ((res = pg_wait_result(conn->pq)) != NULL)
        PQclear(res);
}

bool pg_stream(struct pg_conn *conn, const char *sql, int param_count, const char *const *params,
               pg_each_result *each, void *ctx, bool *ret_stopped, struct err *err)
{
    char head[72];
    bool ok = true, stopped = false;
    if (PQsendQueryParams(conn->pq, sql, param_count, NULL, params, NULL, NULL, 0) != 1 ||
        PQsetSingleRowMode(conn->pq) != 1)
        return pg_fail(conn, NULL, pg_sql_head(sql, head), err);
    for (PGresult *res; ok && !stopped && (res = pg_wait_result(conn->pq)) != NULL; PQclear(res)) {
        ExecStatusType status = PQresultStatus(res);
        const struct pg_result shown = {.pq = res};
        if (status == PGRES_SINGLE_TUPLE || status == PGRES_TUPLES_OK)
            stopped = !each(ctx, &shown);
        else if (status != PGRES_COMMAND_OK && status != PGRES_EMPTY_QUERY)
            ok = pg_fail(conn, res, pg_sql_head(sql, head), err);
    }
    if (stopped)
        pg_cancel(conn);
    drain(conn);
    *ret_stopped = stopped;
    return ok;
}
