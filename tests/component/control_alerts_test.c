/* The queue of alerts, against a receiver that is away, refuses, and comes back: what is kept, what is given up, and that both are told. */
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
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/alerts.h"
#include "core/clock.h"

#define MORE 30

/* One connection, one request, one answer. */
struct receiver {
    int fd, port, status;
    pthread_t thread;
    pthread_mutex_t lock; /* guards the rest */
    json_t *taken;
    bool asked, holds; /* it has read a request; it holds its answer back */
};

/* Bound, so that nobody else gets the port; nobody listens there yet. */
static void open_socket(struct receiver *r)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)r->port)};
    socklen_t len = sizeof addr;
    int on = 1;
    inet_pton(AF_INET, "127.0.0.1", &addr.sin_addr);
    r->fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(r->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    assert_int_equal(bind(r->fd, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(getsockname(r->fd, (struct sockaddr *)&addr, &len), 0);
    r->port = ntohs(addr.sin_port);
}

static void answer(struct receiver *r, int fd)
{
    char request[8192] = "", reply[100];
    size_t got = 0, want = 0;
    for (ssize_t n; (n = recv(fd, request + got, sizeof request - 1 - got, 0)) > 0;) {
        got += (size_t)n;
        request[got] = '\0';
        const char *end = strstr(request, "\r\n\r\n"), *length = strcasestr(request, "Content-Length: ");
        if (end != NULL && length != NULL)
            want = (size_t)(end + 4 - request) + strtoul(length + 16, NULL, 10);
        if (want > 0 && got >= want)
            break;
    }
    pthread_mutex_lock(&r->lock);
    r->asked = true;
    while (r->holds) {
        pthread_mutex_unlock(&r->lock);
        usleep(5000);
        pthread_mutex_lock(&r->lock);
    }
    const char *body = strstr(request, "\r\n\r\n");
    if (r->status == 204 && body != NULL)
        json_array_append_new(r->taken, json_loads(body + 4, 0, NULL));
    int n = snprintf(reply, sizeof reply, "HTTP/1.1 %d x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                     r->status);
    pthread_mutex_unlock(&r->lock);
    (void)send(fd, reply, (size_t)n, MSG_NOSIGNAL);
}

static void *serve(void *arg)
{
    struct receiver *r = arg;
    for (int fd; (fd = accept(r->fd, NULL, NULL)) >= 0; close(fd))
        answer(r, fd);
    return NULL;
}

static void begin(struct receiver *r)
{
    assert_int_equal(listen(r->fd, 10), 0);
    assert_int_equal(pthread_create(&r->thread, NULL, serve, r), 0);
}

static void end(struct receiver *r)
{
    shutdown(r->fd, SHUT_RDWR);
    pthread_join(r->thread, NULL);
    close(r->fd);
}

static size_t count_of(struct receiver *r)
{
    pthread_mutex_lock(&r->lock);
    size_t count = json_array_size(r->taken);
    pthread_mutex_unlock(&r->lock);
    return count;
}

static const char *text_of(struct receiver *r, size_t i, const char *key)
{
    return json_string_value(json_object_get(json_array_get(r->taken, i), key));
}

static void wait_for(struct receiver *r, size_t count)
{
    int64_t until_us = clock_mono_us() + 120000000;
    while (count_of(r) < count && clock_mono_us() < until_us)
        usleep(20000);
    assert_true(count_of(r) >= count);
}

static struct alerts *open_alerts(struct receiver *r, char *url, size_t size, bool background)
{
    snprintf(url, size, "http://127.0.0.1:%d/", r->port);
    const struct alert_ways ways = {.pipeline = "shop", .webhook = {.url = url}, .background = background};
    return alerts_new(&ways);
}

static void raise_some(struct alerts *alerts, int from, int until)
{
    char level[20];
    for (int i = from; i < until; i++) {
        snprintf(level, sizeof level, "%d", i);
        alerts_raise(alerts, "mismatch", level, "a \"text\"", false);
    }
}

/* From the i-th on: levels in a row from `level` on until `end`, and what is said of those that were given up. */
static void assert_taken(struct receiver *r, size_t i, int level, int end, const char *lost)
{
    for (; level < end; level++, i++) {
        assert_int_equal(atoi(text_of(r, i, "level")), level);
        assert_string_equal(text_of(r, i, "severity"), "critical");
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(text_of(r, i, "id"), text_of(r, k, "id"));
    }
    assert_string_equal(text_of(r, i, "event"), "alerts_lost");
    assert_memory_equal(text_of(r, i, "text"), lost, strlen(lost));
}

/* It was away while more came than wait: the first ones are given up, the others come in order, and it is told what is missing. */
static void test_away(void **state)
{
    (void)state;
    struct receiver r = {.status = 204, .taken = json_array()};
    char url[100];
    pthread_mutex_init(&r.lock, NULL);
    open_socket(&r);
    struct alerts *alerts = open_alerts(&r, url, sizeof url, true);
    raise_some(alerts, 0, 100 + MORE);
    begin(&r);
    wait_for(&r, 101);
    size_t first = atoi(text_of(&r, 0, "level")) < MORE; /* one was on its way when it was given up */
    wait_for(&r, first + 101);
    assert_taken(&r, first, MORE, 100 + MORE, first ? "29 alerts were given up" : "30 alerts were given up");
    alerts_free(alerts);
    end(&r);
    json_decref(r.taken);
}

/* What was given up while it was on its way came nevertheless: it is not told as lost, and telling costs nobody's place. */
static void test_given_up_on_its_way(void **state)
{
    (void)state;
    struct receiver r = {.status = 204, .taken = json_array(), .holds = true};
    char url[100];
    pthread_mutex_init(&r.lock, NULL);
    open_socket(&r);
    begin(&r);
    struct alerts *alerts = open_alerts(&r, url, sizeof url, true);
    raise_some(alerts, 0, 1);
    pthread_mutex_lock(&r.lock);
    while (!r.asked) {
        pthread_mutex_unlock(&r.lock);
        usleep(5000);
        pthread_mutex_lock(&r.lock);
    }
    pthread_mutex_unlock(&r.lock);
    raise_some(alerts, 1, 101 + MORE);
    pthread_mutex_lock(&r.lock);
    r.holds = false;
    pthread_mutex_unlock(&r.lock);
    wait_for(&r, 102);
    assert_int_equal(atoi(text_of(&r, 0, "level")), 0);
    assert_taken(&r, 1, 1 + MORE, 101 + MORE, "30 alerts were given up");
    alerts_free(alerts);
    end(&r);
    json_decref(r.taken);
}

/* What it refuses is given up at once and told with the next that it takes; who ends gives what waits some seconds. */
static void test_refuses_and_ends(void **state)
{
    (void)state;
    struct receiver r = {.status = 400, .taken = json_array()};
    char url[100];
    pthread_mutex_init(&r.lock, NULL);
    open_socket(&r);
    begin(&r);
    struct alerts *alerts = open_alerts(&r, url, sizeof url, false);
    alerts_raise(alerts, "mismatch", "full", "refused", false);
    alerts_deliver(alerts);
    assert_int_equal(alerts_due_us(alerts), 0); /* nothing waits */
    r.status = 204;
    alerts_raise(alerts, "recovered", "full", "taken", true);
    alerts_deliver(alerts);
    assert_int_equal(count_of(&r), 2);
    assert_string_equal(text_of(&r, 0, "event"), "recovered");
    assert_string_equal(text_of(&r, 1, "event"), "alerts_lost");
    alerts_free(alerts);
    alerts = open_alerts(&r, url, sizeof url, true);
    for (int i = 0; i < 10; i++)
        alerts_raise(alerts, "halted", "apply", "the end", false);
    alerts_free(alerts);
    assert_int_equal(count_of(&r), 12);
    end(&r);
    json_decref(r.taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_away),
                                       cmocka_unit_test(test_given_up_on_its_way),
                                       cmocka_unit_test(test_refuses_and_ends)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
