/* The HTTP server against our own client and raw sockets: pages, refusals, bounds, a port in use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <jansson.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/http.h"

struct rig {
    struct status_board *board;
    struct http_server *server;
    char address[40];
};

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);
    struct err err = ERR_INIT;
    rig->board = status_board_new();
    struct role_status st = {
        .role = "capture", .pipeline = "shop", .phase = PHASE_STREAMING, .source_lsn = 16};
    status_board_publish(rig->board, &st);
    if (!http_server_start("127.0.0.1:0", NULL, rig->board, &rig->server, &err))
        fail_msg("%s", err.text);
    snprintf(rig->address, sizeof rig->address, "127.0.0.1:%d", http_server_port(rig->server));
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;
    http_server_stop(rig->server);
    status_board_free(rig->board);
    free(rig);
    return 0;
}

static char *get(const char *address, const char *path, int expected_status)
{
    char *body = NULL;
    int status = 0;
    struct err err = ERR_INIT;
    if (!http_get(NULL, address, path, 5000, &body, &status, &err))
        fail_msg("%s", err.text);
    assert_int_equal(status, expected_status);
    return body;
}

static void test_pages(void **state)
{
    struct rig *rig = *state;
    char *body = get(rig->address, "/status", 200);
    json_t *root = json_loads(body, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(root, "source_lsn")), "0/10");
    json_decref(root);
    free(body);
    body = get(rig->address, "/metrics", 200);
    assert_non_null(strstr(body, "crossfade_build_info"));
    free(body);
    free(get(rig->address, "/health", 200));
    free(get(rig->address, "/", 404));
    free(get(rig->address, "/status/../../etc/passwd", 404));
    struct role_status st = {.role = "capture", .pipeline = "shop", .phase = PHASE_HALTED};
    status_board_publish(rig->board, &st);
    free(get(rig->address, "/health", 503));
}

/* What `promtool check metrics` says, where it is installed. */
static void test_promtool(void **state)
{
    struct rig *rig = *state;
    if (system("command -v promtool >/dev/null 2>&1") != 0)
        skip();
    struct role_status st = {.role = "capture",
                             .pipeline = "shop",
                             .phase = PHASE_SNAPSHOT,
                             .source_lsn = 160,
                             .journaled_lsn = 100,
                             .position_commit_us = 5,
                             .snapshot_started_us = 5,
                             .snapshot_rows_estimate = 100,
                             .snapshot_rows = 10,
                             .caught_up_us = 9};
    status_board_publish(rig->board, &st);
    char *body = get(rig->address, "/metrics", 200);
    FILE *tool = popen("promtool check metrics", "w");
    assert_non_null(tool);
    fputs(body, tool);
    assert_int_equal(pclose(tool), 0);
    free(body);
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

/* Sends and reads until the server closes; malloc'd. */
static char *talk(const struct rig *rig, const char *request, size_t len)
{
    int fd = connect_to(rig);
    char *answer = calloc(1, 65536);
    size_t got = 0;
    for (size_t sent = 0; sent < len;) {
        ssize_t n = send(fd, request + sent, len - sent, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    shutdown(fd, SHUT_WR);
    for (ssize_t n; got < 65535 && (n = recv(fd, answer + got, 65535 - got, 0)) > 0;)
        got += (size_t)n;
    close(fd);
    return answer;
}

static void test_refusals(void **state)
{
    struct rig *rig = *state;
    const char *post =
        "POST /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
    char *answer = talk(rig, post, strlen(post));
    assert_non_null(strstr(answer, " 405 "));
    assert_non_null(strstr(answer, "Allow: GET, HEAD"));
    free(answer);
    const char *delete = "DELETE /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    answer = talk(rig, delete, strlen(delete));
    assert_non_null(strstr(answer, " 405 "));
    free(answer);
    const char *head = "HEAD /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    answer = talk(rig, head, strlen(head));
    assert_non_null(strstr(answer, " 200 "));
    assert_null(strstr(answer, "source_lsn"));
    free(answer);
}

static void test_oversized_request(void **state)
{
    struct rig *rig = *state;
    size_t len = (size_t)1 << 20;
    char *request = malloc(len);
    memset(request, 'a', len);
    memcpy(request, "GET /", 5);
    char *answer = talk(rig, request, len);
    assert_null(strstr(answer, " 200 "));
    free(answer);
    free(request);
    free(get(rig->address, "/health", 200)); /* still there */
}

static void test_port_in_use(void **state)
{
    struct rig *rig = *state;
    struct http_server *second = NULL;
    struct err err = ERR_INIT;
    assert_false(http_server_start(rig->address, NULL, rig->board, &second, &err));
    assert_int_equal(err.code, ERR_BUSY);
    assert_non_null(strstr(err.text, rig->address));
    err_clear(&err);
    assert_false(http_server_start("nonsense", NULL, rig->board, &second, &err));
    assert_int_equal(err.code, ERR_CONFIG);
}

static void test_nobody_answers(void **state)
{
    struct rig *rig = *state;
    char *body = NULL;
    int status;
    struct err err = ERR_INIT;
    http_server_stop(rig->server);
    rig->server = NULL;
    assert_false(http_get(NULL, rig->address, "/status", 2000, &body, &status, &err));
    assert_int_equal(err.code, ERR_CONNECT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_promtool, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_oversized_request, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_port_in_use, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nobody_answers, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
