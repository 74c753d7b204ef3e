/* Topic names: Debezium's replacement, and what Kafka does not tell apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "change/table.h"
#include "core/attr.h"

static void characters_are_replaced(void **state)
{
    static const char *const names[][3] = {
        {"public", "orders", "shop.public.orders"},
        {"My Schema", "T-1", "shop.My_Schema.T-1"},
        {"a.b", "c", "shop.a.b.c"},
        {"s", "a b/c\\d\"e", "shop.s.a_b_c_d_e"},
        {"s", "tän", "shop.s.t_n"},
        {"s", "☺", "shop.s._"},
        {"s", "𝄞x", "shop.s.__x"}, /* two UTF-16 units */
        {"ü☺𝄞", "é", "shop.____._"},
        {"s", "\xf0x\xff\x80\x80", "shop.s._x__"}, /* no UTF-8: anything, within bounds */
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char *topic = topic_name("shop", names[i][0], names[i][1]);
        assert_string_equal(topic, names[i][2]);
        free(topic);
    }
}

static void dot_and_underscore_are_one(void **state)
{
    char *a = topic_unified("shop.a.b_c"), *b = topic_unified("shop.a_b.c"), *c = topic_unified("shop.a-b.c");
    assert_string_equal(a, b);
    assert_string_not_equal(a, c);
    free(a);
    free(b);
    free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters_are_replaced),
        cmocka_unit_test(dot_and_underscore_are_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
