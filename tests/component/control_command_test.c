/* Commands over HTTP against raw sockets: who may, from where, in which form; slow, large, broken and many requests; what the desk is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/desk.h"
#include "control/http.h"
#include "core/clock.h"

#define TOKEN  "0123456789abcdef0123456789abcdef"
#define OTHER  "fedcba9876543210fedcba9876543210"
#define BEARER "Authorization: Bearer " TOKEN "\r\n"
#define JSON   "Content-Type: application/json\r\n"

struct rig {
    struct status_board *board;
    struct http_server *server;
    char tokens[40], address[40];
    pthread_mutex_t lock; /* guards what follows */
    int notes, reloads;
    bool note_fails;
    char who[DESK_WHO_MAX], from[DESK_FROM_MAX], reason[DESK_REASON_MAX];
};

static bool on_note(void *ctx, const struct desk_order *order, struct err *err)
{
    struct rig *rig = ctx;
    pthread_mutex_lock(&rig->lock);
    rig->notes++;
    snprintf(rig->who, sizeof rig->who, "%s", order->who);
    snprintf(rig->from, sizeof rig->from, "%s", order->from);
    snprintf(rig->reason, sizeof rig->reason, "%s", order->reason);
    bool fails = rig->note_fails;
    pthread_mutex_unlock(&rig->lock);
    return !fails || err_set(err, ERR_CONNECT, "the target is away");
}

static bool on_reload(void *ctx, const struct desk_order *order, struct strbuf *said, struct err *err)
{
    struct rig *rig = ctx;
    (void)order;
    strbuf_adds(said, "taken up");
    return ++rig->reloads < 2 ||
           err_set(err, ERR_REFUSED, "nothing is changed: capture.streaming needs a restart");
}

static void write_tokens(const struct rig *rig, const char *text)
{
    FILE *file = fopen(rig->tokens, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(rig->tokens, 0600), 0);
}

static int start(void **state, bool tokens, bool auth_to_read)
{
    struct rig *rig = calloc(1, sizeof *rig);
    struct err err = ERR_INIT;
    pthread_mutex_init(&rig->lock, NULL);
    strcpy(rig->tokens, "/tmp/control-tokens-XXXXXX");
    close(mkstemp(rig->tokens));
    write_tokens(rig, "# of this test\nops " TOKEN "\n");
    rig->board = status_board_new();
    const struct http_settings settings = {.token_file = tokens ? rig->tokens : NULL,
                                           .read_needs_auth = auth_to_read,
                                           .request_within_us = 700000};
    const struct desk_hooks hooks = {.ctx = rig, .note = on_note, .reload = on_reload};
    if (!http_server_start("127.0.0.1:0", &settings, rig->board, &rig->server, &err))
        fail_msg("%s", err.text);
    desk_can(status_board_desk(rig->board),
             DESK_CAN(DESK_PAUSE) | DESK_CAN(DESK_RESUME) | DESK_CAN(DESK_THROTTLE));
    desk_open(status_board_desk(rig->board), &hooks);
    snprintf(rig->address, sizeof rig->address, "127.0.0.1:%d", http_server_port(rig->server));
    *state = rig;
    return 0;
}

static int set_up(void **state)
{
    return start(state, true, false);
}

static int set_up_read_only(void **state)
{
    return start(state, false, false);
}

static int set_up_closed(void **state)
{
    return start(state, true, true);
}

static int tear_down(void **state)
{
    struct rig *rig = *state;
    http_server_stop(rig->server);
    status_board_free(rig->board);
    unlink(rig->tokens);
    pthread_mutex_destroy(&rig->lock);
    free(rig);
    return 0;
}

static int connect_to(const struct rig *rig)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)http_server_port(rig->server))};
    inet_pton(AF_INET, "127.0.0.1", &addr.sin_addr);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    return fd;
}

static void send_all(int fd, const char *bytes, size_t len)
{
    for (size_t sent = 0; sent < len;) {
        ssize_t n = send(fd, bytes + sent, len - sent, MSG_NOSIGNAL);
        if (n <= 0)
            break; /* it has had enough of us */
        sent += (size_t)n;
    }
}

