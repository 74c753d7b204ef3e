/* child_run(), child_start_apart(): what a command gets of us, what is kept of what it says, and how it is ended. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/child.h"

static struct child_end run(const char *command, int64_t timeout_ms)
{
    struct child_end end = {0};
    struct err err = ERR_INIT;
    const struct child_order order = {
        .command = command, .input = "a line\n", .timeout_ms = timeout_ms, .stop_fd = -1};
    if (!child_run(&order, &end, &err))
        fail_msg("%s", err.text);
    return end;
}

static void it_gets_its_input(void **state)
{
    struct child_end end = run("cat; echo more >&2; exit 3", 0);
    assert_string_equal(end.said.data, "a line\nmore\n");
    assert_false(child_ended_well(&end) || end.late);
    child_end_release(&end);
}

/* As a library may open them: without close-on-exec. */
static void nothing_of_ours_stays_open_in_it(void **state)
{
    int fd = open("/dev/null", O_RDONLY); /* NOLINT: that it is inheritable is the point */
    assert_true(fd > 2);
    struct child_end end = run("ls /proc/self/fd | tr '\\n' ' '", 0);
    assert_string_equal(end.said.data, "0 1 2 3 "); /* 3 is ls's own, of the folder */
    child_end_release(&end);
    assert_int_equal(close(fd), 0);
}

static void it_is_ended_in_time(void **state)
{
    struct child_end end = run("sleep 600 & sleep 600", 200);
    assert_true(end.late);
    assert_false(child_ended_well(&end));
    child_end_release(&end);
}

/* Its input, its environment, what it has open, and whether it leads a session; then nobody has the other end any more. */
static void one_that_is_apart_says_what_it_has(void **state)
{
    const char *const argv[] = {
        "/bin/sh", "-c",
        "cat >&3; echo \"${CF_TEST_SECRET-none}\" >&3; echo /proc/$$/fd/* | sed \"s|/proc/$$/fd/||g\" >&3; "
        "cut -d' ' -f6 /proc/$$/stat | sed \"s/^$$\\$/leads/\" >&3",
        NULL};
    const struct child_order order = {
        .argv = argv, .hidden = "CF_TEST_SECRET", .input = "a line\n", .stop_fd = -1};
    char said[200] = "";
    size_t len = 0;
    pid_t pid = 0;
    int fd = -1, status = -1;
    struct err err = ERR_INIT;
    assert_int_equal(setenv("CF_TEST_SECRET", "x", 1), 0);
    if (!child_start_apart(&order, &pid, &fd, &err))
        fail_msg("%s", err.text);
    for (ssize_t n; (n = read(fd, said + len, sizeof said - len - 1)) > 0;)
        len += (size_t)n;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_string_equal(said, "a line\nnone\n0 1 2 3\nleads\n");
    assert_int_equal(close(fd), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_gets_its_input),
        cmocka_unit_test(nothing_of_ours_stays_open_in_it),
        cmocka_unit_test(it_is_ended_in_time),
        cmocka_unit_test(one_that_is_apart_says_what_it_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
