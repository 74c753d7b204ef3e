/* Which defaults and checks are certain on MariaDB, and which are not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "schema/translate.h"

static void expect_default(const char *base, const char *def, const char *want)
{
    struct sch_column c = {.name = "c", .target = "c", .base = base, .kind = 'b', .typmod = -1, .def = def};
    struct strbuf out = STRBUF_INIT(10000);
    bool ok = translate_default(&c, &out);
    assert_int_equal(ok, want != NULL);
    assert_string_equal(out.data, want != NULL ? want : "");
    strbuf_release(&out);
}

static void defaults(void **state)
{
    (void)state;
    expect_default("int4", "7", "7");
    expect_default("int4", "'-7'::integer", "-7");
    expect_default("numeric", "(-1.50)", "-1.50");
    expect_default("text", "'no''body'::text", "'no''body'");
    expect_default("varchar", "'a\\b'::character varying", "'a\\\\b'");
    expect_default("bool", "true", "1");
    expect_default("bool", "false", "0");
    expect_default("jsonb", "'{}'::jsonb", "'{}'");
    expect_default("text", "NULL::text", "NULL");
    expect_default("date", "'2024-02-29'::date", "'2024-02-29'");
    expect_default("timestamptz", "'2024-02-29 10:00:00+00'::timestamp with time zone",
                   "'2024-02-29 10:00:00'");
    expect_default("timestamptz", "now()", "(utc_timestamp(6))");
    expect_default("timestamptz", "CURRENT_TIMESTAMP", "(utc_timestamp(6))");
}

static void no_defaults(void **state)
{
    (void)state;
    expect_default("timestamp", "now()", NULL); /* in the session's zone */
    expect_default("timestamptz", "(now() + '1 day'::interval)", NULL);
    expect_default("uuid", "gen_random_uuid()", NULL);
    expect_default("int4", "nextval('s'::regclass)", NULL);
    expect_default("int4", "(1 + 1)", NULL);
    expect_default("date", "'infinity'::date", NULL);
    expect_default("date", "'0044-03-15 BC'::date", NULL);
    expect_default("bytea", "'\\x00'::bytea", NULL);
    expect_default("text", "upper('a'::text)", NULL);
    expect_default("text", "'a'::text || 'b'::text", NULL);
    expect_default("text", "'unfinished", NULL);
    expect_default("float8", "'NaN'::double precision", NULL);
}

static struct sch_column columns[] = {
    {.name = "n", .target = "n", .base = "int4", .kind = 'b', .map = {.kind = MAP_EXACT}},
    {.name = "Sta te", .target = "st`ate", .base = "text", .kind = 'b', .map = {.kind = MAP_EXACT}},
    {.name = "v", .target = "v", .base = "varchar", .kind = 'b', .map = {.kind = MAP_EXACT}},
    {.name = "iv", .target = "iv", .base = "interval", .kind = 'b', .map = {.kind = MAP_LOSSY}},
    {.name = "e", .target = "e", .base = "mood", .kind = 'e', .map = {.kind = MAP_EXACT}},
};
static const struct sch_table table = {
    .schema = "public", .name = "t", .columns = columns, .column_count = 5};

static void check_becomes(const char *def, const char *want)
{
    struct strbuf out = STRBUF_INIT(10000);
    bool ok = translate_check(&table, def, &out);
    assert_string_equal(out.data, want != NULL ? want : "");
    assert_int_equal(ok, want != NULL);
    strbuf_release(&out);
}

static void checks(void **state)
{
    (void)state;
    check_becomes("CHECK ((n > 0))", "((`n` > 0))");
    check_becomes("CHECK (((n > '-1000'::integer) AND (n <= 1000000)))",
                  "(((`n` > -1000) AND (`n` <= 1000000)))");
    check_becomes("CHECK (((n >= ('-5'::integer)::numeric) OR (n IS NULL)))",
                  "(((`n` >= -5) OR (`n` IS NULL)))");
    check_becomes("CHECK ((\"Sta te\" = ANY (ARRAY['a'::text, 'it''s'::text])))",
                  "((`st``ate` IN ('a', 'it''s')))");
    check_becomes(
        "CHECK (((v)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[])))",
        "((`v` IN ('a', 'b')))");
    check_becomes("CHECK (((v)::text <> 'x'::text)) NO INHERIT", "((`v` <> 'x'))");
    check_becomes("CHECK ((e = 'ok'::public.mood))", "((`e` = 'ok'))");
}

static void no_checks(void **state)
{
    (void)state;
    check_becomes("CHECK ((\"Sta te\" > 'a'::text))", NULL); /* order belongs to a collation */
    check_becomes("CHECK (((n / 2) > 0))", NULL);
    check_becomes("CHECK ((length(v) > 3))", NULL);
    check_becomes("CHECK ((n > m))", NULL);
    check_becomes("CHECK (((n)::text = '1'::text))", NULL);
    check_becomes("CHECK ((iv = '1 day'::interval))", NULL);
    check_becomes("CHECK ((n > 0)) NOT VALID", NULL);
    check_becomes("CHECK ((\"Sta te\" ~ 'a'::text))", NULL);
    check_becomes("CHECK ((n <> ALL (ARRAY[1, 2])))", NULL);
    check_becomes("CHECK ((((((", NULL);
    check_becomes("CHECK (n", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(defaults), cmocka_unit_test(no_defaults),
                                       cmocka_unit_test(checks), cmocka_unit_test(no_checks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
