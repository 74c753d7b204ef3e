/* Owns: running hooks. See hooks.h. */
#include "cutover/poolers/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"
#include "pg/url.h"

#define OUTPUT_BYTES_MAX ((size_t)8192)
#define LINE_BYTES_MAX   ((size_t)1000)
#define READ_POLL_MS     20

extern char **environ;

/* --- what a hook is given --- */

struct given {
    const char *name; /* without CROSSFADE_, in lower case */
    char *value;
};

enum { GIVEN_EVENT = 0, GIVEN_PIPELINE, GIVEN_ID, GIVEN_STATE, GIVEN_ENDS, GIVEN_MAX = GIVEN_ENDS + 6 };

static char *url_part(const struct cutover *co, const char *key, const char *keyword)
{
    char *value = NULL;
    struct err ignored = ERR_INIT; /* a URL that does not read would have been told before */
    if (!pg_url_value(config_text(co->cfg, key), keyword, &value, &ignored) || value == NULL)
        value = xstrdup("");
    return value;
}

static void gather(const struct cutover *co, const char *event, struct given given[GIVEN_MAX])
{
    static const struct {
        const char *name, *key, *keyword;
    } ends[] = {{"source_host", "source.url", "host"},     {"source_port", "source.url", "port"},
                {"source_dbname", "source.url", "dbname"}, {"target_host", "target.url", "host"},
                {"target_port", "target.url", "port"},     {"target_dbname", "target.url", "dbname"}};
    given[GIVEN_EVENT] = (struct given){"event", xstrdup(event)};
    given[GIVEN_PIPELINE] = (struct given){"pipeline", xstrdup(co->pipeline)};
    given[GIVEN_ID] = (struct given){"cutover_id", xstrdup(co->id)};
    given[GIVEN_STATE] = (struct given){"state", xstrdup(cutover_state_name(co->state))};
    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        given[GIVEN_ENDS + i] = (struct given){ends[i].name, url_part(co, ends[i].key, ends[i].keyword)};
}

static void given_release(struct given given[GIVEN_MAX])
{
    for (size_t i = 0; i < GIVEN_MAX; i++)
        free(given[i].value);
}

/* Behind ours come those of the environment, which ours hide. NULL-terminated. */
static char **make_environment(const struct given given[GIVEN_MAX])
{
    size_t theirs = 0;
    while (environ[theirs] != NULL)
        theirs++;
    char **env = xcalloc(GIVEN_MAX + theirs + 1, sizeof *env);
    size_t n = 0;
    for (; n < GIVEN_MAX; n++) {
        env[n] = xasprintf("CROSSFADE_%s=%s", given[n].name, given[n].value);
        for (char *p = env[n]; *p != '='; p++)
            *p = (char)(*p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p);
    }
    for (size_t i = 0; i < theirs; i++) {
        if (strncmp(environ[i], "CROSSFADE_", 10) != 0)
            env[n++] = xstrdup(environ[i]);
    }
    return env;
}

static void free_environment(char **env)
{
    for (size_t i = 0; env[i] != NULL; i++)
        free(env[i]);
    free(env);
}

