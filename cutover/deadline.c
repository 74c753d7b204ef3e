/*
 * Owns how long a step may take. A step has a deadline of its own (an option, named in its row of the state table); the steps in
 * which clients wait share the pause budget besides, which goes on counting over a crash. What waits in a loop asks
 * deadline_left_ms(); statements are ended by the server (statement_timeout, a little later, so that a loop's own words come
 * first); comparisons look at deadline_fd(). A server that does not answer at all (a frozen machine, a network that swallows
 * packets) ends nothing: then a thread of ours shuts the sockets, later still.
 */
#include "deadline.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mono_cond.h"
#include "cutover_internal.h"
#include "from_maria/from_maria.h"

#define STATEMENT_SLACK_MS 500
#define SHUT_SLACK_US      (2 * INT64_C(1000000))

static void shut(int fd)
{
    if (fd >= 0)
        (void)shutdown(fd, SHUT_RDWR); /* whoever waits for an answer there gets an error */
}

static int socket_of(const struct pg_conn *conn)
{
    return conn != NULL ? pg_socket(conn) : -1;
}

static void shut_maria(const struct cutover *co)
{
    int fds[3];
    if (co->maria_watch != NULL)
        shut(session_socket(co->maria_watch));
    if (co->from_maria == NULL)
        return;
    from_maria_sockets(co, fds);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        shut(fds[i]);
}

static void *watch(void *arg)
{
    struct cutover *co = arg;
    struct deadline_watch *dw = &co->deadline_watch;
    pthread_mutex_lock(&dw->mutex);
    while (!dw->quit) {
        if (dw->shut_at_us == 0) {
            pthread_cond_wait(&dw->cond, &dw->mutex);
        } else if (clock_mono_us() < dw->shut_at_us) {
            (void)mono_cond_wait(&dw->cond, &dw->mutex, dw->shut_at_us);
        } else {
            shut(socket_of(co->source));
            shut(socket_of(co->watch));
            shut_maria(co);
            shut(co->store->socket(co));
            dw->shut_at_us = 0;
        }
    }
    pthread_mutex_unlock(&dw->mutex);
    return NULL;
}

static bool watch_start(struct cutover *co, struct err *err)
{
    struct deadline_watch *dw = &co->deadline_watch;
    pthread_mutex_init(&dw->mutex, NULL);
    mono_cond_init(&dw->cond);
    int failed = pthread_create(&dw->thread, NULL, watch, co);
    dw->runs = failed == 0;
    return dw->runs || err_set_errno(err, failed, "a thread for the deadlines of a cutover");
}

static void watch_until(struct cutover *co, int64_t shut_at_us)
{
    struct deadline_watch *dw = &co->deadline_watch;
    pthread_mutex_lock(&dw->mutex);
    dw->shut_at_us = shut_at_us;
    pthread_cond_signal(&dw->cond);
    pthread_mutex_unlock(&dw->mutex);
}

void deadline_hold(struct cutover *co)
{
    if (co->deadline_watch.runs)
        pthread_mutex_lock(&co->deadline_watch.mutex);
}

void deadline_let_go(struct cutover *co)
{
    if (co->deadline_watch.runs)
        pthread_mutex_unlock(&co->deadline_watch.mutex);
}

void deadline_replace(struct cutover *co, struct pg_conn **conn, struct pg_conn *fresh)
{
    struct pg_conn *old = *conn;
    deadline_hold(co);
    *conn = fresh;
    deadline_let_go(co);
    pg_close(old);
}

int64_t deadline_option_ms(const struct config *cfg, const char *key)
{
    size_t n = strlen(key);
    return config_int(cfg, key) * (n > 3 && strcmp(key + n - 3, "_ms") == 0 ? 1 : 1000);
}

int64_t deadline_pause_left_ms(const struct cutover *co)
{
    int64_t budget_ms = deadline_option_ms(co->cfg, "cutover.pause_budget_ms");
    if (co->pause_began_wall_us == 0)
        return budget_ms;
    /* Written down by a machine whose clock went before ours it began later than now. */
    return MIN_OF(budget_ms, budget_ms - (clock_wall_us() - co->pause_began_wall_us) / 1000);
}

int64_t deadline_left_ms(const struct cutover *co)
{
    return co->deadline_us == 0 ? INT64_C(1) << 40 : (co->deadline_us - clock_mono_us()) / 1000;
}

