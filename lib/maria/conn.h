/*
 * A connection to MariaDB for plain statements (definitions, questions to the catalog, comparisons). URL, TLS and passwords:
 * url.h, connect.h. The session speaks utf8mb4, in UTC and in strict mode.
 * @thread: one owner at a time.
 */
#ifndef MARIA_CONN_H
#define MARIA_CONN_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"
#include "core/strbuf.h"
#include "maria/quote.h"
#include "maria/url.h"

struct maria_conn;

struct maria_result;

bool maria_open(const char *url, struct maria_conn **ret, struct err *err) MUST_CHECK;
/* program: what the server's process list shows. */
bool maria_open_as(const char *url, const char *program, struct maria_conn **ret, struct err *err) MUST_CHECK;
void maria_close(struct maria_conn *conn);                  /* NULL allowed */
const char *maria_server(const struct maria_conn *conn);    /* "10.11.6-MariaDB" */
unsigned long maria_version(const struct maria_conn *conn); /* 101106 for 10.11.6 */
const char *maria_database(const struct maria_conn *conn);

/* As the server said with its last answer. */
bool maria_in_transaction(const struct maria_conn *conn);

/* One statement whose rows do not matter. */
bool maria_exec(struct maria_conn *conn, const char *sql, struct err *err) MUST_CHECK;
/* Calls each() for every row; NULL stands for null. False from each() ends it with its error. */
typedef bool maria_each_row(void *ctx, char **cells, size_t count, struct err *err);
bool maria_query(struct maria_conn *conn, const char *sql, maria_each_row *each, void *ctx,
                 struct err *err) MUST_CHECK;
/* Column `column` of the first row; malloc'd, NULL for null or without a row. */
bool maria_query_text(struct maria_conn *conn, const char *sql, size_t column, char **ret,
                      struct err *err) MUST_CHECK;

/* The same for results of any size: rows are taken as they come, one at a time; lens: of the cells. False from each() breaks the
 * connection off (the server would send all the rest): nothing but closing it is of use then. */
typedef bool maria_each_value(void *ctx, char **cells, const unsigned long *lens, size_t count,
                              struct err *err);
bool maria_stream(struct maria_conn *conn, const char *sql, maria_each_value *each, void *ctx,
                  struct err *err) MUST_CHECK;

/* Asynchronous: send; when maria_socket() can be read the answer has begun, and maria_receive takes all of it (it waits for what is
 * still under way). `what` in errors is the statement's beginning. */
bool maria_send(struct maria_conn *conn, const char *sql, size_t len, struct err *err) MUST_CHECK;
bool maria_receive(struct maria_conn *conn, struct maria_result **ret, struct err *err) MUST_CHECK;
int maria_socket(const struct maria_conn *conn);
/* Asks the server to end what the connection with this id (maria_id) is at, on a connection of its own: best effort. @thread any */
unsigned long maria_id(const struct maria_conn *conn);
void maria_kill_query(const char *url, unsigned long id);

int maria_result_rows(const struct maria_result *res); /* 0 without rows, as after a SET */
int maria_result_columns(const struct maria_result *res);
const char *maria_result_name(const struct maria_result *res, int column);
/* What a column holds, as far as it decides how its text reads. */
enum maria_kind {
    MARIA_OTHER = 0,
    MARIA_TEXT,
    MARIA_BYTES,
    MARIA_NUMBER,
    MARIA_SINGLE,
    MARIA_DOUBLE,
    MARIA_TIME
};
enum maria_kind maria_result_kind(const struct maria_result *res, int column);
/* The next row: its cells (NULL for null) and their lengths, valid until maria_result_free. False behind the last. */
bool maria_result_next(struct maria_result *res, char ***ret_cells, const unsigned long **ret_lens);
void maria_result_free(struct maria_result *res); /* NULL allowed */

#endif