/* A file in memory: a pipe would want to be written while it is read. */
static int make_input(const struct given given[GIVEN_MAX], struct err *err)
{
    json_t *json = json_object();
    for (size_t i = 0; i < GIVEN_MAX; i++)
        json_object_set_new(json, given[i].name, json_string(given[i].value));
    char *text = json_dumps(json, 0);
    json_decref(json);
    int fd = memfd_create("crossfade-hook", MFD_CLOEXEC);
    size_t len = text != NULL ? strlen(text) : 0;
    bool ok = fd >= 0 && text != NULL && write(fd, text, len) == (ssize_t)len && lseek(fd, 0, SEEK_SET) == 0;
    free(text);
    if (ok)
        return fd;
    err_set_errno(err, errno, "a hook's input");
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

/* --- its process --- */

struct hook {
    pid_t pid; /* and of its group */
    int out_fd;
    int status;
    bool late;
    struct strbuf said;
    size_t more_bytes; /* said beyond OUTPUT_BYTES_MAX */
};

static int spawn_with(struct hook *h, const char *command, int in_fd, int out_fd, char **env,
                      posix_spawn_file_actions_t *actions, posix_spawnattr_t *attributes)
{
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)command, NULL};
    sigset_t none, usual;
    (void)sigemptyset(&none);
    (void)sigemptyset(&usual);
    (void)sigaddset(&usual, SIGPIPE);
    (void)sigaddset(&usual, SIGINT);
    (void)sigaddset(&usual, SIGTERM);
    (void)posix_spawn_file_actions_adddup2(actions, in_fd, STDIN_FILENO);
    (void)posix_spawn_file_actions_adddup2(actions, out_fd, STDOUT_FILENO);
    (void)posix_spawn_file_actions_adddup2(actions, out_fd, STDERR_FILENO);
    (void)posix_spawnattr_setsigmask(attributes, &none); /* ours are blocked */
    (void)posix_spawnattr_setsigdefault(attributes, &usual);
    (void)posix_spawnattr_setpgroup(attributes, 0);
    (void)posix_spawnattr_setflags(attributes,
                                   POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    return posix_spawn(&h->pid, "/bin/sh", actions, attributes, argv, env);
}

static bool spawn(struct hook *h, const char *command, int in_fd, char **env, struct err *err)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_set_errno(err, errno, "a hook's output");
    if (posix_spawn_file_actions_init(&actions) != 0 || posix_spawnattr_init(&attributes) != 0)
        BUG("no memory for a hook's process");
    int failed = spawn_with(h, command, in_fd, ends[1], env, &actions, &attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attributes);
    (void)close(ends[1]);
    if (failed != 0) {
        (void)close(ends[0]);
        return err_set_errno(err, failed, "/bin/sh cannot be started");
    }
    h->out_fd = ends[0];
    (void)fcntl(h->out_fd, F_SETFL, O_NONBLOCK);
    return true;
}

static void read_output(struct hook *h)
{
    char bytes[4096];
    for (ssize_t n; (n = read(h->out_fd, bytes, sizeof bytes)) > 0;) {
        size_t room = OUTPUT_BYTES_MAX - h->said.len;
        size_t kept = MIN_OF((size_t)n, room);
        strbuf_add(&h->said, bytes, kept);
        h->more_bytes += (size_t)n - kept;
    }
}

/* Until it ends: something that it left running may hold its output open for longer. */
static void await(struct hook *h, int64_t deadline_us)
{
    for (;;) {
        struct pollfd fd = {.fd = h->out_fd, .events = POLLIN};
        if (poll(&fd, 1, READ_POLL_MS) > 0 && (fd.revents & POLLIN) == 0)
            (void)poll(NULL, 0, READ_POLL_MS); /* it has closed its output */
        bool ended = waitpid(h->pid, &h->status, WNOHANG) == h->pid;
        read_output(h);
        if (ended)
            return;
        if (clock_mono_us() >= deadline_us && !h->late) {
            h->late = true;
            (void)kill(-h->pid, SIGKILL);
        }
    }
}

/* --- what it said --- */

static void hide(char *line, const char *secret)
{
    size_t len = secret != NULL ? strlen(secret) : 0;
    for (char *at = line; len > 0 && (at = strstr(at, secret)) != NULL; at += len)
        memset(at, '*', len);
}

static void hide_secrets(const struct cutover *co, char *line)
{
    static const char *const keys[] = {"source.url", "target.url"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        char *password CLEANUP(free_ptr) = url_part(co, keys[i], "password");
        hide(line, password);
    }
    hide(line, getenv("PGPASSWORD"));
}

