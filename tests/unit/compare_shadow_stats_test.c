/* Durations: their histogram, what counts as later, and what as noise. Results: their hashes. Plans: their shapes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compare/shadow/cell_text.h"
#include "compare/shadow/histogram.h"
#include "compare/shadow/latency.h"
#include "compare/shadow/plan_shape.h"
#include "compare/shadow/rows_hash.h"
#include "core/attr.h"

static void test_histogram(void **state UNUSED)
{
    struct histogram h = {0}, both = {0};
    for (int64_t us = 1; us <= 100000; us++)
        histogram_add(&h, us);
    static const double shares[] = {0.01, 0.5, 0.95, 0.99};
    for (size_t i = 0; i < ARRAY_LEN(shares); i++) {
        double true_us = shares[i] * 100000, got = (double)histogram_quantile(&h, shares[i]);
        assert_true(got >= true_us && got <= true_us * 1.033);
    }
    assert_int_equal(histogram_quantile(&h, 1), 100000);
    histogram_add(&h, INT64_C(1) << 40);
    histogram_add(&h, -5);
    histogram_merge(&both, &h);
    histogram_merge(&both, &h);
    assert_int_equal(both.count, 2 * 100002);
    assert_int_equal(both.max_us, INT64_C(1) << 40);
    assert_int_equal(histogram_quantile(&(struct histogram){0}, 0.5), 0);
}

/* Durations around base_us, with a spread of +-share and now and then an outlier. */
static float around(uint64_t *seed, double base_us, double share)
{
    double u = (double)shadow_random_below(seed, 1000001) / 1e6;
    double outlier = shadow_random_below(seed, 20) == 0 ? 5 : 1;
    return (float)(base_us * (1 + share * (2 * u - 1)) * outlier);
}

static void make(struct latency_sample *s, size_t n, uint64_t seed, double source_us, double target_us,
                 double spread)
{
    for (size_t i = 0; i < n; i++)
        s[i] = (struct latency_sample){around(&seed, source_us, spread), around(&seed, source_us, spread),
                                       around(&seed, target_us, spread)};
}

static enum latency_verdict judge(const struct latency_sample *s, size_t n, double floor_us)
{
    const struct latency_rule rule = {.threshold = 1.25, .floor_us = floor_us, .alpha = 0.0001};
    struct latency_judgement j;
    latency_judge(s, n, &rule, &j);
    return j.verdict;
}

static void test_latency(void **state UNUSED)
{
    struct latency_sample s[200];
    make(s, 40, 1, 10000, 10000, 0.3);
    assert_int_equal(judge(s, 40, 1000), LATENCY_SAME);
    make(s, 40, 2, 10000, 20000, 0.3);
    assert_int_equal(judge(s, 40, 1000), LATENCY_SLOWER);
    make(s, 40, 3, 20000, 10000, 0.3);
    assert_int_equal(judge(s, 40, 1000), LATENCY_FASTER);
    make(s, 40, 4, 300, 600, 0.1); /* twice, but by 0.3 ms */
    assert_int_equal(judge(s, 40, 1000), LATENCY_SAME);
    make(s, 13, 5, 10000, 20000, 0.1); /* 14 are needed at this chance of error */
    assert_int_equal(judge(s, 13, 1000), LATENCY_UNKNOWN);
    assert_int_equal(latency_samples_needed(0.0001), 14);
    make(s, 40, 6, 10000, 11000, 0.1); /* 10 % later: below the threshold */
    assert_int_equal(judge(s, 40, 0), LATENCY_SAME);
}

/* The source itself is that uneven: nothing can be said, though the target looks later. */
static void test_noise(void **state UNUSED)
{
    struct latency_sample s[20];
    for (size_t i = 0; i < ARRAY_LEN(s); i++)
        s[i] = (struct latency_sample){10000, 40000, 35000};
    struct latency_judgement j;
    latency_judge(s, ARRAY_LEN(s), &(struct latency_rule){.threshold = 1.25, .alpha = 0.01}, &j);
    assert_true(j.ratio > 1.25 && j.low > 1.25 && j.noise > 3.9);
    assert_int_equal(j.verdict, LATENCY_SAME);
}

/* A/A: as many false findings as promised, over many runs. */
static void test_false_findings(void **state UNUSED)
{
    struct latency_sample s[30];
    int found = 0;
    for (uint64_t seed = 0; seed < 2000; seed++) {
        make(s, ARRAY_LEN(s), seed * 77 + 5, 10000, 10000, 0.9);
        struct latency_judgement j;
        latency_judge(s, ARRAY_LEN(s), &(struct latency_rule){.threshold = 1.0, .alpha = 0.01}, &j);
        found += j.verdict == LATENCY_SLOWER;
    }
    assert_true(found <= 40);
}

