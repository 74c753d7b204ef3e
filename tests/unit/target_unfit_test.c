/* Rules for values that do not fit: the narrowest one holds, and one that cannot be read is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "target/target.h"

static const char *const texts[] = {"public.t=null", "public.t.at=nearest", "public.t.a=b=halt",
                                    "s.u.x=null"};
static const struct target_unfit_rules rules = {
    .all = TARGET_UNFIT_NEAREST, .rules = texts, .rule_count = sizeof texts / sizeof texts[0]};

static void test_the_narrowest_rule_holds(void **state)
{
    struct err err = ERR_INIT;
    assert_true(target_unfit_check(&rules, &err));
    assert_int_equal(target_unfit_of(&rules, "public", "t", "at"), TARGET_UNFIT_NEAREST);
    assert_int_equal(target_unfit_of(&rules, "public", "t", "other"), TARGET_UNFIT_NULL);
    assert_int_equal(target_unfit_of(&rules, "public", "t", "a=b"), TARGET_UNFIT_HALT);
    assert_int_equal(target_unfit_of(&rules, "s", "u", "x"), TARGET_UNFIT_NULL);
    assert_int_equal(target_unfit_of(&rules, "s", "u", "y"), TARGET_UNFIT_NEAREST);
    assert_int_equal(target_unfit_of(&rules, "s", "t", "at"), TARGET_UNFIT_NEAREST);
}

static void test_a_rule_that_is_none_is_named(void **state)
{
    static const char *const bad[] = {"public.t=zero", "t=null", "public.t", "public.t="};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err err = ERR_INIT;
        struct target_unfit_rules one = {.rules = &bad[i], .rule_count = 1};
        assert_false(target_unfit_check(&one, &err));
        assert_int_equal(err.code, ERR_CONFIG);
        assert_non_null(strstr(err.text, bad[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_narrowest_rule_holds),
        cmocka_unit_test(test_a_rule_that_is_none_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
