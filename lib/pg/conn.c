/* Owns: libpq connections, queries, and the mapping of server errors to err. See conn.h. */
#include "pg/conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conn_internal.h"
#include "core/alloc.h"
#include "core/line_watch.h"
#include "core/log.h"
#include "core/sqlstate.h"
#include "pg/control_tables.h"
#include "pg/message.h"
#include "pg/url.h"

/* Of a binary query: a key has at most INDEX_MAX_KEYS columns. */
#define PG_PARAMS_MAX 512

enum err_code pg_sqlstate_class(const char *s)
{
    return sqlstate_rule(s)->code;
}

/* " table=s.t column=c constraint=k", as far as the server says. */
static void add_objects(struct strbuf *sb, const PGresult *res)
{
    const char *schema = PQresultErrorField(res, PG_DIAG_SCHEMA_NAME);
    const char *table = PQresultErrorField(res, PG_DIAG_TABLE_NAME);
    const char *column = PQresultErrorField(res, PG_DIAG_COLUMN_NAME);
    const char *constraint = PQresultErrorField(res, PG_DIAG_CONSTRAINT_NAME);
    if (table != NULL)
        strbuf_addf(sb, " table=%s.%s", schema != NULL ? schema : "?", table);
    if (column != NULL)
        strbuf_addf(sb, " column=%s", column);
    if (constraint != NULL)
        strbuf_addf(sb, " constraint=%s", constraint);
}

static void server_text(struct pg_conn *conn, const PGresult *res, const char *state, const char *what,
                        struct strbuf *sb)
{
    char message[400];
    const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(res, PG_DIAG_MESSAGE_DETAIL);
    const char *hint = PQresultErrorField(res, PG_DIAG_MESSAGE_HINT);
    const char *context = PQresultErrorField(res, PG_DIAG_CONTEXT);
    bool harmless = pg_detail_is_harmless(state);
    pg_safe_message(state, text != NULL ? text : "?", message, sizeof message);
    strbuf_adds(sb, message);
    if (harmless && detail != NULL)
        strbuf_addf(sb, " Detail: %s", detail);
    if (!harmless)
        add_objects(sb, res);
    if (hint != NULL)
        strbuf_addf(sb, " Hint: %s", hint);
    if (harmless && context != NULL)
        strbuf_addf(sb, " At: %s", context);
    if (strcmp(state, "42501") == 0)
        pg_privilege_hint(conn != NULL ? PQuser(conn->pq) : NULL, what, text, sb);
}

/* What is left out of the text, for err->detail. */
static void add_detail(const PGresult *res, struct strbuf *sb)
{
    static const struct {
        int field;
        const char *name;
    } parts[] = {
        {PG_DIAG_MESSAGE_PRIMARY, ""}, {PG_DIAG_MESSAGE_DETAIL, " Detail: "}, {PG_DIAG_CONTEXT, " At: "}};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        const char *part = PQresultErrorField(res, parts[i].field);
        if (part != NULL)
            strbuf_addf(sb, "%s%s", parts[i].name, part);
    }
}

bool pg_fail(struct pg_conn *conn, const PGresult *res, const char *what, struct err *err)
{
    const char *state = res != NULL ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;
    if (state == NULL) { /* no answer of the server: the connection is gone */
        const char *text = conn != NULL && conn->pq != NULL ? PQerrorMessage(conn->pq) : "no connection";
        return err_set(err, ERR_CONNECT, "%s: %s", what, text);
    }
    enum err_code code = pg_sqlstate_class(state);
    if (conn != NULL && PQstatus(conn->pq) == CONNECTION_BAD)
        code = ERR_CONNECT;
    struct strbuf text = STRBUF_INIT(STRBUF_SQL_MAX), detail = STRBUF_INIT(STRBUF_SQL_MAX);
    server_text(conn, res, state, what, &text);
    err_set(err, code, "%s: %s (SQLSTATE %s)", what, text.data, state);
    if (err != NULL && !pg_detail_is_harmless(state)) {
        add_detail(res, &detail);
        err_set_detail(err, detail.data);
    }
    if (err != NULL)
        (void)snprintf(err->sqlstate, sizeof err->sqlstate, "%.5s", state);
    strbuf_release(&text);
    strbuf_release(&detail);
    return false;
}

