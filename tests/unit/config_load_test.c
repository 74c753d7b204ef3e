/* Configuration: what is accepted, and the exact place and wording of what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"
#include "config/option.h"

static struct config *load(const char *text)
{
    struct config *cfg = NULL;
    struct err err = ERR_INIT;
    if (!config_load_text("t.yaml", text, strlen(text), NULL, 0, NULL, &cfg, &err))
        fail_msg("refused: %s", err.text);
    return cfg;
}

static void refused(const char *text, const char *message)
{
    struct config *cfg = NULL;
    struct err err = ERR_INIT;
    if (config_load_text("t.yaml", text, strlen(text), NULL, 0, NULL, &cfg, &err))
        fail_msg("accepted: %s", text);
    assert_null(cfg);
    assert_int_equal(err.code, ERR_CONFIG);
    assert_string_equal(err.text, message);
}

static void refused_flag(const char *flag, const char *message)
{
    struct config *cfg = NULL;
    struct err err = ERR_INIT;
    assert_false(config_load_text("", "", 0, &flag, 1, NULL, &cfg, &err));
    assert_string_equal(err.text, message);
}

static void test_issue_example(void **state)
{
    struct config *cfg =
        load("pipeline: shop                      # comment\n"
             "source:  { url: \"postgresql://a:b@h/d\", tables: [\"public.*\", \"!public.audit_*\"] }\n"
             "target:  { url: \"postgresql://h2/d\" }\n"
             "journal: { url: \"lmdb:/var/lib/crossfade/shop\", format: avro, topic_prefix: shop2 }\n"
             "capture: { listen: \"127.0.0.1:7301\", snapshot_workers: 4, fence_interval_ms: 250ms }\n"
             "apply:   { listen: \"127.0.0.1:7302\" }\n"
             "compare: { report_dir: \"./reports\" }\n");
    assert_string_equal(config_text(cfg, "pipeline"), "shop");
    size_t count = 0;
    const char *const *tables = config_list(cfg, "source.tables", &count);
    assert_int_equal(count, 2);
    assert_string_equal(tables[1], "!public.audit_*");
    assert_null(tables[2]);
    assert_string_equal(config_text(cfg, "journal.topic_prefix"), "shop2");
    assert_int_equal(config_int(cfg, "capture.snapshot_workers"), 4);
    assert_int_equal(config_int(cfg, "capture.fence_interval_ms"), 250);
    config_free(cfg);
}

static void test_defaults(void **state)
{
    struct config *cfg = load("pipeline: shop\n");
    assert_string_equal(config_text(cfg, "journal.topic_prefix"), "shop");
    assert_int_equal(config_int(cfg, "journal.keep"), 24 * 3600 * 1000);
    assert_int_equal(config_int(cfg, "capture.max_memory"), 64 << 20);
    assert_int_equal(config_int(cfg, "cutover.verdict_max_age_s"), 3600);
    assert_null(config_text(cfg, "source.url"));
    assert_non_null(config_list(cfg, "journal.kafka", NULL));
    assert_null(config_list(cfg, "journal.kafka", NULL)[0]);
    config_free(cfg);
    config_free(load(""));
    config_free(load("# only a comment\n"));
}

static void test_places(void **state)
{
    refused("pipeline: shop\nsource:\n  url: 7\n",
            "t.yaml:3:8: source.url: found \"7\", expected a URL that "
            "begins with one of postgresql://, postgres://, mariadb:// (a password's @ is written %40)");
    refused("capture: { snapshot_workers: many }\n",
            "t.yaml:1:30: capture.snapshot_workers: found \"many\", expected a whole number from 1 to 64");
    refused("capture:\n  snapshot_workers: 65\n",
            "t.yaml:2:21: capture.snapshot_workers: found \"65\", expected a whole number from 1 to 64");
    refused("journal:\n  format: protobuf\n",
            "t.yaml:2:11: journal.format: found \"protobuf\", expected one of avro, json");
    refused("journal:\n  format: av\n",
            "t.yaml:2:11: journal.format: found \"av\", expected one of avro, json");
    refused("pipeline: Shop\n",
            "t.yaml:1:11: pipeline: found \"Shop\", expected text that matches ^[a-z][a-z0-9_]{0,30}$");
    refused("pipeline:\n",
            "t.yaml:1:1: pipeline: found nothing, expected text that matches ^[a-z][a-z0-9_]{0,30}$");
    refused("source:\n  tables: public.*\n",
            "t.yaml:2:11: source.tables: found a single value, expected a list of "
            "patterns schema.table, such as public.*, !public.audit_* or \"My Schema\".\"T\"");
    refused("source:\n  tables: [a.b, \"orders\"]\n",
            "t.yaml:2:17: source.tables: found \"orders\", expected a list of patterns schema.table, such as "
            "public.*, "
            "!public.audit_* or \"My Schema\".\"T\"");
    refused("source:\n  tables: [a.b, [c]]\n", "t.yaml:2:3: source.tables: found a list, expected text");
    refused("source: 3\n", "t.yaml:1:1: source: found a single value, expected name: value pairs");
    refused("- a\n", "t.yaml:1:1: found a list, expected name: value pairs");
    refused(
        "capture:\n  max_memory: 1KiB\n",
        "t.yaml:2:15: capture.max_memory: found \"1KiB\", expected a size such as 64MiB from 4MiB to 64GiB");
    refused("capture:\n  listen: localhost\n",
            "t.yaml:2:11: capture.listen: found \"localhost\", expected host:port, such as 127.0.0.1:7301");
}

static void test_unknown_and_twice(void **state)
{
    refused("pipelin: shop\n", "t.yaml:1:1: pipelin: unknown key (did you mean pipeline?)");
    refused("capture:\n  snapshot_wrokers: 2\n",
            "t.yaml:2:3: capture.snapshot_wrokers: unknown key (did you mean capture.snapshot_workers?)");
    refused("snapshot_workers: 2\n",
            "t.yaml:1:1: snapshot_workers: unknown key (did you mean capture.snapshot_workers?)");
    refused("zzz: 2\n", "t.yaml:1:1: zzz: unknown key (docs/CONFIG.md lists all)");
    refused("pipeline: a\npipeline: b\n", "t.yaml:2:1: pipeline: found twice, first in line 1");
    refused("capture: {}\napply: {}\ncapture: {}\n", "t.yaml:3:1: capture: found twice, first in line 1");
}

static void test_variables(void **state)
{
    setenv("CF_TEST_SET", "postgresql://u:geheim@h/d", 1);
    setenv("CF_TEST_NAME", "geheim-9", 1);
    unsetenv("CF_TEST_UNSET");
    struct config *cfg = load("source: { url: \"${CF_TEST_SET}\" }\npipeline: ${CF_TEST_UNSET:-shop}\n"
                              "compare: { report_dir: \"a$$b$c\" }\n");
    assert_string_equal(config_text(cfg, "source.url"), "postgresql://u:geheim@h/d");
    assert_string_equal(config_text(cfg, "pipeline"), "shop");
    assert_string_equal(config_text(cfg, "compare.report_dir"), "a$b$c");
    config_free(cfg);
    refused("pipeline: ${CF_TEST_UNSET}\n",
            "t.yaml:1:11: pipeline: environment variable CF_TEST_UNSET is not set "
            "(set it, or write ${CF_TEST_UNSET:-default})");
    refused("pipeline: ${CF_TEST\n",
            "t.yaml:1:11: pipeline: found \"${\" without \"}\", expected ${VAR} (a plain dollar sign is $$)");
    refused("pipeline: \"${A B}\"\n",
            "t.yaml:1:11: pipeline: found \"${A B}\", expected ${VAR} or ${VAR:-default}");
    /* What a variable holds is never shown. */
    refused("pipeline: ${CF_TEST_NAME}\n",
            "t.yaml:1:11: pipeline: found \"${CF_TEST_NAME}\", expected text that "
            "matches ^[a-z][a-z0-9_]{0,30}$");
}

