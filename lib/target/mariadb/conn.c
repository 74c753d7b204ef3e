/* Owns: the connection through libmariadb, plain queries, and the table from the server's error numbers to ours. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/log.h"
#include "mariadb.h"

#define CONNECT_TIMEOUT_S 15
#define OLDEST_VERSION    101100

/* The twin of pg_sqlstate_class: what the loop does is decided by code, and how a batch is taken up again by a SQLSTATE as
 * PostgreSQL has it (apply/step.c), since MariaDB says 23000 to nearly everything.
 * Numbers: MariaDB's "Error Codes" page, mysqld_error.h, errmsg.h (2000 and up: the client's own). */
static const struct {
    unsigned number;
    const char *sqlstate;
    enum err_code code;
} errors[] = {
    {1062, "23505", ERR_DATA}, /* duplicate key */
    {1242, "23505", ERR_DATA}, /* an upsert that met another row (sql.c) */
    {1586, "23505", ERR_DATA}, /* … of a named key */
    {1451, "23503", ERR_DATA}, /* foreign keys */
    {1452, "23503", ERR_DATA},      {1216, "23503", ERR_DATA},
    {1217, "23503", ERR_DATA},      {1048, "23502", ERR_DATA}, /* column cannot be null */
    {1364, "23502", ERR_DATA},                                 /* no default value */
    {4025, "23514", ERR_DATA},                                 /* CHECK */
    {1264, "22003", ERR_DATA},                                 /* out of range */
    {1690, "22003", ERR_DATA},      {1406, "22001", ERR_DATA}, /* too long */
    {1265, "22001", ERR_DATA},                                 /* truncated */
    {1366, "22P02", ERR_DATA},                                 /* incorrect value */
    {1367, "22P02", ERR_DATA},      {1292, "22007", ERR_DATA},
    {1411, "22007", ERR_DATA},      {1526, "23514", ERR_DATA}, /* no partition for the value */
    {1118, "54000", ERR_DATA},                                 /* row too large */
    {1153, "54000", ERR_DATA},                                 /* max_allowed_packet */
    {1301, "54000", ERR_DATA},      {2020, "54000", ERR_DATA},
    {1205, "55P03", ERR_TRANSIENT}, /* lock wait timeout */
    {1213, "40P01", ERR_TRANSIENT}, /* deadlock */
    {1020, "40001", ERR_TRANSIENT}, /* record has changed since last read */
    {1317, "57014", ERR_TRANSIENT}, /* interrupted */
    {1969, "57014", ERR_TRANSIENT}, /* max_statement_time */
    {1412, "40001", ERR_TRANSIENT}, /* table definition has changed */
    {1615, "40001", ERR_TRANSIENT}, /* statement needs to be prepared again */
    {1021, "53100", ERR_NO_SPACE},  /* disk full */
    {1114, "53100", ERR_NO_SPACE},  /* table is full */
    {1146, "42P01", ERR_SCHEMA},    /* no such table */
    {1049, "3D000", ERR_CONFIG},    /* no such database */
    {1054, "42703", ERR_SCHEMA},    /* no such column */
    {1045, "28000", ERR_AUTH},      {1044, "42501", ERR_AUTH},
    {1142, "42501", ERR_AUTH},      {1143, "42501", ERR_AUTH},
    {1227, "42501", ERR_AUTH},      {1698, "28000", ERR_AUTH},
    {1130, "28000", ERR_AUTH},      {1524, "28000", ERR_AUTH},
    {2059, "28000", ERR_AUTH},      {2061, "28000", ERR_AUTH},
    {1040, "53300", ERR_CONNECT}, /* too many connections */
    {1203, "53300", ERR_CONNECT},   {1226, "53300", ERR_CONNECT},
    {1053, "57P01", ERR_CONNECT}, /* shutdown in progress */
    {1927, "57P01", ERR_CONNECT}, /* connection was killed */
    {1290, "25006", ERR_CONNECT}, /* read_only: a replica, until it is promoted */
    {1836, "25006", ERR_CONNECT},   {1129, "08004", ERR_CONNECT},
    {1152, "08006", ERR_CONNECT},   {1158, "08006", ERR_CONNECT},
    {1159, "08006", ERR_CONNECT},   {1160, "08006", ERR_CONNECT},
    {1161, "08006", ERR_CONNECT},   {1184, "08006", ERR_CONNECT},
};

