/* Owns: how long query pairs took on both sides, in a comparison's page. */
#include "compare/shadow/latency_html.h"
#include "core/html.h"
#include "report/page.h"

#define PAIRS_SHOWN 1000 /* report.json has all */

/* Both sides have answered. */
static bool is_timed(const struct compare_check *c)
{
    return c->kind == CHECK_QUERY && c->side_us[0] > 0 && c->side_us[1] > 0;
}

static void add_pair(struct strbuf *out, const struct compare_check *c, const struct latency_scale *scale)
{
    const char *state = check_state_name(c->state);
    strbuf_addf(out, "<tr class=\"%s\"><td><span class=\"chip\">%s</span></td><td class=\"name\">", state,
                state);
    html_add_text(out, c->name);
    strbuf_adds(out, "</td>");
    for (int side = 0; side < 2; side++) {
        strbuf_addf(out, "<td class=\"num\" data-value=\"%lld\">", (long long)c->side_us[side]);
        latency_add_ms(out, c->side_us[side]);
        strbuf_adds(out, "</td>");
    }
    double ratio = (double)c->side_us[1] / (double)c->side_us[0];
    strbuf_addf(out, "<td class=\"num soft\" data-value=\"%.6f\">", ratio);
    strbuf_addf(out, ratio >= 100 ? "%.0f ×" : ratio >= 0.1 ? "%.2f ×" : "%.4f ×", ratio);
    strbuf_adds(out, "</td><td>");
    latency_bars(out, scale, c->side_us);
    strbuf_adds(out, "</td></tr>\n");
}

static void add_head(struct strbuf *out, size_t count, const struct latency_scale *scale)
{
    strbuf_addf(
        out,
        "<h2 id=\"pairs\">Query pairs: time on both sides</h2>\n<p class=\"soft gap\">%zu pairs, each "
        "run once, on both sides at the same time, at the fence. One run says how long it took, not "
        "how long it takes: latency under the real workload is what <code>crossfade compare shadow</code> "
        "measures. <span class=\"legend\"><i class=\"of-source\"></i> source <i "
        "class=\"of-target\"></i> target</span></p>\n"
        "<div class=\"scroll\"><table id=\"pair-times\"><thead><tr><th data-sort=\"text\">Verdict</th>"
        "<th data-sort=\"text\">Query</th><th class=\"num\" data-sort=\"num\">Source</th><th "
        "class=\"num\" data-sort=\"num\">Target</th><th class=\"num\" data-sort=\"num\">Ratio</th>"
        "<th>",
        count);
    latency_axis(out, scale);
    strbuf_adds(out, "</th></tr></thead><tbody>\n");
}

void page_pairs(struct strbuf *out, const struct compare_result *r)
{
    struct latency_scale scale = {0};
    size_t count = 0, shown = 0;
    for (size_t i = 0; i < r->check_count; i++) {
        if (!is_timed(&r->checks[i]))
            continue;
        count++;
        latency_scale_add_once(&scale, r->checks[i].side_us[0]);
        latency_scale_add_once(&scale, r->checks[i].side_us[1]);
    }
    if (count == 0)
        return;
    latency_scale_round(&scale);
    add_head(out, count, &scale);
    for (size_t i = 0; i < r->check_count && shown < PAIRS_SHOWN; i++) {
        if (is_timed(&r->checks[i])) {
            add_pair(out, &r->checks[i], &scale);
            shown++;
        }
    }
    strbuf_adds(out, "</tbody></table></div>\n");
    if (shown < count)
        strbuf_addf(out, "<p class=\"more\">%zu more are in report.json.</p>\n", count - shown);
}