static void test_secrets_masked(void **state)
{
    refused("source: { url: \"mysql://u:geheim@h/d\" }\n",
            "t.yaml:1:16: source.url: found \"mysql://u:***@h/d\", expected a URL that begins with one of "
            "postgresql://, postgres://, mariadb:// (a password's @ is written %40)");
    refused(
        "source: { url: \"postgresql://u:ge@heim@h/d\" }\n",
        "t.yaml:1:16: source.url: found \"postgresql://u:***@h/d\", expected a URL that begins with one of "
        "postgresql://, postgres://, mariadb:// (a password's @ is written %40)");
    struct config *cfg = load("source: { url: \"postgresql://u:geheim@h/d\" }\n"
                              "journal: { kafka: { sasl.password: geheim, acks: all } }\n");
    struct strbuf out = STRBUF_INIT(100000);
    config_dump(cfg, &out);
    assert_null(strstr(out.data, "geheim"));
    assert_non_null(strstr(out.data, "postgresql://u:***@h/d"));
    assert_non_null(strstr(out.data, "sasl.password=***"));
    assert_string_equal(config_list(cfg, "journal.kafka", NULL)[0], "sasl.password=geheim");
    strbuf_release(&out);
    config_free(cfg);
}

static void test_flags(void **state)
{
    const char *flags[] = {"pipeline=b",
                           "source.tables=a.b,\"x,y\".c",
                           "source.tables=!d.*",
                           "journal.kafka.acks=all",
                           "journal.kafka=linger.ms=5,x=y",
                           "journal.keep=forever"};
    const char *text = "pipeline: a\nsource: { tables: [z.z] }\n";
    struct config *cfg = NULL;
    struct err err = ERR_INIT;
    assert_true(config_load_text("t", text, strlen(text), flags, 6, NULL, &cfg, &err));
    assert_string_equal(config_text(cfg, "pipeline"), "b");
    size_t count;
    const char *const *tables = config_list(cfg, "source.tables", &count);
    assert_int_equal(count, 3);
    assert_string_equal(tables[0], "a.b");
    assert_string_equal(tables[1], "\"x,y\".c");
    assert_string_equal(tables[2], "!d.*");
    const char *const *kafka = config_list(cfg, "journal.kafka", &count);
    assert_int_equal(count, 3);
    assert_string_equal(kafka[0], "acks=all");
    assert_int_equal(config_int(cfg, "journal.keep"), -1);
    config_free(cfg);
    refused_flag("pipeline=9", "--pipeline: found \"9\", expected text that matches ^[a-z][a-z0-9_]{0,30}$");
    refused_flag("pipelines=x", "--pipelines: unknown key (did you mean pipeline?)");
    refused_flag("journal.kafka=x", "--journal.kafka: found \"x\", expected name: value pairs");
}

