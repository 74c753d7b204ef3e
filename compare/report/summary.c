/* Owns: the head of a comparison's page: what the verdict is, and the figures behind it. */
#include "core/html.h"
#include "report/page.h"

static void add_meaning(struct strbuf *out, const struct compare_result *r)
{
    const char *at = r->frozen ? "with both sides standing still"
                               : "at one instant of the source’s history, while writes went on";
    if (r->verdict == VERDICT_PASS && r->level == LEVEL_COUNTS)
        strbuf_addf(out,
                    "Every table has as many rows on the target as on the source, %s. Their values were not "
                    "looked at.",
                    at);
    else if (r->verdict == VERDICT_PASS)
        strbuf_addf(out, "Every row of %s table is equal on both sides, %s: counts, keys and all values.",
                    r->full && r->table_count > 1 ? "every" : "each listed", at);
    else if (r->verdict == VERDICT_FAIL)
        strbuf_addf(out, "The sides differ %s. Every difference below was read from the rows themselves.",
                    at);
    else if (r->table_count == 0)
        strbuf_adds(out, "Nothing was compared, so nothing is proven. ");
    else
        strbuf_adds(out, "What could be compared is equal, but not everything could be. This is not a PASS.");
    if (r->reason != NULL && r->reason[0] != '\0') {
        strbuf_adds(out, " <b>");
        html_add_text(out, r->reason);
        strbuf_adds(out, "</b>");
    }
}

#define SPLIT_WIDTH      1000.0
#define SPLIT_PART_LEAST 8.0 /* one table of a thousand must be seen */

static void add_split_part(struct strbuf *out, const char *verdict, size_t count, size_t total, double *x)
{
    double width = SPLIT_WIDTH * (double)count / (double)total;
    if (count == 0)
        return;
    width = MAX_OF(width, SPLIT_PART_LEAST);
    strbuf_addf(out, "<rect class=\"%s\" style=\"fill:var(--tone)\" x=\"%.2f\" width=\"%.2f\" height=\"8\"/>",
                verdict, *x, width);
    *x += width;
}

static void add_split(struct strbuf *out, const struct compare_result *r)
{
    double x = 0;
    if (r->table_count == 0)
        return;
    strbuf_addf(
        out,
        "<svg class=\"split\" viewBox=\"0 0 1000 8\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\""
        "%zu passed, %zu failed, %zu inconclusive\">",
        r->passed, r->failed, r->inconclusive);
    add_split_part(out, "FAIL", r->failed, r->table_count, &x);
    add_split_part(out, "INCONCLUSIVE", r->inconclusive, r->table_count, &x);
    add_split_part(out, "PASS", r->passed, r->table_count, &x);
    strbuf_adds(out, "</svg>");
}

static void add_rows_fact(struct strbuf *out, const struct compare_result *r)
{
    page_fact_begin(out);
    page_count(out, r->rows_source);
    if (r->rows_target != r->rows_source) {
        strbuf_adds(out, " <small>/ ");
        page_count(out, r->rows_target);
        strbuf_adds(out, "</small>");
        page_fact_end(out, "rows on source / target");
    } else {
        page_fact_end(out, "rows on each side");
    }
}

static bool any_more(const struct compare_result *r)
{
    for (size_t i = 0; i < r->table_count; i++) {
        if (r->tables[i].more)
            return true;
    }
    return false;
}

static void add_speed_fact(struct strbuf *out, const struct compare_result *r)
{
    int64_t us = r->finished_us - r->started_us - r->fence_us;
    if (r->rows_source == 0 || us <= 0)
        return;
    page_fact_begin(out);
    page_count(out, (uint64_t)((double)r->rows_source * 1e6 / (double)us));
    page_fact_end(out, "rows/s on each side");
}

static void add_readiness_fact(struct strbuf *out, const struct standing *s)
{
    if (s == NULL)
        return;
    page_fact_begin(out);
    strbuf_addf(out, "<a class=\"answer %s\" href=\"#cutover\">%s</a>", s->readiness.ready ? "PASS" : "FAIL",
                s->readiness.ready ? "Yes" : "No");
    page_fact_end(out, "ready for cutover?");
}

