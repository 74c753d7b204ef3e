/* Which rule a table falls under, and which texts are no rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/topic_routing.h"

static void expect(const struct topic_routing *routing, const char *schema, const char *table,
                   const char *topic)
{
    char *found = topic_routing_find(routing, schema, table);
    if (topic == NULL) {
        assert_null(found);
        return;
    }
    assert_non_null(found);
    assert_string_equal(found, topic);
    free(found);
}

static void test_first_rule_decides(void **state)
{
    (void)state;
    static const char *const rules[] = {"tenant_*.orders->orders", "tenant_*.* -> {table}.all",
                                        " \"a->b\".* ->  {schema}_x "};
    struct topic_routing *routing = NULL;
    struct err err = ERR_INIT;
    assert_true(topic_routing_new(rules, 3, &routing, &err));
    expect(routing, "tenant_7", "orders", "orders");
    expect(routing, "tenant_7", "lines", "lines.all");
    expect(routing, "a->b", "t", "a->b_x");
    expect(routing, "public", "orders", NULL);
    expect(NULL, "public", "orders", NULL);
    topic_routing_free(routing);
    topic_routing_free(NULL);
}

static void test_what_is_no_rule(void **state)
{
    (void)state;
    static const char *const bad[] = {"",          "public.t",   "public.t ->",     "-> t",
                                      "t -> t",    "a.b -> c d", "a.b -> {column}", "!a.b -> c",
                                      "a.b -> .c", "a.b -> c/d"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct topic_routing *routing = NULL;
        struct err err = ERR_INIT;
        assert_false(topic_route_fits(bad[i]));
        assert_false(topic_routing_new(&bad[i], 1, &routing, &err));
        assert_non_null(strstr(err.text, "journal.topic_routing"));
    }
    assert_true(topic_route_fits("a.b -> c-{schema}.{table}_1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_first_rule_decides),
                                       cmocka_unit_test(test_what_is_no_rule)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
