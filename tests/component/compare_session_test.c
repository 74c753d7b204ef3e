/* One suite for the sessions of both dialects (compare/session.h): what a comparison may rely on. */
#include "mariadb_server.h"

#include <pthread.h>

#include "compare/control.h"
#include "compare/session.h"
#include "core/alloc.h"

static struct pg_server postgres;
static struct mariadb_server mariadb;
static char urls[3][160]; /* by dialect_kind */
static struct err err;

static void ok(bool good)
{
    if (!good)
        fail_msg("%s: %s", err_code_name(err.code), err.text);
}

static enum dialect_kind kind_of(void **state)
{
    return *state != NULL ? DIALECT_MARIADB : DIALECT_POSTGRES;
}

static struct session *open_one(void **state)
{
    struct session *s = NULL;
    ok(session_open(urls[kind_of(state)], "target", "shop", &s, &err));
    return s;
}

static struct rowset *ask(struct session *s, const char *sql, int count, const char *const *params)
{
    struct rowset *rs = NULL;
    ok(session_ask(s, sql, count, params, &rs, &err));
    return rs;
}

static int start_servers(void **state)
{
    (void)state;
    pg_server_start(&postgres);
    mariadb_server_start(&mariadb);
    mysql_close(mariadb_server_database(&mariadb, "shop"));
    (void)snprintf(urls[DIALECT_POSTGRES], sizeof urls[0], "%s", postgres.url);
    (void)snprintf(urls[DIALECT_MARIADB], sizeof urls[0], "mariadb://crossfade:p%%40ss@127.0.0.1:%d/shop",
                   mariadb.port);
    return 0;
}

static int stop_servers(void **state)
{
    (void)state;
    pg_server_stop(&postgres);
    mariadb_server_stop(&mariadb);
    return 0;
}

static void knows_its_server(void **state)
{
    struct session *s = open_one(state);
    bool on_mariadb = kind_of(state) == DIALECT_MARIADB;
    assert_int_equal(session_dialect(s), kind_of(state));
    assert_non_null(strstr(session_server(s), on_mariadb ? "MariaDB 1" : "PostgreSQL 1"));
    assert_string_equal(session_database(s), on_mariadb ? "shop" : "postgres");
    assert_true(session_version(s) > 100000);
    session_close(s);
}

static void rows_are_text(void **state)
{
    struct session *s = open_one(state);
    const char *params[] = {"it's \\ $1 \"x\" `y`", NULL, "7"};
    struct rowset *rs = ask(s,
                            "SELECT CAST($1 AS char(40)) AS a, '$1 ''$2' AS b, $2 AS c, $3 + 1 AS d UNION "
                            "ALL SELECT '', 'y', 'z', 2",
                            3, params);
    assert_int_equal(rowset_rows(rs), 2);
    assert_int_equal(rowset_columns(rs), 4);
    assert_string_equal(rowset_column_name(rs, 1), "b");
    assert_memory_equal(rowset_cell(rs, 0, 0), params[0], strlen(params[0]));
    assert_string_equal(rowset_cell(rs, 0, 1), "$1 '$2");
    assert_int_equal(rowset_cell_len(rs, 0, 1), 6);
    assert_true(rowset_is_null(rs, 0, 2));
    assert_string_equal(rowset_cell(rs, 0, 2), "");
    assert_int_equal(rowset_int64(rs, 0, 3), 8);
    assert_false(rowset_is_null(rs, 1, 0));
    rowset_free(rs);
    rs = ask(s, "SELECT 1 = 1, 1 = 2", 0, NULL);
    assert_true(rowset_bool(rs, 0, 0));
    assert_false(rowset_bool(rs, 0, 1));
    rowset_free(rs);
    session_close(s);
}