static void add_item(struct strbuf *out, const char *label, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void add_item(struct strbuf *out, const char *label, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    strbuf_addf(out, "<div><dt>%s</dt><dd>", label);
    strbuf_vaddf(out, fmt, ap);
    strbuf_adds(out, "</dd></div>\n");
    va_end(ap);
}

static void add_time_item(struct strbuf *out, const char *label, int64_t wall_us)
{
    if (wall_us <= 0)
        return;
    strbuf_addf(out, "<div><dt>%s</dt><dd>", label);
    page_time(out, wall_us);
    strbuf_adds(out, "</dd></div>\n");
}

/* The instant that the verdict is of. */
static void add_fence(struct strbuf *out, const struct compare_result *r)
{
    char lsn[LSN_TEXT_MAX];
    if (r->lsn == 0)
        return;
    strbuf_addf(out, "<dl class=\"fence\">\n<div><dt>Verdict holds at</dt><dd>%s</dd></div>\n",
                r->frozen ? "both sides standing still" : "one instant of the source’s history");
    if (r->fence_id > 0)
        add_item(out, r->frozen ? "Last fence" : "Fence", "%llu", (unsigned long long)r->fence_id);
    add_item(out, "LSN", "%s", lsn_format(r->lsn, lsn));
    if (r->fence_id > 0)
        add_item(out, "Place in the fence stream", "offset %llu", (unsigned long long)r->fence_offset);
    add_time_item(out, "Last commit there", r->commit_us);
    add_time_item(out, "Both sides stood there", r->reached_us);
    add_item(out, "Age when this was written", "%.1f s",
             (double)(r->finished_us - (r->reached_us > 0 ? r->reached_us : r->started_us)) / 1e6);
    strbuf_adds(out, "</dl>\n");
}

static void add_link(struct strbuf *out, const char *id, const char *text, size_t count)
{
    strbuf_addf(out, "<a href=\"#%s\">%s", id, text);
    if (count > 0)
        strbuf_addf(out, " <span>%zu</span>", count);
    strbuf_adds(out, "</a>");
}

static size_t count_partitions(const struct compare_result *r)
{
    size_t count = 0;
    for (size_t i = 0; i < r->table_count; i++)
        count += r->tables[i].part_count;
    return count;
}

static void add_links(struct strbuf *out, const struct compare_result *r)
{
    strbuf_adds(out, "<nav>");
    if (r->table_count > 0)
        add_link(out, "tables", "Tables", r->table_count);
    if (count_partitions(r) > 0)
        add_link(out, "partitions", "Partitions", count_partitions(r));
    if (r->differences > 0)
        add_link(out, "differences", "Differences", (size_t)r->differences);
    if (r->check_count > 0)
        add_link(out, "checks", "Checks", r->check_count);
    if (r->standing != NULL) {
        add_link(out, "cutover", "Cutover", 0);
        add_link(out, "window", "Window", 0);
    }
    if (r->table_count > 0)
        add_link(out, "coverage", "Coverage", 0);
    strbuf_adds(out, "</nav>\n");
}

static void add_facts(struct strbuf *out, const struct compare_result *r)
{
    strbuf_adds(out, "<div class=\"facts\">\n");
    page_fact_begin(out);
    strbuf_addf(out, "%zu <small>of %zu</small>", r->passed, r->table_count);
    page_fact_end(out, "tables passed");
    add_rows_fact(out, r);
    page_fact_begin(out);
    if (any_more(r))
        strbuf_adds(out, "≥ ");
    page_count(out, r->differences);
    page_fact_end(out, "differing rows found");
    page_fact_begin(out);
    page_duration(out, r->finished_us - r->started_us);
    page_fact_end(out, "from start to verdict");
    if (!r->frozen && r->hold_us > 0) {
        page_fact_begin(out);
        page_duration(out, r->hold_us);
        page_fact_end(out, "apply waited");
    }
    if (r->lag_us > 0) {
        page_fact_begin(out);
        page_duration(out, r->lag_us);
        page_fact_end(out, "lag: source to target");
    }
    add_speed_fact(out, r);
    add_readiness_fact(out, r->standing);
    strbuf_adds(out, "</div>\n");
}

static void add_side(struct strbuf *out, const char *name, const char *server)
{
    if (server == NULL)
        return;
    strbuf_addf(out, "<span><b>%s</b> ", name);
    html_add_text(out, server);
    strbuf_adds(out, "</span>");
}

void page_summary(struct strbuf *out, const struct compare_result *r)
{
    strbuf_addf(out, "<main>\n<header class=\"hero %s\">\n<h1>Crossfade comparison · ",
                compare_verdict_name(r->verdict));
    html_add_text(out, r->pipeline);
    strbuf_addf(out, "</h1>\n<p class=\"verdict\">%s</p>\n<p class=\"meaning\">",
                compare_verdict_name(r->verdict));
    add_meaning(out, r);
    strbuf_adds(out, "</p>\n");
    add_split(out, r);
    strbuf_adds(out, "<div class=\"sides\">");
    add_side(out, "Source", r->server[0]);
    add_side(out, "Target", r->server[1]);
    strbuf_adds(out, "<span><b>Finished</b> ");
    page_time(out, r->finished_us);
    strbuf_addf(out, "</span><span><b>Level</b> %s</span></div>\n</header>\n", compare_level_name(r->level));
    add_links(out, r);
    add_facts(out, r);
    add_fence(out, r);
}
