/* Owns: child processes from start to end. See child.h. */
#include "core/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/clock.h"

#define READ_POLL_MS 20

extern char **environ;

struct child {
    const struct child_order *order;
    struct child_end *end;
    pid_t pid; /* and of its group */
    int out_fd;
    bool told; /* to stop */
};

static bool is_hidden(const struct child_order *order, const char *ours)
{
    size_t len = strcspn(ours, "=") + 1;
    if (order->hidden != NULL && strncmp(ours, order->hidden, strlen(order->hidden)) == 0)
        return true;
    for (size_t i = 0; order->more != NULL && order->more[i] != NULL; i++) {
        if (strncmp(order->more[i], ours, len) == 0)
            return true;
    }
    return false;
}

/* Behind those that were asked for come those of ours, which they hide. NULL-terminated; the texts are not owned. */
static const char **make_environment(const struct child_order *order)
{
    size_t more = 0, ours = 0, n = 0;
    while (order->more != NULL && order->more[more] != NULL)
        more++;
    while (environ[ours] != NULL)
        ours++;
    const char **env = xcalloc(more + ours + 1, sizeof *env);
    for (; n < more; n++)
        env[n] = order->more[n];
    for (size_t i = 0; i < ours; i++) {
        if (!is_hidden(order, environ[i]))
            env[n++] = environ[i];
    }
    return env;
}

/* A file in memory: a pipe would want to be written while it is read. */
static int make_input(const char *text, struct err *err)
{
    int fd = memfd_create("crossfade-child", MFD_CLOEXEC);
    size_t len = text != NULL ? strlen(text) : 0;
    if (fd >= 0 && (len == 0 || write(fd, text, len) == (ssize_t)len) && lseek(fd, 0, SEEK_SET) == 0)
        return fd;
    err_set_errno(err, errno, "a command's input");
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

/* apart: what divides it from our group of processes. */
static void set_attributes(posix_spawnattr_t *attributes, int apart)
{
    sigset_t none, usual;
    (void)sigemptyset(&none);
    (void)sigemptyset(&usual);
    (void)sigaddset(&usual, SIGPIPE);
    (void)sigaddset(&usual, SIGINT);
    (void)sigaddset(&usual, SIGTERM);
    (void)posix_spawnattr_setsigmask(attributes, &none); /* ours are blocked */
    (void)posix_spawnattr_setsigdefault(attributes, &usual);
    (void)posix_spawnattr_setpgroup(attributes, 0);
    (void)posix_spawnattr_setflags(attributes,
                                   (short)(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | apart));
}

static int spawn_with(struct child *c, int in_fd, int out_fd, posix_spawn_file_actions_t *actions,
                      posix_spawnattr_t *attributes)
{
    const char *const shell[] = {"/bin/sh", "-c", c->order->command, NULL};
    const char *const *argv = c->order->command != NULL ? shell : c->order->argv;
    const char **env = make_environment(c->order);
    (void)posix_spawn_file_actions_adddup2(actions, in_fd, STDIN_FILENO);
    (void)posix_spawn_file_actions_adddup2(actions, out_fd, STDOUT_FILENO);
    (void)posix_spawn_file_actions_adddup2(actions, out_fd, STDERR_FILENO);
    /* Whatever a library has opened meanwhile in another thread: a session of ours is not the command's. */
    (void)posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1);
    set_attributes(attributes, POSIX_SPAWN_SETPGROUP);
    int failed = posix_spawn(&c->pid, argv[0], actions, attributes, (char *const *)argv, (char *const *)env);
    free(env);
    return failed;
}

static bool spawn(struct child *c, int in_fd, struct err *err)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_set_errno(err, errno, "a command's output");
    if (posix_spawn_file_actions_init(&actions) != 0 || posix_spawnattr_init(&attributes) != 0)
        BUG("no memory for a child process");
    int failed = spawn_with(c, in_fd, ends[1], &actions, &attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attributes);
    (void)close(ends[1]);
    if (failed != 0) {
        (void)close(ends[0]);
        return err_set_errno(err, failed, "%s cannot be started",
                             c->order->command != NULL ? "/bin/sh" : c->order->argv[0]);
    }
    c->out_fd = ends[0];
    (void)fcntl(c->out_fd, F_SETFL, O_NONBLOCK);
    return true;
}

