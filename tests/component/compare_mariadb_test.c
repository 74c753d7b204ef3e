/* PostgreSQL against MariaDB, both standing still: planted differences are told, exactly, and none is invented. */
#include "compare_case.h"
#include "mariadb_server.h"

static struct mariadb_server mariadb;
static MYSQL *my;

/* compare, target: what these sections have, too. */
static struct config *config_with(const struct rig *rig, const char *compare, const char *target)
{
    char yaml[1000];
    struct config *cfg = NULL;
    int n = snprintf(yaml, sizeof yaml,
                     "pipeline: shop\nsource: { url: \"%s\" }\ntarget: { url: "
                     "\"mariadb://crossfade:p%%40ss@127.0.0.1:%d/shop\"%s }\n"
                     "compare: { report_dir: \"%s\", %s }\n",
                     rig->urls[0], mariadb.port, target, rig->reports, compare);
    ok(config_load_text("test", yaml, (size_t)n, NULL, 0, NULL, &cfg, &err));
    return cfg;
}

static int set_up_both(void **state)
{
    int failed = set_up(state);
    struct rig *rig = *state;
    mariadb_server_start(&mariadb);
    my = mariadb_server_database(&mariadb, "shop");
    config_free(rig->cfg);
    rig->cfg = config_with(rig, "chunk_rows: 3000, workers: 3", "");
    return failed;
}

static int tear_down_both(void **state)
{
    mysql_close(my);
    mariadb_server_stop(&mariadb);
    return tear_down(state);
}

/* Rows of the source as the client library's literals: what apply would write is not what is tested here. */
static void copy_to_mariadb(struct rig *rig, const char *table, const char *columns)
{
    PG_RESULT_AUTO res = NULL;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_addf(&sql, "SELECT %s FROM %s", columns, table);
    ok(pg_query(rig->source, sql.data, 0, NULL, &res, &err));
    for (int row = 0; row < pg_rows(res); row++) {
        if (row % 1000 == 0) {
            if (row > 0)
                mariadb_server_sql(my, sql.data);
            strbuf_clear(&sql);
            strbuf_addf(&sql, "INSERT INTO %s VALUES ", table);
        }
        strbuf_adds(&sql, row % 1000 == 0 ? "(" : ",(");
        for (int i = 0; i < pg_columns(res); i++) {
            strbuf_adds(&sql, i > 0 ? "," : "");
            if (pg_is_null(res, row, i))
                strbuf_adds(&sql, "NULL");
            else
                strbuf_addf(&sql, "'%s'", pg_cell(res, row, i));
        }
        strbuf_addc(&sql, ')');
    }
    if (pg_rows(res) > 0)
        mariadb_server_sql(my, sql.data);
    strbuf_release(&sql);
}

