/* compare/history/key_set.c: each key once, in the order in which it came first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compare/history/key_set.h"

static size_t number_key(char *out, size_t size, int n)
{
    (void)snprintf(out, size, "%d", n);
    return strlen(out) + 1;
}

static void test_each_once(void **state)
{
    (void)state;
    struct key_set set = {0};
    char key[20];
    size_t len;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 5000; i++)
            assert_int_equal(key_set_add(&set, key, number_key(key, sizeof key, i)), round == 0);
    }
    assert_int_equal(set.count, 5000);
    for (int i = 0; i < 5000; i++) {
        size_t wanted = number_key(key, sizeof key, i);
        const char *there = key_set_at(&set, (size_t)i, &len);
        assert_int_equal(len, wanted);
        assert_memory_equal(there, key, len);
    }
    assert_true(key_set_bytes(&set) >= set.len);
    key_set_release(&set);
    assert_int_equal(set.count, 0);
    assert_int_equal(key_set_bytes(&set), 0);
    assert_true(key_set_add(&set, "1", 2)); /* it may be filled again */
    key_set_release(&set);
}

/* Columns end with a NUL each: ("a", "bc") is not ("ab", "c"), and an empty column is one. */
static void test_columns_do_not_run_together(void **state)
{
    (void)state;
    struct key_set set = {0};
    assert_true(key_set_add(&set, "a\0bc", 5));
    assert_true(key_set_add(&set, "ab\0c", 5));
    assert_true(key_set_add(&set, "\0abc", 5));
    assert_true(key_set_add(&set, "abc\0", 5));
    assert_false(key_set_add(&set, "ab\0c", 5));
    assert_int_equal(set.count, 4);
    key_set_release(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_once),
        cmocka_unit_test(test_columns_do_not_run_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
