/* Owns: the list of tables in a comparison's page. */
#include "core/html.h"
#include "report/page.h"

#define BAR_WIDTH 110.0

static void add_bar(struct strbuf *out, int64_t us, int64_t longest_us)
{
    double width = longest_us > 0 ? BAR_WIDTH * (double)us / (double)longest_us : 0;
    strbuf_addf(
        out,
        "<td data-value=\"%lld\"><svg class=\"bar\" viewBox=\"0 0 110 8\" preserveAspectRatio=\"none\"><rect "
        "class=\"bed\" width=\"110\" "
        "height=\"8\" rx=\"4\"/><rect width=\"%.1f\" height=\"8\" rx=\"4\"/></svg></td><td "
        "class=\"num soft\">",
        (long long)us, us > 0 && width < 2 ? 2.0 : width);
    page_duration(out, us);
    strbuf_adds(out, "</td>");
}

static void add_notes(struct strbuf *out, const struct compare_table *t)
{
    if (t->reason != NULL && t->reason[0] != '\0') {
        strbuf_adds(out, "<span class=\"why\">");
        html_add_text(out, t->reason);
        strbuf_adds(out, "</span>");
    }
    for (size_t i = 0; i < t->note_count; i++) {
        strbuf_adds(out, "<span class=\"note\">");
        html_add_text(out, t->notes[i]);
        strbuf_adds(out, "</span>");
    }
}

static void add_table_row(struct strbuf *out, const struct compare_table *t, size_t index, int64_t longest_us)
{
    const char *verdict = compare_verdict_name(t->verdict);
    bool uneven = t->rows_source != t->rows_target;
    strbuf_addf(out, "<tr class=\"%s\" data-verdict=\"%s\" data-name=\"", verdict, verdict);
    page_table_name(out, t);
    strbuf_addf(out, "\"><td><span class=\"chip\">%s</span></td><td class=\"name\">", verdict);
    if (t->difference_count > 0)
        strbuf_addf(out, "<a href=\"#t%zu\">", index);
    page_table_name(out, t);
    strbuf_adds(out, t->difference_count > 0 ? "</a>" : "");
    add_notes(out, t);
    strbuf_adds(out, "</td><td class=\"num\">");
    page_count(out, t->rows_source);
    strbuf_addf(out, "</td><td class=\"num%s\">", uneven ? " bad" : "");
    page_count(out, t->rows_target);
    strbuf_addf(out, "</td><td class=\"num%s\">%s", t->difference_count > 0 ? " bad" : " soft",
                t->more ? "≥ " : "");
    page_count(out, t->difference_count);
    uint64_t rate =
        t->duration_us > 0 ? (uint64_t)((double)t->rows_source * 1e6 / (double)t->duration_us) : 0;
    strbuf_addf(out, "</td><td class=\"num soft\" data-value=\"%llu\">", (unsigned long long)rate);
    if (rate > 0)
        page_count(out, rate);
    strbuf_adds(out, "</td>");
    add_bar(out, t->duration_us, longest_us);
    strbuf_adds(out, "</tr>\n");
}

static const enum compare_verdict shown_order[] = {VERDICT_FAIL, VERDICT_INCONCLUSIVE, VERDICT_UNKNOWN,
                                                   VERDICT_PASS};

void page_tables(struct strbuf *out, const struct compare_result *r)
{
    int64_t longest_us = 0;
    if (r->table_count == 0)
        return;
    for (size_t i = 0; i < r->table_count; i++)
        longest_us = MAX_OF(longest_us, r->tables[i].duration_us);
    const size_t counts[] = {r->failed, r->inconclusive, r->passed};
    strbuf_adds(out, "<h2 id=\"tables\">Tables</h2>\n");
    page_tools(out, "Find a table", r->table_count, counts);
    strbuf_adds(
        out,
        "<div class=\"scroll\"><table id=\"all-tables\"><thead><tr><th data-sort=\"text\">Verdict</th><th "
        "data-sort=\"text\">Table</th><th class=\"num\" data-sort=\"num\">Source "
        "rows</th><th class=\"num\" data-sort=\"num\">Target rows</th><th class=\"num\" "
        "data-sort=\"num\">Differ</th>"
        "<th class=\"num\" data-sort=\"num\">Rows/s</th><th data-sort=\"num\">Time</th><th></th></tr></thead>"
        "<tbody>\n");
    for (size_t v = 0; v < ARRAY_LEN(shown_order); v++) {
        for (size_t i = 0; i < r->table_count; i++) {
            if (r->tables[i].verdict == shown_order[v])
                add_table_row(out, &r->tables[i], i, longest_us);
        }
    }
    strbuf_adds(out, "</tbody></table></div>\n");
}
