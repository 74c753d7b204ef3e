/* Streams of the HTTP server with real sockets: a bounded number of clients, states instead of queues, who does not read is let go, and an end at any time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "control/http.h"
#include "core/alloc.h"

#define MESSAGE_BYTES ((size_t)1 << 20)

struct rig {
    struct status_board *board;
    struct http_server *server;
    struct http_pages pages;
    pthread_mutex_t lock;
    int turn;   /* what clients are told */
    bool large; /* … in a megabyte each, again and again */
    int open;
};

struct client {
    struct rig *rig;
    int seen;
};

static bool get_page(void *ctx, const char *path, uint64_t after, struct http_page *ret)
{
    (void)ctx;
    if (strcmp(path, "/") != 0)
        return false;
    *ret = (struct http_page){.body = xasprintf("after %llu", (unsigned long long)after),
                              .type = "text/plain",
                              .policy = "default-src 'none'"};
    return true;
}

static void *open_client(void *ctx)
{
    struct rig *rig = ctx;
    struct client *client = calloc(1, sizeof *client);
    client->rig = rig;
    pthread_mutex_lock(&rig->lock);
    rig->open++;
    pthread_mutex_unlock(&rig->lock);
    return client;
}

static void next_message(void *ctx, struct strbuf *out)
{
    struct client *client = ctx;
    pthread_mutex_lock(&client->rig->lock);
    if (client->seen != client->rig->turn || client->rig->large)
        strbuf_addf(out, "data: turn %d\n\n", client->rig->turn);
    client->seen = client->rig->turn;
    if (client->rig->large) {
        char *room = strbuf_reserve(out, MESSAGE_BYTES);
        memset(room, ':', MESSAGE_BYTES - 1);
        room[MESSAGE_BYTES - 1] = '\n';
        out->len += MESSAGE_BYTES;
    }
    pthread_mutex_unlock(&client->rig->lock);
}

static void close_client(void *ctx)
{
    struct client *client = ctx;
    pthread_mutex_lock(&client->rig->lock);
    client->rig->open--;
    pthread_mutex_unlock(&client->rig->lock);
    free(client);
}

static int open_count(struct rig *rig)
{
    pthread_mutex_lock(&rig->lock);
    int open = rig->open;
    pthread_mutex_unlock(&rig->lock);
    return open;
}

static void tell(struct rig *rig, int turn, bool large)
{
    pthread_mutex_lock(&rig->lock);
    rig->turn = turn;
    rig->large = large;
    pthread_mutex_unlock(&rig->lock);
    http_server_wake(rig->server);
}

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);
    struct err err = ERR_INIT;
    rig->board = status_board_new();
    assert_int_equal(pthread_mutex_init(&rig->lock, NULL), 0);
    rig->pages = (struct http_pages){.ctx = rig,
                                     .get = get_page,
                                     .stream_path = "/stream",
                                     .stream_open = open_client,
                                     .stream_next = next_message,
                                     .stream_close = close_client};
    if (!http_server_start("127.0.0.1:0", NULL, rig->board, &rig->server, &err))
        fail_msg("%s", err.text);
    http_server_serve(rig->server, &rig->pages);
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;
    http_server_stop(rig->server);
    assert_int_equal(rig->open, 0); /* also those that were suspended */
    status_board_free(rig->board);
    pthread_mutex_destroy(&rig->lock);
    free(rig);
    return 0;
}

static int ask(const struct rig *rig, const char *path)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)http_server_port(rig->server)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char request[200];
    int fd = socket(AF_INET, SOCK_STREAM, 0), small = 4096;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    struct timeval patience = {.tv_sec = 60};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    int n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", path);
    assert_int_equal(send(fd, request, (size_t)n, MSG_NOSIGNAL), n);
    return fd;
}

/* Reads on until the text has come. */
static void expect(int fd, const char *text)
{
    static char got[1 << 16];
    size_t len = 0;
    while (len + 1 < sizeof got) {
        ssize_t n = recv(fd, got + len, 1, 0);
        if (n != 1)
            fail_msg("no \"%s\" in: %s", text, got);
        got[++len] = '\0';
        if (len >= strlen(text) && strcmp(got + len - strlen(text), text) == 0)
            return;
    }
    fail_msg("no \"%s\"", text);
}

