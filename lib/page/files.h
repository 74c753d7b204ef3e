/* Where reports are written: a folder for each, files that are whole or not there, a link to the newest. @thread any */
#ifndef PAGE_FILES_H
#define PAGE_FILES_H

#include "core/strbuf.h"

/* What a report is made of; data NULL = not wanted. */
struct report_files {
    const char *json;
    const struct strbuf *html, *junit;
};
/* <report_dir>/<name>/report.{json,html,xml}; then the link <report_dir>/<latest> points there. */
bool report_write_files(const char *report_dir, const char *name, const char *latest,
                        const struct report_files *files, struct err *err) MUST_CHECK;
/* malloc'd: the file that a person opens: the page, else whatever there is. */
char *report_first_file(const char *folder, unsigned formats);
/* Whole or not at all. */
bool report_write_file(const char *path, const char *bytes, size_t len, struct err *err) MUST_CHECK;

#endif