static void silent_notice(void *arg, const PGresult *res)
{
    if (log_enabled(LOG_LEVEL_DEBUG)) {
        const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
        log_event(LOG_LEVEL_DEBUG, "server_notice", "text=\"%s\"", text != NULL ? text : "");
    }
}

static enum err_code connect_error_class(const char *text)
{
    /* libpq gives no SQLSTATE for a failed connect: its text is all there is. */
    static const char *const auth[] = {
        "authentication failed", "no password supplied", "no pg_hba.conf entry", "does not exist",
        "permission denied", "replication role to start walsender",
        /* whom we talk to is not known, or it does not know us */
        "certificate verify failed", "does not match host name", "root certificate",
        "server does not support SSL", "could not get server's host name", "certificate file",
        "private key file", "host name must be specified", "SSL error: tlsv1 alert", "SSL error: sslv3 alert",
        "SSL connection is required"};
    static const char *const config[] = {"invalid connection option", "invalid integer value",
                                         "invalid port number", "invalid sslmode value"};
    for (size_t i = 0; i < ARRAY_LEN(auth); i++) {
        if (strstr(text, auth[i]) != NULL)
            return ERR_AUTH;
    }
    for (size_t i = 0; i < ARRAY_LEN(config); i++) {
        if (strstr(text, config[i]) != NULL)
            return ERR_CONFIG;
    }
    return ERR_CONNECT;
}

/* Ours come last, so that they win: text forms of values must be the same in every session, and read back the
 * same (array_nulls off would make text of NULL elements; money and xml are read by lc_monetary and
 * xmloption). Keepalives: a session whose client's network went away in silence is gone on the server within a
 * minute, as ours is here, and not after its two hours, in which it would keep locks, and its successor out. */
#define OUR_OPTIONS                                                                                          \
    "-c extra_float_digits=1 -c datestyle=ISO,YMD -c intervalstyle=postgres -c timezone=UTC -c "             \
    "bytea_output=hex -c lc_monetary=C -c array_nulls=on -c xmloption=content "                              \
    "-c standard_conforming_strings=on "                                                                     \
    "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"

/* Server options of the user (from the URL, else PGOPTIONS) and ours. malloc'd. */
static char *merge_options(const char *url)
{
    const char *theirs = getenv("PGOPTIONS");
    PQconninfoOption *parsed =
        strchr(url, '=') != NULL || strstr(url, "://") != NULL ? PQconninfoParse(url, NULL) : NULL;
    for (PQconninfoOption *o = parsed; o != NULL && o->keyword != NULL; o++) {
        if (strcmp(o->keyword, "options") == 0 && o->val != NULL)
            theirs = o->val;
    }
    char *all = theirs != NULL ? xasprintf("%s %s", theirs, OUR_OPTIONS) : xstrdup(OUR_OPTIONS);
    PQconninfoFree(parsed);
    return all;
}

/* libpq quotes what it does not understand: the whole URL, or a part that may be a password. What stands
 * before the first quotation mark tells enough, since the masked URL is shown with it. */
static bool config_error(const char *url, const char *text, struct err *err)
{
    char masked[300];
    bool no_equals = strncmp(text, "missing \"=\"", 11) == 0;
    return err_set(err, ERR_CONFIG, "cannot read the connection string %s: %.*s",
                   log_mask_url(url, masked, sizeof masked), no_equals ? 11 : (int)strcspn(text, "\":"),
                   text);
}