static void keys_of_all_kinds(void **state)
{
    struct rig *rig = *state;
    on_source(rig, "CREATE TABLE many (a int, b text COLLATE \"C\", c timestamptz, v numeric, w text, f "
                   "float8, PRIMARY KEY (a, b, c));"
                   "INSERT INTO many SELECT i / 30, chr(65 + i % 6), '2024-01-01'::timestamptz + (i % 30) * "
                   "interval '1.5 s', i * "
                   "0.1250, CASE i % 3 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE 'Grüße ' || i END, i / 7.0 FROM "
                   "generate_series(1, "
                   "9000) i;"
                   "CREATE TABLE by_uuid (id uuid PRIMARY KEY, v bigint); INSERT INTO by_uuid SELECT "
                   "md5(i::text)::uuid, i FROM "
                   "generate_series(1, 7000) i;"
                   "CREATE TABLE by_numeric (id numeric(12,2) PRIMARY KEY, v boolean); INSERT INTO "
                   "by_numeric SELECT i / 4.0, i % "
                   "2 = 0 FROM generate_series(-3500, 3500) i;"
                   "CREATE TABLE by_text (id text PRIMARY KEY, v int); INSERT INTO by_text SELECT chr(65 + i "
                   "% 58) || i, i FROM "
                   "generate_series(1, 5000) i WHERE i % 58 <> 27 AND i % 58 <> 31");
    mariadb_server_sql(
        my, "CREATE TABLE many (a int, b varchar(20), c datetime(6), v decimal(20,6), w longtext, f double, "
            "PRIMARY KEY (a, b, c));"
            "CREATE TABLE by_uuid (id char(36) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY, v bigint);"
            "CREATE TABLE by_numeric (id decimal(12,2) PRIMARY KEY, v boolean);"
            "CREATE TABLE by_text (id varchar(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci PRIMARY "
            "KEY, v int)");
    copy_to_mariadb(rig, "many", "a, b, c::timestamp, v, w, f");
    copy_to_mariadb(rig, "by_uuid", "id, v");
    copy_to_mariadb(rig, "by_numeric", "id, v::int");
    on_source(rig, "DELETE FROM by_text a USING by_text b WHERE lower(a.id) = lower(b.id) AND a.id > b.id");
    copy_to_mariadb(rig, "by_text", "id, v");
    expect(rig, "public.many", VERDICT_PASS, METHOD_RANGES, "");
    expect(rig, "public.by_uuid", VERDICT_PASS, METHOD_RANGES, "");
    expect(rig, "public.by_numeric", VERDICT_PASS, METHOD_RANGES, "");
    expect(rig, "public.by_text", VERDICT_PASS, METHOD_BUCKETS, "");
    mariadb_server_sql(
        my, "UPDATE many SET w = 'x' WHERE a = 100 AND b = 'A' AND c = '2024-01-01 00:00:00';"
            "UPDATE many SET w = '' WHERE v = 1.125; UPDATE many SET f = f + 1e-12 WHERE v = 500;"
            "DELETE FROM by_uuid WHERE v = 1; INSERT INTO by_uuid VALUES "
            "('ffffffff-0000-0000-0000-000000000000', -1);"
            "UPDATE by_numeric SET v = NOT v WHERE id = -12.25; UPDATE by_text SET v = 0 WHERE v = 77");
    expect(rig, "public.many", VERDICT_FAIL, METHOD_RANGES,
           "changed 0|D|2024-01-01 00:00:13.5; w NULL -> \n"
           "changed 100|A|2024-01-01 00:00:00; w NULL -> x\n"
           "changed 133|E|2024-01-01 00:00:15; f 571.4285714285714 -> 571.4285714285725\n");
    expect(rig, "public.by_uuid", VERDICT_FAIL, METHOD_RANGES,
           "extra ffffffff-0000-0000-0000-000000000000\nmissing c4ca4238-a0b9-2382-0dcc-509a6f75849b\n");
    expect(rig, "public.by_numeric", VERDICT_FAIL, METHOD_RANGES, "changed -12.25; v 0 -> 1\n");
    expect(rig, "public.by_text", VERDICT_FAIL, METHOD_BUCKETS, "changed T77; v 77 -> 0\n");
}

static void tables_without_key(void **state)
{
    struct rig *rig = *state;
    on_source(rig, "CREATE TABLE no_key (a int, b text); INSERT INTO no_key SELECT i % 100, 'x' FROM "
                   "generate_series(1, 4000) i; "
                   "INSERT INTO no_key VALUES (NULL, NULL), (NULL, NULL)");
    mariadb_server_sql(my, "CREATE TABLE no_key (a int, b longtext)");
    copy_to_mariadb(rig, "no_key", "a, b");
    expect(rig, "public.no_key", VERDICT_PASS, METHOD_BUCKETS, "");
    mariadb_server_sql(my, "DELETE FROM no_key WHERE a = 5 LIMIT 1; INSERT INTO no_key VALUES (6, 'x'), "
                           "(NULL, NULL), (7, NULL)");
    expect(rig, "public.no_key", VERDICT_FAIL, METHOD_BUCKETS,
           "extra 0/1\nextra 2/3\nextra 40/41\nmissing 40/39\n");
}

