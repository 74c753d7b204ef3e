/* Owns: the rows that differ, in a comparison's page. */
#include "core/html.h"
#include "report/page.h"

#define OPEN_UP_TO_ROWS 50 /* a longer list of differences starts folded */

static void add_key(struct strbuf *out, const struct compare_difference *d)
{
    for (size_t i = 0; i < d->key_count; i++) {
        strbuf_addf(out, "%s<i>", i > 0 ? "\n" : "");
        html_add_text(out, d->keys[i].name);
        strbuf_adds(out, "</i> ");
        page_value(out, d->kind == DIFF_EXTRA ? d->keys[i].target : d->keys[i].source);
    }
    if (d->key_count == 0)
        strbuf_addf(out, "<i>copies</i> %llu / %llu", (unsigned long long)d->copies_source,
                    (unsigned long long)d->copies_target);
    page_cause(out, d);
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
        page_value(out, d->columns[i].source);
        strbuf_adds(out, "</td><td class=\"value new\">");
        page_value(out, d->columns[i].target);
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
        page_value(out, missing ? d->columns[i].source : d->columns[i].target);
        strbuf_adds(out, "</span> ");
    }
    strbuf_adds(out, "</td></tr>\n");
}

static void add_differences(struct strbuf *out, const struct compare_table *t, size_t index)
{
    strbuf_addf(out, "<details id=\"t%zu\"%s><summary><h3>", index,
                t->difference_count <= OPEN_UP_TO_ROWS ? " open" : "");
    page_table_name(out, t);
    strbuf_addf(out, "</h3><span class=\"soft\">%s%zu row%s differ%s</span></summary>\n",
                t->more ? "at least " : "", t->difference_count, t->difference_count == 1 ? "" : "s",
                t->difference_count == 1 ? "s" : "");
    page_causes(out, t);
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

void page_differences(struct strbuf *out, const struct compare_result *r)
{
    if (r->differences > 0)
        strbuf_adds(out, "<h2 id=\"differences\">Differences</h2>\n<p class=\"soft gap\"><b>missing</b>: on "
                         "the source only. "
                         "<b>extra</b>: on the target only. <b>changed</b>: same key, other values.</p>\n");
    for (size_t i = 0; i < r->table_count; i++) {
        if (r->tables[i].difference_count > 0)
            add_differences(out, &r->tables[i], i);
    }
}