/* The server quotes values in some messages ("Duplicate entry 'secret' for key 'u'"): only what follows is kept. */
static const char *without_value(unsigned number, const char *text, char out[200])
{
    static const struct {
        unsigned number;
        const char *what, *from;
    } quoting[] = {{1062, "duplicate entry", " for key "},      {1586, "duplicate entry", " for key "},
                   {1366, "incorrect value", " for column "},   {1292, "incorrect value", " for column "},
                   {1411, "incorrect value", " for function "}, {1526, "no partition for the value", NULL}};
    for (size_t i = 0; i < ARRAY_LEN(quoting); i++) {
        if (quoting[i].number != number)
            continue;
        const char *tail = NULL; /* the last one: a value may hold those words */
        for (const char *p = text; quoting[i].from != NULL && (p = strstr(p, quoting[i].from)) != NULL; p++)
            tail = p;
        (void)snprintf(out, 200, "%s%s", quoting[i].what, tail != NULL ? tail : "");
        return out;
    }
    return text;
}

bool md_fail(unsigned number, const char *state, const char *text, const char *what, struct err *err)
{
    char safe[200];
    enum err_code code = number >= 2000 && number < 3000 ? ERR_CONNECT : ERR_SQL;
    for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
        if (errors[i].number == number) {
            code = errors[i].code;
            state = errors[i].sqlstate;
        }
    }
    err_set(err, code, "%s: %s (error %u)%s", what, without_value(number, text, safe), number,
            number == 1153 || number == 2020 ? ". Hint: raise max_allowed_packet of the server" : "");
    if (err != NULL)
        (void)snprintf(err->sqlstate, sizeof err->sqlstate, "%.5s", state);
    return false;
}

static bool fail_here(struct md_target *mt, const char *sql, struct err *err)
{
    char head[72];
    (void)snprintf(head, sizeof head, "%.*s", (int)strnlen(sql, 68), sql);
    return md_fail(mysql_errno(mt->my), mysql_sqlstate(mt->my), mysql_error(mt->my), head, err);
}

bool md_exec_count(struct md_target *mt, const char *sql, int64_t *ret_touched, struct err *err)
{
    if (mysql_real_query(mt->my, sql, (unsigned long)strlen(sql)) != 0)
        return fail_here(mt, sql, err);
    MYSQL_RES *res = mysql_store_result(mt->my);
    if (res == NULL && mysql_errno(mt->my) != 0)
        return fail_here(mt, sql, err);
    *ret_touched = res == NULL ? (int64_t)mysql_affected_rows(mt->my) : 0;
    mysql_free_result(res);
    return true;
}

bool md_exec(struct md_target *mt, const char *sql, struct err *err)
{
    int64_t touched;
    return md_exec_count(mt, sql, &touched, err);
}

bool md_query(struct md_target *mt, const char *sql, struct md_rows *ret, struct err *err)
{
    if (mysql_real_query(mt->my, sql, (unsigned long)strlen(sql)) != 0)
        return fail_here(mt, sql, err);
    MYSQL_RES *res = mysql_store_result(mt->my);
    if (res == NULL)
        return mysql_errno(mt->my) != 0 ? fail_here(mt, sql, err)
                                        : err_set(err, ERR_BUG, "a query without a result");
    *ret = (struct md_rows){.res = res};
    return true;
}

bool md_next(struct md_rows *rows)
{
    rows->cell = mysql_fetch_row(rows->res);
    return rows->cell != NULL;
}

void md_rows_end(struct md_rows *rows)
{
    mysql_free_result(rows->res);
    *rows = (struct md_rows){0};
}

bool md_query_int64(struct md_target *mt, const char *sql, int64_t *ret, struct err *err)
{
    MD_ROWS rows = {0};
    if (!md_query(mt, sql, &rows, err))
        return false;
    *ret = md_next(&rows) && rows.cell[0] != NULL ? strtoll(rows.cell[0], NULL, 10) : 0;
    return true;
}

