/* config/trigger_rules: what cutover.triggers may say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "config/config.h"
#include "config/trigger_rules.h"

static struct config *load(const char *text)
{
    struct config *cfg = NULL;
    struct err err = ERR_INIT;
    if (!config_load_text("test.yaml", text, strlen(text), NULL, 0, NULL, &cfg, &err))
        fail_msg("%s", err.text);
    return cfg;
}

static void defaults_raise_alerts_alone(void **test)
{
    (void)test;
    struct config *cfg = load("pipeline: shop\n");
    for (int k = 0; k < TRIGGER_KINDS; k++) {
        struct trigger_rule rules[TRIGGER_LEVELS_MAX];
        struct err err = ERR_INIT;
        size_t count = 0;
        assert_true(trigger_rules_from_config(cfg, (enum trigger_kind)k, rules, &count, &err));
        assert_true(count >= 1);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(rules[i].action, TRIGGER_ALERT);
            assert_true(rules[i].clear_below <= rules[i].above);
            assert_true(rules[i].readings >= 1);
        }
    }
    config_free(cfg);
}

static void one_level_or_a_list_or_none(void **test)
{
    (void)test;
    struct config *cfg =
        load("cutover:\n  triggers:\n"
             "    lag: {above: 30s, for: 2m, readings: 4, clear_below: 500ms, action: pause}\n"
             "    latency_p95: [{above: +25%}, {above: 1.5, action: pause}, {above: 2x, "
             "clear_below: 1.2, action: rollback}]\n"
             "    disk: []\n");
    struct trigger_rule r[TRIGGER_LEVELS_MAX];
    struct err err = ERR_INIT;
    size_t count = 0;
    assert_true(trigger_rules_from_config(cfg, TRIGGER_LAG, r, &count, &err));
    assert_int_equal(count, 1);
    assert_float_equal(r[0].above, 30, 0);
    assert_float_equal(r[0].clear_below, 0.5, 1e-9);
    assert_int_equal(r[0].for_us, INT64_C(120000000));
    assert_int_equal(r[0].readings, 4);
    assert_int_equal(r[0].action, TRIGGER_PAUSE);
    assert_true(trigger_rules_from_config(cfg, TRIGGER_LATENCY_P95, r, &count, &err));
    assert_int_equal(count, 3);
    assert_float_equal(r[0].above, 1.25, 1e-9);
    assert_float_equal(r[0].clear_below, 1.25, 1e-9);
    assert_int_equal(r[0].action, TRIGGER_ALERT);
    assert_float_equal(r[2].above, 2, 0);
    assert_int_equal(r[2].action, TRIGGER_ROLLBACK);
    assert_true(trigger_rules_from_config(cfg, TRIGGER_DISK, r, &count, &err));
    assert_int_equal(count, 0);
    config_free(cfg);
}

static void what_does_not_read_is_refused(void **test)
{
    static const struct {
        const char *text, *said;
    } cases[] = {
        {"lag: {above: 30 bananas}", "above"},
        {"lag: {for: 30s}", "above"},
        {"lag: {above: 30s, clear_below: 40s}", "clear_below"},
        {"lag: {above: 30s, action: explode}", "action"},
        {"lag: {above: 30s, above_all: 1}", "above_all"},
        {"lag: {above: -1}", "above"},
        {"lag: {above: nan}", "above"},
        {"lag: {above: 1, readings: 0}", "readings"},
        {"disk: {above: 101%}", "above"},
        {"failed_batches: {above: 1.5}", "above"},
        {"latency_p95: {above: 25%}", "above"},
        {"latency_p95: 2", "latency_p95"},
        {"lagg: {above: 30s}", "lagg"},
    };
    (void)test;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct config *cfg = NULL;
        struct err err = ERR_INIT;
        struct strbuf text = STRBUF_INIT(1000);
        strbuf_addf(&text, "cutover: {triggers: {%s}}\n", cases[i].text);
        assert_false(config_load_text("test.yaml", text.data, text.len, NULL, 0, NULL, &cfg, &err));
        print_message("%s\n", err.text);
        assert_int_equal(err.code, ERR_CONFIG);
        assert_non_null(strstr(err.text, cases[i].said));
        strbuf_release(&text);
    }
}

static void windows_are_one_or_a_list(void **test)
{
    (void)test;
    struct config *cfg = load("cutover:\n  auto_cutover_on: {clean_for: 7d, maintenance_window: \"Sun "
                              "02:00-04:00 Europe/Berlin\"}\n");
    size_t count = 0;
    const char *const *texts = config_list(cfg, "cutover.auto_cutover_on.maintenance_window", &count);
    assert_int_equal(count, 1);
    assert_string_equal(texts[0], "Sun 02:00-04:00 Europe/Berlin");
    assert_int_equal(config_int(cfg, "cutover.auto_cutover_on.clean_for"), 7 * 86400);
    config_free(cfg);
    cfg = load("cutover:\n  auto_cutover_on: {maintenance_window: [\"01:00-02:00 UTC\", \"Sat 03:00-04:00 "
               "UTC\"]}\n");
    (void)config_list(cfg, "cutover.auto_cutover_on.maintenance_window", &count);
    assert_int_equal(count, 2);
    config_free(cfg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_raise_alerts_alone),
        cmocka_unit_test(one_level_or_a_list_or_none),
        cmocka_unit_test(what_does_not_read_is_refused),
        cmocka_unit_test(windows_are_one_or_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
