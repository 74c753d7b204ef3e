/* compare.queries, aggregates, samples, counts, rules and contracts: what they say, and which do not read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"
#include "config/semantic_rules.h"

static struct config *load(const char *yaml, struct err *err)
{
    struct config *cfg = NULL;
    char text[4000] = "pipeline: p\nsource: {url: 'postgresql://a/b'}\n";
    strcat(text, yaml);
    return config_load_text("t.yaml", text, strlen(text), NULL, 0, NULL, &cfg, err) ? cfg : NULL;
}

static struct semantic_rules rules_of(const char *yaml)
{
    struct err err = ERR_INIT;
    struct semantic_rules rules;
    struct config *cfg = load(yaml, &err);
    if (cfg == NULL || !semantic_rules_from_config(cfg, &rules, &err))
        fail_msg("%s", err.text);
    config_free(cfg);
    return rules;
}

static void test_queries(void **state)
{
    struct semantic_rules r =
        rules_of("compare:\n"
                 "  queries:\n"
                 "    - name: revenue\n"
                 "      source_sql: SELECT day, sum(x) FROM a GROUP BY 1\n"
                 "      target_sql: SELECT day, total FROM b\n"
                 "      key: day\n"
                 "      tolerance: {relative: 1e-9, columns: {total: 0.01, n: {relative: 0.5}}}\n"
                 "      max_rows: 77\n"
                 "      severity: warn\n"
                 "    - {name: n, source_sql: SELECT 1, ordered: true, tolerance: 2}\n");
    assert_int_equal(r.query_count, 2);
    struct query_pair *q = &r.queries[0];
    assert_string_equal(q->sql[0], "SELECT day, sum(x) FROM a GROUP BY 1");
    assert_string_equal(q->sql[1], "SELECT day, total FROM b");
    assert_int_equal(q->key_count, 1);
    assert_int_equal(q->max_rows, 77);
    assert_int_equal(q->severity, SEVERITY_WARN);
    assert_string_equal(tolerance_of(&q->tolerances, "total").absolute, "0.01");
    assert_null(tolerance_of(&q->tolerances, "total").relative);
    assert_string_equal(tolerance_of(&q->tolerances, "other").relative, "1e-9");
    q = &r.queries[1];
    assert_string_equal(q->sql[1], "SELECT 1");
    assert_true(q->ordered);
    assert_string_equal(q->tolerances.all.absolute, "2");
    assert_int_equal(q->severity, SEVERITY_REGRESSION);
    semantic_rules_release(&r);
}

static void test_contracts(void **state)
{
    struct semantic_rules r = rules_of(
        "compare:\n"
        "  contracts:\n"
        "    - table: public.users\n"
        "      severity: error\n"
        "      contract:\n"
        "        email: [not_null, unique, {length: 255}]\n"
        "        status: {enum: [new, 'it''s', \"null\"]}\n"
        "        age: {range: {min: 0, max: 150}}\n"
        "        seen: {not_future: 14h}\n"
        "        note: {length: {min: 2}}\n"
        "        id: positive\n"
        "  rules:\n"
        "    - {table: public.items, columns: [a, b], check: {references: {to: public.p, field: [x, y]}}}\n"
        "    - {table: public.items, column: c, check: {references: 'public.\"P.q\".id'}, where: c > 0}\n"
        "    - {table: public.items, columns: [a, b], check: [unique, not_null]}\n"
        "    - {name: none, sql: SELECT 1}\n");
    assert_int_equal(r.contract_count, 5);
    const struct data_contract *c = &r.contracts[0];
    assert_int_equal(c->check_count, 8);
    assert_int_equal(c->severity, SEVERITY_ERROR);
    assert_int_equal(c->checks[2].test, TEST_LENGTH);
    assert_string_equal(c->checks[2].max, "255");
    assert_string_equal(c->checks[3].values[1], "it's");
    assert_string_equal(c->checks[3].values[2], "null");
    assert_string_equal(c->checks[4].max, "150");
    assert_int_equal(c->checks[5].grace_s, 14 * 3600);
    assert_string_equal(c->checks[6].min, "2");
    assert_null(c->checks[6].max);
    assert_int_equal(c->checks[7].test, TEST_POSITIVE);
    c = &r.contracts[1];
    assert_int_equal(c->checks[0].column_count, 2);
    assert_string_equal(c->checks[0].parent_columns[1], "y");
    assert_string_equal(r.contracts[2].checks[0].parent_table, "P.q");
    assert_string_equal(r.contracts[2].of.where, "c > 0");
    assert_int_equal(r.contracts[3].check_count, 3); /* unique over both, not_null for each */
    assert_string_equal(r.contracts[4].sql[1], "SELECT 1");
    semantic_rules_release(&r);
}

