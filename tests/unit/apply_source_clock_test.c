/* A clock that goes before ours shows itself by commits that are still to come; one that is behind, or a journal that is read late, does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "apply/source_clock.h"

#define S    INT64_C(1000000)
#define NOW  (INT64_C(1700000000) * S)
#define SPAN (600 * S)

static void test_commits_of_the_past_say_nothing(void **state)
{
    (void)state;
    struct source_clock clock = {0};
    assert_int_equal(source_clock_ahead_us(&clock), 0);
    source_clock_saw(&clock, NOW - 3600 * S, NOW);
    source_clock_saw(&clock, 0, NOW);
    assert_int_equal(source_clock_ahead_us(&clock), 0);
}

static void test_the_most_that_was_seen_counts(void **state)
{
    (void)state;
    struct source_clock clock = {0};
    source_clock_saw(&clock, NOW + 59 * S, NOW);
    source_clock_saw(&clock, NOW + 30 * S, NOW + S); /* read late */
    assert_int_equal(source_clock_ahead_us(&clock), 59 * S);
    source_clock_saw(&clock, NOW + 62 * S, NOW + 2 * S);
    assert_int_equal(source_clock_ahead_us(&clock), 60 * S);
}

static void test_it_is_forgotten_when_clocks_were_set_right(void **state)
{
    (void)state;
    struct source_clock clock = {0};
    source_clock_saw(&clock, NOW + 60 * S, NOW);
    source_clock_saw(&clock, NOW + SPAN, NOW + SPAN);
    assert_int_equal(source_clock_ahead_us(&clock), 60 * S);
    source_clock_saw(&clock, NOW + 2 * SPAN, NOW + 2 * SPAN);
    assert_int_equal(source_clock_ahead_us(&clock), 0);
    source_clock_saw(&clock, NOW + 2 * SPAN + 7 * S, NOW + 2 * SPAN);
    source_clock_saw(&clock, NOW + 9 * SPAN, NOW + 9 * SPAN); /* nothing was read for long */
    assert_int_equal(source_clock_ahead_us(&clock), 0);
}

static void test_ours_is_set_back(void **state)
{
    (void)state;
    struct source_clock clock = {0};
    source_clock_saw(&clock, NOW, NOW);
    source_clock_saw(&clock, NOW, NOW - 100 * S);
    assert_int_equal(source_clock_ahead_us(&clock), 100 * S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_commits_of_the_past_say_nothing),
                                       cmocka_unit_test(test_the_most_that_was_seen_counts),
                                       cmocka_unit_test(test_it_is_forgotten_when_clocks_were_set_right),
                                       cmocka_unit_test(test_ours_is_set_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
