/*
 * A connection to PostgreSQL. The only place with libpq besides the replication protocol; errors come out
 * with SQLSTATE and a class that says what to do (err_policy). URLs are libpq URIs or conninfo strings;
 * passwords come from libpq's own means (PGPASSWORD, passfile, service) or the URL, and are never logged.
 * @thread: one owner at a time; pg_cancel and pg_break from any.
 */
#ifndef PG_CONN_H
#define PG_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/strbuf.h"

struct pg_conn;
struct pg_result;

/* bare: names and operators in statements need their schema, and nobody has looked for control tables of a later version. */
struct pg_options {
    const char *application_name; /* "crossfade capture shop" */
    bool replication;             /* replication=database: walsender that also takes SQL */
    int connect_timeout_s;        /* 0 = 15 */
    bool console;                 /* PgBouncer's own: no settings, no SQL, simple protocol only */
    bool bare;                    /* nothing is asked when it opens: connect_timeout_s bounds all of it */
};

bool pg_open(const char *url, const struct pg_options *options, struct pg_conn **ret,
             struct err *err) MUST_CHECK;
void pg_close(struct pg_conn *conn); /* NULL allowed */
/* 150003 for 15.3 */
int pg_server_version(const struct pg_conn *conn);
const char *pg_database(const struct pg_conn *conn);
const char *pg_user(const struct pg_conn *conn); /* our role */
int pg_socket(const struct pg_conn *conn);
bool pg_in_transaction(const struct pg_conn *conn);
/* A statement was sent and has not been answered to its end: another one would wait for that first. */
bool pg_busy(const struct pg_conn *conn);
/* Asks the server to end the running statement, over a connection of its own: waits for that. Where the network takes nothing any more it is
 * pg_break(). @thread any, as long as nobody closes it */
void pg_cancel(struct pg_conn *conn);
/* Whoever waits for the server gets ERR_CONNECT, at once: for a connection that is thrown away. The server may work on for a while. @thread as
 * pg_cancel */
void pg_break(struct pg_conn *conn);

/* One or more statements without results that matter. */
bool pg_exec(struct pg_conn *conn, const char *sql, struct err *err) MUST_CHECK;
bool pg_execf(struct pg_conn *conn, struct err *err, const char *fmt, ...) MUST_CHECK PRINTF_LIKE(3, 4);
/* One statement; params are text, NULL = null. Result in text form. Replication commands: param_count 0. */
bool pg_query(struct pg_conn *conn, const char *sql, int param_count, const char *const *params,
              struct pg_result **ret, struct err *err) MUST_CHECK;
/* As pg_query, and exactly one row with one column is expected; malloc'd text or NULL for null. */
bool pg_query_text(struct pg_conn *conn, const char *sql, int param_count, const char *const *params,
                   char **ret, struct err *err) MUST_CHECK;
bool pg_query_int64(struct pg_conn *conn, const char *sql, int param_count, const char *const *params,
                    int64_t *ret, struct err *err) MUST_CHECK;
/* The first row's first column; false where there is no row, or for null. */
bool pg_query_bool(struct pg_conn *conn, const char *sql, int param_count, const char *const *params,
                   bool *ret, struct err *err) MUST_CHECK;

/* A parameter in the form in which the server sent it. */
struct pg_param {
    uint32_t type_oid;
    bool text;
    const void *bytes;
    int len;
};
/* As pg_query; cells come in binary form. */
bool pg_query_binary(struct pg_conn *conn, const char *sql, size_t param_count, const struct pg_param *params,
                     struct pg_result **ret, struct err *err) MUST_CHECK;
/* Asynchronous: send, then wait on pg_socket() until pg_poll_result says it is there. */
enum pg_poll { PG_POLL_ERROR = 0, PG_POLL_WAIT, PG_POLL_READY };
bool pg_send(struct pg_conn *conn, const char *sql, int param_count, const char *const *params,
             struct err *err) MUST_CHECK;
enum pg_poll pg_poll_result(struct pg_conn *conn, struct pg_result **ret, struct err *err);

int pg_rows(const struct pg_result *res);
int pg_columns(const struct pg_result *res);
const char *pg_column_name(const struct pg_result *res, int column);
uint32_t pg_column_type(const struct pg_result *res,
                        int column); /* its oid; of a domain, of what it is over */
bool pg_is_null(const struct pg_result *res, int row, int column);
/* "" for null. */
const char *pg_cell(const struct pg_result *res, int row, int column);
size_t pg_cell_len(const struct pg_result *res, int row, int column);
int64_t pg_cell_int64(const struct pg_result *res, int row, int column);
bool pg_cell_bool(const struct pg_result *res, int row, int column);
/* Rows that an INSERT/UPDATE/DELETE/COPY touched. */
int64_t pg_affected(const struct pg_result *res);
void pg_result_free(struct pg_result *res); /* NULL allowed */
void pg_result_cleanup(struct pg_result **res);
#define PG_RESULT_AUTO CLEANUP(pg_result_cleanup) struct pg_result *

/* COPY … FROM STDIN: begin, put…, end (*ret_rows may be NULL). abort ends it with an error on the server. */
bool pg_copy_in_begin(struct pg_conn *conn, const char *sql, struct err *err) MUST_CHECK;
bool pg_copy_in_put(struct pg_conn *conn, const void *bytes, size_t len, struct err *err) MUST_CHECK;
bool pg_copy_in_end(struct pg_conn *conn, int64_t *ret_rows, struct err *err) MUST_CHECK;
void pg_copy_in_abort(struct pg_conn *conn, const char *reason);
/* COPY … TO STDOUT: begin, then get until *ret_len is 0 (end). Memory is valid until the next call. */
bool pg_copy_out_begin(struct pg_conn *conn, const char *sql, struct err *err) MUST_CHECK;
bool pg_copy_out_get(struct pg_conn *conn, const char **ret_bytes, size_t *ret_len,
                     struct err *err) MUST_CHECK;

/* SQL text: identifiers are always quoted, literals always through here (parameters are better). */
void pg_quote_ident(struct strbuf *sb, const char *name);
void pg_quote_table(struct strbuf *sb, const char *schema, const char *table);
void pg_quote_literal(struct strbuf *sb, const char *text);
/* An array as a parameter's text: its i-th element, then the end behind `count` of them. */
void pg_array_text(struct strbuf *sb, size_t i, const char *text);
void pg_array_int64(struct strbuf *sb, size_t i, int64_t number);
void pg_array_end(struct strbuf *sb, size_t count);

/* Class of an SQLSTATE (all five characters): which err_code it becomes. */
enum err_code pg_sqlstate_class(const char *sqlstate);

#endif