static bool check_url(const char *url, struct err *err)
{
    if (strncmp(url, "mariadb://", 10) == 0 || strncmp(url, "mysql://", 8) == 0)
        return err_set(err, ERR_UNSUPPORTED,
                       "a MariaDB database: apply alone can work with it, this needs PostgreSQL");
    if (strchr(url, '=') == NULL && strstr(url, "://") == NULL)
        return true; /* the name of a database */
    char *text = NULL;
    PQconninfoOption *parsed = PQconninfoParse(url, &text);
    bool ok = parsed != NULL || config_error(url, text != NULL ? text : "out of memory", err);
    PQconninfoFree(parsed);
    if (text != NULL)
        PQfreemem(text);
    return ok;
}

static bool connect_error(const char *url, PGconn *pq, struct err *err)
{
    const char *text = pq != NULL ? PQerrorMessage(pq) : "out of memory";
    enum err_code code = connect_error_class(text);
    char masked[300];
    if (code == ERR_CONFIG)
        return config_error(url, text, err);
    struct strbuf hint = STRBUF_INIT(4000);
    if (pq != NULL)
        pg_connect_hint(PQuser(pq), PQdb(pq), text, &hint);
    if (code == ERR_AUTH && pg_url_sslmode(url) != NULL &&
        (strstr(text, "certificate") != NULL || strstr(text, "SSL") != NULL))
        strbuf_adds(
            &hint,
            " Hint: sslmode is verify-full where a URL leaves it open and the host is another machine: add "
            "sslrootcert=FILE, the certificate of the authority that signed the server's, or say another "
            "sslmode.");
    err_set(err, code, "cannot connect to %s: %s%s", log_mask_url(url, masked, sizeof masked), text,
            hint.len > 0 ? hint.data : "");
    strbuf_release(&hint);
    return false;
}

/* Catalogs, operators and functions are PostgreSQL's own, whatever a role's or database's path puts before
 * them; the rest of the path stays. And whoever comes here may come upon control tables of a later version. */
static bool begin_session(struct pg_conn *conn, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    return pg_query(conn,
                    "SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', 'pg_catalog',"
                    " pg_catalog.current_setting('search_path')), false), " PG_CONTROL_FORMAT_SQL,
                    0, NULL, &res, err) &&
           pg_control_format_check(PQdb(conn->pq), pg_cell(res, 0, 1), err);
}

bool pg_open(const char *url, const struct pg_options *options, struct pg_conn **ret, struct err *err)
{
    if (!check_url(url, err))
        return false;
    char *server_options CLEANUP(free_ptr) = options->console ? NULL : merge_options(url);
    char timeout[16];
    (void)snprintf(timeout, sizeof timeout, "%d",
                   options->connect_timeout_s > 0 ? options->connect_timeout_s : 15);
    /* Keywords behind dbname win over what the URL says, what is before it holds where the URL is silent. */
    const char *keys[] = {"sslmode",
                          "dbname",
                          "application_name",
                          "connect_timeout",
                          "client_encoding",
                          "keepalives_idle",
                          "keepalives_interval",
                          "keepalives_count",
                          "options",
                          "replication",
                          NULL};
    const char *values[] = {pg_url_sslmode(url),
                            url,
                            options->application_name,
                            timeout,
                            "UTF8",
                            "30",
                            "10",
                            "3",
                            server_options,
                            options->replication ? "database" : NULL,
                            NULL};
    struct pg_conn *conn = xcalloc(1, sizeof *conn);
    alive_wait_begin();
    conn->pq = PQconnectdbParams(keys, values, 1);
    alive_wait_end();
    if (conn->pq == NULL || PQstatus(conn->pq) != CONNECTION_OK) {
        connect_error(url, conn->pq, err);
        pg_close(conn);
        return false;
    }
    conn->socket = line_socket_of(PQsocket(conn->pq));
    line_watch_add(conn, PQsocket(conn->pq), PQhost(conn->pq));
    PQsetNoticeReceiver(conn->pq, silent_notice, NULL);
    conn->console = options->console;
    if (!options->console && !options->bare && !begin_session(conn, err)) {
        pg_close(conn);
        return false;
    }
    conn->cancel = PQgetCancel(conn->pq);
    *ret = conn;
    return true;
}

