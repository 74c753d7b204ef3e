/* config_reversed(): what is turned, what is kept, what is refused; and that turning twice gives what was there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"
#include "core/attr.h"

#define TO_MARIADB "source: {url: \"postgresql://a@one/s\"}\ntarget: {url: \"mariadb://a:postgres@b/c\""
#define BOTH       "source: {url: \"postgresql://a@one/shop\"}\ntarget: {url: \"postgresql://b@two/shop\"}\n"

static struct config *load(const char *text)
{
    struct config *cfg = NULL;
    struct err err = ERR_INIT;
    if (!config_load_text("test", text, strlen(text), NULL, 0, NULL, &cfg, &err))
        fail_msg("%s", err.text);
    return cfg;
}

static void what_is_turned(void **state)
{
    struct config *cfg =
        load("pipeline: shop\n" BOTH "journal: {url: \"lmdb:/var/j\", format: json}\n"
             "apply: {writers: 3, schedule: \"22:00-06:00 UTC\"}\n"
             "cutover: {on_switch: [there], approval: [ticket, confirm], postpone_file: /p, clean_for: 1h}\n"
             "reverse: {on_switch: [back], capture_listen: \"127.0.0.1:1\"}\n");
    struct config *turned = NULL, *again = NULL;
    struct err err = ERR_INIT;
    size_t count;
    assert_true(config_reversed(cfg, &turned, &err));
    assert_true(config_is_reversed(turned) && !config_is_reversed(cfg));
    assert_string_equal(config_text(turned, "pipeline"), "shop_reverse");
    assert_string_equal(config_text(turned, "journal.topic_prefix"), "shop_reverse");
    assert_string_equal(config_text(turned, "source.url"), "postgresql://b@two/shop");
    assert_string_equal(config_text(turned, "target.url"), "postgresql://a@one/shop");
    assert_string_equal(config_text(turned, "journal.url"), "lmdb:/var/j-reverse");
    assert_string_equal(config_text(turned, "journal.format"), "json");
    assert_string_equal(config_text(turned, "capture.listen"), "127.0.0.1:1");
    assert_string_equal(config_text(turned, "apply.listen"), "127.0.0.1:7312");
    assert_string_equal(config_text(turned, "capture.snapshot"), "never");
    assert_string_equal(config_text(turned, "capture.origin"), "not_crossfade");
    assert_int_equal(config_int(turned, "apply.writers"), 3);
    assert_null(config_text(turned, "apply.schedule"));
    assert_null(config_text(turned, "cutover.postpone_file"));
    assert_int_equal(config_int(turned, "cutover.clean_for"), 0);
    assert_int_equal(config_int(turned, "cutover.verdict_max_age_s"), 72 * 3600);
    assert_string_equal(config_list(turned, "cutover.on_switch", &count)[0], "back");
    assert_string_equal(config_list(turned, "cutover.approval", &count)[0], "confirm");
    assert_int_equal(count, 1);
    assert_true(config_reversed(turned, &again, &err));
    assert_string_equal(config_text(again, "pipeline"), "shop");
    assert_string_equal(config_text(again, "journal.url"), "lmdb:/var/j");
    assert_false(config_is_reversed(again));
    config_free(again);
    config_free(turned);
    config_free(cfg);
}

static void names_and_journals(void **state)
{
    static const struct {
        const char *text, *pipeline, *prefix, *journal;
    } cases[] = {
        {"pipeline: shop\n" BOTH "journal: {url: \"kafka://k:9092\", topic_prefix: mine}\n", "shop_reverse",
         "mine_reverse", "kafka://k:9092"},
        {"pipeline: shop\n" BOTH
         "journal: {url: \"lmdb:/j\"}\nreverse: {pipeline: back, journal: \"kafka://k:1\"}\n",
         "back", "back", "kafka://k:1"},
        {"pipeline: a23456789012345678901234567890\n" BOTH "reverse: {pipeline: short}\n", "short", "short",
         NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct config *cfg = load(cases[i].text), *turned = NULL;
        struct err err = ERR_INIT;
        if (!config_reversed(cfg, &turned, &err))
            fail_msg("%zu: %s", i, err.text);
        assert_string_equal(config_text(turned, "pipeline"), cases[i].pipeline);
        assert_string_equal(config_text(turned, "journal.topic_prefix"), cases[i].prefix);
        if (cases[i].journal != NULL)
            assert_string_equal(config_text(turned, "journal.url"), cases[i].journal);
        config_free(turned);
        config_free(cfg);
    }
}

static void what_leads_to_mariadb(void **state)
{
    struct config *cfg =
                      load("pipeline: shop\n" TO_MARIADB "}\n"
                           "journal: {url: \"lmdb:/j\", transaction_topic: true, heartbeat_topic: true}\n"),
                  *turned = NULL;
    struct err err = ERR_INIT;
    assert_true(config_reversed(cfg, &turned, &err));
    assert_string_equal(config_text(turned, "source.url"), "mariadb://a:postgres@b/c");
    assert_string_equal(config_text(turned, "target.url"), "postgresql://a@one/s");
    assert_string_equal(config_text(turned, "capture.snapshot"), "never");
    assert_string_equal(config_text(turned, "capture.origin"), "not_crossfade");
    assert_false(config_bool(turned, "journal.transaction_topic") ||
                 config_bool(turned, "journal.heartbeat_topic"));
    assert_true(config_comes_from_mariadb(turned) && !config_comes_from_mariadb(cfg));
    config_free(turned);
    config_free(cfg);
}

static void what_cannot_be_turned(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"pipeline: shop\nsource: {url: \"postgresql://a@one/shop\"}\n", "target.url"},
        {BOTH, "pipeline is not set"},
        {"pipeline: shop\nsource: {url: \"postgresql://a@one/s\"}\ntarget: {url: "
         "\"fault:begin:1:fail:mariadb://a@b/c\"}\n",
         "neither PostgreSQL nor MariaDB"},
        {"pipeline: shop\n" TO_MARIADB ", unfit: nearest}\n", "target.unfit:"},
        {"pipeline: shop\n" TO_MARIADB ", unfit_columns: {public.t.c: \"null\"}}\n", "target.unfit_columns:"},
        {"pipeline: a23456789012345678901234567890\n" BOTH, "reverse.pipeline"},
        {"pipeline: shop\n" BOTH "reverse: {pipeline: shop}\n", "reverse.pipeline"},
        {"pipeline: shop\nsource: {url: \"postgresql://a@one/s\", filters: [{table: public.t, columns: "
         "[\"!v\"]}]}\ntarget: {url: \"postgresql://b@two/s\"}\n",
         "source.filters"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct config *cfg = load(cases[i].text), *turned = NULL;
        struct err err = ERR_INIT;
        if (config_reversed(cfg, &turned, &err))
            fail_msg("%zu is turned", i);
        assert_int_equal(err.code, ERR_CONFIG);
        if (strstr(err.text, cases[i].says) == NULL)
            fail_msg("%zu: %s", i, err.text);
        config_free(cfg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_turned),
        cmocka_unit_test(names_and_journals),
        cmocka_unit_test(what_leads_to_mariadb),
        cmocka_unit_test(what_cannot_be_turned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
