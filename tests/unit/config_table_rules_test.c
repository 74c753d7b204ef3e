/* Rules of source.filters: what they answer for a table, and which do not read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"
#include "config/table_rules.h"

static struct table_rules *rules_of(const char *const *texts, size_t count)
{
    struct table_rules *rules = NULL;
    struct err err = ERR_INIT;
    if (!table_rules_new(texts, count, "salt", &rules, &err))
        fail_msg("%s", err.text);
    return rules;
}

#define RULES(...)                                                                                           \
    rules_of((const char *const[]){__VA_ARGS__}, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *))

static void test_no_rules(void **state)
{
    assert_true(table_rules_keeps(NULL, "s", "t", "c"));
    assert_null(table_rules_where(NULL, "s", "t"));
    assert_string_equal(table_rules_rename(NULL, "s", "t", "c"), "c");
    assert_false(table_rules_any(NULL, "s", "t"));
    assert_false(table_rules_protects(NULL, "s", "t", "c"));
    assert_string_equal(table_rules_salt(NULL), "");
    assert_false(table_rules_hide(NULL));
    struct table_rules *rules = RULES("{table: s.t, where: a = 1}");
    assert_false(table_rules_hide(rules));
    table_rules_free(rules);
}

static void test_columns(void **state)
{
    struct table_rules *rules =
        RULES("{table: s.some, columns: [id, \"a_*\", \"!a_b\"]}", "{table: s.but, columns: \"!x*\"}",
              "{table: s.lit, columns: ['!\"x*\"']}");
    assert_true(table_rules_keeps(rules, "s", "some", "id"));
    assert_true(table_rules_keeps(rules, "s", "some", "a_c"));
    assert_false(table_rules_keeps(rules, "s", "some", "a_b"));
    assert_false(table_rules_keeps(rules, "s", "some", "other"));
    assert_true(table_rules_keeps(rules, "s", "but", "id"));
    assert_false(table_rules_keeps(rules, "s", "but", "xy"));
    assert_true(table_rules_keeps(rules, "s", "lit", "xy"));
    assert_false(table_rules_keeps(rules, "s", "lit", "x*"));
    assert_true(table_rules_protects(rules, "s", "but", "xy"));
    assert_true(table_rules_keeps(rules, "s", "none", "xy"));
    table_rules_free(rules);
}

static void test_masks(void **state)
{
    struct table_rules *rules = RULES(
        "{table: s.*, mask: {a: hash, b: null, c: 'null', d: 'fixed:x:y', e: 'partial:2:10', f: \"fixed:\"}}",
        "{table: s.t, mask: {a: 'fixed:1'}}");
    assert_int_equal(table_rules_mask(rules, "s", "u", "a")->kind, MASK_HASH);
    assert_int_equal(table_rules_mask(rules, "s", "t", "a")->kind, MASK_FIXED);
    assert_int_equal(table_rules_mask(rules, "s", "t", "b")->kind, MASK_NULL);
    assert_int_equal(table_rules_mask(rules, "s", "t", "c")->kind, MASK_NULL);
    assert_string_equal(table_rules_mask(rules, "s", "t", "d")->fixed, "x:y");
    assert_string_equal(table_rules_mask(rules, "s", "t", "f")->fixed, "");
    assert_int_equal(table_rules_mask(rules, "s", "t", "e")->kind, MASK_PARTIAL);
    assert_int_equal(table_rules_mask(rules, "s", "t", "e")->first, 2);
    assert_int_equal(table_rules_mask(rules, "s", "t", "e")->last, 10);
    assert_null(table_rules_mask(rules, "s", "t", "z"));
    assert_null(table_rules_mask(rules, "other", "t", "a"));
    assert_true(table_rules_protects(rules, "s", "t", "a"));
    assert_true(table_rules_hide(rules));
    table_rules_free(rules);
}

static void test_the_last_that_speaks_decides(void **state)
{
    struct table_rules *rules =
        RULES("{table: s.t, where: a = 1, key: [a, b], topic: one, rename: {x: y}}",
              "{table: s.*, topic: two, rename: {v: w}}", "{table: s.u, where: b > 0}");
    assert_string_equal(table_rules_where(rules, "s", "t"), "a = 1");
    assert_string_equal(table_rules_where(rules, "s", "u"), "b > 0");
    assert_string_equal(table_rules_topic(rules, "s", "t"), "two");
    const char *const *key = table_rules_key(rules, "s", "t");
    assert_string_equal(key[0], "a");
    assert_string_equal(key[1], "b");
    assert_null(key[2]);
    assert_null(table_rules_key(rules, "s", "u"));
    assert_string_equal(table_rules_rename(rules, "s", "t", "x"), "y");
    assert_string_equal(table_rules_rename(rules, "s", "t", "v"), "w");
    assert_string_equal(table_rules_rename(rules, "s", "u", "x"), "x");
    struct strbuf t = STRBUF_INIT(4096), u = STRBUF_INIT(4096);
    table_rules_text(rules, "s", "t", &t);
    table_rules_text(rules, "s", "u", &u);
    assert_string_not_equal(t.data, u.data);
    strbuf_release(&t);
    strbuf_release(&u);
    table_rules_free(rules);
}

static void test_refused(void **state)
{
    static const char *const texts[] = {
        "plain text",
        "{columns: [a]}",
        "{table: s.t}",
        "{table: nodot, columns: [a]}",
        "{table: '!s.t', columns: [a]}",
        "{table: s.t, colums: [a]}",
        "{table: s.t, columns: []}",
        "{table: s.t, columns: {a: b}}",
        "{table: s.t, columns: [a.b]}",
        "{table: s.t, columns: ['!']}",
        "{table: s.t, key: [a, a]}",
        "{table: s.t, where: ' '}",
        "{table: s.t, mask: [a]}",
        "{table: s.t, mask: {a: 'partial:1'}}",
        "{table: s.t, mask: {a: 'partial:1:2:3'}}",
        "{table: s.t, mask: {a: 'partial:-1:2'}}",
        "{table: s.t, mask: {a: 'partial:99999999999:2'}}",
        "{table: s.t, mask: {a: Hash}}",
        "{table: s.t, mask: {a: hash, a: 'fixed:'}}",
        "{table: s.t, rename: {a: ''}}",
        "{table: s.t, topic: 'a b'}",
        "{table: s.t, topic: fence}",
        "{table: s.t, topic: ''}",
        "{table: s.t, where: a, where: b}",
        "{table: s.t, columns: [a]",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct err err = ERR_INIT;
        if (table_rule_check(texts[i], &err))
            fail_msg("taken: %s", texts[i]);
        assert_int_equal(err.code, ERR_CONFIG);
        assert_non_null(strstr(err.text, "source.filters"));
    }
}

static struct config *load(const char *text)
{
    struct config *cfg = NULL;
    struct err err = ERR_INIT;
    if (!config_load_text("f.yaml", text, strlen(text), NULL, 0, NULL, &cfg, &err))
        fail_msg("%s", err.text);
    return cfg;
}

static void test_from_a_file(void **state)
{
    struct config *cfg =
        load("source:\n  mask_salt: s3cret\n  filters:\n    - table: public.users\n      columns: [\"!pw\"]\n"
             "      where: |\n        a = 'x\\y'\n        AND \"b\" > 1\n      mask:\n        email: hash\n  "
             "      n: ~\n"
             "    - {table: \"public.\\\"A b\\\"\", topic: ab}\n");
    struct table_rules *rules = NULL;
    struct err err = ERR_INIT;
    assert_true(table_rules_with_salt(cfg, &rules, &err));
    assert_false(table_rules_keeps(rules, "public", "users", "pw"));
    assert_string_equal(table_rules_where(rules, "public", "users"), "a = 'x\\y'\nAND \"b\" > 1\n");
    assert_int_equal(table_rules_mask(rules, "public", "users", "n")->kind, MASK_NULL);
    assert_string_equal(table_rules_topic(rules, "public", "A b"), "ab");
    assert_string_equal(table_rules_salt(rules), "s3cret");
    struct strbuf dump = STRBUF_INIT(1 << 20);
    config_dump(cfg, &dump);
    assert_null(strstr(dump.data, "s3cret"));
    strbuf_release(&dump);
    table_rules_free(rules);
    config_free(cfg);
}

static void test_a_hash_needs_a_salt(void **state)
{
    struct config *cfg = load("source: {filters: [{table: s.t, mask: {a: hash}}]}\n");
    struct table_rules *rules = NULL;
    struct err err = ERR_INIT;
    assert_false(table_rules_with_salt(cfg, &rules, &err));
    assert_non_null(strstr(err.text, "source.mask_salt"));
    assert_true(table_rules_from_config(cfg, &rules, &err)); /* who masks nothing needs none */
    table_rules_free(rules);
    config_free(cfg);
}

