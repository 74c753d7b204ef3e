/* Owns: the keeper's process. See keeper.h. It is forked, for it needs the configuration and nothing else of its parent. */
#include "cutover/poolers/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"

#define LOOK_MS     500
#define LETTING_MS  30000 /* a pooler that does not answer is asked again for so long */
#define LOWEST_FREE 3

/* --- in the child --- */

/* Sessions of the parent end with the parent alone: its locks go with them, and who reads its output sees the end. */
static void cut_loose(int fd)
{
    sigset_t none;
    (void)sigemptyset(&none);
    (void)setsid();
    (void)prctl(PR_SET_NAME, "crossfade-keep");
    (void)signal(SIGTERM, SIG_DFL);
    (void)signal(SIGINT, SIG_DFL);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (fd != LOWEST_FREE && dup2(fd, LOWEST_FREE) < 0)
        _exit(1);
    (void)close_range(LOWEST_FREE + 1, ~0U, 0);
    int null_fd = open("/dev/null", O_RDWR);
    for (int i = 0; i < LOWEST_FREE; i++)
        (void)dup2(null_fd, i);
}

/* Whether one is paused, or might be. */
static bool still_paused(struct poolers *ps)
{
    for (size_t i = 0; i < ps->count; i++) {
        struct console_database db;
        if (!pooler_connect(ps, &ps->items[i], NULL, NULL) || !pooler_state(ps, &ps->items[i], &db, NULL) ||
            db.paused)
            return true;
    }
    return false;
}

/* Its file counts, which may have been written while it had not been read. */
static bool let_go(struct poolers *ps, struct pooler *p)
{
    struct console_database db;
    PG_RESULT_AUTO res = NULL;
    int64_t deadline_us = clock_mono_us() + ps->timeout_ms * 1000;
    bool gone = false;
    if (!pooler_connect(ps, p, &gone, NULL))
        return gone;
    return console_query(p->conn, "RELOAD", deadline_us, &res, NULL) && pooler_state(ps, p, &db, NULL) &&
           (!db.paused || console_run(p->conn, "RESUME", p->rule->database, deadline_us, NULL));
}

static void let_all_go(struct poolers *ps)
{
    int64_t deadline_us = clock_mono_us() + LETTING_MS * 1000;
    for (bool again = true; again && clock_mono_us() < deadline_us;) {
        again = false;
        for (size_t i = 0; i < ps->count; i++) {
            if (!let_go(ps, &ps->items[i]))
                again = true;
        }
        if (again)
            (void)poll(NULL, 0, LOOK_MS);
    }
}

NORETURN static void keep(struct poolers *ps, int64_t deadline_us)
{
    char byte;
    ssize_t got;
    do
        got = read(LOWEST_FREE, &byte, 1);
    while (got < 0 && errno == EINTR);
    if (got != 0)
        _exit(0); /* in good order */
    for (size_t i = 0; i < ps->count; i++)
        ps->items[i].conn = NULL; /* of the parent: closed here already */
    while (clock_mono_us() < deadline_us) {
        if (!still_paused(ps)) {
            struct err untold = ERR_INIT; /* there is nobody to tell */
            _exit(retry_settle(ps, &untold) ? 0 : 1);
        }
        (void)poll(NULL, 0, LOOK_MS);
    }
    let_all_go(ps);
    _exit(0);
}

/* --- in the parent --- */

bool keeper_start(struct cutover *co, struct poolers *ps, struct err *err)
{
    int ends[2];
    if (ps->keeper_pid != 0)
        return true;
    int64_t deadline_us = clock_mono_us() + config_int(co->cfg, "cutover.pooler_hold_ms") * 1000;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_set_errno(err, errno, "the poolers' keeper");
    pid_t pid = fork();
    if (pid == 0) {
        cut_loose(ends[0]);
        keep(ps, deadline_us);
    }
    int failed = errno;
    (void)close(ends[0]);
    if (pid < 0) {
        (void)close(ends[1]);
        return err_set_errno(err, failed, "the poolers' keeper cannot be started");
    }
    ps->keeper_pid = pid;
    ps->keeper_fd = ends[1];
    return true;
}

void keeper_end(struct poolers *ps)
{
    if (ps->keeper_pid == 0)
        return;
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    (void)sigaction(SIGPIPE, &ignore, &before); /* it may have been killed */
    if (write(ps->keeper_fd, "", 1) != 1)
        (void)kill(ps->keeper_pid, SIGTERM);
    (void)sigaction(SIGPIPE, &before, NULL);
    (void)close(ps->keeper_fd);
    while (waitpid(ps->keeper_pid, NULL, 0) < 0 && errno == EINTR)
        ;
    ps->keeper_pid = 0;
}
