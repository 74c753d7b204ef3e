/* Owns: the JSON form of a shadow run: schemas/shadow-report.schema.json. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "result.h"
#include "json/text.h"

#define SHADOW_FORMAT 1

static json_t *ms(double us)
{
    return json_real(round(us) / 1000.0);
}

static json_t *times_json(const struct histogram *h)
{
    json_t *j = json_object();
    json_object_set_new(j, "count", json_amount(h->count));
    json_object_set_new(j, "p50_ms", ms((double)histogram_quantile(h, 0.50)));
    json_object_set_new(j, "p95_ms", ms((double)histogram_quantile(h, 0.95)));
    json_object_set_new(j, "p99_ms", ms((double)histogram_quantile(h, 0.99)));
    json_object_set_new(j, "max_ms", ms((double)h->max_us));
    json_object_set_new(j, "mean_ms", ms(h->count > 0 ? (double)h->sum_us / (double)h->count : 0));
    return j;
}

static json_t *factor(double v)
{
    return v > 0 && isfinite(v) ? json_real(round(v * 1000) / 1000) : json_null();
}

/* A ratio that is not beyond noise is none: only its bounds are told. */
static json_t *latency_json(const struct latency_judgement *l, const struct histogram *times)
{
    bool beyond = l->verdict == LATENCY_SLOWER || l->verdict == LATENCY_FASTER;
    json_t *j = json_object();
    json_object_set_new(j, "verdict", json_text(latency_verdict_name(l->verdict)));
    json_object_set_new(j, "ratio", beyond ? factor(l->ratio) : json_null());
    json_object_set_new(j, "low", factor(l->low));
    json_object_set_new(j, "high", factor(l->high));
    json_object_set_new(j, "noise", factor(l->noise));
    json_object_set_new(j, "source", times_json(&times[SHOWN_SOURCE]));
    json_object_set_new(j, "source_again", times_json(&times[SHOWN_AGAIN]));
    json_object_set_new(j, "target", times_json(&times[SHOWN_TARGET]));
    return j;
}

static json_t *params_json(const struct shadow_variant *v)
{
    json_t *list = json_array();
    for (size_t i = 0; i < v->param_count; i++)
        json_array_append_new(list, json_text(v->params[i]));
    return list;
}

static json_t *query_json(const struct shadow_query *query, const struct query_result *q)
{
    const struct shadow_variant *v = &query->variants[MIN_OF(q->variant, query->variant_count - 1)];
    json_t *j = json_object(), *plan = json_object();
    json_object_set_new(j, "fingerprint", json_text(query->id));
    json_object_set_new(j, "name", json_text(query->name));
    json_object_set_new(j, "origin", json_text(query->origin));
    json_object_set_new(j, "weight", json_real(query->weight));
    json_object_set_new(j, "sql", json_text(v->st.text));
    json_object_set_new(j, "target_sql", json_text(v->target_sql));
    json_object_set_new(j, "params", params_json(v));
    json_object_set_new(j, "outcome", json_text(outcome_name(q->outcome)));
    json_object_set_new(j, "reason",
                        json_text(q->why != NULL         ? q->why
                                  : query->needs != NULL ? query->needs
                                                         : ""));
    json_object_set_new(j, "compared", json_boolean(outcome_is_compared(q->outcome)));
    json_object_set_new(j, "runs", json_amount(q->runs));
    json_object_set_new(j, "equal", json_amount(q->equal));
    json_object_set_new(j, "ties", json_amount(q->ties));
    json_object_set_new(j, "rounded", json_amount(q->floats));
    json_object_set_new(j, "order_not_told", json_amount(q->order));
    json_object_set_new(j, "transient", json_amount(q->transient));
    json_object_set_new(j, "rows", json_amount(q->rows));
    json_object_set_new(j, "latency", latency_json(&q->latency, q->times));
    json_object_set_new(plan, "changed", json_boolean(q->plan_changed));
    json_object_set_new(plan, "source", json_text(q->plan[0]));
    json_object_set_new(plan, "target", json_text(q->plan[1]));
    json_object_set_new(j, "plan", plan);
    return j;
}

