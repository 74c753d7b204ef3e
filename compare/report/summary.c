/* Owns: the head of a comparison's page: what the verdict is, and the figures behind it. */
#include "core/clock.h"
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

static void add_facts(struct strbuf *out, const struct compare_result *r)
{
    char lsn[LSN_TEXT_MAX];
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
    if (r->lsn != 0) {
        page_fact_begin(out);
        if (r->fence_id > 0)
            strbuf_addf(out, "%llu ", (unsigned long long)r->fence_id);
        strbuf_addf(out, "<small>%s</small>", lsn_format(r->lsn, lsn));
        page_fact_end(out, r->frozen ? "last fence and its LSN" : "fence and its LSN");
    }
    if (!r->frozen && r->hold_us > 0) {
        page_fact_begin(out);
        page_duration(out, r->hold_us);
        page_fact_end(out, "apply waited");
    }
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
    char time[ISO_TIME_MAX];
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
    clock_iso(r->finished_us, time);
    strbuf_addf(out, "<span><b>Finished</b> %.10s %.8s UTC</span></div>\n</header>\n", time, time + 11);
    add_facts(out, r);
}
