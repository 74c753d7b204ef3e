/* Owns: the page of a comparison, section by section. */
#include "report/page.h"
#include "report/report.h"

bool report_html(const struct compare_result *r, struct strbuf *out, struct err *err)
{
    page_head(out, compare_verdict_name(r->verdict), "comparison of", r->pipeline);
    page_summary(out, r);
    page_tables(out, r);
    page_partitions(out, r);
    page_differences(out, r);
    page_checks(out, r);
    page_pairs(out, r);
    page_readiness(out, r->standing);
    page_window(out, r->standing);
    page_coverage(out, r);
    page_tail(out, "report.json");
    return strbuf_ok(out, "the HTML report", err);
}
