/* apply.conflicts: how rules read, and which one a table has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "apply/conflict_rules.h"

static struct conflict_rules *rules_of(const char *const *texts, size_t count)
{
    struct conflict_rules *rules = NULL;
    struct err err = ERR_INIT;
    if (!conflict_rules_new(texts, count, &rules, &err))
        fail_msg("%s", err.text);
    return rules;
}

static void test_the_last_that_fits(void **state)
{
    static const char *const texts[] = {"public.*=halt", "public.orders=newer_wins(updated_at)",
                                        "\"My =Schema\".\"T\"=newer_wins(a=b)", "shop.*=target_wins",
                                        "shop.old_*=source_wins"};
    struct conflict_rules *rules = rules_of(texts, 5);
    (void)state;
    assert_int_equal(conflict_rules_count(rules), 5);
    assert_int_equal(conflict_rules_find(rules, "public", "t")->policy, CONFLICT_HALT);
    const struct conflict_rule *orders = conflict_rules_find(rules, "public", "orders");
    assert_int_equal(orders->policy, CONFLICT_NEWER_WINS);
    assert_string_equal(orders->column, "updated_at");
    assert_string_equal(orders->text, "newer_wins(updated_at)");
    assert_string_equal(conflict_rules_find(rules, "My =Schema", "T")->column, "a=b");
    assert_int_equal(conflict_rules_find(rules, "shop", "t")->policy, CONFLICT_TARGET_WINS);
    assert_int_equal(conflict_rules_find(rules, "shop", "old_t")->policy, CONFLICT_SOURCE_WINS);
    assert_null(conflict_rules_find(rules, "other", "t"));
    assert_null(conflict_rules_find(NULL, "public", "t"));
    char shown[20];
    conflict_rules_show(rules, shown, sizeof shown);
    assert_string_equal(shown, "public.*, public.or");
    conflict_rules_free(rules);
}

static void test_what_does_not_read(void **state)
{
    static const char *const wrong[] = {
        "public.t",       "public.t=", "public.t=newest", "public.t=newer_wins", "public.t=newer_wins()",
        "!public.t=halt", "t=halt"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct conflict_rules *rules = NULL;
        struct err err = ERR_INIT;
        assert_false(conflict_rules_new(&wrong[i], 1, &rules, &err));
        assert_int_equal(err.code, ERR_CONFIG);
        assert_non_null(strstr(err.text, "apply.conflicts"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_last_that_fits),
        cmocka_unit_test(test_what_does_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
