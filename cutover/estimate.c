/*
 * Owns what a cutover will take, told beforehand: by what was measured just now (markers sent there and back), by the lags of the
 * last days, by earlier cutovers of the pipeline, by what the last full comparison took. Every figure comes with where it is from.
 */
#include "estimate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "back.h"
#include "config/reverse.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "deadline.h"
#include "from_maria/from_maria.h"
#include "prepare/prepare.h"
#include "prepare/sequence_list.h"
#include "reads.h"

#define UNKNOWN_MS  (-1)
#define SEQUENCE_MS 0.2 /* to read, set and read one back; measured, with room */

struct known {
    double trip_ms;            /* of a statement to the source and back */
    int64_t lag_ms;            /* 95 of 100 lags of the last days came within this; UNKNOWN_MS: none noted */
    int64_t lags;              /* how many */
    int64_t past_ms[CUT_MAX_]; /* what earlier cutovers took for this step, the slowest of the last ten */
    int64_t verify_ms;
    size_t changed;
};

static bool measure_trip(struct cutover *co, struct known *known, struct err *err)
{
    int64_t begin_us = clock_mono_us();
    if (co->from_maria != NULL ? !session_exec(co->from_maria->main, "DO 1", err)
                               : !pg_exec(co->source, "SELECT 1", err))
        return false;
    known->trip_ms = (double)(clock_mono_us() - begin_us) / 1000.0;
    return true;
}

static bool read_lags(struct cutover *co, struct known *known, struct err *err)
{
    const char *params[] = {co->pipeline};
    ROWSET_AUTO rs = NULL;
    if (!store_ask(co, STORE_LAGS, 1, params, &rs, err))
        return err_wrap(err, "lags of the last days");
    bool some = rowset_rows(rs) > 0 && !rowset_is_null(rs, 0, 1);
    known->lags = some ? rowset_int64(rs, 0, 0) : 0;
    known->lag_ms = some ? rowset_int64(rs, 0, 1) : UNKNOWN_MS;
    return true;
}

static bool read_past(struct cutover *co, struct known *known, struct err *err)
{
    const char *params[] = {co->pipeline};
    ROWSET_AUTO rs = NULL;
    if (!store_ask(co, STORE_PAST, 1, params, &rs, err))
        return err_wrap(err, "steps of earlier cutovers");
    for (int s = 0; s < CUT_MAX_; s++)
        known->past_ms[s] = UNKNOWN_MS;
    for (int i = 0; i < rowset_rows(rs); i++)
        known->past_ms[cutover_state_parse(rowset_cell(rs, i, 0))] = rowset_int64(rs, i, 1);
    return true;
}

/* The way back is not compared as a whole: the same rows took the cutover as long. */
static bool past_of_the_way_there(struct cutover *co, char **took, struct err *err)
{
    struct back back;
    if (!config_is_reversed(co->cfg))
        return true;
    if (!back_of(co, &back, err))
        return false;
    bool ok = store_text(&back.view, STORE_FULL_PASS, 1, &back.view.pipeline, took, err);
    back_release(&back);
    return ok;
}

/* Rows of what changed, by the planner's figures, at the speed of the last comparison of everything. */
static bool estimate_verify(struct cutover *co, struct known *known, struct err *err)
{
    char publication[80], other[64];
    double all = 0, changed = 0;
    PG_RESULT_AUTO rows = NULL;
    char *took CLEANUP(free_ptr) = NULL;
    config_other_pipeline(co->cfg, other);
    (void)snprintf(publication, sizeof publication, "crossfade_%s",
                   co->from_maria != NULL ? other : co->pipeline);
    const char *params[] = {publication}, *of[] = {co->pipeline};
    known->verify_ms = UNKNOWN_MS;
    if (!pg_query(co->from_maria != NULL ? co->target : co->source,
                  "SELECT p.schemaname, p.tablename, coalesce((SELECT sum(greatest(l.reltuples, 0)) FROM"
                  " pg_catalog.pg_partition_tree(c.oid) t JOIN pg_catalog.pg_class l ON l.oid = t.relid "
                  "WHERE t.isleaf),"
                  " greatest(c.reltuples, 0))::bigint FROM pg_catalog.pg_publication_tables p"
                  " JOIN pg_catalog.pg_namespace n ON n.nspname = p.schemaname"
                  " JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename"
                  " WHERE p.pubname = $1 AND p.schemaname <> 'crossfade' ORDER BY 1, 2",
                  1, params, &rows, err) ||
        !store_text(co, STORE_FULL_PASS, 1, of, &took, err))
        return err_wrap(err, "what the final comparison will take");
    for (int i = 0; i < pg_rows(rows); i++) {
        /* Both lists are in the same order; a table that came meanwhile counts as changed. */
        bool same = (size_t)i < co->table_count && strcmp(co->tables[i].schema, pg_cell(rows, i, 0)) == 0 &&
                    strcmp(co->tables[i].table, pg_cell(rows, i, 1)) == 0;
        bool reads = !same || !co->baseline || co->tables[i].changed;
        all += (double)pg_cell_int64(rows, i, 2);
        changed += reads ? (double)pg_cell_int64(rows, i, 2) : 0;
        known->changed += reads;
    }
    if (took == NULL && !past_of_the_way_there(co, &took, err))
        return false;
    if (took != NULL)
        known->verify_ms = (int64_t)((double)strtoll(took, NULL, 10) * (all > 0 ? changed / all : 1));
    return true;
}

