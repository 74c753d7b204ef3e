/* Owns: the HTML form of a report: one page without outside parts. Everything from a database is escaped. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/html.h"
#include "report.h"
#include "sql/embedded.h"

#define BAR_WIDTH       110.0
#define OPEN_UP_TO_ROWS 50 /* a longer list of differences starts folded */

/* "1,234,567" */
static void add_count(struct strbuf *out, uint64_t n)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            strbuf_addc(out, ',');
        strbuf_addc(out, digits[i]);
    }
}

static void add_duration(struct strbuf *out, int64_t us)
{
    if (us < 10 * 1000)
        strbuf_addf(out, "%.1f ms", (double)us / 1000.0);
    else if (us < 1000 * 1000)
        strbuf_addf(out, "%.0f ms", (double)us / 1000.0);
    else if (us < 120 * INT64_C(1000000))
        strbuf_addf(out, "%.2f s", (double)us / 1e6);
    else
        strbuf_addf(out, "%lld min %02lld s", (long long)us / 60000000, (long long)us / 1000000 % 60);
}

static void add_head(struct strbuf *out, const struct compare_result *r)
{
    const char *rest = html_add_until_mark(out, embedded_report_head_html);
    strbuf_adds(out, compare_verdict_name(r->verdict));
    strbuf_adds(out, " · comparison of ");
    html_add_text(out, r->pipeline);
    rest = html_add_until_mark(out, rest);
    strbuf_adds(out, embedded_report_style_css);
    strbuf_adds(out, rest);
}

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

static void fact_begin(struct strbuf *out)
{
    strbuf_adds(out, "<div class=\"fact\"><b>");
}

static void fact_end(struct strbuf *out, const char *label)
{
    strbuf_addf(out, "</b><span>%s</span></div>\n", label);
}

