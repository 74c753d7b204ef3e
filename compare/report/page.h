/*
 * What the pages of this folder are made of: head and tail with style and script, figures, charts' frame. One file
 * without outside parts; everything that comes from a database goes through html_add_text(). Private to compare. @thread any
 */
#ifndef COMPARE_REPORT_PAGE_H
#define COMPARE_REPORT_PAGE_H

#include "compare/compare.h"
#include "core/strbuf.h"

/* From <!doctype> to <body>. `what`: "comparison of"; what and name make the title behind the verdict. */
void page_head(struct strbuf *out, const char *verdict, const char *what, const char *name);
/* Footer, script and </html>. */
void page_tail(struct strbuf *out);
void page_count(struct strbuf *out, uint64_t n);           /* 1,234,567 */
void page_duration(struct strbuf *out, int64_t us);        /* 12.3 ms, 4.20 s, 3 min 05 s */
void page_fact_begin(struct strbuf *out);                  /* one figure of the summary … */
void page_fact_end(struct strbuf *out, const char *label); /* … and what it is */
void page_table_name(struct strbuf *out, const struct compare_table *t);
void page_value(struct strbuf *out, const char *value); /* of a row; NULL = null */

/* The sections of a comparison's page; each adds nothing where it has nothing to say. */
void page_summary(struct strbuf *out, const struct compare_result *r);
void page_tables(struct strbuf *out, const struct compare_result *r);
void page_checks(struct strbuf *out, const struct compare_result *r);
void page_differences(struct strbuf *out, const struct compare_result *r);
void page_coverage(struct strbuf *out, const struct compare_result *r);

#endif