static void test_the_file_names_the_place(void **state)
{
    static const char text[] =
        "source:\n  filters:\n    - {table: s.t, columns: [a]}\n    - {table: s.t, mask: {a: sha}}\n";
    struct config *cfg = NULL;
    struct err err = ERR_INIT;
    assert_false(config_load_text("f.yaml", text, strlen(text), NULL, 0, NULL, &cfg, &err));
    assert_non_null(strstr(err.text, "f.yaml:"));
    assert_non_null(strstr(err.text, "mask: a: found \"sha\""));
}

static void test_flags(void **state)
{
    const char *flags[] = {"source.filters={table: s.t, columns: [a, b]}",
                           "source.filters={table: s.u, topic: v}"};
    struct config *cfg = NULL;
    struct table_rules *rules = NULL;
    struct err err = ERR_INIT;
    assert_true(config_load_text("", "", 0, flags, 2, NULL, &cfg, &err));
    assert_true(table_rules_from_config(cfg, &rules, &err));
    assert_true(table_rules_keeps(rules, "s", "t", "b"));
    assert_string_equal(table_rules_topic(rules, "s", "u"), "v");
    table_rules_free(rules);
    config_free(cfg);
    flags[1] = "source.filters={table: s.u}";
    assert_false(config_load_text("", "", 0, flags, 2, NULL, &cfg, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_rules),
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_masks),
        cmocka_unit_test(test_the_last_that_speaks_decides),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_from_a_file),
        cmocka_unit_test(test_a_hash_needs_a_salt),
        cmocka_unit_test(test_the_file_names_the_place),
        cmocka_unit_test(test_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
