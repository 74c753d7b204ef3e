/*
 * Values: what is equal passes, what differs is told exactly, nothing is invented, bounds hold. The expected
 * random differences come from SQL (FULL JOIN in one database), never from compare itself.
 */
#include "compare_case.h"

#include "pg_types_cases.h"

static void equal_tables_pass(void **state)
{
    struct rig *rig = *state;
    both(rig, "CREATE TABLE plain (id int PRIMARY KEY, v text, n numeric(12,2));"
              "INSERT INTO plain SELECT i, 'row ' || i, i / 7.0 FROM generate_series(1, 10001) i;"
              "CREATE TABLE nothing (id int PRIMARY KEY, v text); CREATE TABLE nothing_at_all (v text)");
    expect(rig, "public.plain", VERDICT_PASS, METHOD_RANGES, "");
    expect(rig, "public.nothing", VERDICT_PASS, METHOD_RANGES, "");
    expect(rig, "public.nothing_at_all", VERDICT_PASS, METHOD_BUCKETS, "");
    struct compare_result r = run(rig, "public.plain");
    assert_int_equal(r.tables[0].rows_source, 10001);
    assert_int_equal(r.tables[0].rows_target, 10001);
    assert_int_equal(r.tables[0].chunks, 4);
    assert_false(r.full);
    compare_result_release(&r);
}

static void planted_differences_are_told(void **state)
{
    struct rig *rig = *state;
    both(rig, "CREATE TABLE planted (id int PRIMARY KEY, v text, n numeric(12,2), b bytea, big text);"
              "INSERT INTO planted SELECT i, 'row ' || i, i / 7.0, decode(md5(i::text), 'hex'), "
              "repeat(md5(i::text), 30)"
              " FROM generate_series(1, 20000) i");
    expect(rig, "public.planted", VERDICT_PASS, METHOD_RANGES, "");
    on_target(
        rig,
        "DELETE FROM planted WHERE id = 1; DELETE FROM planted WHERE id = 20000;"
        "INSERT INTO planted VALUES (0, 'x', 1, NULL, NULL), (20001, NULL, NULL, NULL, '');"
        "UPDATE planted SET v = NULL WHERE id = 77; UPDATE planted SET v = '' WHERE id = 78;"
        "UPDATE planted SET n = n + 0.01 WHERE id = 9999; UPDATE planted SET n = n - 0.01 WHERE id = 9998;"
        "UPDATE planted SET b = set_bit(b, 5, 1 - get_bit(b, 5)) WHERE id = 3000");
    expect(rig, "public.planted", VERDICT_FAIL, METHOD_RANGES,
           "changed 3000; b \\xe93028bdc1aacdfb3687181f2031765d -> \\xc93028bdc1aacdfb3687181f2031765d\n"
           "changed 77; v row 77 -> NULL\n"
           "changed 78; v row 78 -> \n"
           "changed 9998; n 1428.29 -> 1428.28\n"
           "changed 9999; n 1428.43 -> 1428.44\n"
           "extra 0\nextra 20001\nmissing 1\nmissing 20000\n");
}

static void swapped_rows_are_told(void **state)
{
    struct rig *rig = *state;
    both(rig,
         "CREATE TABLE swapped (id int PRIMARY KEY, a int, b int); INSERT INTO swapped SELECT i, i, -i FROM"
         " generate_series(1, 5000) i");
    on_target(rig,
              "UPDATE swapped SET a = 2, b = -2 WHERE id = 1; UPDATE swapped SET a = 1, b = -1 WHERE id = 2;"
              "UPDATE swapped SET a = b, b = a WHERE id = 4000");
    expect(rig, "public.swapped", VERDICT_FAIL, METHOD_RANGES,
           "changed 1; a 1 -> 2; b -1 -> -2\nchanged 2; a 2 -> 1; b -2 -> -1\n"
           "changed 4000; a 4000 -> -4000; b -4000 -> 4000\n");
}

static void values_do_not_run_together(void **state)
{
    struct rig *rig = *state;
    both(rig, "CREATE TABLE together (id int PRIMARY KEY, a text, b text)");
    on_source(rig, "INSERT INTO together VALUES (1, 'x', 'yz'), (2, NULL, ''), (3, '', NULL), (4, 'NULL', "
                   "NULL), (5, 'a,b', 'c')");
    on_target(rig, "INSERT INTO together VALUES (1, 'xy', 'z'), (2, '', NULL), (3, NULL, ''), (4, NULL, "
                   "'NULL'), (5, 'a', 'b,c')");
    expect(rig, "public.together", VERDICT_FAIL, METHOD_RANGES,
           "changed 1; a x -> xy; b yz -> z\nchanged 2; a NULL -> ; b  -> NULL\nchanged 3; a  -> NULL; b "
           "NULL -> \n"
           "changed 4; a NULL -> NULL; b NULL -> NULL\nchanged 5; a a,b -> a; b c -> b,c\n");
}

