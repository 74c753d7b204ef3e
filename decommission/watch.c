/* Owns the recorder: who is connected to the old database, kept for each role, address and application. At most KNOWN_MAX of them for a pipeline:
 * what comes beyond is counted in one row, so that a client that makes up names fills nothing. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "decommission_internal.h"

#define KNOWN_MAX "10000"

/* $1: the source's time of the sample before; NULL: the first. As JSON, so that one statement notes it. */
static const char sample_sql[] =
    "SELECT coalesce(pg_catalog.jsonb_agg(s), '[]')::text, count(*), pg_catalog.clock_timestamp()::text FROM "
    "(SELECT coalesce(a.usename::text, '?') AS role,"
    " coalesce(host(a.client_addr), 'local') AS address, coalesce(a.application_name, '') AS application, "
    "pg_catalog.clock_timestamp() AS seen,"
    " count(*) FILTER (WHERE $1::timestamptz IS NULL OR a.backend_start IS NULL OR a.backend_start > "
    "$1::timestamptz) AS fresh, count(*) AS sessions"
    " FROM pg_catalog.pg_stat_activity a WHERE " FOREIGN_SESSIONS
    " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT 2000) s";

static const char note_sql[] =
    "INSERT INTO crossfade.connection_seen AS c (pipeline, role, address, application, first_seen, "
    "last_seen, connections)"
    " SELECT $1, CASE WHEN k.known THEN n.role ELSE '(others)' END, CASE WHEN k.known THEN n.address ELSE '' "
    "END, CASE WHEN k.known THEN n.application ELSE '' END,"
    " min(n.seen), max(n.seen), sum(n.fresh) FROM pg_catalog.jsonb_to_recordset($2::jsonb) n (role text, "
    "address text, application text, seen timestamptz, fresh bigint)"
    " CROSS JOIN LATERAL (SELECT (SELECT count(*) FROM crossfade.connection_seen t WHERE t.pipeline = $1) "
    "< " KNOWN_MAX " OR EXISTS (SELECT FROM crossfade.connection_seen t WHERE t.pipeline = $1 AND t.role = "
    "n.role AND t.address = n.address AND t.application = n.application)) k (known)"
    " GROUP BY 1, 2, 3, 4 ON CONFLICT (pipeline, role, address, application) DO UPDATE SET last_seen = "
    "EXCLUDED.last_seen, connections = c.connections + EXCLUDED.connections";

static bool sample(struct decom *d, char **before, const struct decom_watch *watch, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    PG_RESULT_AUTO noted = NULL;
    const char *since = *before;
    int64_t known = 0;
    if (!pg_query(d->source, sample_sql, 1, &since, &res, err))
        return err_wrap(err, "sessions of the source");
    const char *params[] = {d->pipeline, pg_cell(res, 0, 0)};
    if (!pg_query(d->target, note_sql, 2, params, &noted, err) ||
        !pg_query_int64(d->target, "SELECT count(*) FROM crossfade.connection_seen WHERE pipeline = $1", 1,
                        &d->pipeline, &known, err))
        return err_wrap(err, "crossfade.connection_seen on the target");
    free(*before);
    *before = xstrdup(pg_cell(res, 0, 2));
    if (watch->sampled != NULL)
        watch->sampled(watch->ctx, pg_cell_int64(res, 0, 1), known);
    return true;
}

/* Where the recorder before this one ended, so that sessions are not counted twice. */
static bool read_before(struct decom *d, char **ret, struct err *err)
{
    return pg_query_text(d->target,
                         "SELECT max(last_seen)::text FROM crossfade.connection_seen WHERE pipeline = $1", 1,
                         &d->pipeline, ret, err);
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
    bool ok = decom_tables(&d, err) && read_before(&d, &before, err);
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
