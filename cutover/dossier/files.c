/* Owns: where the report of a cutover is written. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/report_formats.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "cutover/dossier/dossier_internal.h"
#include "page/files.h"
#include "page/page.h"

#define LATEST "cutover-latest"

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n > m && strcmp(text + n - m, end) == 0;
}

bool dossier_place_fits(const char *place)
{
    static const char *const others[] = {".pdf", ".xml", ".txt", ".md", ".htm"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        if (ends_with(place, others[i]))
            return false;
    }
    return *place != '\0';
}

static char *json_form(const json_t *doc)
{
    char *dump = json_dumps(doc, JSON_INDENT(2)), *text = xasprintf("%s\n", dump != NULL ? dump : "{}");
    free(dump);
    return text;
}

/* The cutover's id; a plan is named by its time. */
static char *folder_name(const json_t *doc)
{
    const char *id = dossier_text(doc, "id"), *at = dossier_text(doc, "written_at");
    char digits[ISO_TIME_MAX];
    size_t n = 0;
    if (*id != '\0')
        return xstrdup(id);
    for (const char *p = at; *p != '\0' && *p != '.' && n + 1 < sizeof digits; p++) {
        if (*p != '-' && *p != ':')
            digits[n++] = *p;
    }
    digits[n] = '\0';
    return xasprintf("%s-%sZ", dossier_text(doc, "command"), digits);
}

static bool write_folder(const struct config *cfg, const json_t *doc, const char *place, char **ret_file,
                         struct err *err)
{
    unsigned formats = report_formats(cfg) & (REPORT_HTML | REPORT_JSON);
    struct strbuf html = STRBUF_INIT(PAGE_BYTES_MAX);
    char *name CLEANUP(free_ptr) = folder_name(doc), *json CLEANUP(free_ptr) = json_form(doc);
    if (formats == 0)
        formats = REPORT_HTML;
    const struct report_files files = {.json = (formats & REPORT_JSON) != 0 ? json : NULL,
                                       .html = (formats & REPORT_HTML) != 0 ? &html : NULL};
    bool ok =
        (files.html == NULL || dossier_page(doc, files.json != NULL ? "report.json" : NULL, &html, err)) &&
        report_write_files(place, name, LATEST, &files, err);
    char *folder CLEANUP(free_ptr) = xasprintf("%s/%s", place, name);
    if (ok)
        *ret_file = report_first_file(folder, formats);
    strbuf_release(&html);
    return ok;
}

static bool write_file(const json_t *doc, const char *place, struct err *err)
{
    struct strbuf html = STRBUF_INIT(PAGE_BYTES_MAX);
    char *json CLEANUP(free_ptr) = json_form(doc);
    bool page = ends_with(place, ".html");
    bool ok = (!page || dossier_page(doc, NULL, &html, err)) &&
              report_write_file(place, page ? html.data : json, page ? html.len : strlen(json), err);
    strbuf_release(&html);
    return ok;
}

bool dossier_write(const struct config *cfg, const json_t *doc, const char *place, char **ret_file,
                   struct err *err)
{
    if (!ends_with(place, ".html") && !ends_with(place, ".json"))
        return write_folder(cfg, doc, place, ret_file, err);
    *ret_file = xstrdup(place);
    return write_file(doc, place, err);
}