void pg_close(struct pg_conn *conn)
{
    if (conn == NULL)
        return;
    line_watch_remove(conn);
    PQfreemem(conn->copy_row);
    PQfreeCancel(conn->cancel);
    PQfinish(conn->pq);
    free(conn);
}

int pg_server_version(const struct pg_conn *conn)
{
    return PQserverVersion(conn->pq);
}

const char *pg_database(const struct pg_conn *conn)
{
    return PQdb(conn->pq);
}

const char *pg_user(const struct pg_conn *conn)
{
    return PQuser(conn->pq);
}

int pg_socket(const struct pg_conn *conn)
{
    return PQsocket(conn->pq);
}

bool pg_in_transaction(const struct pg_conn *conn)
{
    return PQtransactionStatus(conn->pq) != PQTRANS_IDLE;
}

bool pg_busy(const struct pg_conn *conn)
{
    return PQtransactionStatus(conn->pq) == PQTRANS_ACTIVE;
}

void pg_cancel(struct pg_conn *conn)
{
    char text[256];
    if (line_socket_is_stuck(&conn->socket))
        pg_break(conn); /* PQcancel would wait for a connection, for minutes */
    else if (conn->cancel != NULL)
        (void)PQcancel(conn->cancel, text,
                       (int)sizeof text); /* best effort: the statement may have ended already */
}

void pg_break(struct pg_conn *conn)
{
    line_socket_break(&conn->socket);
}

static bool result_is_good(const PGresult *res)
{
    ExecStatusType status = PQresultStatus(res);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_SINGLE_TUPLE ||
           status == PGRES_EMPTY_QUERY;
}

bool pg_exec(struct pg_conn *conn, const char *sql, struct err *err)
{
    char head[72];
    PGresult *res = pg_wait_exec(conn->pq, sql);
    bool ok = result_is_good(res);
    if (!ok)
        pg_fail(conn, res, pg_sql_head(sql, head), err);
    PQclear(res);
    return ok;
}

bool pg_execf(struct pg_conn *conn, struct err *err, const char *fmt, ...)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    va_list ap;
    va_start(ap, fmt);
    strbuf_vaddf(&sql, fmt, ap);
    va_end(ap);
    bool ok = strbuf_ok(&sql, "statement", err) && pg_exec(conn, sql.data, err);
    strbuf_release(&sql);
    return ok;
}

static bool take_result(struct pg_conn *conn, PGresult *res, const char *what, struct pg_result **ret,
                        struct err *err)
{
    if (!result_is_good(res)) {
        pg_fail(conn, res, what, err);
        PQclear(res);
        return false;
    }
    *ret = xmalloc(sizeof **ret);
    (*ret)->pq = res;
    return true;
}

bool pg_query(struct pg_conn *conn, const char *sql, int param_count, const char *const *params,
              struct pg_result **ret, struct err *err)
{
    char head[72];
    PGresult *res = param_count == 0
                        ? pg_wait_exec(conn->pq, sql)
                        : pg_wait_params(conn->pq, sql, param_count, NULL, params, NULL, NULL, 0);
    return take_result(conn, res, pg_sql_head(sql, head), ret, err);
}

bool pg_query_binary(struct pg_conn *conn, const char *sql, size_t param_count, const struct pg_param *params,
                     struct pg_result **ret, struct err *err)
{
    char head[72];
    Oid types[PG_PARAMS_MAX];
    const char *values[PG_PARAMS_MAX];
    int lens[PG_PARAMS_MAX], formats[PG_PARAMS_MAX];
    BUG_UNLESS(param_count <= PG_PARAMS_MAX);
    for (size_t i = 0; i < param_count; i++) {
        types[i] = params[i].type_oid;
        values[i] = params[i].bytes;
        lens[i] = params[i].len;
        formats[i] = params[i].text ? 0 : 1;
    }
    PGresult *res = pg_wait_params(conn->pq, sql, (int)param_count, types, values, lens, formats, 1);
    return take_result(conn, res, pg_sql_head(sql, head), ret, err);
}

