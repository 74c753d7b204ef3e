/*
 * What the pages of this folder are made of: head and tail with style and script, figures, charts' frame. One file
 * without outside parts, which runs no script but its own (Content-Security-Policy by hash); everything that comes from a database goes through html_add_text(). Private to compare. @thread any
 */
#ifndef COMPARE_REPORT_PAGE_H
#define COMPARE_REPORT_PAGE_H

#include "compare/compare.h"
#include "core/strbuf.h"
#include "standing.h"

/* From <!doctype> to <body>. `what`: "comparison of"; what and name make the title behind the verdict. */
void page_head(struct strbuf *out, const char *verdict, const char *what, const char *name);
/* Footer, script and </html>. data: the file with the same as data, NULL = none. */
void page_tail(struct strbuf *out, const char *data);
void page_count(struct strbuf *out, uint64_t n);           /* 1,234,567 */
void page_duration(struct strbuf *out, int64_t us);        /* 12.3 ms, 4.20 s, 3 min 05 s */
void page_fact_begin(struct strbuf *out);                  /* one figure of the summary … */
void page_fact_end(struct strbuf *out, const char *label); /* … and what it is */
void page_table_name(struct strbuf *out, const struct compare_table *t);
void page_time(struct strbuf *out,
               int64_t wall_us); /* 2026-11-22 08:00:00 UTC, and how long ago where scripts run */
/* A field that finds rows with data-name, and a button for each verdict; hidden until the script runs. counts: NULL, or of FAIL,
 * INCONCLUSIVE and PASS. */
void page_tools(struct strbuf *out, const char *what, size_t total, const size_t counts[3]);
void page_value(struct strbuf *out, const char *value); /* of a row; NULL = null */

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
