/* cutover.approvers and cutover.approval: what reads, and what does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "config/approvers.h"

#define ANNA                                                                                                 \
    "{name: anna, key: MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=, users: [anna, dba]}"
#define BO "{name: bo, key: MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=}"

static struct config *load(const char *text)
{
    struct config *cfg = NULL;
    struct err err = ERR_INIT;
    if (!config_load_text("test", text, strlen(text), NULL, 0, NULL, &cfg, &err))
        fail_msg("%s", err.text);
    return cfg;
}

static void reads(void **state)
{
    struct config *cfg = load("cutover: {approval: [ticket, second_person], approvers: [" ANNA ", " BO "]}");
    struct approver *all = NULL;
    size_t count = 0;
    struct err err = ERR_INIT;
    assert_true(approvers_read(cfg, &all, &count, &err));
    assert_int_equal(count, 2);
    assert_string_equal(all[0].name, "anna");
    assert_int_equal(all[0].user_count, 2);
    assert_string_equal(all[0].users[1], "dba");
    assert_int_equal(all[1].user_count, 0);
    assert_true(approval_is_on(cfg));
    assert_true(approval_is_wanted(cfg, APPROVAL_TICKET) && approval_is_wanted(cfg, APPROVAL_SECOND_PERSON));
    assert_false(approval_is_wanted(cfg, APPROVAL_BACKUP) || approval_is_wanted(cfg, APPROVAL_CONFIRM));
    approvers_free(all, count);
    config_free(cfg);
}

static void none(void **state)
{
    struct config *cfg = load("pipeline: shop");
    struct approver *all = NULL;
    size_t count = 1;
    struct err err = ERR_INIT;
    assert_false(approval_is_on(cfg));
    assert_true(approvers_read(cfg, &all, &count, &err));
    assert_int_equal(count, 0);
    approvers_free(all, count);
    config_free(cfg);
}

static void refused(const char *text, const char *why)
{
    struct config *cfg = NULL;
    struct err err = ERR_INIT;
    bool ok = config_load_text("test", text, strlen(text), NULL, 0, NULL, &cfg, &err);
    struct approver *all = NULL;
    size_t count = 0;
    ok = ok && approvers_read(cfg, &all, &count, &err);
    assert_false(ok);
    if (strstr(err.text, why) == NULL)
        fail_msg("%s: not in: %s", why, err.text);
    config_free(cfg);
}

static void refuses(void **state)
{
    refused("cutover: {approval: [tickets]}", "second_person");
    refused("cutover: {approvers: [{key: x}]}", "name");
    refused("cutover: {approvers: [{name: x}]}", "key");
    refused("cutover: {approvers: [{name: x, key: abcd}]}", "Ed25519");
    refused("cutover: {approvers: [{name: x, key: abcd, user: [a]}]}", "user");
    refused("cutover: {approvers: [" ANNA ", " ANNA "]}", "twice");
    refused("cutover: {approvers: [{name: other, key: "
            "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=}, " ANNA "]}",
            "same key");
}

/* The text that a plan's hash is made of: passwords do not count, all else does. */
static void section(void **state)
{
    struct strbuf one = STRBUF_INIT(65536), two = STRBUF_INIT(65536), three = STRBUF_INIT(65536);
    struct config *a = load("target: {url: \"postgresql://u:first@h/d\"}\ncutover: {max_lag_ms: 5s}");
    struct config *b = load("target: {url: \"postgresql://u:second@h/d\"}\ncutover: {max_lag_ms: 5s}");
    struct config *c = load("target: {url: \"postgresql://u:first@h/e\"}\ncutover: {max_lag_ms: 5s}");
    config_section(a, "target.", &one);
    config_section(b, "target.", &two);
    config_section(c, "target.", &three);
    assert_string_equal(one.data, two.data);
    assert_string_not_equal(one.data, three.data);
    assert_null(strstr(one.data, "first"));
    strbuf_clear(&one);
    config_section(a, "cutover.", &one);
    assert_non_null(strstr(one.data, "cutover.max_lag_ms = 5s\n"));
    assert_null(strstr(one.data, "target"));
    config_free(a);
    config_free(b);
    config_free(c);
    strbuf_release(&one);
    strbuf_release(&two);
    strbuf_release(&three);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads), cmocka_unit_test(none),
                                       cmocka_unit_test(refuses), cmocka_unit_test(section)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
