/* config_pack() and config_unpack(): whatever is set comes to another process as it was, turned round or not; what is torn is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"
#include "core/attr.h"

static const char text[] =
    "pipeline: shop\nsource: {url: \"postgresql://a:p,1:@one/s\", tables: [\"public.a,b\", "
    "\"!public.\\\"c\\\"\"]}\n"
    "target: {url: \"postgresql://b@two/shop\"}\njournal: {url: \"lmdb:/var/j\", kafka: {acks: \"all\"}}\n"
    "cutover: {on_switch: [\"echo 1:2, ä\\nx\", \"\"], schema_ignore: [], pause_budget_ms: 7s, clean_for: "
    "1h}\n"
    "reverse: {on_switch: [back]}\n";

static struct config *load(void)
{
    const char *const overrides[] = {"cutover.step_timeout_ms=3s"};
    struct config *cfg = NULL;
    struct err err = ERR_INIT;
    if (!config_load_text("a file", text, strlen(text), overrides, 1, NULL, &cfg, &err))
        fail_msg("%s", err.text);
    return cfg;
}

static struct config *sent(const struct config *cfg)
{
    struct strbuf packed = STRBUF_INIT(1 << 20);
    struct config *ret = NULL;
    struct err err = ERR_INIT;
    config_pack(cfg, &packed);
    assert_int_equal(strlen(packed.data), packed.len);
    if (!config_unpack(packed.data, packed.len, &ret, &err))
        fail_msg("%s", err.text);
    strbuf_release(&packed);
    return ret;
}

static void assert_same(const struct config *a, const struct config *b)
{
    struct strbuf one = STRBUF_INIT(1 << 20), other = STRBUF_INIT(1 << 20);
    config_section(a, "", &one);
    config_section(b, "", &other);
    assert_true(one.len > 1000);
    assert_string_equal(one.data, other.data);
    strbuf_release(&one);
    strbuf_release(&other);
    assert_string_equal(config_file(a), config_file(b));
    assert_string_equal(config_text(a, "source.url"), config_text(b, "source.url"));
}

static void comes_as_it_was(void **state)
{
    struct config *cfg = load(), *copy = sent(cfg);
    size_t count = 0;
    assert_same(cfg, copy);
    assert_int_equal(config_int(copy, "cutover.pause_budget_ms"), 7000);
    assert_int_equal(config_int(copy, "cutover.step_timeout_ms"), 3000);
    const char *const *hooks = config_list(copy, "cutover.on_switch", &count);
    assert_int_equal(count, 2);
    assert_string_equal(hooks[0], "echo 1:2, ä\nx");
    assert_string_equal(config_list(copy, "journal.kafka", NULL)[0], "acks=all");
    assert_false(config_is_reversed(copy));
    config_free(copy);
    config_free(cfg);
}

static void turned_round_it_can_be_turned_back(void **state)
{
    struct config *cfg = load(), *turned = NULL, *again = NULL;
    struct err err = ERR_INIT;
    assert_true(config_reversed(cfg, &turned, &err));
    struct config *copy = sent(turned);
    assert_true(config_is_reversed(copy));
    assert_same(turned, copy);
    assert_true(config_reversed(copy, &again, &err));
    assert_same(cfg, again);
    config_free(again);
    config_free(copy);
    config_free(turned);
    config_free(cfg);
}

static void what_is_torn_is_refused(void **state)
{
    struct strbuf packed = STRBUF_INIT(1 << 20);
    struct config *cfg = load(), *ret = NULL;
    size_t taken = 0;
    config_pack(cfg, &packed);
    for (size_t len = 0; len < packed.len; len++) {
        struct err err = ERR_INIT;
        char *piece = test_malloc(len + 1); /* its end is the end of what may be read */
        memcpy(piece, packed.data, len);
        piece[len] = '\0';
        if (config_unpack(piece, len, &ret, &err)) { /* between two options */
            taken++;
            config_free(ret);
        } else {
            assert_int_equal(err.code, ERR_DATA);
        }
        test_free(piece);
    }
    assert_true(taken < packed.len / 20);
    struct err err = ERR_INIT;
    assert_false(config_unpack("5:plain,1:f,4:none,1:1,1:x,", 27, &ret, &err));
    assert_false(config_unpack("99999999999999999999:plain,", 27, &ret, &err));
    assert_false(config_unpack("5:other,0:,", 11, &ret, &err));
    strbuf_release(&packed);
    config_free(cfg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_as_it_was),
        cmocka_unit_test(turned_round_it_can_be_turned_back),
        cmocka_unit_test(what_is_torn_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
