/* Owns: the folder of a report. Files are written beside and renamed, so a reader never sees half of one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/alloc.h"
#include "report/report.h"

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

static bool write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

static bool write_file(const char *folder, const char *name, const char *bytes, size_t len, struct err *err)
{
    char *path = xasprintf("%s/%s", folder, name), *beside = xasprintf("%s/.%s.new", folder, name);
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool ok = fd >= 0 && write_all(fd, bytes, len) && fsync(fd) == 0;
    int saved = errno;
    if (fd >= 0 && close(fd) != 0 && ok) {
        saved = errno;
        ok = false;
    }
    if (ok && rename(beside, path) != 0) {
        saved = errno;
        ok = false;
    }
    if (!ok) {
        (void)unlink(beside);
        err_set_errno(err, saved, "cannot write the report %s", path);
    }
    free(path);
    free(beside);
    return ok;
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

/* The fence's id; a run without one is named by its time. */
static char *folder_name(const struct compare_result *r)
{
    if (r->fence_id > 0 && (r->frozen || r->verdict != VERDICT_UNKNOWN))
        return xasprintf("%llu", (unsigned long long)r->fence_id);
    return xasprintf("no-fence-%lld", (long long)(r->started_us / 1000000));
}

bool report_write_files(const char *report_dir, const char *name, const char *latest, const char *json,
                        const struct strbuf *html, struct err *err)
{
    char *folder = xasprintf("%s/%s", report_dir, name);
    bool ok = make_folder(folder, err) && write_file(folder, "report.json", json, strlen(json), err) &&
              write_file(folder, "report.html", html->data, html->len, err) &&
              point_latest(report_dir, latest, name, err);
    free(folder);
    return ok;
}

bool report_write(const struct compare_result *result, const char *report_dir, char **ret_dir,
                  struct err *err)
{
    struct compare_result with_dir = *result;
    struct strbuf html = STRBUF_INIT(REPORT_BYTES_MAX);
    char *name = folder_name(result), *folder = xasprintf("%s/%s", report_dir, name), *json = NULL;
    with_dir.report_dir = folder;
    bool ok = report_json(&with_dir, &json, err) && report_html(&with_dir, &html, err) &&
              report_write_files(report_dir, name, "latest", json, &html, err);
    strbuf_release(&html);
    free(json);
    free(name);
    if (!ok) {
        free(folder);
        return false;
    }
    *ret_dir = folder;
    return true;
}
