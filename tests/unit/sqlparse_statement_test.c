/* What is told of an SQL text: reads and writes, order, open answers, columns of parameters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/attr.h"
#include "sqlparse/sqlparse.h"

static struct sql_statement parse_one(const char *text)
{
    struct sql_script script;
    assert_true(sql_parse(text, &script, NULL));
    assert_int_equal(script.count, 1);
    struct sql_statement st = script.statements[0];
    free(script.statements);
    return st;
}

static void test_kinds(void **state UNUSED)
{
    static const struct {
        const char *text;
        enum sql_kind kind;
        const char *why;
    } cases[] = {
        {"SELECT 1", SQL_READ, NULL},
        {"VALUES (1), (2)", SQL_READ, NULL},
        {"TABLE t", SQL_READ, NULL},
        {"SHOW work_mem", SQL_READ, NULL},
        {"WITH x AS (SELECT 1) SELECT * FROM x", SQL_READ, NULL},
        {"(SELECT a FROM t) UNION ALL SELECT b FROM u ORDER BY 1", SQL_READ, NULL},
        {"INSERT INTO t VALUES (1)", SQL_WRITE, "INSERT"},
        {"WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x", SQL_WRITE, "WITH that changes data"},
        {"SELECT * FROM t FOR UPDATE", SQL_WRITE, "SELECT … FOR UPDATE or SHARE"},
        {"SELECT * FROM (SELECT * FROM t FOR SHARE) u", SQL_WRITE, "SELECT … FOR UPDATE or SHARE"},
        {"SELECT 1 INTO x", SQL_WRITE, "SELECT INTO"},
        {"SELECT nextval('s')", SQL_WRITE, "function nextval"},
        {"SELECT 1 FROM t WHERE pg_catalog.pg_advisory_lock(1) IS NULL", SQL_WRITE,
         "function pg_advisory_lock"},
        {"SELECT * FROM dblink_exec('x', 'y')", SQL_WRITE, "function dblink_exec"},
        {"SELECT pg_advisory_xact_lock(1)", SQL_WRITE, "function pg_advisory_xact_lock"},
        {"SELECT pg_try_advisory_xact_lock_shared(1)", SQL_WRITE,
         "function pg_try_advisory_xact_lock_shared"},
        {"SELECT heap_force_kill('t'::regclass, ARRAY['(0, 1)']::tid[])", SQL_WRITE,
         "function heap_force_kill"},
        {"BEGIN", SQL_OTHER, "a transaction's begin or end"},
        {"SET work_mem = '1MB'", SQL_OTHER, "SET"},
        {"EXPLAIN SELECT 1", SQL_OTHER, "EXPLAIN"},
        {"COPY t TO STDOUT", SQL_WRITE, "COPY"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sql_statement st = parse_one(cases[i].text);
        assert_int_equal(st.kind, cases[i].kind);
        if (cases[i].why != NULL)
            assert_string_equal(st.why, cases[i].why);
        assert_string_equal(st.text, cases[i].text);
        sql_statement_release(&st);
    }
}

static void test_order(void **state UNUSED)
{
    struct sql_statement st =
        parse_one("SELECT a, b AS c, t.d FROM t ORDER BY 2 DESC, a, t.d, lower(c) LIMIT 5");
    assert_true(st.ordered && st.limited);
    assert_int_equal(st.order_count, 4);
    assert_int_equal(st.order[0].position, 2);
    assert_string_equal(st.order[1].name, "a");
    assert_string_equal(st.order[2].name, "d");
    assert_null(st.order[3].name);
    assert_int_equal(st.order[3].position, 0);
    sql_statement_release(&st);
    st = parse_one("SELECT b AS a FROM t ORDER BY t.a"); /* the output's a is another thing */
    assert_true(st.ordered && !st.limited);
    assert_null(st.order[0].name);
    sql_statement_release(&st);
    st = parse_one("SELECT u.a FROM t, u ORDER BY t.a"); /* and here */
    assert_null(st.order[0].name);
    sql_statement_release(&st);
    st = parse_one("SELECT t.a, u.b FROM t, u ORDER BY t.a");
    assert_string_equal(st.order[0].name, "a");
    sql_statement_release(&st);
    st = parse_one("SELECT * FROM (SELECT * FROM t ORDER BY x) u");
    assert_false(st.ordered);
    sql_statement_release(&st);
}

