/*
 * Owns the gates: everything that must hold before a cutover changes anything. Each gate has a measured
 * value, a limit and advice. All gates run, so that a person sees the whole list at once.
 */
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compare/watch.h"
#include "config/table_filter.h"
#include "control/http.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "cutover_internal.h"
#include "pg/source.h"

#define HTTP_TIMEOUT_MS 3000

static struct gate_result *add_gate(struct cutover *co, const char *name)
{
    if (co->report->gate_count == CUTOVER_GATES_MAX)
        BUG("more than %d gates", CUTOVER_GATES_MAX);
    struct gate_result *gate = &co->report->gates[co->report->gate_count++];
    *gate = (struct gate_result){.name = name, .verdict = GATE_OK};
    return gate;
}

static void refuse(struct gate_result *gate, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void refuse(struct gate_result *gate, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(gate->hint, sizeof gate->hint, fmt, ap);
    va_end(ap);
    gate->verdict = GATE_REFUSED;
}

static void measured(struct gate_result *gate, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void measured(struct gate_result *gate, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(gate->measured, sizeof gate->measured, fmt, ap);
    va_end(ap);
}

static void gate_role(struct cutover *co, const char *name, const char *listen_key, const char *role)
{
    struct gate_result *gate = add_gate(co, name);
    char *body = NULL;
    int status = 0;
    struct err away = ERR_INIT;
    (void)snprintf(gate->limit, sizeof gate->limit, "streaming");
    if (!http_get(config_text(co->cfg, listen_key), "/status", HTTP_TIMEOUT_MS, &body, &status, &away)) {
        measured(gate, "no answer from %s", config_text(co->cfg, listen_key));
        refuse(gate, "start `crossfade %s`, or set %s to where it listens", role, listen_key);
        return;
    }
    json_t *json = json_loads(body, 0, NULL);
    const char *phase = json_string_value(json_object_get(json, "phase"));
    const char *pipeline = json_string_value(json_object_get(json, "pipeline"));
    measured(gate, "%s", phase != NULL ? phase : "unreadable answer");
    if (pipeline != NULL && strcmp(pipeline, co->pipeline) != 0)
        refuse(gate, "%s answers for pipeline %s: set %s", config_text(co->cfg, listen_key), pipeline,
               listen_key);
    else if (phase == NULL || (strcmp(phase, "streaming") != 0 && strcmp(phase, "holding") != 0))
        refuse(gate, "wait until %s streams; `crossfade status` tells more", role);
    json_decref(json);
    free(body);
}

/* One marker there and back: what a drain takes now. */
static bool round_trip(struct cutover *co, int64_t limit_ms, int64_t *ret_us, struct err *err)
{
    char nonce[40];
    lsn_t lsn;
    int64_t start_us = clock_mono_us();
    nonce_make(nonce);
    if (!marker_write(co, "ping", nonce, &lsn, err) || !drain_wait(co, lsn, nonce, limit_ms, err))
        return false;
    *ret_us = clock_mono_us() - start_us;
    return true;
}

static void gate_lag(struct cutover *co)
{
    struct gate_result *gate = add_gate(co, "lag");
    int64_t limit_ms = config_int(co->cfg, "cutover.max_lag_ms");
    int64_t stable_us = config_int(co->cfg, "cutover.lag_stable_ms") * 1000;
    int64_t begin_us = clock_mono_us(), worst_us = 0;
    struct err late = ERR_INIT;
    int trips = 0;
    (void)snprintf(gate->limit, sizeof gate->limit, "each <= %" PRId64 " ms", limit_ms);
    do {
        int64_t took_us;
        if (!round_trip(co, limit_ms, &took_us, &late)) {
            measured(gate, "round trip %d failed", trips + 1);
            refuse(gate, "%.200s", late.text);
            return;
        }
        worst_us = MAX_OF(worst_us, took_us);
        trips++;
        (void)poll(NULL, 0, 100); /* spreads the trips over the window */
    } while (clock_mono_us() - begin_us < stable_us);
    measured(gate, "%d marker round trips, slowest %.1f ms", trips, (double)worst_us / 1000.0);
}

static void gate_verdict_age(struct cutover *co)
{
    struct gate_result *gate = add_gate(co, "verdict");
    int64_t limit_s = config_int(co->cfg, "cutover.verdict_max_age_s");
    const char *params[] = {co->pipeline};
    PG_RESULT_AUTO res = NULL;
    struct err failed = ERR_INIT;
    (void)snprintf(gate->limit, sizeof gate->limit, "PASS of all tables, <= %" PRId64 " s old", limit_s);
    if (!pg_query(co->target,
                  "SELECT verdict, extract(epoch FROM clock_timestamp() - finished_at)::bigint, scope,"
                  " coalesce((SELECT f.scope FROM crossfade.verdict f WHERE f.pipeline = $1 AND f.id > v.id"
                  " AND f.verdict = 'FAIL' AND f.scope NOT IN ('full', 'changed', 'shadow')"
                  " ORDER BY f.id DESC LIMIT 1), '') FROM crossfade.verdict v"
                  " WHERE pipeline = $1 AND scope IN ('full', 'changed') ORDER BY finished_at DESC LIMIT 1",
                  1, params, &res, &failed)) {
        refuse(gate, "%.200s", failed.text);
        return;
    }
    if (pg_rows(res) == 0) {
        measured(gate, "never compared");
        refuse(gate, "run `crossfade compare run`");
        return;
    }
    measured(gate, "%s, %s s old%s", pg_cell(res, 0, 0), pg_cell(res, 0, 1),
             strcmp(pg_cell(res, 0, 2), "changed") == 0 ? ", built on earlier ones" : "");
    const char *failed_scope = pg_cell(res, 0, 3);
    if (*failed_scope != '\0')
        refuse(gate, "a comparison of %.120s found differences since: repair, then `crossfade compare run`",
               failed_scope);
    else if (strcmp(pg_cell(res, 0, 0), "PASS") != 0)
        refuse(gate, "the last full comparison is not a PASS: look at its report, repair, compare again");
    else if (pg_cell_int64(res, 0, 1) > limit_s)
        refuse(gate, "compare again: `crossfade compare run`");
}

/* The window of compare watch: every level of it, without a gap. */
static void gate_clean_window(struct cutover *co)
{
    int64_t wanted_s = config_int(co->cfg, "cutover.clean_for");
    if (wanted_s == 0)
        return;
    struct gate_result *gate = add_gate(co, "clean_window");
    int64_t since_us = 0, clean_s = 0;
    struct err failed = ERR_INIT;
    (void)snprintf(gate->limit, sizeof gate->limit, "clean for %" PRId64 " s", wanted_s);
    if (!watch_clean_since(co->cfg, &since_us, &failed)) {
        refuse(gate, "%.200s", failed.text);
        return;
    }
    if (since_us > 0) {
        clean_s = MAX_OF(0, clock_wall_us() - since_us) / 1000000;
        measured(gate, "clean for %" PRId64 " s", clean_s);
    } else {
        measured(gate, "not clean");
    }
    if (since_us == 0 || clean_s < wanted_s)
        refuse(gate,
               "let `crossfade compare watch` run: `crossfade compare history` shows what breaks its window");
}

/* What the target refused is not on it. */
static void gate_dead_letters(struct cutover *co)
{
    struct gate_result *gate = add_gate(co, "dead_letters");
    int64_t there = 0, held = 0;
    struct err failed = ERR_INIT;
    (void)snprintf(gate->limit, sizeof gate->limit, "none held");
    if (!pg_query_int64(co->target, "SELECT count(to_regclass('crossfade.dead_letter'))", 0, NULL, &there,
                        &failed) ||
        (there > 0 &&
         !pg_query_int64(co->target,
                         "SELECT count(*) FROM crossfade.dead_letter WHERE pipeline = $1 AND state = 'held'",
                         1, (const char *[]){co->pipeline}, &held, &failed))) {
        refuse(gate, "%.200s", failed.text);
        return;
    }
    measured(gate, "%" PRId64 " held", held);
    if (held > 0)
        refuse(gate, "changes are not on the target: `crossfade apply dlq list`; mend it and retry, then "
                     "compare again");
}

/* What a person has to decide has not been decided; what is written on both sides has to end before. */
static void gate_conflicts(struct cutover *co)
{
    struct gate_result *gate = add_gate(co, "conflicts");
    int64_t there = 0, open = 0;
    struct err failed = ERR_INIT;
    (void)snprintf(gate->limit, sizeof gate->limit, "none open");
    if (!pg_query_int64(co->target, "SELECT count(to_regclass('crossfade.conflict'))", 0, NULL, &there,
                        &failed) ||
        (there > 0 &&
         !pg_query_int64(co->target,
                         "SELECT count(*) FROM crossfade.conflict WHERE pipeline = $1 AND state = 'open'", 1,
                         (const char *[]){co->pipeline}, &open, &failed))) {
        refuse(gate, "%.200s", failed.text);
        return;
    }
    measured(gate, "%" PRId64 " open", open);
    if (open > 0)
        refuse(gate, "both sides have changed rows: `crossfade apply conflicts list`; resolve them, then "
                     "compare again");
}

static void gate_complete(struct cutover *co)
{
    struct gate_result *gate = add_gate(co, "complete");
    lsn_t lsn;
    bool complete;
    char nonce[40];
    struct err failed = ERR_INIT;
    (void)snprintf(gate->limit, sizeof gate->limit, "snapshot complete");
    if (!position_read(co, &lsn, &complete, nonce, &failed)) {
        refuse(gate, "%.200s", failed.text);
        return;
    }
    measured(gate, "%s, applied_lsn=" LSN_FMT, complete ? "complete" : "copying", LSN_ARGS(lsn));
    if (!complete)
        refuse(gate, "wait until the snapshot is applied: `crossfade status --wait caught-up`");
}

static void gate_sequences(struct cutover *co)
{
    struct gate_result *gate = add_gate(co, "sequences");
    struct strbuf missing = STRBUF_INIT(65536), denied = STRBUF_INIT(65536);
    struct err failed = ERR_INIT;
    size_t count = 0;
    (void)snprintf(gate->limit, sizeof gate->limit, "all on the target");
    if (!sequences_missing(co, &missing, &denied, &count, &failed))
        refuse(gate, "%.200s", failed.text);
    else if (missing.len > 0)
        refuse(gate, "create on the target: %.180s", missing.data);
    else if (denied.len > 0)
        refuse(gate, "on the target:%.220s", denied.data);
    measured(gate, "%zu sequences", count);
    strbuf_release(&missing);
    strbuf_release(&denied);
}

struct chosen {
    const struct table_filter *filter;
    struct strbuf *missing;
};

static bool look_at_table(void *ctx, uint32_t oid, const char *schema, const char *table, uint32_t root_oid,
                          struct err *err)
{
    struct chosen *c = ctx;
    (void)oid;
    (void)root_oid;
    (void)err;
    if (table_filter_matches(c->filter, schema, table))
        strbuf_addf(c->missing, "%s%s.%s", c->missing->len > 0 ? ", " : "", schema, table);
    return true;
}

/* A table that was made since, or taken out of the publication, would be left behind in silence. */
static void gate_publication(struct cutover *co)
{
    struct gate_result *gate = add_gate(co, "publication");
    struct strbuf missing = STRBUF_INIT(1 << 20);
    struct table_filter *filter = NULL;
    struct err failed = ERR_INIT;
    char publication[80];
    char *faults CLEANUP(free_ptr) = NULL;
    (void)snprintf(publication, sizeof publication, "crossfade_%s", co->pipeline);
    (void)snprintf(gate->limit, sizeof gate->limit, "publishes all of source.tables");
    measured(gate, "%zu tables", co->table_count);
    struct chosen c = {.missing = &missing};
    bool ok = table_filter_from_config(co->cfg, &filter, &failed);
    c.filter = filter;
    ok = ok && source_publication_faults(co->source, publication, &faults, &failed) &&
         source_unpublished(co->source, publication, look_at_table, &c, &failed);
    if (!ok)
        refuse(gate, "%.200s", failed.text);
    else if (faults != NULL)
        refuse(gate, "it was altered: %.160s; start a new copy", faults);
    else if (missing.len > 0)
        refuse(gate, "not captured: %.120s; start a new copy, or exclude them in source.tables",
               missing.data);
    table_filter_free(filter);
    strbuf_release(&missing);
}

/* A subscription's apply worker writes in replica role: no trigger of ours stops it. */
static void gate_subscriptions(struct cutover *co)
{
    struct gate_result *gate = add_gate(co, "subscriptions");
    char *names CLEANUP(free_ptr) = NULL;
    struct err failed = ERR_INIT;
    (void)snprintf(gate->limit, sizeof gate->limit, "none enabled");
    if (!pg_query_text(
            co->source,
            "SELECT string_agg(s.subname, ', ') FROM pg_catalog.pg_subscription s WHERE s.subenabled AND"
            " s.subdbid = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = "
            "current_database())",
            0, NULL, &names, &failed)) {
        refuse(gate, "%.200s", failed.text);
        return;
    }
    measured(gate, "%s", names != NULL ? "some" : "none");
    if (names != NULL)
        refuse(gate, "they write on after the freeze: ALTER SUBSCRIPTION %.120s DISABLE", names);
}

static void gate_prepared(struct cutover *co)
{
    struct gate_result *gate = add_gate(co, "prepared_transactions");
    int64_t count;
    struct err failed = ERR_INIT;
    (void)snprintf(gate->limit, sizeof gate->limit, "none");
    if (!pg_query_int64(
            co->source,
            "SELECT count(*) FROM pg_catalog.pg_prepared_xacts WHERE database = current_database()", 0, NULL,
            &count, &failed)) {
        refuse(gate, "%.200s", failed.text);
        return;
    }
    measured(gate, "%" PRId64, count);
    if (count > 0)
        refuse(gate, "finish them: COMMIT PREPARED or ROLLBACK PREPARED (SELECT gid FROM pg_prepared_xacts)");
}

/* Closing the source needs ownership of every table, and the right to end sessions. */
static void gate_privileges(struct cutover *co)
{
    struct gate_result *gate = add_gate(co, "privileges");
    const char *params[] = {co->pipeline};
    char *missing = NULL;
    struct err failed = ERR_INIT;
    (void)snprintf(gate->limit, sizeof gate->limit, "owner of all tables, pg_signal_backend");
    if (!pg_query_text(
            co->source,
            "SELECT concat_ws(' ', (SELECT string_agg(DISTINCT pg_catalog.format('GRANT %I TO %I;',"
            " pg_catalog.pg_get_userbyid(c.relowner), current_user), ' ')"
            " FROM pg_catalog.pg_publication_tables p JOIN pg_catalog.pg_namespace n ON n.nspname = "
            "p.schemaname"
            " JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename"
            " WHERE p.pubname = 'crossfade_' || $1 AND NOT pg_catalog.pg_has_role(c.relowner, 'USAGE')),"
            " CASE WHEN NOT pg_catalog.pg_has_role('pg_signal_backend', 'USAGE') THEN"
            " pg_catalog.format('GRANT pg_signal_backend TO %I;', current_user) END)",
            1, params, &missing, &failed)) {
        refuse(gate, "%.200s", failed.text);
        return;
    }
    bool ok = missing == NULL || *missing == '\0';
    measured(gate, "%s", ok ? "all there" : "some are missing");
    if (!ok)
        refuse(gate, "on the source: %.220s", missing);
    free(missing);
}

static bool all_ok(const struct cutover_report *report)
{
    for (size_t i = 0; i < report->gate_count; i++) {
        if (report->gates[i].verdict != GATE_OK)
            return false;
    }
    return true;
}

bool gates_run(struct cutover *co, bool *ret_all_ok, struct err *err)
{
    gate_role(co, "capture_alive", "capture.listen", "capture");
    gate_role(co, "apply_alive", "apply.listen", "apply");
    gate_complete(co);
    gate_dead_letters(co);
    gate_conflicts(co);
    gate_publication(co);
    gate_subscriptions(co);
    gate_sequences(co);
    gate_prepared(co);
    gate_privileges(co);
    gate_verdict_age(co);
    gate_clean_window(co);
    /* Last and only if the rest holds: it waits, and a dead role would cost its whole limit. */
    if (all_ok(co->report))
        gate_lag(co);
    *ret_all_ok = all_ok(co->report);
    return true;
}
