/* Results of two engines: which values are equal, which rows belong together, which differ. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compare/semantic/decimal.h"
#include "compare/semantic/grid.h"
#include "core/alloc.h"

static char *canonical(enum value_mode mode, enum value_class of, const char *text)
{
    struct strbuf out = STRBUF_INIT(100000);
    value_canonical(mode, of, text, &out);
    return strbuf_detach(&out);
}

static bool same(enum value_class a, const char *x, enum value_class b, const char *y, const char *absolute,
                 const char *relative)
{
    enum value_mode mode = value_mode_of(a, b);
    char *p = canonical(mode, a, x), *q = canonical(mode, b, y);
    struct tolerance t = {(char *)absolute, (char *)relative};
    bool equal = value_equal(mode, p, q, &t);
    free(p);
    free(q);
    return equal;
}

static void values(void **state)
{
    static const struct {
        enum value_class a;
        const char *x;
        enum value_class b;
        const char *y, *absolute, *relative;
        bool equal;
    } cases[] = {
        {VALUE_NUMBER, "1.50", VALUE_NUMBER, "1.5", NULL, NULL, true},
        {VALUE_NUMBER, "-0.00", VALUE_NUMBER, "0", NULL, NULL, true},
        {VALUE_NUMBER, "1", VALUE_NUMBER, "-1", NULL, NULL, false},
        {VALUE_NUMBER, "12345678901234567890.1", VALUE_NUMBER, "12345678901234567890.2", NULL, NULL, false},
        {VALUE_NUMBER, "12345678901234567890.1", VALUE_NUMBER, "12345678901234567890.2", "0.1", NULL, true},
        {VALUE_NUMBER, "12345678901234567890.1", VALUE_NUMBER, "12345678901234567890.2", "0.09999", NULL,
         false},
        {VALUE_NUMBER, "100", VALUE_NUMBER, "101", NULL, "0.01", true},
        {VALUE_NUMBER, "100", VALUE_NUMBER, "102", NULL, "0.01", false},
        {VALUE_NUMBER, "-100", VALUE_NUMBER, "-101", NULL, "0.01", true},
        {VALUE_NUMBER, "-100", VALUE_NUMBER, "101", "1", "0.01", false},
        {VALUE_NUMBER, "0", VALUE_NUMBER, "0.5", "0.5", NULL, true},
        {VALUE_NUMBER, "NaN", VALUE_NUMBER, "0", "5", NULL, false},
        {VALUE_NUMBER, "NaN", VALUE_NUMBER, "NaN", NULL, NULL, true},
        {VALUE_FLOAT, "1e+20", VALUE_FLOAT, "1e20", NULL, NULL, true},
        {VALUE_FLOAT, "0.1", VALUE_NUMBER, "0.10", NULL, NULL, true},
        {VALUE_FLOAT, "0.30000000000000004", VALUE_FLOAT, "0.3", NULL, NULL, false},
        {VALUE_FLOAT, "0.30000000000000004", VALUE_FLOAT, "0.3", NULL, "1e-9", true},
        {VALUE_FLOAT, "-0", VALUE_FLOAT, "0", NULL, NULL, true},
        {VALUE_FLOAT, "Infinity", VALUE_FLOAT, "-Infinity", "1", NULL, false},
        {VALUE_BOOL, "t", VALUE_NUMBER, "1", NULL, NULL, true},
        {VALUE_BOOL, "f", VALUE_NUMBER, "1", NULL, NULL, false},
        {VALUE_BOOL, "t", VALUE_TEXT, "1", NULL, NULL, true},
        {VALUE_TEXT, "007", VALUE_TEXT, "7", NULL, NULL,
         false}, /* texts are texts, whatever they look like */
        {VALUE_TEXT, "t", VALUE_TEXT, "1", "1", NULL, false},
        {VALUE_TEXT, "12.0", VALUE_NUMBER, "12", NULL, NULL, true},
        {VALUE_TEXT, "x", VALUE_NUMBER, "12", "100", NULL, false},
        {VALUE_TIME, "2026-01-02 03:04:05", VALUE_TIME, "2026-01-02 03:04:05.000000", NULL, NULL, true},
        {VALUE_TIME, "2026-01-02 03:04:05+00", VALUE_TIME, "2026-01-02T03:04:05Z", NULL, NULL, true},
        {VALUE_TIME, "2026-01-02 03:04:05+02", VALUE_TIME, "2026-01-02 01:04:05", NULL, NULL, true},
        {VALUE_TIME, "2026-01-02", VALUE_TIME, "2026-01-02 00:00:00", NULL, NULL, true},
        {VALUE_TIME, "2026-01-02 03:04:05.000001", VALUE_TIME, "2026-01-02 03:04:05", NULL, NULL, false},
        {VALUE_TIME, "2026-01-02 03:04:05.5", VALUE_TIME, "2026-01-02 03:04:05", "0.5", NULL, true},
        {VALUE_TIME, "1969-12-31 23:59:59", VALUE_TEXT, "1969-12-31 23:59:59.000", NULL, NULL, true},
        {VALUE_TIME, "0001-01-01 BC", VALUE_TIME, "0001-01-01", NULL, NULL, false},
        {VALUE_TIME, "infinity", VALUE_TIME, "infinity", NULL, NULL, true},
        {VALUE_TIME, "12:00:00.50", VALUE_TIME, "12:00:00.5", NULL, NULL, true},
        {VALUE_CHAR, "ab  ", VALUE_TEXT, "ab", NULL, NULL, true},
        {VALUE_TEXT, "ab ", VALUE_TEXT, "ab", NULL, NULL, false},
        {VALUE_TEXT, "a", VALUE_TEXT, "A", NULL, NULL, false},
        {VALUE_TEXT, "", VALUE_NUMBER, "0", "1", NULL, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (same(cases[i].a, cases[i].x, cases[i].b, cases[i].y, cases[i].absolute, cases[i].relative) !=
                cases[i].equal ||
            same(cases[i].b, cases[i].y, cases[i].a, cases[i].x, cases[i].absolute, cases[i].relative) !=
                cases[i].equal)
            fail_msg("case %zu: %s and %s", i, cases[i].x, cases[i].y);
    }
}

