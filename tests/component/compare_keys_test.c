/* Keys of all kinds, orders that differ, tables without key, partitions; and what cannot be compared. */
#include "compare/scope.h"
#include "compare_case.h"

static void keys_of_all_kinds(void **state)
{
    struct rig *rig = *state;
    both(
        rig,
        "CREATE TABLE \"Odd \"\"Name\" (\"The Key\" timestamptz, \"k\"\"2\" numeric, \"select\" text, v int,"
        " PRIMARY KEY (\"The Key\", \"k\"\"2\", \"select\"));"
        "INSERT INTO \"Odd \"\"Name\" SELECT '2024-01-01'::timestamptz + (i / 10) * interval '1 s', i % 10 + "
        "0.5,"
        " CASE i % 3 WHEN 0 THEN 'a''b' WHEN 1 THEN '{\"x\\y\"}' ELSE '' END, i FROM generate_series(1, "
        "9000) i;"
        "CREATE TABLE by_uuid (id uuid PRIMARY KEY, v int); INSERT INTO by_uuid SELECT md5(i::text)::uuid, i "
        "FROM"
        " generate_series(1, 9000) i;"
        "CREATE TABLE by_bytes (id bytea PRIMARY KEY, v int); INSERT INTO by_bytes SELECT "
        "decode(md5(i::text), 'hex'), i"
        " FROM generate_series(1, 9000) i;"
        "CREATE TABLE by_unique (v int, k int NOT NULL, UNIQUE (k)); INSERT INTO by_unique SELECT 1, i FROM"
        " generate_series(-4000, 4000) i;"
        "CREATE DOMAIN positive AS int CHECK (VALUE > 0);"
        "CREATE TABLE by_domain (id positive PRIMARY KEY, v positive); INSERT INTO by_domain SELECT i, i FROM"
        " generate_series(1, 5000) i;"
        "CREATE TYPE color AS ENUM ('red', 'green', 'blue');"
        "CREATE TABLE by_enum (id color PRIMARY KEY, v int); INSERT INTO by_enum VALUES ('red', 1), "
        "('green', 2);"
        "CREATE TABLE by_char (id char(5) PRIMARY KEY, v int); INSERT INTO by_char SELECT i::text, i FROM"
        " generate_series(1, 5000) i");
    on_target(
        rig,
        "UPDATE \"Odd \"\"Name\" SET v = 0 WHERE v IN (1, 4500, 9000); UPDATE by_uuid SET v = 0 WHERE v = 5;"
        "DELETE FROM by_bytes WHERE v = 1; UPDATE by_unique SET v = 2 WHERE k = 0; UPDATE by_domain SET v = 9"
        " WHERE id = 10; DELETE FROM by_enum WHERE id = 'red'; UPDATE by_char SET v = 0 WHERE id = '77'");
    expect(rig, "public.\"Odd \"\"Name\"", VERDICT_FAIL, METHOD_RANGES,
           "changed 2024-01-01 00:00:00+00|1.5|{\"x\\y\"}; v 1 -> 0\n"
           "changed 2024-01-01 00:07:30+00|0.5|a'b; v 4500 -> 0\n"
           "changed 2024-01-01 00:15:00+00|0.5|a'b; v 9000 -> 0\n");
    expect(rig, "public.by_uuid", VERDICT_FAIL, METHOD_RANGES,
           "changed e4da3b7f-bbce-2345-d777-2b0674a318d5; v 5 -> 0\n");
    expect(rig, "public.by_bytes", VERDICT_FAIL, METHOD_RANGES,
           "missing \\xc4ca4238a0b923820dcc509a6f75849b\n");
    expect(rig, "public.by_unique", VERDICT_FAIL, METHOD_RANGES, "changed 0; v 1 -> 2\n");
    expect(rig, "public.by_domain", VERDICT_FAIL, METHOD_RANGES, "changed 10; v 10 -> 9\n");
    expect(rig, "public.by_enum", VERDICT_FAIL, METHOD_BUCKETS, "missing red\n");
    expect(rig, "public.by_char", VERDICT_FAIL, METHOD_RANGES, "changed 77; v 77 -> 0\n");
}

static void equal_keys_with_other_texts(void **state)
{
    struct rig *rig = *state;
    both(rig, "CREATE TABLE by_numeric (id numeric PRIMARY KEY, v int)");
    on_source(rig, "INSERT INTO by_numeric SELECT i + 0.50, i FROM generate_series(1, 4000) i");
    on_target(rig, "INSERT INTO by_numeric SELECT CASE WHEN i = 3 THEN i + 0.5 ELSE i + 0.50 END, i FROM"
                   " generate_series(1, 4000) i");
    expect(rig, "public.by_numeric", VERDICT_FAIL, METHOD_RANGES, "changed 3.50; id 3.50 -> 3.5\n");
}

