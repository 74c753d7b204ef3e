/* What a log's line and a terminal are spared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/utf8.h"

static void plain(const char *text, const char *expected)
{
    char buffer[100];
    strcpy(buffer, text);
    utf8_make_plain(buffer);
    assert_string_equal(buffer, expected);
}

static void one_harmless_line(void **state)
{
    plain("a\tb\nc\x1b[31m\x7f", "a b c [31m ");
    plain("\u00fc\u20ac\U0001f600", "\u00fc\u20ac\U0001f600");
    plain("x\xc2\x9by", "x??y"); /* C1: what ESC [ is in one character */
    plain("a\u202eb\u2066c\u200bd\ufeff", "a???b???c???d???");
    plain("bad \xff\xc3(", "bad ?\?(");
    plain("", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_harmless_line)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