/* Sends and reads until the server closes; malloc'd. */
static char *talk(const struct rig *rig, const char *request, size_t len)
{
    int fd = connect_to(rig);
    char *answer = calloc(1, 65536);
    size_t got = 0;
    send_all(fd, request, len);
    for (ssize_t n; got < 65535 && (n = recv(fd, answer + got, 65535 - got, 0)) > 0;)
        got += (size_t)n;
    close(fd);
    return answer;
}

static int status_of(const char *answer)
{
    int status = 0;
    return sscanf(answer, "HTTP/1.1 %d", &status) == 1 ? status : 0;
}

/* POST of a command; headers end with \r\n each. *ret_text gets the whole answer if it is asked for. */
static int post(const struct rig *rig, const char *path, const char *headers, const char *body)
{
    char request[8192];
    int n = snprintf(
        request, sizeof request, "POST %s HTTP/1.1\r\nConnection: close\r\n%s%sContent-Length: %zu\r\n\r\n%s",
        path, strstr(headers, "Host:") != NULL ? "" : "Host: localhost\r\n", headers, strlen(body), body);
    char *answer = talk(rig, request, (size_t)n);
    int status = status_of(answer);
    free(answer);
    return status;
}

static bool paused(const struct rig *rig)
{
    return desk_is_paused(status_board_desk(rig->board));
}

static void test_commands(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(post(rig, "/control/pause", BEARER JSON, "{\"reason\": \"a \\\"test\\\"\"}"), 200);
    assert_true(paused(rig));
    assert_string_equal(rig->who, "token ops");
    assert_string_equal(rig->reason, "a \"test\"");
    assert_memory_equal(rig->from, "[127.0.0.1]:", strlen("[127.0.0.1]:"));
    assert_int_equal(
        post(rig, "/control/resume", BEARER "Content-Type: application/json; charset=utf-8\r\n", ""), 200);
    assert_false(paused(rig));
    assert_int_equal(post(rig, "/control/throttle", BEARER JSON, "{\"rows_per_second\": 250}"), 200);
    assert_int_equal(desk_rate(status_board_desk(rig->board), 7), 250);
    assert_int_equal(post(rig, "/control/throttle", BEARER JSON, "{\"rows_per_second\": null}"), 200);
    assert_int_equal(desk_rate(status_board_desk(rig->board), 7), 7);
    assert_int_equal(post(rig, "/control/drain", BEARER JSON, "{}"), 404); /* this role cannot */
    assert_int_equal(post(rig, "/control/nonsense", BEARER JSON, "{}"), 404);
    assert_int_equal(post(rig, "/control/reload", BEARER JSON, "{}"), 200);
    assert_int_equal(post(rig, "/control/reload", BEARER JSON, "{}"), 409); /* refused whole */
    rig->note_fails = true; /* what cannot be noted is not done */
    assert_int_equal(post(rig, "/control/pause", BEARER JSON, "{}"), 503);
    assert_false(paused(rig));
}

