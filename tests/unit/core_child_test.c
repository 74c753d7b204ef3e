/* child_run(): what a command gets of us, what is kept of what it says, and how it is ended. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_gets_its_input),
        cmocka_unit_test(nothing_of_ours_stays_open_in_it),
        cmocka_unit_test(it_is_ended_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
