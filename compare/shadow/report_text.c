/* Owns: a shadow run for people at a terminal. */
#include <stdio.h>

#include "core/clock.h"
#include "result.h"

#define SQL_SHOWN 100
#define WHY_SHOWN 400

static void add_text(struct strbuf *out, const char *sql, size_t most)
{
    size_t n = 0;
    for (; *sql != '\0' && n < most; sql++, n++) {
        /* nothing that a terminal obeys: control characters, also those of two bytes */
        bool two = sql[0] == '\xc2' && (unsigned char)sql[1] >= 0x80 && (unsigned char)sql[1] < 0xa0;
        bool blank = (unsigned char)*sql <= ' ' || *sql == 0x7f || two;
        sql += two;
        if (blank && out->len > 0 && out->data[out->len - 1] == ' ')
            continue;
        strbuf_addc(out, blank ? ' ' : *sql);
    }
    strbuf_adds(out, *sql != '\0' ? " …" : "");
}

static void add_times(struct strbuf *out, const struct histogram *h)
{
    strbuf_addf(out, "%.1f/%.1f/%.1f", (double)histogram_quantile(h, 0.50) / 1000,
                (double)histogram_quantile(h, 0.95) / 1000, (double)histogram_quantile(h, 0.99) / 1000);
}

static void add_latency(struct strbuf *out, const struct latency_judgement *l, const struct histogram *times)
{
    if (times[SHOWN_SOURCE].count == 0)
        return;
    strbuf_adds(out, "  p50/p95/p99 ");
    add_times(out, &times[SHOWN_SOURCE]);
    strbuf_adds(out, " -> ");
    add_times(out, &times[SHOWN_TARGET]);
    strbuf_adds(out, " ms");
    if (l->verdict == LATENCY_SLOWER || l->verdict == LATENCY_FASTER)
        strbuf_addf(out, ", %s: %.2f times (at least %.2f; noise %.2f)", latency_verdict_name(l->verdict),
                    l->ratio, l->verdict == LATENCY_SLOWER ? l->low : 1 / l->high, l->noise);
}

static bool is_plain(const struct query_result *q)
{
    return q->outcome == OUTCOME_EQUAL && q->latency.verdict != LATENCY_SLOWER && !q->plan_changed;
}

static void add_query(struct strbuf *out, const struct shadow_query *query, const struct query_result *q)
{
    const struct shadow_variant *v = &query->variants[MIN_OF(q->variant, query->variant_count - 1)];
    const char *why = q->why != NULL ? q->why : query->needs != NULL ? query->needs : "";
    bool slower = q->latency.verdict == LATENCY_SLOWER;
    strbuf_addf(out, "  %-10s %s ",
                slower && !outcome_is_finding(q->outcome) ? "slower" : outcome_name(q->outcome),
                query->name != NULL ? query->name : query->id);
    add_text(out, v->st.text, SQL_SHOWN);
    strbuf_addf(out, "\n             %llu runs, %llu rows", (unsigned long long)q->runs,
                (unsigned long long)q->rows);
    add_latency(out, &q->latency, q->times);
    strbuf_addc(out, '\n');
    if (*why != '\0') {
        strbuf_adds(out, "             ");
        add_text(out, why, WHY_SHOWN);
        strbuf_addc(out, '\n');
    }
    if (q->plan_changed)
        strbuf_addf(out, "             plan: %s\n               -> %s\n", q->plan[0], q->plan[1]);
}

static void add_left_out(struct strbuf *out, const struct workload *w)
{
    for (size_t i = 0; i < w->left_count; i++)
        strbuf_addf(out, "  left out: %llu  %s\n", (unsigned long long)w->left[i].count, w->left[i].reason);
}

void shadow_text(const struct shadow_result *r, bool all, struct strbuf *out)
{
    for (int pass = 0; pass < 2; pass++) { /* findings come first */
        for (size_t i = 0; i < r->workload.count; i++) {
            const struct query_result *q = &r->queries[i];
            bool finding = outcome_is_finding(q->outcome) || q->latency.verdict == LATENCY_SLOWER;
            if (finding == (pass == 0) && (all || !is_plain(q)))
                add_query(out, &r->workload.queries[i], q);
        }
    }
    add_left_out(out, &r->workload);
    strbuf_addf(out,
                "%s  %zu of %zu queries compared (%.1f %% of the reads), %zu different, %zu slower, %zu "
                "plans changed, seed %llu",
                compare_verdict_name(r->verdict), r->compared, r->workload.count, r->coverage, r->different,
                r->slower, r->plan_changes, (unsigned long long)r->seed);
    if (r->fence_id > 0)
        strbuf_addf(out, ", at fence %llu (" LSN_FMT ")", (unsigned long long)r->fence_id, LSN_ARGS(r->lsn));
    strbuf_adds(out, r->live ? ", without a fence\n" : "\n");
    if (r->times[SHOWN_SOURCE].count > 0) {
        strbuf_adds(out, "  all:");
        add_latency(out, &r->overall, r->times);
        strbuf_addc(out, '\n');
    }
    if (r->stopped_early)
        strbuf_adds(out, "  compare.shadow.duration_s was over before every query had its samples\n");
    if (r->reason[0] != '\0')
        strbuf_addf(out, "  %s\n", r->reason);
    if (r->report_file != NULL)
        strbuf_addf(out, "  report: %s\n", r->report_file);
}
