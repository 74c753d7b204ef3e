/* The string builder: always terminated, never beyond its maximum, and once failed it takes nothing more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/strbuf.h"

/* What holds after each call. */
static void sane(const struct strbuf *sb)
{
    assert_non_null(sb->data);
    assert_int_equal(sb->data[sb->len], '\0');
    assert_true(sb->len <= sb->max);
    assert_true(sb->cap == 0 ? sb->len == 0 && sb->data == strbuf_empty : sb->len < sb->cap);
}

static void empty_is_a_string(void **state)
{
    struct strbuf sb = STRBUF_INIT(10), zeroed = {0};
    sane(&sb);
    assert_string_equal(sb.data, "");
    strbuf_release(&sb);
    sane(&sb);
    strbuf_release(&zeroed);
    sane(&zeroed);
    char *text = strbuf_detach(&sb);
    assert_string_equal(text, "");
    free(text);
    sane(&sb);
}

static void adds_and_detaches(void **state)
{
    struct strbuf sb = STRBUF_INIT(1000);
    strbuf_adds(&sb, "a");
    strbuf_addc(&sb, 'b');
    strbuf_add(&sb, "c\0d", 3);
    strbuf_add(&sb, NULL, 0);
    strbuf_addf(&sb, "%d-%s", 42, "x");
    sane(&sb);
    assert_int_equal(sb.len, 9);
    assert_memory_equal(sb.data, "abc\0d42-x", 10);
    char *text = strbuf_detach(&sb);
    sane(&sb);
    assert_int_equal(sb.len, 0);
    assert_memory_equal(text, "abc\0d42-x", 10);
    free(text);
    strbuf_adds(&sb, "again");
    assert_string_equal(sb.data, "again");
    strbuf_release(&sb);
}

static void grows_byte_by_byte(void **state)
{
    struct strbuf sb = STRBUF_INIT(100000);
    for (int i = 0; i < 100000; i++) {
        strbuf_addc(&sb, (char)('a' + i % 26));
        assert_int_equal(sb.len, i + 1);
    }
    sane(&sb);
    for (int i = 0; i < 100000; i++)
        assert_int_equal(sb.data[i], 'a' + i % 26);
    assert_false(sb.failed);
    strbuf_release(&sb);
}

/* Exactly the maximum fits, one byte more does not, whichever way it is added. */
static void maximum(void **state)
{
    for (size_t max = 0; max < 200; max++) {
        for (int way = 0; way < 4; way++) {
            struct strbuf sb = STRBUF_INIT(max);
            struct err err = ERR_INIT;
            for (size_t i = 0; i < max; i++)
                strbuf_addc(&sb, 'x');
            assert_int_equal(sb.len, max);
            assert_true(strbuf_ok(&sb, "text", &err));
            if (way == 0)
                strbuf_addc(&sb, 'y');
            else if (way == 1)
                strbuf_add(&sb, "y", 1);
            else if (way == 2)
                strbuf_addf(&sb, "%c", 'y');
            else
                assert_null(strbuf_reserve(&sb, 1));
            sane(&sb);
            assert_int_equal(sb.len, max);
            assert_false(strbuf_ok(&sb, "text", &err));
            assert_int_equal(err.code, ERR_NO_MEMORY);
            assert_non_null(strstr(err.text, "text"));
            strbuf_release(&sb);
        }
    }
}

static void failure_is_sticky(void **state)
{
    struct strbuf sb = STRBUF_INIT(100);
    struct err err = ERR_INIT;
    strbuf_adds(&sb, "head");
    strbuf_addf(&sb, "%200d", 1);
    assert_true(sb.failed);
    strbuf_addc(&sb, 'x');
    strbuf_adds(&sb, "y");
    strbuf_addf(&sb, "z");
    strbuf_add_be32(&sb, 1);
    assert_null(strbuf_reserve(&sb, 1));
    sane(&sb);
    assert_string_equal(sb.data, "head");
    strbuf_clear(&sb);
    sane(&sb);
    assert_true(strbuf_ok(&sb, "text", &err));
    strbuf_adds(&sb, "again");
    assert_string_equal(sb.data, "again");
    strbuf_release(&sb);
}

static void huge_sizes_do_not_wrap(void **state)
{
    struct strbuf sb = STRBUF_INIT(100);
    assert_null(strbuf_reserve(&sb, SIZE_MAX));
    strbuf_clear(&sb);
    strbuf_adds(&sb, "ab");
    assert_null(strbuf_reserve(&sb, SIZE_MAX - 1));
    sane(&sb);
    strbuf_release(&sb);
}

static void reserve_gives_room(void **state)
{
    struct strbuf sb = STRBUF_INIT(1000);
    strbuf_adds(&sb, "ab");
    char *to = strbuf_reserve(&sb, 500);
    assert_ptr_equal(to, sb.data + 2);
    memset(to, 'z', 500);
    sb.len += 500;
    sb.data[sb.len] = '\0';
    sane(&sb);
    strbuf_release(&sb);
}

static void big_endian(void **state)
{
    struct strbuf sb = STRBUF_INIT(100);
    strbuf_add_be16(&sb, 0x0102);
    strbuf_add_be32(&sb, 0x03040506);
    strbuf_add_be64(&sb, UINT64_C(0x0708090a0b0c0d0e));
    assert_int_equal(sb.len, 14);
    for (size_t i = 0; i < sb.len; i++)
        assert_int_equal(sb.data[i], (int)i + 1);
    strbuf_release(&sb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_is_a_string),  cmocka_unit_test(adds_and_detaches),
        cmocka_unit_test(grows_byte_by_byte), cmocka_unit_test(maximum),
        cmocka_unit_test(failure_is_sticky),  cmocka_unit_test(huge_sizes_do_not_wrap),
        cmocka_unit_test(reserve_gives_room), cmocka_unit_test(big_endian),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
