/* Owns: a replaying session. See lane.h. */
#include "lane.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cell_text.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "pg/stream.h"
#include "postgres/postgres.h"

#define ROW_TEXT_MAX ((size_t)256 << 20)
#define COLUMNS_MAX  1664 /* MaxTupleAttributeNumber */
#define OID_NUMERIC  1700

static bool is_postgres(const struct lane *lane)
{
    return session_dialect(lane->session) == DIALECT_POSTGRES;
}

/* RESET ALL takes back what a comparison of tables wants (no sequential scans …). row_security off: a policy that hides rows is an
 * error, not a smaller result. */
static bool set_up_postgres(struct lane *lane, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    const struct lane_settings *s = lane->settings;
    strbuf_addf(&sql,
                "RESET ALL; SET row_security = off; SET lock_timeout = '10s'; SET "
                "idle_in_transaction_session_timeout = 0;"
                "SET client_min_messages = warning; SET default_transaction_read_only = on; SET "
                "statement_timeout = %lld",
                (long long)s->statement_timeout_ms);
    for (size_t i = 0; i < s->search_path_count; i++) {
        strbuf_adds(&sql, i == 0 ? "; SET search_path = " : ", ");
        pg_quote_ident(&sql, s->search_path[i]);
    }
    bool ok =
        strbuf_ok(&sql, "statement", err) && pg_exec(session_postgres_conn(lane->session), sql.data, err);
    strbuf_release(&sql);
    return ok;
}

/* A server that we are cut off from, or whose client was killed, notices: no query and no snapshot stays for hours. */
static bool limit_orphans(struct lane *lane, struct err *err)
{
    struct pg_conn *conn = session_postgres_conn(lane->session);
    if (!pg_exec(
            conn,
            "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3",
            err))
        return false;
    if (pg_server_version(conn) >= 140000) /* not every platform can */
        (void)!pg_exec(conn, "SET client_connection_check_interval = '2s'", NULL);
    return true;
}

static bool read_exact_types(struct lane *lane, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(
            session_postgres_conn(lane->session),
            "SELECT oid::bigint FROM pg_catalog.pg_type WHERE typtype = 'e' OR (oid IN (18, 19, 25, 1043) AND"
            " NOT EXISTS (SELECT FROM pg_catalog.pg_collation WHERE NOT collisdeterministic))",
            0, NULL, &res, err))
        return false;
    lane->exact_types = xcalloc((size_t)pg_rows(res) + 1, sizeof *lane->exact_types);
    for (int i = 0; i < pg_rows(res); i++)
        lane->exact_types[lane->exact_count++] = (uint32_t)strtoul(pg_cell(res, i, 0), NULL, 10);
    return true;
}

static bool prepare_postgres(struct lane *lane, struct err *err)
{
    return set_up_postgres(lane, err) && limit_orphans(lane, err) && read_exact_types(lane, err);
}

/* sql_select_limit bounds what a result can hold: its rows come all at once there. */
static bool set_up_mariadb(struct lane *lane, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(256);
    strbuf_addf(&sql, "SET SESSION sql_select_limit = %llu",
                (unsigned long long)lane->settings->max_rows + 1);
    bool ok = session_exec(lane->session, sql.data, err) &&
              session_limit_time(lane->session, lane->settings->statement_timeout_ms, err);
    strbuf_release(&sql);
    return ok;
}

bool lane_open(struct lane *lane, const char *url, const char *side, const struct lane_settings *settings,
               struct err *err)
{
    *lane = (struct lane){.settings = settings};
    if (!session_open(url, side, settings->pipeline, &lane->session, err))
        return false;
    return (is_postgres(lane) ? prepare_postgres : set_up_mariadb)(lane, err) ||
           err_wrap(err, "%s: settings", side);
}

void lane_close(struct lane *lane)
{
    session_close(lane->session);
    free(lane->exact_types);
    *lane = (struct lane){0};
}

bool lane_begin(struct lane *lane, const char *snapshot, struct err *err)
{
    return session_begin(lane->session, snapshot, err);
}

bool lane_guard(struct lane *lane, struct err *err)
{
    return session_savepoint(lane->session, err);
}

struct hashing {
    const struct lane *lane;
    struct lane_answer *answer;
    const struct sql_statement *st;
    uint64_t max_rows;
    bool began, plain;
    struct err err;
};

/* The output column that a sort key names; -1: none, or more than one. */
static int column_of(const struct pg_result *res, const struct sql_order_key *key)
{
    int found = -1, n = pg_columns(res);
    if (key->position > 0)
        return key->position <= n ? key->position - 1 : -1;
    for (int i = 0; key->name != NULL && *key->name != '\0' && i < n; i++) {
        if (strcmp(pg_column_name(res, i), key->name) == 0) {
            if (found >= 0)
                return -1;
            found = i;
        }
    }
    return found;
}

