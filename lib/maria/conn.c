/* Owns: plain statements on a connection of their own. See conn.h. */
#include "maria/conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/alloc.h"
#include "maria/connect.h"
#include "maria/wait.h"

#define CHARSET_BINARY 63 /* the "character set" of bytes */

struct maria_conn {
    MYSQL *my;
    char *database;
    char sent[104]; /* the beginning of what was sent last */
};

struct maria_result {
    MYSQL_RES *res; /* NULL = a statement without rows */
};

static bool fail(struct maria_conn *conn, const char *what, struct err *err)
{
    return maria_fail(mysql_errno(conn->my), mysql_sqlstate(conn->my), mysql_error(conn->my), what, err);
}

/* Whatever the server, its init_connect or an option file say of them. Another server than MariaDB is to be told what it is, not that it
 * lacks a variable: what it need not know stands where it does not look. */
static const char settings[] =
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE,"
    "NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', foreign_key_checks = 1, autocommit = 1, "
    "sql_select_limit = 18446744073709551615, completion_type = 0, character_set_client = utf8mb4, "
    "character_set_results = utf8mb4, character_set_connection = utf8mb4, sql_safe_updates = 0, "
    "sql_big_selects = 1 /*M!100300 , tx_read_only = 0, idle_transaction_timeout = 0, "
    "idle_readonly_transaction_timeout = 0, idle_write_transaction_timeout = 0 */";

static bool set_up(struct maria_conn *conn, struct err *err)
{
    return maria_exec(conn, settings, err);
}

bool maria_open(const char *url, struct maria_conn **ret, struct err *err)
{
    return maria_open_as(url, "crossfade", ret, err);
}