static void test_several_problems(void **state)
{
    struct config *cfg = NULL;
    struct err err = ERR_INIT;
    struct strbuf problems = STRBUF_INIT(10000);
    const char *text = "a: 1\nb: 1\nc: 1\nd: 1\ne: 1\nf: 1\ng: 1\nh: 1\ni: 1\nj: 1\nk: 1\nl: 1\n";
    assert_false(config_load_text("t.yaml", text, strlen(text), NULL, 0, &problems, &cfg, &err));
    int lines = 0;
    for (const char *p = problems.data; *p != '\0'; p++)
        lines += *p == '\n';
    assert_int_equal(lines, 11);
    assert_non_null(strstr(problems.data, "t.yaml: and 2 more\n"));
    assert_string_equal(err.text, "t.yaml:1:1: a: unknown key (docs/CONFIG.md lists all)");
    strbuf_release(&problems);
}

static void test_not_yaml(void **state)
{
    struct config *cfg = NULL;
    const char *bad[] = {"a: [1, 2\n", "a: b: c\n",    "\t- x",   "a: 'x\n",
                         "{",          "\xff\xfe\xfd", "a: *b\n", "? [x]\n: y\n"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err err = ERR_INIT;
        assert_false(config_load_text("t.yaml", bad[i], strlen(bad[i]), NULL, 0, NULL, &cfg, &err));
        assert_int_equal(err.code, ERR_CONFIG);
        assert_int_equal(strncmp(err.text, "t.yaml:", 7), 0);
    }
}

