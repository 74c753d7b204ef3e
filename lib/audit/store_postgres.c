/* Owns: the chain on PostgreSQL. Writers take turns by an advisory lock of their transaction, which takes no right to the table but INSERT. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "audit/chain.h"
#include "audit/store.h"
#include "core/alloc.h"
#include "pg/conn.h"
#include "pg/control_tables.h"
#include "sql/embedded.h"

#define ISO_TIME(value) "to_char(" value " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"

/* Not for ever behind a writer that was stopped; a statement's snapshot must be newer than the lock. */
#define LOCK_SQL                                                                                             \
    "SET LOCAL lock_timeout = '30s'; SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended("   \
    "'crossfade audit', 0))"
#define BEGIN_SQL "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; "

struct pg_store {
    struct audit_store base;
    struct pg_conn *conn;
    bool borrowed;
};

static struct pg_store *of(const struct audit_store *s)
{
    return (struct pg_store *)(uintptr_t)s;
}

static bool ensure(struct audit_store *s, struct err *err)
{
    struct pg_conn *conn = of(s)->conn;
    /* pg_control_tables_ensure() begins a transaction of its own */
    return pg_in_transaction(conn) ||
           pg_control_tables_ensure(conn, "crossfade.audit", embedded_sql_target_sql, "target", err);
}

static bool begin(struct audit_store *s, struct err *err)
{
    struct pg_store *ps = of(s);
    ps->base.inside = pg_in_transaction(ps->conn);
    return pg_exec(ps->conn, ps->base.inside ? LOCK_SQL : BEGIN_SQL LOCK_SQL, err);
}

static bool end(struct audit_store *s, bool keep, struct err *err)
{
    struct pg_store *ps = of(s);
    return ps->base.inside || pg_exec(ps->conn, keep ? "COMMIT" : "ROLLBACK", err);
}

static bool tip(struct audit_store *s, struct audit_tip *ret, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(of(s)->conn,
                  "SELECT " ISO_TIME(
                      "pg_catalog.clock_timestamp()") ", session_user, t.seq, t.hash"
                                                      " FROM (SELECT) one LEFT JOIN (SELECT seq, hash FROM "
                                                      "crossfade.audit ORDER BY seq DESC LIMIT 1) t"
                                                      " ON true",
                  0, NULL, &res, err))
        return false;
    if (pg_rows(res) != 1)
        return err_set(err, ERR_PROTOCOL, "crossfade.audit: %d rows in place of one", pg_rows(res));
    *ret = (struct audit_tip){0};
    (void)snprintf(ret->at, sizeof ret->at, "%s", pg_cell(res, 0, 0));
    (void)snprintf(ret->db_user, sizeof ret->db_user, "%s", pg_cell(res, 0, 1));
    bool first = pg_is_null(res, 0, 2);
    ret->last.seq = first ? 0 : pg_cell_int64(res, 0, 2);
    (void)snprintf(ret->last.hash, sizeof ret->last.hash, "%s",
                   first ? audit_first_prev : pg_cell(res, 0, 3));
    return true;
}

static bool insert(struct audit_store *s, const struct audit_row *row, struct err *err)
{
    char seq[24];
    (void)snprintf(seq, sizeof seq, "%" PRId64, row->seq);
    const char *params[] = {seq,          row->at,   row->pipeline, row->cutover_id, row->event, row->os_user,
                            row->db_user, row->host, row->detail,   row->prev,       row->hash};
    PG_RESULT_AUTO res = NULL;
    return pg_query(
        of(s)->conn,
        "INSERT INTO crossfade.audit (seq, at, pipeline, cutover_id, event, os_user, db_user, host,"
        " detail, prev_hash, hash) VALUES ($1::bigint, $2::timestamptz, $3, $4, $5, $6, $7, $8, $9,"
        " $10, $11)",
        ARRAY_LEN(params), params, &res, err);
}

/* Plans by the primary key: a filter that is not given is NULL. */
static bool page(struct audit_store *s, const struct audit_filter *filter, int64_t after, int limit,
                 audit_each_row *each, void *ctx, int *ret_count, int64_t *ret_last, struct err *err)
{
    char from[24], most[16];
    (void)snprintf(from, sizeof from, "%" PRId64, after);
    (void)snprintf(most, sizeof most, "%d", limit);
    const char *params[] = {from, most, filter->pipeline, filter->event, filter->cutover_id};
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(of(s)->conn,
                  "SELECT seq, " ISO_TIME(
                      "at") ", pipeline, cutover_id, event, os_user, db_user, host, detail,"
                            " prev_hash, hash FROM crossfade.audit WHERE seq > $1::bigint"
                            " AND ($3::text IS NULL OR pipeline = $3) AND ($4::text IS NULL OR event LIKE $4)"
                            " AND ($5::text IS NULL OR cutover_id = $5) ORDER BY seq LIMIT $2::bigint",
                  ARRAY_LEN(params), params, &res, err))
        return false;
    *ret_count = pg_rows(res);
    for (int i = 0; i < *ret_count; i++) {
        struct audit_row row = {.seq = pg_cell_int64(res, i, 0),
                                .at = pg_cell(res, i, 1),
                                .pipeline = pg_cell(res, i, 2),
                                .cutover_id = pg_cell(res, i, 3),
                                .event = pg_cell(res, i, 4),
                                .os_user = pg_cell(res, i, 5),
                                .db_user = pg_cell(res, i, 6),
                                .host = pg_cell(res, i, 7),
                                .detail = pg_cell(res, i, 8),
                                .prev = pg_cell(res, i, 9),
                                .hash = pg_cell(res, i, 10)};
        if (!each(ctx, &row, err))
            return false;
        *ret_last = row.seq;
    }
    return true;
}

static bool count(struct audit_store *s, int64_t upto, int64_t *ret, struct err *err)
{
    char last[24];
    (void)snprintf(last, sizeof last, "%" PRId64, upto);
    const char *params[] = {last};
    return pg_query_int64(of(s)->conn,
                          "SELECT count(*) FROM crossfade.audit WHERE seq <= $1::bigint OR seq IS NULL", 1,
                          params, ret, err);
}

static void close_store(struct audit_store *s)
{
    struct pg_store *ps = of(s);
    if (!ps->borrowed)
        pg_close(ps->conn);
    free(ps);
}

static const struct audit_store_ops ops = {.ensure = ensure,
                                           .begin = begin,
                                           .tip = tip,
                                           .insert = insert,
                                           .end = end,
                                           .page = page,
                                           .count = count,
                                           .close = close_store};

struct audit_store *audit_store_postgres(struct pg_conn *conn, bool borrowed)
{
    struct pg_store *ps = xcalloc(1, sizeof *ps);
    ps->base.ops = &ops;
    ps->conn = conn;
    ps->borrowed = borrowed;
    return &ps->base;
}
