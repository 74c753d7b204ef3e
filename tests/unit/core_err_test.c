/* Errors: texts stay one line of whole characters within their room, layers wrap outside in, every code has a
 * policy. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/err.h"
#include "core/utf8.h"

static void set_and_clear(void **state)
{
    struct err err = ERR_INIT;
    assert_false(err_is_set(&err));
    assert_false(err_set(&err, ERR_SCHEMA, "table=%s.%s is missing", "public", "orders"));
    assert_true(err_is_set(&err));
    assert_int_equal(err.code, ERR_SCHEMA);
    assert_int_equal(err.sys_errno, 0);
    assert_string_equal(err.sqlstate, "");
    assert_string_equal(err.text, "table=public.orders is missing");
    err_clear(&err);
    assert_int_equal(err.code, ERR_NONE);
    assert_string_equal(err.text, "");
}

static void null_is_allowed(void **state)
{
    assert_false(err_set(NULL, ERR_IO, "x"));
    assert_false(err_set_errno(NULL, EIO, "x"));
    assert_false(err_wrap(NULL, "x"));
}

static void arguments_may_point_into_it(void **state)
{
    struct err err = ERR_INIT;
    (void)err_set(&err, ERR_SQL, "value out of range");
    (void)err_set(&err, ERR_DATA, "table=t: %s (%s)", err.text, err_code_name(err.code));
    assert_string_equal(err.text, "table=t: value out of range (sql)");
    assert_int_equal(err.code, ERR_DATA);
}

static void one_line(void **state)
{
    struct err err = ERR_INIT;
    (void)err_set(&err, ERR_SQL, "ERROR:  bad\nLINE 1:\tSELECT\r\n\033[1m\001 x\n");
    assert_string_equal(err.text, "ERROR:  bad LINE 1: SELECT   [1m  x");
    (void)err_wrap(&err, "table=\"a\nb\"");
    assert_string_equal(err.text, "table=\"a b\": ERROR:  bad LINE 1: SELECT   [1m  x");
}

static void bytes_of_other_encodings(void **state)
{
    struct err err = ERR_INIT;
    (void)err_set(&err, ERR_AUTH, "Passwort-Authentifizierung f\xfcr \xc3\xa9 \xe2\x98 fehlgeschlagen");
    assert_string_equal(err.text, "Passwort-Authentifizierung f?r \xc3\xa9 ?? fehlgeschlagen");
}

static void wraps_outside_in(void **state)
{
    struct err err = ERR_INIT;
    (void)err_set(&err, ERR_DATA, "numeric out of range");
    memcpy(err.sqlstate, "22003", 6);
    assert_false(err_wrap(&err, "column %s", "price"));
    assert_false(err_wrap(&err, "lsn=%X/%X", 0u, 0x16B3748u));
    assert_string_equal(err.text, "lsn=0/16B3748: column price: numeric out of range");
    assert_int_equal(err.code, ERR_DATA);
    assert_string_equal(err.sqlstate, "22003");
}

static void errno_is_told(void **state)
{
    struct err err = ERR_INIT;
    (void)err_set_errno(&err, ENOENT, "open %s", "/x");
    assert_int_equal(err.code, ERR_IO);
    assert_int_equal(err.sys_errno, ENOENT);
    assert_string_equal(err.text, "open /x: No such file or directory");
    (void)err_set_errno(&err, ENOSPC, "write");
    assert_int_equal(err.code, ERR_NO_SPACE);
    (void)err_set_errno(&err, EDQUOT, "write");
    assert_int_equal(err.code, ERR_NO_SPACE);
}

static void fill(char *text, size_t size, const char *unit)
{
    size_t n = strlen(unit);
    text[0] = '\0';
    for (size_t at = 0; at + n < size; at += n)
        memcpy(text + at, unit, n + 1);
}

/* Cut at any byte: never beyond the room, and still valid UTF-8. */
static void long_texts_are_cut(void **state)
{
    static const char *const units[] = {"a", "é", "☺", "𝄞", "x𝄞"};
    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
        for (size_t shift = 0; shift < 4; shift++) {
            struct err err = ERR_INIT;
            char text[3000];
            fill(text, sizeof text, units[u]);
            (void)err_set(&err, ERR_DATA, "%.*s%s", (int)shift, "....", text);
            assert_in_range(strlen(err.text), sizeof err.text - 6, sizeof err.text - 1);
            assert_true(utf8_valid(err.text, strlen(err.text)));
            (void)err_set_errno(&err, EIO, "%.*s%s", (int)shift, "....", text);
            assert_true(utf8_valid(err.text, strlen(err.text)));
            assert_non_null(strstr(err.text, ": Input/output error"));
            (void)err_wrap(&err, "%s", text);
            (void)err_wrap(&err, "place");
            assert_memory_equal(err.text, "place: ", 7);
            assert_true(strlen(err.text) < sizeof err.text);
            assert_true(utf8_valid(err.text, strlen(err.text)));
        }
    }
}

static void every_code_has_a_row(void **state)
{
    for (int c = ERR_NONE + 1; c < ERR_MAX_; c++) {
        enum err_code code = (enum err_code)c;
        assert_non_null(err_code_name(code));
        assert_int_not_equal(err_policy(code), POLICY_UNKNOWN);
        int exit_code = err_exit_code(code);
        assert_true(exit_code == 2 || (exit_code == 10 && code == ERR_REFUSED) || exit_code == 4 ||
                    exit_code == 5 || exit_code == 70 || (exit_code == 0 && code == ERR_INTERRUPTED));
        for (int other = c + 1; other < ERR_MAX_; other++)
            assert_string_not_equal(err_code_name(code), err_code_name((enum err_code)other));
    }
    assert_int_equal(err_exit_code(ERR_CONFIG), 2);
    assert_int_equal(err_exit_code(ERR_SCHEMA), 5);
    assert_int_equal(err_policy(ERR_CONNECT), POLICY_RECONNECT);
    assert_int_equal(err_policy(ERR_TRANSIENT), POLICY_RETRY);
    assert_int_equal(err_policy(ERR_FENCED), POLICY_HALT);
    assert_string_equal(err_code_name((enum err_code)1000), "?");
    assert_int_equal(err_policy((enum err_code)1000), POLICY_BUG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_and_clear),
        cmocka_unit_test(null_is_allowed),
        cmocka_unit_test(arguments_may_point_into_it),
        cmocka_unit_test(one_line),
        cmocka_unit_test(wraps_outside_in),
        cmocka_unit_test(bytes_of_other_encodings),
        cmocka_unit_test(errno_is_told),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(every_code_has_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