static struct cutover_estimate *add(struct cutover *co, enum cutover_state state)
{
    struct cutover_report *report = co->report;
    const struct cutover_rule *rule = cutover_rule(state, EV_GO);
    struct cutover_estimate *e = &report->estimates[report->estimate_count++];
    *e = (struct cutover_estimate){.state = cutover_state_name(state),
                                   .guard = rule->guard != NULL ? rule->guard : "",
                                   .action = rule->action,
                                   .undo = rule->undo,
                                   .then = cutover_state_name(rule->next),
                                   .ms = UNKNOWN_MS,
                                   .deadline_ms = UNKNOWN_MS,
                                   .in_pause = rule->in_pause};
    if (rule->deadline != NULL)
        e->deadline_ms = deadline_option_ms(co->cfg, rule->deadline);
    if (rule->in_pause)
        e->deadline_ms = MIN_OF(e->deadline_ms, report->pause_budget_ms);
    return e;
}

static void of_the_past(const struct known *known, enum cutover_state state, double trips,
                        struct cutover_estimate *e)
{
    if (known->past_ms[state] != UNKNOWN_MS) {
        e->ms = known->past_ms[state];
        (void)snprintf(e->basis, sizeof e->basis, "the slowest of earlier cutovers");
    } else {
        e->ms = (int64_t)(trips * known->trip_ms + 0.5);
        (void)snprintf(e->basis, sizeof e->basis, "%.0f statements of %.1f ms", trips, known->trip_ms);
    }
}

/* A marker's way to the target, now and in the last days. */
static void of_markers(const struct cutover *co, const struct known *known, struct cutover_estimate *e)
{
    int64_t now_ms = co->slowest_trip_us > 0 ? co->slowest_trip_us / 1000 + 1 : UNKNOWN_MS;
    e->ms = MAX_OF(now_ms, known->lag_ms);
    size_t used = 0;
    if (now_ms != UNKNOWN_MS)
        used = (size_t)snprintf(e->basis, sizeof e->basis, "the slowest of %d markers now: %" PRId64 " ms",
                                co->trips, now_ms);
    if (known->lag_ms != UNKNOWN_MS)
        used += (size_t)snprintf(e->basis + used, sizeof e->basis - used,
                                 "%sp95 of %" PRId64 " lags in 7 days: %" PRId64 " ms", used > 0 ? "; " : "",
                                 known->lags, known->lag_ms);
    if (used == 0)
        (void)snprintf(e->basis, sizeof e->basis, "no marker was sent, no lag is noted");
}

static void of_step(struct cutover *co, const struct known *known, enum cutover_state state)
{
    struct cutover_estimate *e = add(co, state);
    double tables = (double)co->table_count;
    switch (state) {
    case CUT_DRAINING:
        of_markers(co, known, e);
        break;
    case CUT_DECIDING:
        of_markers(co, known, e);
        if (e->ms != UNKNOWN_MS)
            e->ms += (int64_t)((tables + 8) * known->trip_ms + 0.5);
        break;
    case CUT_VERIFYING:
        e->ms = known->verify_ms;
        (void)snprintf(e->basis, sizeof e->basis,
                       "rows of %zu of %zu tables that changed, at the speed of the last full PASS",
                       known->changed, co->table_count);
        break;
    case CUT_WAITING:
        (void)snprintf(e->basis, sizeof e->basis, "as long as the postpone file exists");
        e->ms = 0;
        break;
    case CUT_READING:
        (void)snprintf(e->basis, sizeof e->basis,
                       "as long as the steps are held, and the shadow queries take");
        e->ms = reads_hold_ms(co);
        break;
    case CUT_PREPARING:
        e->ms = prepare_estimate_ms(co, e->basis, sizeof e->basis);
        break;
    case CUT_ARMING:
        of_the_past(known, state, 6 * tables, e);
        break;
    case CUT_FREEZING:
        of_the_past(known, state, tables + 8, e);
        break;
    case CUT_SEQUENCING:
        of_the_past(known, state, 5 * (1 + (double)co->sequence_count / SEQUENCES_AT_ONCE), e);
        if (known->past_ms[state] == UNKNOWN_MS)
            e->ms += (int64_t)((double)co->sequence_count * SEQUENCE_MS);
        break;
    default:
        of_the_past(known, state, 3, e);
    }
}

bool estimate_make(struct cutover *co, struct err *err)
{
    struct known known = {0};
    struct cutover_report *report = co->report;
    report->estimate_count = 0;
    report->pause_budget_ms = deadline_option_ms(co->cfg, "cutover.pause_budget_ms");
    report->pause_estimate_ms = 0;
    if (!measure_trip(co, &known, err) || !read_lags(co, &known, err) || !read_past(co, &known, err) ||
        !estimate_verify(co, &known, err))
        return false;
    for (int s = CUT_UNKNOWN + 1; s < CUT_DONE; s++)
        of_step(co, &known, (enum cutover_state)s);
    for (size_t i = 0; i < report->estimate_count; i++) {
        const struct cutover_estimate *e = &report->estimates[i];
        if (e->in_pause && report->pause_estimate_ms != UNKNOWN_MS)
            report->pause_estimate_ms = e->ms == UNKNOWN_MS ? UNKNOWN_MS : report->pause_estimate_ms + e->ms;
    }
    return true;
}