static int spawn_apart(const struct child_order *order, int in_fd, int socket_fd, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    const char **env = make_environment(order);
    if (posix_spawn_file_actions_init(&actions) != 0 || posix_spawnattr_init(&attributes) != 0)
        BUG("no memory for a child process");
    (void)posix_spawn_file_actions_adddup2(&actions, in_fd, STDIN_FILENO);
    (void)posix_spawn_file_actions_adddup2(&actions, socket_fd, CHILD_SOCKET_FD);
    (void)posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    (void)posix_spawn_file_actions_addclosefrom_np(&actions, CHILD_SOCKET_FD + 1);
    set_attributes(&attributes, POSIX_SPAWN_SETSID);
    int failed = posix_spawn(ret_pid, order->argv[0], &actions, &attributes, (char *const *)order->argv,
                             (char *const *)env);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attributes);
    free(env);
    return failed;
}

bool child_start_apart(const struct child_order *order, pid_t *ret_pid, int *ret_fd, struct err *err)
{
    int ends[2];
    int in_fd = make_input(order->input, err);
    if (in_fd < 0)
        return false;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        err_set_errno(err, errno, "a socket to a process of ours");
        (void)close(in_fd);
        return false;
    }
    int failed = spawn_apart(order, in_fd, ends[1], ret_pid);
    (void)close(in_fd);
    (void)close(ends[1]);
    if (failed != 0) {
        (void)close(ends[0]);
        return err_set_errno(err, failed, "%s cannot be started", order->argv[0]);
    }
    *ret_fd = ends[0];
    return true;
}

static void read_output(struct child *c)
{
    char bytes[4096];
    for (ssize_t n; (n = read(c->out_fd, bytes, sizeof bytes)) > 0;) {
        size_t room = CHILD_OUTPUT_MAX - c->end->said.len;
        size_t kept = MIN_OF((size_t)n, room);
        strbuf_add(&c->end->said, bytes, kept);
        c->end->more_bytes += (size_t)n - kept;
    }
}

static void hurry(struct child *c, int64_t began_us)
{
    struct pollfd stop = {.fd = c->order->stop_fd, .events = POLLIN};
    if (!c->told && stop.fd >= 0 && poll(&stop, 1, 0) > 0) {
        c->told = true;
        (void)kill(-c->pid, SIGTERM);
    }
    if (c->order->timeout_ms > 0 && !c->end->late &&
        clock_mono_us() - began_us >= c->order->timeout_ms * 1000) {
        c->end->late = true;
        (void)kill(-c->pid, SIGKILL);
    }
}

/* Until it ends: something that it left running may hold its output open for longer. */
static void await(struct child *c)
{
    int64_t began_us = clock_mono_us();
    for (;;) {
        struct pollfd fd = {.fd = c->out_fd, .events = POLLIN};
        if (poll(&fd, 1, READ_POLL_MS) > 0 && (fd.revents & POLLIN) == 0)
            (void)poll(NULL, 0, READ_POLL_MS); /* it has closed its output */
        bool ended = waitpid(c->pid, &c->end->status, WNOHANG) == c->pid;
        read_output(c);
        if (ended)
            return;
        hurry(c, began_us);
    }
}

bool child_run(const struct child_order *order, struct child_end *ret, struct err *err)
{
    *ret = (struct child_end){.said = STRBUF_INIT(CHILD_OUTPUT_MAX)};
    struct child c = {.order = order, .end = ret};
    int in_fd = make_input(order->input, err);
    if (in_fd < 0)
        return false;
    bool ok = spawn(&c, in_fd, err);
    (void)close(in_fd);
    if (!ok)
        return false;
    await(&c);
    (void)close(c.out_fd);
    return true;
}

void child_end_release(struct child_end *end)
{
    strbuf_release(&end->said);
}

bool child_ended_well(const struct child_end *end)
{
    return !end->late && WIFEXITED(end->status) && WEXITSTATUS(end->status) == 0;
}

const char *child_end_text(const struct child_end *end, int64_t timeout_ms, char out[CHILD_TEXT_MAX])
{
    if (end->late)
        (void)snprintf(out, CHILD_TEXT_MAX, "not done after %lld ms", (long long)timeout_ms);
    else if (WIFSIGNALED(end->status))
        (void)snprintf(out, CHILD_TEXT_MAX, "ended by signal %d", WTERMSIG(end->status));
    else
        (void)snprintf(out, CHILD_TEXT_MAX, "exit code %d", WEXITSTATUS(end->status));
    return out;
}

char *child_line(char **rest)
{
    char *line;
    while ((line = strsep(rest, "\n")) != NULL && *line == '\0')
        ;
    for (char *p = line; p != NULL && *p != '\0'; p++)
        *p = (char)((unsigned char)*p < ' ' || *p == 0x7f ? ' ' : *p);
    return line;
}
