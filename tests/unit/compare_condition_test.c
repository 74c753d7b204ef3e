/* Conditions of people: what may stand behind WHERE in parentheses, for PostgreSQL and for MariaDB. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compare/scope.h"
#include "core/attr.h"
#include "maria/condition.h"
#include "sqlparse/condition.h"

static void test_taken(void **state UNUSED)
{
    static const char *const texts[] = {"a = 1",
                                        "created_at > '2026-01-01' AND (b OR c IS NULL)",
                                        "a = 1 -- with a comment",
                                        "(a = 1) OR (b = 2)",
                                        "id IN (SELECT id FROM public.chosen)",
                                        "name = 'semi;colon -- ) '' quote'",
                                        "true"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct err err = ERR_INIT;
        if (!sql_condition_check(texts[i], &err) || !maria_condition_check(texts[i], &err))
            fail_msg("%s: %s", texts[i], err.text);
    }
}

static void test_breakouts(void **state UNUSED)
{
    static const char *const texts[] = {
        "",
        " -- nothing",
        "true) OR (true",
        "true; DROP TABLE t",
        "true)",
        "(true",
        "true) UNION SELECT (1",
        "true /* open",
        "a = $1",
        "x = 'not closed",
        "a = 1;",
        "true) -- ",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct err err = ERR_INIT;
        if (sql_condition_check(texts[i], &err))
            fail_msg("PostgreSQL takes: %s", texts[i]);
        assert_int_equal(err.code, ERR_CONFIG);
        err = (struct err)ERR_INIT;
        if (maria_condition_check(texts[i], &err))
            fail_msg("MariaDB takes: %s", texts[i]);
        assert_int_equal(err.code, ERR_CONFIG);
    }
}

static void test_of_postgres_alone(void **state UNUSED)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"true ORDER BY 1", "not one expression"},
        {"true GROUP BY 1", "not one expression"},
        {"true LIMIT 1", "not one expression"},
        {"true UNION SELECT 1", "not one expression"},
        {"true FOR UPDATE", "not one expression"},
        {"nextval('s') > 0", "does more than read"},
        {"pg_terminate_backend(1)", "does more than read"},
        {"id IN (SELECT id FROM t FOR UPDATE)", "does more than read"},
        {"created_at > now() - interval '1 day'", "the clock"},
        {"created_at > current_date", "the clock"},
        {"random() < 0.1", "chance"},
        {"owner = current_user", "the server"},
        {"id IN (SELECT id FROM t LIMIT 5)", "order"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = ERR_INIT;
        if (sql_condition_check(cases[i].text, &err))
            fail_msg("taken: %s", cases[i].text);
        assert_int_equal(err.code, ERR_CONFIG);
        if (strstr(err.text, cases[i].says) == NULL)
            fail_msg("%s: %s", cases[i].text, err.text);
    }
}

static void test_of_mariadb_alone(void **state UNUSED)
{
    static const char *const refused[] = {"a = '\\' ) OR (1 = 1", "1 /*!50000 ) OR (1 */",
                                          "1 /*M! ) */",          "id IN (SELECT id FROM t FOR UPDATE)",
                                          "GET_LOCK('a', 1)",     "a > NOW()",
                                          "NEXT VALUE FOR s",     "rand() < 0.1",
                                          "a = \"open",           "`open"};
    static const char *const taken[] = {"a = 'it\\'s'", "a = '\\') OR (1 = 1 -- '",
                                        "`a` = \"x)\"", "a = 1 # )\n AND b",
                                        "a = 5 - -3",   "a--1 < 3"};
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct err err = ERR_INIT;
        if (maria_condition_check(refused[i], &err))
            fail_msg("taken: %s", refused[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
        struct err err = ERR_INIT;
        if (!maria_condition_check(taken[i], &err))
            fail_msg("%s: %s", taken[i], err.text);
    }
}

