/* Owns: watching the stop descriptor. See stopper.h. */
#include "apply/stopper.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/alive.h"
#include "core/alloc.h"
#include "core/clock.h"

#define CANCEL_EVERY_MS 500
#define LOOK_EVERY_MS   200

struct stopper {
    pthread_t thread;
    pthread_mutex_t lock; /* guards tgt */
    struct target *tgt;
    int stop_fd;
    int end_fd;  /* tells the thread to end */
    int wake_fd; /* readable once the file was seen */
    const char *stop_file;
    int64_t grace_ms;
    atomic_bool asked;
    atomic_bool by_file;
    atomic_bool given_up;
};

static bool wait_readable(int fd, int64_t timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, (int)timeout_ms) > 0;
}

static bool file_is_there(struct stopper *st)
{
    uint64_t one = 1;
    if (st->stop_file == NULL || access(st->stop_file, F_OK) != 0)
        return false;
    atomic_store(&st->by_file, true);
    if (write(st->wake_fd, &one, sizeof one) != (ssize_t)sizeof one)
        BUG("eventfd");
    return true;
}

static void *watch(void *arg)
{
    struct stopper *st = arg;
    struct pollfd fds[2] = {{.fd = st->stop_fd, .events = POLLIN}, {.fd = st->end_fd, .events = POLLIN}};
    while (!file_is_there(st)) {
        int n = poll(fds, 2, st->stop_file != NULL ? LOOK_EVERY_MS : -1);
        if (n > 0 || (n < 0 && errno != EINTR))
            break;
    }
    if (fds[1].revents != 0)
        return NULL;
    atomic_store(&st->asked, true);
    int64_t wait_ms = stopper_by_file(st) ? 0 : st->grace_ms;
    while (!wait_readable(st->end_fd, wait_ms)) {
        atomic_store(&st->given_up, true);
        pthread_mutex_lock(&st->lock);
        if (st->tgt != NULL)
            target_cancel(st->tgt);
        pthread_mutex_unlock(&st->lock);
        wait_ms = CANCEL_EVERY_MS;
    }
    return NULL;
}

struct stopper *stopper_start(int stop_fd, const char *stop_file, int64_t grace_ms)
{
    struct stopper *st = xcalloc(1, sizeof *st);
    st->stop_fd = stop_fd;
    st->stop_file = stop_file;
    st->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (st->wake_fd < 0)
        BUG("no eventfd");
    if (file_is_there(st)) { /* before anything is begun */
        atomic_store(&st->asked, true);
        atomic_store(&st->given_up, true);
    }
    st->grace_ms = grace_ms;
    st->end_fd = eventfd(0, EFD_CLOEXEC);
    pthread_mutex_init(&st->lock, NULL);
    if (st->end_fd < 0 || pthread_create(&st->thread, NULL, watch, st) != 0)
        BUG("no thread to watch for a stop");
    return st;
}

void stopper_end(struct stopper *st)
{
    uint64_t one = 1;
    if (write(st->end_fd, &one, sizeof one) != (ssize_t)sizeof one)
        BUG("eventfd");
    pthread_join(st->thread, NULL);
    pthread_mutex_destroy(&st->lock);
    close(st->end_fd);
    close(st->wake_fd);
    free(st);
}

void stopper_watch(struct stopper *st, struct target *tgt)
{
    pthread_mutex_lock(&st->lock);
    st->tgt = tgt;
    pthread_mutex_unlock(&st->lock);
}

/* Each turn of a loop asks one of these three: a sign of its life. */
bool stopper_asked(const struct stopper *st)
{
    alive_tick();
    return atomic_load_explicit(&st->asked, memory_order_relaxed);
}

bool stopper_by_file(const struct stopper *st)
{
    return atomic_load_explicit(&st->by_file, memory_order_relaxed);
}

bool stopper_given_up(const struct stopper *st)
{
    alive_tick();
    return atomic_load_explicit(&st->given_up, memory_order_relaxed);
}

bool stopper_wait(struct stopper *st, int64_t us)
{
    struct pollfd fds[2] = {{.fd = st->stop_fd, .events = POLLIN}, {.fd = st->wake_fd, .events = POLLIN}};
    if (us > 0 && alive_poll(fds, 2, (us + 999) / 1000) > 0)
        atomic_store(&st->asked, true);
    return stopper_asked(st);
}
