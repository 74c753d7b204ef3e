/* Owns: the page of a cutover: its head with the one answer, its figures, the order of its sections. */
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/html.h"
#include "cutover/dossier/dossier_internal.h"
#include "page/page.h"

/* --- shared by the sections --- */

void dossier_page_ms(struct strbuf *out, const json_t *object, const char *key)
{
    double ms = dossier_number(object, key);
    if (ms < 0)
        strbuf_adds(out, "–");
    else
        page_duration(out, (int64_t)(ms * 1000));
}

void dossier_page_time(struct strbuf *out, const char *iso)
{
    char shown[24];
    if (strlen(iso) < 19) {
        strbuf_adds(out, "–");
        return;
    }
    (void)snprintf(shown, sizeof shown, "%.10s %.8s", iso, iso + 11);
    strbuf_adds(out, "<time datetime=\"");
    html_add_text(out, iso);
    strbuf_adds(out, "\">");
    html_add_text(out, shown);
    strbuf_adds(out, " UTC</time>");
}

void dossier_page_td(struct strbuf *out, const char *class, const char *label)
{
    strbuf_addf(out, "<td class=\"%s\" data-label=\"%s\">", class, label);
}

void dossier_page_cell(struct strbuf *out, const char *class, const char *label, const char *text)
{
    dossier_page_td(out, class, label);
    html_add_text(out, text);
    strbuf_adds(out, "</td>");
}

void dossier_page_term(struct strbuf *out, const char *label, const char *text)
{
    strbuf_addf(out, "<div><dt>%s</dt><dd>", label);
    html_add_text(out, *text != '\0' ? text : "–");
    strbuf_adds(out, "</dd></div>\n");
}

void dossier_page_prose(struct strbuf *out, const char *text)
{
    char *copy CLEANUP(free_ptr) = xstrdup(text), *rest = copy;
    bool code = false;
    for (char *part; (part = strsep(&rest, "`")) != NULL; code = !code) {
        bool closed = code && rest != NULL;
        strbuf_adds(out, closed ? "<code>" : code ? "`" : "");
        html_add_text(out, part);
        strbuf_adds(out, closed ? "</code>" : "");
    }
}

/* --- head --- */

static const struct title {
    const char *outcome, *answer; /* answer NULL: whatever it is */
    const char *tone, *headline, *meaning;
} titles[] = {
    {"planned", "yes", "PASS", "Ready for cutover: yes", "Every gate holds. Nothing was changed."},
    {"refused", "no", "FAIL", "Ready for cutover: no", "Nothing was changed. These gates refuse:"},
    {"done", NULL, "PASS", "Done", "The target serves."},
    {"aborted", NULL, "INCONCLUSIVE", "Aborted", "The source serves."},
    {"running", NULL, "FINDING", "Running", "A process is at it while this is written."},
    {"interrupted", NULL, "FAIL", "Interrupted", "It is not over, and nobody is at it."},
    {"needs_person", NULL, "FAIL", "Needs a person", "It is not over."},
};

static const struct title *title_of(const json_t *doc)
{
    static const struct title other = {NULL, NULL, "INCONCLUSIVE", "Ready for cutover: unknown", ""};
    const char *outcome = dossier_text(doc, "outcome");
    const char *answer = dossier_text(json_object_get(doc, "ready"), "answer");
    for (size_t i = 0; i < ARRAY_LEN(titles); i++) {
        if (strcmp(titles[i].outcome, outcome) == 0 &&
            (titles[i].answer == NULL || strcmp(titles[i].answer, answer) == 0))
            return &titles[i];
    }
    return &other;
}

static void add_reason(struct strbuf *out, const json_t *reason)
{
    strbuf_adds(out, "<li><b>");
    html_add_text(out, dossier_text(reason, "what"));
    strbuf_adds(out, "</b> ");
    html_add_text(out, dossier_text(reason, "why"));
    if (dossier_text(reason, "todo")[0] != '\0') {
        strbuf_adds(out, "<span class=\"todo\">");
        dossier_page_prose(out, dossier_text(reason, "todo"));
        strbuf_adds(out, "</span>");
    }
    strbuf_adds(out, "</li>\n");
}

/* The gates that refuse; of a run that was begun, whether another could begin. */
static void add_ready(struct strbuf *out, const json_t *doc)
{
    const json_t *ready = json_object_get(doc, "ready");
    const json_t *reasons = json_object_get(ready, "reasons");
    size_t i;
    json_t *reason;
    if (dossier_text(doc, "reason")[0] != '\0') {
        strbuf_adds(out, "<p class=\"meaning why\">");
        dossier_page_prose(out, dossier_text(doc, "reason"));
        strbuf_adds(out, "</p>\n");
    }
    if (dossier_text(doc, "id")[0] != '\0')
        strbuf_addf(out, "<p class=\"again\">Ready for cutover: <b>%s</b></p>\n",
                    strcmp(dossier_text(ready, "answer"), "over") == 0 ? "no, it is done"
                                                                       : dossier_text(ready, "answer"));
    if (json_array_size(reasons) == 0)
        return;
    strbuf_adds(out, "<ul class=\"reasons\">\n");
    json_array_foreach(reasons, i, reason) add_reason(out, reason);
    strbuf_adds(out, "</ul>\n");
}

