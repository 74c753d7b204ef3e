/* Wraps libsystemd's sd_notify(). One per process, like the socket that it speaks to. */
#include "control/service.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "control/board.h"
#include "core/alive.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"

#define LOOK_EVERY_MS   200
#define STATUS_EVERY_US INT64_C(2000000)
#define STATUS_MAX      400
#define PINGS_IN_TIME   4 /* so many within the time that the watchdog allows */

struct service {
    pthread_t thread;
    struct status_board *board;
    int stop_fd, end_fd;
    int64_t ping_every_us, pinged_us; /* every: 0 = nobody watches */
    bool heard;                       /* somebody listens */
    bool ready;
    int64_t status_us;
    char status[STATUS_MAX];
};

/* A message that is not taken is not sent again: the manager is gone, or will draw its own conclusions. */
static void tell(const char *message)
{
    int rc = sd_notify(0, message);
    if (rc < 0)
        log_event(LOG_LEVEL_WARN, "notify_failed", "errno=%d", -rc);
}

static atomic_bool told_ready;

static void ping(void)
{
    tell("WATCHDOG=1");
}

/* One line: errors may hold names of any kind. */
static void without_controls(char *text)
{
    for (char *p = text; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = ' ';
    }
}

static void compose(struct status_board *board, char out[STATUS_MAX])
{
    struct board_view view;
    double lag_s = 0, percent = 0, eta_s = -1;
    board_look(board, &view);
    const struct role_status *st = &view.status;
    int n = snprintf(out, STATUS_MAX, "%s: %s", st->pipeline, role_phase_name(st->phase));
    size_t used = MIN_OF((size_t)MAX_OF(n, 0), (size_t)STATUS_MAX - 1);
    if (st->phase == PHASE_RETRYING || st->phase == PHASE_HALTED)
        (void)snprintf(out + used, STATUS_MAX - used, ": %.300s", st->last_error);
    else if (st->phase == PHASE_SNAPSHOT && board_view_eta(&view, &percent, &eta_s))
        (void)snprintf(out + used, STATUS_MAX - used, ", %.0f %% copied", percent);
    else if (st->phase == PHASE_STREAMING && board_view_lag_seconds(&view, &lag_s))
        (void)snprintf(out + used, STATUS_MAX - used, ", %.0f s behind", lag_s);
    board_view_release(&view);
    without_controls(out);
}

static void tell_status(struct service *s, int64_t now_us)
{
    char text[STATUS_MAX], message[STATUS_MAX + 32];
    if (s->status_us != 0 && now_us - s->status_us < STATUS_EVERY_US)
        return;
    compose(s->board, text);
    s->status_us = now_us;
    if (strcmp(text, s->status) == 0)
        return;
    memcpy(s->status, text, sizeof s->status);
    (void)snprintf(message, sizeof message, "STATUS=%s", text);
    tell(message);
}

/* In the loop's place, as long as it has said that it waits for a server. */
static void ping_for_loop(struct service *s, int64_t now_us)
{
    if (s->ping_every_us == 0 || !alive_waits() || now_us - s->pinged_us < s->ping_every_us)
        return;
    s->pinged_us = now_us;
    ping();
}

static void *run(void *arg)
{
    struct service *s = arg;
    struct pollfd fds[] = {{.fd = s->end_fd, .events = POLLIN}, {.fd = s->stop_fd, .events = POLLIN}};
    while (fds[0].revents == 0) {
        int64_t now_us = clock_mono_us();
        if (fds[1].revents != 0) {
            fds[1].fd = -1;
            tell("STOPPING=1");
        }
        if (!s->ready && status_board_ready(s->board)) {
            s->ready = true;
            s->status_us = 0;
            tell_status(s, now_us);
            tell("READY=1");
            atomic_store(&told_ready, true);
        }
        tell_status(s, now_us);
        ping_for_loop(s, now_us);
        (void)poll(fds, ARRAY_LEN(fds), LOOK_EVERY_MS);
    }
    return NULL;
}

struct service *service_start(struct status_board *board, int stop_fd)
{
    struct service *s = xcalloc(1, sizeof *s);
    uint64_t watchdog_us = 0;
    const char *socket = getenv("NOTIFY_SOCKET");
    s->board = board;
    s->stop_fd = stop_fd;
    s->heard = socket != NULL && *socket != '\0';
    if (s->heard && sd_watchdog_enabled(0, &watchdog_us) > 0)
        s->ping_every_us = (int64_t)(watchdog_us / PINGS_IN_TIME);
    alive_loop_is_here(s->ping_every_us > 0 ? ping : NULL, s->ping_every_us);
    if (!s->heard)
        return s;
    s->end_fd = eventfd(0, EFD_CLOEXEC);
    if (s->end_fd < 0 || pthread_create(&s->thread, NULL, run, s) != 0)
        BUG("no thread for the service manager");
    return s;
}

void service_reloading(void)
{
    char message[80];
    if (!atomic_load(&told_ready))
        return;
    (void)snprintf(message, sizeof message, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)clock_mono_us());
    tell(message);
}

void service_reloaded(void)
{
    if (atomic_load(&told_ready))
        tell("READY=1");
}

static void say_goodbye(struct service *s, const char *text)
{
    static const char head[] = "STOPPING=1\nSTATUS=";
    char message[STATUS_MAX];
    if (eventfd_write(s->end_fd, 1) != 0)
        BUG("eventfd_write failed");
    pthread_join(s->thread, NULL);
    atomic_store(&told_ready, false);
    close(s->end_fd);
    (void)snprintf(message, sizeof message, "%s%s", head, text != NULL ? text : "stopped");
    without_controls(message + sizeof head - 1);
    tell(message);
}

void service_stop(struct service *s, const char *text)
{
    alive_loop_ended();
    if (s->heard)
        say_goodbye(s, text);
    free(s);
}
