/* What of two definitions is another; sets of names; whether a copy is complete. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "schema/side.h"

static void expect(const char *source, const char *target, const char *why)
{
    char *got = definition_difference(source, target);
    if (why == NULL)
        assert_null(got);
    else
        assert_string_equal(got, why);
    free(got);
}

static void lines(void **state)
{
    (void)state;
    expect("!a\t1\n!b\t2", "!b\t2\n!a\t1", NULL);
    expect("!a\t1", "!a\t2", "a: 2, the source has 1");
    expect("!a\t1\n!b\t2", "!a\t1", "b: none, the source has 2");
    expect("!a\t1", "!a\t1\n!b\t2", "b: 2, the source has none");
    expect("!a\t", "!a\t", NULL);
    expect("!a\t", "!a\tx", "a: x, the source has ");
    expect("!a\t1\n!b\t1", "!a\t2\n!b\t2", "a: 2, the source has 1; b: 2, the source has 1");
    expect("!ab\t1", "!a\t1\n!ab\t1", "a: 1, the source has none");
    expect("", "", NULL);
}

/* What a step of its own makes may be missing, but not be another. */
static void parts_that_come_later(void **state)
{
    (void)state;
    expect("?d\t1", "", NULL);
    expect("?d\t1", "!d\t1", NULL);
    expect("?d\t1", "!d\t2", "d: 2, the source has 1");
}

static void long_values_are_cut(void **state)
{
    (void)state;
    char a[5000], b[5000];
    memset(a, 'x', sizeof a);
    memset(b, 'y', sizeof b);
    memcpy(a, "!a\t", 3);
    memcpy(b, "!a\t", 3);
    a[4999] = b[4999] = '\0';
    char *got = definition_difference(a, b);
    assert_in_range(strlen(got), 800, 900);
    free(got);
}

static void names(void **state)
{
    (void)state;
    struct name_set set = {0};
    assert_false(name_set_has(&set, "n1"));
    for (int i = 0; i < 3000; i++)
        assert_true(name_set_add(&set, xasprintf("n%d", i)));
    for (int i = 0; i < 3000; i++) {
        char *name = xasprintf("n%d", i);
        assert_true(name_set_has(&set, name));
        assert_false(name_set_add(&set, name));
    }
    assert_false(name_set_has(&set, "n3000"));
    assert_int_equal(set.count, 3000);
    name_set_release(&set);
}

static void copies(void **state)
{
    (void)state;
    assert_int_equal(side_copy_state(0, 1, 0), COPY_NOT_BEGUN);
    assert_int_equal(side_copy_state(1, 1, 0), COPY_COMPLETE);
    assert_int_equal(side_copy_state(1, 1, 1), COPY_UNDER_WAY);
    assert_int_equal(side_copy_state(2, 3, 0), COPY_UNDER_WAY); /* a shard has not begun */
    assert_int_equal(side_copy_state(3, 3, 0), COPY_COMPLETE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lines), cmocka_unit_test(parts_that_come_later),
                                       cmocka_unit_test(long_values_are_cut), cmocka_unit_test(names),
                                       cmocka_unit_test(copies)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
