/*
 * A connection to MariaDB for statements that come now and then (definitions, questions to the catalog). URL, TLS and passwords:
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

bool maria_open(const char *url, struct maria_conn **ret, struct err *err) MUST_CHECK;
void maria_close(struct maria_conn *conn);                  /* NULL allowed */
const char *maria_server(const struct maria_conn *conn);    /* "10.11.6-MariaDB" */
unsigned long maria_version(const struct maria_conn *conn); /* 101106 for 10.11.6 */
const char *maria_database(const struct maria_conn *conn);

/* One statement whose rows do not matter. */
bool maria_exec(struct maria_conn *conn, const char *sql, struct err *err) MUST_CHECK;
/* Calls each() for every row; NULL stands for null. False from each() ends it with its error. */
typedef bool maria_each_row(void *ctx, char **cells, size_t count, struct err *err);
bool maria_query(struct maria_conn *conn, const char *sql, maria_each_row *each, void *ctx,
                 struct err *err) MUST_CHECK;
/* Column `column` of the first row; malloc'd, NULL for null or without a row. */
bool maria_query_text(struct maria_conn *conn, const char *sql, size_t column, char **ret,
                      struct err *err) MUST_CHECK;

#endif