static void test_amounts(void **state UNUSED)
{
    struct sql_script script;
    assert_true(sql_parse("SELECT 1; SELECT a FROM t ORDER BY a LIMIT 25 OFFSET $2::int", &script, NULL));
    const struct sql_statement *st = &script.statements[1];
    assert_true(st->limited && st->limit.given && st->offset.given);
    assert_int_equal(st->limit.len, 2);
    assert_memory_equal(st->text + st->limit.at, "25", 2);
    assert_int_equal(st->offset.param, 2);
    assert_int_equal(st->offset.len, 0);
    sql_script_release(&script);
    struct sql_statement all = parse_one("SELECT a FROM t LIMIT ALL");
    assert_false(all.limited);
    sql_statement_release(&all);
    all = parse_one("SELECT a FROM t LIMIT 2 + 3");
    assert_true(all.limit.given && all.limit.len == 0 && all.limit.param == 0);
    sql_statement_release(&all);
}

/* A text of a log is anybody's. */
static void test_deepest(void **state UNUSED)
{
    struct sql_script script;
    size_t n = SQL_TEXT_MAX - 1;
    char *text = malloc(n + 3);
    memcpy(text, "SELECT 1", 8);
    for (size_t i = 8; i + 1 < n; i += 2)
        memcpy(text + i, "+1", 3);
    assert_true(strlen(text) > SQL_TEXT_MAX - 4 && strlen(text) <= SQL_TEXT_MAX);
    assert_false(sql_parse(text, &script, NULL));
    memset(text + 7, '(', n - 7);
    assert_false(sql_parse(text, &script, NULL));
    free(text);
}

static void test_open(void **state UNUSED)
{
    static const struct {
        const char *text;
        unsigned open;
    } cases[] = {
        {"SELECT 1", 0},
        {"SELECT DISTINCT a FROM t", 0},
        {"SELECT DISTINCT ON (a) a, b FROM t", OPEN_ORDER},
        {"SELECT array_agg(a) FROM t", OPEN_ORDER},
        {"SELECT array_agg(a ORDER BY a) FROM t", 0},
        {"SELECT a FROM t WHERE b IN (SELECT b FROM u LIMIT 3)", OPEN_ORDER},
        {"SELECT a FROM t LIMIT 3", 0}, /* at the top it is `limited` */
        {"SELECT row_number() OVER (ORDER BY a) FROM t", OPEN_ORDER},
        {"SELECT a FROM t WHERE b > now() - interval '1 day'", OPEN_CLOCK},
        {"SELECT CURRENT_DATE", OPEN_CLOCK},
        {"SELECT current_user", OPEN_SERVER},
        {"SHOW work_mem", OPEN_SERVER},
        {"SELECT random()", OPEN_CHANCE},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sql_statement st = parse_one(cases[i].text);
        assert_int_equal(st.open, cases[i].open);
        sql_statement_release(&st);
    }
}

static void test_catalog(void **state UNUSED)
{
    static const char *const texts[] = {"SELECT * FROM pg_class",
                                        "SELECT * FROM t, information_schema.tables",
                                        "SELECT 1 FROM crossfade.position"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct sql_statement st = parse_one(texts[i]);
        assert_true(st.catalog);
        sql_statement_release(&st);
    }
    struct sql_statement st = parse_one("SELECT * FROM app.pg_like");
    assert_false(st.catalog);
    sql_statement_release(&st);
}

