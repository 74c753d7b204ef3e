/* Whole numbers between digits and two's complement bytes, as Java's BigInteger has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/strbuf.h"
#include "pg/types/internal.h"

static struct arena arena;

static void check(const char *digits, bool negative, const char *bytes, size_t len)
{
    uint32_t got = 0;
    const char *made = decimal_to_bytes(digits, strlen(digits), negative, &arena, &got);
    assert_non_null(made);
    assert_int_equal(got, len);
    assert_memory_equal(made, bytes, len);
}

static void bytes_are_as_short_as_can_be(void **state)
{
    (void)state;
    check("0", false, "\x00", 1);
    check("1", false, "\x01", 1);
    check("1", true, "\xff", 1);
    check("127", false, "\x7f", 1);
    check("128", false, "\x00\x80", 2);
    check("128", true, "\x80", 1);
    check("129", true, "\xff\x7f", 2);
    check("255", false, "\x00\xff", 2);
    check("256", true, "\xff\x00", 2);
    check("32768", true, "\x80\x00", 2);
    check("4294967295", false, "\x00\xff\xff\xff\xff", 5);
    check("4294967296", false, "\x01\x00\x00\x00\x00", 5);
    check("4294967296", true, "\xff\x00\x00\x00\x00", 5);
    check("100000000000000000000", false, "\x05\x6b\xc7\x5e\x2d\x63\x10\x00\x00", 9);
}

static void assert_back(const char *digits, size_t count, bool negative, int scale, const char *expected)
{
    struct strbuf out = STRBUF_INIT(1 << 20);
    uint32_t len = 0;
    const char *bytes = decimal_to_bytes(digits, count, negative, &arena, &len);
    assert_non_null(bytes);
    assert_true(decimal_from_bytes((const unsigned char *)bytes, len, scale, &out));
    assert_string_equal(out.data, expected);
    strbuf_release(&out);
}

static void numbers_come_back(void **state)
{
    (void)state;
    assert_back("0", 1, false, 0, "0");
    assert_back("0", 1, false, 2, "0.00");
    assert_back("5", 1, true, 2, "-0.05");
    assert_back("12345", 5, false, 2, "123.45");
    assert_back("12345", 5, true, 5, "-0.12345");
    assert_back("12", 2, false, -3, "12000");
    assert_back("340282366920938463463374607431768211456", 39, true, 0,
                "-340282366920938463463374607431768211456");
    for (size_t count = 1; count < 400; count += 7) { /* lengths around the limits of limbs and chunks */
        char digits[400], expected[402] = "-";
        for (size_t i = 0; i < count; i++)
            digits[i] = (char)('1' + (i * 7 + count) % 9);
        memcpy(expected + 1, digits, count);
        expected[count + 1] = '\0';
        assert_back(digits, count, true, 0, expected);
        assert_back(digits, count, false, 0, expected + 1);
    }
    arena_clear(&arena);
}

static void the_longest_numeric_passes(void **state)
{
    (void)state;
    size_t count = 131072 + 16383;
    char *digits = malloc(count + 1);
    memset(digits, '9', count);
    digits[count] = '\0';
    assert_back(digits, count, false, 0, digits);
    free(digits);
    static const unsigned char huge[62501] = {1};
    struct strbuf out = STRBUF_INIT(1 << 20);
    assert_false(decimal_from_bytes(huge, sizeof huge, 0, &out));
    assert_false(decimal_from_bytes(huge, 0, 0, &out));
    assert_false(decimal_from_bytes(huge, 1, INT32_MAX, &out));
    strbuf_release(&out);
}

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 65536, (size_t)64 << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_as_short_as_can_be),
        cmocka_unit_test(numbers_come_back),
        cmocka_unit_test(the_longest_numeric_passes),
    };
    return cmocka_run_group_tests_name("pg_types_number", tests, set_up, tear_down);
}
