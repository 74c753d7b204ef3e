/* Owns: verdicts and gates for a status page. See status_facts.h. The full list of gates is `crossfade cutover plan`'s: it asks both servers and sends markers,
 * which a page must not do every half minute. */
#include "status_facts.h"

#include <stdio.h>
#include <stdlib.h>

#include "compare/readiness.h"
#include "compare/watch.h"
#include "core/clock.h"
#include "core/strbuf.h"
#include "fleet.h"
#include "terminal.h"
#include "json/text.h"

#define RUNS_SHOWN 60

static void add_gate(json_t *list, const char *name, bool met, const char *found, const char *wanted,
                     const char *hint)
{
    json_t *gate = json_object();
    json_object_set_new(gate, "gate", json_text(name));
    json_object_set_new(gate, "met", json_boolean(met));
    json_object_set_new(gate, "found", json_text(found));
    json_object_set_new(gate, "wanted", json_text(wanted));
    json_object_set_new(gate, "hint", json_text(met ? "" : hint));
    json_array_append_new(list, gate);
}

static void add_alive(json_t *list, const char *name, const json_t *role, const char *role_name)
{
    const char *phase = fleet_text(role, "phase");
    bool met =
        strcmp(phase, "streaming") == 0 || strcmp(phase, "holding") == 0 || strcmp(phase, "snapshot") == 0;
    char hint[160];
    (void)snprintf(hint, sizeof hint, "crossfade %s has to run without trouble; its log says what is wrong",
                   role_name);
    add_gate(list, name, met, phase, "running", hint);
}

static void add_slot(json_t *list, const json_t *capture)
{
    const char *guard = fleet_text(capture, "wal_guard"), *state = fleet_text(capture, "wal_status");
    bool known = *state != '\0';
    bool met = known && strcmp(state, "lost") != 0 && strcmp(state, "unreserved") != 0 &&
               strcmp(guard, "alert") != 0;
    add_gate(
        list, "slot", met, known ? state : "not known", "reserved",
        "the source is about to drop the WAL that capture needs, or capture cannot tell: docs/OPERATIONS.md");
}

static void add_lag(const struct config *cfg, json_t *list, const json_t *all)
{
    double seconds = fleet_number(all, "lag_seconds");
    struct strbuf found = STRBUF_INIT(100), wanted = STRBUF_INIT(100);
    int64_t limit_ms = config_int(cfg, "cutover.max_lag_ms");
    if (seconds >= 0)
        human_seconds(&found, seconds);
    else
        strbuf_adds(&found, "not known");
    strbuf_adds(&wanted, "at most ");
    human_seconds(&wanted, (double)limit_ms / 1000.0);
    add_gate(list, "lag", seconds >= 0 && seconds * 1000.0 <= (double)limit_ms, found.data, wanted.data,
             "wait until apply has caught up (cutover.max_lag_ms)");
    strbuf_release(&found);
    strbuf_release(&wanted);
}

json_t *status_gates(const struct config *cfg, const json_t *all)
{
    const json_t *capture = json_object_get(all, "capture"), *apply = json_object_get(all, "apply");
    json_t *list = json_array();
    if (json_is_object(capture)) {
        add_alive(list, "capture_alive", capture, "capture");
        if (*fleet_text(capture, "wal_status") != '\0')
            add_slot(list, capture);
    }
    add_alive(list, "apply_alive", apply, "apply");
    add_gate(list, "complete", fleet_bool(all, "complete"),
             fleet_is_down(apply)          ? "not known"
             : fleet_bool(all, "complete") ? "yes"
                                           : "no",
             "the first copy is done", "apply has to run, and all tables to be copied");
    add_lag(cfg, list, all);
    return list;
}

static json_t *readiness_gates(const struct readiness *readiness)
{
    json_t *list = json_array();
    for (size_t i = 0; i < readiness->count; i++) {
        const struct readiness_gate *gate = &readiness->gates[i];
        add_gate(list, gate->name, gate->met, gate->measured, gate->limit, gate->hint);
    }
    return list;
}

static void add_history(json_t *facts, const struct watch_history *history, struct err *err)
{
    char *text = NULL;
    json_t *parsed = watch_history_json(history, &text, err) ? json_loads(text, 0, NULL) : NULL;
    free(text);
    if (parsed != NULL)
        (void)json_object_update(facts, parsed);
    json_decref(parsed);
}

json_t *status_facts_read(const struct config *cfg)
{
    struct readiness readiness = {0};
    struct watch_history history = {0};
    struct err err = ERR_INIT;
    char at[ISO_TIME_MAX];
    json_t *facts = json_object();
    json_object_set_new(facts, "pipeline", json_text(config_text(cfg, "pipeline")));
    json_object_set_new(facts, "at", json_string(clock_iso(clock_wall_us(), at)));
    bool ok = readiness_of(cfg, &readiness, &err);
    if (ok)
        json_object_set_new(facts, "gates", readiness_gates(&readiness));
    ok = ok && watch_history_read(cfg, RUNS_SHOWN, &history, &err);
    if (ok)
        add_history(facts, &history, &err);
    watch_history_release(&history);
    json_object_set_new(facts, "error", err.text[0] != '\0' ? json_text(err.text) : json_null());
    return facts;
}