static void collations_that_sort_apart(void **state)
{
    struct rig *rig = *state;
    const char *fill =
        "INSERT INTO texts SELECT chr(65 + i % 26) || CASE WHEN i % 2 = 0 THEN 'ä' ELSE 'Z' END || i, i"
        " FROM generate_series(1, 8000) i;";
    const char *plant =
        "UPDATE texts SET v = 0 WHERE v = 17; DELETE FROM texts WHERE v = 18; INSERT INTO texts VALUES"
        " ('zz''\"\\', -1)";
    const char *told_so = "changed RZ17; v 17 -> 0\nextra zz'\"\\\nmissing Sä18\n";
    on_source(rig, "CREATE TABLE texts (id text COLLATE \"C\" PRIMARY KEY, v int)");
    on_target(rig, "CREATE TABLE texts (id text COLLATE \"de-x-icu\" PRIMARY KEY, v int)");
    both(rig, fill);
    expect(rig, "public.texts", VERDICT_PASS, METHOD_BUCKETS, "");
    on_target(rig, plant);
    expect(rig, "public.texts", VERDICT_FAIL, METHOD_BUCKETS, told_so);
    both(rig, "DROP TABLE texts; CREATE TABLE texts (id text COLLATE \"de-x-icu\" PRIMARY KEY, v int)");
    both(rig, fill);
    expect(rig, "public.texts", VERDICT_PASS, METHOD_RANGES, "");
    on_target(rig, plant);
    expect(rig, "public.texts", VERDICT_FAIL, METHOD_RANGES, told_so);
    both(rig, "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false); "
              "DROP TABLE"
              " texts; CREATE TABLE texts (id text COLLATE loose PRIMARY KEY, v int)");
    both(rig, fill);
    on_target(rig, plant);
    expect(rig, "public.texts", VERDICT_FAIL, METHOD_BUCKETS, told_so);
    /* to both sides it is one row; to one of them it is two */
    on_target(rig, "DELETE FROM texts WHERE v = -1; UPDATE texts SET id = lower(id) WHERE v = 40");
    expect(rig, "public.texts", VERDICT_FAIL, METHOD_BUCKETS,
           "changed Oä40; id Oä40 -> oä40\nchanged RZ17; v 17 -> 0\nmissing Sä18\n");
    on_source(rig, "ALTER TABLE texts ALTER id TYPE text COLLATE \"C\"");
    expect(rig, "public.texts", VERDICT_FAIL, METHOD_BUCKETS,
           "changed RZ17; v 17 -> 0\nextra oä40\nmissing Oä40\nmissing Sä18\n");
}

/* The plan believed that the keys sort alike and they do not: equal rows in other ranges must not count as
 * differences. */
static void wrong_belief_in_an_order(void **state)
{
    struct rig *rig = *state;
    const char *pattern = "public.believed";
    on_source(rig, "CREATE TABLE believed (id text COLLATE \"C\" PRIMARY KEY, v int)");
    on_target(rig, "CREATE TABLE believed (id text COLLATE \"de-x-icu\" PRIMARY KEY, v int)");
    both(rig, "INSERT INTO believed SELECT chr(65 + i % 58) || i, i FROM generate_series(1, 9000) i");
    on_target(rig, "UPDATE believed SET v = 0 WHERE v = 4000");
    struct table_filter *filter = NULL;
    struct catalog cats[SIDE_COUNT] = {0};
    struct plan plan = {0};
    struct pair pairs[2] = {0};
    struct compare_request req = {.frozen = true, .stop_fd = -1};
    struct engine engine = {.plan = &plan, .chunk_rows = 1000, .worker_count = 2, .pairs = pairs};
    ok(table_filter_new(&pattern, 1, &filter, &err));
    for (int i = 0; i < 5; i++) {
        struct session **conn = i < 4 ? &pairs[i / 2].session[i % 2] : &engine.walker;
        ok(session_open(rig->urls[i % 2], "test", "shop", conn, &err) && session_begin(*conn, NULL, &err) &&
           session_savepoint(*conn, &err));
    }
    for (int side = 0; side < SIDE_COUNT; side++)
        ok(catalog_read(pairs[0].session[side], &cats[side], &err));
    plan_make(cats, false, filter, NULL, NULL, &(struct scope){0}, &plan);
    assert_int_equal(plan.count, 1);
    assert_false(plan.tables[0]->ranges);
    plan.tables[0]->ranges = true;
    ok(engine_run(&engine, &req, &err));
    struct compare_table *t = &plan.tables[0]->out;
    char *got = told_all(t);
    assert_int_equal(t->method, METHOD_BUCKETS);
    assert_int_equal(t->verdict, VERDICT_FAIL);
    assert_int_equal(t->rows_target, 9000);
    assert_string_equal(got, "changed y4000; v 4000 -> 0\n");
    free(got);
    plan_release(&plan);
    catalog_release(&cats[0]);
    catalog_release(&cats[1]);
    table_filter_free(filter);
    session_close(engine.walker);
    pair_close(&pairs[0]);
    pair_close(&pairs[1]);
}

