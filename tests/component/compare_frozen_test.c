/*
 * Comparisons of two databases that stand still: what is equal passes, what differs is told exactly, nothing
 * is invented. The expected differences come from SQL (FULL JOIN in one database), never from compare itself.
 * CF_SEED chooses the random ones.
 */
#include "pg_server.h"

#include <time.h>

#include "compare/compare.h"
#include "config/config.h"
#include "core/alloc.h"
#include "pg/conn.h"

#include "pg_types_cases.h"

struct rig {
    struct pg_server server;
    char urls[2][128];
    struct pg_conn *source, *target;
    char reports[64];
    struct config *cfg;
    unsigned seed;
};

static struct err err;

static void ok(bool good)
{
    if (!good)
        fail_msg("%s: %s", err_code_name(err.code), err.text);
}

static void both(struct rig *rig, const char *sql)
{
    ok(pg_exec(rig->source, sql, &err));
    ok(pg_exec(rig->target, sql, &err));
}

static void on_source(struct rig *rig, const char *sql)
{
    ok(pg_exec(rig->source, sql, &err));
}

static void on_target(struct rig *rig, const char *sql)
{
    ok(pg_exec(rig->target, sql, &err));
}

static void copy_table(struct rig *rig, const char *table)
{
    const char *bytes;
    size_t len;
    char sql[200];
    (void)snprintf(sql, sizeof sql, "COPY (SELECT * FROM %s) TO STDOUT", table);
    ok(pg_copy_out_begin(rig->source, sql, &err));
    (void)snprintf(sql, sizeof sql, "COPY %s FROM STDIN", table);
    ok(pg_copy_in_begin(rig->target, sql, &err));
    for (;;) {
        ok(pg_copy_out_get(rig->source, &bytes, &len, &err));
        if (len == 0)
            break;
        ok(pg_copy_in_put(rig->target, bytes, len, &err));
    }
    ok(pg_copy_in_end(rig->target, NULL, &err));
}

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);
    const struct pg_options options = {.application_name = "compare_frozen_test"};
    const char *seed = getenv("CF_SEED");
    struct pg_conn *admin = NULL;
    char yaml[1000];
    *state = rig;
    rig->seed = seed != NULL ? (unsigned)strtoul(seed, NULL, 10) : (unsigned)time(NULL);
    printf("seed %u\n", rig->seed);
    pg_server_start(&rig->server);
    ok(pg_open(rig->server.url, &options, &admin, &err));
    ok(pg_exec(admin, "CREATE DATABASE src", &err) && pg_exec(admin, "CREATE DATABASE dst", &err));
    pg_close(admin);
    for (int i = 0; i < 2; i++)
        (void)snprintf(rig->urls[i], sizeof rig->urls[i], "postgresql://postgres@127.0.0.1:%d/%s",
                       rig->server.port, i == 0 ? "src" : "dst");
    ok(pg_open(rig->urls[0], &options, &rig->source, &err) &&
       pg_open(rig->urls[1], &options, &rig->target, &err));
    ok(pg_execf(rig->source, &err, "SELECT setseed(%g)", (double)(rig->seed % 1000000) / 1e6));
    (void)snprintf(rig->reports, sizeof rig->reports, "/tmp/cf-compare-XXXXXX");
    assert_non_null(mkdtemp(rig->reports));
    int n = snprintf(yaml, sizeof yaml,
                     "pipeline: shop\nsource: { url: \"%s\" }\ntarget: { url: \"%s\" }\n"
                     "compare: { report_dir: \"%s\", chunk_rows: 3000, workers: 3 }\n",
                     rig->urls[0], rig->urls[1], rig->reports);
    ok(config_load_text("test", yaml, (size_t)n, NULL, 0, NULL, &rig->cfg, &err));
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;
    pg_close(rig->source);
    pg_close(rig->target);
    config_free(rig->cfg);
    pg_server_stop(&rig->server);
    nftw(rig->reports, pg_server_remove, 16, FTW_DEPTH | FTW_PHYS);
    free(rig);
    return 0;
}

static struct compare_result run(struct rig *rig, const char *pattern)
{
    struct compare_request req = {.tables = &pattern,
                                  .table_count = pattern != NULL,
                                  .frozen = true,
                                  .stop_fd = -1,
                                  .skip_report = true};
    struct compare_result result = {0};
    ok(compare_run(rig->cfg, &req, &result, &err));
    return result;
}

/* "changed 5|7: v [old] -> [new]" */
static char *told(const struct compare_difference *d)
{
    struct strbuf sb = STRBUF_INIT(1 << 16);
    strbuf_addf(&sb, "%s ", compare_kind_name(d->kind));
    for (size_t i = 0; i < d->key_count; i++)
        strbuf_addf(&sb, "%s%s", i > 0 ? "|" : "",
                    d->kind == DIFF_EXTRA ? d->keys[i].target : d->keys[i].source);
    if (d->key_count == 0)
        strbuf_addf(&sb, "%d/%d", (int)d->copies_source, (int)d->copies_target);
    for (size_t i = 0; d->kind == DIFF_CHANGED && i < d->column_count; i++)
        strbuf_addf(&sb, "; %s %s -> %s", d->columns[i].name,
                    d->columns[i].source ? d->columns[i].source : "NULL",
                    d->columns[i].target ? d->columns[i].target : "NULL");
    return strbuf_detach(&sb);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All differences of a table, sorted, one a line. */
static char *told_all(const struct compare_table *t)
{
    char **lines = xcalloc(t->difference_count, sizeof *lines);
    struct strbuf sb = STRBUF_INIT(1 << 22);
    for (size_t i = 0; i < t->difference_count; i++)
        lines[i] = told(&t->differences[i]);
    if (t->difference_count > 1)
        qsort(lines, t->difference_count, sizeof *lines, by_text);
    for (size_t i = 0; i < t->difference_count; i++) {
        strbuf_addf(&sb, "%s\n", lines[i]);
        free(lines[i]);
    }
    free(lines);
    return strbuf_detach(&sb);
}

/* One table, its verdict, and exactly these differences (sorted, one a line). */
static void expect(struct rig *rig, const char *table, enum compare_verdict verdict,
                   enum compare_method method, const char *differences)
{
    struct compare_result r = run(rig, table);
    assert_int_equal(r.table_count, 1);
    char *got = told_all(&r.tables[0]);
    if (r.verdict != verdict || strcmp(got, differences) != 0 || r.tables[0].method != method)
        fail_msg("%s: %s by %s (%s)\n%sexpected %s by %s\n%s", table, compare_verdict_name(r.verdict),
                 compare_method_name(r.tables[0].method), r.tables[0].reason, got,
                 compare_verdict_name(verdict), compare_method_name(method), differences);
    free(got);
    compare_result_release(&r);
}

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
        cmocka_unit_test(keys_of_all_kinds),
        cmocka_unit_test(equal_keys_with_other_texts),
        cmocka_unit_test(collations_that_sort_apart),
        cmocka_unit_test(tables_without_key),
        cmocka_unit_test(target_without_unique_index),
        cmocka_unit_test(partitions_and_inheritance),
        cmocka_unit_test(other_types_on_the_target),
        cmocka_unit_test(same_value_other_bits),
        cmocka_unit_test(verdict_of_what_cannot_be_compared),
        cmocka_unit_test(many_differences_are_bounded),
        cmocka_unit_test(crowded_ranges_invent_nothing),
        cmocka_unit_test(random_differences),
        cmocka_unit_test(every_type),
        cmocka_unit_test(reports_and_verdicts),
        cmocka_unit_test(hidden_rows_are_not_a_pass),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