static int64_t count_of(struct session *s, const char *table)
{
    char sql[80];
    int64_t n = -1;
    (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", table);
    ok(session_int64(s, sql, 0, NULL, &n, &err));
    return n;
}

static const char *table_name(void **state, const char *name)
{
    static char out[40];
    (void)snprintf(out, sizeof out, "%s%s", kind_of(state) == DIALECT_MARIADB ? "" : "public.", name);
    return out;
}

static void snapshot_stays(void **state)
{
    struct session *writer = open_one(state), *reader = open_one(state);
    char sql[100];
    const char *table = table_name(state, "stays");
    (void)snprintf(sql, sizeof sql, "CREATE TABLE %s (id int)", table);
    ok(session_exec(writer, sql, &err));
    ok(session_begin(reader, NULL, &err));
    ok(session_savepoint(reader, &err));
    assert_int_equal(count_of(reader, table), 0);
    (void)snprintf(sql, sizeof sql, "INSERT INTO %s VALUES (1)", table);
    ok(session_exec(writer, sql, &err));
    assert_false(session_exec(reader, sql, &err)); /* read only */
    ok(session_recover(reader, &err));
    assert_false(session_exec(reader, "SELECT nothing FROM nowhere", &err));
    assert_int_not_equal(err.code, ERR_CONNECT);
    ok(session_recover(reader, &err));
    assert_int_equal(count_of(reader, table), 0);
    assert_int_equal(count_of(writer, table), 1);
    ok(session_exec(reader, "COMMIT", &err)); /* what a server may do on its own: the snapshot is gone */
    assert_false(session_recover(reader, &err));
    assert_false(session_exec(reader, "SELECT 1", &err));
    assert_int_equal(err.code, ERR_CONNECT);
    session_close(writer);
    session_close(reader);
}

static void both_at_once(void **state)
{
    struct pair pair = {.session = {open_one(state), open_one(state)}};
    struct statement st[SIDE_COUNT] = {{STRBUF_INIT(200), 0, NULL}, {STRBUF_INIT(200), 0, NULL}};
    struct rowset *rs[SIDE_COUNT] = {NULL};
    for (int i = 0; i < SIDE_COUNT; i++) {
        ok(session_begin(pair.session[i], NULL, &err) && session_savepoint(pair.session[i], &err));
        strbuf_adds(&st[i].sql, i == 0 ? "SELECT 'left'" : "SELECT 'right'");
    }
    ok(pair_query(&pair, st, rs, &err));
    assert_string_equal(rowset_cell(rs[0], 0, 0), "left");
    assert_string_equal(rowset_cell(rs[1], 0, 0), "right");
    pair_results_free(rs);
    strbuf_clear(&st[1].sql);
    strbuf_adds(&st[1].sql, "SELECT nothing FROM nowhere");
    assert_false(pair_query(&pair, st, rs, &err));
    assert_memory_equal(err.text, "target", 6);
    strbuf_clear(&st[1].sql);
    strbuf_adds(&st[1].sql, "SELECT 'again'");
    ok(pair_query(&pair, st, rs, &err));
    assert_string_equal(rowset_cell(rs[1], 0, 0), "again");
    pair_results_free(rs);
    ok(pair_scan_whole(&pair, true, &err) && pair_scan_whole(&pair, false, &err));
    strbuf_release(&st[0].sql);
    strbuf_release(&st[1].sql);
    pair_close(&pair);
}

static const char *slow_sql(void **state)
{
    return kind_of(state) == DIALECT_MARIADB ? "SELECT SLEEP(600)" : "SELECT pg_sleep(600)";
}

/* MariaDB's SLEEP answers 1 when it was ended, where other statements fail. */
static bool was_ended(struct session *s, const char *sql)
{
    struct rowset *rs = NULL;
    bool fine = session_ask(s, sql, 0, NULL, &rs, &err);
    bool ended = !fine || rowset_int64(rs, 0, 0) == 1;
    rowset_free(rs);
    return ended;
}

static void time_is_limited(void **state)
{
    struct session *s = open_one(state);
    ok(session_limit_time(s, 150, &err));
    assert_true(was_ended(s, slow_sql(state)));
    ok(session_limit_time(s, 0, &err));
    ok(session_exec(s, "SELECT 1", &err));
    session_close(s);
}

struct slow {
    struct session *s;
    const char *sql;
    bool ended;
    _Atomic bool done;
};

static void *run_slow(void *arg)
{
    struct slow *slow = arg;
    slow->ended = was_ended(slow->s, slow->sql);
    slow->done = true;
    return NULL;
}

static void is_cancelled_from_outside(void **state)
{
    struct slow slow = {.s = open_one(state), .sql = slow_sql(state)};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_slow, &slow), 0);
    while (!slow.done) { /* the first may come before the statement */
        session_cancel(slow.s);
        usleep(20000);
    }
    pthread_join(thread, NULL);
    assert_true(slow.ended);
    ok(session_exec(slow.s, "SELECT 1", &err));
    session_close(slow.s);
}

