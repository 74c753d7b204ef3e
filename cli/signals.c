/* Signals become a readable descriptor: one thread takes SIGINT and SIGTERM, nothing runs in a handler. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cli.h"
#include "core/log.h"

#define ORDERLY_STOP_S 10

struct watcher {
    cli_on_hup *on_hup; /* NULL: SIGHUP ends as SIGTERM does */
    void *hup_ctx;
    pthread_mutex_t lock; /* guards both */
    enum cli_stop how;
    int stop_fd;
    sigset_t signals;
};

/* Exit code with which the work has ended, -1: it goes on. From then on its end is bounded by others. */
static atomic_int ends_with = -1;

static struct watcher watcher = {
    .lock = PTHREAD_MUTEX_INITIALIZER}; /* one per process, like signals themselves */

static void ask_to_stop(int signal_number)
{
    log_event(LOG_LEVEL_INFO, "stop_asked", "signal=%d", signal_number);
    if (eventfd_write(watcher.stop_fd, 1) != 0)
        BUG("eventfd_write failed");
}

/* False: nobody takes it. */
static bool hang_up(const siginfo_t *info)
{
    pthread_mutex_lock(&watcher.lock);
    bool taken = watcher.on_hup != NULL;
    if (taken)
        watcher.on_hup(watcher.hup_ctx, info->si_uid);
    pthread_mutex_unlock(&watcher.lock);
    return taken;
}

void cli_signals_on_hup(cli_on_hup *on_hup, void *ctx)
{
    pthread_mutex_lock(&watcher.lock);
    watcher.on_hup = on_hup;
    watcher.hup_ctx = ctx;
    pthread_mutex_unlock(&watcher.lock);
}

void cli_signals_ends(int code)
{
    atomic_store(&ends_with, code);
}

/* number: a signal; < 0: the time is over. */
static void stop_at_once(int number)
{
    int code = atomic_load(&ends_with);
    if (watcher.how == STOP_BOUNDED && code >= 0 && number < 0)
        return; /* the end has its own bound, which says what it does not wait for */
    log_event(LOG_LEVEL_WARN, "stop_at_once", "reason=\"%s\"",
              number < 0 ? "orderly stop took too long" : "second signal");
    _exit(watcher.how == STOP_BOUNDED ? MAX_OF(code, CLI_EXIT_OK) : 128 + number);
}

static void *watch_signals(void *unused UNUSED)
{
    const struct timespec orderly = {.tv_sec = ORDERLY_STOP_S};
    siginfo_t info;
    int number = -1;
    while (number < 0 || (number == SIGHUP && hang_up(&info)))
        number = sigwaitinfo(&watcher.signals, &info);
    ask_to_stop(number);
    for (;;) {
        if (watcher.how == STOP_BOUNDED)
            number = sigtimedwait(&watcher.signals, NULL, &orderly);
        else
            number = sigwaitinfo(&watcher.signals, NULL);
        if ((number < 0 && errno == EINTR) || number == SIGHUP)
            continue;
        if (watcher.how == STOP_PATIENT) {
            log_event(LOG_LEVEL_WARN, "stop_waits", "text=\"the step at hand is being finished or undone\"");
            continue;
        }
        stop_at_once(number);
    }
    return NULL;
}

bool cli_signals_init(enum cli_stop how, int *ret_stop_fd, struct err *err)
{
    *ret_stop_fd = -1;
    if (how == STOP_DEFAULT)
        return true;
    (void)signal(SIGPIPE, SIG_IGN); /* a peer that goes away is an error of that connection */
    watcher.how = how;
    sigemptyset(&watcher.signals);
    sigaddset(&watcher.signals, SIGINT);
    sigaddset(&watcher.signals, SIGTERM);
    if (how == STOP_BOUNDED)
        sigaddset(&watcher.signals, SIGHUP);
    watcher.stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (watcher.stop_fd < 0)
        return err_set_errno(err, errno, "no eventfd");
    pthread_t thread;
    int rc = pthread_sigmask(SIG_BLOCK, &watcher.signals, NULL);
    if (rc == 0)
        rc = pthread_create(&thread, NULL, watch_signals, NULL);
    if (rc != 0)
        return err_set_errno(err, rc, "no thread for signals");
    pthread_detach(thread);
    *ret_stop_fd = watcher.stop_fd;
    return true;
}

static void end_well(int number UNUSED)
{
    _exit(CLI_EXIT_OK);
}

void cli_signals_end_well(void)
{
    (void)signal(SIGINT, end_well);
    (void)signal(SIGTERM, end_well);
}
