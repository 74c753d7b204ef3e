/* Owns: what the gates said, just now or when the run began, when each last held; and what the steps were expected to take. */
#include <string.h>

#include "cutover/dossier/dossier_internal.h"

/* --- as a command has found them --- */

static json_t *gate_now(const struct dossier *d, const struct gate_result *g)
{
    json_t *j = json_object();
    dossier_put(j, "name", json_text(g->name));
    dossier_put(j, "verdict", json_text(g->verdict == GATE_OK ? "ok" : "refused"));
    dossier_put(j, "measured", dossier_say(d, g->measured));
    dossier_put(j, "limit", dossier_say(d, g->limit));
    dossier_put(j, "hint", dossier_say(d, g->hint));
    return j;
}

static json_t *estimate_now(const struct dossier *d, const struct cutover_estimate *e)
{
    json_t *j = json_object();
    dossier_put(j, "state", json_text(e->state));
    dossier_put(j, "action", json_text(e->action));
    dossier_put(j, "ms", e->ms < 0 ? json_null() : json_integer(e->ms));
    dossier_put(j, "deadline_ms", e->deadline_ms < 0 ? json_null() : json_integer(e->deadline_ms));
    dossier_put(j, "clients_wait", json_boolean(e->in_pause));
    dossier_put(j, "basis", dossier_say(d, e->basis));
    return j;
}

static void put_now(struct dossier *d, json_t *gates, json_t *estimates)
{
    const struct cutover_report *now = d->req->now;
    for (size_t i = 0; i < now->gate_count; i++)
        json_array_append_new(gates, gate_now(d, &now->gates[i]));
    for (size_t i = 0; i < now->estimate_count; i++)
        json_array_append_new(estimates, estimate_now(d, &now->estimates[i]));
    if (now->estimate_count > 0 && now->pause_estimate_ms >= 0)
        dossier_put(json_object_get(d->doc, "pause"), "estimate_ms", json_integer(now->pause_estimate_ms));
}

/* --- as they are in the audit chain --- */

static json_t *gate_past(const struct dossier *d, const json_t *g)
{
    json_t *j = json_object();
    dossier_put(j, "name", json_text(dossier_text(g, "name")));
    dossier_put(j, "verdict", json_text(strcmp(dossier_text(g, "verdict"), "ok") == 0 ? "ok" : "refused"));
    dossier_put(j, "measured", dossier_say(d, dossier_text(g, "measured")));
    dossier_put(j, "limit", dossier_say(d, dossier_text(g, "limit")));
    dossier_put(j, "hint", dossier_say(d, dossier_text(g, "hint")));
    return j;
}

static json_t *known_ms(const json_t *object, const char *key)
{
    int64_t ms = dossier_int(object, key, -1);
    return ms < 0 ? json_null() : json_integer(ms);
}

static json_t *estimate_past(const struct dossier *d, const json_t *e)
{
    const struct cutover_rule *rule = cutover_rule(cutover_state_parse(dossier_text(e, "state")), EV_GO);
    json_t *j = json_object();
    dossier_put(j, "state", json_text(dossier_text(e, "state")));
    dossier_put(j, "action", rule != NULL ? json_text(rule->action) : json_null());
    dossier_put(j, "ms", known_ms(e, "ms"));
    dossier_put(j, "deadline_ms", known_ms(e, "deadline_ms"));
    dossier_put(j, "clients_wait", json_boolean(json_is_true(json_object_get(e, "clients_wait"))));
    dossier_put(j, "basis", dossier_say(d, dossier_text(e, "basis")));
    return j;
}

struct look {
    struct dossier *d;
    json_t *held, *refused; /* by a gate's name: when that was last so */
    json_t *asked;          /* the detail of the row that belongs to the run */
    char asked_at[AUDIT_TIME_MAX];
};

static bool take_row(void *ctx, const struct audit_row *row, struct err *err)
{
    struct look *look = ctx;
    size_t i;
    json_t *gate, *detail = json_loads(row->detail, 0, NULL);
    (void)err;
    json_array_foreach(json_object_get(detail, "gates"), i, gate)
    {
        bool ok = strcmp(dossier_text(gate, "verdict"), "ok") == 0;
        dossier_put(ok ? look->held : look->refused, dossier_text(gate, "name"), json_text(row->at));
    }
    if (look->d->recorded && strcmp(row->cutover_id, look->d->past.id) == 0) {
        json_decref(look->asked);
        look->asked = json_incref(detail);
        (void)snprintf(look->asked_at, sizeof look->asked_at, "%s", row->at);
    }
    json_decref(detail);
    return true;
}

static void put_past(struct look *look, json_t *gates, json_t *estimates)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(look->asked, "gates"), i, one)
        json_array_append_new(gates, gate_past(look->d, one));
    json_array_foreach(json_object_get(look->asked, "estimates"), i, one)
        json_array_append_new(estimates, estimate_past(look->d, one));
    if (json_array_size(estimates) > 0)
        dossier_put(json_object_get(look->d->doc, "pause"), "estimate_ms",
                    known_ms(look->asked, "pause_estimate_ms"));
}

static void put_history(const struct look *look, json_t *gates)
{
    size_t i;
    json_t *gate;
    json_array_foreach(gates, i, gate)
    {
        const char *name = dossier_text(gate, "name");
        dossier_put(gate, "held_at", json_text_or_null(dossier_text(look->held, name)));
        dossier_put(gate, "refused_at", json_text_or_null(dossier_text(look->refused, name)));
    }
}

bool dossier_gates(struct dossier *d, struct err *err)
{
    struct look look = {.d = d, .held = json_object(), .refused = json_object()};
    const struct audit_filter filter = {.pipeline = d->co.pipeline, .event = "cutover.gates"};
    const struct cutover_report *now = d->req->now;
    json_t *j = json_object(), *gates = json_array(), *estimates = json_array();
    struct audit *audit = trail_audit(&d->co, err);
    bool fresh = now != NULL && now->gate_count > 0;
    bool ok = audit != NULL && audit_read(audit, &filter, take_row, &look, err);
    if (fresh)
        put_now(d, gates, estimates);
    else
        put_past(&look, gates, estimates);
    put_history(&look, gates);
    dossier_put(j, "asked_at",
                fresh && d->began_us == 0 ? json_incref(json_object_get(d->doc, "written_at"))
                                          : json_text_or_null(look.asked_at));
    dossier_put(j, "asked_now", json_boolean(fresh));
    dossier_put(j, "list", gates);
    dossier_put(d->doc, "gates", j);
    dossier_put(d->doc, "estimates", estimates);
    json_decref(look.held);
    json_decref(look.refused);
    json_decref(look.asked);
    return ok;
}
