/* Checks as SQL, for both dialects: hostile names and values stay names and values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compare/semantic/phrases.h"

static struct subject on_of(const struct phrases *p)
{
    return (struct subject){.phrases = p, .from = "ONLY s.t AS t", .now = "2026-11-22 08:00:00"};
}

static char *count_of(const struct phrases *p, const struct data_check *check, enum value_class of)
{
    struct strbuf out = STRBUF_INIT(100000);
    struct err err = ERR_INIT;
    const enum value_class classes[] = {of, of};
    struct subject on = on_of(p);
    if (!phrase_breach_count(&on, check, classes, &out, &err)) {
        strbuf_release(&out);
        strbuf_addf(&out, "! %s", err.text);
    }
    return strbuf_detach(&out);
}

static char *one[] = {"a\"`b"};
static char *two[] = {"a", "b"};
static char *values[] = {"it's \\", "1"};

static void conditions(void **state)
{
    static const struct {
        struct data_check check;
        enum value_class of;
        const char *postgres, *mariadb;
    } cases[] = {
        {{.test = TEST_NOT_NULL, .columns = one, .column_count = 1},
         VALUE_TEXT,
         "count(CASE WHEN c.\"a\"\"`b\" IS NULL THEN 1 END)",
         "count(CASE WHEN c.`a\"``b` IS NULL THEN 1 END)"},
        {{.test = TEST_LENGTH, .columns = two, .column_count = 1, .min = "1", .max = "9"},
         VALUE_TEXT,
         "count(CASE WHEN char_length((c.\"a\")::text) < 1 OR char_length((c.\"a\")::text) > 9 THEN 1 END)",
         "count(CASE WHEN CHAR_LENGTH(c.`a`) < 1 OR CHAR_LENGTH(c.`a`) > 9 THEN 1 END)"},
        {{.test = TEST_ENUM, .columns = two, .column_count = 1, .values = values, .value_count = 2},
         VALUE_TEXT,
         "count(CASE WHEN (c.\"a\")::text COLLATE \"C\" NOT IN ( E'it''s \\\\', '1') THEN 1 END)",
         "count(CASE WHEN CAST(CONVERT(c.`a` USING utf8mb4) AS BINARY) NOT IN ('it''s \\\\', '1') THEN 1 "
         "END)"},
        {{.test = TEST_ENUM, .columns = two, .column_count = 1, .values = values, .value_count = 2},
         VALUE_NUMBER,
         "! enum: found \"it's \\\", expected a number: column a holds numbers",
         "! enum: found \"it's \\\", expected a number: column a holds numbers"},
        {{.test = TEST_RANGE, .columns = two, .column_count = 1, .max = "10.5"},
         VALUE_NUMBER,
         "count(CASE WHEN c.\"a\" > 10.5 THEN 1 END)",
         "count(CASE WHEN c.`a` > 10.5 THEN 1 END)"},
        {{.test = TEST_RANGE, .columns = two, .column_count = 1, .max = "1; DROP TABLE x"},
         VALUE_NUMBER,
         "! range: found \"1; DROP TABLE x\", expected a number: column a holds numbers",
         "! range: found \"1; DROP TABLE x\", expected a number: column a holds numbers"},
        {{.test = TEST_POSITIVE, .columns = two, .column_count = 1},
         VALUE_NUMBER,
         "count(CASE WHEN c.\"a\" <= 0 THEN 1 END)",
         "count(CASE WHEN c.`a` <= 0 THEN 1 END)"},
        {{.test = TEST_POSITIVE, .columns = two, .column_count = 1},
         VALUE_TIME,
         "! positive needs numbers, and column a holds times",
         "! positive needs numbers, and column a holds times"},
        {{.test = TEST_NOT_FUTURE, .columns = two, .column_count = 1, .grace_s = 60},
         VALUE_TIME,
         "count(CASE WHEN c.\"a\" > TIMESTAMPTZ '2026-11-22 08:00:00+00' + INTERVAL '60' SECOND THEN 1 END)",
         "count(CASE WHEN c.`a` > TIMESTAMP '2026-11-22 08:00:00' + INTERVAL '60' SECOND THEN 1 END)"},
        {{.test = TEST_UNIQUE, .columns = two, .column_count = 1},
         VALUE_NUMBER,
         "count(CASE WHEN c.\"a\" IS NOT NULL THEN 1 END) - count(DISTINCT c.\"a\")",
         "count(CASE WHEN c.`a` IS NOT NULL THEN 1 END) - count(DISTINCT c.`a`)"},
        {{.test = TEST_UNIQUE, .columns = two, .column_count = 2},
         VALUE_NUMBER,
         "count(CASE WHEN c.\"a\" IS NOT NULL AND c.\"b\" IS NOT NULL THEN 1 END) - count(DISTINCT CASE WHEN "
         "c.\"a\" IS NOT NULL AND c.\"b\" IS NOT NULL THEN "
         "(c.\"a\", c.\"b\") END)",
         "count(CASE WHEN c.`a` IS NOT NULL AND c.`b` IS NOT NULL THEN 1 END) - count(DISTINCT c.`a`, "
         "c.`b`)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *text = count_of(&phrases_postgres, &cases[i].check, cases[i].of);
        assert_string_equal(text, cases[i].postgres);
        free(text);
        text = count_of(&phrases_mariadb, &cases[i].check, cases[i].of);
        assert_string_equal(text, cases[i].mariadb);
        free(text);
    }
}

static void queries_of_people(void **state)
{
    struct strbuf out = STRBUF_INIT(10000);
    phrase_limited(&phrases_postgres, "SELECT 1 ; \n", 5, &out);
    assert_string_equal(out.data, "SELECT * FROM (SELECT 1\n) AS crossfade_query LIMIT 5");
    strbuf_clear(&out);
    phrase_limited(&phrases_mariadb, "SELECT 1 -- why", 5, &out);
    assert_string_equal(out.data, "(SELECT 1 -- why\n) LIMIT 5");
    strbuf_clear(&out);
    phrase_limited(&phrases_mariadb, " with x AS (SELECT 1) SELECT * FROM x;", 5, &out);
    assert_string_equal(out.data,
                        "SET STATEMENT sql_select_limit = 5 FOR  with x AS (SELECT 1) SELECT * FROM x");
    strbuf_clear(&out);
    phrase_count("SELECT 1;", &out);
    assert_string_equal(out.data, "SELECT count(*) FROM (SELECT 1\n) AS crossfade_query");
    strbuf_release(&out);
}

static void rows_that_break_it(void **state)
{
    struct strbuf out = STRBUF_INIT(10000);
    struct err err = ERR_INIT;
    const enum value_class classes[] = {VALUE_NUMBER, VALUE_NUMBER};
    struct subject on = on_of(&phrases_postgres);
    struct data_check check = {.test = TEST_REFERENCES,
                               .columns = two,
                               .column_count = 2,
                               .parent_schema = "s",
                               .parent_table = "p",
                               .parent_columns = one};
    char *parents[] = {"x", "y"}, *keys[] = {"id", "b"};
    check.parent_columns = parents;
    on.where = "a > 1 -- x";
    assert_true(phrase_offenders(&on, &check, classes, keys, 2, "ONLY s.p AS t", 10, &out, &err));
    assert_string_equal(out.data, "SELECT c.\"id\", c.\"b\", c.\"a\" FROM (SELECT * FROM ONLY s.t AS t WHERE "
                                  "(a > 1 -- x\n)) AS c WHERE c.\"a\" IS NOT NULL AND c.\"b\" IS NOT NULL"
                                  " AND NOT EXISTS (SELECT 1 FROM (SELECT * FROM ONLY s.p AS t) AS p WHERE "
                                  "p.\"x\" = c.\"a\" AND p.\"y\" = c.\"b\") LIMIT 10");
    char *text = data_check_text(&check);
    assert_string_equal(text, "references s.p (x, y)");
    free(text);
    strbuf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(conditions), cmocka_unit_test(queries_of_people),
                                       cmocka_unit_test(rows_that_break_it)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