static void add_rows_fact(struct strbuf *out, const struct compare_result *r)
{
    fact_begin(out);
    add_count(out, r->rows_source);
    if (r->rows_target != r->rows_source) {
        strbuf_adds(out, " <small>/ ");
        add_count(out, r->rows_target);
        strbuf_adds(out, "</small>");
        fact_end(out, "rows on source / target");
    } else {
        fact_end(out, "rows on each side");
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
    fact_begin(out);
    strbuf_addf(out, "%zu <small>of %zu</small>", r->passed, r->table_count);
    fact_end(out, "tables passed");
    add_rows_fact(out, r);
    fact_begin(out);
    if (any_more(r))
        strbuf_adds(out, "≥ ");
    add_count(out, r->differences);
    fact_end(out, "differing rows found");
    fact_begin(out);
    add_duration(out, r->finished_us - r->started_us);
    fact_end(out, "from start to verdict");
    if (r->lsn != 0) {
        fact_begin(out);
        if (r->fence_id > 0)
            strbuf_addf(out, "%llu ", (unsigned long long)r->fence_id);
        strbuf_addf(out, "<small>%s</small>", lsn_format(r->lsn, lsn));
        fact_end(out, r->frozen ? "last fence and its LSN" : "fence and its LSN");
    }
    if (!r->frozen && r->hold_us > 0) {
        fact_begin(out);
        add_duration(out, r->hold_us);
        fact_end(out, "apply waited");
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

static void add_summary(struct strbuf *out, const struct compare_result *r)
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

static void add_table_name(struct strbuf *out, const struct compare_table *t)
{
    html_add_text(out, t->schema);
    strbuf_addc(out, '.');
    html_add_text(out, t->table);
}

static void add_bar(struct strbuf *out, int64_t us, int64_t longest_us)
{
    double width = longest_us > 0 ? BAR_WIDTH * (double)us / (double)longest_us : 0;
    strbuf_addf(out,
                "<td><svg class=\"bar\" viewBox=\"0 0 110 8\" preserveAspectRatio=\"none\"><rect "
                "class=\"bed\" width=\"110\" "
                "height=\"8\" rx=\"4\"/><rect width=\"%.1f\" height=\"8\" rx=\"4\"/></svg></td><td "
                "class=\"num soft\">",
                us > 0 && width < 2 ? 2.0 : width);
    add_duration(out, us);
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
    add_table_name(out, t);
    strbuf_addf(out, "\"><td><span class=\"chip\">%s</span></td><td class=\"name\">", verdict);
    if (t->difference_count > 0)
        strbuf_addf(out, "<a href=\"#t%zu\">", index);
    add_table_name(out, t);
    strbuf_adds(out, t->difference_count > 0 ? "</a>" : "");
    add_notes(out, t);
    strbuf_adds(out, "</td><td class=\"num\">");
    add_count(out, t->rows_source);
    strbuf_addf(out, "</td><td class=\"num%s\">", uneven ? " bad" : "");
    add_count(out, t->rows_target);
    strbuf_addf(out, "</td><td class=\"num%s\">%s", t->difference_count > 0 ? " bad" : " soft",
                t->more ? "≥ " : "");
    add_count(out, t->difference_count);
    strbuf_adds(out, "</td>");
    add_bar(out, t->duration_us, longest_us);
    strbuf_adds(out, "</tr>\n");
}

static const enum compare_verdict shown_order[] = {VERDICT_FAIL, VERDICT_INCONCLUSIVE, VERDICT_UNKNOWN,
                                                   VERDICT_PASS};

static void add_tables(struct strbuf *out, const struct compare_result *r)
{
    int64_t longest_us = 0;
    if (r->table_count == 0)
        return;
    for (size_t i = 0; i < r->table_count; i++)
        longest_us = MAX_OF(longest_us, r->tables[i].duration_us);
    strbuf_addf(out,
                "<h2>Tables</h2>\n<div class=\"tools\" hidden><input id=\"search\" type=\"search\" "
                "placeholder=\"Find a table\" "
                "aria-label=\"Find a table\">"
                "<button data-verdict=\"\" aria-pressed=\"true\">All %zu</button><button "
                "data-verdict=\"FAIL\">Failed %zu"
                "</button><button data-verdict=\"INCONCLUSIVE\">Inconclusive %zu</button><button "
                "data-verdict=\"PASS\">Passed "
                "%zu</button><span id=\"shown\" class=\"soft\"></span></div>\n",
                r->table_count, r->failed, r->inconclusive, r->passed);
    strbuf_adds(
        out,
        "<div class=\"scroll\"><table><thead><tr><th>Verdict</th><th>Table</th><th class=\"num\">Source "
        "rows</th>"
        "<th class=\"num\">Target rows</th><th class=\"num\">Differ</th><th>Time</th><th></th></tr></thead>"
        "<tbody>\n");
    for (size_t v = 0; v < ARRAY_LEN(shown_order); v++) {
        for (size_t i = 0; i < r->table_count; i++) {
            if (r->tables[i].verdict == shown_order[v])
                add_table_row(out, &r->tables[i], i, longest_us);
        }
    }
    strbuf_adds(out, "</tbody></table></div>\n");
}

static void add_value(struct strbuf *out, const char *value)
{
    if (value == NULL)
        strbuf_adds(out, "<span class=\"null\">null</span>");
    else if (*value == '\0')
        strbuf_adds(out, "<span class=\"null\">empty</span>");
    else
        html_add_text(out, value);
}

static void add_key(struct strbuf *out, const struct compare_difference *d)
{
    for (size_t i = 0; i < d->key_count; i++) {
        strbuf_addf(out, "%s<i>", i > 0 ? "\n" : "");
        html_add_text(out, d->keys[i].name);
        strbuf_adds(out, "</i> ");
        add_value(out, d->kind == DIFF_EXTRA ? d->keys[i].target : d->keys[i].source);
    }
    if (d->key_count == 0)
        strbuf_addf(out, "<i>copies</i> %llu / %llu", (unsigned long long)d->copies_source,
                    (unsigned long long)d->copies_target);
    report_html_cause(d, out);
}

static void add_changed(struct strbuf *out, const struct compare_difference *d)
{
    size_t span = d->column_count > 0 ? d->column_count : 1;
    strbuf_addf(out,
                "<tr><td rowspan=\"%zu\"><span class=\"chip changed\">changed</span></td><td rowspan=\"%zu\" "
                "class=\"key\">",
                span, span);
    add_key(out, d);
    strbuf_adds(out, "</td>");
    for (size_t i = 0; i < d->column_count; i++) {
        strbuf_adds(out, i > 0 ? "<tr><td class=\"value\">" : "<td class=\"value\">");
        html_add_text(out, d->columns[i].name);
        strbuf_adds(out, "</td><td class=\"value old\">");
        add_value(out, d->columns[i].source);
        strbuf_adds(out, "</td><td class=\"value new\">");
        add_value(out, d->columns[i].target);
        strbuf_adds(out, "</td></tr>\n");
    }
    if (d->column_count == 0)
        strbuf_adds(out, "<td colspan=\"3\" class=\"soft\">binary forms differ, texts are equal</td></tr>\n");
}

static void add_whole_row(struct strbuf *out, const struct compare_difference *d)
{
    bool missing = d->kind == DIFF_MISSING;
    strbuf_addf(out, "<tr><td><span class=\"chip %s\">%s</span></td><td class=\"key\">",
                compare_kind_name(d->kind), compare_kind_name(d->kind));
    add_key(out, d);
    strbuf_addf(out, "</td><td colspan=\"3\" class=\"value cells %s\">", missing ? "old" : "new");
    for (size_t i = 0; i < d->column_count; i++) {
        strbuf_adds(out, "<span><i>");
        html_add_text(out, d->columns[i].name);
        strbuf_adds(out, "</i> ");
        add_value(out, missing ? d->columns[i].source : d->columns[i].target);
        strbuf_adds(out, "</span> ");
    }
    strbuf_adds(out, "</td></tr>\n");
}

static void add_differences(struct strbuf *out, const struct compare_table *t, size_t index)
{
    strbuf_addf(out, "<details id=\"t%zu\"%s><summary><h3>", index,
                t->difference_count <= OPEN_UP_TO_ROWS ? " open" : "");
    add_table_name(out, t);
    strbuf_addf(out, "</h3><span class=\"soft\">%s%zu row%s differ%s</span></summary>\n",
                t->more ? "at least " : "", t->difference_count, t->difference_count == 1 ? "" : "s",
                t->difference_count == 1 ? "s" : "");
    report_html_causes(t, out);
    strbuf_adds(
        out,
        "<div class=\"scroll\"><table><thead><tr><th>Row is</th><th>Key</th><th>Column</th><th>Source</th>"
        "<th>Target</th></tr></thead><tbody>\n");
    for (size_t i = 0; i < t->difference_count; i++) {
        if (t->differences[i].kind == DIFF_CHANGED)
            add_changed(out, &t->differences[i]);
        else
            add_whole_row(out, &t->differences[i]);
    }
    strbuf_adds(out, "</tbody></table></div>");
    if (t->more)
        strbuf_addf(out, "<p class=\"more\">There are more: %llu of %llu parts of this table differ.</p>",
                    (unsigned long long)t->chunks_differing, (unsigned long long)t->chunks);
    strbuf_adds(out, "</details>\n");
}

static int by_rule(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Each form once, with how many columns it was used for: thousands of columns have a few dozen forms. */
static void add_rules(struct strbuf *out, const struct compare_result *r)
{
    size_t count = 0, n = 0;
    for (size_t i = 0; i < r->table_count; i++)
        count += r->tables[i].rule_count;
    if (count == 0)
        return;
    const char **all = xcalloc(count, sizeof *all);
    for (size_t i = 0; i < r->table_count; i++) {
        for (size_t k = 0; k < r->tables[i].rule_count; k++)
            all[n++] = r->tables[i].rules[k].rule;
    }
    qsort(all, count, sizeof *all, by_rule);
    strbuf_adds(out, "<details id=\"forms\"><summary><h3>How columns were compared</h3></summary>\n<div "
                     "class=\"scroll\"><table><thead><tr><th>Type and form</th><th class=\"num\">Columns</th>"
                     "</tr></thead><tbody>\n");
    for (size_t i = 0; i < count; i = n) {
        for (n = i; n < count && strcmp(all[n], all[i]) == 0; n++)
            ;
        strbuf_adds(out, "<tr><td>");
        html_add_text(out, all[i]);
        strbuf_addf(out, "</td><td class=\"num\">%zu</td></tr>\n", n - i);
    }
    strbuf_adds(out, "</tbody></table></div></details>\n");
    free(all);
}

bool report_html(const struct compare_result *r, struct strbuf *out, struct err *err)
{
    add_head(out, r);
    add_summary(out, r);
    add_tables(out, r);
    report_html_checks(r, out);
    if (r->differences > 0)
        strbuf_adds(out, "<h2>Differences</h2>\n<p class=\"soft\" "
                         "style=\"margin-bottom:12px\"><b>missing</b>: on the source only. "
                         "<b>extra</b>: on the target only. <b>changed</b>: same key, other values.</p>\n");
    for (size_t i = 0; i < r->table_count; i++) {
        if (r->tables[i].difference_count > 0)
            add_differences(out, &r->tables[i], i);
    }
    add_rules(out, r);
    strbuf_adds(out, "<footer>Crossfade " CF_VERSION
                     " · the same as data: <a href=\"report.json\">report.json</a></footer>\n</main>\n");
    strbuf_adds(out, embedded_report_tail_html);
    return strbuf_ok(out, "the HTML report", err);
}
