/* Patterns of source.tables: which tables they take, and which do not read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <stdlib.h>

#include "config/table_filter.h"

static bool takes(const char *const *patterns, size_t count, const char *schema, const char *table)
{
    struct table_filter *filter = NULL;
    struct err err = ERR_INIT;
    if (!table_filter_new(patterns, count, &filter, &err))
        fail_msg("%s", err.text);
    bool matches = table_filter_matches(filter, schema, table);
    table_filter_free(filter);
    return matches;
}

#define TAKES(schema, table, ...)                                                                            \
    takes((const char *const[]){__VA_ARGS__}, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *),        \
          schema, table)

static void test_default_is_all(void **state)
{
    assert_true(takes(NULL, 0, "public", "a"));
    assert_false(takes(NULL, 0, "pg_catalog", "pg_class"));
    assert_false(takes(NULL, 0, "information_schema", "tables"));
    assert_false(takes(NULL, 0, "crossfade", "marker"));
    assert_false(TAKES("crossfade", "marker", "crossfade.*"));
}

static void test_last_wins(void **state)
{
    assert_true(TAKES("public", "orders", "public.*", "!public.audit_*"));
    assert_false(TAKES("public", "audit_log", "public.*", "!public.audit_*"));
    assert_true(TAKES("public", "audit_log", "public.*", "!public.audit_*", "public.audit_log"));
    assert_false(TAKES("other", "orders", "public.*"));
    assert_true(TAKES("other", "orders", "!public.*"));
    assert_false(TAKES("public", "orders", "!public.*"));
}

static void test_wildcards(void **state)
{
    assert_true(TAKES("s", "ab_cd_ef", "*.ab*cd*ef"));
    assert_false(TAKES("s", "ab_cd_eg", "*.ab*cd*ef"));
    assert_true(TAKES("tenant_7", "t", "tenant_*.*"));
    assert_true(TAKES("s", "abab", "s.*ab"));
    assert_false(TAKES("s", "", "s.a*"));
    assert_false(TAKES("a.b", "c", "a.*"));
}

static void test_quotes(void **state)
{
    assert_true(TAKES("My Schema", "T.x", "\"My Schema\".\"T.x\""));
    assert_true(TAKES("s", "a*b", "s.\"a*b\""));
    assert_false(TAKES("s", "axb", "s.\"a*b\""));
    assert_true(TAKES("s", "a\"b", "s.\"a\"\"b\""));
    assert_true(TAKES("s", "Straße", "s.Stra*e"));
}

static void test_malformed(void **state)
{
    const char *bad[] = {"",      "!",     "orders",   "a.",     ".b",     "a.b.c",
                         "\"a.b", "a.\"b", "a.\"b\"c", "a\"b.c", "\"\".b", "a..b"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct table_filter *filter = NULL;
        struct err err = ERR_INIT;
        if (table_filter_new(&bad[i], 1, &filter, &err))
            fail_msg("accepted: %s", bad[i]);
        assert_int_equal(err.code, ERR_CONFIG);
        assert_null(filter);
    }
}

static void test_narrowed_to_a_schema(void **state)
{
    static const struct {
        const char *text, *narrowed; /* NULL = it has nothing to do with public */
    } cases[] = {{"public.t", "public.t"},     {"*.t*", "public.t*"}, {"!p*.\"a.b\"", "!public.\"a.b\""},
                 {"\"public\".*", "public.*"}, {"other.*", NULL},     {"!\"p*\".t", NULL},
                 {"\"pub.lic\".t", NULL}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *got = table_pattern_of_schema(cases[i].text, "public");
        if (cases[i].narrowed == NULL)
            assert_null(got);
        else
            assert_string_equal(got, cases[i].narrowed);
        free(got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default_is_all), cmocka_unit_test(test_last_wins),
        cmocka_unit_test(test_wildcards),      cmocka_unit_test(test_quotes),
        cmocka_unit_test(test_malformed),      cmocka_unit_test(test_narrowed_to_a_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
