/* Owns: a shadow run as cases of JUnit: one for each query, and one for all of them together. */
#include <stdio.h>
#include <stdlib.h>

#include "core/alloc.h"
#include "report/junit.h"
#include "report/report.h"
#include "result.h"

#define NAME_SHOWN 200
#define DETAIL_MAX ((size_t)1 << 20)

static enum junit_state state_of(const struct query_result *q)
{
    if (outcome_is_finding(q->outcome) || q->latency.verdict == LATENCY_SLOWER)
        return JUNIT_FAILURE;
    if (outcome_is_compared(q->outcome))
        return q->outcome == OUTCOME_EQUAL ? JUNIT_PASS : JUNIT_ERROR;
    return JUNIT_SKIPPED;
}

static void add_times(struct strbuf *out, const char *side, const struct histogram *h)
{
    strbuf_addf(out, "%s: p50 %.2f, p95 %.2f, p99 %.2f ms\n", side,
                (double)histogram_quantile(h, .5) / 1000.0, (double)histogram_quantile(h, .95) / 1000.0,
                (double)histogram_quantile(h, .99) / 1000.0);
}

static void add_query(struct junit_suite *suite, const struct shadow_result *r, size_t i)
{
    const struct shadow_query *query = &r->workload.queries[i];
    const struct query_result *q = &r->queries[i];
    const struct shadow_variant *v = &query->variants[MIN_OF(q->variant, query->variant_count - 1)];
    struct strbuf name = STRBUF_INIT(NAME_SHOWN), detail = STRBUF_INIT(DETAIL_MAX),
                  reason = STRBUF_INIT(DETAIL_MAX);
    strbuf_addf(&name, "%s ", query->name != NULL ? query->name : query->id);
    strbuf_addf(&name, "%.*s", NAME_SHOWN - (int)MIN_OF(name.len, (size_t)NAME_SHOWN), v->st.text);
    strbuf_addf(&reason, "%s%s%s", outcome_name(q->outcome),
                q->why != NULL || query->needs != NULL ? ": " : "",
                q->why != NULL         ? q->why
                : query->needs != NULL ? query->needs
                                       : "");
    if (q->latency.verdict == LATENCY_SLOWER)
        strbuf_addf(&reason, "; slower: %.2f times (at least %.2f; noise %.2f)", q->latency.ratio,
                    q->latency.low, q->latency.noise);
    strbuf_addf(&detail, "%s\n", v->st.text);
    if (q->times[SHOWN_SOURCE].count > 0) {
        add_times(&detail, "source", &q->times[SHOWN_SOURCE]);
        add_times(&detail, "target", &q->times[SHOWN_TARGET]);
    }
    junit_suite_add(suite, r->pipeline,
                    &(struct junit_case){.state = state_of(q),
                                         .name = name.data,
                                         .reason = reason.data,
                                         .detail = detail.data,
                                         .duration_us = histogram_quantile(&q->times[SHOWN_TARGET], .5)});
    strbuf_release(&name);
    strbuf_release(&detail);
    strbuf_release(&reason);
}

static void add_run(struct junit_suite *suite, const struct shadow_result *r)
{
    static const enum junit_state states[] = {JUNIT_ERROR, JUNIT_PASS, JUNIT_FAILURE, JUNIT_ERROR};
    char detail[160];
    (void)snprintf(detail, sizeof detail, "%zu of %zu queries compared, %.1f %% of the reads", r->compared,
                   r->workload.count, r->coverage);
    junit_suite_add(
        suite, r->pipeline,
        &(struct junit_case){.state = states[r->verdict],
                             .name = "all queries",
                             .reason = r->reason[0] != '\0' ? r->reason : compare_verdict_name(r->verdict),
                             .detail = detail});
}

bool shadow_junit_make(const struct shadow_result *r, struct strbuf *out, struct err *err)
{
    struct junit_suite suites[2];
    junit_suite_open(&suites[0], "run");
    junit_suite_open(&suites[1], "shadow");
    add_run(&suites[0], r);
    for (size_t i = 0; i < r->workload.count; i++)
        add_query(&suites[1], r, i);
    return junit_write(suites, ARRAY_LEN(suites), "crossfade compare shadow", r->started_us, out, err);
}

bool shadow_write_junit(const struct shadow_result *result, const char *path, struct err *err)
{
    struct strbuf junit = STRBUF_INIT(REPORT_BYTES_MAX);
    bool ok = shadow_junit_make(result, &junit, err) && report_write_file(path, junit.data, junit.len, err);
    strbuf_release(&junit);
    return ok;
}
