/* cutover/watch/hysteresis: when a level of a trigger fires, and when it is over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cutover/watch/hysteresis.h"

#define S     INT64_C(1000000)
#define START (INT64_C(1800000000) * S)

struct reading {
    int64_t at_s;
    double value;
    enum trigger_event event;
    enum trigger_phase phase;
};

static void walk(const struct trigger_rule *rule, const struct reading *readings, size_t count)
{
    struct trigger_state state = {0};
    for (size_t i = 0; i < count; i++) {
        print_message("reading %zu: %g at %lld s\n", i, readings[i].value, (long long)readings[i].at_s);
        assert_int_equal(trigger_step(rule, &state, readings[i].value, START + readings[i].at_s * S),
                         readings[i].event);
        assert_int_equal(state.phase, readings[i].phase);
    }
}

#define WALK(rule, ...)                                                                                      \
    do {                                                                                                     \
        static const struct reading readings[] = __VA_ARGS__;                                                \
        walk(rule, readings, ARRAY_LEN(readings));                                                           \
    } while (0)

static void the_first_reading_fires_where_nothing_else_is_asked(void **test)
{
    (void)test;
    const struct trigger_rule rule = {.above = 0, .readings = 1};
    WALK(&rule, {{0, 0, TRIGGER_NOTHING, TRIGGER_QUIET},
                 {1, 1, TRIGGER_FIRED, TRIGGER_FIRING},
                 {2, 5, TRIGGER_NOTHING, TRIGGER_FIRING},
                 {3, 0, TRIGGER_CLEARED, TRIGGER_QUIET},
                 {4, 0, TRIGGER_NOTHING, TRIGGER_QUIET},
                 {5, 2, TRIGGER_FIRED, TRIGGER_FIRING}});
}

static void what_is_just_the_threshold_is_not_above(void **test)
{
    (void)test;
    const struct trigger_rule rule = {.above = 30, .readings = 1, .clear_below = 10};
    WALK(&rule, {{0, 30, TRIGGER_NOTHING, TRIGGER_QUIET}, {1, 30.001, TRIGGER_FIRED, TRIGGER_FIRING}});
}

static void it_fires_when_it_has_held_for_so_long(void **test)
{
    (void)test;
    const struct trigger_rule rule = {.above = 30, .for_us = 60 * S, .readings = 1, .clear_below = 10};
    WALK(&rule, {{0, 40, TRIGGER_NOTHING, TRIGGER_RISING},
                 {30, 50, TRIGGER_NOTHING, TRIGGER_RISING},
                 {59, 50, TRIGGER_NOTHING, TRIGGER_RISING},
                 {60, 50, TRIGGER_FIRED, TRIGGER_FIRING}});
}

static void one_reading_below_begins_anew(void **test)
{
    (void)test;
    const struct trigger_rule rule = {.above = 30, .for_us = 60 * S, .readings = 1, .clear_below = 10};
    WALK(&rule, {{0, 40, TRIGGER_NOTHING, TRIGGER_RISING},
                 {50, 29, TRIGGER_NOTHING, TRIGGER_QUIET},
                 {60, 40, TRIGGER_NOTHING, TRIGGER_RISING},
                 {110, 40, TRIGGER_NOTHING, TRIGGER_RISING},
                 {120, 40, TRIGGER_FIRED, TRIGGER_FIRING}});
}

static void both_time_and_readings_are_asked_for(void **test)
{
    (void)test;
    const struct trigger_rule rule = {.above = 1, .for_us = 10 * S, .readings = 3, .clear_below = 1};
    WALK(&rule, {{0, 2, TRIGGER_NOTHING, TRIGGER_RISING},
                 {20, 2, TRIGGER_NOTHING, TRIGGER_RISING},
                 {21, 2, TRIGGER_FIRED, TRIGGER_FIRING}});
    WALK(&rule, {{0, 2, TRIGGER_NOTHING, TRIGGER_RISING},
                 {1, 2, TRIGGER_NOTHING, TRIGGER_RISING},
                 {2, 2, TRIGGER_NOTHING, TRIGGER_RISING},
                 {10, 2, TRIGGER_FIRED, TRIGGER_FIRING}});
}

static void between_the_thresholds_nothing_changes(void **test)
{
    (void)test;
    const struct trigger_rule rule = {.above = 90, .readings = 1, .clear_below = 85};
    WALK(&rule, {{0, 88, TRIGGER_NOTHING, TRIGGER_QUIET},
                 {1, 91, TRIGGER_FIRED, TRIGGER_FIRING},
                 {2, 89, TRIGGER_NOTHING, TRIGGER_FIRING},
                 {3, 92, TRIGGER_NOTHING, TRIGGER_FIRING},
                 {4, 85.1, TRIGGER_NOTHING, TRIGGER_FIRING},
                 {5, 85, TRIGGER_CLEARED, TRIGGER_QUIET},
                 {6, 89, TRIGGER_NOTHING, TRIGGER_QUIET}});
}

/* A watch that was down for an hour has not seen that it held. */
static void a_gap_proves_nothing(void **test)
{
    (void)test;
    const struct trigger_rule rule = {.above = 30, .for_us = 60 * S, .readings = 1, .clear_below = 10};
    WALK(&rule, {{0, 40, TRIGGER_NOTHING, TRIGGER_RISING},
                 {3600, 40, TRIGGER_NOTHING, TRIGGER_RISING},
                 {3660, 40, TRIGGER_FIRED, TRIGGER_FIRING}});
}

static void what_fires_goes_on_through_a_gap(void **test)
{
    (void)test;
    const struct trigger_rule rule = {.above = 30, .readings = 1, .clear_below = 10};
    WALK(&rule, {{0, 40, TRIGGER_FIRED, TRIGGER_FIRING},
                 {36000, 40, TRIGGER_NOTHING, TRIGGER_FIRING},
                 {72000, 5, TRIGGER_CLEARED, TRIGGER_QUIET}});
}

static void a_clock_that_is_set_back_begins_anew(void **test)
{
    (void)test;
    const struct trigger_rule rule = {.above = 30, .for_us = 60 * S, .readings = 1, .clear_below = 10};
    WALK(&rule, {{1000, 40, TRIGGER_NOTHING, TRIGGER_RISING},
                 {0, 40, TRIGGER_NOTHING, TRIGGER_RISING},
                 {59, 40, TRIGGER_NOTHING, TRIGGER_RISING},
                 {60, 40, TRIGGER_FIRED, TRIGGER_FIRING}});
}

static void phases_have_names(void **test)
{
    (void)test;
    for (int phase = TRIGGER_QUIET; phase <= TRIGGER_FIRING; phase++)
        assert_int_equal(trigger_phase_parse(trigger_phase_name((enum trigger_phase)phase)), phase);
    assert_int_equal(trigger_phase_parse("none of them"), TRIGGER_QUIET);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_reading_fires_where_nothing_else_is_asked),
        cmocka_unit_test(what_is_just_the_threshold_is_not_above),
        cmocka_unit_test(it_fires_when_it_has_held_for_so_long),
        cmocka_unit_test(one_reading_below_begins_anew),
        cmocka_unit_test(both_time_and_readings_are_asked_for),
        cmocka_unit_test(between_the_thresholds_nothing_changes),
        cmocka_unit_test(a_gap_proves_nothing),
        cmocka_unit_test(what_fires_goes_on_through_a_gap),
        cmocka_unit_test(a_clock_that_is_set_back_begins_anew),
        cmocka_unit_test(phases_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
