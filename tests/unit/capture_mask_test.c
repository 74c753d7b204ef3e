/* Masks: what stands in place of a value. Hashes are those of Debezium's column.mask.hash.v2: SHA-256 over salt, then value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "capture/filters/mask.h"

struct fixture {
    struct pg_type_catalog *types;
    struct pg_column_reader reader;
    struct cap_mask mask;
    struct arena arena;
};

static bool plan(struct fixture *f, uint32_t oid, int32_t typmod, const struct mask_rule *rule,
                 struct err *err)
{
    const struct source_column column = {.name = (char *)"c", .type_oid = oid, .typmod = typmod};
    *f = (struct fixture){.types = pg_type_catalog_new()};
    arena_init(&f->arena, 4096, 1 << 20);
    return pg_reader_plan(f->types, NULL, oid, typmod, &f->reader, err) &&
           cap_mask_plan(rule, "salt", &column, &f->reader, f->types, NULL, &f->mask, err);
}

static void release(struct fixture *f)
{
    cap_mask_release(&f->mask);
    pg_type_catalog_free(f->types);
    arena_release(&f->arena);
}

static void gives(uint32_t oid, int32_t typmod, const struct mask_rule *rule, const char *value,
                  const char *expected)
{
    struct fixture f;
    struct err err = ERR_INIT;
    struct datum d = {0};
    if (!plan(&f, oid, typmod, rule, &err) ||
        !cap_mask_value(&f.mask, &f.reader, value, (uint32_t)strlen(value), &f.arena, &d, &err))
        fail_msg("%s", err.text);
    assert_int_equal(d.state, DATUM_VALUE);
    assert_int_equal(d.s.len, strlen(expected));
    assert_memory_equal(d.s.p, expected, d.s.len);
    release(&f);
}

/* printf saltabc | sha256sum */
#define HASH_ABC "3681099918be28c95b81e27e7e5c2e4c6a6dea566d2d10e7f49139ebb779eb6f"

static void test_hash(void **state)
{
    const struct mask_rule rule = {.kind = MASK_HASH};
    gives(PG_OID_TEXT, -1, &rule, "abc", HASH_ABC);
    gives(PG_OID_VARCHAR, 4 + 100, &rule, "abc", HASH_ABC);
    gives(PG_OID_VARCHAR, -1, &rule, "abc", HASH_ABC);
    char cut[11] = "";
    memcpy(cut, HASH_ABC, 10);
    gives(PG_OID_VARCHAR, 4 + 10, &rule, "abc", cut);
    gives(PG_OID_BPCHAR, 4 + 66, &rule, "abc",
          HASH_ABC "  "); /* blanks up to the length, as the server would */
}

static void test_partial(void **state)
{
    const struct mask_rule ends = {.kind = MASK_PARTIAL, .first = 2, .last = 1},
                           none = {.kind = MASK_PARTIAL};
    gives(PG_OID_TEXT, -1, &ends, "abcdef", "ab***f");
    gives(PG_OID_TEXT, -1, &ends, "abcd", "ab*d");
    gives(PG_OID_TEXT, -1, &ends, "abc", "***");
    gives(PG_OID_TEXT, -1, &ends, "a", "*");
    gives(PG_OID_TEXT, -1, &ends, "", "");
    gives(PG_OID_TEXT, -1, &ends, "äöüßé", "äö**é");
    gives(PG_OID_TEXT, -1, &none, "äb", "**");
    gives(PG_OID_BPCHAR, 4 + 8, &ends, "abcdef  ", "ab***f  ");
    gives(PG_OID_BPCHAR, 4 + 4, &ends, "ab  ", "**  ");
}

static void test_null(void **state)
{
    const struct mask_rule rule = {.kind = MASK_NULL};
    struct fixture f;
    struct err err = ERR_INIT;
    struct datum d = {.state = DATUM_VALUE};
    assert_true(plan(&f, PG_OID_INT4, -1, &rule, &err));
    assert_true(cap_mask_value(&f.mask, &f.reader, "\0\0\0\1", 4, &f.arena, &d, &err));
    assert_int_equal(d.state, DATUM_NULL);
    release(&f);
}

static void test_types_that_do_not_fit(void **state)
{
    static const uint32_t oids[] = {PG_OID_INT4, PG_OID_JSON, PG_OID_BYTEA,
                                    PG_OID_UUID, PG_OID_DATE, PG_OID_NAME};
    const struct mask_rule rules[] = {{.kind = MASK_HASH}, {.kind = MASK_PARTIAL}};
    for (size_t i = 0; i < 2 * ARRAY_LEN(oids); i++) {
        struct fixture f;
        struct err err = ERR_INIT;
        assert_false(plan(&f, oids[i / 2], -1, &rules[i % 2], &err));
        assert_int_equal(err.code, ERR_CONFIG);
        assert_non_null(strstr(err.text, "fixed:VALUE"));
        release(&f);
    }
}

static void digest_of(const char *text, const char *salt, char ret[CAP_RULE_DIGEST])
{
    struct table_rules *rules = NULL;
    struct err err = ERR_INIT;
    assert_true(table_rules_new(&text, 1, salt, &rules, &err));
    cap_mask_rule_digest(rules, "s", "t", ret);
    table_rules_free(rules);
}

static void test_digest(void **state)
{
    char a[CAP_RULE_DIGEST], b[CAP_RULE_DIGEST];
    digest_of("{table: s.t, mask: {a: hash}}", "one", a);
    digest_of("{table: s.t, mask: {a: hash}}", "one", b);
    assert_string_equal(a, b);
    digest_of("{table: s.t, mask: {a: hash}}", "two", b);
    assert_string_not_equal(a, b);
    digest_of("{table: s.t, mask: {b: hash}}", "one", b);
    assert_string_not_equal(a, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash),   cmocka_unit_test(test_partial),
        cmocka_unit_test(test_null),   cmocka_unit_test(test_types_that_do_not_fit),
        cmocka_unit_test(test_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