/* Whether values of a type that sort as equal are written alike (once decimals and floats are trimmed: rows_hash.h). Not so interval,
 * char(n), jsonb, arrays, citext …, and texts under a collation that is not deterministic. */
static bool is_exact(const struct lane *lane, uint32_t type)
{
    static const uint32_t exact[] = {
        16,   17,   20,   21,   23,   26,          700, 701, /* bool, bytea, integers, oid, floats */
        1082, 1083, 1114, 1184, 2950, OID_NUMERIC, 3220}; /* date, time, timestamps, uuid, numeric, pg_lsn */
    for (size_t i = 0; i < ARRAY_LEN(exact); i++) {
        if (exact[i] == type)
            return true;
    }
    for (size_t i = 0; i < lane->exact_count; i++) {
        if (lane->exact_types[i] == type)
            return true;
    }
    return false;
}

static void begin_rows(struct hashing *h, const struct pg_result *res)
{
    size_t keys[ROWS_KEYS_MAX], n = h->st->order_count;
    bool all = n <= ROWS_KEYS_MAX, vague = false;
    rows_hash_begin(&h->answer->rows, (size_t)pg_columns(res));
    for (size_t i = 0; all && i < n; i++) {
        int column = column_of(res, &h->st->order[i]);
        all = column >= 0;
        keys[i] = all ? (size_t)column : 0;
        vague = vague || (all && !is_exact(h->lane, pg_column_type(res, column)));
    }
    if (all)
        rows_hash_set_keys(&h->answer->rows, keys, n);
    h->answer->rows.vague_keys = vague;
    h->began = true;
}

static bool add_row(struct hashing *h, struct rows_cell *cells, size_t columns)
{
    struct strbuf text = STRBUF_INIT(ROW_TEXT_MAX);
    if (h->answer->rows.rows >= h->max_rows) {
        h->answer->end = LANE_TOO_LARGE;
        return false;
    }
    bool ok = (!h->plain || cells_plain(cells, columns, &text, &h->err)) &&
              rows_hash_add(&h->answer->rows, cells, &h->err);
    strbuf_release(&text);
    return ok;
}

static enum cell_kind kind_of_type(uint32_t type)
{
    switch (type) {
    case 16:
        return CELL_BOOL;
    case 17:
        return CELL_BYTES;
    case PG_OID_FLOAT4:
    case PG_OID_FLOAT8:
        return CELL_FLOAT;
    case OID_NUMERIC:
        return CELL_DECIMAL;
    case 1083: /* time, timestamp, timestamptz, timetz */
    case 1114:
    case 1184:
    case 1266:
        return CELL_TIME;
    default:
        return CELL_TEXT;
    }
}

static bool hash_rows(void *ctx, const struct pg_result *res)
{
    struct hashing *h = ctx;
    struct rows_cell cells[COLUMNS_MAX];
    enum cell_kind kinds[COLUMNS_MAX];
    int columns = MIN_OF(pg_columns(res), COLUMNS_MAX);
    if (!h->began)
        begin_rows(h, res);
    for (int i = 0; i < columns; i++)
        kinds[i] = kind_of_type(pg_column_type(res, i));
    for (int r = 0; r < pg_rows(res); r++) {
        for (int i = 0; i < columns; i++)
            cells[i] = (struct rows_cell){.bytes = pg_is_null(res, r, i) ? NULL : pg_cell(res, r, i),
                                          .len = pg_cell_len(res, r, i),
                                          .kind = kinds[i]};
        if (!add_row(h, cells, (size_t)columns))
            return false;
    }
    return true;
}

/* Sort keys are PostgreSQL's to tell: without them on one side, an order is not held against the other's. */
static bool hash_rowset(struct hashing *h, const struct rowset *rs)
{
    static const enum cell_kind kinds[] = {
        [COLUMN_OTHER] = CELL_TEXT,  [COLUMN_TEXT] = CELL_TEXT,      [COLUMN_BYTES] = CELL_TEXT,
        [COLUMN_BOOL] = CELL_TEXT,   [COLUMN_NUMBER] = CELL_DECIMAL, [COLUMN_SINGLE] = CELL_FLOAT,
        [COLUMN_FLOAT] = CELL_FLOAT, [COLUMN_TIME] = CELL_TIME};
    struct rows_cell cells[COLUMNS_MAX];
    int columns = MIN_OF(rowset_columns(rs), COLUMNS_MAX);
    rows_hash_begin(&h->answer->rows, (size_t)columns);
    for (int r = 0; r < rowset_rows(rs); r++) {
        for (int i = 0; i < columns; i++)
            cells[i] = (struct rows_cell){.bytes = rowset_is_null(rs, r, i) ? NULL : rowset_cell(rs, r, i),
                                          .len = rowset_cell_len(rs, r, i),
                                          .kind = kinds[rowset_column_kind(rs, i)]};
        if (!add_row(h, cells, (size_t)columns))
            return !err_is_set(&h->err);
    }
    return true;
}

