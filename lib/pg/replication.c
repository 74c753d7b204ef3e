/* Owns: replication commands and the frames of a replication stream. See replication.h. */
#include "pg/replication.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conn_internal.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "cursor.h"

static bool parse_u64(const char *text, uint64_t *ret)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0')
        return false;
    *ret = v;
    return true;
}

bool repl_identify(struct pg_conn *conn, struct repl_identity *ret, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    struct repl_identity id = {0};
    uint64_t timeline = 0;
    if (!pg_query(conn, "IDENTIFY_SYSTEM", 0, NULL, &res, err))
        return false;
    if (pg_rows(res) != 1 || pg_columns(res) < 3 || !parse_u64(pg_cell(res, 0, 0), &id.system_id) ||
        !parse_u64(pg_cell(res, 0, 1), &timeline) || timeline > UINT32_MAX ||
        !lsn_parse(pg_cell(res, 0, 2), &id.wal_lsn))
        return err_set(err, ERR_PROTOCOL, "IDENTIFY_SYSTEM: unexpected answer");
    id.timeline = (uint32_t)timeline;
    *ret = id;
    return true;
}

/* Lines "timeline<tab>lsn<tab>reason"; others (comments, blanks) are passed over. */
static size_t parse_history(char *text, struct repl_timeline *out, size_t max)
{
    size_t count = 0;
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line != NULL && count < max;
         line = strtok_r(NULL, "\n", &save)) {
        unsigned timeline;
        char lsn[LSN_TEXT_MAX];
        if (sscanf(line, "%u %19s", &timeline, lsn) == 2 && lsn_parse(lsn, &out[count].end_lsn))
            out[count++].timeline = timeline;
    }
    return count;
}

bool repl_timeline_history(struct pg_conn *conn, uint32_t timeline, struct repl_timeline **ret,
                           size_t *ret_count, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    char sql[64];
    if (timeline <= 1) {
        *ret = NULL;
        *ret_count = 0;
        return true;
    }
    (void)snprintf(sql, sizeof sql, "TIMELINE_HISTORY %u", timeline);
    if (!pg_query(conn, sql, 0, NULL, &res, err))
        return false;
    if (pg_rows(res) != 1 || pg_columns(res) < 2)
        return err_set(err, ERR_PROTOCOL, "%s: unexpected answer", sql);
    char *text = xstrdup(pg_cell(res, 0, 1));
    size_t lines = 1;
    for (const char *p = text; *p != '\0'; p++)
        lines += *p == '\n';
    *ret = xcalloc(lines, sizeof **ret);
    *ret_count = parse_history(text, *ret, lines);
    free(text);
    return true;
}

/* (server: replication grammar, repl_gram.y; the list in parentheses came with 15, FAILOVER with 17) */
static const char *slot_options(int server_version, enum repl_slot_kind kind)
{
    if (server_version < 150000)
        return "EXPORT_SNAPSHOT";
    return kind == REPL_SLOT_FAILOVER && server_version >= 170000 ? "(SNAPSHOT 'export', FAILOVER true)"
                                                                  : "(SNAPSHOT 'export')";
}

bool repl_create_slot(struct pg_conn *conn, const char *slot, enum repl_slot_kind kind, struct repl_slot *ret,
                      struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    struct strbuf sql = STRBUF_INIT(1024);
    struct repl_slot made = {0};
    strbuf_adds(&sql, "CREATE_REPLICATION_SLOT ");
    pg_quote_ident(&sql, slot);
    strbuf_adds(&sql, kind == REPL_SLOT_TEMPORARY ? " TEMPORARY" : "");
    strbuf_adds(&sql, " LOGICAL pgoutput ");
    strbuf_adds(&sql, slot_options(pg_server_version(conn), kind));
    bool ok = strbuf_ok(&sql, "slot name", err) && pg_query(conn, sql.data, 0, NULL, &res, err);
    strbuf_release(&sql);
    if (!ok)
        return false;
    if (pg_rows(res) != 1 || pg_columns(res) < 3 || !lsn_parse(pg_cell(res, 0, 1), &made.consistent_lsn) ||
        pg_cell_len(res, 0, 2) >= sizeof made.snapshot)
        return err_set(err, ERR_PROTOCOL, "CREATE_REPLICATION_SLOT: unexpected answer");
    memcpy(made.snapshot, pg_cell(res, 0, 2), pg_cell_len(res, 0, 2) + 1);
    *ret = made;
    return true;
}

int repl_protocol_version(int server_version)
{
    static const struct {
        int server, protocol;
    } newest[] = {{160000, 4}, {150000, 3}, {140000, 2}};
    for (size_t i = 0; i < ARRAY_LEN(newest); i++) {
        if (server_version >= newest[i].server)
            return newest[i].protocol;
    }
    return 1;
}