static void tables_without_key(void **state)
{
    struct rig *rig = *state;
    both(rig, "CREATE TABLE keyless (a int, b text); INSERT INTO keyless SELECT i % 100, 'x' || i % 7 FROM"
              " generate_series(1, 7000) i; INSERT INTO keyless VALUES (NULL, NULL), (NULL, NULL)");
    on_target(
        rig,
        "CREATE TABLE other AS SELECT * FROM keyless ORDER BY random(); TRUNCATE keyless; INSERT INTO keyless"
        " SELECT * FROM other; DROP TABLE other");
    expect(rig, "public.keyless", VERDICT_PASS, METHOD_BUCKETS, "");
    on_target(rig,
              "DELETE FROM keyless WHERE ctid = (SELECT min(ctid) FROM keyless WHERE a = 5 AND b = 'x5');"
              "INSERT INTO keyless VALUES (1000, 'new'), (1000, 'new'), (NULL, NULL)");
    expect(rig, "public.keyless", VERDICT_FAIL, METHOD_BUCKETS, "extra 0/2\nextra 2/3\nmissing 10/9\n");
}

static void target_without_unique_index(void **state)
{
    struct rig *rig = *state;
    on_source(rig, "CREATE TABLE loose_key (id int PRIMARY KEY, v int)");
    on_target(rig, "CREATE TABLE loose_key (id int, v int)");
    both(rig, "INSERT INTO loose_key SELECT i, i FROM generate_series(1, 5000) i");
    expect(rig, "public.loose_key", VERDICT_PASS, METHOD_BUCKETS, "");
    on_target(rig, "INSERT INTO loose_key VALUES (7, 7), (8, 9); UPDATE loose_key SET v = -1 WHERE id = 100");
    expect(rig, "public.loose_key", VERDICT_FAIL, METHOD_BUCKETS,
           "changed 100; v 100 -> -1\nextra 7\nextra 8\n");
}

static void partitions_and_inheritance(void **state)
{
    struct rig *rig = *state;
    both(rig, "CREATE TABLE facts (day date, id int, v int, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);"
              "CREATE TABLE facts_1 PARTITION OF facts FOR VALUES FROM ('2024-01-01') TO ('2024-07-01');"
              "CREATE TABLE parent (id int PRIMARY KEY, v int); CREATE TABLE child (PRIMARY KEY (id)) "
              "INHERITS (parent)");
    on_source(rig,
              "CREATE TABLE facts_2 PARTITION OF facts FOR VALUES FROM ('2024-07-01') TO ('2025-01-01')");
    on_target(rig, "CREATE TABLE facts_rest PARTITION OF facts DEFAULT");
    both(rig,
         "INSERT INTO facts SELECT '2024-01-01'::date + i % 360, i, i FROM generate_series(1, 8000) i;"
         "INSERT INTO parent SELECT i, i FROM generate_series(1, 10) i; INSERT INTO child SELECT i, -i FROM"
         " generate_series(1, 10) i");
    expect(rig, "public.facts", VERDICT_PASS, METHOD_RANGES, "");
    expect(rig, "public.parent", VERDICT_PASS, METHOD_RANGES, "");
    on_target(rig, "UPDATE facts SET v = 0 WHERE id = 4000; DELETE FROM child WHERE id = 3");
    expect(rig, "public.facts", VERDICT_FAIL, METHOD_RANGES, "changed 2024-02-10|4000; v 4000 -> 0\n");
    expect(rig, "public.parent", VERDICT_PASS, METHOD_RANGES, "");
    expect(rig, "public.child", VERDICT_FAIL, METHOD_RANGES, "missing 3\n");
}

