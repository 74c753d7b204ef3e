/* The axis of time in the report of a cutover: to scale where clients wait, shortened where nobody does, and never backwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cutover/dossier/axis.h"

static void assert_near(double found, double expected)
{
    assert_true(found > expected - 0.01 && found < expected + 0.01);
}

static void is_linear_by_itself(void **state)
{
    struct axis axis = {.count = 0};
    axis_add(&axis, 10, false);
    axis_add(&axis, 40, false);
    axis_end(&axis);
    assert_near(axis_at(&axis, -5), 0);
    assert_near(axis_at(&axis, 10), 250);
    assert_near(axis_at(&axis, 25), 625);
    assert_near(axis_at(&axis, 40), AXIS_WIDTH);
    assert_near(axis_at(&axis, 4000), AXIS_WIDTH);
}

static void a_night_is_shortened(void **state)
{
    struct axis axis = {.count = 0};
    axis_add(&axis, 1000, true); /* short enough to stay */
    axis_add(&axis, 3600000, true);
    axis_add(&axis, 3600000 + 8000, false);
    axis_end(&axis);
    assert_false(axis.shrunk[0]);
    assert_true(axis.shrunk[1]);
    assert_false(axis.shrunk[2]);
    /* 1000 + a quarter of 8000 + 8000 */
    assert_near(axis_at(&axis, 1000), AXIS_WIDTH / 11);
    assert_near(axis_at(&axis, 3600000), AXIS_WIDTH * 3 / 11);
    assert_near(axis_at(&axis, 3604000), AXIS_WIDTH * 7 / 11);
}

static void goes_forward_only(void **state)
{
    struct axis axis = {.count = 0};
    axis_add(&axis, 0, true);
    axis_add(&axis, 10, true);
    axis_add(&axis, 5, false); /* the clock was set back */
    axis_add(&axis, 20, true);
    axis_end(&axis);
    assert_int_equal(axis.count, 2);
    assert_near(axis_at(&axis, 5), 250);
    assert_false(axis.shrunk[0]);
}

static void nothing_is_no_width(void **state)
{
    struct axis axis = {.count = 0};
    axis_end(&axis);
    assert_near(axis_at(&axis, 0), 0);
    assert_near(axis_at(&axis, 7), 0);
}

static void has_an_end(void **state)
{
    static struct axis axis;
    for (int i = 1; i <= 2 * AXIS_MAX; i++)
        axis_add(&axis, i, i % 2 == 0);
    axis_end(&axis);
    assert_int_equal(axis.count, AXIS_MAX);
    assert_near(axis_at(&axis, 2.0 * AXIS_MAX), AXIS_WIDTH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(is_linear_by_itself),
                                       cmocka_unit_test(a_night_is_shortened),
                                       cmocka_unit_test(goes_forward_only),
                                       cmocka_unit_test(nothing_is_no_width), cmocka_unit_test(has_an_end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