/* Longer than what goes into a row's text, and, all together, than the server's packets. */
static void long_values(void **state)
{
    struct rig *rig = *state;
    on_source(rig, "CREATE TABLE long (id int PRIMARY KEY, a text, b text, c text); INSERT INTO long SELECT "
                   "i, repeat('ä', 1000000), "
                   "repeat(chr(96 + i), 2500000), repeat('x', 65530 + i) FROM generate_series(1, 5) i");
    mariadb_server_sql(
        my,
        "CREATE TABLE `long` (id int PRIMARY KEY, a longtext, b longtext, c longtext) CHARACTER SET utf8mb4;"
        "INSERT INTO `long` SELECT seq, REPEAT('ä', 1000000), REPEAT(CHAR(96 + seq), 2500000), REPEAT('x', "
        "65530 + "
        "seq) FROM seq_1_to_5");
    expect(rig, "public.long", VERDICT_PASS, METHOD_RANGES, "");
    mariadb_server_sql(my, "UPDATE `long` SET b = CONCAT('x', SUBSTR(b, 2)) WHERE id = 3; UPDATE `long` SET "
                           "c = CONCAT('y', SUBSTR(c, "
                           "2)) WHERE id = 4");
    struct compare_result r = run(rig, "public.long");
    assert_int_equal(r.verdict, VERDICT_FAIL);
    assert_int_equal(r.tables[0].difference_count, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(r.tables[0].differences[i].column_count, 1);
        assert_string_equal(r.tables[0].differences[i].columns[0].name,
                            strcmp(r.tables[0].differences[i].keys[0].source, "3") == 0 ? "b" : "c");
    }
    compare_result_release(&r);
}

/* A server's max_allowed_packet cuts what GROUP_CONCAT puts together, whatever group_concat_max_len says. */
static void more_rows_than_a_packet_has_room_for(void **state)
{
    struct rig *rig = *state;
    struct config *before = rig->cfg;
    on_source(rig,
              "CREATE TABLE packed (id int PRIMARY KEY, v text); INSERT INTO packed SELECT i, 'v' || i FROM "
              "generate_series(1, 9000) i; CREATE TABLE packed_set (a int) WITH (autovacuum_enabled = off); "
              "INSERT INTO packed_set SELECT generate_series(1, 70000)");
    mariadb_server_sql(
        my, "CREATE TABLE packed (id int PRIMARY KEY, v longtext); INSERT INTO packed SELECT seq, "
            "CONCAT('v', seq) FROM seq_1_to_9000; CREATE TABLE packed_set (a int); INSERT INTO packed_set "
            "SELECT seq FROM seq_1_to_70000; SET GLOBAL max_allowed_packet = 65536");
    rig->cfg = config_with(rig, "chunk_rows: 100000, workers: 2", "");
    expect(rig, "public.packed", VERDICT_PASS, METHOD_RANGES, "");
    expect(rig, "public.packed_set", VERDICT_PASS, METHOD_BUCKETS, "");
    mariadb_server_sql(my, "UPDATE packed SET v = 'x' WHERE id = 8000; DELETE FROM packed_set WHERE a = 777");
    expect(rig, "public.packed", VERDICT_FAIL, METHOD_RANGES, "changed 8000; v v8000 -> x\n");
    expect(rig, "public.packed_set", VERDICT_FAIL, METHOD_BUCKETS, "missing 1/0\n");
    mariadb_server_sql(my, "SET GLOBAL max_allowed_packet = 16777216");
    config_free(rig->cfg);
    rig->cfg = before;
}

