/* Owns: the list of connections, and the thread that asks the kernel about them. See line_watch.h. */
#include "core/line_watch.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/err.h"
#include "core/line_socket.h"
#include "core/log.h"
#include "core/mono_cond.h"

#define LOOK_EVERY_US INT64_C(1000000)
#define WHO_MAX       80
/* More than TCP_RTO_MAX, the longest pause between two questions about a closed window. */
#define WINDOW_SILENT_US INT64_C(130000000)

struct line {
    const void *owner;
    struct line_socket socket;
    int64_t since_us; /* mono; nothing was acknowledged since; 0 = all is well */
    char who[WHO_MAX];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static pthread_cond_t wake;
static pthread_t thread;
static atomic_bool runs;
static int64_t limit_us;
static struct line *lines;
static size_t line_count, line_cap;

/* Data were sent again, or a closed window was asked about again, and no answer came. */
static bool is_silent(const struct tcp_info *info)
{
    return info->tcpi_retransmits > 0 || info->tcpi_probes > 1;
}

/* A window that stays closed is asked about less and less often, up to two minutes apart: one question that is lost is no silence. */
static int64_t silent_limit_us(const struct tcp_info *info)
{
    return info->tcpi_retransmits > 0 ? limit_us : MAX_OF(limit_us, WINDOW_SILENT_US);
}

static void look(struct line *line, int64_t now_us)
{
    struct tcp_info info;
    socklen_t len = sizeof info;
    if (!line_socket_is_there(&line->socket) ||
        getsockopt(line->socket.fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0 || !is_silent(&info)) {
        line->since_us = 0;
        return;
    }
    if (line->since_us == 0)
        line->since_us = now_us;
    int64_t silent_us = now_us - line->since_us;
    if ((int64_t)info.tcpi_last_ack_recv * 1000 < silent_us) { /* in between it did answer */
        line->since_us = now_us;
        return;
    }
    if (silent_us < silent_limit_us(&info))
        return;
    line_socket_break(&line->socket); /* before anything that may wait, as the log may */
    line->since_us = 0;
    log_event(
        LOG_LEVEL_WARN, "line_silent",
        "server=%s ms=%lld text=\"the network has taken nothing that was sent: the connection is ended\"",
        line->who, (long long)(silent_us / 1000));
}

static void *watch(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&lock);
    while (atomic_load(&runs)) {
        int64_t now_us = clock_mono_us();
        for (size_t i = 0; i < line_count; i++)
            look(&lines[i], now_us);
        (void)mono_cond_wait(&wake, &lock, now_us + MIN_OF(LOOK_EVERY_US, MAX_OF(limit_us / 4, 1)));
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

void line_watch_start(int64_t limit_ms)
{
    mono_cond_init(&wake);
    limit_us = limit_ms * 1000;
    atomic_store(&runs, true);
    if (pthread_create(&thread, NULL, watch, NULL) != 0)
        BUG("no thread for connections");
}

void line_watch_stop(void)
{
    pthread_mutex_lock(&lock);
    bool did = atomic_exchange(&runs, false);
    if (did)
        pthread_cond_signal(&wake);
    pthread_mutex_unlock(&lock);
    if (!did)
        return;
    (void)pthread_join(thread, NULL);
    pthread_mutex_lock(&lock);
    free(lines);
    lines = NULL;
    line_count = line_cap = 0;
    pthread_mutex_unlock(&lock);
    (void)pthread_cond_destroy(&wake);
}

bool line_watch_runs(void)
{
    return atomic_load(&runs);
}

void line_watch_add(const void *owner, int fd, const char *who)
{
    if (!line_watch_runs() || fd < 0)
        return;
    pthread_mutex_lock(&lock);
    if (line_count == line_cap) {
        line_cap = line_cap == 0 ? 16 : 2 * line_cap;
        lines = xrealloc(lines, line_cap * sizeof *lines);
    }
    struct line *line = &lines[line_count++];
    *line = (struct line){.owner = owner, .socket = line_socket_of(fd)};
    (void)snprintf(line->who, sizeof line->who, "%s", who != NULL ? who : "?");
    pthread_mutex_unlock(&lock);
}

void line_watch_remove(const void *owner)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < line_count; i++) {
        if (lines[i].owner == owner) {
            lines[i] = lines[--line_count];
            break;
        }
    }
    pthread_mutex_unlock(&lock);
}
