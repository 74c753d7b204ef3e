/* Signals become a readable descriptor: one thread takes SIGINT and SIGTERM, nothing runs in a handler. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cli.h"
#include "core/log.h"

#define ORDERLY_STOP_S 10

struct watcher {
    enum cli_stop how;
    int stop_fd;
    sigset_t signals;
};

static struct watcher watcher; /* one per process, like signals themselves */

static void ask_to_stop(int signal_number)
{
    log_event(LOG_LEVEL_INFO, "stop_asked", "signal=%d", signal_number);
    if (eventfd_write(watcher.stop_fd, 1) != 0)
        BUG("eventfd_write failed");
}

static void *watch_signals(void *unused UNUSED)
{
    const struct timespec orderly = {.tv_sec = ORDERLY_STOP_S};
    int number = 0;
    while (sigwait(&watcher.signals, &number) != 0)
        continue;
    ask_to_stop(number);
    for (;;) {
        if (watcher.how == STOP_BOUNDED)
            number = sigtimedwait(&watcher.signals, NULL, &orderly);
        else
            number = sigwaitinfo(&watcher.signals, NULL);
        if (number < 0 && errno == EINTR)
            continue;
        if (watcher.how == STOP_PATIENT) {
            log_event(LOG_LEVEL_WARN, "stop_waits", "text=\"the step at hand is being finished or undone\"");
            continue;
        }
        log_event(LOG_LEVEL_WARN, "stop_at_once", "reason=\"%s\"",
                  number < 0 ? "orderly stop took too long" : "second signal");
        _exit(watcher.how == STOP_BOUNDED ? CLI_EXIT_OK : 128 + number);
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
