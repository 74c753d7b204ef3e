/* Owns: since when each connection has been sending its request, and the thread that looks. See http_server_late.h. */
#include "control/http_server_late.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/err.h"
#include "core/mono_cond.h"

#define LOOK_EVERY_MS 500

struct http_late_mark {
    struct http_late_mark *next, **before;
    int fd;
    int64_t since_us; /* 0 = its request is there */
};

struct http_late {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    bool ends;
    int64_t allowed_us;
    struct http_late_mark *first;
};

/* The server closes a descriptor that was shut down, and says so: here it is never closed. */
static void end_late_ones(struct http_late *late)
{
    int64_t now_us = clock_mono_us();
    for (struct http_late_mark *m = late->first; m != NULL; m = m->next) {
        if (m->since_us != 0 && now_us - m->since_us > late->allowed_us) {
            (void)shutdown(m->fd, SHUT_RDWR);
            m->since_us = 0;
        }
    }
}

static void *look(void *arg)
{
    struct http_late *late = arg;
    pthread_mutex_lock(&late->lock);
    while (!late->ends) {
        (void)mono_cond_wait(&late->wake, &late->lock, clock_mono_us() + LOOK_EVERY_MS * 1000);
        end_late_ones(late);
    }
    pthread_mutex_unlock(&late->lock);
    return NULL;
}

struct http_late *http_late_start(int64_t allowed_us)
{
    struct http_late *late = xcalloc(1, sizeof *late);
    late->allowed_us = allowed_us;
    mono_cond_init(&late->wake);
    if (pthread_mutex_init(&late->lock, NULL) != 0 || pthread_create(&late->thread, NULL, look, late) != 0)
        BUG("no thread for late connections");
    return late;
}

void http_late_end(struct http_late *late)
{
    if (late == NULL)
        return;
    pthread_mutex_lock(&late->lock);
    late->ends = true;
    pthread_cond_signal(&late->wake);
    pthread_mutex_unlock(&late->lock);
    pthread_join(late->thread, NULL);
    while (late->first != NULL)
        http_late_leave(late, late->first);
    pthread_cond_destroy(&late->wake);
    pthread_mutex_destroy(&late->lock);
    free(late);
}

struct http_late_mark *http_late_enter(struct http_late *late, int fd)
{
    struct http_late_mark *m = xcalloc(1, sizeof *m);
    m->fd = fd;
    m->since_us = clock_mono_us();
    pthread_mutex_lock(&late->lock);
    m->next = late->first;
    m->before = &late->first;
    if (m->next != NULL)
        m->next->before = &m->next;
    late->first = m;
    pthread_mutex_unlock(&late->lock);
    return m;
}

void http_late_leave(struct http_late *late, struct http_late_mark *m)
{
    pthread_mutex_lock(&late->lock);
    *m->before = m->next;
    if (m->next != NULL)
        m->next->before = m->before;
    pthread_mutex_unlock(&late->lock);
    free(m);
}

static void set_since(struct http_late *late, struct http_late_mark *m, int64_t since_us)
{
    pthread_mutex_lock(&late->lock);
    m->since_us = since_us;
    pthread_mutex_unlock(&late->lock);
}

void http_late_whole(struct http_late *late, struct http_late_mark *m)
{
    set_since(late, m, 0);
}

void http_late_again(struct http_late *late, struct http_late_mark *m)
{
    set_since(late, m, clock_mono_us());
}
