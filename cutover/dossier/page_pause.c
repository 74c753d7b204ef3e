/* Owns: who waited for how long, in the page of a cutover. */
#include <inttypes.h>

#include "core/html.h"
#include "cutover/dossier/dossier_internal.h"

static void add_pooler(struct strbuf *out, const json_t *pooler)
{
    strbuf_adds(out, "<tr>");
    dossier_page_cell(out, "name", "Pooler", dossier_text(pooler, "name"));
    dossier_page_td(out, "", "Paused");
    if (dossier_text(pooler, "paused_at")[0] != '\0' && !json_is_true(json_object_get(pooler, "pause_seen")))
        strbuf_adds(out, "before ");
    dossier_page_time(out, dossier_text(pooler, "paused_at"));
    strbuf_adds(out, "</td>");
    dossier_page_td(out, "", "Resumed");
    dossier_page_time(out, dossier_text(pooler, "resumed_at"));
    strbuf_adds(out, "</td>");
    dossier_page_td(out, "num", "Held");
    dossier_page_ms(out, pooler, "held_ms");
    strbuf_adds(out, "</td>");
    dossier_page_td(out, "num", "Clients waiting");
    if (dossier_number(pooler, "clients") >= 0)
        strbuf_addf(out, "%.0f", dossier_number(pooler, "clients"));
    else
        strbuf_adds(out, "–");
    strbuf_adds(out, "</td>");
    dossier_page_td(out, "num", "Longest wait");
    dossier_page_ms(out, pooler, "longest_ms");
    strbuf_adds(out, "</td></tr>\n");
}

static void add_poolers(struct strbuf *out, const json_t *poolers)
{
    size_t i;
    json_t *one;
    if (json_array_size(poolers) == 0)
        return;
    strbuf_adds(out,
                "<div class=\"scroll\"><table class=\"stack\"><thead><tr><th scope=\"col\">Pooler</th><th "
                "scope=\"col\">Paused</th><th scope=\"col\">Resumed</th><th scope=\"col\" "
                "class=\"num\">Held</th><th scope=\"col\" class=\"num\">Clients waiting</th><th "
                "scope=\"col\" class=\"num\">Longest wait</th></tr></thead><tbody>\n");
    json_array_foreach(poolers, i, one) add_pooler(out, one);
    strbuf_adds(out, "</tbody></table></div>\n");
}

static void add_stragglers(struct strbuf *out, const json_t *stragglers)
{
    size_t i;
    json_t *one;
    if (json_array_size(stragglers) == 0)
        return;
    strbuf_adds(out, "<h3 class=\"sub\">Sessions that were ended</h3>\n<div class=\"scroll\"><table "
                     "class=\"stack\"><thead><tr>"
                     "<th scope=\"col\" class=\"num\">pid</th><th scope=\"col\">Role</th><th "
                     "scope=\"col\">Application</th><th scope=\"col\">Ended</th></tr></thead><tbody>\n");
    json_array_foreach(stragglers, i, one)
    {
        strbuf_adds(out, "<tr>");
        dossier_page_cell(out, "num", "pid", dossier_text(one, "pid"));
        dossier_page_cell(out, "name", "Role", dossier_text(one, "role"));
        dossier_page_cell(out, "", "Application", dossier_text(one, "application"));
        dossier_page_td(out, "", "Ended");
        dossier_page_time(out, dossier_text(one, "ended_at"));
        strbuf_adds(out, "</td></tr>\n");
    }
    strbuf_adds(out, "</tbody></table></div>\n");
}

static void add_clients(struct strbuf *out, const json_t *pause)
{
    double waiting = dossier_number(pause, "clients_waiting");
    if (waiting == 0)
        strbuf_adds(out, ". Behind poolers nobody waited when they were resumed");
    if (waiting <= 0)
        return;
    strbuf_addf(out, ". Behind poolers %.0f client%s waited when they were resumed, the longest for <b>",
                waiting, waiting > 1 ? "s" : "");
    dossier_page_ms(out, pause, "clients_longest_ms");
    strbuf_adds(out, "</b>");
}

void dossier_page_pause(struct strbuf *out, const json_t *doc)
{
    const json_t *pause = json_object_get(doc, "pause");
    strbuf_adds(out, "<h2 id=\"pause\">The pause</h2>\n<p class=\"gap\">");
    if (dossier_text(pause, "began_at")[0] == '\0') {
        strbuf_adds(out, "Nobody had to wait.</p>\n");
        return;
    }
    strbuf_adds(out, "Writers were refused from ");
    dossier_page_time(out, dossier_text(pause, "began_at"));
    if (dossier_number(pause, "refused_ms") >= 0) {
        strbuf_adds(out, " for <b>");
        dossier_page_ms(out, pause, "refused_ms");
        strbuf_adds(out, "</b>");
    }
    strbuf_adds(out, ", of at most ");
    dossier_page_ms(out, pause, "budget_ms");
    add_clients(out, pause);
    strbuf_adds(out, ".</p>\n");
    add_poolers(out, json_object_get(pause, "poolers"));
    add_stragglers(out, json_object_get(pause, "stragglers"));
}
