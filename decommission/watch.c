/* Owns the recorder: who is connected to the old database, kept for each role, address and application. At most KNOWN_MAX of them for a pipeline:
 * what comes beyond is counted in one row, so that a client that makes up names fills nothing. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "kept.h"

/* $1: the source's time of the sample before; NULL: the first. As JSON, so that one statement notes it. */
static const char sample_sql[] =
    "SELECT coalesce(pg_catalog.jsonb_agg(s), '[]')::text, count(*), pg_catalog.clock_timestamp()::text FROM "
    "(SELECT coalesce(a.usename::text, '?') AS role,"
    " coalesce(host(a.client_addr), 'local') AS address, coalesce(a.application_name, '') AS application, "
    "pg_catalog.to_char(pg_catalog.clock_timestamp() AT TIME ZONE 'UTC', "
    "'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS seen,"
    " count(*) FILTER (WHERE $1::timestamptz IS NULL OR a.backend_start IS NULL OR a.backend_start > "
    "$1::timestamptz) AS fresh, count(*) AS sessions"
    " FROM pg_catalog.pg_stat_activity a WHERE " FOREIGN_SESSIONS
    " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT 2000) s";

struct known {
    int64_t count;
    char *last; /* malloc'd; NULL = none */
};

static bool take_known(void *ctx, const char *const *cells, struct err *err)
{
    struct known *k = ctx;
    (void)err;
    k->count = cells[0] != NULL ? strtoll(cells[0], NULL, 10) : 0;
    k->last = cells[1] != NULL ? xstrdup(cells[1]) : NULL;
    return true;
}

static bool sample(struct decom *d, char **before, const struct decom_watch *watch, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    const char *since = *before;
    struct known known = {0};
    if (!pg_query(d->source, sample_sql, 1, &since, &res, err))
        return err_wrap(err, "sessions of the source");
    const char *params[] = {d->pipeline, pg_cell(res, 0, 0)};
    if (!kept_ask(d, KEPT_NOTE, 2, params, NULL, NULL, err) ||
        !kept_ask(d, KEPT_KNOWN, 1, &d->pipeline, take_known, &known, err))
        return err_wrap(err, "crossfade.connection_seen on the target");
    free(known.last);
    free(*before);
    *before = xstrdup(pg_cell(res, 0, 2));
    if (watch->sampled != NULL)
        watch->sampled(watch->ctx, pg_cell_int64(res, 0, 1), known.count);
    return true;
}

/* Where the recorder before this one ended, so that sessions are not counted twice. */
static bool read_before(struct decom *d, char **ret, struct err *err)
{
    struct known known = {0};
    bool ok = kept_ask(d, KEPT_KNOWN, 1, &d->pipeline, take_known, &known, err);
    *ret = known.last;
    return ok;
}

static bool stopped(const struct decom_watch *watch, int64_t wait_ms)
{
    struct pollfd fd = {.fd = watch->stop_fd, .events = POLLIN};
    return poll(&fd, watch->stop_fd >= 0 ? 1 : 0, (int)wait_ms) > 0;
}

/* As long as both sessions live. */
static bool watch_connected(const struct config *cfg, const struct decom_watch *watch, bool *ret_stopped,
                            struct err *err)
{
    struct decom d;
    char *before CLEANUP(free_ptr) = NULL;
    if (!decom_open(&d, cfg, err))
        return false;
    bool ok = kept_make(&d, err) && read_before(&d, &before, err);
    while (ok && !*ret_stopped) {
        ok = sample(&d, &before, watch, err);
        *ret_stopped = watch->once || stopped(watch, watch->interval_ms);
    }
    decom_close(&d);
    return ok;
}

bool decommission_watch(const struct config *cfg, const struct decom_watch *watch, struct err *err)
{
    bool ended = false;
    for (unsigned attempt = 0;; attempt++) {
        struct err now = ERR_INIT;
        if (watch_connected(cfg, watch, &ended, &now))
            return true;
        enum err_policy policy = err_policy(now.code);
        if (watch->once || (policy != POLICY_RECONNECT && policy != POLICY_RETRY)) {
            *err = now;
            return false;
        }
        if (stopped(watch, clock_backoff_us(attempt < 8 ? attempt : 8, 500, 30000) / 1000))
            return true;
    }
}
