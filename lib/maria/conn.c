/* Owns: libmariadb connections, statements, and the mapping of server errors to err. See conn.h. */
#include "maria/conn.h"

#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/log.h"

#define DEFAULT_PORT      3306
#define CONNECT_TIMEOUT_S 15

struct maria_conn {
    MYSQL *my;
    char *database;
};

bool maria_is_url(const char *url)
{
    return strncmp(url, "mariadb://", 10) == 0 || strncmp(url, "mysql://", 8) == 0;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static char *decode(const char *p, size_t len)
{
    char *text = xmalloc(len + 1), *out = text;
    for (size_t i = 0; i < len; i++) {
        if (p[i] == '%' && i + 2 < len && hex_value(p[i + 1]) >= 0 && hex_value(p[i + 2]) >= 0) {
            *out++ = (char)(hex_value(p[i + 1]) << 4 | hex_value(p[i + 2]));
            i += 2;
        } else {
            *out++ = p[i];
        }
    }
    *out = '\0';
    return text;
}

void maria_url_release(struct maria_url *url)
{
    free(url->user);
    free(url->password);
    free(url->host);
    free(url->database);
    *url = (struct maria_url){0};
}

static void take_user(const char *from, const char *at, struct maria_url *u)
{
    const char *colon = memchr(from, ':', (size_t)(at - from));
    const char *end = colon != NULL ? colon : at;
    u->user = decode(from, (size_t)(end - from));
    if (colon != NULL)
        u->password = decode(colon + 1, (size_t)(at - colon - 1));
}

static bool take_host(const char *from, const char *end, struct maria_url *u, struct err *err)
{
    const char *colon = NULL;
    for (const char *p = from; p < end; p++) {
        if (*p == ':')
            colon = p;
        if (*p == ']')
            colon = NULL;
    }
    const char *host_end = colon != NULL ? colon : end;
    u->port = DEFAULT_PORT;
    if (colon != NULL) {
        char *rest = NULL;
        unsigned long port = strtoul(colon + 1, &rest, 10);
        if (rest != end || port == 0 || port > 65535)
            return err_set(err, ERR_CONFIG, "target.url: the port is no number from 1 to 65535");
        u->port = (unsigned)port;
    }
    if (host_end > from + 1 && *from == '[' && host_end[-1] == ']') {
        from++;
        host_end--;
    }
    u->host = decode(from, (size_t)(host_end - from));
    return true;
}

bool maria_url_parse(const char *url, struct maria_url *ret, struct err *err)
{
    struct maria_url u = {0};
    if (!maria_is_url(url))
        return err_set(err, ERR_CONFIG, "target.url: expected mariadb://user@host:port/database");
    const char *authority = strstr(url, "://") + 3;
    size_t length = strcspn(authority, "?");
    const char *end = authority + length;
    const char *at = memrchr(authority, '@', length);
    const char *host = at != NULL ? at + 1 : authority;
    const char *slash = memchr(host, '/', (size_t)(end - host));
    if (at != NULL)
        take_user(authority, at, &u);
    if (!take_host(host, slash != NULL ? slash : end, &u, err)) {
        maria_url_release(&u);
        return false;
    }
    if (slash != NULL)
        u.database = decode(slash + 1, (size_t)(end - slash - 1));
    if (u.user == NULL || u.host[0] == '\0' || u.database == NULL || u.database[0] == '\0') {
        maria_url_release(&u);
        return err_set(err, ERR_CONFIG,
                       "target.url: user, host and database are needed: mariadb://user@host:port/database");
    }
    if (*end == '?') {
        maria_url_release(&u);
        return err_set(err, ERR_CONFIG, "target.url: parameters behind '?' are not known for MariaDB");
    }
    *ret = u;
    return true;
}

/* Server errors; SQLSTATE classes say little here, so it is the number that decides. */
static enum err_code error_class(unsigned number)
{
    switch (number) {
    case 1044: /* no right on the database */
    case 1045: /* password */
    case 1142: /* no right on the table */
    case 1227:
        return ERR_AUTH;
    case 1049: /* unknown database */
        return ERR_CONFIG;
    case 1205: /* lock wait timeout */
    case 1213: /* deadlock */
        return ERR_TRANSIENT;
    case 1021:
    case 1114:
        return ERR_NO_SPACE;
    case 1040:
    case 1053:
    case 1927:
        return ERR_CONNECT;
    default:
        return number >= 2000 && number < 3000 ? ERR_CONNECT : ERR_SQL;
    }
}

static bool fail(struct maria_conn *conn, const char *what, struct err *err)
{
    unsigned number = mysql_errno(conn->my);
    err_set(err, error_class(number), "%s: %s (error %u, SQLSTATE %s)", what, mysql_error(conn->my), number,
            mysql_sqlstate(conn->my));
    if (err != NULL)
        (void)snprintf(err->sqlstate, sizeof err->sqlstate, "%.5s", mysql_sqlstate(conn->my));
    return false;
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
    struct maria_url u = {0};
    char masked[300];
    unsigned timeout = CONNECT_TIMEOUT_S;
    if (!maria_url_parse(url, &u, err))
        return false;
    struct maria_conn *conn = xcalloc(1, sizeof *conn);
    conn->my = mysql_init(NULL);
    if (conn->my == NULL)
        BUG("out of memory");
    (void)mysql_options(conn->my, MYSQL_OPT_CONNECT_TIMEOUT, &timeout);
    (void)mysql_options(conn->my, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    const char *env = getenv("MARIADB_PWD");
    const char *password = u.password != NULL ? u.password : env != NULL ? env : getenv("MYSQL_PWD");
    if (password == NULL)
        (void)mysql_options(conn->my, MYSQL_READ_DEFAULT_GROUP, "crossfade");
    bool ok = mysql_real_connect(conn->my, u.host, u.user, password, u.database, u.port, NULL, 0) != NULL;
    if (!ok) {
        (void)fail(conn, "cannot connect", err);
        (void)err_wrap(err, "%s", log_mask_url(url, masked, sizeof masked));
    }
    conn->database = u.database;
    u.database = NULL;
    maria_url_release(&u);
    if (!ok || !set_up(conn, err)) {
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
