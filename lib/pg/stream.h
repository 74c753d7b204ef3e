/*
 * Reading a result of any size in bounded memory: libpq's single-row mode.
 * @thread owner of the connection
 */
#ifndef PG_STREAM_H
#define PG_STREAM_H

#include "pg/conn.h"

#define PG_OID_FLOAT4 700
#define PG_OID_FLOAT8 701

/* Called with one row at a time, and a last time with none (the columns are known then too). False: no more rows are wanted. The
 * result is valid during the call. */
typedef bool pg_each_result(void *ctx, const struct pg_result *res);

/* One statement, parameters as text. When each() wants no more, the statement is cancelled and drained, *ret_stopped is set, and the
 * transaction has failed, if there was one. */
bool pg_stream(struct pg_conn *conn, const char *sql, int param_count, const char *const *params,
               pg_each_result *each, void *ctx, bool *ret_stopped, struct err *err) MUST_CHECK;

#endif