static void decimals(void **state)
{
    static const char *const rising[] = {"-1e400", "-12.5", "-12", "-0.001", "0",   "1e-400",   "0.0101",
                                         "0.011",  "9",     "10",  "10.01",  "1e5", "123456.7", "1e400"};
    struct strbuf a = STRBUF_INIT(1000), b = STRBUF_INIT(1000);
    for (size_t i = 0; i < sizeof rising / sizeof rising[0]; i++) {
        for (size_t k = 0; k < sizeof rising / sizeof rising[0]; k++) {
            strbuf_clear(&a);
            strbuf_clear(&b);
            assert_true(decimal_canonical(rising[i], &a) && decimal_canonical(rising[k], &b));
            int c = decimal_compare(a.data, b.data);
            if ((c > 0) - (c < 0) != (i > k) - (i < k))
                fail_msg("%s and %s: %d", rising[i], rising[k], c);
        }
    }
    static const char *const wrong[] = {"",   "-",  ".",    "1e",          "1e+", "1.2.3",
                                        " 1", "1 ", "0x10", "1e999999999", "١"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(decimal_canonical(wrong[i], &a));
    strbuf_clear(&a);
    assert_true(decimal_quotient("-10", "4", 2, &a));
    assert_string_equal(a.data, "-2.50");
    strbuf_clear(&a);
    assert_true(decimal_quotient("2", "3", 4, &a));
    assert_string_equal(a.data, "0.6667");
    strbuf_clear(&a);
    assert_true(decimal_quotient("1", "1000", 2, &a));
    assert_string_equal(a.data, "0.00");
    assert_false(decimal_quotient("1", "0", 2, &a));
    assert_false(decimal_quotient("NaN", "1", 2, &a));
    strbuf_release(&a);
    strbuf_release(&b);
}

/* Columns "k n t": text, number, text. Rows as "a 1 x|b 2 y"; ~ is null. */
static struct grid grid_of(const char *rows)
{
    struct grid g = {0};
    grid_add_column(&g, "k", VALUE_TEXT);
    grid_add_column(&g, "n", VALUE_NUMBER);
    grid_add_column(&g, "t", VALUE_TEXT);
    char *copy = xstrdup(rows), *save_row = NULL, *save_cell = NULL;
    for (char *row = strtok_r(copy, "|", &save_row); row != NULL; row = strtok_r(NULL, "|", &save_row)) {
        size_t at = grid_add_row(&g);
        for (char *cell = strtok_r(row, " ", &save_cell); cell != NULL;
             cell = strtok_r(NULL, " ", &save_cell))
            assert_true(grid_set(&g, at++, strcmp(cell, "~") != 0 ? xstrdup(cell) : NULL));
    }
    free(copy);
    return g;
}

enum how { AS_SET, BY_KEY, IN_ORDER };

static struct compare_check compared(const char *source, const char *target, enum how how,
                                     const char *absolute)
{
    struct compare_check check = {0};
    struct grid sides[2] = {grid_of(source), grid_of(target)};
    struct tolerances tolerances = {.all = {.absolute = (char *)absolute}};
    char *key[] = {"k"};
    struct grid_rules rules = {.tolerances = &tolerances,
                               .ordered = how == IN_ORDER,
                               .key = key,
                               .key_count = how == BY_KEY,
                               .subject = "row"};
    grid_compare(sides, &rules, &check);
    grid_release(&sides[0]);
    grid_release(&sides[1]);
    return check;
}

static void rows(void **state)
{
    static const struct {
        const char *source, *target;
        enum how how;
        const char *absolute;
        enum check_state state;
        size_t differences;
    } cases[] = {
        {"a 1 x|b 2 y", "b 2.0 y|a 1 x", AS_SET, NULL, STATE_PASS, 0},
        {"a 1 x|b 2 y", "b 2.0 y|a 1 x", IN_ORDER, NULL, STATE_FAIL, 2},
        {"a 1 x|b 2 y", "a 1 x|b 2 y", IN_ORDER, NULL, STATE_PASS, 0},
        {"a 1 x|b 2 y", "a 1 x", IN_ORDER, NULL, STATE_FAIL, 1},
        {"a 1 x|a 1 x|b 2 y", "a 1 x|b 2 y|b 2 y", AS_SET, NULL, STATE_FAIL, 2}, /* a set with counts */
        {"a 1 x|b 2 y", "b 2 z|a 1 x", BY_KEY, NULL, STATE_FAIL, 1},
        {"a 1 x|b 2 y", "b 2 y|c 1 x", BY_KEY, NULL, STATE_FAIL, 2},
        {"a 1 x|b 2 y", "b 9 y|a 1 x", BY_KEY, NULL, STATE_FAIL, 1},
        {"a 1 x|a 2 y", "a 1 x|a 2 y", BY_KEY, NULL, STATE_INCONCLUSIVE, 0},
        {"a ~ x", "a ~ x", BY_KEY, NULL, STATE_PASS, 0},
        {"a ~ x", "a 0 x", BY_KEY, "5", STATE_FAIL, 1},
        {"a 1 x", "a 1.4 x", AS_SET, "0.5", STATE_PASS, 0},
        {"a 1 x", "b 1.4 x", AS_SET, "0.5", STATE_FAIL, 1},
        {"a 1 x|a 1.3 x|a 9 x", "a 1.2 x|a 1.6 x|a 9 x", AS_SET, "0.3", STATE_PASS,
         0}, /* paired in order of size */
        {"a 1 x|a 2 x|a 9 x", "a 1 x|a 9 x", AS_SET, "0.3", STATE_FAIL, 1},
        {"a 1 x|a 2 x|a 9 x", "a 1 x|a 5 x|a 9 x", AS_SET, "0.3", STATE_FAIL, 2},
        {"", "", AS_SET, NULL, STATE_PASS, 0},
        {"a 1 x", "", AS_SET, NULL, STATE_FAIL, 1},
        {"", "a 1 x", BY_KEY, NULL, STATE_FAIL, 1},
        {"a 1 x|b 1 x|c 1 x", "a 1 x|b 1 x|c 1 X", AS_SET, NULL, STATE_FAIL, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct compare_check check =
            compared(cases[i].source, cases[i].target, cases[i].how, cases[i].absolute);
        if (check.state != cases[i].state || check.difference_total != cases[i].differences)
            fail_msg("case %zu: %s (%s), %zu differences", i, check_state_name(check.state), check.reason,
                     (size_t)check.difference_total);
        check_release(&check);
    }
}

static void what_differs_is_told(void **state)
{
    struct compare_check check = compared("a 1 x|b 2 y", "a 1 x|b 3 y|c 4 z", BY_KEY, NULL);
    assert_string_equal(check.reason, "2 rows differ");
    assert_int_equal(check.differences[0].kind, DIFF_CHANGED);
    assert_string_equal(check.differences[0].keys[0].source, "b");
    assert_int_equal(check.differences[0].column_count, 1);
    assert_string_equal(check.differences[0].columns[0].name, "n");
    assert_string_equal(check.differences[0].columns[0].target, "3");
    assert_int_equal(check.differences[1].kind, DIFF_EXTRA);
    assert_string_equal(check.differences[1].keys[0].target, "c");
    check_release(&check);
}

static void many_differences_are_counted(void **state)
{
    struct grid sides[2] = {grid_of(""), grid_of("")};
    struct compare_check check = {0};
    struct grid_rules rules = {.subject = "row"};
    for (size_t i = 0; i < 5000; i++)
        assert_true(grid_set(&sides[0], grid_add_row(&sides[0]), xasprintf("%zu", i)));
    grid_compare(sides, &rules, &check);
    assert_int_equal(check.difference_total, 5000);
    assert_int_equal(check.difference_count, 100);
    check_release(&check);
    grid_release(&sides[0]);
    grid_release(&sides[1]);
}

static void results_that_cannot_be_compared(void **state)
{
    struct grid sides[2] = {grid_of("a 1 x"), grid_of("a 1 x")};
    struct compare_check check = {0};
    char *key[] = {"nosuch"};
    struct grid_rules rules = {.subject = "row", .key = key, .key_count = 1};
    grid_compare(sides, &rules, &check);
    assert_int_equal(check.state, STATE_INCONCLUSIVE);
    check_release(&check);
    rules.key_count = 0;
    sides[1].more = true;
    grid_compare(sides, &rules, &check);
    assert_int_equal(check.state, STATE_INCONCLUSIVE);
    assert_non_null(strstr(check.reason, "max_rows"));
    check_release(&check);
    sides[1].more = false;
    struct grid narrow = {0};
    grid_add_column(&narrow, "k", VALUE_TEXT);
    struct grid two[2] = {sides[0], narrow};
    grid_compare(two, &rules, &check);
    assert_int_equal(check.state, STATE_FAIL);
    assert_string_equal(check.reason, "the result has 3 columns on the source, 1 on the target");
    check_release(&check);
    grid_release(&sides[0]);
    grid_release(&sides[1]);
    grid_release(&narrow);
}

static void a_result_is_bounded(void **state)
{
    struct grid g = {0};
    grid_add_column(&g, "k", VALUE_TEXT);
    bool room = true;
    for (size_t i = 0; i < 80 && room; i++) {
        char *megabyte = xmalloc((1 << 20) + 1);
        memset(megabyte, 'x', 1 << 20);
        megabyte[1 << 20] = '\0';
        room = grid_set(&g, grid_add_row(&g), megabyte);
    }
    assert_false(room);
    assert_true(g.more);
    assert_true(g.row_count <= 65);
    grid_release(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(decimals),
        cmocka_unit_test(rows),
        cmocka_unit_test(what_differs_is_told),
        cmocka_unit_test(many_differences_are_counted),
        cmocka_unit_test(results_that_cannot_be_compared),
        cmocka_unit_test(a_result_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