/* Not by GET, not from browsers, not under others' names, not in other forms; nothing of it reaches the desk. */
static void test_refused(void **state)
{
    struct rig *rig = *state;
    static const struct {
        int status;
        const char *headers, *body;
    } cases[] = {
        {401, JSON, "{}"},
        {401, "Authorization: Bearer " OTHER "\r\n" JSON, "{}"},
        {401, "Authorization: Basic b3BzOm9wcw==\r\n" JSON, "{}"},
        {401, "Authorization: Bearer \r\n" JSON, "{}"},
        {403, "Origin: http://127.0.0.1:1\r\n" BEARER JSON, "{}"},
        {403, "Origin: null\r\n" BEARER JSON, "{}"},
        {403, "Sec-Fetch-Site: same-origin\r\n" BEARER JSON, "{}"},
        {403, "Host: rebound.example\r\n" BEARER JSON, "{}"},
        {403, "Host: 127.0.0.1.rebound.example\r\n" BEARER JSON, "{}"},
        {415, BEARER, "{}"},
        {415, BEARER "Content-Type: text/plain\r\n", "{}"},
        {415, BEARER "Content-Type: application/x-www-form-urlencoded\r\n", "{}"},
        {415, BEARER "Content-Type: application/jsonp\r\n", "{}"},
        {400, BEARER JSON, "[]"},
        {400, BEARER JSON, "{\"reason\": 5}"},
        {400, BEARER JSON, "{\"reason\": \"a\", \"reason\": \"b\"}"},
        {400, BEARER JSON, "{\"force\": true}"},
        {400, BEARER JSON, "{\"rows_per_second\": 5}"},
        {400, BEARER JSON, "{"},
        {400, BEARER JSON, "{} {}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int status = post(rig, "/control/pause", cases[i].headers, cases[i].body);
        if (status == 429) { /* the pace is a matter of test_pace() */
            sleep(1);
            status = post(rig, "/control/pause", cases[i].headers, cases[i].body);
        }
        if (status != cases[i].status)
            fail_msg("case %zu: %d", i, status);
    }
    assert_int_equal(post(rig, "/control/throttle", BEARER JSON, "{}"), 400);
    assert_int_equal(post(rig, "/control/throttle", BEARER JSON, "{\"rows_per_second\": -2}"), 400);
    assert_int_equal(post(rig, "/pause", BEARER JSON, "{}"), 405);
    static const char *const methods[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "X"};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        char request[300];
        int n =
            snprintf(request, sizeof request,
                     "%s /control/pause HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" BEARER "\r\n",
                     methods[i]);
        char *answer = talk(rig, request, (size_t)n);
        assert_int_equal(status_of(answer), 405);
        free(answer);
    }
    assert_int_equal(rig->notes, 0);
    assert_false(paused(rig));
}

static void test_pace(void **state)
{
    struct rig *rig = *state;
    int wrong[600] = {0}, good[600] = {0};
    for (int i = 0; i < 20; i++)
        wrong[post(rig, "/control/pause", "Authorization: Bearer " OTHER "\r\n" JSON, "{}")]++;
    assert_true(wrong[429] > 0 && wrong[401] > 0 && wrong[401] + wrong[429] == 20);
    assert_int_equal(post(rig, "/control/pause", BEARER JSON, "{}"),
                     200); /* who has the token is not locked out by that */
    for (int i = 0; i < 60; i++)
        good[post(rig, "/control/pause", BEARER JSON, "{}")]++;
    assert_true(good[429] > 0 && good[200] > 0);
}

static void test_read_only(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(post(rig, "/control/pause", BEARER JSON, "{}"), 403);
    assert_int_equal(rig->notes, 0);
    char *body = NULL;
    int status = 0;
    struct err err = ERR_INIT;
    assert_true(http_get(NULL, rig->address, "/status", 5000, &body, &status, &err));
    assert_int_equal(status, 200);
    free(body);
}

static int get_status(const struct http_access *access, const struct rig *rig, const char *path)
{
    char *body = NULL;
    int status = 0;
    struct err err = ERR_INIT;
    if (!http_get(access, rig->address, path, 5000, &body, &status, &err))
        fail_msg("%s", err.text);
    free(body);
    return status;
}

/* control.read: authenticated; and tokens that are changed while it runs. */
static void test_closed(void **state)
{
    struct rig *rig = *state;
    const struct http_access access = {.token_file = rig->tokens, .reads_need_token = true};
    struct err err = ERR_INIT;
    assert_int_equal(get_status(NULL, rig, "/status"), 401);
    assert_int_equal(get_status(NULL, rig, "/metrics"), 401);
    assert_int_equal(get_status(NULL, rig, "/health"), 200); /* probes have no token */
    assert_int_equal(get_status(&access, rig, "/status"), 200);
    write_tokens(rig, "new " OTHER "\n");
    assert_int_equal(get_status(&access, rig, "/status"), 401);
    assert_true(http_server_reload(rig->server, &err));
    assert_int_equal(get_status(&access, rig, "/status"), 200);
    write_tokens(rig, "bad\n");
    assert_false(http_server_reload(rig->server, &err)); /* the old ones hold */
    write_tokens(rig, "new " OTHER "\n");
    assert_int_equal(get_status(&access, rig, "/status"), 200);
}

