/* Checks of PostgreSQL's tables against MariaDB's: nothing is found where the data is equal, and each breach by the check that speaks of it. */
#include "mariadb_server.h"

#include "compare/semantic/semantic.h"
#include "config/config.h"
#include "core/alloc.h"

static struct pg_server postgres;
static struct mariadb_server mariadb;
static char urls[2][160];
static MYSQL *my;
static struct err err;

static const char source_sql[] =
    "CREATE TABLE users (id bigint PRIMARY KEY, email text, status text, age int, seen timestamptz, day "
    "date, score float8,"
    " small real, bonus numeric(12,3), paid bool, code char(6), raw bytea, odd interval);"
    "INSERT INTO users SELECT i, 'U' || i || '@x.org', (ARRAY['new','New','é'])[1 + i % 3], nullif(i % 70, "
    "3), timestamptz '2026-01-01 00:00:00.25+00' + i * "
    "interval '1 hour', date '2026-01-01' + i, i / 3.0::float8, i * 0.1, i * 1.125, i % 2 = 0, 'c' || i % 7, "
    "decode(md5(i::text), 'hex'), i * interval '1 day'"
    " FROM generate_series(1, 300) i;"
    "CREATE TABLE orders (id int PRIMARY KEY, user_id bigint); INSERT INTO orders SELECT i, 1 + i % 300 FROM "
    "generate_series(1, 900) i";
static const char target_sql[] =
    "CREATE TABLE users (id bigint PRIMARY KEY, email text, status varchar(40), age int, seen datetime(6), "
    "day date, score double,"
    " small float, bonus decimal(12,3), paid tinyint(1), code char(6), raw longblob, odd text) DEFAULT "
    "CHARSET utf8mb4 COLLATE utf8mb4_general_ci;"
    "INSERT INTO users SELECT seq, CONCAT('U', seq, '@x.org'), ELT(1 + seq % 3, 'new', 'New', 'é'), "
    "NULLIF(seq % 70, 3),"
    " TIMESTAMP '2026-01-01 00:00:00.25' + INTERVAL seq HOUR, DATE '2026-01-01' + INTERVAL seq DAY, seq / "
    "3e0, seq * 1e-1, seq * 1.125,"
    " seq % 2 = 0, CONCAT('c', seq % 7), UNHEX(MD5(seq)), CONCAT(seq, ' d') FROM seq_1_to_300;"
    "CREATE TABLE orders (id int PRIMARY KEY, user_id bigint); INSERT INTO orders SELECT seq, 1 + seq % 300 "
    "FROM seq_1_to_900";

static const char rules_yaml[] =
    "pipeline: p\n"
    "compare:\n"
    "  queries:\n"
    "    - {name: by status, source_sql: 'SELECT status, count(*), sum(bonus), avg(score), bool_or(paid) "
    "FROM users GROUP BY status', key: status,\n"
    "       target_sql: 'SELECT MIN(status) AS status, COUNT(*), SUM(bonus), AVG(score), MAX(paid) FROM "
    "users GROUP BY BINARY status', tolerance: {columns: {avg: 1e-6}}}\n"
    "    - {name: in order, source_sql: 'SELECT id, seen, day, paid, small, code, raw FROM users ORDER BY id "
    "DESC', ordered: true}\n"
    "    - {name: top, source_sql: 'WITH x AS (SELECT id, bonus FROM users) SELECT id FROM x ORDER BY bonus "
    "DESC, id LIMIT 7; ', ordered: true}\n"
    "    - {name: both, source_sql: 'SELECT 1 AS a, 2 AS a, id FROM users UNION ALL SELECT 3, 4, id FROM "
    "orders', severity: error}\n"
    "    - {name: one, source_sql: 'SELECT max(seen), min(code), count(DISTINCT raw), sum(small) FROM "
    "users', tolerance: {relative: 1e-6}}\n"
    "  aggregates: [{table: public.users, measures: [count, nulls, distinct, sum, avg, min, max, quantiles, "
    "top]}]\n"
    "  samples: [{table: public.users, rows: 300}]\n"
    "  counts: [{table: public.users, column: seen, by: day}, {table: public.users, column: status, by: "
    "value}, {table: public.users, column: day, by: month}]\n"
    "  contracts:\n"
    "    - {table: public.users, contract: {email: [not_null, unique, not_empty, {length: 20}], status: "
    "{enum: [new, New, é]}, age: {range: {min: 0, max: 69}},\n"
    "       seen: {not_future: 24h}, day: [{range: {min: 2026-01-02, max: 2026-12-31}}], id: positive, "
    "bonus: not_negative, raw: {length: {min: 16, max: 16}},\n"
    "       paid: {enum: ['true', 'false']}, code: {enum: [c0, c1, c2, c3, c4, c5, c6]}}}\n"
    "  rules:\n"
    "    - {table: public.orders, column: user_id, check: {references: public.users.id}}\n"
    "    - {table: public.orders, columns: [id, user_id], check: unique}\n"
    "    - {name: none, sql: 'SELECT id FROM orders WHERE user_id < 1'}\n";

