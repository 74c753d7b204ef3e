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

#include "compare/readiness.h"
#include "config/table_filter.h"
#include "control/http.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "cutover/approval/approval.h"
#include "cutover/approval/gate.h"
#include "cutover_internal.h"
#include "pg/source.h"
#include "poolers/poolers.h"

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

/* What the target's control tables answer; a gate that nobody asked for is not among them. */
static void gate_of_target(struct cutover *co, const struct readiness *readiness, const char *name)
{
    const struct readiness_gate *from = readiness_find(readiness, name);
    if (from == NULL)
        return;
    struct gate_result *gate = add_gate(co, from->name);
    measured(gate, "%s", from->measured);
    (void)snprintf(gate->limit, sizeof gate->limit, "%s", from->limit);
    if (!from->met)
        refuse(gate, "%s", from->hint);
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

static void gate_poolers(struct cutover *co)
{
    if (poolers_count(co) == 0)
        return;
    struct gate_result *gate = add_gate(co, "poolers");
    struct strbuf found = STRBUF_INIT(65536), hint = STRBUF_INIT(65536);
    struct err failed = ERR_INIT;
    int64_t wait_ms = 0, timeout_ms = config_int(co->cfg, "cutover.pooler_timeout_ms");
    (void)snprintf(gate->limit, sizeof gate->limit, "all can be paused and switched");
    if (!poolers_look(co, &found, &hint, &wait_ms, &failed))
        refuse(gate, "%.239s", failed.text);
    else if (hint.len > 0)
        refuse(gate, "%.239s", hint.data);
    else if (wait_ms > 0 && wait_ms <= timeout_ms)
        refuse(
            gate,
            "clients are thrown out after query_wait_timeout: raise it, or lower cutover.pooler_timeout_ms");
    measured(gate, "%.159s", found.data);
    strbuf_release(&found);
    strbuf_release(&hint);
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
    struct readiness readiness;
    if (!approval_plan_hash(co, co->report->plan_hash, err))
        return false;
    if (approval_is_wanted(co->cfg, APPROVAL_CONFIRM) && co->talk->confirm != NULL)
        confirm_gate(co, add_gate(co, "confirmed"));
    if (!readiness_of(co->cfg, &readiness, err))
        return false;
    gate_role(co, "capture_alive", "capture.listen", "capture");
    gate_role(co, "apply_alive", "apply.listen", "apply");
    gate_complete(co);
    gate_of_target(co, &readiness, "dead_letters");
    gate_of_target(co, &readiness, "conflicts");
    gate_publication(co);
    gate_subscriptions(co);
    gate_sequences(co);
    gate_prepared(co);
    gate_privileges(co);
    gate_poolers(co);
    gate_of_target(co, &readiness, "verdict");
    gate_of_target(co, &readiness, "clean_window");
    if (approval_is_on(co->cfg))
        approvals_gate(co, add_gate(co, "approvals"));
    /* Last and only if the rest holds: it waits, and a dead role would cost its whole limit. */
    if (all_ok(co->report))
        gate_lag(co);
    *ret_all_ok = all_ok(co->report);
    return true;
}