/* Who guesses at what takes a token to read is answered less and less often, as with commands; who has it is not locked out. */
static void test_closed_pace(void **state)
{
    struct rig *rig = *state;
    static const char guess[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                                "Authorization: Bearer " OTHER "\r\n\r\n";
    const struct http_access access = {.token_file = rig->tokens, .reads_need_token = true};
    int seen[600] = {0};
    for (int i = 0; i < 20; i++) {
        char *answer = talk(rig, guess, strlen(guess));
        seen[status_of(answer)]++;
        free(answer);
    }
    assert_true(seen[429] > 0 && seen[401] > 0 && seen[401] + seen[429] == 20);
    assert_int_equal(get_status(&access, rig, "/metrics"), 200);
}

static bool closed_within(int fd, int64_t us)
{
    char bytes[4096];
    int64_t until_us = clock_mono_us() + us;
    while (clock_mono_us() < until_us) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, 100) > 0 && recv(fd, bytes, sizeof bytes, 0) <= 0)
            return true;
    }
    return false;
}

/* One byte now and then, for ever: headers, and a body. The server has so many places, and gives them back. */
static void test_slow(void **state)
{
    struct rig *rig = *state;
    static const char *const begun[] = {"GET /status HTTP/1.1\r\nHost: localhost\r\nX: ",
                                        "POST /control/pause HTTP/1.1\r\nHost: localhost\r\n" BEARER JSON
                                        "Content-Length: 1000\r\n\r\n{"};
    int fds[40];
    for (size_t i = 0; i < 40; i++) { /* more than it takes at a time */
        fds[i] = connect_to(rig);
        send_all(fds[i], begun[i % 2], strlen(begun[i % 2]));
    }
    for (int turn = 0; turn < 8; turn++) {
        usleep(150000);
        for (size_t i = 0; i < 40; i++)
            (void)send(fds[i], "a", 1, MSG_NOSIGNAL);
    }
    for (size_t i = 0; i < 16; i++)
        assert_true(closed_within(fds[i], 20000000));
    for (size_t i = 0; i < 40; i++)
        close(fds[i]);
    for (int tries = 0; get_status(NULL, rig, "/health") != 200 && tries < 50; tries++)
        usleep(100000);
    assert_int_equal(post(rig, "/control/pause", BEARER JSON, "{}"), 200);
    assert_int_equal(rig->notes, 1);
}

/* What no client sends. It answers with an error or closes; it is there afterwards, and nothing was done. */
static void test_hostile(void **state)
{
    struct rig *rig = *state;
    static const char *const requests[] = {
        "\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "POST /control/pause\r\n\r\n",
        "POST /control/pause HTTP/9.9\r\nHost: localhost\r\n" BEARER JSON "\r\n",
        "POST /control/pause HTTP/1.1\r\n" BEARER JSON "Content-Length: -1\r\nConnection: close\r\n\r\n{}",
        "POST /control/pause HTTP/1.1\r\n" BEARER JSON
        "Content-Length: 99999999999999999999\r\nConnection: close\r\n\r\n{}",
        "POST /control/pause HTTP/1.1\r\nHost: localhost\r\n" BEARER JSON
        "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n",
        "POST /control/pause HTTP/1.1\r\nHost: localhost\r\n" BEARER JSON
        "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\nffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        "POST //control/pause HTTP/1.1\r\nHost: localhost\r\n" BEARER JSON
        "Content-Length: 0\r\nConnection: close\r\n\r\n",
        "POST /control/pause/ HTTP/1.1\r\nHost: localhost\r\n" BEARER JSON
        "Content-Length: 0\r\nConnection: close\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    };
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        char *answer = talk(rig, requests[i], strlen(requests[i]));
        int status = status_of(answer);
        free(answer);
        if (status == 200)
            fail_msg("request %zu was answered", i);
    }
    char *big = malloc(1 << 20);
    memset(big, 'a', 1 << 20);
    int n = snprintf(big, 400,
                     "POST /control/pause HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" BEARER JSON
                     "Content-Length: %d\r\n\r\n{",
                     100000);
    big[n] = 'a';
    char *answer = talk(rig, big, (size_t)n + 99999);
    assert_int_equal(status_of(answer), 413);
    free(answer);
    memset(big, 'a', 1 << 20);
    n = snprintf(big, 200, "GET /status HTTP/1.1\r\nHost: localhost\r\nX: ");
    big[n] = 'a';
    answer = talk(rig, big, 1 << 20);
    assert_int_not_equal(status_of(answer), 200);
    free(answer);
    free(big);
    assert_int_equal(rig->notes, 0);
    assert_int_equal(get_status(NULL, rig, "/health"), 200);
    /* A body in chunks is a body. */
    const char *chunked =
        "POST /control/pause HTTP/1.1\r\nHost: localhost\r\n" BEARER JSON
        "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n";
    answer = talk(rig, chunked, strlen(chunked));
    assert_int_equal(status_of(answer), 200);
    free(answer);
}