static bool begin_live(struct lane *lane, struct err *err)
{
    if (!lane->live)
        return true;
    if (is_postgres(lane))
        return pg_exec(session_postgres_conn(lane->session), "BEGIN READ ONLY; SAVEPOINT crossfade", err);
    return session_begin(lane->session, NULL, err);
}

/* Whatever a query took goes with it: its locks on tables (an ALTER TABLE or TRUNCATE of the application would wait for us, and all
 * behind it), settings that a function made, and locks by advice. The snapshot is the outer transaction's and stays. */
static bool end_run(struct lane *lane, struct err *err)
{
    bool ok = lane->live ? session_exec(lane->session, "ROLLBACK", err) : session_recover(lane->session, err);
    return ok && (!is_postgres(lane) || pg_exec(session_postgres_conn(lane->session),
                                                "SELECT pg_catalog.pg_advisory_unlock_all()", err));
}

static const char *text_for(const struct shadow_variant *v, bool target)
{
    return target && v->target_sql != NULL ? v->target_sql : v->st.text;
}

/* "statement: what the server said (SQLSTATE …)": the head of the statement may hold values. */
static void note_error(struct lane_answer *answer, const struct err *found, const char *sql)
{
    size_t head = strnlen(sql, 68);
    const char *text = strncmp(found->text, sql, head) == 0 && strncmp(found->text + head, ": ", 2) == 0
                           ? found->text + head + 2
                           : found->text;
    answer->end = LANE_ERROR;
    memcpy(answer->sqlstate, found->sqlstate, sizeof answer->sqlstate);
    (void)snprintf(answer->text, sizeof answer->text, "%.*s", (int)strcspn(text, "\n"), text);
}

static bool run_postgres(struct lane *lane, const struct shadow_variant *v, const char *sql,
                         struct hashing *h, bool *ret_stopped, struct err *found)
{
    return pg_stream(session_postgres_conn(lane->session), sql, (int)v->param_count,
                     (const char *const *)v->params, hash_rows, h, ret_stopped, found);
}

static bool run_mariadb(struct lane *lane, const struct shadow_variant *v, const char *sql, struct hashing *h,
                        struct err *found)
{
    ROWSET_AUTO rs = NULL;
    return session_ask(lane->session, sql, (int)v->param_count, (const char *const *)v->params, &rs, found) &&
           hash_rowset(h, rs);
}

bool lane_run(struct lane *lane, const struct shadow_variant *variant, bool target, struct lane_answer *ret,
              struct err *err)
{
    struct lane_answer answer = {0};
    struct hashing h = {.lane = lane,
                        .answer = &answer,
                        .st = &variant->st,
                        .max_rows = lane->settings->max_rows,
                        .plain = lane->plain,
                        .err = ERR_INIT};
    struct err found = ERR_INIT;
    bool stopped = false;
    const char *sql = text_for(variant, target);
    if (!begin_live(lane, err))
        return false;
    int64_t began_us = clock_mono_us();
    bool ok = is_postgres(lane) ? run_postgres(lane, variant, sql, &h, &stopped, &found)
                                : run_mariadb(lane, variant, sql, &h, &found);
    answer.us = clock_mono_us() - began_us;
    if (err_is_set(&h.err)) {
        *err = h.err;
        return false;
    }
    if (!ok && (found.sqlstate[0] == '\0' || found.code == ERR_CONNECT)) {
        *err = found;
        return false;
    }
    if (!ok)
        note_error(&answer, &found, sql);
    if (!end_run(lane, err))
        return false;
    *ret = answer;
    return true;
}

bool lane_explain(struct lane *lane, const struct shadow_variant *variant, bool target, char **ret,
                  struct err *err)
{
    ROWSET_AUTO rs = NULL;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    *ret = NULL;
    if (!is_postgres(lane))
        return true;
    if (!begin_live(lane, err))
        return false;
    strbuf_addf(&sql, "EXPLAIN (FORMAT JSON) %s", text_for(variant, target));
    bool ok = !sql.failed && session_ask(lane->session, sql.data, (int)variant->param_count,
                                         (const char *const *)variant->params, &rs, NULL);
    strbuf_release(&sql);
    if (!end_run(lane, err))
        return false;
    *ret = ok && rowset_rows(rs) > 0 ? xstrdup(rowset_cell(rs, 0, 0)) : NULL;
    return true;
}