static void tell(struct cutover *co, const char *event, struct hook *h)
{
    char *rest = h->said.data;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        char masked[LINE_BYTES_MAX];
        if (*line == '\0')
            continue;
        for (char *p = line; *p != '\0'; p++)
            *p = (char)((unsigned char)*p < ' ' || *p == 0x7f ? ' ' : *p);
        hide_secrets(co, line);
        cutover_say(co, "%s: %s", event, log_mask_url(line, masked, sizeof masked));
    }
    if (h->more_bytes > 0)
        cutover_say(co, "%s: (%zu further bytes)", event, h->more_bytes);
}

static bool judge(const struct cutover *co, const char *event, const char *command, const struct hook *h,
                  struct err *err)
{
    char masked[200];
    (void)log_mask_url(command, masked, sizeof masked);
    if (h->late)
        return err_set(err, ERR_TIMEOUT,
                       "hook %s: %s: not done after %lld ms (cutover.hook_timeout_ms), ended", event, masked,
                       (long long)config_int(co->cfg, "cutover.hook_timeout_ms"));
    if (WIFSIGNALED(h->status))
        return err_set(err, ERR_REFUSED, "hook %s: %s: ended by signal %d", event, masked,
                       WTERMSIG(h->status));
    return WEXITSTATUS(h->status) == 0 ||
           err_set(err, ERR_REFUSED, "hook %s: %s: exit code %d", event, masked, WEXITSTATUS(h->status));
}

/* The command itself may hold a secret: its number tells which it was. */
static void note(struct cutover *co, const char *event, size_t n, int64_t began_us, bool ok)
{
    int64_t took_us = clock_mono_us() - began_us;
    notes_add(co, json_pack("{s:s, s:s, s:I, s:I, s:I, s:b}", "kind", "hook", "name", event, "number",
                            (json_int_t)n + 1, "at_us", (json_int_t)(clock_wall_us() - took_us), "took_us",
                            (json_int_t)took_us, "ok", ok));
}

static bool run_one(struct cutover *co, const char *event, const char *command, const struct given *given,
                    char **env, struct err *err)
{
    struct hook h = {.said = STRBUF_INIT(OUTPUT_BYTES_MAX)};
    int in_fd = make_input(given, err);
    if (in_fd < 0)
        return false;
    bool ok = spawn(&h, command, in_fd, env, err);
    (void)close(in_fd);
    if (!ok)
        return false;
    await(&h, clock_mono_us() + config_int(co->cfg, "cutover.hook_timeout_ms") * 1000);
    (void)close(h.out_fd);
    if (h.said.len > 0)
        tell(co, event, &h);
    ok = judge(co, event, command, &h, err);
    strbuf_release(&h.said);
    return ok;
}

/* go_on: also behind one that failed; the first failure is kept. */
static bool run_all(struct cutover *co, const char *event, bool go_on, struct err *err)
{
    char *key CLEANUP(free_ptr) = xasprintf("cutover.%s", event);
    size_t count;
    const char *const *commands = config_list(co->cfg, key, &count);
    struct given given[GIVEN_MAX];
    bool ok = true;
    if (count == 0)
        return true;
    gather(co, event, given);
    char **env = make_environment(given);
    for (size_t i = 0; i < count && (ok || go_on); i++) {
        struct err now = ERR_INIT;
        int64_t began_us = clock_mono_us();
        bool done = run_one(co, event, commands[i], given, env, &now);
        note(co, event, i, began_us, done);
        if (done)
            continue;
        if (go_on)
            cutover_say(co, "%s", now.text);
        if (ok && err != NULL)
            *err = now;
        ok = false;
    }
    free_environment(env);
    given_release(given);
    return ok;
}

bool hooks_run(struct cutover *co, const char *event, struct err *err)
{
    return run_all(co, event, false, err);
}

void hooks_report(struct cutover *co, const char *event)
{
    (void)run_all(co, event, true, NULL);
}