/* What the server puts together of a row is null when it is longer than a packet: such a row proves nothing. */
static void rows_longer_than_a_packet(void **state)
{
    struct rig *rig = *state;
    on_source(rig, "CREATE TABLE broad (id int PRIMARY KEY, a text, b text); INSERT INTO broad VALUES (1, "
                   "repeat('x', 40000), repeat('y', 40000)), (2, 'x', 'y')");
    mariadb_server_sql(
        my, "CREATE TABLE broad (id int PRIMARY KEY, a longtext, b longtext); INSERT INTO broad VALUES (1, "
            "REPEAT('x', 40000), REPEAT('y', 40000)), (2, 'x', 'y'); SET GLOBAL max_allowed_packet = 65536");
    struct compare_result r = run(rig, "public.broad");
    mariadb_server_sql(my, "SET GLOBAL max_allowed_packet = 16777216");
    assert_int_equal(r.verdict, VERDICT_INCONCLUSIVE);
    assert_non_null(strstr(r.tables[0].reason, "max_allowed_packet"));
    compare_result_release(&r);
    expect(rig, "public.broad", VERDICT_PASS, METHOD_RANGES, "");
}

/* latin1 has the euro's sign before the letters with accents, Unicode behind them. */
static void order_differs_within_a_range(void **state)
{
    struct rig *rig = *state;
    on_source(rig, "CREATE TABLE signs (id text COLLATE \"C\" PRIMARY KEY, v int); INSERT INTO signs VALUES "
                   "('a', 1), ('€', 2), ('é', 3)");
    mariadb_server_sql(my, "CREATE TABLE signs (id varchar(20) CHARACTER SET latin1 COLLATE latin1_nopad_bin "
                           "PRIMARY KEY, v int); INSERT INTO signs VALUES ('a', 1), ('€', 2), ('é', 3)");
    expect(rig, "public.signs", VERDICT_PASS, METHOD_BUCKETS, "");
    mariadb_server_sql(my, "UPDATE signs SET v = 4 WHERE id = 'é'");
    expect(rig, "public.signs", VERDICT_FAIL, METHOD_RANGES, "changed é; v 3 -> 4\n");
}

static void padded_texts_in_other_character_sets(void **state)
{
    struct rig *rig = *state;
    on_source(rig,
              "CREATE TABLE padded (id int PRIMARY KEY, v char(6), w tsquery); INSERT INTO padded VALUES "
              "(1, 'größe', $$'é' & ('b' & 'c')$$), (2, 'a b', NULL)");
    mariadb_server_sql(my,
                       "CREATE TABLE padded (id int PRIMARY KEY, v varchar(6), w text) CHARACTER SET latin1; "
                       "INSERT INTO padded VALUES (1, 'größe ', '''é'' & ( ''b'' & ''c'' )'), (2, 'a b   ', "
                       "NULL)");
    expect(rig, "public.padded", VERDICT_PASS, METHOD_RANGES, "");
}

/* A document that is none: the server's functions make null of it. */
static void what_is_no_document(void **state)
{
    struct rig *rig = *state;
    on_source(rig, "CREATE TABLE documents (id int PRIMARY KEY, v jsonb); INSERT INTO documents VALUES (1, "
                   "NULL), (2, '[1, {\"a\": 1e400}]')");
    mariadb_server_sql(
        my, "CREATE TABLE documents (id int PRIMARY KEY, v json); SET check_constraint_checks = 0; INSERT "
            "INTO documents VALUES (1, '[1'), (2, CONCAT('[1,{\"a\":1', REPEAT('0', 400), '}]')); SET "
            "check_constraint_checks = 1");
    expect(rig, "public.documents", VERDICT_FAIL, METHOD_RANGES, "changed 1; v NULL -> [1\n");
}