static void long_values_are_shown_at_their_difference(void **state)
{
    struct rig *rig = *state;
    both(rig, "CREATE TABLE long_text (id uuid PRIMARY KEY, v text); INSERT INTO long_text SELECT "
              "md5(i::text)::uuid,"
              " repeat(md5(i::text), 625) FROM generate_series(1, 300) i;"
              "INSERT INTO long_text SELECT md5(i::text)::uuid, repeat('y', 100000) FROM "
              "generate_series(301, 302) i");
    expect(rig, "public.long_text", VERDICT_PASS, METHOD_RANGES, "");
    on_target(rig, "UPDATE long_text SET v = overlay(v PLACING '!' FROM 15000) WHERE id = md5('7')::uuid;"
                   "UPDATE long_text SET v = v || 'y' WHERE id = md5('302')::uuid");
    struct compare_result r = run(rig, "public.long_text");
    assert_int_equal(r.tables[0].difference_count, 2);
    for (int i = 0; i < 2; i++) {
        const struct compare_cell *cell = &r.tables[0].differences[i].columns[0];
        assert_true(strlen(cell->source) < 400 && strlen(cell->target) < 400);
        assert_string_not_equal(cell->source, cell->target);
        assert_true(strstr(cell->target, "!") != NULL || strstr(cell->target, "100001 characters") != NULL);
    }
    compare_result_release(&r);
}

static void other_types_on_the_target(void **state)
{
    struct rig *rig = *state;
    on_source(
        rig,
        "CREATE TABLE widened (id int PRIMARY KEY, a int, b numeric(10,2), c varchar(10), d json, e real,"
        " f char(5)); INSERT INTO widened VALUES (1, 5, 1.50, 'x', '{\"a\": 1}', 0.1, 'ab'), (2, 6, 2, 'y', "
        "'[]', 1, 'c')");
    on_target(rig, "CREATE TABLE widened (id bigint PRIMARY KEY, a bigint, b numeric(12,4), c text, d jsonb, "
                   "e double precision,"
                   " f char(8)); INSERT INTO widened VALUES (1, 5, 1.5, 'x', '{\"a\":1}', 0.1::real, 'ab'),"
                   " (2, 7, 2.0001, 'y', '[]', 1, 'c')");
    struct compare_result r = run(rig, "public.widened");
    assert_true(r.tables[0].note_count >= 5);
    compare_result_release(&r);
    expect(rig, "public.widened", VERDICT_FAIL, METHOD_RANGES, "changed 2; a 6 -> 7; b 2 -> 2.0001\n");
}

static void same_value_other_bits(void **state)
{
    struct rig *rig = *state;
    both(rig, "CREATE TABLE bits (id int PRIMARY KEY, f float8, a int[], r regclass)");
    on_source(
        rig,
        "INSERT INTO bits VALUES (1, 'inf'::float8 - 'inf'::float8, (ARRAY[1,NULL]::int[])[1:1], 'bits')");
    on_target(rig, "INSERT INTO bits VALUES (1, 'NaN', '{1}', 'bits')");
    expect(rig, "public.bits", VERDICT_PASS, METHOD_RANGES, "");
    on_target(rig, "UPDATE bits SET f = '-0'"), on_source(rig, "UPDATE bits SET f = '0'");
    expect(rig, "public.bits", VERDICT_FAIL, METHOD_RANGES, "changed 1; f 0 -> -0\n");
}

static void many_differences_are_bounded(void **state)
{
    struct rig *rig = *state;
    both(rig, "CREATE TABLE many (id int PRIMARY KEY, v int); INSERT INTO many SELECT 2 * i, i FROM "
              "generate_series(1, 30000) i;"
              "CREATE TABLE many_keyless (v int); INSERT INTO many_keyless SELECT i FROM generate_series(1, "
              "30000) i;"
              "CREATE TABLE flooded (id int PRIMARY KEY); INSERT INTO flooded VALUES (1), (1000000)");
    on_target(rig, "UPDATE many SET v = -1; UPDATE many_keyless SET v = -v; INSERT INTO flooded SELECT i FROM"
                   " generate_series(2, 50000) i");
    const char *tables[] = {"public.many", "public.many_keyless", "public.flooded"};
    for (int i = 0; i < 3; i++) {
        struct compare_result r = run(rig, tables[i]);
        assert_int_equal(r.verdict, VERDICT_FAIL);
        assert_true(r.tables[0].more);
        assert_in_range(r.tables[0].difference_count, 900, 1000);
        if (i == 2)
            assert_int_equal(r.tables[0].rows_target, 50001);
        for (size_t d = 0; d < r.tables[0].difference_count; d++)
            assert_int_equal(r.tables[0].differences[d].kind == DIFF_CHANGED, i == 0);
        compare_result_release(&r);
    }
    on_source(rig,
              "INSERT INTO many SELECT 2 * i + 1, i FROM generate_series(1, 20000) i"); /* extra and changed,
                                                                                           interleaved */
    struct compare_result r = run(rig, "public.many");
    assert_int_equal(r.tables[0].method, METHOD_RANGES);
    assert_int_equal(r.verdict, VERDICT_FAIL);
    compare_result_release(&r);
}

