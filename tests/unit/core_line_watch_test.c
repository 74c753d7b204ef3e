/* Connections of which the network takes nothing any more are ended; one whose peer only does not read is not, nor one that was given back.
 * (That one is ended at all takes a network that is silent: tests/system/test_silent_network.py.) */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "core/clock.h"
#include "core/line_watch.h"

static void make_pair(int fds[2])
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fds[0], (struct sockaddr *)&addr, sizeof addr), 0);
    fds[1] = accept(listener, NULL, NULL);
    assert_true(fds[1] >= 0);
    close(listener);
}

static void fill(int fd)
{
    static const char zeros[65536];
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    while (write(fd, zeros, sizeof zeros) > 0)
        continue;
}

static void test_who_does_not_read_is_there(void **state)
{
    int fds[2] = {-1, -1}, pipes[2] = {-1, -1};
    char byte;
    (void)state;
    line_watch_add(&fds, 0, "nobody"); /* nobody looks: nothing is kept */
    line_watch_remove(&fds);
    line_watch_start(200);
    assert_true(line_watch_runs());
    make_pair(fds);
    assert_int_equal(pipe(pipes), 0);
    line_watch_add(&fds, fds[0], "slow");
    line_watch_add(&pipes, pipes[0], "no TCP");
    fill(fds[0]);
    int64_t end_us = clock_mono_us() + 2000000; /* its window is closed for ten times the limit */
    while (clock_mono_us() < end_us)
        usleep(20000);
    struct pollfd p = {.fd = fds[0], .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0); /* an end would be readable */
    assert_true(recv(fds[1], &byte, 1, 0) == 1);
    line_watch_remove(&fds);
    line_watch_remove(&fds);
    line_watch_stop();
    line_watch_stop();
    assert_false(line_watch_runs());
    for (int i = 0; i < 2; i++) {
        close(fds[i]);
        close(pipes[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_who_does_not_read_is_there)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
