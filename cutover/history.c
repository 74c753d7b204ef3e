/* Owns what `cutover list` and `cutover status` read: the recorded steps on the target, the decision on the source. Changes nothing. */
#include "cutover/history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "cutover_internal.h"

#define LIST_MAX "100"

/* The last record of each cutover, newest first; who holds the lock works at the one that is open. */
static const char list_sql[] =
    "SELECT DISTINCT ON (c.began, c.cutover_id) c.cutover_id, c.state, c.began_at, c.changed_at,"
    " coalesce(c.pause_us, 0), coalesce(CASE WHEN c.state <> 'done' THEN c.reason END, ''),"
    " c.state NOT IN ('done', 'aborted') AND EXISTS (SELECT FROM pg_catalog.pg_locks l,"
    "  pg_catalog.hashtextextended('crossfade.cutover:' || $1, 0) k WHERE l.locktype = 'advisory' AND "
    "l.granted AND l.objsubid = 1"
    "  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())"
    "  AND l.classid::bigint = (k >> 32) & 4294967295 AND l.objid::bigint = k & 4294967295)"
    " FROM (SELECT *, max((detail->>'pause_us')::bigint) OVER w AS pause_us, max(nullif(detail->>'reason', "
    "'')) OVER w AS reason,"
    "  min(at) OVER w AS began, to_char(min(at) OVER w AT TIME ZONE 'UTC', "
    "'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') AS began_at,"
    "  to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') AS changed_at FROM "
    "crossfade.cutover"
    "  WHERE pipeline = $1 AND ($2::text IS NULL OR cutover_id = $2) WINDOW w AS (PARTITION BY cutover_id)) c"
    " ORDER BY c.began DESC, c.cutover_id, c.seq DESC LIMIT " LIST_MAX;

static const char steps_sql[] =
    "SELECT state, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'),"
    " coalesce(CASE WHEN lead(detail->>'from') OVER w = state THEN lead((detail->>'took_us')::bigint) OVER w "
    "END, -1)"
    " FROM crossfade.cutover WHERE pipeline = $1 AND cutover_id = $2 WINDOW w AS (ORDER BY seq) ORDER BY seq";

static void take(struct cutover_past *past, const struct pg_result *res, int row)
{
    (void)snprintf(past->id, sizeof past->id, "%s", pg_cell(res, row, 0));
    (void)snprintf(past->state, sizeof past->state, "%s", pg_cell(res, row, 1));
    (void)snprintf(past->began_at, sizeof past->began_at, "%s", pg_cell(res, row, 2));
    (void)snprintf(past->changed_at, sizeof past->changed_at, "%s", pg_cell(res, row, 3));
    past->pause_us = pg_cell_int64(res, row, 4);
    (void)snprintf(past->reason, sizeof past->reason, "%s", pg_cell(res, row, 5));
    past->running = pg_cell_bool(res, row, 6);
}

static bool read_list(struct cutover *co, const char *id, struct cutover_past **ret, size_t *ret_count,
                      struct err *err)
{
    const char *params[] = {co->pipeline, id};
    PG_RESULT_AUTO res = NULL;
    bool there = false;
    *ret = NULL;
    *ret_count = 0;
    if (!pg_query_bool(co->target, "SELECT pg_catalog.to_regclass('crossfade.cutover') IS NOT NULL", 0, NULL,
                       &there, err))
        return false;
    if (!there)
        return true;
    if (!pg_query(co->target, list_sql, 2, params, &res, err))
        return err_wrap(err, "the cutovers of pipeline %s", co->pipeline);
    *ret_count = (size_t)pg_rows(res);
    *ret = xcalloc(*ret_count + 1, sizeof **ret);
    for (int i = 0; i < pg_rows(res); i++)
        take(&(*ret)[i], res, i);
    return true;
}

static bool read_steps(struct cutover *co, struct cutover_past *past, struct err *err)
{
    const char *params[] = {co->pipeline, past->id};
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(co->target, steps_sql, 2, params, &res, err))
        return err_wrap(err, "the steps of cutover %s", past->id);
    for (int i = 0; i < pg_rows(res) && past->step_count < CUTOVER_STEPS_MAX; i++) {
        struct cutover_past_step *step = &past->steps[past->step_count++];
        (void)snprintf(step->state, sizeof step->state, "%s", pg_cell(res, i, 0));
        (void)snprintf(step->at, sizeof step->at, "%s", pg_cell(res, i, 1));
        step->took_us = pg_cell_int64(res, i, 2);
    }
    return true;
}

/* A source that is away is told of, it does not keep anybody from looking at the steps. */
static void read_decision(struct cutover *co, struct cutover_past *past)
{
    struct err away = ERR_INIT;
    bool ours;
    (void)snprintf(co->id, sizeof co->id, "%s", past->id);
    if (!cutover_open_source(co, &away) || !decision_stands(co, past->decision, &ours, &away))
        (void)snprintf(past->decision_unread, sizeof past->decision_unread, "%s", away.text);
    else if (!ours)
        (void)snprintf(past->decision, sizeof past->decision, "of another");
}

bool cutover_list(const struct config *cfg, struct cutover_past **ret, size_t *ret_count, struct err *err)
{
    struct cutover co;
    if (!cutover_open_target(&co, cfg, err))
        return false;
    bool ok = read_list(&co, NULL, ret, ret_count, err);
    cutover_close(&co);
    return ok;
}

bool cutover_status(const struct config *cfg, const char *id, struct cutover_past *ret, bool *ret_found,
                    struct err *err)
{
    struct cutover co;
    struct cutover_past *list = NULL;
    size_t count = 0;
    if (!cutover_open_target(&co, cfg, err))
        return false;
    bool ok = read_list(&co, id, &list, &count, err);
    *ret_found = ok && count > 0;
    if (*ret_found) {
        *ret = list[0];
        ok = read_steps(&co, ret, err);
        if (ok)
            read_decision(&co, ret);
    }
    free(list);
    cutover_close(&co);
    return ok;
}
