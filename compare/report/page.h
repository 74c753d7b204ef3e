/* The sections of a comparison's page; what any page has is in lib/page. Private to compare. @thread any */
#ifndef COMPARE_REPORT_PAGE_H
#define COMPARE_REPORT_PAGE_H

#include "compare/compare.h"
#include "page/page.h"
#include "standing.h"

void page_table_name(struct strbuf *out, const struct compare_table *t);

/* Why a row differs; and of a table, how many rows for which cause. Nothing where nobody has looked. */
void page_cause(struct strbuf *out, const struct compare_difference *d);
void page_causes(struct strbuf *out, const struct compare_table *t);

/* The sections of a comparison's page; each adds nothing where it has nothing to say. */
void page_summary(struct strbuf *out, const struct compare_result *r);
void page_tables(struct strbuf *out, const struct compare_result *r);
void page_partitions(struct strbuf *out, const struct compare_result *r);
void page_checks(struct strbuf *out, const struct compare_result *r);
void page_pairs(struct strbuf *out, const struct compare_result *r); /* query pairs: how long they took */
void page_differences(struct strbuf *out, const struct compare_result *r);
void page_coverage(struct strbuf *out, const struct compare_result *r);
/* s NULL: nothing. */
void page_readiness(struct strbuf *out, const struct standing *s);
void page_window(struct strbuf *out, const struct standing *s);

#endif
