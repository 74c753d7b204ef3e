/*
 * What all our pages (comparisons, plans, cutovers) are made of: head and tail with style and script, figures. One file without outside
 * parts, which runs no script but its own (Content-Security-Policy by hash); everything that comes from a database goes through
 * html_add_text(). @thread any
 */
#ifndef PAGE_PAGE_H
#define PAGE_PAGE_H

#include "core/strbuf.h"

#define PAGE_BYTES_MAX ((size_t)256 << 20)

/* From <!doctype> to <body>. `what`: "comparison of"; what and name make the title behind the verdict. */
void page_head(struct strbuf *out, const char *verdict, const char *what, const char *name);
/* Footer, script and </html>. data: the file with the same as data, NULL = none. */
void page_tail(struct strbuf *out, const char *data);
void page_count(struct strbuf *out, uint64_t n);           /* 1,234,567 */
void page_duration(struct strbuf *out, int64_t us);        /* 12.3 ms, 4.20 s, 3 min 05 s */
void page_fact_begin(struct strbuf *out);                  /* one figure of the summary … */
void page_fact_end(struct strbuf *out, const char *label); /* … and what it is */
void page_time(struct strbuf *out,
               int64_t wall_us); /* 2026-11-22 08:00:00 UTC, and how long ago where scripts run */
/* A field that finds rows with data-name, and a button for each verdict; hidden until the script runs. counts: NULL, or of FAIL,
 * INCONCLUSIVE and PASS. */
void page_tools(struct strbuf *out, const char *what, size_t total, const size_t counts[3]);
void page_value(struct strbuf *out, const char *value); /* of a row; NULL = null */

#endif
