/*
 * Owns: children of a rehearsal: the roles, which run until they are ended, and the commands. Each is this executable with a configuration
 * file (nothing secret is in its arguments), writes into a file of the folder, and is killed by the kernel should this process end first
 * (core/child.c runs hooks, which may outlive it and whose output is read as it comes).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"
#include "rehearsal.h"

#define WORDS_MAX   12
#define LOOK_MS     20
#define GRACE_US    INT64_C(15000000)
#define TAIL_BYTES  4096
#define EXIT_NO_RUN 127

static const char *const role_words[ROLES][3] = {[FORWARD_CAPTURE] = {"capture", NULL, NULL},
                                                 [FORWARD_APPLY] = {"apply", NULL, NULL},
                                                 [BACK_CAPTURE] = {"--reverse", "capture", NULL},
                                                 [BACK_APPLY] = {"--reverse", "apply", NULL}};
static const char *const role_names[ROLES] = {[FORWARD_CAPTURE] = "capture",
                                              [FORWARD_APPLY] = "apply",
                                              [BACK_CAPTURE] = "capture of the way back",
                                              [BACK_APPLY] = "apply of the way back"};

/* Between fork and exec of a process with threads: only what signal handlers may call. */
static NORETURN void become(const char *const *argv, int out, int log, pid_t parent)
{
    struct sigaction usual = {.sa_handler = SIG_DFL};
    sigset_t none;
    (void)sigemptyset(&none);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(EXIT_NO_RUN);
    (void)setpgid(0, 0);
    (void)sigaction(SIGPIPE, &usual, NULL);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    int in = open("/dev/null", O_RDONLY);
    if (dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 && dup2(log, STDERR_FILENO) >= 0)
        (void)execv("/proc/self/exe", (char *const *)argv);
    _exit(EXIT_NO_RUN);
}

static int open_file(struct rehearsal *r, const char *name, struct err *err)
{
    int fd = openat(r->folder_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        err_set_errno(err, errno, "cannot write %s/%s", r->folder, name);
    return fd;
}

static bool start(const char *config, const char *const *words, int out, int log, pid_t *ret, struct err *err)
{
    const char *argv[WORDS_MAX + 4] = {"crossfade", "-c", config};
    for (size_t i = 0; i < WORDS_MAX && words[i] != NULL; i++)
        argv[3 + i] = words[i];
    pid_t parent = getpid();
    *ret = fork();
    if (*ret == 0)
        become(argv, out, log, parent);
    return *ret > 0 || err_set_errno(err, errno, "cannot start a process");
}

bool process_start_role(struct rehearsal *r, int role, struct err *err)
{
    char name[32];
    (void)snprintf(name, sizeof name, "role%d.log", role);
    int fd = open_file(r, name, err);
    if (fd < 0)
        return false;
    bool ok = start(r->config_file, role_words[role], fd, fd, &r->roles[role], err);
    (void)close(fd);
    return ok;
}

static void end_group(pid_t pid, int number)
{
    if (kill(-pid, number) != 0)
        (void)kill(pid, number); /* it has not come to be a group yet */
}

/* The last lines of a file, as one line without secrets. */
static void add_tail(int fd, struct strbuf *out)
{
    char bytes[TAIL_BYTES + 1], masked[700];
    off_t end = lseek(fd, 0, SEEK_END), from = end > 600 ? end - 600 : 0;
    ssize_t n = pread(fd, bytes, TAIL_BYTES, from);
    bytes[n > 0 ? n : 0] = '\0';
    for (char *p = bytes; *p != '\0'; p++)
        *p = (char)((unsigned char)*p < ' ' ? ' ' : *p);
    strbuf_adds(out, log_mask_text(bytes, masked, sizeof masked));
}

/* A role that has ended by itself. */
static bool roles_live(struct rehearsal *r, struct err *err)
{
    for (int i = 0; i < ROLES; i++) {
        int status = 0;
        if (r->roles[i] == 0 || waitpid(r->roles[i], &status, WNOHANG) != r->roles[i])
            continue;
        struct strbuf tail = STRBUF_INIT(1000);
        char name[32];
        r->roles[i] = 0;
        (void)snprintf(name, sizeof name, "role%d.log", i);
        int fd = openat(r->folder_fd, name, O_RDONLY | O_CLOEXEC);
        if (fd >= 0)
            add_tail(fd, &tail);
        if (fd >= 0)
            (void)close(fd);
        err_set(err, ERR_REFUSED, "%s has ended (%s %d): %s", role_names[i],
                WIFEXITED(status) ? "exit code" : "signal",
                WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), tail.data);
        strbuf_release(&tail);
        return false;
    }
    return true;
}