/* Any bytes, and any damage to a good file, are refused or accepted: never a crash, a leak or an error
 * without text. */
static void test_damaged(void **state)
{
    static const char good[] =
        "pipeline: shop\nsource: { url: \"postgresql://h/d\", tables: [\"a.*\", '!b.c'] }\n"
        "journal:\n  kafka: { a.b: c }\n  keep: ${X:-24h}\ncapture:\n  max_memory: 64MiB\n";
    unsigned seed = 4711;
    for (int round = 0; round < 3000; round++) {
        char text[sizeof good];
        memcpy(text, good, sizeof good);
        size_t len = sizeof good - 1;
        for (int k = rand_r(&seed) % 4; k >= 0; k--)
            text[(size_t)rand_r(&seed) % len] =
                (char)(rand_r(&seed) % 3 ? "{}[]:,'\"\n #&*!|>-?$~"[rand_r(&seed) % 21] : rand_r(&seed));
        len -= (size_t)rand_r(&seed) % 40;
        struct config *cfg = NULL;
        struct err err = ERR_INIT;
        if (config_load_text("t.yaml", text, len, NULL, 0, NULL, &cfg, &err)) {
            config_free(cfg);
        } else {
            assert_int_equal(err.code, ERR_CONFIG);
            assert_true(strlen(err.text) > 0);
        }
    }
}

static void test_require(void **state)
{
    struct config *cfg = load("pipeline: shop\njournal: { url: 'lmdb:/x' }\n");
    struct err err = ERR_INIT;
    assert_true(config_require(cfg, &err, "pipeline", "journal.url", NULL));
    assert_false(config_require(cfg, &err, "pipeline", "source.url", NULL));
    assert_int_equal(err.code, ERR_CONFIG);
    assert_non_null(strstr(err.text, "t.yaml: source.url: is not set"));
    err_clear(&err);
    assert_true(config_require_for(cfg, "journal", &err));
    assert_false(config_require_for(cfg, "apply", &err));
    assert_non_null(strstr(err.text, "target.url"));
    config_free(cfg);
}

static void test_table_is_sound(void **state)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option *opt = &option_table[i];
        assert_non_null(opt->help);
        assert_non_null(opt->used_by);
        assert_int_equal(option_find(opt->key), (int)i);
        struct option_value value = {0};
        if (opt->def != NULL && !option_value_parse(opt, opt->def, &value))
            fail_msg("default of %s", opt->key);
        if (opt->def_key != NULL)
            assert_true(option_find(opt->def_key) < (int)i);
        option_value_release(&value);
        assert_false(opt->type == OPT_DURATION && opt->unit == UNIT_NONE);
    }
}

static void test_reference_lists_all(void **state)
{
    struct strbuf out = STRBUF_INIT(1 << 20), man = STRBUF_INIT(1 << 20);
    config_reference_markdown(&out);
    config_reference_man(&man);
    for (size_t i = 0; i < option_count; i++)
        assert_non_null(strstr(out.data, option_table[i].key));
    assert_false(out.failed || man.failed);
    strbuf_release(&out);
    strbuf_release(&man);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_issue_example),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_unknown_and_twice),
        cmocka_unit_test(test_variables),
        cmocka_unit_test(test_secrets_masked),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_several_problems),
        cmocka_unit_test(test_not_yaml),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_require),
        cmocka_unit_test(test_table_is_sound),
        cmocka_unit_test(test_reference_lists_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
