/* Owns: whether a cutover could begin, in a page: what its gates say that the target alone can answer. */
#include "core/html.h"
#include "report/page.h"

static void add_gate(struct strbuf *out, const struct readiness_gate *g)
{
    strbuf_addf(out, "<tr class=\"%s\"><td><span class=\"chip\">%s</span></td><td class=\"name\"><b>",
                g->met ? "PASS" : "FAIL", g->met ? "✓ yes" : "✗ no");
    html_add_text(out, g->name);
    strbuf_adds(out, "</b>");
    if (g->hint[0] != '\0') {
        strbuf_adds(out, "<span class=\"why\">");
        html_add_text(out, g->hint);
        strbuf_adds(out, "</span>");
    }
    strbuf_adds(out, "</td><td>");
    html_add_text(out, g->measured);
    strbuf_adds(out, "</td><td class=\"soft\">");
    html_add_text(out, g->limit);
    strbuf_adds(out, "</td></tr>\n");
}

void page_readiness(struct strbuf *out, const struct standing *s)
{
    if (s == NULL)
        return;
    size_t open = 0;
    for (size_t i = 0; i < s->readiness.count; i++)
        open += !s->readiness.gates[i].met;
    strbuf_addf(out,
                "<h2 id=\"cutover\">Ready for cutover? <span class=\"answer %s\">%s</span></h2>\n<p "
                "class=\"soft gap\">",
                open == 0 ? "PASS" : "FAIL", open == 0 ? "Yes" : "No");
    if (open > 0)
        strbuf_addf(out, "%zu of %zu gates refuse. ", open, s->readiness.count);
    strbuf_adds(
        out,
        "These are the gates that the target alone can answer; <code>crossfade cutover plan</code> asks all "
        "of them.</p>\n"
        "<div class=\"scroll\"><table><thead><tr><th>Met</th><th>Gate</th><th>Found</th><th>Wanted</th></tr>"
        "</thead><tbody>\n");
    for (int met = 0; met < 2; met++) {
        for (size_t i = 0; i < s->readiness.count; i++) {
            if (s->readiness.gates[i].met == (met == 1))
                add_gate(out, &s->readiness.gates[i]);
        }
    }
    strbuf_adds(out, "</tbody></table></div>\n");
}
