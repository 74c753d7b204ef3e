/* Schedules, sizes of batches, standbys: what needs no server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "apply/throttle.h"

#define MINUTE   INT64_C(60000000)
#define AT(h, m) ((INT64_C(20000) * 1440 + (h)*60 + (m)) * MINUTE)

static void schedules(void **state)
{
    (void)state;
    struct throttle th = {0};
    struct err err = ERR_INIT;
    assert_true(throttle_schedule(&th, NULL, &err));
    assert_true(throttle_in_schedule(&th, AT(3, 0)));
    assert_true(throttle_schedule(&th, "22:00-06:00, 12:00-12:30 UTC", &err));
    assert_true(throttle_in_schedule(&th, AT(22, 0)));
    assert_true(throttle_in_schedule(&th, AT(5, 59)));
    assert_false(throttle_in_schedule(&th, AT(6, 0)));
    assert_true(throttle_in_schedule(&th, AT(12, 29)));
    assert_false(throttle_in_schedule(&th, AT(12, 30)));
    assert_true(throttle_schedule(&th, "00:00-24:00 UTC", &err));
    assert_true(throttle_in_schedule(&th, AT(23, 59)));
    assert_false(throttle_schedule(&th, "25:00-06:00 UTC", &err));
    assert_int_equal(err.code, ERR_CONFIG);
    assert_false(throttle_schedule(&th, "always", &err));
}

static void batches_follow_the_latency(void **state)
{
    (void)state;
    struct throttle th = {.batch_latency_us = 1000000, .batch_max = 100000, .batch_now = 100000};
    throttle_note(&th, 100000, 2000000);
    assert_int_equal(throttle_batch(&th), 50000);
    throttle_note(&th, 50000, 60000000); /* to a quarter at most */
    assert_int_equal(throttle_batch(&th), 12500);
    throttle_note(&th, 100, 10000); /* a small batch proves nothing */
    assert_int_equal(throttle_batch(&th), 12500);
    for (int i = 0; i < 10; i++)
        throttle_note(&th, throttle_batch(&th), 100000);
    assert_int_equal(throttle_batch(&th), 100000);
    for (int i = 0; i < 20; i++)
        throttle_note(&th, throttle_batch(&th), 60000000);
    assert_int_equal(throttle_batch(&th), BATCH_CHANGES_MIN);
    struct throttle off = {.batch_max = 70, .batch_now = 70};
    throttle_note(&off, 70, 60000000);
    assert_int_equal(throttle_batch(&off), 70);
}

static void standbys_are_late_by_our_clock(void **state)
{
    (void)state;
    struct standby_lag lag = {.max_us = 1000};
    standby_lag_note(&lag, 100, 100, 0);
    assert_false(lag.late);
    standby_lag_note(&lag, 200, 100, 10);
    standby_lag_note(&lag, 300, 100, 900);
    assert_false(lag.late);
    standby_lag_note(&lag, 300, 150, 1011);
    assert_true(lag.late);
    standby_lag_note(&lag, 300, 200, 1012); /* what is left was written later */
    assert_false(lag.late);
    for (uint64_t i = 0; i < 3 * STANDBY_SAMPLES_MAX; i++)
        standby_lag_note(&lag, 400 + i, 200, 2000 + (int64_t)i);
    assert_true(lag.late);
    standby_lag_note(&lag, 1000, 1000, 9000);
    assert_false(lag.late);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedules),
        cmocka_unit_test(batches_follow_the_latency),
        cmocka_unit_test(standbys_are_late_by_our_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