static void set_tls(MYSQL *my, const struct md_url *url)
{
    my_bool on = 1, verify = url->tls_verify;
    if (!url->tls)
        return;
    (void)mysql_optionsv(my, MYSQL_OPT_SSL_ENFORCE, &on);
    (void)mysql_optionsv(my, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
    if (url->ssl_ca != NULL)
        (void)mysql_optionsv(my, MYSQL_OPT_SSL_CA, url->ssl_ca);
    if (url->ssl_cert != NULL)
        (void)mysql_optionsv(my, MYSQL_OPT_SSL_CERT, url->ssl_cert);
    if (url->ssl_key != NULL)
        (void)mysql_optionsv(my, MYSQL_OPT_SSL_KEY, url->ssl_key);
}

static const char *password_of(const struct md_url *url)
{
    const char *env = getenv("MARIADB_PWD");
    return url->password != NULL ? url->password : env != NULL ? env : getenv("MYSQL_PWD");
}

static bool connect_to(struct md_target *mt, const char *text, const struct md_url *url, struct err *err)
{
    unsigned timeout = CONNECT_TIMEOUT_S, no = 0;
    mt->my = mysql_init(NULL);
    if (mt->my == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for a connection");
    (void)mysql_optionsv(mt->my, MYSQL_OPT_CONNECT_TIMEOUT, &timeout);
    (void)mysql_optionsv(mt->my, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    (void)mysql_optionsv(mt->my, MYSQL_OPT_LOCAL_INFILE, &no);
    (void)mysql_optionsv(mt->my, MYSQL_OPT_CONNECT_ATTR_ADD, "program_name", "crossfade apply");
    if (password_of(url) == NULL) /* ~/.my.cnf and the system's: [client] and [crossfade] */
        (void)mysql_optionsv(mt->my, MYSQL_READ_DEFAULT_GROUP, "crossfade");
    set_tls(mt->my, url);
    const char *host = url->host[0] != '\0' ? url->host : "localhost";
    if (mysql_real_connect(mt->my, host, url->user, password_of(url), url->database, url->port, url->socket,
                           CLIENT_FOUND_ROWS) != NULL)
        return true;
    char masked[300], what[340];
    (void)snprintf(what, sizeof what, "cannot connect to %s", log_mask_url(text, masked, sizeof masked));
    return md_fail(mysql_errno(mt->my), mysql_sqlstate(mt->my), mysql_error(mt->my), what, err);
}

/* Strict, or values would be cut and dates zeroed in silence; 0 is a value of an auto_increment column; rows are found under the
 * source's clock. Foreign keys are not checked: the source has, and what cascades comes as changes of its own (MariaDB would
 * cascade a second time). READ COMMITTED: nothing is read that must stay, and gaps need not be locked. */
static const char SESSION[] =
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,"
    "NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', foreign_key_checks = 0, "
    "unique_checks = 1, "
    "check_constraint_checks = 1, tx_isolation = 'READ-COMMITTED', tx_read_only = 0, autocommit = 1, "
    "innodb_lock_wait_timeout = 30, lock_wait_timeout = 30, wait_timeout = 31536000, max_statement_time = 0, "
    "explicit_defaults_for_timestamp = 1, sql_auto_is_null = 0";

static bool check_session(struct md_target *mt, struct err *err)
{
    MD_ROWS rows = {0};
    if (!md_query(mt,
                  "SELECT FIND_IN_SET('STRICT_ALL_TABLES', @@SESSION.sql_mode) > 0 AND @@SESSION.time_zone = "
                  "'+00:00' AND "
                  "@@SESSION.character_set_client = 'utf8mb4', @@GLOBAL.max_allowed_packet",
                  &rows, err))
        return false;
    if (!md_next(&rows) || strcmp(rows.cell[0], "1") != 0)
        return err_set(err, ERR_CONFIG,
                       "the session does not keep strict sql_mode, time_zone +00:00 and utf8mb4: does a "
                       "proxy change it?");
    mt->packet_bytes = (size_t)strtoull(rows.cell[1], NULL, 10);
    mt->array_bytes = MIN_OF(MD_ARRAY_BYTES, mt->packet_bytes / 2);
    return true;
}

bool md_connect(struct md_target *mt, const char *text, struct err *err)
{
    struct md_url url;
    if (!md_url_parse(text, &url, err))
        return false;
    bool ok = connect_to(mt, text, &url, err);
    if (ok)
        mt->database = xstrdup(url.database);
    md_url_release(&url);
    if (!ok)
        return false;
    if (!mariadb_connection(mt->my) || mysql_get_server_version(mt->my) < OLDEST_VERSION)
        return err_set(err, ERR_UNSUPPORTED, "the server is %s: MariaDB 10.11 or later is needed",
                       mysql_get_server_info(mt->my));
    (void)pthread_mutex_lock(&mt->lock);
    mt->fd = (int)mysql_get_socket(mt->my);
    (void)pthread_mutex_unlock(&mt->lock);
    return md_exec(mt, SESSION, err) && check_session(mt, err);
}

void md_disconnect(struct md_target *mt)
{
    (void)pthread_mutex_lock(&mt->lock);
    mt->fd = -1;
    (void)pthread_mutex_unlock(&mt->lock);
    if (mt->my != NULL)
        mysql_close(mt->my);
    mt->my = NULL;
}
