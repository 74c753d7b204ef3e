/*
 * Reports of a comparison: JSON (schemas/report.schema.json), one self-contained HTML page and JUnit's XML, in
 * <report_dir>/<fence id>/, with <report_dir>/latest pointing to the newest. Private to this module.
 */
#ifndef COMPARE_REPORT_REPORT_H
#define COMPARE_REPORT_REPORT_H

#include "compare/compare.h"
#include "core/strbuf.h"
#include "page/files.h"
#include "page/page.h"

#define REPORT_FORMAT    1
#define REPORT_BYTES_MAX PAGE_BYTES_MAX

/* malloc'd, with a newline at the end. */
bool report_json(const struct compare_result *result, char **ret, struct err *err) MUST_CHECK;
bool report_html(const struct compare_result *result, struct strbuf *out, struct err *err) MUST_CHECK;
/* <report_dir>/<fence id>/ with the given formats (config/report_formats.h), each file whole or not at all; then moves `latest`. Fills
 * in result->report_dir and report_file. */
bool report_write(struct compare_result *result, const char *report_dir, unsigned formats,
                  struct err *err) MUST_CHECK;

#endif
