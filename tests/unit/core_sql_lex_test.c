/* Where pieces of SQL text end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/attr.h"
#include "core/sql_lex.h"

#define ENDS(call, text, rest)                                                                               \
    do {                                                                                                     \
        const char *p = (text);                                                                              \
        assert_string_equal(call, rest);                                                                     \
    } while (0)

static void quoted(void **state)
{
    ENDS(sql_behind_quoted(p, false), "'a' b", " b");
    ENDS(sql_behind_quoted(p, false), "'it''s' b", " b");
    ENDS(sql_behind_quoted(p, false), "'a\\' b", " b");
    ENDS(sql_behind_quoted(p, true), "'a\\' b' c", " c");
    ENDS(sql_behind_quoted(p, true), "'a\\\\' b", " b");
    ENDS(sql_behind_quoted(p, false), "\"na'\"\"me\" b", " b");
    ENDS(sql_behind_quoted(p, false), "`a``b` c", " c");
    ENDS(sql_behind_quoted(p, false), "'not closed", "");
    ENDS(sql_behind_quoted(p, true), "'not closed\\", "");
    ENDS(sql_behind_quoted(p, false), "'", "");
}

static void dollars(void **state)
{
    ENDS(sql_behind_dollar(p), "$$a 'b$$ c", " c");
    ENDS(sql_behind_dollar(p), "$tag$ $$ $ta$ $tag$ c", " c");
    ENDS(sql_behind_dollar(p), "$t\xc3\xa4g$x$t\xc3\xa4g$ c", " c");
    ENDS(sql_behind_dollar(p), "$1 + $2", "$1 + $2");
    ENDS(sql_behind_dollar(p), "$1$ x $1$", "$1$ x $1$");
    ENDS(sql_behind_dollar(p), "$ a", "$ a");
    ENDS(sql_behind_dollar(p), "$t$ not closed $t", "");
}

static void comments(void **state)
{
    ENDS(sql_behind_comment(p, true), "/* a */ b", " b");
    ENDS(sql_behind_comment(p, true), "/* a /* b */ c */ d", " d");
    ENDS(sql_behind_comment(p, false), "/* a /* b */ c */ d", " c */ d");
    ENDS(sql_behind_comment(p, true), "/*/ a */ b", " b");
    ENDS(sql_behind_comment(p, true), "/* a /* b */ c", "");
    ENDS(sql_behind_comment(p, true), "/*", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quoted),
        cmocka_unit_test(dollars),
        cmocka_unit_test(comments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
