/* Owns the gates of the pipeline: its roles, its slot, what it publishes, how far behind it is, how long clients will wait. */
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/table_filter.h"
#include "control/access.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "estimate.h"
#include "gates.h"
#include "pg/source.h"

#define HTTP_TIMEOUT_MS 3000

static bool gate_role(struct cutover *co, const char *listen_key, const char *role, struct gate_result *gate)
{
    char *body = NULL;
    int status = 0;
    struct err away = ERR_INIT;
    gate_limit(gate, "streaming");
    const struct http_access access = http_access_of(co->cfg);
    if (!http_get(&access, config_text(co->cfg, listen_key), "/status", HTTP_TIMEOUT_MS, &body, &status,
                  &away)) {
        gate_measured(gate, "no answer from %s", config_text(co->cfg, listen_key));
        gate_refuse(gate, "start `crossfade %s`, or set %s to where it listens", role, listen_key);
        return true;
    }
    json_t *json = json_loads(body, 0, NULL);
    const char *phase = json_string_value(json_object_get(json, "phase"));
    const char *pipeline = json_string_value(json_object_get(json, "pipeline"));
    gate_measured(gate, "%s", phase != NULL ? phase : "unreadable answer");
    if (pipeline != NULL && strcmp(pipeline, co->pipeline) != 0)
        gate_refuse(gate, "%s answers for pipeline %s: set %s", config_text(co->cfg, listen_key), pipeline,
                    listen_key);
    else if (phase == NULL || (strcmp(phase, "streaming") != 0 && strcmp(phase, "holding") != 0))
        gate_refuse(gate, "wait until %s streams; `crossfade status` tells more", role);
    json_decref(json);
    free(body);
    return true;
}

bool gate_capture_alive(struct cutover *co, struct gate_result *gate)
{
    return gate_role(co, "capture.listen", "capture", gate);
}

bool gate_apply_alive(struct cutover *co, struct gate_result *gate)
{
    return gate_role(co, "apply.listen", "apply", gate);
}

/* Where a standby decodes, the slot is there, and capture's own health tells of it. */
bool gate_slot(struct cutover *co, struct gate_result *gate)
{
    char name[80];
    struct source_slot slot;
    struct err failed = ERR_INIT;
    if (config_is_set(co->cfg, "source.standby_url"))
        return false;
    (void)snprintf(name, sizeof name, "crossfade_%s", co->pipeline);
    gate_limit(gate, "in use, no WAL lost");
    if (!source_slot_look(co->source, name, &slot, &failed))
        return gate_unmeasured(gate, &failed);
    gate_measured(gate, "%s%s, %" PRId64 " MiB of WAL kept",
                  !slot.exists           ? "missing"
                  : slot.active_pid != 0 ? "in use"
                                         : "idle",
                  slot.lost ? ", WAL lost" : "", MAX_OF(0, slot.retained_bytes) / 1048576);
    if (!slot.exists || slot.lost)
        gate_refuse(gate, "slot %s is of no use any more: start a new copy", name);
    else if (slot.active_pid == 0)
        gate_refuse(gate, "nobody reads slot %s: start `crossfade capture`", name);
    return true;
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

bool gate_lag(struct cutover *co, struct gate_result *gate)
{
    int64_t limit_ms = config_int(co->cfg, "cutover.max_lag_ms");
    int64_t stable_us = config_int(co->cfg, "cutover.lag_stable_ms") * 1000;
    int64_t begin_us = clock_mono_us(), worst_us = 0;
    struct err late = ERR_INIT;
    int trips = 0;
    gate_limit(gate, "each <= %" PRId64 " ms", limit_ms);
    do {
        int64_t took_us;
        if (!writers_look(co, &late) || !round_trip(co, limit_ms, &took_us, &late)) {
            gate_measured(gate, "round trip %d failed", trips + 1);
            gate_refuse(gate, "%.200s", late.text);
            return true;
        }
        worst_us = MAX_OF(worst_us, took_us);
        trips++;
        co->slowest_trip_us = worst_us;
        co->trips = trips;
        (void)poll(NULL, 0, 100); /* spreads the trips over the window */
    } while (clock_mono_us() - begin_us < stable_us);
    gate_measured(gate, "%d marker round trips, slowest %.1f ms", trips, (double)worst_us / 1000.0);
    return true;
}

bool gate_complete(struct cutover *co, struct gate_result *gate)
{
    lsn_t lsn;
    bool complete;
    char nonce[40];
    struct err failed = ERR_INIT;
    gate_limit(gate, "snapshot complete");
    if (!position_read(co, &lsn, &complete, nonce, &failed)) {
        (void)gate_unmeasured(gate, &failed);
        return true;
    }
    gate_measured(gate, "%s, applied_lsn=" LSN_FMT, complete ? "complete" : "copying", LSN_ARGS(lsn));
    if (!complete)
        gate_refuse(gate, "wait until the snapshot is applied: `crossfade status --wait caught-up`");
    return true;
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
bool gate_publication(struct cutover *co, struct gate_result *gate)
{
    struct strbuf missing = STRBUF_INIT(1 << 20);
    struct table_filter *filter = NULL;
    struct err failed = ERR_INIT;
    char publication[80];
    char *faults CLEANUP(free_ptr) = NULL;
    (void)snprintf(publication, sizeof publication, "crossfade_%s", co->pipeline);
    gate_limit(gate, "publishes all of source.tables");
    gate_measured(gate, "%zu tables", co->table_count);
    struct chosen c = {.missing = &missing};
    bool ok = table_filter_from_config(co->cfg, &filter, &failed);
    c.filter = filter;
    ok = ok && source_publication_faults(co->source, publication, &faults, &failed) &&
         source_unpublished(co->source, publication, look_at_table, &c, &failed);
    if (!ok)
        (void)gate_unmeasured(gate, &failed);
    else if (faults != NULL)
        gate_refuse(gate, "it was altered: %.160s; start a new copy", faults);
    else if (missing.len > 0)
        gate_refuse(gate, "not captured: %.120s; start a new copy, or exclude them in source.tables",
                    missing.data);
    table_filter_free(filter);
    strbuf_release(&missing);
    return true;
}

/* Who would make clients wait for longer than was agreed does not begin. */
bool gate_pause(struct cutover *co, struct gate_result *gate)
{
    const struct cutover_report *report = co->report;
    struct err failed = ERR_INIT;
    if (!estimate_make(co, &failed))
        return gate_unmeasured(gate, &failed);
    gate_limit(gate, "<= %" PRId64 " ms", report->pause_budget_ms);
    if (report->pause_estimate_ms < 0) {
        gate_measured(gate, "unknown");
        gate_refuse(gate, "run `crossfade compare run`: its time tells what the final comparison takes");
        return true;
    }
    gate_measured(gate, "about %" PRId64 " ms", report->pause_estimate_ms);
    if (report->pause_estimate_ms > report->pause_budget_ms)
        gate_refuse(gate,
                    "compare again, so that less has changed since; look at the plan's estimates; or raise "
                    "cutover.pause_budget_ms (below the pooler's query_wait_timeout)");
    return true;
}