static void wait_open(struct rig *rig, int wanted)
{
    for (int i = 0; i < 1200 && open_count(rig) != wanted; i++) {
        http_server_wake(rig->server); /* a client that has gone is met when it is written to */
        (void)nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    assert_int_equal(open_count(rig), wanted);
}

static void test_clients(void **state)
{
    struct rig *rig = *state;
    int fds[HTTP_STREAMS_MAX];
    char *body = NULL;
    int status = 0;
    struct err err = ERR_INIT;
    char address[40];
    tell(rig, 1, false);
    for (size_t i = 0; i < HTTP_STREAMS_MAX; i++) {
        fds[i] = ask(rig, "/stream");
        expect(fds[i], "turn 1\n\n"); /* each its own */
    }
    int more = ask(rig, "/stream");
    expect(more, "503 Service Unavailable");
    close(more);
    snprintf(address, sizeof address, "127.0.0.1:%d", http_server_port(rig->server));
    assert_true(
        http_get(NULL, address, "/?after=77", 5000, &body, &status, &err)); /* the rest is served beside */
    assert_string_equal(body, "after 77");
    free(body);
    tell(rig, 2, false);
    tell(rig, 3, false);
    for (size_t i = 0; i < HTTP_STREAMS_MAX; i++)
        expect(fds[i], "turn 3\n\n");
    close(fds[0]);
    for (int turn = 4; turn < 6; turn++) { /* the first write to who has gone may still succeed */
        tell(rig, turn, false);
        expect(fds[1], turn == 4 ? "turn 4\n\n" : "turn 5\n\n");
    }
    for (int turn = 6; turn < 200 && open_count(rig) == HTTP_STREAMS_MAX; turn++) {
        tell(rig, turn, false);
        (void)nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    wait_open(rig, HTTP_STREAMS_MAX - 1);
    fds[0] = ask(rig, "/stream"); /* there is room again */
    expect(fds[0], "data: turn ");
    for (size_t i = 1; i < HTTP_STREAMS_MAX; i++)
        close(fds[i]);
    close(fds[0]);
}

/* Who does not read is ended by the idle timeout, and whoever comes then is served. */
static void test_slow_clients(void **state)
{
    struct rig *rig = *state;
    tell(rig, 1, true);
    int slow = ask(rig, "/stream"), slower = ask(rig, "/stream");
    wait_open(rig, 2);
    wait_open(rig, 0); /* the server's idle timeout */
    close(slow);
    close(slower);
    tell(rig, 2, false);
    int fd = ask(rig, "/stream");
    expect(fd, "turn 2\n\n");
    tell(rig, 3, false);
    expect(fd, "turn 3\n\n");
    close(fd);
}

/* Where reading takes a token the page, its data and its stream do, too. */
static void test_reading_is_guarded(void **state)
{
    static const char *const paths[] = {"/", "/stream"};
    struct rig *rig = *state;
    char path[] = "/tmp/crossfade-stream-XXXXXX", address[40];
    static const char line[] = "me 0123456789abcdef0123456789abcdef\n";
    struct http_settings settings = {.token_file = path, .read_needs_auth = true};
    struct http_access access = {.reads_need_token = true, .token_file = path};
    struct http_server *guarded = NULL;
    struct err err = ERR_INIT;
    int status = 0, fd = mkstemp(path);
    char *body = NULL;
    assert_int_equal(write(fd, line, sizeof line - 1), sizeof line - 1);
    close(fd);
    if (!http_server_start("127.0.0.1:0", &settings, rig->board, &guarded, &err))
        fail_msg("%s", err.text);
    http_server_serve(guarded, &rig->pages);
    snprintf(address, sizeof address, "127.0.0.1:%d", http_server_port(guarded));
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        assert_true(http_get(NULL, address, paths[i], 5000, &body, &status, &err));
        assert_int_equal(status, 401);
        free(body);
    }
    assert_int_equal(open_count(rig), 0);
    if (!http_get(&access, address, "/", 5000, &body, &status, &err))
        fail_msg("%s", err.text);
    assert_int_equal(status, 200);
    free(body);
    http_server_stop(guarded);
    (void)unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_clients, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_slow_clients, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reading_is_guarded, set_up, tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
