/* Owns: the part of the HTML report about checks beyond rows: query pairs, figures, samples, counts, rules and contracts. */
#include <string.h>

#include "core/html.h"
#include "report/page.h"

static void add_cells(struct strbuf *out, const struct compare_cell *cells, size_t count, bool target)
{
    for (size_t i = 0; i < count; i++) {
        strbuf_adds(out, "<span><i>");
        html_add_text(out, cells[i].name);
        strbuf_adds(out, "</i> ");
        page_value(out, target ? cells[i].target : cells[i].source);
        strbuf_adds(out, "</span> ");
    }
}

static void add_difference(struct strbuf *out, const struct compare_difference *d)
{
    const char *kind = compare_kind_name(d->kind);
    strbuf_addf(out, "<tr><td><span class=\"chip %s\">%s</span></td><td class=\"key cells\">", kind, kind);
    add_cells(out, d->keys, d->key_count, d->kind == DIFF_EXTRA);
    strbuf_adds(out, "</td><td class=\"value cells old\">");
    if (d->kind != DIFF_EXTRA)
        add_cells(out, d->columns, d->column_count, false);
    strbuf_adds(out, "</td><td class=\"value cells new\">");
    if (d->kind != DIFF_MISSING)
        add_cells(out, d->columns, d->column_count, true);
    strbuf_adds(out, "</td></tr>\n");
}

static void add_differences(struct strbuf *out, const struct compare_check *c)
{
    if (c->difference_count == 0)
        return;
    strbuf_adds(out, "<div class=\"scroll\"><table><thead><tr><th>It "
                     "is</th><th>Key</th><th>Source</th><th>Target</th></tr></thead>"
                     "<tbody>\n");
    for (size_t i = 0; i < c->difference_count; i++)
        add_difference(out, &c->differences[i]);
    strbuf_adds(out, "</tbody></table></div>");
    if (c->difference_total > c->difference_count)
        strbuf_addf(out, "<p class=\"more\">There are %llu in all; the first %zu are listed.</p>",
                    (unsigned long long)c->difference_total, c->difference_count);
}

static void add_offenders(struct strbuf *out, const struct compare_check *c)
{
    static const char *const sides[] = {"source", "target"};
    if (c->offender_count[0] + c->offender_count[1] == 0)
        return;
    strbuf_adds(out, "<div class=\"scroll\"><table><thead><tr><th>On the</th><th>Rows that break it, for "
                     "example</th></tr></thead><tbody>\n");
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < c->offender_count[side]; i++) {
            const struct compare_difference *row = &c->offenders[side][i];
            strbuf_addf(out, "<tr><td>%s</td><td class=\"value cells\">", sides[side]);
            add_cells(out, row->keys, row->key_count, false);
            strbuf_adds(out, "</td></tr>\n");
        }
    }
    strbuf_adds(out, "</tbody></table></div>");
}

static bool has_detail(const struct compare_check *c)
{
    return c->difference_count + c->offender_count[0] + c->offender_count[1] > 0;
}

static void add_row(struct strbuf *out, const struct compare_check *c, size_t index)
{
    bool rule = c->kind == CHECK_RULE || c->kind == CHECK_CONTRACT, detail = has_detail(c);
    strbuf_addf(out, "<tr class=\"%s\"><td><span class=\"chip\">%s</span></td><td class=\"name\">",
                check_state_name(c->state), check_state_name(c->state));
    if (detail)
        strbuf_addf(out, "<a href=\"#c%zu\">", index);
    html_add_text(out, c->name);
    strbuf_adds(out, detail ? "</a>" : "");
    if (c->reason[0] != '\0') {
        strbuf_adds(out, "<span class=\"why\">");
        html_add_text(out, c->reason);
        strbuf_adds(out, "</span>");
    }
    strbuf_addf(out,
                "</td><td class=\"soft\">%s</td><td class=\"num\">%llu</td><td class=\"num\">%llu</td>"
                "<td class=\"num soft\">%.0f ms</td></tr>\n",
                check_kind_name(c->kind), (unsigned long long)(rule ? c->broken_source : c->rows_source),
                (unsigned long long)(rule ? c->broken_target : c->rows_target),
                (double)c->duration_us / 1000.0);
}

static void add_detail(struct strbuf *out, const struct compare_check *c, size_t index)
{
    strbuf_addf(out, "<details id=\"c%zu\"%s><summary><h3>", index, c->state == STATE_FAIL ? " open" : "");
    html_add_text(out, c->name);
    strbuf_adds(out, "</h3><span class=\"soft\">");
    html_add_text(out, c->reason);
    strbuf_adds(out, "</span></summary>\n");
    add_differences(out, c);
    add_offenders(out, c);
    strbuf_adds(out, "</details>\n");
}

void page_checks(struct strbuf *out, const struct compare_result *r)
{
    static const enum check_state order[] = {STATE_FAIL, STATE_INCONCLUSIVE, STATE_FINDING, STATE_PASS};
    if (r->check_count == 0)
        return;
    strbuf_addf(out,
                "<h2 id=\"checks\">Checks</h2>\n<p class=\"soft gap\">%zu passed, %zu failed, %zu "
                "findings about the data, "
                "%zu inconclusive. For rules and contracts the numbers are rows that break them, for the "
                "others rows of the result.</p>\n"
                "<div class=\"scroll\"><table><thead><tr><th>Verdict</th><th>Check</th><th>Kind</th><th "
                "class=\"num\">Source</th>"
                "<th class=\"num\">Target</th><th class=\"num\">Time</th></tr></thead><tbody>\n",
                r->checks_by_state[STATE_PASS], r->checks_by_state[STATE_FAIL],
                r->checks_by_state[STATE_FINDING], r->checks_by_state[STATE_INCONCLUSIVE]);
    for (size_t s = 0; s < ARRAY_LEN(order); s++) {
        for (size_t i = 0; i < r->check_count; i++) {
            if (r->checks[i].state == order[s])
                add_row(out, &r->checks[i], i);
        }
    }
    strbuf_adds(out, "</tbody></table></div>\n");
    for (size_t s = 0; s < ARRAY_LEN(order); s++) {
        for (size_t i = 0; i < r->check_count; i++) {
            if (r->checks[i].state == order[s] && has_detail(&r->checks[i]))
                add_detail(out, &r->checks[i], i);
        }
    }
}
