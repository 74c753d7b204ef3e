/* Owns: what is common to the sessions of both dialects, and running statements on both sides at once. See session.h. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "maria/url.h"
#include "session_impl.h"

const char *side_name(enum side side)
{
    return side == SIDE_SOURCE ? "source" : "target";
}

enum dialect_kind dialect_of_url(const char *url)
{
    return maria_is_url(url) ? DIALECT_MARIADB : DIALECT_POSTGRES;
}

bool session_open(const char *url, const char *name, const char *pipeline, struct session **ret,
                  struct err *err)
{
    char app[80];
    (void)snprintf(app, sizeof app, "crossfade compare %s", pipeline);
    const struct session_ops *ops =
        dialect_of_url(url) == DIALECT_MARIADB ? &session_mariadb : &session_postgres;
    return ops->open(url, app, ret, err) || err_wrap(err, "%s", name);
}

void session_close(struct session *s)
{
    if (s != NULL)
        s->ops->close(s);
}

enum dialect_kind session_dialect(const struct session *s)
{
    return s->dialect;
}

const char *session_server(const struct session *s)
{
    return s->server;
}

const char *session_database(const struct session *s)
{
    return s->database;
}

int session_version(const struct session *s)
{
    return s->version;
}

int64_t session_hashes_most(const struct session *s)
{
    return s->hashes_most;
}

int session_socket(const struct session *s)
{
    return s->fd;
}

void session_cancel(struct session *s)
{
    s->ops->cancel(s);
}

static bool is_whole(const struct session *s, struct err *err)
{
    return !s->broken || err_set(err, ERR_CONNECT, "the session's snapshot is gone");
}

bool session_begin(struct session *s, const char *snapshot, struct err *err)
{
    return s->ops->begin(s, snapshot, err);
}

bool session_savepoint(struct session *s, struct err *err)
{
    return s->ops->exec(s, "SAVEPOINT crossfade", err);
}

bool session_recover(struct session *s, struct err *err)
{
    struct err found = ERR_INIT;
    if (!is_whole(s, err))
        return false;
    if (s->ops->exec(s, "ROLLBACK TO SAVEPOINT crossfade", &found))
        return true;
    s->broken = true; /* a server that rolls back by itself would answer from a later snapshot */
    if (err != NULL)
        *err = found;
    return false;
}

bool session_limit_time(struct session *s, int64_t ms, struct err *err)
{
    char sql[120];
    (void)snprintf(sql, sizeof sql, "%s%lld.%03lld%s", s->limit_head, (long long)ms / 1000,
                   (long long)ms % 1000, s->limit_tail);
    return s->ops->exec(s, sql, err);
}

bool session_exec(struct session *s, const char *sql, struct err *err)
{
    return is_whole(s, err) && s->ops->exec(s, sql, err);
}

bool session_send(struct session *s, const struct statement *st, struct err *err)
{
    if (!is_whole(s, err) || !strbuf_ok(&st->sql, "statement", err) || !s->ops->send(s, st, err))
        return false;
    s->busy = true;
    return true;
}

enum session_poll session_poll(struct session *s, struct rowset **ret, struct err *err)
{
    enum session_poll state = s->ops->poll(s, ret, err);
    s->busy = state == SESSION_WAIT;
    return state;
}

bool session_busy(const struct session *s)
{
    return s->busy;
}

bool session_query(struct session *s, const struct statement *st, struct rowset **ret, struct err *err)
{
    enum session_poll state = SESSION_WAIT;
    if (!session_send(s, st, err))
        return false;
    while ((state = session_poll(s, ret, err)) == SESSION_WAIT) {
        struct pollfd fd = {.fd = s->fd, .events = POLLIN};
        (void)poll(&fd, 1, 1000); /* a wakeup for nothing is harmless */
    }
    return state == SESSION_READY;
}

bool session_ask(struct session *s, const char *sql, int param_count, const char *const *params,
                 struct rowset **ret, struct err *err)
{
    struct statement st = {STRBUF_INIT(STRBUF_SQL_MAX), param_count, params};
    strbuf_adds(&st.sql, sql);
    bool ok = session_query(s, &st, ret, err);
    strbuf_release(&st.sql);
    return ok;
}

