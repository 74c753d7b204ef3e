/* Owns: running pg_dump. See dump.h. */
#include "dump.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/alloc.h"
#include "pg/url.h"

extern char **environ;

#define TALK_BYTES_MAX 65536 /* of stderr, its end is what says why */
#define PIECE_BYTES    65536

struct child {
    pid_t pid;
    int out, err;
};

/* The environment with a password in it; what it points to is the caller's. */
static char **environment(char *password_pair)
{
    size_t n = 0, used = 0;
    while (environ[n] != NULL)
        n++;
    char **env = xcalloc(n + 2, sizeof *env);
    for (size_t i = 0; i < n; i++) {
        if (password_pair == NULL || strncmp(environ[i], "PGPASSWORD=", 11) != 0)
            env[used++] = environ[i];
    }
    if (password_pair != NULL)
        env[used] = password_pair;
    return env;
}

static int spawn_with(const char *const *argv, char **env, const int *out, const int *err, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    (void)sigemptyset(&none);
    if (posix_spawn_file_actions_init(&actions) != 0)
        return ENOMEM;
    if (posix_spawnattr_init(&attributes) != 0) {
        (void)posix_spawn_file_actions_destroy(&actions);
        return ENOMEM;
    }
    (void)posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    (void)posix_spawn_file_actions_adddup2(&actions, err[1], STDERR_FILENO);
    (void)posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", 0, 0);
    (void)posix_spawnattr_setsigmask(&attributes, &none); /* ours are blocked */
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    int code = posix_spawnp(ret_pid, argv[0], &actions, &attributes, (char *const *)argv, env);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attributes);
    return code;
}

static bool start(const char *const *argv, const char *password, struct child *ret, struct err *err)
{
    int out[2], talk[2];
    if (pipe2(out, O_CLOEXEC) != 0)
        return err_set_errno(err, errno, "cannot make a pipe");
    if (pipe2(talk, O_CLOEXEC) != 0) {
        int saved = errno;
        (void)close(out[0]);
        (void)close(out[1]);
        return err_set_errno(err, saved, "cannot make a pipe");
    }
    char *pair = password != NULL ? xasprintf("PGPASSWORD=%s", password) : NULL;
    char **env = environment(pair);
    int code = spawn_with(argv, env, out, talk, &ret->pid);
    free(env);
    free(pair);
    (void)close(out[1]);
    (void)close(talk[1]);
    if (code != 0) {
        (void)close(out[0]);
        (void)close(talk[0]);
        return err_set(
            err, ERR_CONFIG,
            "schema.pg_dump: cannot start %s (%s): install PostgreSQL's client programs, or name the program",
            argv[0], strerror(code));
    }
    ret->out = out[0];
    ret->err = talk[0];
    return true;
}

/* Reads what there is. *ret_open = false at the end. */
static void take(int fd, struct strbuf *into, bool keep_end, bool *ret_open)
{
    char piece[PIECE_BYTES];
    ssize_t n = read(fd, piece, sizeof piece);
    if (n < 0 && errno == EINTR)
        return;
    *ret_open = n > 0;
    if (n <= 0)
        return;
    if (keep_end && into->len + (size_t)n > into->max)
        strbuf_clear(into);
    strbuf_add(into, piece, MIN_OF((size_t)n, into->max));
}

static void collect(const struct child *child, struct strbuf *out, struct strbuf *talk)
{
    bool out_open = true, talk_open = true;
    while (out_open || talk_open) {
        struct pollfd fds[2] = {{.fd = out_open ? child->out : -1, .events = POLLIN},
                                {.fd = talk_open ? child->err : -1, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            break;
        if (fds[0].revents != 0)
            take(child->out, out, false, &out_open);
        if (fds[1].revents != 0)
            take(child->err, talk, true, &talk_open);
    }
}

/* The last lines of its talk that are no progress ("pg_dump: reading …"). */
static void add_reason(const char *talk, struct strbuf *out)
{
    const char *error = strstr(talk, "error:");
    const char *from = error != NULL ? error : talk;
    for (size_t i = 0; from[i] != '\0' && i < 600; i++)
        strbuf_addc(out, from[i] == '\n' ? ' ' : from[i]);
}

static bool finish(const struct child *child, const char *program, const struct strbuf *talk, struct err *err)
{
    int status = 0;
    while (waitpid(child->pid, &status, 0) < 0) {
        if (errno != EINTR)
            return err_set_errno(err, errno, "waiting for %s", program);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    struct strbuf reason = STRBUF_INIT(1000);
    add_reason(talk->data, &reason);
    err_set(err, ERR_SQL, "%s has failed: %s", program, reason.data);
    strbuf_release(&reason);
    return false;
}

static bool run(const char *const *argv, const char *password, struct strbuf *out, struct err *err)
{
    struct child child;
    struct strbuf talk = STRBUF_INIT(TALK_BYTES_MAX);
    if (!start(argv, password, &child, err))
        return false;
    collect(&child, out, &talk);
    (void)close(child.out);
    (void)close(child.err);
    bool ok = finish(&child, argv[0], &talk, err) && strbuf_ok(out, "what pg_dump prints", err);
    strbuf_release(&talk);
    return ok;
}

bool dump_program_major(const char *program, int *ret, struct err *err)
{
    const char *argv[] = {program, "--version", NULL};
    struct strbuf out = STRBUF_INIT(1000);
    if (!run(argv, NULL, &out, err)) {
        strbuf_release(&out);
        return false;
    }
    const char *at = strstr(out.data, "(PostgreSQL) ");
    int major = at != NULL ? (int)strtol(at + 13, NULL, 10) : 0;
    strbuf_release(&out);
    if (major == 0)
        return err_set(err, ERR_CONFIG,
                       "schema.pg_dump: %s does not say which version of PostgreSQL's pg_dump it is",
                       program);
    *ret = major;
    return true;
}

bool dump_run(const char *program, const char *url, const char *snapshot, struct strbuf *out, struct err *err)
{
    char *conninfo CLEANUP(free_ptr) = NULL, *password CLEANUP(free_ptr) = NULL;
    if (!pg_url_split(url, &conninfo, &password, err))
        return false;
    char *database CLEANUP(free_ptr) = xasprintf("--dbname=%s", conninfo);
    char *at CLEANUP(free_ptr) = xasprintf("--snapshot=%s", snapshot);
    const char *argv[] = {program,
                          "--schema-only",
                          "--verbose",
                          "--no-publications",
                          "--no-subscriptions",
                          "--no-tablespaces",
                          "--encoding=UTF8",
                          "--exclude-schema=crossfade",
                          "--no-password",
                          at,
                          database,
                          NULL};
    return run(argv, password, out, err);
}