static void put_ident(struct strbuf *out, const char *name)
{
    strbuf_addf(out, "`%s`", name);
}

static void put_literal(struct strbuf *out, const char *text)
{
    strbuf_addf(out, "'%s'", text);
}

/* As pg_get_partition_constraintdef() prints them, in a session in UTC. */
static void test_bounds(void **state UNUSED)
{
    static const struct sql_words words = {put_ident, put_literal, "TIMESTAMP "};
    static const struct {
        const char *text, *said;
    } cases[] = {
        {"((at IS NOT NULL) AND (at >= '2026-01-01 00:00:00+00'::timestamp with time zone) AND (at < "
         "'2026-02-01 "
         "00:00:00+00'::timestamp with time zone))",
         "((`at` IS NOT NULL) AND (`at` >= TIMESTAMP '2026-01-01 00:00:00') AND (`at` < TIMESTAMP "
         "'2026-02-01 "
         "00:00:00'))"},
        {"((id IS NOT NULL) AND (id >= 0) AND (id < '-5'::integer))",
         "((`id` IS NOT NULL) AND (`id` >= 0) AND (`id` < -5))"},
        {"((region IS NOT NULL) AND (region = ANY (ARRAY['de'::text, 'fr'::text])))",
         "((`region` IS NOT NULL) AND (`region` IN ('de', 'fr')))"},
        {"((\"V\" IS NOT NULL) AND ((\"V\")::text = ANY ((ARRAY['a'::character varying])::text[])))",
         "((`V` IS NOT NULL) AND (`V` IN ('a')))"},
        {"(NOT ((d IS NOT NULL) AND (d = '2026-01-01'::date)))",
         "NOT (((`d` IS NOT NULL) AND (`d` = '2026-01-01')))"},
        {"((b IS NULL) OR (b = true))", "((`b` IS NULL) OR (`b` = 1))"},
        {"true", "1"},
        {"satisfies_hash_partition('16384'::oid, 4, 0, id)", NULL},
        {"(date_trunc('day'::text, at) >= '2026-01-01'::date)", NULL},
        {"(at >= 'infinity'::timestamp with time zone)", NULL},
        {"(at >= '0044-03-15 00:00:00 BC'::timestamp without time zone)", NULL},
        {"(r && '[1,2)'::int4range)", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = ERR_INIT;
        struct strbuf sb = STRBUF_INIT(4096);
        bool said = sql_condition_say(cases[i].text, &words, &sb, &err);
        if (said != (cases[i].said != NULL) || (said && strcmp(sb.data, cases[i].said) != 0))
            fail_msg("%s: %s %s", cases[i].text, said ? sb.data : "", err.text);
        strbuf_release(&sb);
    }
}

static void test_times(void **state UNUSED)
{
    static const struct {
        const char *text, *utc;
    } cases[] = {{"2026-01-31", "2026-01-31 00:00:00.000000"},
                 {"2026-01-31 12:30", "2026-01-31 12:30:00.000000"},
                 {"2026-01-31T12:30:05.25Z", "2026-01-31 12:30:05.250000"},
                 {"2026-01-31 00:30:00+02", "2026-01-30 22:30:00.000000"},
                 {"2026-01-31 12:30:00 -05:30", "2026-01-31 18:00:00.000000"},
                 {"2026-02-31", NULL},
                 {"yesterday", NULL},
                 {"2026-01-31 12:30:00' OR true --", NULL},
                 {"2026-01-31 25:00", NULL},
                 {"2026-1-31", NULL},
                 {"", NULL}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *utc = scope_time(cases[i].text);
        if ((utc == NULL) != (cases[i].utc == NULL) || (utc != NULL && strcmp(utc, cases[i].utc) != 0))
            fail_msg("%s: %s", cases[i].text, utc != NULL ? utc : "no time");
        free(utc);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_breakouts),
        cmocka_unit_test(test_of_postgres_alone),
        cmocka_unit_test(test_of_mariadb_alone),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
