/* Owns: plain statements on a connection of their own. See conn.h. */
#include "maria/conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "maria/connect.h"

struct maria_conn {
    MYSQL *my;
    char *database;
};

static bool fail(struct maria_conn *conn, const char *what, struct err *err)
{
    return maria_fail(mysql_errno(conn->my), mysql_sqlstate(conn->my), mysql_error(conn->my), what, err);
}

static bool set_up(struct maria_conn *conn, struct err *err)
{
    return maria_exec(
        conn,
        "SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE,"
        "NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', foreign_key_checks = 1",
        err);
}

bool maria_open(const char *url, struct maria_conn **ret, struct err *err)
{
    const struct maria_login login = {.url = url, .program = "crossfade"};
    struct maria_conn *conn = xcalloc(1, sizeof *conn);
    if (!maria_connect(&login, &conn->my, &conn->database, err) || !set_up(conn, err)) {
        maria_close(conn);
        return false;
    }
    *ret = conn;
    return true;
}

void maria_close(struct maria_conn *conn)
{
    if (conn == NULL)
        return;
    if (conn->my != NULL)
        mysql_close(conn->my);
    free(conn->database);
    free(conn);
}

const char *maria_server(const struct maria_conn *conn)
{
    return mysql_get_server_info(conn->my);
}

unsigned long maria_version(const struct maria_conn *conn)
{
    return mysql_get_server_version(conn->my);
}

const char *maria_database(const struct maria_conn *conn)
{
    return conn->database;
}

static bool drop_row(void *ctx, char **cells, size_t count, struct err *err)
{
    (void)ctx, (void)cells, (void)count, (void)err;
    return true;
}

bool maria_exec(struct maria_conn *conn, const char *sql, struct err *err)
{
    return maria_query(conn, sql, drop_row, NULL, err);
}

bool maria_query(struct maria_conn *conn, const char *sql, maria_each_row *each, void *ctx, struct err *err)
{
    char what[120];
    (void)snprintf(what, sizeof what, "%.100s", sql);
    what[strcspn(what, "\n")] = '\0';
    if (mysql_real_query(conn->my, sql, strlen(sql)) != 0)
        return fail(conn, what, err);
    MYSQL_RES *res = mysql_store_result(conn->my);
    if (res == NULL)
        return mysql_field_count(conn->my) == 0 || fail(conn, what, err);
    bool ok = true;
    size_t columns = mysql_num_fields(res);
    for (MYSQL_ROW row = mysql_fetch_row(res); ok && row != NULL; row = mysql_fetch_row(res))
        ok = each(ctx, row, columns, err);
    mysql_free_result(res);
    return ok;
}

struct one_text {
    size_t column;
    char *text;
    bool seen;
};

static bool keep_first(void *ctx, char **cells, size_t count, struct err *err)
{
    struct one_text *one = ctx;
    (void)err;
    if (!one->seen && one->column < count && cells[one->column] != NULL)
        one->text = xstrdup(cells[one->column]);
    one->seen = true;
    return true;
}

bool maria_query_text(struct maria_conn *conn, const char *sql, size_t column, char **ret, struct err *err)
{
    struct one_text one = {.column = column};
    if (!maria_query(conn, sql, keep_first, &one, err))
        return false;
    *ret = one.text;
    return true;
}
