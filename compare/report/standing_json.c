/* See standing_json.h. */
#include "report/standing_json.h"

#include <stdlib.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "json/text.h"

static json_t *time_json(int64_t us)
{
    char at[ISO_TIME_MAX];
    return us > 0 ? json_text(clock_iso(us, at)) : json_null();
}

static json_t *window_json(const struct watch_window *w)
{
    json_t *j = json_object();
    json_object_set_new(j, "level", json_text(w->level));
    json_object_set_new(j, "every_s", json_integer(w->every_s));
    json_object_set_new(j, "runs", json_amount(w->runs));
    json_object_set_new(j, "passed", json_amount(w->passed));
    json_object_set_new(j, "failed", json_amount(w->failed));
    json_object_set_new(j, "inconclusive", json_amount(w->inconclusive));
    json_object_set_new(j, "clean_runs", json_amount(w->clean_runs));
    json_object_set_new(j, "clean_since", time_json(w->clean_since_us));
    json_object_set_new(j, "last_at", time_json(w->last_us));
    json_object_set_new(j, "passed_at", time_json(w->passed_us));
    json_object_set_new(j, "last_verdict", json_text(w->last_verdict));
    json_object_set_new(j, "stale", json_boolean(w->stale));
    return j;
}

/* null: no answers were timed. */
static json_t *p95_json(const struct watch_run *r)
{
    return r->timed ? json_pack("{s:f, s:f}", "source", (double)r->p95_us[0] / 1000.0, "target",
                                (double)r->p95_us[1] / 1000.0)
                    : json_null();
}

static json_t *run_json(const struct watch_run *r)
{
    json_t *j = json_object();
    json_object_set_new(j, "level", json_text(r->level));
    json_object_set_new(j, "verdict", json_text(r->verdict));
    json_object_set_new(j, "reason", json_text(r->reason));
    json_object_set_new(j, "started_at", time_json(r->started_us));
    json_object_set_new(j, "finished_at", time_json(r->finished_us));
    json_object_set_new(j, "fence_id", json_amount(r->fence_id));
    json_object_set_new(j, "tables", json_amount(r->tables));
    json_object_set_new(j, "rows", json_amount(r->rows));
    json_object_set_new(j, "differences", json_amount(r->differences));
    json_object_set_new(j, "whole", json_boolean(r->full));
    json_object_set_new(j, "lag_ms", r->lag_us > 0 ? json_real((double)r->lag_us / 1000.0) : json_null());
    json_object_set_new(j, "p95_ms", p95_json(r));
    return j;
}

json_t *history_json(const struct watch_history *h)
{
    json_t *j = json_object(), *windows = json_array(), *runs = json_array();
    for (size_t i = 0; i < h->window_count; i++)
        json_array_append_new(windows, window_json(&h->windows[i]));
    for (size_t i = 0; i < h->run_count; i++)
        json_array_append_new(runs, run_json(&h->runs[i]));
    json_object_set_new(j, "windows", windows);
    json_object_set_new(j, "runs", runs);
    return j;
}

json_t *standing_window_json(const struct standing *s)
{
    return s == NULL || s->unread != NULL ? json_null() : history_json(&s->history);
}

static json_t *gate_json(const struct readiness_gate *g)
{
    json_t *j = json_object();
    json_object_set_new(j, "gate", json_text(g->name));
    json_object_set_new(j, "met", json_boolean(g->met));
    json_object_set_new(j, "found", json_text(g->measured));
    json_object_set_new(j, "wanted", json_text(g->limit));
    json_object_set_new(j, "hint", json_text(g->hint));
    return j;
}

json_t *standing_readiness_json(const struct standing *s)
{
    if (s == NULL)
        return json_null();
    json_t *j = json_object(), *gates = json_array();
    for (size_t i = 0; i < s->readiness.count; i++)
        json_array_append_new(gates, gate_json(&s->readiness.gates[i]));
    json_object_set_new(j, "ready", json_boolean(s->readiness.ready));
    json_object_set_new(j, "gates", gates);
    return j;
}

bool watch_history_json(const struct watch_history *history, char **ret, struct err *err)
{
    json_t *j = history_json(history);
    char *dump = json_dumps(j, JSON_INDENT(2));
    json_decref(j);
    if (dump == NULL)
        return err_set(err, ERR_NO_MEMORY, "the history does not fit into memory");
    *ret = xasprintf("%s\n", dump);
    free(dump);
    return true;
}