/* Ranges in which the target has far more rows than fit: real differences only. */
static void crowded_ranges_invent_nothing(void **state)
{
    struct rig *rig = *state;
    both(rig, "CREATE TABLE crowded (id text COLLATE \"C\" PRIMARY KEY, v int); INSERT INTO crowded SELECT "
              "'k' || i * 10, i FROM"
              " generate_series(1, 900) i");
    on_target(rig,
              "INSERT INTO crowded SELECT 'k' || i, 0 FROM generate_series(1, 9000) i WHERE i % 10 <> 0");
    struct compare_result r = run(rig, "public.crowded");
    assert_int_equal(r.tables[0].method, METHOD_RANGES);
    assert_int_equal(r.tables[0].rows_target, 9000);
    for (size_t d = 0; d < r.tables[0].difference_count; d++)
        assert_int_equal(r.tables[0].differences[d].kind, DIFF_EXTRA);
    assert_true(r.tables[0].more);
    compare_result_release(&r);
}

/* Seeded inserts, deletes, updates and key changes on the target; SQL says what must be told. */
static void random_differences(void **state)
{
    struct rig *rig = *state;
    static const char *const keys[] = {"a", "a, b", NULL};
    both(rig, "CREATE EXTENSION IF NOT EXISTS dblink");
    for (int round = 0; round < 6; round++) {
        char sql[1600];
        on_source(rig, "DROP TABLE IF EXISTS random");
        on_target(rig, "DROP TABLE IF EXISTS random");
        (void)snprintf(
            sql, sizeof sql,
            "CREATE TABLE random (a int NOT NULL, b text COLLATE \"C\" NOT NULL, v int, w text%s%s%s)",
            keys[round % 2] != NULL ? ", PRIMARY KEY (" : "", keys[round % 2], ")");
        both(rig, sql);
        on_source(rig, "INSERT INTO random SELECT i, 'b' || (random() * 1000)::int, (random() * 100)::int, "
                       "repeat('w', (random()"
                       " * 40)::int) FROM generate_series(1, 12000) i WHERE random() < 0.8");
        copy_table(rig, "random");
        ok(pg_execf(rig->target, &err, "SELECT setseed(%g)",
                    (double)((rig->seed + (unsigned)round) % 1000000) / 1e6));
        on_target(
            rig,
            "DELETE FROM random WHERE random() < 0.003; UPDATE random SET v = v + 1 WHERE random() < 0.003;"
            "UPDATE random SET w = NULL, v = NULL WHERE random() < 0.002;"
            "INSERT INTO random SELECT i, 'x', 1, 'y' FROM generate_series(1, 12500) i WHERE random() < 0.003"
            " ON CONFLICT DO NOTHING");
        (void)snprintf(
            sql, sizeof sql,
            "SELECT coalesce(string_agg(line || E'\\n', '' ORDER BY line COLLATE \"C\"), '') FROM (SELECT "
            "CASE WHEN t.a IS NULL THEN"
            " 'missing ' || %s WHEN s.a IS NULL THEN 'extra ' || %s ELSE 'changed ' || %s || concat("
            " CASE WHEN s.b <> t.b THEN '; b ' || s.b || ' -> ' || t.b END,"
            " CASE WHEN s.v IS DISTINCT FROM t.v THEN '; v ' || coalesce(s.v::text, 'NULL') || ' -> ' || "
            "coalesce(t.v::text, 'NULL') END,"
            " CASE WHEN s.w IS DISTINCT FROM t.w THEN '; w ' || coalesce(s.w, 'NULL') || ' -> ' || "
            "coalesce(t.w, 'NULL') END) END AS line"
            " FROM dblink('host=127.0.0.1 port=%d user=postgres dbname=src', 'SELECT a, b, v, w FROM "
            "random') AS s(a int, b text COLLATE \"C\", v int, w text)"
            " FULL JOIN random t USING (%s) WHERE s IS DISTINCT FROM (t.a, t.b COLLATE \"C\", t.v, t.w)) x",
            round % 2 ? "a || '|' || b" : "a", round % 2 ? "a || '|' || b" : "a",
            round % 2 ? "a || '|' || b" : "a", rig->server.port, keys[round % 2]);
        char *expected = NULL;
        ok(pg_query_text(rig->target, sql, 0, NULL, &expected, &err));
        assert_true(strlen(expected) > 100);
        expect(rig, "public.random", VERDICT_FAIL, METHOD_RANGES, expected);
        free(expected);
    }
}

