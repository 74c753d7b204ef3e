/* Owns: a comparison's sessions on MariaDB. See session.h. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "borrowed.h"
#include "core/alloc.h"
#include "maria/conn.h"
#include "session_impl.h"

#define STATEMENT_MAX ((size_t)15 << 20) /* max_allowed_packet is 16 MB where nobody has set it */

struct mariadb_session {
    struct session base;
    struct maria_conn *conn;
    char *url;
    unsigned long id;
};

/*
 * Beyond what maria_open sets (utf8mb4, UTC, strict). lock_wait_timeout is for ALTER TABLE's locks, as on PostgreSQL.
 * group_concat_max_len: a chunk's row hashes, or a bucket's, are one text, for which max_allowed_packet is a limit, too
 * (session_hashes_most; mariadb/sqlgen.c sees to it that none is cut). max_sort_length: keys are sorted by all their bytes.
 */
static const char settings[] =
    "SET SESSION tx_isolation = 'REPEATABLE-READ', max_statement_time = 0, lock_wait_timeout = 20,"
    " innodb_lock_wait_timeout = 20, wait_timeout = 604800, net_read_timeout = 600, net_write_timeout = 600,"
    " group_concat_max_len = 268435456, div_precision_increment = 4,"
    " collation_connection = 'utf8mb4_bin', max_sort_length = 4096";

static struct maria_conn *conn_of(const struct session *s)
{
    return ((const struct mariadb_session *)s)->conn;
}

struct maria_conn *session_mariadb_conn(const struct session *s)
{
    return conn_of(s);
}

static void mariadb_close(struct session *s)
{
    struct mariadb_session *ms = (struct mariadb_session *)s;
    maria_close(ms->conn);
    free(ms->url);
    free(s->server);
    free(s->database);
    free(ms);
}

static bool mariadb_open(const char *url, const char *application, struct session **ret, struct err *err)
{
    struct maria_conn *conn = NULL;
    char *packet CLEANUP(free_ptr) = NULL;
    if (!maria_open_as(url, application, &conn, err))
        return false;
    if (!maria_exec(conn, settings, err) ||
        !maria_query_text(conn, "SELECT LEAST(@@max_allowed_packet, @@group_concat_max_len)", 0, &packet,
                          err)) {
        maria_close(conn);
        return err_wrap(err, "settings");
    }
    struct mariadb_session *ms = xcalloc(1, sizeof *ms);
    const char *version = maria_server(conn);
    ms->conn = conn;
    ms->url = xstrdup(url);
    ms->id = maria_id(conn);
    ms->base = (struct session){
        .ops = &session_mariadb,
        .dialect = DIALECT_MARIADB,
        .fd = maria_socket(conn),
        .version = (int)maria_version(conn),
        .hashes_most = strtoll(packet != NULL ? packet : "0", NULL, 10) / HASH_BYTES,
        .database = xstrdup(maria_database(conn)),
        .server =
            xasprintf("MariaDB %.*s, database %s", (int)strcspn(version, "-"), version, maria_database(conn)),
        .limit_head = "SET SESSION max_statement_time = ",
        .limit_tail = "",
    };
    *ret = &ms->base;
    return true;
}

bool session_mariadb_as(const char *url, const char *program, struct session **ret, struct err *err)
{
    return mariadb_open(url, program, ret, err);
}

static bool mariadb_begin(struct session *s, const char *snapshot, struct err *err)
{
    if (snapshot != NULL)
        return err_set(err, ERR_BUG, "MariaDB takes no snapshot by name");
    return maria_exec(conn_of(s), "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", err);
}

static bool mariadb_exec(struct session *s, const char *sql, struct err *err)
{
    return maria_exec(conn_of(s), sql, err);
}

static bool mariadb_send(struct session *s, const struct statement *st, struct err *err)
{
    if (st->param_count == 0)
        return maria_send(conn_of(s), st->sql.data, st->sql.len, err);
    struct strbuf sql = STRBUF_INIT(STATEMENT_MAX);
    bool ok = maria_add_statement(&sql, st->sql.data, st->param_count, st->params, err) &&
              maria_send(conn_of(s), sql.data, sql.len, err);
    strbuf_release(&sql);
    return ok;
}

static void free_result(void *owner)
{
    maria_result_free(owner);
}

static enum column_kind kind_of(enum maria_kind kind)
{
    static const enum column_kind kinds[] = {
        [MARIA_OTHER] = COLUMN_OTHER,   [MARIA_TEXT] = COLUMN_TEXT,     [MARIA_BYTES] = COLUMN_BYTES,
        [MARIA_NUMBER] = COLUMN_NUMBER, [MARIA_SINGLE] = COLUMN_SINGLE, [MARIA_DOUBLE] = COLUMN_FLOAT,
        [MARIA_TIME] = COLUMN_TIME,
    };
    return kinds[kind];
}

static struct rowset *rowset_of(struct maria_result *res)
{
    struct rowset *rs = rowset_new(maria_result_rows(res), maria_result_columns(res), res, free_result);
    struct rowset_cell *cell = rs->cells;
    char **cells = NULL;
    const unsigned long *lens = NULL;
    for (int i = 0; i < rs->columns; i++)
        rs->names[i] = xstrdup(maria_result_name(res, i));
    for (int i = 0; i < rs->columns; i++)
        rs->kinds[i] = kind_of(maria_result_kind(res, i));
    while (maria_result_next(res, &cells, &lens)) {
        for (int i = 0; i < rs->columns; i++, cell++) {
            if (cells[i] != NULL)
                *cell = (struct rowset_cell){cells[i], lens[i]};
        }
    }
    return rs;
}

static enum session_poll mariadb_poll(struct session *s, struct rowset **ret, struct err *err)
{
    struct pollfd fd = {.fd = s->fd, .events = POLLIN};
    struct maria_result *res = NULL;
    if (poll(&fd, 1, 0) == 0)
        return SESSION_WAIT;
    if (!maria_receive(conn_of(s), &res, err))
        return SESSION_ERROR;
    *ret = rowset_of(res);
    return SESSION_READY;
}

static void mariadb_cancel(struct session *s)
{
    const struct mariadb_session *ms = (const struct mariadb_session *)s;
    maria_kill_query(ms->url, ms->id);
}

/* The planner chooses by itself: it knows that a query reads all. */
static bool mariadb_scan_whole(struct session *s, bool whole, struct err *err)
{
    (void)s, (void)whole, (void)err;
    return true;
}

const struct session_ops session_mariadb = {
    .open = mariadb_open,
    .close = mariadb_close,
    .begin = mariadb_begin,
    .exec = mariadb_exec,
    .send = mariadb_send,
    .poll = mariadb_poll,
    .cancel = mariadb_cancel,
    .scan_whole = mariadb_scan_whole,
};