static void control_tables_are_made(void **state)
{
    struct session *s = open_one(state);
    const struct control *control = control_of(s);
    const char *pipeline = "shop", *release[] = {"shop", "nonce"}, *name = "verdict";
    const char *verdict[] = {"shop",
                             "12",
                             "0/15D68C50",
                             "full",
                             "PASS",
                             "{\"tables\": 1}",
                             "2026-11-22T08:00:00.123456Z",
                             "{\"public.a\": \"x\"}"};
    int64_t there = 0;
    for (int i = 0; i < 2; i++)
        ok(control->ensure(s, &err));
    ok(session_int64(s, control->table_there, 1, &name, &there, &err));
    assert_int_equal(there, 1);
    for (int i = 0; i < 2; i++)
        rowset_free(ask(s, control->release, 2, release));
    rowset_free(ask(s, control->clean_releases, 1, &pipeline));
    rowset_free(ask(s, control->verdict, 8, verdict));
    verdict[7] = NULL;
    rowset_free(ask(s, control->verdict, 8, verdict));
    struct rowset *rs = ask(s, control->copied, 1, &pipeline);
    assert_int_equal(rowset_int64(rs, 0, 0), 0);
    rowset_free(rs);
    rs = ask(s, control->position, 1, &pipeline);
    assert_int_equal(rowset_rows(rs), 0);
    assert_int_equal(rowset_columns(rs), 9);
    rowset_free(rs);
    rowset_free(ask(s, control->dead_letters, 1, &pipeline));
    rowset_free(ask(s, control->held_letters, 1, &pipeline));
    rs = ask(s, control->last_verdict, 1, &pipeline);
    assert_string_equal(rowset_cell(rs, 0, 0), "PASS");
    assert_true(rowset_int64(rs, 0, 1) >= 0);
    assert_string_equal(rowset_cell(rs, 0, 2), "full");
    assert_string_equal(rowset_cell(rs, 0, 3), "");
    rowset_free(rs);
    char *detail = NULL;
    ok(session_text(
        s,
        kind_of(state) == DIALECT_MARIADB
            ? "SELECT CONCAT(started_at, ' ', JSON_VALUE(detail, '$.shapes.\"public.a\"'), ' ', "
              "JSON_VALUE(detail, '$.tables')) FROM crossfade_verdict ORDER BY id LIMIT 1"
            : "SELECT (started_at AT TIME ZONE 'UTC')::text || ' ' || (detail->'shapes'->>'public.a') || "
              "' ' || (detail->>'tables') FROM crossfade.verdict ORDER BY id LIMIT 1",
        0, NULL, &detail, &err));
    assert_string_equal(detail, "2026-11-22 08:00:00.123456 x 1");
    free(detail);
    session_close(s);
}

#define ON_BOTH(test)                                                                                        \
    {#test "/postgres", test, NULL, NULL, NULL},                                                             \
    {                                                                                                        \
#test "/mariadb", test, NULL, NULL, (void *)"m"                                                      \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(knows_its_server),        ON_BOTH(rows_are_text),
        ON_BOTH(snapshot_stays),          ON_BOTH(both_at_once),
        ON_BOTH(time_is_limited),         ON_BOTH(is_cancelled_from_outside),
        ON_BOTH(control_tables_are_made),
    };
    return cmocka_run_group_tests(tests, start_servers, stop_servers);
}