static void test_overall(void **state UNUSED)
{
    struct latency_sample a[30], b[30];
    make(a, 30, 1, 1000, 1000, 0.2);
    make(b, 30, 2, 50000, 100000, 0.2);
    struct latency_rule rule = {.threshold = 1.25, .alpha = 0.01};
    struct latency_judgement j;
    struct latency_stratum strata[] = {{a, 30, 1000}, {b, 30, 1}};
    latency_judge_all(strata, 2, &rule, 7, &j);
    assert_int_equal(j.verdict, LATENCY_SAME); /* the slow one is rare */
    strata[1].weight = 100;
    latency_judge_all(strata, 2, &rule, 7, &j);
    assert_int_equal(j.verdict, LATENCY_SLOWER);
    assert_true(j.ratio > 1.5 && j.low > 1.25 && j.high < 3);
    latency_judge_all(strata, 0, &rule, 7, &j);
    assert_int_equal(j.verdict, LATENCY_UNKNOWN);
}

#define ROWS(h, keyed, ...)                                                                                  \
    hash_rows(h, keyed, (const char *[][2]){__VA_ARGS__},                                                    \
              sizeof((const char *[][2]){__VA_ARGS__}) / sizeof(char *[2]))

/* Two columns; the first is the sort key if keyed. */
static void hash_rows(struct rows_hash *h, bool keyed, const char *rows[][2], size_t count)
{
    static const size_t key[] = {0};
    rows_hash_begin(h, 2);
    if (keyed)
        rows_hash_set_keys(h, key, 1);
    for (size_t i = 0; i < count; i++) {
        const struct rows_cell cells[] = {
            {.bytes = rows[i][0], .len = rows[i][0] != NULL ? strlen(rows[i][0]) : 0},
            {.bytes = rows[i][1], .len = rows[i][1] != NULL ? strlen(rows[i][1]) : 0}};
        assert_true(rows_hash_add(h, cells, NULL));
    }
}

static void test_rows(void **state UNUSED)
{
    struct rows_hash a, b;
    const struct rows_query set = {.ordered = false}, ordered = {.ordered = true},
                            top = {.ordered = true, .limited = true},
                            page = {.ordered = true, .limited = true, .offset = true};
    ROWS(&a, true, {"1", "x"}, {"2", "y"}, {"2", "z"}, {"3", NULL});
    ROWS(&b, true, {"3", NULL}, {"2", "z"}, {"1", "x"}, {"2", "y"});
    assert_int_equal(rows_hash_compare(&a, &b, &set), ROWS_EQUAL);
    assert_int_equal(rows_hash_compare(&a, &b, &ordered), ROWS_DISORDER);
    ROWS(&b, true, {"1", "x"}, {"2", "z"}, {"2", "y"}, {"3", NULL});
    assert_int_equal(rows_hash_compare(&a, &b, &ordered), ROWS_TIES);
    ROWS(&b, false, {"1", "x"}, {"2", "z"}, {"2", "y"}, {"3", NULL});
    assert_int_equal(rows_hash_compare(&a, &b, &ordered), ROWS_ORDER);
    ROWS(&b, true, {"1", "x"}, {"2", "y"}, {"2", "z"}, {"3", ""}); /* null is not the empty text */
    assert_int_equal(rows_hash_compare(&a, &b, &ordered), ROWS_DIFFER);
    assert_int_equal(rows_hash_compare(&a, &b, &top),
                     ROWS_EDGE); /* with LIMIT, the last key's rows may be others */
    ROWS(&b, true, {"1", "!"}, {"2", "y"}, {"2", "z"},
         {"3", NULL}); /* the first key's are cut by OFFSET alone */
    assert_int_equal(rows_hash_compare(&a, &b, &top), ROWS_DIFFER);
    assert_int_equal(rows_hash_compare(&a, &b, &page), ROWS_EDGE);
    ROWS(&b, true, {"1", "x"}, {"2", "y"}, {"2", "!"}, {"3", NULL});
    assert_int_equal(rows_hash_compare(&a, &b, &top), ROWS_DIFFER); /* but not those between */
    ROWS(&b, true, {"1", "x"}, {"2", "y"}, {"2", "z"});
    assert_int_equal(rows_hash_compare(&a, &b, &set), ROWS_DIFFER);
    ROWS(&a, false, {"ab", "c"});
    ROWS(&b, false, {"a", "bc"}); /* cells do not run together */
    assert_int_equal(rows_hash_compare(&a, &b, &set), ROWS_DIFFER);
    ROWS(&a, false, {"a", "a"}, {"a", "a"}, {"b", "b"});
    ROWS(&b, false, {"a", "a"}, {"b", "b"}, {"b", "b"}); /* how often a row is there counts */
    assert_int_equal(rows_hash_compare(&a, &b, &set), ROWS_DIFFER);
}

