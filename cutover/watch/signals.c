/* Owns: the order in which signals are read, and the sessions for it. A server that is away makes signals unknown; the watch goes on. */
#include <poll.h>
#include <stdio.h>

#include "core/clock.h"
#include "watching.h"

#define ASK_US (5 * INT64_C(1000000))

void signal_set(struct signal *s, double value, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(s->text, sizeof s->text, fmt, ap);
    va_end(ap);
    s->known = true;
    s->value = value;
}

void signal_unknown(struct signal *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(s->text, sizeof s->text, fmt, ap);
    va_end(ap);
    s->known = false;
    s->value = 0;
}

const struct config *watch_running(const struct watching *w)
{
    if (w->stage != STAGE_AFTER)
        return w->cfg;
    return w->back_there ? w->reverse : NULL;
}

bool watch_ask(struct pg_conn *conn, const char *sql, int count, const char *const *params,
               struct pg_result **ret, struct err *err)
{
    int64_t deadline_us = clock_mono_us() + ASK_US;
    if (!pg_send(conn, sql, count, params, err))
        return false;
    for (;;) {
        enum pg_poll got = pg_poll_result(conn, ret, err);
        if (got != PG_POLL_WAIT)
            return got == PG_POLL_READY;
        int64_t left_us = deadline_us - clock_mono_us();
        if (left_us <= 0)
            return err_set(err, ERR_CONNECT, "no answer within %d s", (int)(ASK_US / 1000000));
        struct pollfd fd = {.fd = pg_socket(conn), .events = POLLIN};
        (void)poll(&fd, 1, (int)(left_us / 1000) + 1);
    }
}

bool watch_alive(struct pg_conn *conn, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    return conn != NULL && !pg_busy(conn) && watch_ask(conn, "SELECT 1", 0, NULL, &res, err);
}

/* What an earlier reading has left: one that broke is opened anew. */
static struct pg_conn *session(struct pg_conn **conn, const char *url, const char *side, const char *pipeline,
                               struct err *err)
{
    char name[80];
    (void)snprintf(name, sizeof name, "crossfade cutover %s", pipeline);
    const struct pg_options options = {.application_name = name, .connect_timeout_s = 5};
    struct err dead = ERR_INIT;
    if (watch_alive(*conn, &dead))
        return *conn;
    pg_close(*conn);
    *conn = NULL;
    if (!pg_open(url, &options, conn, err)) {
        err_wrap(err, "%s", side);
        *conn = NULL;
    }
    return *conn;
}

struct pg_conn *watch_source(struct watching *w, struct err *err)
{
    return session(&w->source, config_text(w->cfg, "source.url"), "source.url", w->pipeline, err);
}

struct pg_conn *watch_back_target(struct watching *w, struct err *err)
{
    return session(&w->back_target, config_text(w->reverse, "target.url"), "reverse target.url", w->pipeline,
                   err);
}

void signals_read(struct watching *w)
{
    for (size_t i = 0; i < TRIGGER_KINDS; i++)
        signal_unknown(&w->triggers[i].signal, "not measured");
    signals_of_roles(w);
    signals_of_verdicts(w);
    signal_of_poolers(w);
    signal_of_disks(w);
    signal_of_corruption(w);
}
