/* Owns: what a comparison's report is written as, and where. */
#include <stdio.h>
#include <stdlib.h>

#include "config/report_formats.h"
#include "core/alloc.h"
#include "report/junit.h"
#include "report/report.h"

/* The fence's id; a run without one is named by its time. */
static char *folder_name(const struct compare_result *r)
{
    if (r->fence_id > 0 && (r->frozen || r->verdict != VERDICT_UNKNOWN))
        return xasprintf("%llu", (unsigned long long)r->fence_id);
    return xasprintf("no-fence-%lld", (long long)(r->started_us / 1000000));
}

static bool make_and_write(const struct compare_result *r, const char *report_dir, const char *name,
                           unsigned formats, struct err *err)
{
    struct strbuf html = STRBUF_INIT(REPORT_BYTES_MAX), junit = STRBUF_INIT(REPORT_BYTES_MAX);
    char *json = NULL;
    bool ok = (formats & REPORT_JSON) == 0 || report_json(r, &json, err);
    ok = ok && ((formats & REPORT_HTML) == 0 || report_html(r, &html, err));
    ok = ok && ((formats & REPORT_JUNIT) == 0 || report_junit(r, &junit, err));
    const struct report_files files = {.json = json,
                                       .html = (formats & REPORT_HTML) != 0 ? &html : NULL,
                                       .junit = (formats & REPORT_JUNIT) != 0 ? &junit : NULL};
    ok = ok && report_write_files(report_dir, name, "latest", &files, err);
    strbuf_release(&html);
    strbuf_release(&junit);
    free(json);
    return ok;
}

bool report_write(struct compare_result *result, const char *report_dir, unsigned formats, struct err *err)
{
    char *name CLEANUP(free_ptr) = folder_name(result);
    result->report_dir = xasprintf("%s/%s", report_dir, name);
    result->report_file = report_first_file(result->report_dir, formats);
    return make_and_write(result, report_dir, name, formats, err);
}

bool compare_write_junit(const struct compare_result *result, const char *path, struct err *err)
{
    struct strbuf junit = STRBUF_INIT(REPORT_BYTES_MAX);
    bool ok = report_junit(result, &junit, err) && report_write_file(path, junit.data, junit.len, err);
    strbuf_release(&junit);
    return ok;
}