static void add_side(struct strbuf *out, const char *label, const char *text)
{
    if (*text == '\0')
        return;
    strbuf_addf(out, "<span><b>%s</b> ", label);
    html_add_text(out, text);
    strbuf_adds(out, "</span>");
}

static void add_hero(struct strbuf *out, const json_t *doc, const struct title *title)
{
    strbuf_addf(out, "<main>\n<header class=\"hero %s\">\n<h1>Crossfade cutover · ", title->tone);
    html_add_text(out, dossier_text(doc, "pipeline"));
    strbuf_addf(out, "</h1>\n<p class=\"verdict\">%s</p>\n<p class=\"meaning\">%s</p>\n", title->headline,
                title->meaning);
    add_ready(out, doc);
    strbuf_adds(out, "<div class=\"sides\">");
    add_side(out, "Source", dossier_text(doc, "source"));
    add_side(out, "Target", dossier_text(doc, "target"));
    add_side(out, "Cutover", dossier_text(doc, "id"));
    strbuf_adds(out, "<span><b>Written</b> ");
    dossier_page_time(out, dossier_text(doc, "written_at"));
    strbuf_adds(out, "</span></div>\n</header>\n");
    if (dossier_text(doc, "source_unread")[0] != '\0') {
        strbuf_adds(out, "<p class=\"card bad\">The source could not be asked: ");
        html_add_text(out, dossier_text(doc, "source_unread"));
        strbuf_adds(out, "</p>\n");
    }
}

/* --- figures --- */

static void fact_ms(struct strbuf *out, const json_t *object, const char *key, const char *label)
{
    if (dossier_number(object, key) < 0)
        return;
    page_fact_begin(out);
    dossier_page_ms(out, object, key);
    page_fact_end(out, label);
}

static void fact_text(struct strbuf *out, const char *text, const char *label)
{
    if (*text == '\0')
        return;
    page_fact_begin(out);
    html_add_text(out, text);
    page_fact_end(out, label);
}

static void add_facts(struct strbuf *out, const json_t *doc)
{
    const json_t *pause = json_object_get(doc, "pause"), *final = json_object_get(doc, "final");
    const json_t *gates = json_object_get(json_object_get(doc, "gates"), "list");
    size_t i, held = 0;
    json_t *gate;
    json_array_foreach(gates, i, gate) held += strcmp(dossier_text(gate, "verdict"), "ok") == 0;
    strbuf_adds(out, "<div class=\"facts\">\n");
    if (json_array_size(gates) > 0) {
        page_fact_begin(out);
        strbuf_addf(out, "%zu <small>of %zu</small>", held, json_array_size(gates));
        page_fact_end(out, "gates hold");
    }
    fact_ms(out, pause, "refused_ms", "writers were refused");
    if (dossier_number(pause, "clients_waiting") > 0)
        fact_ms(out, pause, "clients_longest_ms", "the longest wait of a client behind a pooler");
    if (dossier_number(pause, "refused_ms") < 0)
        fact_ms(out, pause, "estimate_ms", "clients will wait, about");
    fact_ms(out, pause, "budget_ms", "they may wait, at most");
    fact_ms(out, json_object_get(doc, "timeline"), "ms", "from its first step to its last");
    fact_text(out, dossier_text(final, "verdict"), "final comparison");
    strbuf_adds(out, "</div>\n");
}

static void add_link(struct strbuf *out, bool there, const char *id, const char *label)
{
    if (there)
        strbuf_addf(out, "<a href=\"#%s\">%s</a>", id, label);
}

static void add_nav(struct strbuf *out, const json_t *doc)
{
    const json_t *gates = json_object_get(doc, "gates");
    bool run = json_is_object(json_object_get(doc, "timeline"));
    strbuf_adds(out, "<nav aria-label=\"Sections\">");
    add_link(out, json_array_size(json_object_get(gates, "list")) > 0, "gates", "Gates");
    add_link(out, run, "timeline", "Timeline");
    add_link(out, run, "pause", "Pause");
    add_link(out, json_array_size(json_object_get(doc, "estimates")) > 0, "plan", "Steps and estimates");
    add_link(out, true, "verdicts", "Verdicts");
    add_link(out, true, "approvals", "Approvals");
    add_link(out, true, "rollback", "Way back");
    add_link(out, true, "audit", "Audit");
    strbuf_adds(out, "</nav>\n");
}

bool dossier_page(const json_t *doc, const char *data, struct strbuf *out, struct err *err)
{
    const struct title *title = title_of(doc);
    page_head(out, title->headline, "cutover of", dossier_text(doc, "pipeline"));
    add_hero(out, doc, title);
    add_facts(out, doc);
    add_nav(out, doc);
    if (json_is_object(json_object_get(doc, "timeline"))) {
        dossier_page_timeline(out, doc);
        dossier_page_pause(out, doc);
    }
    dossier_page_gates(out, doc);
    dossier_page_plan(out, doc);
    dossier_page_proof(out, doc);
    page_tail(out, data);
    return strbuf_ok(out, "the cutover's page", err);
}
