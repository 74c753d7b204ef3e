/* Why and how long a comparison waits between chunks, and what is made of looks at the source. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compare/pace.h"

#define S    INT64_C(1000000)
#define IDLE 0.0
#define BUSY 2.0

static void first_reason_counts(void **state)
{
    (void)state;
    struct pace pace = {.limits = {.max_load = 4, .max_latency_us = 1000, .max_replica_lag_us = 1},
                        .free_us = 10 * S};
    struct load_figures f = {.active = 5, .latency_us = 2000, .replica_late = true};
    assert_int_equal(pace_reason(&pace, &f, 0), WAIT_REPLICA_LAG);
    f.replica_late = false;
    assert_int_equal(pace_reason(&pace, &f, 0), WAIT_SOURCE_LOAD);
    f.active = 4;
    assert_int_equal(pace_reason(&pace, &f, 0), WAIT_SOURCE_LATENCY);
    f.latency_us = 1000;
    assert_int_equal(pace_reason(&pace, &f, 0), WAIT_ROWS_PER_SECOND);
    assert_int_equal(pace_reason(&pace, &f, 10 * S), WAIT_NONE);
    pace.limits = (struct pace_limits){0};
    f = (struct load_figures){.active = 99, .latency_us = 99 * S, .replica_late = true};
    assert_int_equal(pace_reason(&pace, &f, 10 * S), WAIT_NONE);
}

static void a_busy_source_gets_its_share(void **state)
{
    (void)state;
    struct pace pace = {.limits = {.busy_percent = 4}};
    struct load_figures f = {.active = BUSY};
    int64_t now = 100 * S, read = 0;
    pace_took_at(&pace, BUSY, S, now); /* the first second is free */
    assert_int_equal(pace_reason(&pace, &f, now), WAIT_NONE);
    for (int chunk = 0; chunk < 50; chunk++) { /* two workers, side by side */
        while (pace_reason(&pace, &f, now) == WAIT_SOURCE_BUSY)
            now += S / 100;
        now += S / 2;
        pace_took_at(&pace, BUSY, S / 2, now);
        pace_took_at(&pace, BUSY, S / 2, now);
        read += S;
    }
    assert_in_range(read * 1000 / (now - 100 * S), 39, 42); /* 4 %, and the last chunk not rested for yet */
}

static void an_idle_source_is_read_at_full_speed(void **state)
{
    (void)state;
    struct pace pace = {.limits = {.busy_percent = 4}};
    struct load_figures idle = {.active = IDLE}, busy = {.active = BUSY};
    for (int i = 0; i < 1000; i++)
        pace_took_at(&pace, IDLE, S, i * S);
    assert_int_equal(pace_reason(&pace, &busy, 1000 * S),
                     WAIT_NONE); /* what was read before others came costs nothing */
    pace_took_at(&pace, BUSY, S, 1001 * S);
    assert_int_equal(pace_reason(&pace, &busy, 1002 * S), WAIT_SOURCE_BUSY);
    assert_int_equal(pace_reason(&pace, &idle, 1002 * S), WAIT_NONE); /* they have gone */
    pace_took_at(&pace, BUSY, 100000 * S, 2000 * S);                  /* one endless statement */
    assert_int_equal(pace_reason(&pace, &busy, 2601 * S), WAIT_NONE);
    pace.limits.busy_percent = 100;
    pace_took_at(&pace, BUSY, S, 3000 * S);
    assert_int_equal(pace_reason(&pace, &busy, 3000 * S), WAIT_NONE);
}

static void a_burst_is_rested_for_later(void **state)
{
    (void)state;
    struct pace pace = {.limits = {.busy_percent = 4, .burst_us = 10 * S}};
    struct load_figures f = {.active = BUSY};
    pace_took_at(&pace, BUSY, S, 0); /* free */
    pace_took_at(&pace, IDLE, 5 * S, S);
    assert_int_equal(pace.owed_us, 0);
    pace_took_at(&pace, BUSY, 4 * S, 2 * S);
    assert_int_equal(pace.owed_us, 96 * S);
    assert_int_equal(pace_reason(&pace, &f, 2 * S), WAIT_NONE);
    pace_took_at(&pace, BUSY, 7 * S, 3 * S); /* one second more than a burst */
    assert_int_equal(pace.owed_us, 240 * S);
    assert_int_equal(pace_reason(&pace, &f, 26 * S), WAIT_SOURCE_BUSY);
    assert_int_equal(pace_reason(&pace, &f, 27 * S), WAIT_NONE);
}

static double add(struct load *load, int64_t at_us, int64_t active, int64_t worked_ms, bool all_seen)
{
    return load_add(load, &(struct load_sample){at_us, active, worked_ms, all_seen});
}

static void looks_are_averaged(void **state)
{
    (void)state;
    struct load seen = {0}, hidden = {0};
    assert_float_equal(add(&seen, 0, 4, 0, true), 4, 0.001);
    assert_float_equal(add(&seen, S, 0, 0, true), 2, 0.001);
    for (int i = 0; i < LOAD_SAMPLES; i++)
        (void)add(&seen, (2 + i) * S, 1, 0, true);
    assert_float_equal(add(&seen, 20 * S, 1, 0, true), 1, 0.001);
    assert_float_equal(add(&hidden, 0, 0, 5000, false), 0, 0.001); /* one look says nothing */
    assert_float_equal(add(&hidden, S, 0, 8000, false), 3, 0.001); /* three seconds of work in one */
    for (int i = 0; i < LOAD_SAMPLES; i++)
        (void)add(&hidden, (2 + i) * S, 0, 8000, false);
    assert_float_equal(add(&hidden, 20 * S, 0, 8000, false), 0, 0.001);
}

static void one_look_settles_nothing(void **state)
{
    (void)state;
    struct load seen = {0}, hidden = {0};
    assert_false(load_settled(&seen));
    for (int i = 0; i < LOAD_SAMPLES; i++) {
        (void)add(&seen, i * S / 4, 0, 0, true);
        (void)add(&hidden, i * S / 4, 0, 0, false);
        assert_int_equal(load_settled(&seen), i + 1 >= LOAD_RECENT);
        assert_int_equal(load_settled(&hidden), i + 1 >= LOAD_SAMPLES);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_reason_counts),
        cmocka_unit_test(a_busy_source_gets_its_share),
        cmocka_unit_test(an_idle_source_is_read_at_full_speed),
        cmocka_unit_test(a_burst_is_rested_for_later),
        cmocka_unit_test(looks_are_averaged),
        cmocka_unit_test(one_look_settles_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
