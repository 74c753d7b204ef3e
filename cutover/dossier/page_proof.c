/* Owns: what a cutover rests on, in its page: verdicts before and after, approvals, the way back, the audit chain. */
#include <inttypes.h>
#include <string.h>

#include "core/html.h"
#include "cutover/dossier/dossier_internal.h"
#include "page/page.h"

/* --- verdicts --- */

static void add_verdict(struct strbuf *out, const char *when, const json_t *v)
{
    const char *verdict = dossier_text(v, "verdict");
    strbuf_adds(out, "<tr class=\"");
    html_add_text(out, *verdict != '\0' ? verdict : "UNKNOWN");
    strbuf_addf(out, "\"><th scope=\"row\" class=\"name\">%s</th><td>", when);
    if (*verdict == '\0') {
        strbuf_adds(out, "<span class=\"soft\">none</span></td><td colspan=\"4\"></td></tr>\n");
        return;
    }
    strbuf_adds(out, "<span class=\"chip\">");
    html_add_text(out, verdict);
    strbuf_adds(out, "</span></td>");
    dossier_page_cell(out, "wide", "Of", dossier_text(v, "scope"));
    dossier_page_td(out, "", "Finished");
    dossier_page_time(out, dossier_text(v, "finished_at"));
    strbuf_adds(out, "</td>");
    dossier_page_td(out, "num", "Rows");
    if (dossier_number(v, "rows") >= 0)
        page_count(out, (uint64_t)dossier_number(v, "rows"));
    strbuf_adds(out, "</td>");
    dossier_page_td(out, "num", "Age then");
    if (json_is_integer(json_object_get(v, "age_s")) && dossier_number(v, "age_s") >= 0)
        page_duration(out, (int64_t)dossier_number(v, "age_s") * 1000000);
    strbuf_adds(out, "</td></tr>\n");
}

static void add_verdicts(struct strbuf *out, const json_t *doc)
{
    const json_t *v = json_object_get(doc, "verdicts"), *before = json_object_get(v, "before"),
                 *last = json_object_get(v, "last_before");
    strbuf_adds(
        out, "<h2 id=\"verdicts\">Verdicts</h2>\n<div class=\"scroll\"><table class=\"stack\"><thead><tr><th "
             "scope=\"col\">When</th><th scope=\"col\">Verdict</th><th scope=\"col\">Of</th><th "
             "scope=\"col\">Finished</th><th scope=\"col\" class=\"num\">Rows</th><th scope=\"col\" "
             "class=\"num\">Age then</th></tr></thead><tbody>\n");
    add_verdict(out, "Before: the last PASS of everything", before);
    if (json_is_object(last) && !json_equal(last, before))
        add_verdict(out, "Before: the newest", last);
    if (json_is_object(json_object_get(doc, "final")))
        add_verdict(out, "In the pause: the final comparison", json_object_get(doc, "final"));
    if (json_is_object(json_object_get(v, "after")))
        add_verdict(out, "After it", json_object_get(v, "after"));
    strbuf_adds(out, "</tbody></table></div>\n");
}

/* --- the final fence --- */

static void add_final(struct strbuf *out, const json_t *final)
{
    if (!json_is_object(final))
        return;
    strbuf_adds(out, "<dl class=\"fence\">\n");
    dossier_page_term(out, "Final fence, LSN", dossier_text(final, "lsn"));
    dossier_page_term(out, "Final marker", dossier_text(final, "marker"));
    if (dossier_number(final, "sequences_set") >= 0)
        strbuf_addf(out, "<div><dt>Sequences set</dt><dd>%.0f</dd></div>\n",
                    dossier_number(final, "sequences_set"));
    strbuf_adds(out, "</dl>\n");
}

/* --- approvals --- */

static void add_approval(struct strbuf *out, const json_t *a)
{
    strbuf_adds(out, "<tr><th scope=\"row\" class=\"name\"><b>");
    html_add_text(out, dossier_text(a, "kind"));
    strbuf_adds(out, "</b><span class=\"note\">");
    html_add_text(out, dossier_text(a, "note"));
    strbuf_adds(out, "</span></th><td class=\"wide\">");
    html_add_text(out, dossier_text(a, "approver"));
    strbuf_adds(out, " <span class=\"soft\">(");
    html_add_text(out, dossier_text(a, "user"));
    strbuf_addc(out, '@');
    html_add_text(out, dossier_text(a, "host"));
    strbuf_adds(out, ")</span></td>");
    dossier_page_td(out, "", "Given");
    dossier_page_time(out, dossier_text(a, "given_at"));
    strbuf_adds(out, "</td>");
    dossier_page_td(out, "", "Until");
    dossier_page_time(out, dossier_text(a, "expires_at"));
    strbuf_adds(out, "</td>");
    dossier_page_cell(out, "value", "SHA-256 of the signature", dossier_text(a, "signature_sha256"));
    dossier_page_td(out, "num", "Row of the chain");
    strbuf_addf(out, "%.0f</td></tr>\n", dossier_number(a, "audit_seq"));
}

