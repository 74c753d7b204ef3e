/* Owns: the chain on MariaDB. Writers take turns by GET_LOCK; where that is not enough (a cluster), the primary key is. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/chain.h"
#include "audit/store.h"
#include "core/alloc.h"
#include "core/strbuf.h"
#include "maria/conn.h"
#include "maria/script.h"
#include "sql/embedded.h"

#define LOCK_NAME "CONCAT('crossfade_audit_', MD5(DATABASE()))"
#define TABLE_SQL "TABLE IF NOT EXISTS crossfade_audit "
#define COLUMNS   11

struct maria_store {
    struct audit_store base;
    struct maria_conn *conn;
    bool borrowed;
    bool locked; /* until the caller's transaction ends: what it has inserted nobody else sees before */
};

static struct maria_store *of(const struct audit_store *s)
{
    return (struct maria_store *)(uintptr_t)s;
}

static void let_go(struct maria_store *ms)
{
    struct err ignored = ERR_INIT; /* of a session that has gone: its lock went with it */
    if (ms->locked)
        (void)!maria_exec(ms->conn, "DO RELEASE_LOCK(" LOCK_NAME ")", &ignored);
    ms->locked = false;
}

static bool is_there(struct maria_store *ms, bool *ret, struct err *err)
{
    char *text CLEANUP(free_ptr) = NULL;
    if (!maria_query_text(
            ms->conn,
            "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND "
            "TABLE_NAME = 'crossfade_audit'",
            0, &text, err))
        return false;
    *ret = text != NULL && strcmp(text, "0") != 0;
    return true;
}

/* This one alone: the script's other tables are not ours to make. */
static bool make_table(struct maria_store *ms, struct err *err)
{
    const char *script = embedded_sql_target_mariadb_sql;
    bool ok = true;
    for (char *sql; ok && (sql = maria_script_next(&script)) != NULL; free(sql)) {
        if (strstr(sql, TABLE_SQL) != NULL)
            ok = maria_exec(ms->conn, sql, err);
    }
    return ok;
}

/* Making a table would commit a transaction of the caller's. */
static bool ensure(struct audit_store *s, struct err *err)
{
    bool there = false;
    return maria_in_transaction(of(s)->conn) ||
           (is_there(of(s), &there, err) && (there || make_table(of(s), err)));
}

static bool begin(struct audit_store *s, struct err *err)
{
    struct maria_store *ms = of(s);
    char *got CLEANUP(free_ptr) = NULL;
    s->inside = maria_in_transaction(ms->conn);
    if (ms->locked)
        return true;
    if (!maria_query_text(ms->conn, "SELECT GET_LOCK(" LOCK_NAME ", 30)", 0, &got, err))
        return false;
    ms->locked = got != NULL && strcmp(got, "1") == 0;
    return ms->locked ||
           err_set(err, ERR_BUSY, "another writer has held the lock of crossfade_audit for 30 s");
}

/* The row is committed by itself, or with the caller's transaction: then settled() says so. */
static bool end(struct audit_store *s, bool keep, struct err *err)
{
    (void)keep;
    (void)err;
    if (!s->inside)
        let_go(of(s));
    return true;
}

static void settled(struct audit_store *s)
{
    let_go(of(s));
}

static void copy(char *to, size_t size, const char *from)
{
    (void)snprintf(to, size, "%s", from != NULL ? from : "");
}

static bool take_tip(void *ctx, char **cells, size_t cell_count, struct err *err)
{
    struct audit_tip *t = ctx;
    if (cell_count != 4 || cells[0] == NULL)
        return err_set(err, ERR_PROTOCOL, "crossfade_audit: the last row cannot be read");
    copy(t->at, sizeof t->at, cells[0]);
    copy(t->db_user, sizeof t->db_user, cells[1]);
    t->last.seq = cells[2] != NULL ? strtoll(cells[2], NULL, 10) : 0;
    copy(t->last.hash, sizeof t->last.hash, cells[2] != NULL ? cells[3] : audit_first_prev);
    return true;
}

static bool tip(struct audit_store *s, struct audit_tip *ret, struct err *err)
{
    *ret = (struct audit_tip){0};
    return maria_query(
        of(s)->conn,
        "SELECT DATE_FORMAT(UTC_TIMESTAMP(6), '%Y-%m-%dT%H:%i:%s.%fZ'), USER(), t.seq, t.hash"
        " FROM (SELECT 1 one) o LEFT JOIN (SELECT seq, hash FROM crossfade_audit ORDER BY seq DESC"
        " LIMIT 1) t ON 1 = 1",
        take_tip, ret, err);
}

static void add(struct strbuf *sql, const char *text)
{
    strbuf_adds(sql, ", ");
    maria_quote_literal(sql, text);
}