bool maria_open_as(const char *url, const char *program, struct maria_conn **ret, struct err *err)
{
    const struct maria_login login = {.url = url, .program = program};
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
    maria_disconnect(conn->my);
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

bool maria_in_transaction(const struct maria_conn *conn)
{
    unsigned status = 0;
    return mariadb_get_infov(conn->my, MARIADB_CONNECTION_SERVER_STATUS, &status) == 0 &&
           (status & SERVER_STATUS_IN_TRANS) != 0;
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
    if (maria_wait_query(conn->my, sql, strlen(sql)) != 0)
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

bool maria_stream(struct maria_conn *conn, const char *sql, maria_each_value *each, void *ctx,
                  struct err *err)
{
    char what[120];
    (void)snprintf(what, sizeof what, "%.100s", sql);
    what[strcspn(what, "\n")] = '\0';
    if (maria_wait_query(conn->my, sql, strlen(sql)) != 0)
        return fail(conn, what, err);
    MYSQL_RES *res = mysql_use_result(conn->my);
    if (res == NULL)
        return fail(conn, what, err);
    bool ok = true;
    MYSQL_ROW row;
    while (ok && (row = mysql_fetch_row(res)) != NULL)
        ok = each(ctx, row, mysql_fetch_lengths(res), mysql_num_fields(res), err);
    if (!ok)
        (void)shutdown((int)mysql_get_socket(conn->my), SHUT_RDWR);
    else if (mysql_errno(conn->my) != 0)
        ok = fail(conn, what, err);
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

bool maria_send(struct maria_conn *conn, const char *sql, size_t len, struct err *err)
{
    (void)snprintf(conn->sent, sizeof conn->sent, "%.100s", sql);
    conn->sent[strcspn(conn->sent, "\n")] = '\0';
    return mysql_send_query(conn->my, sql, len) == 0 || fail(conn, conn->sent, err);
}

bool maria_receive(struct maria_conn *conn, struct maria_result **ret, struct err *err)
{
    alive_wait_begin();
    my_bool failed = mysql_read_query_result(conn->my);
    alive_wait_end();
    if (failed)
        return fail(conn, conn->sent, err);
    MYSQL_RES *res = mysql_store_result(conn->my);
    if (res == NULL && mysql_field_count(conn->my) != 0)
        return fail(conn, conn->sent, err);
    *ret = xcalloc(1, sizeof **ret);
    (*ret)->res = res;
    return true;
}

int maria_socket(const struct maria_conn *conn)
{
    return (int)mysql_get_socket(conn->my);
}

unsigned long maria_id(const struct maria_conn *conn)
{
    return mysql_thread_id(conn->my);
}

void maria_kill_query(const char *url, unsigned long id)
{
    struct maria_conn *conn = NULL;
    struct err ignored = ERR_INIT; /* it may have ended, or the server is gone */
    char sql[64];
    (void)snprintf(sql, sizeof sql, "KILL QUERY %lu", id);
    if (maria_open(url, &conn, &ignored))
        (void)!maria_exec(conn, sql, &ignored);
    maria_close(conn);
}

int maria_result_rows(const struct maria_result *res)
{
    return res->res != NULL ? (int)mysql_num_rows(res->res) : 0;
}

int maria_result_columns(const struct maria_result *res)
{
    return res->res != NULL ? (int)mysql_num_fields(res->res) : 0;
}

const char *maria_result_name(const struct maria_result *res, int column)
{
    return mysql_fetch_field_direct(res->res, (unsigned)column)->name;
}

enum maria_kind maria_result_kind(const struct maria_result *res, int column)
{
    static const enum maria_kind kinds[] = {
        [MYSQL_TYPE_DECIMAL] = MARIA_NUMBER,    [MYSQL_TYPE_TINY] = MARIA_NUMBER,
        [MYSQL_TYPE_SHORT] = MARIA_NUMBER,      [MYSQL_TYPE_LONG] = MARIA_NUMBER,
        [MYSQL_TYPE_FLOAT] = MARIA_SINGLE,      [MYSQL_TYPE_DOUBLE] = MARIA_DOUBLE,
        [MYSQL_TYPE_TIMESTAMP] = MARIA_TIME,    [MYSQL_TYPE_LONGLONG] = MARIA_NUMBER,
        [MYSQL_TYPE_INT24] = MARIA_NUMBER,      [MYSQL_TYPE_DATE] = MARIA_TIME,
        [MYSQL_TYPE_TIME] = MARIA_TIME,         [MYSQL_TYPE_DATETIME] = MARIA_TIME,
        [MYSQL_TYPE_YEAR] = MARIA_NUMBER,       [MYSQL_TYPE_NEWDATE] = MARIA_TIME,
        [MYSQL_TYPE_VARCHAR] = MARIA_TEXT,      [MYSQL_TYPE_BIT] = MARIA_BYTES,
        [MYSQL_TYPE_NEWDECIMAL] = MARIA_NUMBER, [MYSQL_TYPE_ENUM] = MARIA_TEXT,
        [MYSQL_TYPE_SET] = MARIA_TEXT,          [MYSQL_TYPE_TINY_BLOB] = MARIA_TEXT,
        [MYSQL_TYPE_MEDIUM_BLOB] = MARIA_TEXT,  [MYSQL_TYPE_LONG_BLOB] = MARIA_TEXT,
        [MYSQL_TYPE_BLOB] = MARIA_TEXT,         [MYSQL_TYPE_VAR_STRING] = MARIA_TEXT,
        [MYSQL_TYPE_STRING] = MARIA_TEXT,
    };
    const MYSQL_FIELD *field = mysql_fetch_field_direct(res->res, (unsigned)column);
    enum maria_kind kind =
        (size_t)field->type < sizeof kinds / sizeof kinds[0] ? kinds[field->type] : MARIA_OTHER;
    return kind == MARIA_TEXT && field->charsetnr == CHARSET_BINARY ? MARIA_BYTES : kind;
}

bool maria_result_next(struct maria_result *res, char ***ret_cells, const unsigned long **ret_lens)
{
    MYSQL_ROW row = res->res != NULL ? mysql_fetch_row(res->res) : NULL;
    if (row == NULL)
        return false;
    *ret_cells = row;
    *ret_lens = mysql_fetch_lengths(res->res);
    return true;
}

void maria_result_free(struct maria_result *res)
{
    if (res != NULL)
        mysql_free_result(res->res);
    free(res);
}