static void verdict_of_what_cannot_be_compared(void **state)
{
    struct rig *rig = *state;
    on_source(
        rig,
        "CREATE SCHEMA odd; CREATE TABLE odd.gone (id int PRIMARY KEY); CREATE UNLOGGED TABLE odd.unlogged "
        "(id int"
        " PRIMARY KEY); CREATE TABLE odd.narrow (id int PRIMARY KEY, v int, w int); CREATE TABLE odd.computed"
        " (id int PRIMARY KEY, v int, g int GENERATED ALWAYS AS (v * 2) STORED);"
        "CREATE TABLE odd.secret (id int PRIMARY KEY, v int)");
    on_target(
        rig,
        "CREATE SCHEMA odd; CREATE TABLE odd.new (id int PRIMARY KEY); CREATE TABLE odd.unlogged (id int"
        " PRIMARY KEY); CREATE TABLE odd.narrow (id int PRIMARY KEY, v int, x int DEFAULT 1); CREATE TABLE"
        " odd.computed (id int PRIMARY KEY, v int, g int); CREATE TABLE odd.secret (id int PRIMARY KEY, v "
        "int)");
    both(rig, "INSERT INTO odd.computed (id, v) VALUES (1, 2); INSERT INTO odd.narrow (id, v) VALUES (1, 1)");
    struct compare_result r = run(rig, "odd.*");
    static const struct {
        const char *table;
        enum compare_verdict verdict;
        const char *reason;
    } want[] = {
        {"computed", VERDICT_PASS, ""},
        {"gone", VERDICT_FAIL, "missing on the target"},
        {"narrow", VERDICT_FAIL, "column w is missing on the target"},
        {"new", VERDICT_FAIL, "missing on the source"},
        {"secret", VERDICT_PASS, ""},
        {"unlogged", VERDICT_INCONCLUSIVE, "unlogged"},
    };
    assert_int_equal(r.table_count, sizeof want / sizeof want[0]);
    for (size_t i = 0; i < r.table_count; i++) {
        assert_string_equal(r.tables[i].table, want[i].table);
        if (r.tables[i].verdict != want[i].verdict || strstr(r.tables[i].reason, want[i].reason) == NULL)
            fail_msg("%s: %s %s", want[i].table, compare_verdict_name(r.tables[i].verdict),
                     r.tables[i].reason);
    }
    assert_int_equal(r.verdict, VERDICT_FAIL);
    compare_result_release(&r);
    r = run(rig, "odd.nosuch");
    assert_int_equal(r.verdict, VERDICT_INCONCLUSIVE);
    compare_result_release(&r);
}

/* A table that fails while it is read is INCONCLUSIVE, and the others go on. */
static void hidden_rows_are_not_a_pass(void **state)
{
    struct rig *rig = *state;
    both(
        rig,
        "CREATE SCHEMA rls; CREATE TABLE rls.a (id int PRIMARY KEY); CREATE TABLE rls.b (id int PRIMARY KEY);"
        "INSERT INTO rls.a VALUES (1); INSERT INTO rls.b VALUES (1)");
    both(rig, "DO $$BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'reader') THEN CREATE ROLE "
              "reader LOGIN; END IF; END$$;"
              "GRANT USAGE ON SCHEMA rls TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA rls TO reader");
    on_target(
        rig,
        "ALTER TABLE rls.a ENABLE ROW LEVEL SECURITY; CREATE POLICY none ON rls.a USING (false); CREATE "
        "SCHEMA IF NOT"
        " EXISTS crossfade; CREATE TABLE IF NOT EXISTS crossfade.verdict (id int GENERATED ALWAYS AS "
        "IDENTITY,"
        " pipeline text, fence_id bigint, lsn pg_lsn, scope text, verdict text, detail jsonb, started_at "
        "timestamptz);"
        "GRANT ALL ON SCHEMA crossfade TO reader; GRANT ALL ON ALL TABLES IN SCHEMA crossfade TO reader");
    char override[2][160];
    (void)snprintf(override[0], sizeof override[0], "source.url=postgresql://reader@127.0.0.1:%d/src",
                   rig->server.port);
    (void)snprintf(override[1], sizeof override[1], "target.url=postgresql://reader@127.0.0.1:%d/dst",
                   rig->server.port);
    const char *overrides[] = {override[0], override[1]}, *pattern = "rls.*";
    struct config *cfg = NULL;
    const char yaml[] = "pipeline: shop\n";
    ok(config_load_text("test", yaml, strlen(yaml), overrides, 2, NULL, &cfg, &err));
    struct compare_request req = {
        .tables = &pattern, .table_count = 1, .frozen = true, .stop_fd = -1, .skip_report = true};
    struct compare_result r = {0};
    ok(compare_run(cfg, &req, &r, &err));
    assert_int_equal(r.tables[0].verdict, VERDICT_INCONCLUSIVE);
    assert_non_null(strstr(r.tables[0].reason, "row-level security"));
    assert_int_equal(r.tables[1].verdict, VERDICT_PASS);
    assert_int_equal(r.verdict, VERDICT_INCONCLUSIVE);
    compare_result_release(&r);
    config_free(cfg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_all_kinds),          cmocka_unit_test(equal_keys_with_other_texts),
        cmocka_unit_test(collations_that_sort_apart), cmocka_unit_test(wrong_belief_in_an_order),
        cmocka_unit_test(tables_without_key),         cmocka_unit_test(target_without_unique_index),
        cmocka_unit_test(partitions_and_inheritance), cmocka_unit_test(verdict_of_what_cannot_be_compared),
        cmocka_unit_test(hidden_rows_are_not_a_pass),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