static void add_approvals(struct strbuf *out, const json_t *approvals)
{
    size_t i;
    json_t *one;
    strbuf_adds(out, "<h2 id=\"approvals\">Approvals</h2>\n");
    if (json_array_size(approvals) == 0) {
        strbuf_adds(out, "<p class=\"soft\">None.</p>\n");
        return;
    }
    strbuf_adds(out,
                "<div class=\"scroll\"><table class=\"stack\"><thead><tr><th scope=\"col\">What</th><th "
                "scope=\"col\">By</th><th scope=\"col\">Given</th><th scope=\"col\">Until</th><th "
                "scope=\"col\">SHA-256 of the signature</th><th scope=\"col\" class=\"num\">Row</th></tr>"
                "</thead><tbody>\n");
    json_array_foreach(approvals, i, one) add_approval(out, one);
    strbuf_adds(out, "</tbody></table></div>\n");
}

/* --- the way back --- */

static void add_rollback(struct strbuf *out, const json_t *doc)
{
    const json_t *r = json_object_get(doc, "rollback"), *slots = json_object_get(r, "slots");
    bool there = json_is_true(json_object_get(r, "there"));
    size_t i;
    json_t *slot;
    strbuf_addf(
        out,
        "<h2 id=\"rollback\">Way back <span class=\"answer %s\">%s</span></h2>\n<p class=\"gap\">%s</p>\n",
        there ? "PASS" : "INCONCLUSIVE", there ? "there" : "not there",
        there ? "Changes of the target are kept for the old source, in these slots on the target:"
              : "Nothing on the target keeps its changes for the old source: what is written to the target "
                "after the switch would be lost by a way back.");
    if (there) {
        strbuf_adds(out, "<ul class=\"plain\">\n");
        json_array_foreach(slots, i, slot)
        {
            strbuf_adds(out, "<li><code>");
            html_add_text(out, dossier_text(slot, "name"));
            strbuf_addf(out, "</code> %s</li>\n",
                        json_is_true(json_object_get(slot, "active")) ? "active"
                                                                      : "not active: nobody reads it");
        }
        strbuf_adds(out, "</ul>\n");
    }
    strbuf_adds(out, "<dl class=\"fence\">\n");
    dossier_page_term(out, "Decision, on the source", dossier_text(doc, "decision"));
    if (dossier_number(r, "source_tables_closed") >= 0)
        strbuf_addf(out, "<div><dt>Tables of the source that carry the guard</dt><dd>%.0f</dd></div>\n",
                    dossier_number(r, "source_tables_closed"));
    dossier_page_term(out, "The window for it ends", dossier_text(r, "window_ends_at"));
    strbuf_adds(out, "</dl>\n");
}

/* --- the audit chain --- */

static void add_audit(struct strbuf *out, const json_t *audit)
{
    strbuf_adds(out, "<h2 id=\"audit\">Audit</h2>\n");
    if (dossier_number(audit, "seq") <= 0) {
        strbuf_adds(out, "<p class=\"soft\">The audit chain has no row yet.</p>\n");
        return;
    }
    strbuf_addf(out,
                "<p class=\"gap\">When this was written, row <b>%.0f</b> was the last of the chain. Whether "
                "it is still there, and all before it:</p>\n<p class=\"card\"><code>crossfade audit verify "
                "--expect %.0f:",
                dossier_number(audit, "seq"), dossier_number(audit, "seq"));
    html_add_text(out, dossier_text(audit, "hash"));
    strbuf_adds(out, "</code></p>\n");
    if (dossier_number(audit, "anchor_seq") > 0)
        strbuf_addf(out, "<p class=\"soft\">The source knows the chain up to row %.0f.</p>\n",
                    dossier_number(audit, "anchor_seq"));
}

void dossier_page_proof(struct strbuf *out, const json_t *doc)
{
    add_verdicts(out, doc);
    add_final(out, json_object_get(doc, "final"));
    add_approvals(out, json_object_get(doc, "approvals"));
    add_rollback(out, doc);
    add_audit(out, json_object_get(doc, "audit"));
}
