/* compare/watch/window: since when a level is clean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compare/watch/window.h"

#define S     INT64_C(1000000)
#define START (INT64_C(1800000000) * S)

struct story {
    struct windows windows;
    uint64_t id;
};

/* A run that began so many seconds after START. */
static void run(struct story *s, const char *level, int64_t every_s, const char *verdict, int64_t at_s,
                int64_t took_s, uint64_t fence_id)
{
    struct window_row row = {.id = ++s->id,
                             .level = level,
                             .verdict = verdict,
                             .whole = true,
                             .every_s = every_s,
                             .began_us = START + at_s * S,
                             .ended_us = START + (at_s + took_s) * S,
                             .fence_id = fence_id};
    windows_add(&s->windows, &row);
}

static struct watch_window told(const struct story *s, const char *level, int64_t at_s)
{
    struct watch_window ret;
    const struct window *window = windows_find(&s->windows, level);
    assert_non_null(window);
    window_tell(window, 0, START + at_s * S, &ret);
    return ret;
}

static void a_fail_a_gap_and_another_journal_begin_anew(void **state)
{
    (void)state;
    struct story s = {.id = 0};
    run(&s, "counts", 60, "PASS", 0, 1, 10);
    run(&s, "counts", 60, "INCONCLUSIVE", 60, 1, 0);
    run(&s, "counts", 60, "PASS", 120, 1, 11);
    assert_int_equal(told(&s, "counts", 121).clean_since_us, START);
    assert_int_equal(told(&s, "counts", 121).clean_runs, 2);
    run(&s, "counts", 60, "FAIL", 180, 1, 12);
    assert_int_equal(told(&s, "counts", 181).clean_since_us, 0);
    run(&s, "counts", 60, "PASS", 240, 1, 13);
    assert_int_equal(told(&s, "counts", 241).clean_since_us, START + 240 * S);
    run(&s, "counts", 60, "PASS", 420, 1, 14); /* three intervals: no gap yet */
    assert_int_equal(told(&s, "counts", 421).clean_since_us, START + 240 * S);
    run(&s, "counts", 60, "PASS", 601, 1, 15);
    assert_int_equal(told(&s, "counts", 602).clean_since_us, START + 601 * S);
    run(&s, "counts", 60, "PASS", 660, 1, 3);
    struct watch_window w = told(&s, "counts", 661);
    assert_int_equal(w.clean_since_us, START + 660 * S);
    assert_int_equal(w.runs, 8);
    assert_int_equal(w.passed, 6);
    assert_int_equal(w.failed, 1);
    assert_int_equal(w.inconclusive, 1);
}

static void a_window_that_nobody_carries_on_is_stale(void **state)
{
    (void)state;
    struct story s = {.id = 0};
    run(&s, "digests", 60, "PASS", 0, 100, 1); /* takes longer than its interval */
    assert_false(told(&s, "digests", 300).stale);
    assert_true(told(&s, "digests", 301).stale);
    assert_int_equal(told(&s, "digests", 301).clean_since_us, 0);
    run(&s, "digests", 60, "PASS", 300, 10, 2);
    assert_int_equal(told(&s, "digests", 310).clean_since_us, START);
}

/* An hour of digests, in which counts and changed keys could not run. */
static void a_pass_that_reads_more_closes_a_gap(void **state)
{
    (void)state;
    struct story s = {.id = 0};
    static const char *const levels[] = {"counts", "changed", "shadow"};
    for (size_t i = 0; i < 3; i++)
        run(&s, levels[i], 10, "PASS", (int64_t)i, 1, i < 2 ? 1 + i : 0);
    run(&s, "digests", 3600, "PASS", 5, 3600, 4);
    for (size_t i = 0; i < 3; i++)
        run(&s, levels[i], 10, "PASS", 3610 + (int64_t)i, 1, i < 2 ? 5 + i : 0);
    assert_int_equal(told(&s, "counts", 3613).clean_since_us, START);
    assert_int_equal(told(&s, "changed", 3613).clean_since_us, START + S);
    assert_int_equal(told(&s, "shadow", 3613).clean_since_us, START + 3612 * S);
    assert_int_equal(told(&s, "changed", 3613).clean_runs, 2);
    /* it must have begun in time itself: its interval is not theirs */
    run(&s, "digests", 3600, "PASS", 3700, 10, 8);
    run(&s, "changed", 10, "PASS", 3711, 1, 9);
    assert_int_equal(told(&s, "changed", 3712).clean_since_us, START + 3711 * S);
    /* changed keys say nothing of the number of the others */
    run(&s, "counts", 10, "PASS", 3715, 1, 10);
    run(&s, "changed", 10, "PASS", 3740, 1, 11);
    run(&s, "counts", 10, "PASS", 3760, 1, 12);
    assert_int_equal(told(&s, "counts", 3761).clean_since_us, START + 3760 * S);
}

static void rows_are_taken_once_and_those_of_some_tables_not(void **state)
{
    (void)state;
    struct story s = {.id = 0};
    run(&s, "counts", 60, "PASS", 0, 1, 1);
    s.id = 0;
    run(&s, "counts", 60, "PASS", 0, 1, 1);
    assert_int_equal(told(&s, "counts", 1).runs, 1);
    struct window_row part = {
        .id = 5, .level = "counts", .verdict = "PASS", .every_s = 60, .began_us = START + S};
    windows_add(&s.windows, &part);
    assert_int_equal(told(&s, "counts", 1).runs, 1);
    assert_null(windows_find(&s.windows, "full"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fail_a_gap_and_another_journal_begin_anew),
        cmocka_unit_test(a_window_that_nobody_carries_on_is_stale),
        cmocka_unit_test(a_pass_that_reads_more_closes_a_gap),
        cmocka_unit_test(rows_are_taken_once_and_those_of_some_tables_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