bool session_text(struct session *s, const char *sql, int param_count, const char *const *params, char **ret,
                  struct err *err)
{
    ROWSET_AUTO rs = NULL;
    if (!session_ask(s, sql, param_count, params, &rs, err))
        return false;
    *ret = rs->rows > 0 && rs->columns > 0 && !rowset_is_null(rs, 0, 0)
               ? xstrndup(rowset_cell(rs, 0, 0), rowset_cell_len(rs, 0, 0))
               : NULL;
    return true;
}

bool session_int64(struct session *s, const char *sql, int param_count, const char *const *params,
                   int64_t *ret, struct err *err)
{
    char *text CLEANUP(free_ptr) = NULL;
    if (!session_text(s, sql, param_count, params, &text, err))
        return false;
    *ret = text != NULL ? strtoll(text, NULL, 10) : 0;
    return true;
}

void pair_results_free(struct rowset *results[SIDE_COUNT])
{
    for (int i = 0; i < SIDE_COUNT; i++) {
        rowset_free(results[i]);
        results[i] = NULL;
    }
}

struct flight {
    int64_t began_us;
    bool open[SIDE_COUNT];
    bool failed;
};

static void side_failed(struct flight *flight, enum side side, struct err *found, struct err *err)
{
    flight->open[side] = false;
    if (!flight->failed) { /* the first failure is the one to tell */
        err_wrap(found, "%s", side_name(side));
        if (err != NULL)
            *err = *found;
    }
    flight->failed = true;
}

static void collect(struct pair *pair, struct flight *flight, struct rowset *ret[SIDE_COUNT], struct err *err)
{
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        struct err found = ERR_INIT;
        if (!flight->open[side])
            continue;
        enum session_poll state = session_poll(pair->session[side], &ret[side], &found);
        if (state == SESSION_ERROR)
            side_failed(flight, side, &found, err);
        else if (state == SESSION_READY)
            flight->open[side] = false;
        if (!flight->open[side])
            pair->took_us[side] = clock_mono_us() - flight->began_us;
    }
}

static void wait_any(const struct pair *pair, const struct flight *flight)
{
    struct pollfd fds[SIDE_COUNT];
    nfds_t n = 0;
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        if (flight->open[side])
            fds[n++] = (struct pollfd){.fd = pair->session[side]->fd, .events = POLLIN};
    }
    if (n > 0)
        (void)poll(fds, n, 1000); /* a wakeup for nothing is harmless */
}

bool pair_query(struct pair *pair, const struct statement statements[SIDE_COUNT],
                struct rowset *ret[SIDE_COUNT], struct err *err)
{
    struct flight flight = {.began_us = clock_mono_us()};
    struct rowset *results[SIDE_COUNT] = {NULL};
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        struct err found = ERR_INIT;
        flight.open[side] = session_send(pair->session[side], &statements[side], &found);
        if (!flight.open[side])
            side_failed(&flight, side, &found, err);
    }
    for (;;) {
        collect(pair, &flight, results, err);
        if (!flight.open[SIDE_SOURCE] && !flight.open[SIDE_TARGET])
            break;
        wait_any(pair, &flight);
    }
    if (flight.failed) {
        pair_results_free(results);
        for (int i = 0; i < SIDE_COUNT; i++)
            (void)!session_recover(pair->session[i], NULL); /* what is broken shows with the next statement */
        return false;
    }
    ret[SIDE_SOURCE] = results[SIDE_SOURCE];
    ret[SIDE_TARGET] = results[SIDE_TARGET];
    return true;
}

bool pair_scan_whole(struct pair *pair, bool whole, struct err *err)
{
    struct session *source = pair->session[SIDE_SOURCE], *target = pair->session[SIDE_TARGET];
    return source->ops->scan_whole(source, whole, err) && target->ops->scan_whole(target, whole, err);
}

void pair_close(struct pair *pair)
{
    for (int i = 0; i < SIDE_COUNT; i++) {
        session_close(pair->session[i]);
        pair->session[i] = NULL;
    }
}
