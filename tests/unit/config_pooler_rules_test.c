/* cutover.poolers: what reads, and that no message shows a password. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"
#include "config/pooler_rules.h"
#include "core/attr.h"

static void all_of_a_pooler(void **state)
{
    static const char text[] =
        "cutover:\n  poolers:\n"
        "    - {admin: \"postgresql://a:s3cret@h:6432/pgbouncer\", ini: /etc/p.ini, database: app}\n"
        "    - {admin: \"postgres:///pgbouncer?host=/run\", ini: /p.ini, database: \"my app\", host: db2, "
        "port: 5433,"
        " dbname: other, login: \"postgresql://u@h/x\"}\n";
    struct config *cfg = NULL;
    struct pooler_rule *rules = NULL;
    struct err err = ERR_INIT;
    size_t count = 0;
    assert_true(config_load_text("test", text, strlen(text), NULL, 0, NULL, &cfg, &err));
    assert_true(pooler_rules_from_config(cfg, &rules, &count, &err));
    assert_int_equal(count, 2);
    assert_string_equal(rules[0].ini, "/etc/p.ini");
    assert_null(rules[0].host);
    assert_null(rules[0].login);
    assert_string_equal(rules[1].database, "my app");
    assert_string_equal(rules[1].port, "5433");
    assert_string_equal(rules[1].dbname, "other");
    pooler_rules_free(rules, count);
    struct strbuf dump = STRBUF_INIT(1 << 20);
    config_dump(cfg, &dump);
    assert_null(strstr(dump.data, "s3cret"));
    strbuf_release(&dump);
    config_free(cfg);
}

static void none(void **state)
{
    struct config *cfg = NULL;
    struct pooler_rule *rules = NULL;
    struct err err = ERR_INIT;
    size_t count = 1;
    assert_true(config_load_text("test", "", 0, NULL, 0, NULL, &cfg, &err));
    assert_true(pooler_rules_from_config(cfg, &rules, &count, &err));
    assert_int_equal(count, 0);
    pooler_rules_free(rules, count);
    config_free(cfg);
}

static void what_does_not_read(void **state)
{
    static const struct {
        const char *item, *says;
    } cases[] = {
        {"{ini: /p.ini, database: app}", "admin"},
        {"{admin: \"postgresql://h/p\", database: app}", "ini"},
        {"{admin: \"postgresql://h/p\", ini: /p.ini}", "database"},
        {"{admin: \"postgresql://h/p\", ini: p.ini, database: app}", "absolute"},
        {"{admin: \"host=h password=s3cret\", ini: /p.ini, database: app}", "admin: expected a URL"},
        {"{admin: \"postgresql://h/p\", ini: /p.ini, database: app, login: \"u:s3cret@h\"}", "login"},
        {"{admin: \"postgresql://h/p\", ini: /p.ini, database: app, port: 70000}", "port"},
        {"{admin: \"postgresql://h/p\", ini: /p.ini, database: \"a\\tb\"}", "tabs"},
        {"{admin: \"postgresql://h/p\", ini: /p.ini, database: app, user: u}", "user"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = ERR_INIT;
        assert_false(pooler_rule_check(cases[i].item, &err));
        assert_int_equal(err.code, ERR_CONFIG);
        assert_non_null(strstr(err.text, cases[i].says));
        assert_null(strstr(err.text, "s3cret"));
    }
}

static void shares_of_reads(void **state)
{
    static const char *const good[] = {"1", "10", "99", "100"}, *const bad[] = {"",   "0",   "101", "1000",
                                                                                "-1", "1.5", "10%", " 10",
                                                                                "01", "ten"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_true(read_share_fits(good[i]));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(read_share_fits(bad[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_a_pooler),
        cmocka_unit_test(none),
        cmocka_unit_test(what_does_not_read),
        cmocka_unit_test(shares_of_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
