/* What stands in front of a role's commands, without sockets: hosts, tokens, pace; and when a condition is told of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/alert_state.h"
#include "control/http_guard.h"
#include "core/alert_events.h"

#define TOKEN_A "0123456789abcdef0123456789abcdef"
#define TOKEN_B "fedcba9876543210fedcba9876543210"

static void test_hosts(void **state)
{
    (void)state;
    static const char *const ours[] = {"localhost", "LocalHost:7301", "127.0.0.1",      "127.9.9.9:1",
                                       "[::1]:80",  "[::1]",          "db.example:7301"};
    static const char *const others[] = {
        "",         "rebound.example", "127.0.0.1.rebound.example", "[::2]", "[::1",
        "10.0.0.1", "localhost.evil",  "db.example.evil",           "0",     "2130706433"};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        assert_true(http_host_is_ours("db.example", ours[i]));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(http_host_is_ours("db.example", others[i]));
    assert_false(http_host_is_ours("db.example", NULL));
    char longest[400];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_false(http_host_is_ours("db.example", longest));
    assert_true(http_host_is_loopback("::1") && !http_host_is_loopback("0.0.0.0") &&
                !http_host_is_loopback("::"));
}

static bool read_tokens(const char *text, mode_t mode, struct http_tokens **ret, struct err *err)
{
    char path[] = "/tmp/control-guard-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fchmod(fd, mode) == 0);
    close(fd);
    bool ok = http_tokens_read(path, ret, err);
    unlink(path);
    return ok;
}

static void test_tokens(void **state)
{
    (void)state;
    struct http_tokens *tokens = NULL;
    struct err err = ERR_INIT;
    assert_true(read_tokens("# ours\n\nops " TOKEN_A "\r\n  " TOKEN_B "  \n", 0600, &tokens, &err));
    assert_string_equal(http_tokens_find(tokens, TOKEN_A), "ops");
    assert_string_equal(http_tokens_find(tokens, TOKEN_B), "default");
    assert_null(http_tokens_find(tokens, ""));
    assert_null(http_tokens_find(tokens, "0123456789abcdef0123456789abcde"));
    assert_null(http_tokens_find(tokens, TOKEN_A "0"));
    http_tokens_free(tokens);
    static const char *const bad[] = {"",
                                      "# only\n",
                                      "short\n",
                                      "a b c\n",
                                      "n\xc3\xa4me " TOKEN_A "\n",
                                      "ops 0123456789abcde\x01"
                                      "f\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(read_tokens(bad[i], 0600, &tokens, &err));
        assert_int_equal(err.code, ERR_CONFIG);
        assert_null(strstr(err.text, TOKEN_A)); /* no secret in a message */
        err_clear(&err);
    }
    assert_false(read_tokens(TOKEN_A "\n", 0644, &tokens, &err));
    assert_non_null(strstr(err.text, "chmod"));
    err_clear(&err);
    assert_true(read_tokens(TOKEN_A "\n", 0440, &tokens, &err)); /* as orchestrators mount secrets */
    http_tokens_free(tokens);
    assert_false(http_tokens_read("/nowhere/at/all", &tokens, &err));
}

static void address(unsigned n, unsigned char ret[16])
{
    memset(ret, 0, 16);
    ret[10] = ret[11] = 0xff;
    memcpy(ret + 12, &n, 4);
}

static void test_pace(void **state)
{
    (void)state;
    struct http_pace pace = {.per_s = 2, .burst = 3};
    unsigned char a[16], b[16];
    address(1, a);
    for (int i = 0; i < 3; i++)
        assert_true(http_pace_take(&pace, a, 1000000));
    assert_false(http_pace_take(&pace, a, 1000000));
    assert_true(http_pace_take(&pace, a, 1500000));
    assert_false(http_pace_take(&pace, a, 1500000));
    for (unsigned n = 2; n < 1000; n++) { /* many more than it remembers: each of them is asked for itself */
        address(n, b);
        assert_true(http_pace_take(&pace, b, 2000000 + n));
    }
    unsigned char six[16] = {0x20, 1}, same_net[16] = {0x20, 1};
    same_net[15] = 9;
    for (int i = 0; i < 3; i++)
        assert_true(http_pace_take(&pace, six, 3000000));
    assert_false(http_pace_take(&pace, same_net, 3000000));
}

/* A value that goes to and fro for an hour, each time shorter than it takes, is told of never, or once. */
static void test_flapping(void **state)
{
    (void)state;
    struct alert_state st = {0};
    unsigned turns = 0, told = 0;
    int64_t now_us = 1;
    for (int i = 0; i < 3600; i++, now_us += 1000000)
        told += alert_state_step(&st, i % 2 == 0, now_us, 30000000, 60000000, &turns);
    assert_int_equal(told, 0);
    for (int i = 0; i < 31; i++, now_us += 1000000)
        told += alert_state_step(&st, true, now_us, 30000000, 60000000, &turns);
    assert_int_equal(told, 1);
    assert_true(st.told);
    for (int i = 0; i < 3600; i++, now_us += 1000000)
        told += alert_state_step(&st, i % 20 == 0, now_us, 30000000, 60000000, &turns);
    assert_int_equal(told, 1);
    for (int i = 0; i < 62; i++, now_us += 1000000)
        told += alert_state_step(&st, false, now_us, 30000000, 60000000, &turns);
    assert_int_equal(told, 2);
    assert_false(st.told);
    assert_int_equal(turns, 179); /* it says what it kept to itself */
    assert_true(alert_state_step(&st, true, now_us, 0, 60000000, &turns)); /* at once */
}

static void test_event_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < alert_event_count; i++) {
        const struct alert_event *e = &alert_event_table[i];
        assert_ptr_equal(alert_event_find(e->name), e); /* no name twice */
        assert_true(strcmp(e->severity, "critical") == 0 || strcmp(e->severity, "warning") == 0 ||
                    strcmp(e->severity, "info") == 0);
        assert_true(strlen(e->help) > 10 && strlen(e->group) > 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts),    cmocka_unit_test(test_tokens),      cmocka_unit_test(test_pace),
        cmocka_unit_test(test_flapping), cmocka_unit_test(test_event_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