bool pg_query_text(struct pg_conn *conn, const char *sql, int param_count, const char *const *params,
                   char **ret, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    char head[72];
    if (!pg_query(conn, sql, param_count, params, &res, err))
        return false;
    if (pg_rows(res) != 1 || pg_columns(res) != 1)
        return err_set(err, ERR_PROTOCOL, "%s: one value was expected, %d rows came", pg_sql_head(sql, head),
                       pg_rows(res));
    *ret = pg_is_null(res, 0, 0) ? NULL : xstrdup(pg_cell(res, 0, 0));
    return true;
}

bool pg_query_int64(struct pg_conn *conn, const char *sql, int param_count, const char *const *params,
                    int64_t *ret, struct err *err)
{
    char *text = NULL;
    if (!pg_query_text(conn, sql, param_count, params, &text, err))
        return false;
    *ret = text != NULL ? strtoll(text, NULL, 10) : 0;
    free(text);
    return true;
}

bool pg_query_bool(struct pg_conn *conn, const char *sql, int param_count, const char *const *params,
                   bool *ret, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(conn, sql, param_count, params, &res, err))
        return false;
    *ret = pg_rows(res) > 0 && pg_cell_bool(res, 0, 0);
    return true;
}

bool pg_send(struct pg_conn *conn, const char *sql, int param_count, const char *const *params,
             struct err *err)
{
    (void)pg_sql_head(sql, conn->sent);
    int sent = conn->console ? PQsendQuery(conn->pq, sql)
                             : PQsendQueryParams(conn->pq, sql, param_count, NULL, params, NULL, NULL, 0);
    return sent == 1 || pg_fail(conn, NULL, conn->sent, err);
}

enum pg_poll pg_poll_result(struct pg_conn *conn, struct pg_result **ret, struct err *err)
{
    if (PQconsumeInput(conn->pq) != 1) {
        pg_fail(conn, NULL, conn->sent, err);
        return PG_POLL_ERROR;
    }
    if (PQflush(conn->pq) > 0 || PQisBusy(conn->pq))
        return PG_POLL_WAIT;
    PGresult *res = pg_wait_result(conn->pq);
    for (PGresult *more; res != NULL && (more = pg_wait_result(conn->pq)) != NULL;) {
        PQclear(res);
        res = more;
    }
    return take_result(conn, res, conn->sent, ret, err) ? PG_POLL_READY : PG_POLL_ERROR;
}

int pg_rows(const struct pg_result *res)
{
    return PQntuples(res->pq);
}

int pg_columns(const struct pg_result *res)
{
    return PQnfields(res->pq);
}

const char *pg_column_name(const struct pg_result *res, int column)
{
    return PQfname(res->pq, column);
}

uint32_t pg_column_type(const struct pg_result *res, int column)
{
    return PQftype(res->pq, column);
}

bool pg_is_null(const struct pg_result *res, int row, int column)
{
    return PQgetisnull(res->pq, row, column) != 0;
}

const char *pg_cell(const struct pg_result *res, int row, int column)
{
    return PQgetvalue(res->pq, row, column);
}

size_t pg_cell_len(const struct pg_result *res, int row, int column)
{
    return (size_t)PQgetlength(res->pq, row, column);
}

int64_t pg_cell_int64(const struct pg_result *res, int row, int column)
{
    return strtoll(PQgetvalue(res->pq, row, column), NULL, 10);
}

bool pg_cell_bool(const struct pg_result *res, int row, int column)
{
    return PQgetvalue(res->pq, row, column)[0] == 't';
}

int64_t pg_affected(const struct pg_result *res)
{
    return strtoll(PQcmdTuples(res->pq), NULL, 10);
}

void pg_result_free(struct pg_result *res)
{
    if (res == NULL)
        return;
    PQclear(res->pq);
    free(res);
}

void pg_result_cleanup(struct pg_result **res)
{
    pg_result_free(*res);
    *res = NULL;
}
