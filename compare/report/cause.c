/* Owns: causes of differences in a comparison's page. */
#include "core/html.h"
#include "report/page.h"

void page_cause(struct strbuf *out, const struct compare_difference *d)
{
    if (d->cause.evidence == NULL)
        return;
    strbuf_addf(out, "<span class=\"cause\"><b>%s</b> ", cause_kind_name(d->cause.kind));
    html_add_text(out, d->cause.evidence);
    strbuf_adds(out, "</span>");
}

void page_causes(struct strbuf *out, const struct compare_table *t)
{
    const char *before = "<p class=\"causes\">Causes: ";
    for (enum cause_kind kind = CAUSE_UNKNOWN; kind < CAUSE_KIND_COUNT; kind++) {
        if (t->causes[kind] == 0)
            continue;
        strbuf_addf(out, "%s<b>%s</b> %zu", before, cause_kind_name(kind), t->causes[kind]);
        before = ", ";
    }
    if (before[0] == ',')
        strbuf_adds(out, "</p>\n");
}
