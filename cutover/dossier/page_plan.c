/* Owns: what the steps are expected to take, in the page of a cutover: each against its deadline, all that clients wait for against the budget. */
#include <stdlib.h>

#include "core/alloc.h"
#include "core/html.h"
#include "cutover/dossier/dossier_internal.h"
#include "cutover/dossier/strip.h"
#include "page/page.h"

static double expected(const json_t *step)
{
    double ms = dossier_number(step, "ms");
    return ms < 0 ? 0 : ms;
}

static bool waits(const json_t *step)
{
    return json_is_true(json_object_get(step, "clients_wait"));
}

static void measure(const json_t *steps, struct axis *axis, struct strip *strip)
{
    double at = 0;
    size_t i;
    json_t *step;
    *strip = (struct strip){.axis = axis, .pause_from = 0, .pause_to = -1};
    json_array_foreach(steps, i, step)
    {
        if (waits(step) && strip->pause_to < strip->pause_from)
            strip->pause_from = at;
        at += expected(step);
        if (waits(step))
            strip->pause_to = at;
        axis_add(axis, at, !waits(step));
    }
    axis_end(axis);
}

static void add_step(struct strbuf *out, const struct strip *strip, const json_t *step, double at)
{
    strbuf_adds(out, "<tr><th scope=\"row\" class=\"name\"><b>");
    html_add_text(out, dossier_text(step, "state"));
    strbuf_adds(out, "</b>");
    if (waits(step))
        strbuf_adds(out, " <span class=\"waits\">clients wait</span>");
    strbuf_adds(out, "<span class=\"note\">");
    html_add_text(out, dossier_text(step, "action"));
    strbuf_adds(out, "</span></th><td class=\"of-time\">");
    strip_begin(out, strip);
    if (dossier_number(step, "ms") >= 0)
        strip_bar(out, strip, waits(step) ? "wait" : "work", at, at + expected(step));
    strip_end(out);
    strbuf_adds(out, "</td>");
    dossier_page_td(out, "num", "About");
    dossier_page_ms(out, step, "ms");
    strbuf_adds(out, "</td>");
    dossier_page_td(out, "num soft", "At most");
    dossier_page_ms(out, step, "deadline_ms");
    strbuf_adds(out, "</td>");
    dossier_page_cell(out, "soft basis", "By", dossier_text(step, "basis"));
    strbuf_adds(out, "</tr>\n");
}

static void add_budget(struct strbuf *out, const json_t *pause)
{
    double about = dossier_number(pause, "estimate_ms"), budget = dossier_number(pause, "budget_ms");
    bool fits = about >= 0 && about <= budget;
    strbuf_adds(out, "<p class=\"soft gap\">Clients wait for about <b>");
    dossier_page_ms(out, pause, "estimate_ms");
    strbuf_adds(out, "</b> of at most ");
    dossier_page_ms(out, pause, "budget_ms");
    strbuf_adds(out, " (<code>cutover.pause_budget_ms</code>).</p>\n");
    if (about < 0 || budget <= 0)
        return;
    strbuf_addf(out,
                "<svg class=\"budget %s\" viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" role=\"img\" "
                "aria-label=\"%.0f of %.0f ms\"><rect class=\"bed\" width=\"1000\" height=\"10\"/><rect "
                "class=\"used\" width=\"%.1f\" height=\"10\"/></svg>\n",
                fits ? "PASS" : "FAIL", about, budget, fits ? 1000 * about / budget : 1000.0);
}

void dossier_page_plan(struct strbuf *out, const json_t *doc)
{
    const json_t *steps = json_object_get(doc, "estimates");
    struct axis *axis;
    struct strip strip;
    double at = 0;
    size_t i;
    json_t *step;
    if (json_array_size(steps) == 0)
        return;
    axis = xcalloc(1, sizeof *axis);
    measure(steps, axis, &strip);
    /* Of a run the timeline tells more: this is looked up. */
    bool run = json_is_object(json_object_get(doc, "timeline"));
    strbuf_adds(out,
                run ? "<details id=\"plan\" class=\"gap-above\"><summary><h3>What the steps were expected to "
                      "take</h3></summary>\n<div class=\"inner\">"
                    : "<h2 id=\"plan\">Steps and what they are expected to take</h2>\n");
    add_budget(out, json_object_get(doc, "pause"));
    strbuf_adds(
        out, "<div class=\"scroll\"><table class=\"lanes stack\"><thead><tr><th scope=\"col\">Step</th><th "
             "scope=\"col\" class=\"of-time\">When</th><th scope=\"col\" class=\"num\">About</th><th "
             "scope=\"col\" class=\"num\">At most</th><th scope=\"col\">By</th></tr></thead><tbody>\n");
    json_array_foreach(steps, i, step)
    {
        add_step(out, &strip, step, at);
        at += expected(step);
    }
    strbuf_adds(out, run ? "</tbody></table></div></div></details>\n" : "</tbody></table></div>\n");
    free(axis);
}
