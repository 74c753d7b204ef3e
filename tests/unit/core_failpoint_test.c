/* Failpoints: what the variable says happens at the n-th passage, and nothing else. Each case is a child
 * process. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/failpoint.h"

enum { PASSED_ALL = 100, WRONG_ERROR = 101 }; /* exit codes; below: number of passages before the error */

static void pass_ten_times(const char *spec)
{
    if (spec != NULL)
        setenv("CROSSFADE_FAILPOINT", spec, 1);
    else
        unsetenv("CROSSFADE_FAILPOINT");
    failpoint_init();
    for (int i = 1; i <= 10; i++) {
        struct err err = ERR_INIT;
        if (!failpoint("other.point", &err))
            _exit(WRONG_ERROR);
        if (failpoint("some.point", &err)) {
            if (err_is_set(&err))
                _exit(WRONG_ERROR);
            continue;
        }
        bool right = err.code == ERR_INJECTED && strstr(err.text, "some.point") != NULL;
        _exit(right ? i : WRONG_ERROR);
    }
    _exit(PASSED_ALL);
}

/* The wait status of a child that passes some.point ten times. */
static int run(const char *spec)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        pass_ten_times(spec);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    if (WIFSTOPPED(status)) {
        int end;
        kill(pid, SIGKILL);
        waitpid(pid, &end, 0);
    }
    return status;
}

static void assert_exit(const char *spec, int code)
{
    int status = run(spec);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), code);
}

static void off_by_default(void **state)
{
    assert_exit(NULL, PASSED_ALL);
    assert_exit("", PASSED_ALL);
    assert_exit(":", PASSED_ALL);
}

static void errors_at_the_nth(void **state)
{
    assert_exit("some.point:1:error", 1);
    assert_exit("some.point:7:error", 7);
    assert_exit("some.point:11:error", PASSED_ALL);
    assert_exit("no.such.point:1:error", PASSED_ALL);
    assert_exit("some.poin:1:error", PASSED_ALL);
    assert_exit("some.point.x:1:error", PASSED_ALL);
}

static void kills(void **state)
{
    static const char *const specs[] = {"some.point", "some.point:3", "some.point:10:kill"};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        int status = run(specs[i]);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGKILL);
    }
}

static void stops(void **state)
{
    int status = run("some.point:2:stop");
    assert_true(WIFSTOPPED(status));
    assert_int_equal(WSTOPSIG(status), SIGSTOP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(off_by_default),
        cmocka_unit_test(errors_at_the_nth),
        cmocka_unit_test(kills),
        cmocka_unit_test(stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