static bool await(struct rehearsal *r, pid_t pid, int64_t timeout_ms, int *ret_code, struct err *err)
{
    int64_t until_us = clock_mono_us() + timeout_ms * 1000;
    int status = 0;
    for (;;) {
        struct pollfd stop = {.fd = r->request->stop_fd, .events = POLLIN};
        if (waitpid(pid, &status, WNOHANG) == pid)
            break;
        bool good = roles_live(r, err);
        if (good && poll(&stop, 1, LOOK_MS) > 0)
            good = err_set(err, ERR_INTERRUPTED, "stopped");
        if (good && clock_mono_us() >= until_us)
            good = err_set(err, ERR_TIMEOUT, "not done after %lld s", (long long)timeout_ms / 1000);
        if (!good) {
            end_group(pid, SIGKILL); /* what it leaves is scratch */
            while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                continue;
            return false;
        }
    }
    *ret_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return true;
}

static json_t *read_json(int fd)
{
    (void)lseek(fd, 0, SEEK_SET);
    return json_loadfd(fd, JSON_DISABLE_EOF_CHECK, NULL);
}

static bool run_between(struct rehearsal *r, const char *config, const char *const *words, int64_t timeout_ms,
                        int out, int log, int *ret_code, json_t **ret_output, struct err *err)
{
    pid_t pid = 0;
    if (!start(config, words, out, log, &pid, err) || !await(r, pid, timeout_ms, ret_code, err))
        return false;
    json_t *output = read_json(out);
    if (*ret_code != 0 && !err_is_set(err)) {
        struct strbuf tail = STRBUF_INIT(1000);
        const char *reason = json_string_value(json_object_get(output, "reason"));
        if (reason != NULL && *reason != '\0')
            strbuf_adds(&tail, reason);
        else
            add_tail(log, &tail);
        err_set(err, ERR_REFUSED, "exit code %d: %s", *ret_code, tail.data);
        strbuf_release(&tail);
    }
    if (ret_output != NULL)
        *ret_output = output;
    else
        json_decref(output);
    return *ret_code == 0;
}

bool process_run(struct rehearsal *r, const char *config, const char *const *words, int64_t timeout_ms,
                 int *ret_code, json_t **ret_output, struct err *err)
{
    *ret_code = -1;
    if (ret_output != NULL)
        *ret_output = NULL;
    int out = open_file(r, "command.out", err);
    int log = out >= 0 ? open_file(r, "command.log", err) : -1;
    bool ok = log >= 0 && run_between(r, config, words, timeout_ms, out, log, ret_code, ret_output, err);
    if (log >= 0)
        (void)close(log);
    if (out >= 0)
        (void)close(out);
    if (!ok) {
        struct strbuf line = STRBUF_INIT(500);
        for (size_t i = 0; words[i] != NULL; i++)
            strbuf_addf(&line, "%s%s", i > 0 ? " " : "", words[i]);
        err_wrap(err, "crossfade %s", line.data);
        strbuf_release(&line);
    }
    return ok;
}

void process_end_roles(struct rehearsal *r)
{
    int64_t until_us = clock_mono_us() + GRACE_US;
    int living = 0;
    for (int i = 0; i < ROLES; i++) {
        if (r->roles[i] != 0)
            end_group(r->roles[i], SIGTERM);
    }
    do {
        bool late = clock_mono_us() >= until_us;
        living = 0;
        for (int i = 0; i < ROLES; i++) {
            if (r->roles[i] == 0)
                continue;
            if (late)
                end_group(r->roles[i], SIGKILL);
            if (waitpid(r->roles[i], NULL, WNOHANG) == r->roles[i])
                r->roles[i] = 0;
            else
                living++;
        }
        if (living > 0)
            (void)poll(NULL, 0, LOOK_MS);
    } while (living > 0);
}
