/* The loop's signs of life: who gives them, how old the last is, and what a declared wait changes. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/alive.h"
#include "core/clock.h"

static int hooks;

static void on_tick(void)
{
    hooks++;
}

static void grow_older(int64_t us)
{
    int64_t end_us = clock_mono_us() + us;
    while (clock_mono_us() < end_us)
        usleep(1000);
}

static void *tick_elsewhere(void *unused)
{
    alive_tick();
    alive_wait_begin();
    return unused;
}

static void test_only_the_loop_counts(void **state)
{
    pthread_t thread;
    (void)state;
    assert_int_equal(alive_age_us(), 0); /* no loop, nothing to miss */
    alive_loop_is_here(NULL, 0);
    grow_older(20000);
    assert_int_equal(pthread_create(&thread, NULL, tick_elsewhere, NULL), 0);
    pthread_join(thread, NULL);
    assert_true(alive_age_us() >= 20000);
    assert_false(alive_waits());
    alive_tick();
    assert_true(alive_age_us() < 20000);
    alive_loop_ended();
    grow_older(2000);
    assert_int_equal(alive_age_us(), 0);
}

static void test_a_declared_wait_has_no_age(void **state)
{
    (void)state;
    alive_loop_is_here(NULL, 0);
    alive_wait_begin();
    alive_wait_begin();
    grow_older(20000);
    assert_true(alive_waits());
    assert_int_equal(alive_age_us(), 0);
    alive_wait_end();
    assert_true(alive_waits());
    alive_wait_end();
    assert_false(alive_waits());
    assert_true(alive_age_us() < 20000); /* back from the server is a sign, too */
    alive_loop_ended();
}

static void test_hook_is_called_in_its_time(void **state)
{
    (void)state;
    hooks = 0;
    alive_loop_is_here(on_tick, 50000);
    assert_int_equal(hooks, 1);
    int64_t end_us = clock_mono_us() + 20000;
    while (clock_mono_us() < end_us)
        alive_tick();
    assert_true(hooks <= 2);
    int before = hooks;
    grow_older(60000);
    assert_int_equal(hooks, before); /* nobody calls it in the loop's place */
    alive_tick();
    assert_int_equal(hooks, before + 1);
    alive_loop_ended();
    alive_tick();
    assert_int_equal(hooks, before + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_the_loop_counts),
        cmocka_unit_test(test_a_declared_wait_has_no_age),
        cmocka_unit_test(test_hook_is_called_in_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
