/*
 * Reports of a comparison: JSON (schemas/report.schema.json) and one self-contained HTML page, in
 * <report_dir>/<fence id>/, with <report_dir>/latest pointing to the newest. Private to this module.
 */
#ifndef COMPARE_REPORT_H
#define COMPARE_REPORT_H

#include "compare/compare.h"
#include "core/strbuf.h"

#define REPORT_FORMAT    1
#define REPORT_BYTES_MAX ((size_t)256 << 20)

/* malloc'd, with a newline at the end. */
bool report_json(const struct compare_result *result, char **ret, struct err *err) MUST_CHECK;
bool report_html(const struct compare_result *result, struct strbuf *out, struct err *err) MUST_CHECK;
/* The checks beyond rows; nothing where there are none. */
void report_html_checks(const struct compare_result *result, struct strbuf *out);
/* report_cause.c: why a row differs; and of a table, how many rows for which cause. Nothing where nobody has looked. */
void report_html_cause(const struct compare_difference *d, struct strbuf *out);
void report_html_causes(const struct compare_table *t, struct strbuf *out);
/* Writes both files, whole or not at all, and moves `latest`. *ret_dir (malloc'd) is the run's folder. */
bool report_write(const struct compare_result *result, const char *report_dir, char **ret_dir,
                  struct err *err) MUST_CHECK;
/* <report_dir>/<name>/report.{json,html}, each whole or not at all; then the link <report_dir>/<latest> points there. */
bool report_write_files(const char *report_dir, const char *name, const char *latest, const char *json,
                        const struct strbuf *html, struct err *err) MUST_CHECK;

#endif