/* What a timestamp cannot hold, under target.unfit: as lib/target/mariadb/times.c writes it. */
static void ends_of_a_timestamp(void **state)
{
    struct rig *rig = *state;
    struct config *before = rig->cfg;
    char last[40], sql[900];
    on_source(rig,
              "CREATE TABLE ends (id int PRIMARY KEY, v timestamptz, w timestamptz); INSERT INTO ends SELECT "
              "n, t::timestamptz, t::timestamptz FROM unnest(ARRAY['infinity', '-infinity', '1969-12-31 "
              "23:00:00+00', '2300-01-01 00:00:00+00', '1970-01-01 00:00:00+00', '2024-01-01 "
              "00:00:00.5+00']) WITH ORDINALITY x(t, n)");
    (void)mariadb_server_rows(my, "SELECT COALESCE(FROM_UNIXTIME(4294967295), FROM_UNIXTIME(2147483647))",
                              last, sizeof last);
    (void)snprintf(sql, sizeof sql,
                   "CREATE TABLE ends (id int PRIMARY KEY, v timestamp(6) NULL, w timestamp(1) NULL); INSERT "
                   "INTO ends VALUES (1, '%1$s.999999', '%1$s.9'), (2, '1970-01-01 00:00:01', '1970-01-01 "
                   "00:00:01'), (3, '1970-01-01 00:00:01', '1970-01-01 00:00:01'), (4, '%1$s.999999', "
                   "'%1$s.9'), (5, '1970-01-01 00:00:01', '1970-01-01 00:00:01'), (6, '2024-01-01 "
                   "00:00:00.5', '2024-01-01 00:00:00.5')",
                   last);
    mariadb_server_sql(my, sql);
    rig->cfg = config_with(rig, "workers: 2", ", unfit: nearest");
    expect(rig, "public.ends", VERDICT_PASS, METHOD_RANGES, "");
    config_free(rig->cfg);
    mariadb_server_sql(my, "UPDATE ends SET v = NULL, w = NULL WHERE id < 6");
    rig->cfg = config_with(rig, "workers: 2", ", unfit: \"null\"");
    expect(rig, "public.ends", VERDICT_PASS, METHOD_RANGES, "");
    config_free(rig->cfg);
    rig->cfg = before;
}

/* Settings that a server gives to all sessions, and those of init_connect. */
static void settings_of_the_server(void **state)
{
    struct rig *rig = *state;
    on_source(rig,
              "CREATE TABLE settled (id text COLLATE \"C\" PRIMARY KEY, v text, w int); INSERT INTO settled "
              "SELECT 'größe ' || i, '\\ö', i FROM generate_series(1, 5000) i");
    mariadb_server_sql(
        my, "CREATE TABLE settled (id varchar(50) PRIMARY KEY, v longtext, w int); INSERT INTO settled "
            "SELECT CONCAT('größe ', seq), CONCAT(CHAR(92), 'ö'), seq FROM seq_1_to_5000; UPDATE settled SET "
            "v = 'ä' WHERE id = 'größe 4000'; SET GLOBAL sql_select_limit = 1, GLOBAL tx_read_only = 1, "
            "GLOBAL idle_readonly_transaction_timeout = 1, GLOBAL max_sort_length = 64, GLOBAL sql_mode = "
            "'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT', GLOBAL init_connect = 'SET NAMES latin1', "
            "GLOBAL sql_safe_updates = 1, GLOBAL max_join_size = 10, GLOBAL sql_big_selects = 0");
    struct compare_result r = run(rig, "public.settled");
    mariadb_server_sql(
        my, "SET GLOBAL sql_select_limit = 18446744073709551615, GLOBAL tx_read_only = 0, GLOBAL "
            "idle_readonly_transaction_timeout = 0, GLOBAL max_sort_length = 1024, GLOBAL sql_mode = '', "
            "GLOBAL init_connect = '', GLOBAL sql_safe_updates = 0, GLOBAL max_join_size = "
            "18446744073709551615, GLOBAL sql_big_selects = 1");
    assert_int_equal(r.table_count, 1);
    char *got = told_all(&r.tables[0]);
    assert_string_equal(got, "changed größe 4000; v \\ö -> ä\n");
    assert_int_equal(r.tables[0].method, METHOD_RANGES);
    free(got);
    compare_result_release(&r);
}

