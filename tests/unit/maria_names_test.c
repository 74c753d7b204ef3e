/* Names as MariaDB takes them; its URLs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/utf8.h"
#include "maria/conn.h"
#include "maria/names.h"

static void names(void **state)
{
    (void)state;
    char made[MARIA_NAME_BYTES], other[MARIA_NAME_BYTES];
    char sixty_four[65] = "", longer[71] = "";
    memset(sixty_four, 'x', 64);
    memset(longer, 'x', 70);
    assert_false(maria_name("select", made));
    assert_string_equal(made, "select");
    assert_false(maria_name(sixty_four, made));
    assert_true(maria_name(longer, made));
    assert_int_equal(strlen(made), 64);
    longer[69] = 'y'; /* differs behind what is kept */
    assert_true(maria_name(longer, other));
    assert_string_not_equal(made, other);
    assert_true(maria_name("blank ", made));
    assert_true(made[strlen(made) - 1] != ' ');
    assert_true(maria_name("emoji \xf0\x9f\x98\x80", made));
    assert_true(utf8_valid(made, strlen(made)));
    assert_false(maria_name("Stra\xc3\x9f"
                            "e",
                            made));
}

static void databases(void **state)
{
    (void)state;
    assert_string_equal(maria_database_of("shop", "public"), "shop");
    assert_string_equal(maria_database_of("shop", "audit"), "audit");
}

static void urls(void **state)
{
    (void)state;
    struct maria_url u;
    struct err err = ERR_INIT;
    assert_true(maria_url_parse("mariadb://me:p%40ss:w@db.host:3307/sh%20op", &u, &err));
    assert_string_equal(u.user, "me");
    assert_string_equal(u.password, "p@ss:w");
    assert_string_equal(u.host, "db.host");
    assert_int_equal(u.port, 3307);
    assert_string_equal(u.database, "sh op");
    maria_url_release(&u);
    assert_true(maria_url_parse("mariadb://me@[::1]/d", &u, &err));
    assert_string_equal(u.host, "::1");
    assert_int_equal(u.port, 3306);
    assert_null(u.password);
    maria_url_release(&u);
    static const char *const bad[] = {"postgresql://a@b/c", "mariadb://me@host", "mariadb://me@host:x/d",
                                      "mariadb://me@host/d?x=y"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(maria_url_parse(bad[i], &u, &err));
}

static void other_urls(void **state)
{
    (void)state;
    static const char *const urls[][2] = {
        {"mariadb://me:p%40ss:w@db.host:3307/sh%20op?ssl-mode=required",
         "mariadb://me_app:p%40ss:w@db.host:3307/other?ssl-mode=required"},
        {"mysql://me@[::1]/d", "mysql://me_app@[::1]/other"},
        {"mariadb://me:a@b@h/d", "mariadb://me_app:a@b@h/other"},
        {"mariadb://me@home@h:3306/d", "mariadb://me@home_app@h:3306/other"}};
    struct err err = ERR_INIT;
    char *made = NULL;
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        assert_true(maria_url_with(urls[i][0], "_app", "other", &made, &err));
        assert_string_equal(made, urls[i][1]);
        free(made);
    }
    assert_false(maria_url_with("mariadb://host/d", "_app", "other", &made, &err));
}

static void quoting(void **state)
{
    (void)state;
    struct strbuf out = STRBUF_INIT(100);
    maria_quote_ident(&out, "a`b");
    maria_quote_literal(&out, "it's \\");
    assert_string_equal(out.data, "`a``b`'it''s \\\\'");
    strbuf_release(&out);
}

static void databases_of_the_server(void **state)
{
    (void)state;
    assert_true(maria_is_system_database("mysql"));
    assert_true(maria_is_system_database("SYS"));
    assert_true(maria_is_system_database("information_schema"));
    assert_true(maria_is_system_database("Performance_Schema"));
    assert_false(maria_is_system_database("mysql2"));
    assert_false(maria_is_system_database("shop"));
    assert_true(maria_is_nobodys_database("shop", "mysql"));
    assert_true(maria_is_nobodys_database("shop", "crossfade_rehearsal_shop_0a1b2c3dt"));
    assert_false(maria_is_nobodys_database("crossfade_rehearsal_shop_0a1b2c3dt",
                                           "crossfade_rehearsal_shop_0a1b2c3dt"));
    assert_false(maria_is_nobodys_database("shop", "shop"));
    assert_false(maria_is_nobodys_database("shop", "crossfade_rehearsals"));
}

static void lower_case(void **state)
{
    (void)state;
    char out[20];
    assert_true(maria_lower_name("My Table_9", out));
    assert_string_equal(out, "my table_9");
    assert_false(maria_lower_name("X\303\204", out));
    assert_string_equal(out, "x\303\204");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names),     cmocka_unit_test(databases),
                                       cmocka_unit_test(urls),      cmocka_unit_test(other_urls),
                                       cmocka_unit_test(quoting),   cmocka_unit_test(databases_of_the_server),
                                       cmocka_unit_test(lower_case)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