/* What sorts as equal but is written differently is no disorder; where that cannot be told, no order is judged. */
static void test_keys(void **state UNUSED)
{
    struct rows_hash a, b;
    const struct rows_query ordered = {.ordered = true};
    const struct rows_cell one[] = {{.bytes = "1.0", .len = 3, .kind = CELL_DECIMAL}},
                           other[] = {{.bytes = "1.00", .len = 4, .kind = CELL_DECIMAL}},
                           ten[] = {{.bytes = "10", .len = 2, .kind = CELL_DECIMAL}};
    for (int vague = 0; vague < 2; vague++) {
        const struct rows_cell *first[] = {one, other, ten}, *second[] = {other, one, ten},
                               *third[] = {ten, one, other};
        static const size_t key[] = {0};
        struct rows_hash c;
        struct rows_hash *hashes[] = {&a, &b, &c};
        const struct rows_cell **rows[] = {first, second, third};
        for (size_t h = 0; h < 3; h++) {
            rows_hash_begin(hashes[h], 1);
            rows_hash_set_keys(hashes[h], key, 1);
            hashes[h]->vague_keys = vague == 1;
            for (size_t i = 0; i < 3; i++)
                assert_true(rows_hash_add(hashes[h], rows[h][i], NULL));
        }
        assert_int_equal(a.first_rows, 2);
        assert_int_equal(a.last_rows, 1);
        assert_int_equal(rows_hash_compare(&a, &b, &ordered), ROWS_TIES);
        assert_int_equal(rows_hash_compare(&a, &c, &ordered), vague ? ROWS_ORDER : ROWS_DISORDER);
    }
}

static void test_floats(void **state UNUSED)
{
    struct rows_hash a, b;
    const struct rows_query set = {.ordered = false};
    static const char *const values[][2] = {{"0.30000000000000004", "0.3"}, {"-0", "0"}, {"0.31", "0.3"}};
    static const enum rows_relation expected[] = {ROWS_FLOATS, ROWS_FLOATS, ROWS_DIFFER};
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        const struct rows_cell one = {.bytes = values[i][0], .len = strlen(values[i][0]), .kind = CELL_FLOAT},
                               other = {
                                   .bytes = values[i][1], .len = strlen(values[i][1]), .kind = CELL_FLOAT};
        rows_hash_begin(&a, 1);
        rows_hash_begin(&b, 1);
        assert_true(rows_hash_add(&a, &one, NULL) && rows_hash_add(&b, &other, NULL));
        assert_int_equal(rows_hash_compare(&a, &b, &set), expected[i]);
    }
}

static void test_plain_cells(void **state UNUSED)
{
    static const struct {
        enum cell_kind kind;
        const char *text, *plain;
    } cases[] = {{CELL_BOOL, "t", "1"},
                 {CELL_BOOL, "f", "0"},
                 {CELL_BYTES, "\\x414200", "AB"},
                 {CELL_DECIMAL, "12.500", "12.5"},
                 {CELL_DECIMAL, "7.00", "7"},
                 {CELL_DECIMAL, "-0.10", "-0.1"},
                 {CELL_DECIMAL, "100", "100"},
                 {CELL_FLOAT, "1e+20", "1e20"},
                 {CELL_FLOAT, "1.50E-07", "1.5e-07"},
                 {CELL_FLOAT, "1e", "1e"},
                 {CELL_TEXT, "1.2.3", "1.2.3"},
                 {CELL_TEXT, "", ""},
                 {CELL_TEXT, "1.50", "1.50"}, /* a text is what it is */
                 {CELL_TEXT, "10:00:00.000000", "10:00:00.000000"},
                 {CELL_TIME, "2026-01-31 10:00:00.250000+00", "2026-01-31 10:00:00.25"},
                 {CELL_TIME, "2026-01-31 10:00:00", "2026-01-31 10:00:00"},
                 {CELL_TIME, "10:00:00.000000", "10:00:00"},
                 {CELL_TEXT, "2026-01-31", "2026-01-31"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct strbuf text = STRBUF_INIT(1000);
        struct rows_cell cell = {.bytes = cases[i].text, .len = strlen(cases[i].text), .kind = cases[i].kind};
        assert_true(cells_plain(&cell, 1, &text, NULL));
        assert_string_equal(cell.bytes, cases[i].plain);
        strbuf_release(&text);
    }
}

static void test_plans(void **state UNUSED)
{
    char *shape = plan_shape("[{\"Plan\": {\"Node Type\": \"Hash Join\", \"Join Type\": \"Left\", \"Total "
                             "Cost\": 5, \"Plans\": [{\"Node Type\": "
                             "\"Seq Scan\", \"Relation Name\": \"a\"}, {\"Node Type\": \"Index Scan\", "
                             "\"Relation Name\": \"b\", \"Index Name\": "
                             "\"b_pkey\", \"Scan Direction\": \"Backward\"}]}}]");
    assert_string_equal(shape, "Left Hash Join(Seq Scan on a, Index Scan on b using b_pkey backward)");
    free(shape);
    assert_null(plan_shape("nothing"));
    assert_null(plan_shape("[]"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_histogram),   cmocka_unit_test(test_latency),
        cmocka_unit_test(test_noise),       cmocka_unit_test(test_false_findings),
        cmocka_unit_test(test_overall),     cmocka_unit_test(test_rows),
        cmocka_unit_test(test_floats),      cmocka_unit_test(test_keys),
        cmocka_unit_test(test_plain_cells), cmocka_unit_test(test_plans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