static void test_others(void **state)
{
    struct semantic_rules r =
        rules_of("compare:\n"
                 "  aggregates: [{table: public.*, measures: [sum, top], top: 3}, {table: a.b}]\n"
                 "  samples: [{table: public.*, rows: 5}]\n"
                 "  counts: [{table: a.b, column: at, by: day}, {table: a.p, by: partition}]\n");
    assert_int_equal(r.aggregates[0].measures, MEASURE_SUM | MEASURE_TOP);
    assert_int_equal(r.aggregates[0].top, 3);
    assert_int_equal(r.aggregates[1].quantile_count, 5);
    assert_int_equal(r.samples[0].rows, 5);
    assert_int_equal(r.counts[0].by, COUNT_BY_DAY);
    assert_null(r.counts[1].column);
    semantic_rules_release(&r);
}

static void test_refused(void **state)
{
    static const struct {
        const char *yaml, *says;
    } cases[] = {
        {"queries: [{source_sql: SELECT 1}]", "compare.queries: name: found nothing"},
        {"queries: [{name: q}]",
         "compare.queries: query q: source_sql: found nothing, expected one SELECT statement"},
        {"queries: [{name: q, source_sql: SELECT 1, tolerance: -1}]", "query q: tolerance: found \"-1\""},
        {"queries: [{name: q, source_sql: SELECT 1, tolerance: {percent: 1}}]", "field: found \"percent\""},
        {"queries: [{name: q, source_sql: SELECT 1, key: a, ordered: true}]", "not both"},
        {"queries: [{name: q, source_sql: SELECT 1, max_rows: 0}]", "a whole number from 1 to 1000000"},
        {"queries: [{name: q, source_sql: SELECT 1, serverity: error}]", "field: found \"serverity\""},
        {"queries: [{name: q, source_sql: SELECT 1, severity: bad}]", "one of: regression error warn"},
        {"queries: [SELECT]", "compare.queries: item: found \"SELECT\", expected name: value pairs"},
        {"aggregates: [{table: t}]", "table t: table: found \"t\""},
        {"aggregates: [{table: a.t, measures: [sum, median]}]", "measures: found \"median\""},
        {"aggregates: [{table: a.t, quantiles: [2]}]", "numbers between 0 and 1"},
        {"samples: [{table: a.t, rows: many}]", "table a.t: rows: found \"many\""},
        {"counts: [{table: a.t, by: day}]", "the column whose values or times are counted"},
        {"counts: [{table: a.t, by: partition, column: x}]", "no column with by: partition"},
        {"counts: [{table: a.t}]", "by: found nothing"},
        {"rules: [{table: a.t, column: c}]", "check: found nothing"},
        {"rules: [{table: a.t, column: c, check: notnull}]",
         "check: found \"notnull\", expected a check: not_null"},
        {"rules: [{table: a.t, check: unique}]", "column: found nothing"},
        {"rules: [{sql: SELECT 1}]", "compare.rules: name: found nothing"},
        {"rules: [{table: a.t, column: c, check: {references: a.b}}]", "schema.table.column"},
        {"rules: [{table: a.t, columns: [c, d], check: {references: a.b.c}}]",
         "as many as the rule has columns"},
        {"contracts: [{table: a.t}]", "contract: found nothing"},
        {"contracts: [{table: a.t, contract: {c: [{length: x}]}}]",
         "table a.t: column c: length: found \"x\""},
        {"contracts: [{table: a.t, contract: {c: [{enum: x}]}}]", "a list of the values"},
        {"contracts: [{table: a.t, contract: {c: [[unique]]}}]",
         "column c: check: found another kind of value"},
        {"contracts: [{table: a.t, contract: {c: []}}]", "column c: check: found nothing"},
        {"contracts: [{table: a.t, contract: {c: {range: {}}}}]", "range: found another kind of value"},
        {"contracts: [{table: a.t, contract: {c: {not_future: soon}}}]", "such as 14h"},
        {"contracts: [{table: a.t, contract: {c: {unique: 3}}}]", "nothing, or true"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = ERR_INIT;
        char yaml[1000] = "compare:\n  ";
        strcat(yaml, cases[i].yaml);
        strcat(yaml, "\n");
        struct config *cfg = load(yaml, &err);
        if (cfg != NULL)
            fail_msg("accepted: %s", cases[i].yaml);
        if (strstr(err.text, cases[i].says) == NULL || strncmp(err.text, "t.yaml:4:", 9) != 0)
            fail_msg("%s: says %s, expected %s", cases[i].yaml, err.text, cases[i].says);
    }
}

static void test_names_are_unique(void **state)
{
    struct err err = ERR_INIT;
    struct semantic_rules rules;
    struct config *cfg = load(
        "compare: {queries: [{name: q, source_sql: SELECT 1}, {name: q, source_sql: SELECT 2}]}\n", &err);
    assert_non_null(cfg);
    assert_false(semantic_rules_from_config(cfg, &rules, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    config_free(cfg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queries),          cmocka_unit_test(test_contracts),
        cmocka_unit_test(test_others),           cmocka_unit_test(test_refused),
        cmocka_unit_test(test_names_are_unique),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