static void ok(bool good)
{
    if (!good)
        fail_msg("%s: %s", err_code_name(err.code), err.text);
}

static int start_servers(void **state)
{
    (void)state;
    pg_server_start(&postgres);
    mariadb_server_start(&mariadb);
    my = mariadb_server_database(&mariadb, "shop");
    mariadb_server_sql(my, "SET NAMES utf8mb4");
    mariadb_server_sql(my, target_sql);
    (void)snprintf(urls[0], sizeof urls[0], "%s", postgres.url);
    (void)snprintf(urls[1], sizeof urls[1], "mariadb://crossfade:p%%40ss@127.0.0.1:%d/shop", mariadb.port);
    struct session *s = NULL;
    ok(session_open(urls[0], "source", "p", &s, &err));
    ok(session_exec(s, "SET search_path = public", &err));
    ok(session_exec(s, source_sql, &err));
    ok(session_exec(s, "ANALYZE", &err));
    session_close(s);
    return 0;
}

static int stop_servers(void **state)
{
    (void)state;
    mysql_close(my);
    pg_server_stop(&postgres);
    mariadb_server_stop(&mariadb);
    return 0;
}

static struct plan_table *table_of(const char *name, const char *const *columns, size_t count)
{
    struct plan_table *pt = xcalloc(1, sizeof *pt);
    pt->out = (struct compare_table){.schema = xstrdup("public"), .table = xstrdup(name), .key_count = 1};
    pt->out.keys = xcalloc(1, sizeof *pt->out.keys);
    pt->out.keys[0] = xstrdup("id");
    pt->comparable = true;
    pt->from[SIDE_SOURCE] = xasprintf("ONLY public.%s AS t", name);
    pt->from[SIDE_TARGET] = xasprintf("`shop`.`%s` AS t", name);
    pt->columns = xcalloc(count, sizeof *pt->columns);
    pt->column_count = count;
    for (size_t i = 0; i < count; i++)
        pt->columns[i].name = xstrdup(columns[i]);
    return pt;
}

static void table_free(struct plan_table *pt)
{
    table_release(&pt->out);
    for (size_t i = 0; i < pt->column_count; i++)
        free(pt->columns[i].name);
    free(pt->columns);
    free(pt->from[0]);
    free(pt->from[1]);
    free(pt);
}

static struct compare_result checked(void)
{
    static const char *const users[] = {"id",    "email", "status", "age",  "seen", "day", "score",
                                        "small", "bonus", "paid",   "code", "raw",  "odd"};
    static const char *const orders[] = {"id", "user_id"};
    struct plan_table *tables[] = {table_of("users", users, 13), table_of("orders", orders, 2)};
    struct plan plan = {.tables = tables, .count = 2};
    struct pair pair = {.session = {NULL}};
    struct engine engine = {.plan = &plan, .pairs = &pair, .worker_count = 1};
    struct compare_request req = {.stop_fd = -1};
    struct compare_result out = {.reason = xstrdup("")};
    struct semantic_rules rules;
    struct config *cfg = NULL;
    ok(config_load_text("t.yaml", rules_yaml, strlen(rules_yaml), NULL, 0, NULL, &cfg, &err));
    ok(semantic_rules_from_config(cfg, &rules, &err));
    for (int side = 0; side < SIDE_COUNT; side++) {
        ok(session_open(urls[side], side_name((enum side)side), "p", &pair.session[side], &err));
        ok(session_begin(pair.session[side], NULL, &err) && session_savepoint(pair.session[side], &err));
    }
    struct semantic semantic = {.rules = &rules,
                                .plan = &plan,
                                .level = LEVEL_FULL,
                                .whole_pipeline = true,
                                .now = "2026-06-01 00:00:00",
                                .statement_limit_ms = 60000};
    ok(semantic_run(&semantic, &engine, &req, &out, &err));
    pair_close(&pair);
    semantic_rules_release(&rules);
    config_free(cfg);
    table_free(tables[0]);
    table_free(tables[1]);
    return out;
}

