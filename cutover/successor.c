/* Owns: the successor as the cutover before it sees it. See successor.h. */
#include "cutover/successor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/child.h"
#include "cutover_internal.h"

#define PACKED_BYTES_MAX ((size_t)4 << 20)
#define READY_MS         30000

static bool tell(const struct successor *s, enum successor_word word)
{
    char byte = (char)word;
    return send(s->fd, &byte, 1, MSG_NOSIGNAL) == 1;
}

static void await_end(struct successor *s)
{
    (void)close(s->fd);
    while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    *s = (struct successor){0};
}

/* Whether it has read its configuration. */
static bool is_ready(const struct successor *s)
{
    struct pollfd fd = {.fd = s->fd, .events = POLLIN};
    char byte = 0;
    return poll(&fd, 1, READY_MS) > 0 && recv(s->fd, &byte, 1, 0) == 1 && byte == SUCCESSOR_READY;
}

/* What tests inject is for the one before it. */
static bool begin(struct cutover *co, const char *packed, struct err *err)
{
    const char *const argv[] = {"/proc/self/exe", "take-over", co->pipeline, NULL};
    const struct child_order order = {
        .argv = argv, .hidden = "CROSSFADE_FAILPOINT", .input = packed, .stop_fd = -1};
    struct successor *s = &co->successor;
    if (!child_start_apart(&order, &s->pid, &s->fd, err)) {
        *s = (struct successor){0};
        return false;
    }
    if (is_ready(s))
        return true;
    (void)kill(s->pid, SIGKILL);
    await_end(s);
    return err_set(
        err, ERR_IO,
        "it did not begin. Hint: its words stand above, if it had any; is there memory for one more "
        "process?");
}

static bool start(struct cutover *co, struct err *err)
{
    struct strbuf packed = STRBUF_INIT(PACKED_BYTES_MAX);
    config_pack(co->cfg, &packed);
    bool ok = strbuf_ok(&packed, "the configuration", err) && begin(co, packed.data, err);
    strbuf_release(&packed);
    return ok || err_wrap(err, "the process that takes over should this one die");
}

bool successor_start(struct cutover *co, struct err *err)
{
    char id[40], at[40];
    if (co->successor.pid != 0 || co->takes_over)
        return true;
    if (!back_last_switch(co, id, at, err))
        return false;
    return id[0] == '\0' || start(co, err);
}

void successor_decides(struct cutover *co)
{
    struct successor *s = &co->successor;
    struct err failed = ERR_INIT;
    if (s->pid == 0 || s->told)
        return;
    s->told = tell(s, SUCCESSOR_DECIDES);
    if (s->told)
        return;
    await_end(s);
    if (start(co, &failed))
        s->told = tell(s, SUCCESSOR_DECIDES);
    else
        cutover_say(co, "%s: should this one die behind the decision, `crossfade %s resume` is needed",
                    failed.text, cutover_command(co));
}

void successor_end(struct cutover *co)
{
    struct successor *s = &co->successor;
    if (s->pid == 0)
        return;
    if (!tell(s, SUCCESSOR_ENDED))
        (void)kill(s->pid, SIGKILL); /* it has closed its end: nothing is left for it to do */
    await_end(s);
}