static void tables_of_other_kinds(void **state)
{
    struct rig *rig = *state;
    on_source(rig, "CREATE TABLE aria (id int PRIMARY KEY); CREATE TABLE versioned (id int PRIMARY KEY, v "
                   "int); INSERT INTO versioned VALUES (1, 2)");
    mariadb_server_sql(
        my, "CREATE TABLE aria (id int PRIMARY KEY) ENGINE=Aria; CREATE TABLE versioned (id int PRIMARY KEY, "
            "v int) WITH SYSTEM VERSIONING; INSERT INTO versioned VALUES (1, 1); UPDATE versioned SET v = 2");
    struct compare_result r = run(rig, "public.aria");
    assert_int_equal(r.verdict, VERDICT_INCONCLUSIVE);
    assert_non_null(strstr(r.tables[0].reason, "Aria"));
    compare_result_release(&r);
    expect(rig, "public.versioned", VERDICT_PASS, METHOD_RANGES, "");
    on_source(rig, "CREATE TABLE empty (id int PRIMARY KEY); CREATE TABLE empty_set (a int)");
    mariadb_server_sql(my, "CREATE TABLE empty (id int PRIMARY KEY); CREATE TABLE empty_set (a int)");
    expect(rig, "public.empty", VERDICT_PASS, METHOD_RANGES, "");
    expect(rig, "public.empty_set", VERDICT_PASS, METHOD_BUCKETS, "");
}

static void tables_that_cannot_pass(void **state)
{
    struct rig *rig = *state;
    on_source(rig, "CREATE TABLE only_source (id int PRIMARY KEY); CREATE TABLE lacks (id int PRIMARY KEY, v "
                   "int, \"W x\" int);"
                   "CREATE SCHEMA other; CREATE TABLE other.there (id int PRIMARY KEY); INSERT INTO "
                   "other.there VALUES (1)");
    mariadb_server_sql(
        my,
        "CREATE TABLE only_target (id int PRIMARY KEY); CREATE TABLE lacks (id int PRIMARY KEY, `W x` int);"
        "CREATE DATABASE other; GRANT ALL ON other.* TO crossfade@'%'; CREATE TABLE other.there (id int "
        "PRIMARY KEY); INSERT INTO "
        "other.there VALUES (1); CREATE DATABASE nobodys; GRANT ALL ON nobodys.* TO crossfade@'%'; CREATE "
        "TABLE nobodys.t (id int)");
    struct compare_result r = run(rig, "*.*");
    for (size_t i = 0; i < r.table_count; i++) {
        const struct compare_table *t = &r.tables[i];
        bool passes = strcmp(t->schema, "other") == 0;
        assert_string_not_equal(t->schema, "nobodys");
        if (passes || strstr(t->table, "only_") != NULL || strcmp(t->table, "lacks") == 0)
            assert_int_equal(t->verdict, passes ? VERDICT_PASS : VERDICT_FAIL);
        if (strcmp(t->table, "only_target") == 0)
            assert_string_equal(t->reason, "the table is missing on the source");
    }
    compare_result_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_all_kinds),
        cmocka_unit_test(tables_without_key),
        cmocka_unit_test(long_values),
        cmocka_unit_test(more_rows_than_a_packet_has_room_for),
        cmocka_unit_test(rows_longer_than_a_packet),
        cmocka_unit_test(order_differs_within_a_range),
        cmocka_unit_test(padded_texts_in_other_character_sets),
        cmocka_unit_test(what_is_no_document),
        cmocka_unit_test(ends_of_a_timestamp),
        cmocka_unit_test(settings_of_the_server),
        cmocka_unit_test(tables_of_other_kinds),
        cmocka_unit_test(tables_that_cannot_pass),
    };
    return cmocka_run_group_tests(tests, set_up_both, tear_down_both);
}