/* `values` is a list of expressions: each one, between commas at the top level, becomes a row. */
static void insert_values(struct rig *rig, size_t i)
{
    int depth = 0;
    bool quoted = false;
    for (const char *start = cases[i].values, *p = start;; p++) {
        quoted ^= *p == '\'';
        depth += !quoted && (*p == '(' || *p == '[');
        depth -= !quoted && (*p == ')' || *p == ']');
        if ((*p == ',' && !quoted && depth == 0) || *p == '\0') {
            ok(pg_execf(rig->source, &err, "INSERT INTO types.t%zu (v) VALUES ((%.*s)::%s)", i,
                        (int)(p - start), start, cases[i].type));
            start = p + 1;
        }
        if (*p == '\0')
            return;
    }
}

static void every_type(void **state)
{
    struct rig *rig = *state;
    char pattern[64];
    both(rig, "DROP SCHEMA IF EXISTS types CASCADE; CREATE SCHEMA types; SET search_path = public, types");
    both(rig, case_setup);
    const size_t count = sizeof cases / sizeof cases[0];
    for (size_t i = 0; i < count; i++) {
        ok(pg_execf(rig->source, &err,
                    "CREATE TABLE types.t%zu (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v %s)", i,
                    cases[i].type));
        ok(pg_execf(rig->target, &err, "CREATE TABLE types.t%zu (id int PRIMARY KEY, v %s)", i,
                    cases[i].type));
        insert_values(rig, i);
        (void)snprintf(pattern, sizeof pattern, "types.t%zu", i);
        copy_table(rig, pattern);
    }
    struct compare_result r = run(rig, "types.*");
    assert_int_equal(r.table_count, count);
    for (size_t i = 0; i < count; i++)
        if (r.tables[i].verdict != VERDICT_PASS)
            fail_msg("%s: %s", r.tables[i].table, r.tables[i].reason);
    compare_result_release(&r);
    for (size_t i = 0; i < count; i++)
        ok(pg_execf(rig->target, &err, "UPDATE types.t%zu SET v = NULL WHERE id = 1", i));
    r = run(rig, "types.*");
    assert_int_equal(r.failed, count);
    assert_int_equal(r.differences, count);
    compare_result_release(&r);
    both(rig, "RESET search_path");
}

static void reports_and_verdicts(void **state)
{
    struct rig *rig = *state;
    char path[160], *verdict = NULL;
    const char *pattern = "public.<b>";
    both(rig, "CREATE TABLE \"<b>\" (id int PRIMARY KEY, v text); INSERT INTO \"<b>\" VALUES (1, "
              "'<script>alert(1)</script>')");
    on_target(rig, "UPDATE \"<b>\" SET v = E'\\x01 \"&\"'");
    struct compare_request req = {.tables = &pattern, .table_count = 1, .frozen = true, .stop_fd = -1};
    struct compare_result r = {0};
    ok(compare_run(rig->cfg, &req, &r, &err));
    (void)snprintf(path, sizeof path, "%s/latest/report.html", rig->reports);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    char *page = calloc(1, 1 << 20);
    assert_true(fread(page, 1, (1 << 20) - 1, f) > 1000);
    fclose(f);
    assert_null(strstr(page, "<script>alert"));
    assert_non_null(strstr(page, "&lt;script&gt;alert(1)"));
    assert_null(strstr(page, "http://"));
    assert_null(strstr(page, "https://"));
    free(page);
    assert_non_null(strstr(r.json, "\"verdict\": \"FAIL\""));
    compare_result_release(&r);
    ok(pg_query_text(rig->target,
                     "SELECT scope || ' ' || verdict FROM crossfade.verdict ORDER BY id DESC LIMIT 1", 0,
                     NULL, &verdict, &err));
    assert_string_equal(verdict, "public.<b> FAIL");
    free(verdict);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_tables_pass),
        cmocka_unit_test(planted_differences_are_told),
        cmocka_unit_test(swapped_rows_are_told),
        cmocka_unit_test(values_do_not_run_together),
        cmocka_unit_test(long_values_are_shown_at_their_difference),
        cmocka_unit_test(other_types_on_the_target),
        cmocka_unit_test(same_value_other_bits),
        cmocka_unit_test(many_differences_are_bounded),
        cmocka_unit_test(crowded_ranges_invent_nothing),
        cmocka_unit_test(random_differences),
        cmocka_unit_test(every_type),
        cmocka_unit_test(reports_and_verdicts),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