static void assert_param(const struct sql_statement *st, size_t n, enum sql_param_role role,
                         const char *column, const char *table)
{
    assert_true(n <= st->param_count);
    const struct sql_param *p = &st->params[n - 1];
    assert_int_equal(p->role, role);
    if (column != NULL) {
        assert_string_equal(p->column, column);
        assert_int_equal(p->table_count, 1);
        assert_string_equal(p->tables[0].name, table);
    }
}

static void test_params(void **state UNUSED)
{
    struct sql_statement st = parse_one(
        "SELECT $1, o.id FROM app.orders o JOIN lines l ON l.order_id = o.id WHERE o.id = $2 AND $3 < l.qty"
        " AND o.at BETWEEN $4 AND $5::date AND l.sku IN ($6, $7) AND o.state = ANY ($8) AND o.note LIKE $9"
        " AND o.total > o.paid * $10 LIMIT $11 OFFSET $12");
    assert_int_equal(st.param_count, 12);
    assert_param(&st, 1, PARAM_VALUE, NULL, NULL);
    assert_param(&st, 2, PARAM_COLUMN, "id", "orders");
    assert_string_equal(st.params[1].tables[0].schema, "app");
    assert_param(&st, 3, PARAM_COLUMN, "qty", "lines");
    assert_true(st.params[2].range);
    assert_param(&st, 4, PARAM_COLUMN, "at", "orders");
    assert_param(&st, 5, PARAM_COLUMN, "at", "orders");
    assert_param(&st, 6, PARAM_COLUMN, "sku", "lines");
    assert_param(&st, 7, PARAM_COLUMN, "sku", "lines");
    assert_param(&st, 8, PARAM_COLUMN, "state", "orders");
    assert_true(st.params[7].array);
    assert_param(&st, 9, PARAM_COLUMN, "note", "orders");
    assert_param(&st, 10, PARAM_UNKNOWN, NULL, NULL);
    assert_param(&st, 11, PARAM_LIMIT, NULL, NULL);
    assert_param(&st, 12, PARAM_OFFSET, NULL, NULL);
    sql_statement_release(&st);
    st = parse_one("SELECT 1 FROM a WHERE x = $1 AND EXISTS (SELECT 1 FROM b WHERE b.y = a.x AND a.z = $2)");
    assert_param(&st, 1, PARAM_COLUMN, "x", "a");
    assert_param(&st, 2, PARAM_COLUMN, "z", "a"); /* of the outer SELECT */
    sql_statement_release(&st);
}

static void test_scripts(void **state UNUSED)
{
    struct sql_script script;
    assert_true(sql_parse(" SELECT 1 ;\n SELECT 2;", &script, NULL));
    assert_int_equal(script.count, 2);
    assert_string_equal(script.statements[0].text, "SELECT 1 ");
    assert_string_equal(script.statements[1].text, "SELECT 2");
    assert_string_equal(script.statements[0].fingerprint, script.statements[1].fingerprint);
    sql_script_release(&script);
    struct err err = ERR_INIT;
    assert_false(sql_parse("SELEC secret", &script, &err));
    assert_int_equal(err.code, ERR_DATA);
    assert_null(strstr(err.text, "secret"));
    assert_false(sql_parse("SELECT $1001", &script, NULL));
    assert_true(sql_parse("", &script, NULL));
    assert_int_equal(script.count, 0);
    sql_script_release(&script);
}

static void test_own_words(void **state UNUSED)
{
    char *words = sql_in_own_words("SELECT a FROM t WHERE d > date $1 AND e < now() - interval $2");
    assert_non_null(strstr(words, "$1::date"));
    assert_non_null(strstr(words, "$2::interval"));
    free(words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),   cmocka_unit_test(test_order),   cmocka_unit_test(test_amounts),
        cmocka_unit_test(test_deepest), cmocka_unit_test(test_open),    cmocka_unit_test(test_catalog),
        cmocka_unit_test(test_params),  cmocka_unit_test(test_scripts), cmocka_unit_test(test_own_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
