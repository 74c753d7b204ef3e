/* Owns long statements on the target, several at a time. See jobs.h. */
#include "jobs.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "cutover/actions.h"

#define TICK_MS  1000
#define TELL_US  (5 * INT64_C(1000000))
#define DRAIN_MS 5000

struct lane {
    struct pg_conn *conn;
    const struct job *job; /* NULL = idle */
};

struct run {
    struct cutover *co;
    const struct jobs *jobs;
    struct lane *lanes;
    struct pollfd *fds; /* of the lanes, then the deadline's */
    size_t lane_count;
    size_t next, done; /* jobs */
    int64_t weight, weight_done, began_us, told_us;
};

void jobs_add(struct jobs *jobs, char *sql, char *what, int64_t weight)
{
    if (jobs->count == jobs->cap) {
        jobs->cap = jobs->cap == 0 ? 64 : jobs->cap * 2;
        jobs->items = xrealloc(jobs->items, jobs->cap * sizeof *jobs->items);
    }
    jobs->items[jobs->count++] = (struct job){.sql = sql, .what = what, .weight = MAX_OF(1, weight)};
}

void jobs_release(struct jobs *jobs)
{
    for (size_t i = 0; i < jobs->count; i++) {
        free(jobs->items[i].sql);
        free(jobs->items[i].what);
    }
    free(jobs->items);
    jobs->items = NULL;
    jobs->count = jobs->cap = 0;
}

/* A server whose client was killed notices: no REFRESH goes on for hours that stands in the next one's way. Not every platform can. */
static void limit_orphan(struct pg_conn *conn)
{
    (void)!pg_exec(conn, "SET client_connection_check_interval = '2s'", NULL);
}

static bool open_lanes(struct run *r, struct err *err)
{
    for (size_t i = 0; i < r->lane_count; i++) {
        if (!cutover_connect(r->co, "target.url", &r->lanes[i].conn, err))
            return false;
        limit_orphan(r->lanes[i].conn);
    }
    return true;
}

static bool start_next(struct run *r, struct lane *lane, struct err *err)
{
    if (r->next == r->jobs->count)
        return true;
    const struct job *job = &r->jobs->items[r->next++];
    if (!pg_send(lane->conn, job->sql, 0, NULL, err))
        return err_wrap(err, "%s: %s", r->jobs->name, job->what);
    lane->job = job;
    return true;
}

static bool look(struct run *r, struct lane *lane, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (lane->job == NULL)
        return true;
    switch (pg_poll_result(lane->conn, &res, err)) {
    case PG_POLL_WAIT:
        return true;
    case PG_POLL_READY:
        r->done++;
        r->weight_done += lane->job->weight;
        lane->job = NULL;
        return start_next(r, lane, err);
    case PG_POLL_ERROR:
        break;
    }
    err_wrap(err, "%s: %s", r->jobs->name, lane->job->what);
    lane->job = NULL;
    return false;
}

static void tell(struct run *r)
{
    int64_t now_us = clock_mono_us(), took_us = now_us - r->began_us;
    if (now_us - r->told_us < TELL_US)
        return;
    r->told_us = now_us;
    if (r->weight_done == 0)
        cutover_say(r->co, "%s: none of %zu done", r->jobs->name, r->jobs->count);
    else
        cutover_say(
            r->co, "%s: %zu of %zu done, about %" PRId64 " s left", r->jobs->name, r->done, r->jobs->count,
            (int64_t)((double)took_us * (double)(r->weight - r->weight_done) / (double)r->weight_done / 1e6));
}

/* What ends the work from outside. */
static bool may_go_on(struct run *r, struct err *err)
{
    if (r->co->talk->stop_asked(r->co->talk->ctx))
        return err_set(err, ERR_INTERRUPTED, "%s: stop was asked for", r->jobs->name);
    if (deadline_passed(r->co))
        return err_set(
            err, ERR_TIMEOUT,
            "%s: %zu of %zu done when cutover.prepare_timeout_s was over. Hint: begin again, what is done is "
            "not done twice; or give it more time",
            r->jobs->name, r->done, r->jobs->count);
    return strcmp(r->jobs->state, "open") == 0 ? guard_still_open(r->co, err) : guard_switched(r->co, err);
}

static bool wait_a_while(struct run *r, struct err *err)
{
    for (size_t i = 0; i < r->lane_count; i++)
        r->fds[i] = (struct pollfd){.fd = r->lanes[i].job != NULL ? pg_socket(r->lanes[i].conn) : -1,
                                    .events = POLLIN};
    r->fds[r->lane_count] = (struct pollfd){.fd = deadline_fd(r->co), .events = POLLIN};
    if (poll(r->fds, (nfds_t)r->lane_count + 1, TICK_MS) < 0 && errno != EINTR)
        return err_set_errno(err, errno, "%s: poll", r->jobs->name);
    return true;
}

static bool work(struct run *r, struct err *err)
{
    int64_t asked_us = clock_mono_us();
    for (size_t i = 0; i < r->lane_count; i++) {
        if (!start_next(r, &r->lanes[i], err))
            return false;
    }
    while (r->done < r->jobs->count) {
        if (!wait_a_while(r, err))
            return false;
        for (size_t i = 0; i < r->lane_count; i++) {
            if (!look(r, &r->lanes[i], err))
                return false;
        }
        bool tick = clock_mono_us() - asked_us >= TICK_MS * 1000;
        if ((tick || r->fds[r->lane_count].revents != 0) && !may_go_on(r, err))
            return false;
        asked_us = tick ? clock_mono_us() : asked_us;
        tell(r);
    }
    return true;
}

/* What still runs after a failure is ended, and waited for a little: a REFRESH that goes on would stand in the next one's way. */
static void close_lanes(struct run *r)
{
    int64_t until_us = clock_mono_us() + DRAIN_MS * INT64_C(1000);
    for (size_t i = 0; i < r->lane_count; i++) {
        if (r->lanes[i].job != NULL)
            pg_cancel(r->lanes[i].conn);
    }
    for (size_t i = 0; i < r->lane_count; i++) {
        while (r->lanes[i].job != NULL && clock_mono_us() < until_us) {
            PG_RESULT_AUTO res = NULL;
            struct pollfd fd = {.fd = pg_socket(r->lanes[i].conn), .events = POLLIN};
            (void)poll(&fd, 1, 100);
            if (pg_poll_result(r->lanes[i].conn, &res, NULL) != PG_POLL_WAIT)
                r->lanes[i].job = NULL;
        }
        pg_close(r->lanes[i].conn);
    }
    free(r->lanes);
    free(r->fds);
}

bool jobs_run(struct cutover *co, const struct jobs *jobs, size_t workers, struct err *err)
{
    struct run r = {.co = co, .jobs = jobs, .lane_count = MIN_OF(workers, jobs->count)};
    if (jobs->count == 0)
        return true;
    r.began_us = r.told_us = clock_mono_us();
    for (size_t i = 0; i < jobs->count; i++)
        r.weight += jobs->items[i].weight;
    r.lanes = xcalloc(r.lane_count, sizeof *r.lanes);
    r.fds = xcalloc(r.lane_count + 1, sizeof *r.fds);
    bool ok = open_lanes(&r, err) && work(&r, err);
    close_lanes(&r);
    return ok;
}