/* Bytes at random, and requests with bytes changed at random: nothing but a wrong answer may come of it. */
static void test_random(void **state)
{
    struct rig *rig = *state;
    const char *good =
        "POST /control/throttle HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        "Authorization: Bearer " OTHER "\r\n" JSON "Content-Length: 24\r\n\r\n{\"rows_per_second\": 100}";
    unsigned seed = (unsigned)clock_mono_us();
    print_message("seed %u\n", seed);
    for (int i = 0; i < 150; i++) {
        char bytes[600];
        size_t len = strlen(good);
        memcpy(bytes, good, len);
        for (int k = rand_r(&seed) % 20; k >= 0; k--)
            bytes[(size_t)rand_r(&seed) % len] = (char)rand_r(&seed);
        int fd = connect_to(rig);
        send_all(fd, bytes, 1 + (size_t)rand_r(&seed) % len);
        close(fd);
    }
    assert_int_equal(desk_rate_asked(status_board_desk(rig->board)),
                     DESK_AS_CONFIGURED); /* the token is wrong */
    /* It may still be at what came: then a connection is turned down. */
    int status = 0;
    for (int tries = 0; status != 200 && tries < 300; tries++) {
        struct err err = ERR_INIT;
        char *body = NULL;
        if (!http_get(NULL, rig->address, "/health", 5000, &body, &status, &err) || status != 200)
            usleep(100000);
        free(body);
    }
    assert_int_equal(status, 200);
}

static void test_settings(void **state)
{
    struct rig *rig = *state;
    struct http_server *server = NULL;
    struct err err = ERR_INIT;
    const struct http_settings refuse = {.refuse_exposed = true}, half = {.tls_cert = "/nowhere.pem"},
                               nobody = {.read_needs_auth = true}, gone = {.token_file = "/nowhere/tokens"},
                               plain_ca = {.client_ca = "/nowhere.pem"};
    assert_false(http_server_start("0.0.0.0:0", &refuse, rig->board, &server, &err));
    assert_non_null(strstr(err.text, "control.tls_cert"));
    const struct http_settings *bad[] = {&half, &nobody, &gone, &plain_ca};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        err_clear(&err);
        assert_false(http_server_start("127.0.0.1:0", bad[i], rig->board, &server, &err));
        assert_int_equal(err.code, ERR_CONFIG);
    }
    const struct http_access access = {.token_file = rig->tokens};
    char *body = NULL;
    int status = 0;
    err_clear(&err);
    assert_false(http_post(&access, "192.0.2.1:7301", "/control/pause", "{}", 1000, &body, &status, &err));
    assert_int_equal(err.code, ERR_CONFIG); /* the token does not leave this machine unencrypted */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_commands, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pace, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_read_only, set_up_read_only, tear_down),
        cmocka_unit_test_setup_teardown(test_closed, set_up_closed, tear_down),
        cmocka_unit_test_setup_teardown(test_closed_pace, set_up_closed, tear_down),
        cmocka_unit_test_setup_teardown(test_slow, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hostile, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_random, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_settings, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
