/* Connections of which the network takes nothing any more are ended; one whose peer only does not read is not, nor one that was given back.
 * A silent network is a peer whose kernel drops all that comes, unanswered. (A real one: tests/system/test_silent_network.py.) */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "core/clock.h"
#include "core/line_socket.h"
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

/* What comes for it is as if it had never been sent. */
static void fall_silent(int fd)
{
    struct sock_filter drop = {.code = BPF_RET | BPF_K, .k = 0};
    struct sock_fprog program = {.len = 1, .filter = &drop};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program), 0);
}

static bool has_ended(int fd, int within_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, within_ms) > 0;
}

static void test_who_is_silent_is_ended(void **state)
{
    int fds[2], back[2], gone[2], other[2];
    (void)state;
    line_watch_start(500);
    make_pair(fds);
    make_pair(back);
    make_pair(gone);
    line_watch_add(&fds, fds[0], "silent");
    line_watch_add(&back, back[0], "given back");
    line_watch_add(&gone, gone[0], "closed behind our back");
    line_watch_remove(&back);
    make_pair(other);
    assert_int_equal(dup2(other[0], gone[0]), gone[0]); /* the number is another one's now */
    fall_silent(fds[1]);
    fall_silent(back[1]);
    fall_silent(other[1]);
    assert_int_equal(write(fds[0], "x", 1), 1);
    assert_int_equal(write(back[0], "x", 1), 1);
    assert_int_equal(write(other[0], "x", 1), 1);
    assert_true(has_ended(fds[0], 20000));
    assert_false(has_ended(back[0], 2000));
    assert_false(has_ended(gone[0], 0));
    line_watch_stop();
    for (int i = 0; i < 2; i++) {
        close(fds[i]);
        close(back[i]);
        close(gone[i]);
        close(other[i]);
    }
}

static void test_a_socket_is_not_its_number(void **state)
{
    int fds[2], other[2];
    (void)state;
    make_pair(fds);
    make_pair(other);
    struct line_socket none = line_socket_of(-1), one = line_socket_of(fds[0]),
                       second = line_socket_of(other[0]);
    assert_false(line_socket_is_there(&none));
    assert_true(line_socket_is_there(&one));
    assert_int_equal(dup2(other[0], fds[0]), fds[0]);
    assert_false(line_socket_is_there(&one));
    line_socket_break(&one);
    assert_false(has_ended(other[0], 0));
    assert_false(line_socket_is_stuck(&second));
    fall_silent(other[1]);
    assert_int_equal(write(other[0], "x", 1), 1);
    for (int64_t end_us = clock_mono_us() + 20000000; !line_socket_is_stuck(&second);) {
        assert_true(clock_mono_us() < end_us);
        usleep(20000);
    }
    line_socket_break(&second);
    assert_true(has_ended(other[0], 0));
    for (int i = 0; i < 2; i++) {
        close(fds[i]);
        close(other[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_who_does_not_read_is_there),
                                       cmocka_unit_test(test_who_is_silent_is_ended),
                                       cmocka_unit_test(test_a_socket_is_not_its_number)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