bool repl_start(struct pg_conn *conn, const char *slot, lsn_t start_lsn, const char *publication,
                bool in_progress, bool local_only, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(4096), list = STRBUF_INIT(1024);
    char lsn[LSN_TEXT_MAX];
    strbuf_adds(&sql, "START_REPLICATION SLOT ");
    pg_quote_ident(&sql, slot);
    strbuf_addf(&sql, " LOGICAL %s (proto_version '%d', %sbinary 'true', messages 'true', publication_names ",
                lsn_format(start_lsn, lsn), repl_protocol_version(pg_server_version(conn)),
                in_progress ? "streaming 'on', " : "");
    pg_quote_ident(&list, publication); /* a list of identifiers, inside a literal */
    pg_quote_literal(&sql, list.data);
    if (pg_server_version(conn) >= REPL_ORIGIN_VERSION)
        strbuf_addf(&sql, ", origin '%s'", local_only ? "none" : "any");
    strbuf_addc(&sql, ')');
    bool ok = strbuf_ok(&list, "publication name", err) && strbuf_ok(&sql, "START_REPLICATION", err);
    if (ok) {
        PGresult *res = pg_wait_exec(conn->pq, sql.data);
        ok = PQresultStatus(res) == PGRES_COPY_BOTH;
        if (!ok)
            pg_fail(conn, res, "START_REPLICATION", err);
        PQclear(res);
    }
    strbuf_release(&list);
    strbuf_release(&sql);
    return ok;
}

/* The server has ended the stream: with an error, or in good order (which no server does unasked). */
static enum repl_next stream_ended(struct pg_conn *conn, struct err *err)
{
    PGresult *res = pg_wait_result(conn->pq);
    if (res != NULL && PQresultStatus(res) == PGRES_FATAL_ERROR)
        pg_fail(conn, res, "replication stream", err);
    else
        err_set(err, ERR_CONNECT, "replication stream: ended by the server");
    PQclear(res);
    return REPL_ERROR;
}

static enum repl_next parse_frame(struct pg_conn *conn, size_t len, struct repl_frame *ret, struct err *err)
{
    struct cursor c = {.p = conn->copy_row, .end = conn->copy_row + len};
    uint8_t type = cursor_u8(&c);
    *ret = (struct repl_frame){0};
    if (type == 'w') {
        ret->start_lsn = cursor_u64(&c);
        ret->wal_end_lsn = cursor_u64(&c);
        (void)cursor_u64(&c); /* send time */
        ret->bytes = c.p;
        ret->len = cursor_left(&c);
    } else if (type == 'k') {
        ret->wal_end_lsn = cursor_u64(&c);
        (void)cursor_u64(&c);
        ret->reply_requested = cursor_u8(&c) != 0;
    }
    if (c.failed || (type != 'w' && type != 'k')) {
        err_set(err, ERR_PROTOCOL, "replication stream: malformed frame 0x%02x of %zu bytes", type, len);
        return REPL_ERROR;
    }
    return type == 'w' ? REPL_DATA : REPL_KEEPALIVE;
}

enum repl_next repl_next(struct pg_conn *conn, struct repl_frame *ret, struct err *err)
{
    if (conn->copy_row != NULL)
        PQfreemem(conn->copy_row);
    conn->copy_row = NULL;
    int n = PQgetCopyData(conn->pq, &conn->copy_row, 1);
    if (n == 0) {
        if (PQconsumeInput(conn->pq) != 1) {
            pg_fail(conn, NULL, "replication stream", err);
            return REPL_ERROR;
        }
        n = PQgetCopyData(conn->pq, &conn->copy_row, 1);
    }
    if (n == 0)
        return REPL_IDLE;
    if (n == -1)
        return stream_ended(conn, err);
    if (n < 0) {
        pg_fail(conn, NULL, "replication stream", err);
        return REPL_ERROR;
    }
    return parse_frame(conn, (size_t)n, ret, err);
}

bool repl_status(struct pg_conn *conn, lsn_t received_lsn, lsn_t flushed_lsn, bool want_reply,
                 struct err *err)
{
    struct strbuf sb = STRBUF_INIT(64);
    strbuf_addc(&sb, 'r');
    strbuf_add_be64(&sb, received_lsn);
    strbuf_add_be64(&sb, flushed_lsn);
    strbuf_add_be64(&sb, flushed_lsn);
    strbuf_add_be64(&sb, (uint64_t)(clock_wall_us() - PG_EPOCH_US));
    strbuf_addc(&sb, want_reply ? 1 : 0);
    bool ok = strbuf_ok(&sb, "status update", err);
    if (ok && (PQputCopyData(conn->pq, sb.data, (int)sb.len) != 1 || PQflush(conn->pq) < 0))
        ok = pg_fail(conn, NULL, "status update", err);
    strbuf_release(&sb);
    return ok;
}

void repl_stop(struct pg_conn *conn, int timeout_ms)
{
    struct err ignored = ERR_INIT; /* the connection is closed next, whatever happens here */
    struct repl_frame frame;
    int64_t until_us = clock_mono_us() + (int64_t)timeout_ms * 1000;
    if (PQputCopyEnd(conn->pq, NULL) != 1 || PQflush(conn->pq) < 0)
        return;
    for (;;) {
        enum repl_next next = repl_next(conn, &frame, &ignored);
        int64_t left_us = until_us - clock_mono_us();
        if (next == REPL_ERROR || left_us <= 0)
            return;
        struct pollfd fd = {.fd = PQsocket(conn->pq), .events = POLLIN};
        if (next == REPL_IDLE && poll(&fd, 1, (int)(left_us / 1000) + 1) < 0 && errno != EINTR)
            return;
    }
}