static json_t *workload_json(const struct shadow_result *r)
{
    json_t *j = json_object(), *left = json_array();
    for (size_t i = 0; i < r->workload.left_count; i++) {
        json_t *one = json_object();
        json_object_set_new(one, "reason", json_text(r->workload.left[i].reason));
        json_object_set_new(one, "count", json_amount(r->workload.left[i].count));
        json_array_append_new(left, one);
    }
    json_object_set_new(j, "statements", json_amount(r->workload.offered));
    json_object_set_new(j, "drawn", json_amount(r->workload.drawn));
    json_object_set_new(j, "queries", json_amount(r->workload.count));
    json_object_set_new(j, "left_out", left);
    return j;
}

static json_t *summary_json(const struct shadow_result *r)
{
    json_t *j = json_object();
    json_object_set_new(j, "compared", json_amount(r->compared));
    json_object_set_new(j, "different", json_amount(r->different));
    json_object_set_new(j, "slower", json_amount(r->slower));
    json_object_set_new(j, "plan_changes", json_amount(r->plan_changes));
    json_object_set_new(j, "coverage_percent", json_real(round(r->coverage * 10) / 10));
    json_object_set_new(j, "stopped_early", json_boolean(r->stopped_early));
    return j;
}

static json_t *fence_json(const struct shadow_result *r)
{
    char lsn[LSN_TEXT_MAX];
    json_t *j = json_object();
    json_object_set_new(j, "mode", json_text(r->live ? "live" : "fence"));
    json_object_set_new(j, "id", r->fence_id > 0 ? json_amount(r->fence_id) : json_null());
    json_object_set_new(j, "lsn", r->lsn != 0 ? json_text(lsn_format(r->lsn, lsn)) : json_null());
    json_object_set_new(j, "reached_ms", ms((double)r->fence_us));
    json_object_set_new(j, "apply_held_ms", ms((double)r->hold_us));
    return j;
}

bool shadow_json_make(const struct shadow_result *r, char **ret, struct err *err)
{
    char time[ISO_TIME_MAX];
    json_t *j = json_object(), *queries = json_array();
    for (size_t i = 0; i < r->workload.count; i++)
        json_array_append_new(queries, query_json(&r->workload.queries[i], &r->queries[i]));
    json_object_set_new(j, "format", json_amount(SHADOW_FORMAT));
    json_object_set_new(j, "crossfade", json_text(CF_VERSION));
    json_object_set_new(j, "kind", json_text("shadow"));
    json_object_set_new(j, "pipeline", json_text(r->pipeline));
    json_object_set_new(j, "verdict", json_text(compare_verdict_name(r->verdict)));
    json_object_set_new(j, "reason", json_text(r->reason));
    json_object_set_new(j, "seed", json_amount(r->seed));
    json_object_set_new(j, "fence", fence_json(r));
    json_object_set_new(j, "started_at", json_text(clock_iso(r->started_us, time)));
    json_object_set_new(j, "finished_at", json_text(clock_iso(r->finished_us, time)));
    json_object_set_new(j, "source", json_text(r->server[0]));
    json_object_set_new(j, "target", json_text(r->server[1]));
    json_object_set_new(j, "report_dir", json_text(r->report_dir));
    json_object_set_new(j, "summary", summary_json(r));
    json_object_set_new(j, "workload", workload_json(r));
    json_object_set_new(j, "latency", latency_json(&r->overall, r->times));
    json_object_set_new(j, "queries", queries);
    char *dump = json_dumps(j, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    json_decref(j);
    if (dump == NULL)
        return err_set(err, ERR_NO_MEMORY, "the report does not fit into memory");
    *ret = xasprintf("%s\n", dump);
    free(dump);
    return true;
}