static bool insert(struct audit_store *s, const struct audit_row *row, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_addf(
        &sql,
        "INSERT INTO crossfade_audit (seq, at, pipeline, cutover_id, event, os_user, db_user, host, detail,"
        " prev_hash, hash) VALUES (%" PRId64 ", REPLACE(REPLACE(",
        row->seq);
    maria_quote_literal(&sql, row->at);
    strbuf_adds(&sql, ", 'T', ' '), 'Z', '')");
    const char *const texts[] = {row->pipeline, row->cutover_id, row->event, row->os_user, row->db_user,
                                 row->host,     row->detail,     row->prev,  row->hash};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        add(&sql, texts[i]);
    strbuf_addc(&sql, ')');
    bool ok = strbuf_ok(&sql, "a row of the audit chain", err) && maria_exec(of(s)->conn, sql.data, err);
    strbuf_release(&sql);
    return ok;
}

struct reading {
    audit_each_row *each;
    void *ctx;
    int count;
    int64_t last;
};

static bool take_row(void *ctx, char **cells, size_t cell_count, struct err *err)
{
    struct reading *r = ctx;
    if (cell_count != COLUMNS)
        return err_set(err, ERR_PROTOCOL, "crossfade_audit: %zu columns in place of %d", cell_count, COLUMNS);
    for (size_t i = 0; i < cell_count; i++) {
        if (cells[i] == NULL)
            cells[i] = strbuf_empty;
    }
    struct audit_row row = {.seq = strtoll(cells[0], NULL, 10),
                            .at = cells[1],
                            .pipeline = cells[2],
                            .cutover_id = cells[3],
                            .event = cells[4],
                            .os_user = cells[5],
                            .db_user = cells[6],
                            .host = cells[7],
                            .detail = cells[8],
                            .prev = cells[9],
                            .hash = cells[10]};
    r->count++;
    r->last = row.seq;
    return r->each(r->ctx, &row, err);
}

static void add_filter(struct strbuf *sql, const char *column_is, const char *text)
{
    if (text == NULL)
        return;
    strbuf_addf(sql, " AND %s ", column_is);
    maria_quote_literal(sql, text);
}

static bool page(struct audit_store *s, const struct audit_filter *filter, int64_t after, int limit,
                 audit_each_row *each, void *ctx, int *ret_count, int64_t *ret_last, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(65536);
    struct reading reading = {.each = each, .ctx = ctx, .last = *ret_last};
    strbuf_addf(
        &sql,
        "SELECT seq, DATE_FORMAT(at, '%%Y-%%m-%%dT%%H:%%i:%%s.%%fZ'), pipeline, cutover_id, event, os_user,"
        " db_user, host, detail, prev_hash, hash FROM crossfade_audit WHERE seq > %" PRId64,
        after);
    add_filter(&sql, "pipeline =", filter->pipeline);
    add_filter(&sql, "event LIKE", filter->event);
    add_filter(&sql, "cutover_id =", filter->cutover_id);
    strbuf_addf(&sql, " ORDER BY seq LIMIT %d", limit);
    bool ok =
        strbuf_ok(&sql, "statement", err) && maria_query(of(s)->conn, sql.data, take_row, &reading, err);
    strbuf_release(&sql);
    if (!ok)
        return false;
    *ret_count = reading.count;
    *ret_last = reading.last;
    return true;
}

static bool count(struct audit_store *s, int64_t upto, int64_t *ret, struct err *err)
{
    char sql[120], *text CLEANUP(free_ptr) = NULL;
    (void)snprintf(sql, sizeof sql,
                   "SELECT COUNT(*) FROM crossfade_audit WHERE seq <= %" PRId64 " OR seq IS NULL", upto);
    if (!maria_query_text(of(s)->conn, sql, 0, &text, err))
        return false;
    *ret = text != NULL ? strtoll(text, NULL, 10) : 0;
    return true;
}

static void close_store(struct audit_store *s)
{
    if (!of(s)->borrowed)
        maria_close(of(s)->conn);
    free(s);
}

static const struct audit_store_ops ops = {.ensure = ensure,
                                           .begin = begin,
                                           .tip = tip,
                                           .insert = insert,
                                           .end = end,
                                           .page = page,
                                           .count = count,
                                           .settled = settled,
                                           .close = close_store};

struct audit_store *audit_store_mariadb_on(struct maria_conn *borrowed)
{
    struct maria_store *ms = xcalloc(1, sizeof *ms);
    ms->base.ops = &ops;
    ms->conn = borrowed;
    ms->borrowed = true;
    return &ms->base;
}

bool audit_store_mariadb(const char *url, struct audit_store **ret, struct err *err)
{
    struct maria_conn *conn = NULL;
    if (!maria_open_as(url, "crossfade audit", &conn, err))
        return false;
    if (!maria_exec(conn, "SET autocommit = 1", err)) {
        maria_close(conn);
        return false;
    }
    struct maria_store *ms = xcalloc(1, sizeof *ms);
    ms->base.ops = &ops;
    ms->conn = conn;
    *ret = &ms->base;
    return true;
}
