/*
 * A PostgreSQL server of a C test's own: initdb in a temporary folder (as user postgres when run as root),
 * trust on a free port of 127.0.0.1, no fsync, locale C, UTF-8. It dies with the test. CROSSFADE_PG_BINDIR
 * chooses the binaries.
 */
#ifndef SUPPORT_PG_SERVER_H
#define SUPPORT_PG_SERVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct pg_server {
    char folder[64];
    char bindir[256];
    char url[96];
    int port;
    pid_t pid;
    const struct passwd *user; /* NULL: the one who runs the test */
};

static void pg_server_bindir(struct pg_server *s)
{
    static const char *const known[] = {"/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/17/bin",
                                        "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/14/bin"};
    char probe[300];
    const char *env = getenv("CROSSFADE_PG_BINDIR");
    for (size_t i = 0; i < sizeof known / sizeof known[0] + 1; i++) {
        const char *dir = i == 0 ? env : known[i - 1];
        (void)snprintf(probe, sizeof probe, "%s/postgres", dir != NULL ? dir : "");
        if (dir != NULL && access(probe, X_OK) == 0) {
            (void)snprintf(s->bindir, sizeof s->bindir, "%s", dir);
            return;
        }
    }
    fail_msg("no PostgreSQL binaries: run tools/deps, or set CROSSFADE_PG_BINDIR");
}

static int pg_server_free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0 &&
                getsockname(fd, (struct sockaddr *)&a, &len) == 0);
    close(fd);
    return ntohs(a.sin_port);
}

/* Starts a program of the server's as its user, output into <folder>/log. */
static pid_t pg_server_spawn(const struct pg_server *s, char *argv[])
{
    char program[300], log[96];
    (void)snprintf(program, sizeof program, "%s/%s", s->bindir, argv[0]);
    (void)snprintf(log, sizeof log, "%s/log", s->folder);
    pid_t parent = getpid(), pid = fork();
    assert_true(pid >= 0);
    if (pid != 0)
        return pid;
    if (s->user != NULL &&
        (setgroups(0, NULL) != 0 || setgid(s->user->pw_gid) != 0 || setuid(s->user->pw_uid) != 0))
        _exit(126);
    if (prctl(PR_SET_PDEATHSIG, SIGQUIT) != 0 || getppid() != parent) /* after setuid, which clears it */
        _exit(126);
    if (chdir(s->folder) != 0) /* the build folder may be closed to that user: below /root, say */
        _exit(126);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
        _exit(126);
    unsetenv("LD_PRELOAD");
    argv[0] = program; /* initdb looks for its siblings there, else in PATH */
    execv(program, argv);
    _exit(127);
}

static int pg_server_remove(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void pg_server_stop(struct pg_server *s)
{
    if (s->pid > 0) {
        kill(s->pid, SIGINT);
        waitpid(s->pid, NULL, 0);
    }
    s->pid = 0;
    if (s->folder[0] != '\0')
        nftw(s->folder, pg_server_remove, 16, FTW_DEPTH | FTW_PHYS);
}

static void pg_server_start(struct pg_server *s)
{
    char data[80], port[16];
    int status = 0;
    *s = (struct pg_server){.folder = "/tmp/cf-pg-XXXXXX"};
    pg_server_bindir(s);
    assert_non_null(mkdtemp(s->folder));
    if (geteuid() == 0) {
        s->user = getpwnam("postgres");
        assert_non_null(s->user);
        assert_int_equal(chown(s->folder, s->user->pw_uid, s->user->pw_gid), 0);
    }
    (void)snprintf(data, sizeof data, "%s/data", s->folder);
    char *initdb[] = {"initdb", "-D", data,   "-U",         "postgres", "-A",
                      "trust",  "-E", "UTF8", "--locale=C", "-N",       NULL};
    assert_true(waitpid(pg_server_spawn(s, initdb), &status, 0) > 0);
    if (status != 0)
        fail_msg("initdb failed: see %s/log", s->folder);
    s->port = pg_server_free_port();
    (void)snprintf(port, sizeof port, "%d", s->port);
    (void)snprintf(s->url, sizeof s->url, "postgresql://postgres@127.0.0.1:%d/postgres", s->port);
    char *postgres[] = {"postgres",
                        "-D",
                        data,
                        "-p",
                        port,
                        "-c",
                        "listen_addresses=127.0.0.1",
                        "-c",
                        "unix_socket_directories=",
                        "-c",
                        "fsync=off",
                        "-c",
                        "max_prepared_transactions=20",
                        "-c",
                        "shared_buffers=32MB",
                        "-c",
                        "wal_level=logical",
                        NULL};
    s->pid = pg_server_spawn(s, postgres);
    while (PQping(s->url) != PQPING_OK) { /* until it takes connections, or is gone */
        if (waitpid(s->pid, &status, WNOHANG) != 0) {
            s->pid = 0;
            fail_msg("the server did not start: see %s/log", s->folder);
        }
        usleep(20000);
    }
}

#endif