/* Names of the checks that do not pass, one a line. */
static char *broken(const struct compare_result *r)
{
    struct strbuf names = STRBUF_INIT(1 << 20);
    for (size_t i = 0; i < r->check_count; i++) {
        if (r->checks[i].state != STATE_PASS)
            strbuf_addf(&names, "%s %s (%s)\n", check_state_name(r->checks[i].state), r->checks[i].name,
                        r->checks[i].reason);
    }
    return strbuf_detach(&names);
}

static void equal_data_breaks_nothing(void **state)
{
    (void)state;
    struct compare_result r = checked();
    char *names = broken(&r);
    assert_string_equal(names, "");
    assert_true(r.check_count > 30);
    free(names);
    compare_result_release(&r);
}

static void has(const char *names, const char *one)
{
    if (strstr(names, one) == NULL)
        fail_msg("%s is not among\n%s", one, names);
}

static void breaches_are_found(void **state)
{
    (void)state;
    mariadb_server_sql(
        my, "UPDATE users SET email = NULL WHERE id = 5; UPDATE users SET email = 'U7@x.org' WHERE id = 8;"
            "UPDATE users SET status = 'NEW' WHERE id = 6; UPDATE users SET seen = '2026-07-01' WHERE id = 9;"
            "UPDATE users SET age = -1 WHERE id = 10; UPDATE users SET day = '2027-01-01' WHERE id = 11;"
            "UPDATE users SET code = 'C1' WHERE id = 12; UPDATE users SET raw = 'x' WHERE id = 13;"
            "UPDATE orders SET user_id = 999 WHERE id = 14; UPDATE orders SET user_id = -1 WHERE id = 15");
    struct compare_result r = checked();
    char *names = broken(&r);
    static const char *const wanted[] = {
        "FAIL by status",
        "FAIL one (max differs)",
        "FAIL in order (4 rows differ)",
        "FAIL public.users.email: not_null (1 row on the target breaks it, none on the source)",
        "FAIL public.users.email: unique (1 row ",
        "FAIL public.users.status: enum new, New, é (1 row ",
        "FAIL public.users.seen: not_future (86400 s ahead are well) (1 row ",
        "FAIL public.users.age: range 0..69 (1 row ",
        "FAIL public.users.day: range 2026-01-02..2026-12-31 (1 row ",
        "FAIL public.users.code: enum c0, c1, c2, c3, c4, c5, c6 (1 row ",
        "FAIL public.users.raw: length 16..16 (1 row ",
        "FAIL public.orders.user_id: references public.users (id) (2 rows on the target break it, none on "
        "the source)",
        "FAIL none (1 row ",
        "FAIL public.users.seen: by day",
        "FAIL public.users.status: by value",
        "FAIL public.users.day: by month",
        "FAIL public.users: 300 random rows (8 sampled rows differ)",
        "FAIL public.users.age: count",
    };
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
        has(names, wanted[i]);
    assert_null(strstr(names, "INCONCLUSIVE"));
    assert_null(strstr(names, "FINDING"));
    assert_null(strstr(names, "FAIL public.users.bonus"));
    assert_null(strstr(names, "FAIL public.users.score"));
    assert_null(strstr(names, "FAIL public.users.paid"));
    free(names);
    compare_result_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(equal_data_breaks_nothing),
                                       cmocka_unit_test(breaches_are_found)};
    return cmocka_run_group_tests(tests, start_servers, stop_servers);
}