bool deadline_passed(const struct cutover *co)
{
    return co->deadline_us != 0 && clock_mono_us() >= co->deadline_us;
}

static bool open_fd(struct cutover *co, struct err *err)
{
    struct epoll_event in = {.events = EPOLLIN};
    co->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    co->deadline_fd = epoll_create1(EPOLL_CLOEXEC);
    if (co->timer_fd < 0 || co->deadline_fd < 0 ||
        epoll_ctl(co->deadline_fd, EPOLL_CTL_ADD, co->timer_fd, &in) != 0 ||
        (co->talk->stop_fd >= 0 && epoll_ctl(co->deadline_fd, EPOLL_CTL_ADD, co->talk->stop_fd, &in) != 0))
        return err_set_errno(err, errno, "a timer for the deadlines of a cutover");
    return true;
}

static bool arm_timer(struct cutover *co, struct err *err)
{
    struct itimerspec at = {
        .it_value = {.tv_sec = co->deadline_us / 1000000, .tv_nsec = co->deadline_us % 1000000 * 1000}};
    if (co->deadline_fd < 0 && !open_fd(co, err))
        return false;
    if (!co->deadline_watch.runs && !watch_start(co, err))
        return false;
    if (timerfd_settime(co->timer_fd, TFD_TIMER_ABSTIME, &at, NULL) != 0)
        return err_set_errno(err, errno, "a timer for the deadlines of a cutover");
    watch_until(co, co->deadline_us == 0 ? 0 : co->deadline_us + SHUT_SLACK_US);
    return true;
}

static int64_t statement_ms(const struct cutover *co)
{
    return co->deadline_us == 0 ? 0 : MAX_OF(0, deadline_left_ms(co)) + STATEMENT_SLACK_MS;
}

static bool on_session(struct cutover *co, struct pg_conn *conn, struct err *err)
{
    return pg_execf(conn, err, "SET statement_timeout = %" PRId64, MIN_OF(statement_ms(co), INT32_MAX));
}

bool deadline_on_source(struct cutover *co, struct err *err)
{
    if (co->from_maria != NULL)
        return from_maria_limit(co, statement_ms(co), err);
    return on_session(co, co->source, err) && on_session(co, co->watch, err);
}

bool deadline_begin(struct cutover *co, const struct cutover_rule *rule, struct err *err)
{
    co->deadline_us = 0;
    co->deadline_key = rule->deadline;
    if (rule->deadline != NULL) {
        int64_t left_ms = deadline_option_ms(co->cfg, rule->deadline);
        /* Behind the decision there is nothing that the budget could end. */
        if (rule->in_pause && cutover_rule(rule->state, EV_LATE) != NULL &&
            deadline_pause_left_ms(co) < left_ms) {
            left_ms = deadline_pause_left_ms(co);
            co->deadline_key = "cutover.pause_budget_ms";
        }
        co->deadline_us = MAX_OF(1, clock_mono_us() + left_ms * 1000);
    }
    if (!arm_timer(co, err))
        return false;
    if (deadline_passed(co)) {
        co->deadline_key = NULL;
        return err_set(err, ERR_TIMEOUT,
                       "clients have waited for longer than cutover.pause_budget_ms (%" PRId64 " ms)",
                       deadline_option_ms(co->cfg, "cutover.pause_budget_ms"));
    }
    /* Whoever puts the source back has no session yet that can be relied on. */
    return rule->state == CUT_ABORTING ||
           (deadline_on_source(co, err) && co->store->limit(co, statement_ms(co), err));
}

int deadline_fd(const struct cutover *co)
{
    return co->deadline_fd;
}

void deadline_end(struct cutover *co)
{
    struct deadline_watch *dw = &co->deadline_watch;
    if (dw->runs) {
        pthread_mutex_lock(&dw->mutex);
        dw->quit = true;
        pthread_cond_signal(&dw->cond);
        pthread_mutex_unlock(&dw->mutex);
        pthread_join(dw->thread, NULL);
        dw->runs = false;
    }
    if (co->timer_fd >= 0)
        (void)close(co->timer_fd);
    if (co->deadline_fd >= 0)
        (void)close(co->deadline_fd);
    co->timer_fd = co->deadline_fd = -1;
}
