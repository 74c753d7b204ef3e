/*
 * Owns: what comparisons and shadow queries have found, from the control tables of the target that they were written to. After a cutover only
 * what began behind it counts: how the sides were before it says nothing of now.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "watching.h"

#define NOISE_US 1000 /* a difference of p95 below this is none */

/* Of each level the last run that came to PASS or FAIL. $2: microseconds since 1970. */
static const char failing_sql[] =
    "SELECT count(*) FILTER (WHERE verdict = 'FAIL'), coalesce(string_agg(level || ': ' || coalesce(reason, "
    "'FAIL'), '; ')"
    " FILTER (WHERE verdict = 'FAIL'), ''), count(*) FROM (SELECT DISTINCT ON (level) level, verdict, reason "
    "FROM "
    "crossfade.comparison"
    " WHERE pipeline = $1 AND verdict IN ('PASS', 'FAIL') AND level <> 'shadow'"
    " AND started_at > pg_catalog.to_timestamp($2::numeric / 1000000) ORDER BY level, id DESC) last";

/* `fails` as the run that compared all queries counts them; of a version that did not, null. */
static const char shadow_sql[] =
    "SELECT (detail->>'compared')::bigint, (detail->>'failed')::bigint, (detail->>'p95_source_us')::bigint,"
    " (detail->>'p95_target_us')::bigint FROM crossfade.verdict WHERE pipeline = $1 AND scope = 'shadow'"
    " AND started_at > pg_catalog.to_timestamp($2::numeric / 1000000) ORDER BY id DESC LIMIT 1";

static void since_text(const struct watching *w, char out[24])
{
    (void)snprintf(out, 24, "%lld", (long long)(w->stage == STAGE_AFTER ? w->switched_us : 0));
}

static void reconciliation(struct watching *w, struct signal *s)
{
    const struct config *cfg = watch_running(w);
    struct err away = ERR_INIT;
    char since[24];
    PG_RESULT_AUTO res = NULL;
    if (cfg == NULL) {
        signal_unknown(
            s,
            "there is no way back (crossfade --reverse capture and apply, or cutover.watch.reverse_config)");
        return;
    }
    since_text(w, since);
    const char *params[] = {config_text(cfg, "pipeline"), since};
    struct pg_conn *conn = cfg == w->cfg ? w->co.target : watch_back_target(w, &away);
    if (conn == NULL || !watch_ask(conn, failing_sql, 2, params, &res, &away)) {
        signal_unknown(s, "%.280s", away.text);
        return;
    }
    if (pg_cell_int64(res, 0, 2) == 0)
        signal_unknown(s, "no comparison of `crossfade compare watch` yet");
    else
        signal_set(s, (double)pg_cell_int64(res, 0, 0), "%.280s", pg_cell(res, 0, 1));
}

static void latency(const struct pg_result *res, struct signal *s)
{
    if (pg_is_null(res, 0, 2) || pg_is_null(res, 0, 3)) {
        signal_unknown(s, "the last shadow queries were not timed");
        return;
    }
    double source = (double)pg_cell_int64(res, 0, 2), target = (double)pg_cell_int64(res, 0, 3);
    double ratio = target - source < NOISE_US ? 1 : target / MAX_OF(source, 1);
    signal_set(s, ratio, "p95 %.1f ms on the source, %.1f ms on the target", source / 1000, target / 1000);
}

static void errors(const struct pg_result *res, struct signal *s)
{
    int64_t compared = pg_cell_int64(res, 0, 0), failed = pg_cell_int64(res, 0, 1);
    if (pg_is_null(res, 0, 1) || compared == 0)
        signal_unknown(s, "the last shadow queries compared nothing");
    else
        signal_set(s, 100.0 * (double)failed / (double)compared, "%lld of %lld queries failed on one side",
                   (long long)failed, (long long)compared);
}

static void shadow(struct watching *w)
{
    struct signal *p95 = &w->triggers[TRIGGER_LATENCY_P95].signal,
                  *rate = &w->triggers[TRIGGER_ERROR_RATE].signal;
    struct err away = ERR_INIT;
    char since[24];
    PG_RESULT_AUTO res = NULL;
    since_text(w, since);
    const char *params[] = {w->pipeline, since};
    if (!watch_ask(w->co.target, shadow_sql, 2, params, &res, &away)) {
        signal_unknown(p95, "%.280s", away.text);
    } else if (pg_rows(res) == 0) {
        signal_unknown(p95, "no shadow queries yet");
    } else {
        latency(res, p95);
        errors(res, rate);
        return;
    }
    *rate = *p95;
}

void signals_of_verdicts(struct watching *w)
{
    static const enum trigger_kind kinds[] = {TRIGGER_RECONCILIATION, TRIGGER_LATENCY_P95,
                                              TRIGGER_ERROR_RATE};
    for (size_t i = 0; w->co.target == NULL && i < ARRAY_LEN(kinds); i++)
        signal_unknown(&w->triggers[kinds[i]].signal, "the target is away");
    if (w->co.target == NULL)
        return;
    reconciliation(w, &w->triggers[TRIGGER_RECONCILIATION].signal);
    shadow(w);
}
