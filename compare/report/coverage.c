/* Owns: what a comparison has looked at and what not, in its page: columns left out and why, and in which form the others were compared. */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/html.h"
#include "journal_reach.h"
#include "report/page.h"

#define LEFT_OUT_SHOWN 2000 /* report.json has all */
#define OFFSETS_SHOWN  20

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

static void add_left_out(struct strbuf *out, const struct compare_result *r, size_t count)
{
    size_t shown = 0;
    strbuf_addf(
        out,
        "<details id=\"left-out\"%s><summary><h3>Columns left out</h3><span "
        "class=\"soft\">%zu</span></summary>\n"
        "<div "
        "class=\"scroll\"><table><thead><tr><th>Table</th><th>Column</th><th>Why</th></tr></thead><tbody>\n",
        count <= 20 ? " open" : "", count);
    for (size_t i = 0; i < r->table_count; i++) {
        const struct compare_table *t = &r->tables[i];
        for (size_t k = 0; k < t->left_out_count && shown < LEFT_OUT_SHOWN; k++, shown++) {
            strbuf_adds(out, "<tr><td class=\"name\">");
            page_table_name(out, t);
            strbuf_adds(out, "</td><td class=\"name\">");
            html_add_text(out, t->left_out[k].column);
            strbuf_adds(out, "</td><td class=\"soft\">");
            html_add_text(out, t->left_out[k].why);
            strbuf_adds(out, "</td></tr>\n");
        }
    }
    strbuf_adds(out, "</tbody></table></div>");
    if (shown < count)
        strbuf_addf(out, "<p class=\"more\">%zu more are in report.json.</p>", count - shown);
    strbuf_adds(out, "</details>\n");
}

static void add_offsets(struct strbuf *out, const struct journal_reach *reach)
{
    size_t shown = MIN_OF(reach->part_count, (size_t)OFFSETS_SHOWN);
    strbuf_adds(out, "<div class=\"scroll\"><table><thead><tr><th>Topic</th><th class=\"num\">Partition</th>"
                     "<th class=\"num\">Records below offset</th></tr></thead><tbody>\n");
    for (size_t i = 0; i < shown; i++) {
        strbuf_adds(out, "<tr><td class=\"name\">");
        html_add_text(out, reach->parts[i].topic);
        strbuf_addf(out, "</td><td class=\"num\">%d</td><td class=\"num\">", (int)reach->parts[i].partition);
        page_count(out, reach->parts[i].next_offset);
        strbuf_adds(out, "</td></tr>\n");
    }
    strbuf_adds(out, "</tbody></table></div>");
    if (shown < reach->part_count)
        strbuf_addf(out, "<p class=\"more\">These are the furthest; %zu more partitions have offsets.</p>",
                    reach->part_count - shown);
}

/* Of each partition, the records that the verdict is of. */
static void add_reach(struct strbuf *out, const struct journal_reach *reach)
{
    if (reach == NULL)
        return;
    strbuf_adds(out, "<details id=\"journal\" open><summary><h3>The journal at the fence</h3><span "
                     "class=\"soft\">");
    if (reach->unread != NULL)
        strbuf_adds(out, "not read");
    else
        strbuf_addf(out, "%s%s%zu topics, %zu partitions", reach->kind, reach->kind[0] != '\0' ? ": " : "",
                    reach->topic_count, reach->part_count);
    strbuf_adds(out, "</span></summary>\n");
    if (reach->unread != NULL) {
        strbuf_adds(out, "<p class=\"more\">");
        html_add_text(out, reach->unread);
        strbuf_adds(out, "</p>");
    } else if (reach->part_count > 0) {
        add_offsets(out, reach);
    }
    strbuf_adds(out, "</details>\n");
}

void page_coverage(struct strbuf *out, const struct compare_result *r)
{
    size_t columns = 0, left = 0, part = 0;
    if (r->table_count == 0)
        return;
    for (size_t i = 0; i < r->table_count; i++) {
        columns += r->tables[i].column_count;
        left += r->tables[i].left_out_count;
        part += r->tables[i].built != BUILT_NONE;
    }
    strbuf_adds(out, "<h2 id=\"coverage\">Coverage</h2>\n<p class=\"soft gap\">");
    strbuf_addf(out, "%zu tables, ", r->table_count);
    page_count(out, r->rows_source);
    strbuf_adds(out, " rows on the source and ");
    page_count(out, r->rows_target);
    strbuf_addf(out, " on the target, %zu columns compared, %zu left out. %s", columns, left,
                !r->full ? "Other tables of the pipeline were not asked for."
                         : "All tables of the pipeline.");
    if (part > 0)
        strbuf_addf(out,
                    " Of %zu tables, an earlier comparison had proven rows: of those, only what changed "
                    "since was read.",
                    part);
    strbuf_adds(out, "</p>\n");
    add_reach(out, r->reach);
    if (left > 0)
        add_left_out(out, r, left);
    add_rules(out, r);
}
