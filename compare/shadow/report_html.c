/* Owns: the page of a shadow run: no outside parts, everything from a database or a log escaped. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/html.h"
#include "latency_html.h"
#include "report/page.h"
#include "result.h"

#define TEXT_SHOWN   4000 /* bytes of a text; report.json has the whole */
#define NAME_SHOWN   200
#define PARAM_SHOWN  200
#define PARAMS_SHOWN 50

static void add_ms(struct strbuf *out, int64_t us)
{
    strbuf_addf(out, us < 10000 ? "%.2f ms" : "%.0f ms", (double)us / 1000.0);
}

static void add_clipped(struct strbuf *out, const char *text, size_t most)
{
    size_t len = strlen(text), n = MIN_OF(len, most);
    while (n < len && n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
        n--; /* not within a character */
    char *head = xstrndup(text, n);
    html_add_text(out, head);
    free(head);
    strbuf_adds(out, n < len ? " …" : "");
}

static void add_fact(struct strbuf *out, const char *label, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void add_fact(struct strbuf *out, const char *label, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    strbuf_adds(out, "<div class=\"fact\"><b>");
    strbuf_vaddf(out, fmt, ap);
    strbuf_addf(out, "</b><span>%s</span></div>\n", label);
    va_end(ap);
}

static void add_summary(struct strbuf *out, const struct shadow_result *r)
{
    const char *verdict = compare_verdict_name(r->verdict);
    strbuf_addf(out, "<main>\n<header class=\"hero %s\">\n<h1>Crossfade shadow queries · ", verdict);
    html_add_text(out, r->pipeline);
    strbuf_addf(
        out, "</h1>\n<p class=\"verdict\">%s</p>\n<p class=\"meaning\">%s ", verdict,
        r->live ? "Reads of the workload, run on both sides as they were; differences were looked at again."
                : "Reads of the workload, run on both sides at one instant of the source’s history.");
    html_add_text(out, r->reason);
    strbuf_adds(out, "</p>\n<div class=\"sides\">");
    for (int i = 0; i < 2; i++) {
        strbuf_addf(out, "<span><b>%s</b> ", i == 0 ? "Source" : "Target");
        html_add_text(out, r->server[i] != NULL ? r->server[i] : "?");
        strbuf_adds(out, "</span>");
    }
    strbuf_addf(out, "<span><b>Seed</b> %llu</span></div>\n</header>\n<div class=\"facts\">\n",
                (unsigned long long)r->seed);
    add_fact(out, "queries compared", "%zu <small>of %zu</small>", r->compared, r->workload.count);
    add_fact(out, "of the reads, by how often they come", "%.1f %%", r->coverage);
    add_fact(out, "answer differently", "%zu", r->different);
    add_fact(out, "slower beyond noise", "%zu", r->slower);
    add_fact(out, "plans changed", "%zu", r->plan_changes);
    if (r->fence_id > 0)
        add_fact(out, "fence and its LSN", "%llu <small>" LSN_FMT "</small>", (unsigned long long)r->fence_id,
                 LSN_ARGS(r->lsn));
    strbuf_adds(out, "</div>\n");
}

static void add_times(struct strbuf *out, const struct histogram *h)
{
    strbuf_adds(out, "<td class=\"num\">");
    add_ms(out, histogram_quantile(h, .5));
    strbuf_adds(out, "<br><span class=\"soft\">");
    add_ms(out, histogram_quantile(h, .95));
    strbuf_adds(out, "<br>");
    add_ms(out, histogram_quantile(h, .99));
    strbuf_adds(out, "</span></td>");
}

static void add_latency(struct strbuf *out, const struct latency_judgement *l, const struct histogram *times,
                        const struct latency_scale *scale)
{
    if (times[SHOWN_SOURCE].count == 0) {
        strbuf_adds(out, "<td></td><td></td><td></td><td></td>");
        return;
    }
    add_times(out, &times[SHOWN_SOURCE]);
    add_times(out, &times[SHOWN_TARGET]);
    strbuf_adds(out, "<td>");
    latency_chart(out, scale, times);
    strbuf_adds(out, "</td><td>");
    if (l->verdict == LATENCY_SLOWER || l->verdict == LATENCY_FASTER)
        strbuf_addf(out, "<b class=\"%s\">%.2f ×</b><br><span class=\"soft\">%.2f … %.2f, noise %.2f</span>",
                    l->verdict == LATENCY_SLOWER ? "bad" : "", l->ratio, l->low, l->high, l->noise);
    else
        strbuf_addf(out, "<span class=\"soft\">%s</span>",
                    l->verdict == LATENCY_SAME ? "within noise" : "not judged");
    strbuf_adds(out, "</td>");
}

static const char *verdict_of(const struct query_result *q)
{
    if (outcome_is_finding(q->outcome) || q->latency.verdict == LATENCY_SLOWER)
        return "FAIL";
    return q->outcome == OUTCOME_EQUAL ? "PASS" : "INCONCLUSIVE";
}

static void add_detail(struct strbuf *out, const char *class, const char *label, const char *text)
{
    if (text == NULL || *text == '\0')
        return;
    strbuf_addf(out, "<span class=\"%s\">%s", class, label);
    add_clipped(out, text, TEXT_SHOWN);
    strbuf_adds(out, "</span>");
}

static void add_params(struct strbuf *out, const struct shadow_variant *v)
{
    if (v->param_count == 0)
        return;
    strbuf_adds(out, "<span class=\"note\">");
    for (size_t i = 0; i < MIN_OF(v->param_count, (size_t)PARAMS_SHOWN); i++) {
        strbuf_addf(out, "%s$%zu = ", i > 0 ? ", " : "", i + 1);
        add_clipped(out, v->params[i] != NULL ? v->params[i] : "NULL", PARAM_SHOWN);
    }
    strbuf_adds(out, v->param_count > PARAMS_SHOWN ? " …</span>" : "</span>");
}

static void add_query(struct strbuf *out, const struct shadow_query *query, const struct query_result *q,
                      const struct latency_scale *scale)
{
    const struct shadow_variant *v = &query->variants[MIN_OF(q->variant, query->variant_count - 1)];
    const char *verdict = verdict_of(q);
    strbuf_addf(out, "<tr class=\"%s\" data-verdict=\"%s\" data-name=\"", verdict, verdict);
    add_clipped(out, v->st.text, NAME_SHOWN);
    strbuf_addf(out, "\"><td><span class=\"chip\">%s</span></td><td class=\"name\"><code>",
                outcome_name(q->outcome));
    add_clipped(out, v->st.text, TEXT_SHOWN);
    strbuf_adds(out, "</code>");
    add_detail(out, "note", "on the target: ", v->target_sql);
    add_params(out, v);
    add_detail(out, "why", "", q->why != NULL ? q->why : query->needs);
    if (q->plan_changed) {
        add_detail(out, "why", "plan on the source: ", q->plan[0]);
        add_detail(out, "why", "plan on the target: ", q->plan[1]);
    }
    strbuf_addf(
        out,
        "<span class=\"note\">%s · %s%s</span></td><td class=\"num\">%.0f</td><td class=\"num\">%llu</td>",
        query->origin, query->id, query->name != NULL ? " · named in the list" : "", query->weight,
        (unsigned long long)q->rows);
    add_latency(out, &q->latency, q->times, scale);
    strbuf_adds(out, "</tr>\n");
}

static void add_all(struct strbuf *out, const struct shadow_result *r, const struct latency_scale *scale)
{
    strbuf_adds(out,
                "<tr><td></td><td class=\"name\"><b>All, by how often they come</b></td><td></td><td></td>");
    add_latency(out, &r->overall, r->times, scale);
    strbuf_adds(out, "</tr>\n");
}

static void add_queries(struct strbuf *out, const struct shadow_result *r)
{
    static const char *const order[] = {"FAIL", "INCONCLUSIVE", "PASS"};
    struct latency_scale scale = {0};
    if (r->workload.count == 0)
        return;
    for (size_t i = 0; i < r->workload.count; i++)
        latency_scale_add(&scale, r->queries[i].times);
    latency_scale_round(&scale);
    strbuf_adds(out, "<h2>Queries</h2>\n<p class=\"soft gap legend\">Latency: <i class=\"of-source\"></i> "
                     "source above, <i "
                     "class=\"of-target\"></i> target below; the dot is p50, the ticks p95 and p99. <i "
                     "class=\"noise\"></i> "
                     "noise: how far the source is from itself. One scale for all, logarithmic.</p>\n");
    page_tools(out, "Find a query", r->workload.count, NULL);
    strbuf_adds(
        out,
        "<div class=\"scroll\"><table><thead><tr><th>Outcome</th><th class=\"wide\">Query</th><th "
        "class=\"num\">Calls</th><th class=\"num\">Rows</th><th class=\"num\">Source<br>p50 · 95 · 99</th>"
        "<th class=\"num\">Target<br>p50 · 95 · 99</th><th>");
    latency_axis(out, &scale);
    strbuf_adds(out, "</th><th>Target / source</th></tr></thead><tbody>\n");
    add_all(out, r, &scale);
    for (size_t o = 0; o < ARRAY_LEN(order); o++) {
        for (size_t i = 0; i < r->workload.count; i++) {
            if (strcmp(verdict_of(&r->queries[i]), order[o]) == 0)
                add_query(out, &r->workload.queries[i], &r->queries[i], &scale);
        }
    }
    strbuf_adds(out, "</tbody></table></div>\n");
}

static void add_left_out(struct strbuf *out, const struct workload *w)
{
    if (w->left_count == 0)
        return;
    strbuf_adds(out, "<h2>Left out</h2>\n<div class=\"scroll\"><table><thead><tr><th "
                     "class=\"num\">Statements</th><th>Why</th></tr></thead><tbody>\n");
    for (size_t i = 0; i < w->left_count; i++) {
        strbuf_addf(out, "<tr><td class=\"num\">%llu</td><td>", (unsigned long long)w->left[i].count);
        html_add_text(out, w->left[i].reason);
        strbuf_adds(out, "</td></tr>\n");
    }
    strbuf_adds(out, "</tbody></table></div>\n");
}

bool shadow_html_make(const struct shadow_result *r, struct strbuf *out, struct err *err)
{
    page_head(out, compare_verdict_name(r->verdict), "shadow queries of", r->pipeline);
    add_summary(out, r);
    add_queries(out, r);
    add_left_out(out, &r->workload);
    page_tail(out, "report.json");
    return strbuf_ok(out, "the HTML report", err);
}
