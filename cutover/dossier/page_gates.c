/* Owns: the gates in the page of a cutover: those that refuse come first. */
#include <string.h>

#include "core/html.h"
#include "cutover/dossier/dossier_internal.h"

/* Nothing is noted before the first run. */
static bool has_history(const json_t *list)
{
    size_t i;
    json_t *gate;
    json_array_foreach(list, i, gate)
    {
        if (dossier_text(gate, "held_at")[0] != '\0' || dossier_text(gate, "refused_at")[0] != '\0')
            return true;
    }
    return false;
}

static void add_when(struct strbuf *out, const char *word, const char *iso)
{
    if (*iso == '\0')
        return;
    strbuf_addf(out, "<span class=\"when\">%s ", word);
    dossier_page_time(out, iso);
    strbuf_adds(out, "</span>");
}

static void add_history(struct strbuf *out, const json_t *gate)
{
    dossier_page_td(out, "soft", "Last");
    add_when(out, "held", dossier_text(gate, "held_at"));
    add_when(out, "refused", dossier_text(gate, "refused_at"));
    strbuf_adds(out, "</td>");
}

/* One that holds and has a hint all the same warns. */
enum tone { REFUSES, WARNS, HOLDS, TONES };

static enum tone tone_of(const json_t *gate)
{
    if (strcmp(dossier_text(gate, "verdict"), "ok") != 0)
        return REFUSES;
    return dossier_text(gate, "hint")[0] != '\0' ? WARNS : HOLDS;
}

static void add_gate(struct strbuf *out, const json_t *gate, bool history)
{
    static const struct {
        const char *class, *says;
    } tones[TONES] = {{"FAIL", "✗ refuses"}, {"INCONCLUSIVE", "! warns"}, {"PASS", "✓ holds"}};
    strbuf_addf(out, "<tr class=\"%s\"><td><span class=\"chip\">%s</span></td><td class=\"name\"><b>",
                tones[tone_of(gate)].class, tones[tone_of(gate)].says);
    html_add_text(out, dossier_text(gate, "name"));
    strbuf_adds(out, "</b>");
    if (dossier_text(gate, "hint")[0] != '\0') {
        strbuf_adds(out, "<span class=\"why\">");
        dossier_page_prose(out, dossier_text(gate, "hint"));
        strbuf_adds(out, "</span>");
    }
    strbuf_adds(out, "</td>");
    dossier_page_cell(out, "wide", "Measured", dossier_text(gate, "measured"));
    dossier_page_cell(out, "soft", "Wanted", dossier_text(gate, "limit"));
    if (history)
        add_history(out, gate);
    strbuf_adds(out, "</tr>\n");
}

static void add_rows(struct strbuf *out, const json_t *list, enum tone tone, bool history)
{
    size_t i;
    json_t *gate;
    json_array_foreach(list, i, gate)
    {
        if (tone_of(gate) == tone)
            add_gate(out, gate, history);
    }
}

void dossier_page_gates(struct strbuf *out, const json_t *doc)
{
    const json_t *gates = json_object_get(doc, "gates"), *list = json_object_get(gates, "list");
    bool history = has_history(list);
    if (json_array_size(list) == 0)
        return;
    strbuf_adds(out, "<h2 id=\"gates\">Gates</h2>\n<p class=\"soft gap\">Asked ");
    dossier_page_time(out, dossier_text(gates, "asked_at"));
    strbuf_adds(out, ".");
    if (history)
        strbuf_adds(out,
                    " When a gate last held, and last refused, is what runs have noted in the audit chain.");
    strbuf_adds(out,
                "</p>\n<div class=\"scroll\"><table class=\"stack\"><thead><tr><th scope=\"col\">State</th>"
                "<th scope=\"col\">Gate</th><th scope=\"col\">Measured</th><th scope=\"col\">Wanted</th>");
    if (history)
        strbuf_adds(out, "<th scope=\"col\">Last</th>");
    strbuf_adds(out, "</tr></thead><tbody>\n");
    for (enum tone tone = REFUSES; tone < TONES; tone++)
        add_rows(out, list, tone, history);
    strbuf_adds(out, "</tbody></table></div>\n");
}
