/* Owns: the folder of a report (see files.h). Files are written beside and renamed, so a reader never sees half of one. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/report_formats.h"
#include "core/alloc.h"
#include "core/new_file.h"
#include "page/files.h"

/* mkdir -p */
static bool make_folder(const char *path, struct err *err)
{
    char *copy = xstrdup(path);
    bool ok = true;
    for (char *p = copy + 1; ok && *p != '\0'; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        ok = mkdir(copy, 0777) == 0 || errno == EEXIST;
        *p = '/';
    }
    ok = ok && (mkdir(copy, 0777) == 0 || errno == EEXIST);
    free(copy);
    return ok || err_set_errno(err, errno, "cannot make the folder %s", path);
}

bool report_write_file(const char *path, const char *bytes, size_t len, struct err *err)
{
    char *beside CLEANUP(free_ptr) = xasprintf("%s.new.%ld", path, (long)getpid());
    bool ok = new_file_write(beside, 0666, bytes, len, NULL, NULL, err);
    if (ok && rename(beside, path) != 0) {
        ok = err_set_errno(err, errno, "%s", path);
        (void)unlink(beside);
    }
    return ok || err_wrap(err, "cannot write the report");
}

static bool write_in(const char *folder, const char *name, const char *bytes, size_t len, struct err *err)
{
    char *path CLEANUP(free_ptr) = xasprintf("%s/%s", folder, name);
    return report_write_file(path, bytes, len, err);
}

static bool point_latest(const char *report_dir, const char *link_name, const char *folder_name,
                         struct err *err)
{
    char *link_path = xasprintf("%s/%s", report_dir, link_name),
         *beside = xasprintf("%s/.latest.%ld", report_dir, (long)getpid());
    (void)unlink(beside);
    bool ok = symlink(folder_name, beside) == 0 && rename(beside, link_path) == 0;
    if (!ok) {
        err_set_errno(err, errno, "cannot point %s to the newest report", link_path);
        (void)unlink(beside);
    }
    free(link_path);
    free(beside);
    return ok;
}

bool report_write_files(const char *report_dir, const char *name, const char *latest,
                        const struct report_files *files, struct err *err)
{
    char *folder = xasprintf("%s/%s", report_dir, name);
    bool ok =
        make_folder(folder, err) &&
        (files->json == NULL || write_in(folder, "report.json", files->json, strlen(files->json), err)) &&
        (files->html == NULL || write_in(folder, "report.html", files->html->data, files->html->len, err)) &&
        (files->junit == NULL ||
         write_in(folder, "report.xml", files->junit->data, files->junit->len, err)) &&
        point_latest(report_dir, latest, name, err);
    free(folder);
    return ok;
}

char *report_first_file(const char *folder, unsigned formats)
{
    return xasprintf("%s/report.%s", folder,
                     (formats & REPORT_HTML) != 0   ? "html"
                     : (formats & REPORT_JSON) != 0 ? "json"
                                                    : "xml");
}
