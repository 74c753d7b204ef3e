/* Owns: prepared statements and pipeline mode of a connection. See pipeline.h.
 *
 * libpq in blocking mode reads while it waits for room to write (pqSendSome), so a long queue cannot deadlock
 * with a server that waits for us to read. Results of a pipeline: for each statement its result, then NULL;
 * the sync point is a result of its own (libpq documentation, "Pipeline Mode"). */
#include "pg/pipeline.h"

#include <stdint.h>

#include "conn_internal.h"

bool pg_prepare(struct pg_conn *conn, const char *name, const char *sql, struct err *err)
{
    PGresult *res = PQprepare(conn->pq, name, sql, 0, NULL);
    bool ok = PQresultStatus(res) == PGRES_COMMAND_OK;
    if (!ok)
        pg_fail(conn, res, "prepare", err);
    PQclear(res);
    return ok;
}

bool pg_send_prepared(struct pg_conn *conn, const char *name, const char *sql, int param_count,
                      const char *const *params, struct err *err)
{
    (void)pg_sql_head(sql, conn->sent);
    return PQsendQueryPrepared(conn->pq, name, param_count, params, NULL, NULL, 0) == 1 ||
           pg_fail(conn, NULL, conn->sent, err);
}

bool pg_pipeline_begin(struct pg_conn *conn, struct err *err)
{
    if (PQenterPipelineMode(conn->pq) != 1)
        return pg_fail(conn, NULL, "pipeline", err);
    conn->queued = 0;
    return true;
}

bool pg_pipeline_active(const struct pg_conn *conn)
{
    return PQpipelineStatus(conn->pq) != PQ_PIPELINE_OFF;
}

bool pg_pipeline_prepare(struct pg_conn *conn, const char *name, const char *sql, struct err *err)
{
    if (PQsendPrepare(conn->pq, name, sql, 0, NULL) != 1)
        return pg_fail(conn, NULL, "pipelined preparation", err);
    conn->queued++;
    return true;
}

bool pg_pipeline_exec(struct pg_conn *conn, const char *name, const struct pg_params *params, struct err *err)
{
    if (PQsendQueryPrepared(conn->pq, name, params->count, params->values, params->lengths, params->formats,
                            0) != 1)
        return pg_fail(conn, NULL, "pipelined statement", err);
    conn->queued++;
    return true;
}

bool pg_pipeline_query(struct pg_conn *conn, const char *sql, int param_count, const char *const *params,
                       struct err *err)
{
    if (PQsendQueryParams(conn->pq, sql, param_count, NULL, params, NULL, NULL, 0) != 1)
        return pg_fail(conn, NULL, "pipelined statement", err);
    conn->queued++;
    return true;
}

size_t pg_pipeline_queued(const struct pg_conn *conn)
{
    return conn->queued;
}

/* True while nothing failed. The first failure is kept; what the server skipped after it is no news. */
static bool take_pipelined(struct pg_conn *conn, PGresult *pq, size_t index, pg_each_result *each, void *ctx,
                           struct err *err)
{
    ExecStatusType status = PQresultStatus(pq);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        return pg_fail(conn, pq, "pipelined statement", err);
    struct pg_result res = {.pq = pq};
    return each == NULL || each(ctx, index, &res, err);
}

bool pg_pipeline_sync(struct pg_conn *conn, pg_each_result *each, void *ctx, size_t *ret_failed,
                      struct err *err)
{
    bool ok = true;
    size_t failed = SIZE_MAX;
    if (PQpipelineSync(conn->pq) != 1)
        return pg_fail(conn, NULL, "pipeline sync", err);
    size_t index = 0;
    for (;;) {
        PGresult *pq = pg_wait_result(conn->pq);
        if (pq == NULL) { /* end of one statement's results, or the connection is gone */
            if (PQstatus(conn->pq) == CONNECTION_BAD) {
                if (ok)
                    pg_fail(conn, NULL, "pipeline", err);
                ok = false;
                break;
            }
            index++;
            continue;
        }
        if (PQresultStatus(pq) == PGRES_PIPELINE_SYNC) {
            PQclear(pq);
            break;
        }
        if (ok && !take_pipelined(conn, pq, index, each, ctx, err)) {
            ok = false;
            failed = index;
        }
        bool broken = PQstatus(conn->pq) == CONNECTION_BAD;
        PQclear(pq);
        if (broken) {
            if (ok)
                pg_fail(conn, NULL, "pipeline", err);
            ok = false;
            break;
        }
    }
    conn->queued = 0;
    if (!ok && ret_failed != NULL)
        *ret_failed = failed;
    return ok;
}

bool pg_pipeline_end(struct pg_conn *conn, struct err *err)
{
    if (PQexitPipelineMode(conn->pq) != 1)
        return pg_fail(conn, NULL, "end of pipeline", err);
    return true;
}
