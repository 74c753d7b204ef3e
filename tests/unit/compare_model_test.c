/* How tables add up to a verdict, and how long values are shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compare/model.h"
#include "core/alloc.h"

static enum compare_verdict sum_of(const enum compare_verdict *verdicts, size_t count)
{
    struct compare_result r = {
        .reason = xstrdup(""), .tables = xcalloc(count, sizeof *r.tables), .table_count = count};
    for (size_t i = 0; i < count; i++) {
        r.tables[i].schema = xstrdup("s");
        r.tables[i].table = xasprintf("t%zu", count - i);
        r.tables[i].verdict = verdicts[i];
    }
    result_sum_up(&r);
    for (size_t i = 1; i < count; i++)
        assert_true(strcmp(r.tables[i - 1].table, r.tables[i].table) < 0);
    enum compare_verdict verdict = r.verdict;
    compare_result_release(&r);
    return verdict;
}

static void verdicts_add_up(void **state)
{
    static const enum compare_verdict all[] = {VERDICT_PASS, VERDICT_PASS, VERDICT_INCONCLUSIVE, VERDICT_FAIL,
                                               VERDICT_UNKNOWN};
    assert_int_equal(sum_of(all, 0), VERDICT_INCONCLUSIVE); /* nothing proves nothing */
    assert_int_equal(sum_of(all, 2), VERDICT_PASS);
    assert_int_equal(sum_of(all, 3), VERDICT_INCONCLUSIVE);
    assert_int_equal(sum_of(all, 4), VERDICT_FAIL);
    assert_int_equal(sum_of(&all[4], 1), VERDICT_INCONCLUSIVE);
    assert_int_equal(compare_exit_code(VERDICT_PASS), 0);
    assert_int_equal(compare_exit_code(VERDICT_FAIL), 1);
    assert_int_equal(compare_exit_code(VERDICT_INCONCLUSIVE), 3);
}

static void the_graver_verdict_stays(void **state)
{
    struct compare_table t = {0};
    table_conclude(&t, VERDICT_INCONCLUSIVE, "first");
    table_conclude(&t, VERDICT_PASS, "no");
    assert_string_equal(t.reason, "first");
    table_conclude(&t, VERDICT_FAIL, "worse %d", 1);
    table_conclude(&t, VERDICT_INCONCLUSIVE, "no");
    assert_int_equal(t.verdict, VERDICT_FAIL);
    assert_string_equal(t.reason, "worse 1");
    table_release(&t);
}

static void long_values_are_cut_between_characters(void **state)
{
    char a[2001], b[2001];
    struct compare_difference d = {.kind = DIFF_CHANGED};
    for (int i = 0; i < 1000; i++) /* two bytes each */
        memcpy(&a[2 * i], "\xc3\xa4", 2);
    a[2000] = '\0';
    memcpy(b, a, sizeof b);
    b[1001] = '\xb6'; /* the second byte of a character differs */
    difference_add_column(&d, "v", a, b);
    difference_add_column(&d, "n", NULL, "x");
    assert_non_null(strstr(d.columns[0].source, "(2000 bytes)"));
    assert_non_null(strstr(d.columns[0].target, "\xc3\xb6"));
    assert_int_equal(strncmp(d.columns[0].source, "…\xc3", 4), 0);
    assert_true(strlen(d.columns[0].target) < 250);
    assert_null(d.columns[1].source);
    assert_string_equal(d.columns[1].target, "x");
    difference_release(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(verdicts_add_up),
                                       cmocka_unit_test(the_graver_verdict_stays),
                                       cmocka_unit_test(long_values_are_cut_between_characters)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
