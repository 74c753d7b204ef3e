/*
 * Prepared statements with binary parameters, and pipelines of them: many statements in one round trip.
 * Between pg_pipeline_begin and pg_pipeline_end only pg_pipeline_* may be called on the connection. A
 * pipeline does not make a transaction; put BEGIN and COMMIT into it, or run it inside one.
 * @thread: the connection's owner
 */
#ifndef PG_PIPELINE_H
#define PG_PIPELINE_H

#include "pg/conn.h"

struct pg_params {
    int count;
    const char *const *values; /* NULL = null */
    const int *lengths;        /* bytes; looked at for binary ones only */
    const int *formats;        /* 0 text (NUL-terminated), 1 binary */
};

/* Parameter types are the server's to find out. The statement lives as long as the connection. */
bool pg_prepare(struct pg_conn *conn, const char *name, const char *sql, struct err *err) MUST_CHECK;

/* Sends it with text parameters; the result comes by pg_poll_result. sql: its text, for messages. Not inside a pipeline. */
bool pg_send_prepared(struct pg_conn *conn, const char *name, const char *sql, int param_count,
                      const char *const *params, struct err *err) MUST_CHECK;

/* Queues its preparation, which pg_pipeline_exec may follow at once. Who prepared a statement in a pipeline that failed does not know whether it is
 * there. */
bool pg_pipeline_prepare(struct pg_conn *conn, const char *name, const char *sql, struct err *err) MUST_CHECK;
bool pg_pipeline_begin(struct pg_conn *conn, struct err *err) MUST_CHECK;
bool pg_pipeline_active(const struct pg_conn *conn);
/* Queues a prepared statement; results come with pg_pipeline_sync. */
bool pg_pipeline_exec(struct pg_conn *conn, const char *name, const struct pg_params *params,
                      struct err *err) MUST_CHECK;
/* Queues one statement with text parameters. */
bool pg_pipeline_query(struct pg_conn *conn, const char *sql, int param_count, const char *const *params,
                       struct err *err) MUST_CHECK;
/* Statements queued since the last sync. */
size_t pg_pipeline_queued(const struct pg_conn *conn);
/*
 * Ends the round trip: sends what is queued and reads all results. each (may be NULL) sees every result in
 * order, index counting from 0 since the last sync; false from it (with *err) is remembered as the failure,
 * reading goes on. On failure *ret_failed (may be NULL) is the index of the first statement that failed,
 * SIZE_MAX if none did (broken connection). The pipeline stays active and can be used again unless the
 * connection is broken.
 */
typedef bool pg_each_result(void *ctx, size_t index, const struct pg_result *res, struct err *err);
bool pg_pipeline_sync(struct pg_conn *conn, pg_each_result *each, void *ctx, size_t *ret_failed,
                      struct err *err) MUST_CHECK;
/* Leaves pipeline mode; everything must be synced. */
bool pg_pipeline_end(struct pg_conn *conn, struct err *err) MUST_CHECK;

#endif
