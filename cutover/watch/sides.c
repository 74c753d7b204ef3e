/* Owns: the sessions of a watch, and asking in them for at most some seconds. See sides.h. */
#include "sides.h"

#include <poll.h>
#include <stdio.h>

#include "compare/borrowed.h"
#include "core/clock.h"
#include "watching.h"

#define ASK_US (5 * INT64_C(1000000))

/* Until fd can be read; false: the time is over. */
static bool wait_readable(int fd, int64_t deadline_us, struct err *err)
{
    int64_t left_us = deadline_us - clock_mono_us();
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    if (left_us <= 0)
        return err_set(err, ERR_CONNECT, "no answer within %d s", (int)(ASK_US / 1000000));
    (void)poll(&wanted, 1, (int)(left_us / 1000) + 1);
    return true;
}

bool watch_ask_pg(struct pg_conn *conn, const char *sql, int count, const char *const *params,
                  struct pg_result **ret, struct err *err)
{
    int64_t deadline_us = clock_mono_us() + ASK_US;
    if (!pg_send(conn, sql, count, params, err))
        return false;
    for (;;) {
        enum pg_poll got = pg_poll_result(conn, ret, err);
        if (got != PG_POLL_WAIT)
            return got == PG_POLL_READY;
        if (!wait_readable(pg_socket(conn), deadline_us, err))
            return false;
    }
}

static bool ask_mariadb(struct session *s, const char *sql, int count, const char *const *params,
                        struct rowset **ret, struct err *err)
{
    int64_t deadline_us = clock_mono_us() + ASK_US;
    struct statement st = {STRBUF_INIT(STRBUF_SQL_MAX), count, params};
    enum session_poll got = SESSION_ERROR;
    if (session_busy(s)) /* what came before has not been answered */
        return err_set(err, ERR_CONNECT, "no answer within %d s", (int)(ASK_US / 1000000));
    strbuf_adds(&st.sql, sql);
    bool ok = session_send(s, &st, err);
    strbuf_release(&st.sql);
    while (ok && (got = session_poll(s, ret, err)) == SESSION_WAIT)
        ok = wait_readable(session_socket(s), deadline_us, err);
    return ok && got == SESSION_READY;
}

bool watch_ask_sql(struct cutover *side, const char *sql, int count, const char *const *params,
                   struct rowset **ret, struct err *err)
{
    struct pg_result *res = NULL;
    if (side->maria != NULL)
        return ask_mariadb(side->maria, sql, count, params, ret, err);
    if (!watch_ask_pg(side->target, sql, count, params, &res, err))
        return false;
    *ret = rowset_of_pg(res);
    return true;
}

bool watch_ask(struct cutover *side, enum watch_statement what, int count, const char *const *params,
               struct rowset **ret, struct err *err)
{
    return watch_ask_sql(side, watch_statement(side, what), count, params, ret, err);
}

bool watch_there(const struct cutover *side)
{
    return side->target != NULL || side->maria != NULL;
}

bool watch_alive(struct cutover *side, struct err *err)
{
    ROWSET_AUTO rs = NULL;
    return watch_there(side) && (side->target == NULL || !pg_busy(side->target)) &&
           watch_ask(side, ASK_ALIVE, 0, NULL, &rs, err);
}

const char *watch_database(const struct cutover *side)
{
    return side->maria != NULL ? session_database(side->maria) : pg_database(side->target);
}

void watch_side_lost(struct cutover *side)
{
    if (side->store != NULL)
        side->store->close(side);
}

/* What an earlier reading has left: one that broke is opened anew. */
static struct pg_conn *session(struct pg_conn **conn, const char *url, const char *side, const char *pipeline,
                               struct err *err)
{
    char name[80];
    (void)snprintf(name, sizeof name, "crossfade cutover %s", pipeline);
    const struct pg_options options = {.application_name = name, .connect_timeout_s = 5};
    struct err dead = ERR_INIT;
    PG_RESULT_AUTO res = NULL;
    if (*conn != NULL && !pg_busy(*conn) && watch_ask_pg(*conn, "SELECT 1", 0, NULL, &res, &dead))
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

struct cutover *watch_back(struct watching *w, struct err *err)
{
    const char *url = config_text(w->reverse, "target.url");
    struct cutover *back = &w->back;
    struct err dead = ERR_INIT;
    *back = (struct cutover){.cfg = w->reverse,
                             .pipeline = config_text(w->reverse, "pipeline"),
                             .store = store_of_url(url),
                             .target = back->target,
                             .maria = back->maria,
                             .timer_fd = -1,
                             .deadline_fd = -1};
    if (back->store == &store_postgres)
        return session(&back->target, url, "reverse target.url", w->pipeline, err) != NULL ? back : NULL;
    if (watch_alive(back, &dead))
        return back;
    watch_side_lost(back);
    if (back->store->open(back, err))
        return back;
    err_wrap(err, "reverse");
    return NULL;
}
