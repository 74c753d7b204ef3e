/* compare/watch/schedule: which level of a window runs next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "compare/watch/schedule.h"

#define S      INT64_C(1000000)
#define MINUTE (60 * S)
#define HOUR   (60 * MINUTE)
#define START  (INT64_C(1800000000) * S)

static struct watch_schedule two(void)
{
    return (struct watch_schedule){
        .levels = {{.name = "counts", .every_us = MINUTE}, {.name = "digests", .every_us = HOUR}},
        .count = 2};
}

static void both_run_at_once_in_the_beginning(void **state)
{
    (void)state;
    struct watch_schedule s = two();
    int64_t at = 0;
    struct watch_level *first = schedule_next(&s, false, START, &at);
    assert_true(at <= START);
    schedule_began(first, START);
    struct watch_level *second = schedule_next(&s, false, START, &at);
    assert_ptr_not_equal(first, second);
    assert_true(at <= START);
    schedule_began(second, START);
    assert_string_equal(schedule_next(&s, false, START, &at)->name, "counts");
    assert_int_equal(at, START + MINUTE);
}

/* Counts take longer than their minute: digests get their turn all the same, once in an hour. */
static void nothing_starves(void **state)
{
    (void)state;
    struct watch_schedule s = two();
    int64_t now = START, at = 0;
    unsigned runs[2] = {0};
    while (now < START + 10 * HOUR) {
        struct watch_level *level = schedule_next(&s, false, now, &at);
        if (at > now)
            now = at;
        schedule_began(level, now);
        runs[level - s.levels]++;
        schedule_done(level);
        now += level == &s.levels[0] ? 90 * S : 5 * MINUTE;
    }
    assert_in_range(runs[1], 8, 11);
    assert_in_range(runs[0], 300, 400);
}

static void a_failed_run_comes_again_soon_and_then_slower(void **state)
{
    (void)state;
    struct watch_schedule s = {.levels = {{.name = "digests", .every_us = HOUR}}, .count = 1};
    int64_t now = START, at = 0, last_pause = 0;
    for (int i = 0; i < 10; i++) {
        schedule_began(&s.levels[0], now);
        schedule_failed(&s.levels[0], now);
        (void)schedule_next(&s, false, now, &at);
        assert_in_range(at - now, S, MINUTE);
        assert_true(at - now >= last_pause);
        last_pause = at - now;
        now = at;
    }
    assert_int_equal(last_pause, MINUTE);
    schedule_began(&s.levels[0], now);
    schedule_done(&s.levels[0]);
    (void)schedule_next(&s, false, now, &at);
    assert_int_equal(at, now + HOUR);
}

static void a_clock_set_back_holds_nothing_up(void **state)
{
    (void)state;
    struct watch_schedule s = two();
    int64_t at = 0;
    for (size_t i = 0; i < s.count; i++)
        schedule_began(&s.levels[i], START);
    (void)schedule_next(&s, false, START - 24 * HOUR, &at);
    assert_true(at <= START - 24 * HOUR + MINUTE);
}

static void what_is_asked_for_comes_first(void **state)
{
    (void)state;
    struct watch_schedule s = two();
    int64_t at = 0;
    for (size_t i = 0; i < s.count; i++)
        schedule_began(&s.levels[i], START);
    s.levels[1].at_once = true;
    assert_string_equal(schedule_next(&s, false, START + 2 * MINUTE, &at)->name, "digests");
    assert_true(at <= START + 2 * MINUTE);
}

/* A line of its own: neither waits for the other. */
static void what_runs_beside_has_its_own_turn(void **state)
{
    (void)state;
    struct watch_schedule s = two();
    int64_t at = 0;
    assert_null(schedule_next(&s, true, START, &at));
    s.levels[s.count++] = (struct watch_level){.name = "shadow", .every_us = MINUTE, .beside = true};
    assert_string_equal(schedule_next(&s, true, START, &at)->name, "shadow");
    for (size_t i = 0; i < 2; i++)
        schedule_began(&s.levels[i], START);
    assert_string_equal(schedule_next(&s, false, START, &at)->name, "counts");
    assert_int_equal(at, START + MINUTE);
    assert_string_equal(schedule_next(&s, true, START, &at)->name, "shadow");
    assert_true(at <= START);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_run_at_once_in_the_beginning),
        cmocka_unit_test(nothing_starves),
        cmocka_unit_test(a_failed_run_comes_again_soon_and_then_slower),
        cmocka_unit_test(a_clock_set_back_holds_nothing_up),
        cmocka_unit_test(what_is_asked_for_comes_first),
        cmocka_unit_test(what_runs_beside_has_its_own_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
