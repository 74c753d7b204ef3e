/* Owns: finding an entry through %include, and replacing its file. See ini_file.h. */
#include "cutover/poolers/ini_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/failpoint.h"
#include "core/new_file.h"

#define FILE_BYTES_MAX  ((size_t)16 << 20)
#define INCLUDE_DEPTH   10 /* PgBouncer's */
#define FILES_MAX       1000
#define ACL_ATTRIBUTE   "system.posix_acl_access"
#define NEW_FILE_SUFFIX ".crossfade-new"
#define ACL_BYTES_MAX   65536

struct search {
    const char *database;
    const char *folder; /* of the configuration: where relative includes are looked for */
    bool in_databases;  /* a section goes on behind the file that began it */
    bool star;          /* there is an entry '*' */
    int files;
    struct ini_entry *found; /* path NULL = not yet */
};

static bool read_all(int fd, const char *path, struct ini_entry *ret, struct err *err)
{
    if (fstat(fd, &ret->as_read) != 0)
        return err_set_errno(err, errno, "%s", path);
    if (!S_ISREG(ret->as_read.st_mode) || (size_t)ret->as_read.st_size > FILE_BYTES_MAX)
        return err_set(err, ERR_CONFIG, "%s: not a file of at most 16 MiB", path);
    size_t size = (size_t)ret->as_read.st_size;
    ret->text = xmalloc(size + 1);
    while (ret->len < size) {
        ssize_t n = read(fd, ret->text + ret->len, size - ret->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set_errno(err, errno, "%s", path);
        if (n == 0)
            break;
        ret->len += (size_t)n;
    }
    ret->text[ret->len] = '\0';
    return memchr(ret->text, '\0', ret->len) == NULL || err_set(err, ERR_CONFIG, "%s: a byte of zero", path);
}

static bool load(const char *path, struct ini_entry *ret, struct err *err)
{
    char real[PATH_MAX];
    if (realpath(path, real) == NULL)
        return err_set_errno(err, errno, "%s", path);
    int fd = open(real, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, errno, "%s", real);
    struct ini_entry entry = {.path = xstrdup(real)};
    bool ok = read_all(fd, real, &entry, err);
    (void)close(fd);
    if (!ok) {
        ini_entry_release(&entry);
        return false;
    }
    *ret = entry;
    return true;
}

void ini_entry_release(struct ini_entry *entry)
{
    free(entry->path);
    free(entry->text);
    connstr_release(&entry->now);
    *entry = (struct ini_entry){0};
}

static bool search_file(struct search *s, const char *path, int depth, struct err *err);

/* A relative path is relative to where PgBouncer was started, which nothing tells: beside its configuration, as a rule. */
static bool search_include(struct search *s, const struct ini_entry *in, const struct ini_item *item,
                           int depth, struct err *err)
{
    char *name CLEANUP(free_ptr) = xstrndup(in->text + item->value.start, item->value.len);
    char *path CLEANUP(free_ptr) = *name == '/' ? xstrdup(name) : xasprintf("%s/%s", s->folder, name);
    if (depth == INCLUDE_DEPTH)
        return err_set(err, ERR_CONFIG, "%s: %%include %s: more than %d files deep", in->path, name,
                       INCLUDE_DEPTH);
    return search_file(s, path, depth + 1, err) ||
           err_wrap(err, "%s: %%include%s", in->path,
                    *name == '/' ? ""
                                 : " (relative: looked for beside the configuration; say the whole path)");
}

static void note_entry(struct search *s, const struct ini_entry *in, const struct ini_item *item)
{
    s->star = s->star || ini_is_named(in->text, item, "*");
    if (!ini_is_named(in->text, item, s->database))
        return;
    ini_entry_release(s->found);
    *s->found = (struct ini_entry){.path = xstrdup(in->path),
                                   .text = xmalloc(in->len + 1),
                                   .len = in->len,
                                   .as_read = in->as_read,
                                   .item = *item};
    memcpy(s->found->text, in->text, in->len + 1);
}

static bool search_items(struct search *s, const struct ini_entry *in, int depth, struct err *err)
{
    struct ini_reader r;
    struct ini_item item;
    ini_reader_init(&r, in->text, in->len);
    for (;;) {
        if (!ini_next(&r, &item, err))
            return err_wrap(err, "%s", in->path);
        if (item.kind == INI_END)
            return true;
        if (item.kind == INI_SECTION)
            s->in_databases = ini_is_named(in->text, &item, "databases");
        else if (item.kind == INI_INCLUDE && !search_include(s, in, &item, depth, err))
            return false;
        else if (item.kind == INI_ENTRY && s->in_databases)
            note_entry(s, in, &item);
    }
}

static bool search_file(struct search *s, const char *path, int depth, struct err *err)
{
    struct ini_entry in = {0};
    if (++s->files > FILES_MAX)
        return err_set(err, ERR_CONFIG, "%s: more than %d files are included", path, FILES_MAX);
    if (!load(path, &in, err))
        return false;
    bool ok = search_items(s, &in, depth, err);
    ini_entry_release(&in);
    return ok;
}

static bool read_value(struct ini_entry *entry, const char *database, struct err *err)
{
    return connstr_read(entry->text + entry->item.value.start, entry->item.value.len, &entry->now, err) ||
           err_wrap(err, "%s: [databases]: %s", entry->path, database);
}

bool ini_entry_find(const char *ini, const char *database, struct ini_entry *ret, struct err *err)
{
    struct ini_entry found = {0};
    char *folder CLEANUP(free_ptr) = xstrdup(ini);
    char *slash = strrchr(folder, '/');
    if (slash != NULL)
        *slash = '\0';
    struct search s = {.database = database, .folder = slash != NULL ? folder : ".", .found = &found};
    bool ok = search_file(&s, ini, 0, err);
    if (ok && found.path == NULL)
        ok = err_set(err, ERR_CONFIG, "%s: there is no %s in [databases]%s", ini, database,
                     s.star ? ": '*' leads there now. Hint: give it an entry of its own, and RELOAD" : "");
    if (!ok || !read_value(&found, database, err)) {
        ini_entry_release(&found);
        return false;
    }
    *ret = found;
    return true;
}

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
}

static bool copy_acl(const char *from, int to)
{
    char *acl CLEANUP(free_ptr) = xmalloc(ACL_BYTES_MAX);
    ssize_t len = getxattr(from, ACL_ATTRIBUTE, acl, ACL_BYTES_MAX);
    if (len < 0)
        return errno == ENODATA || errno == EOPNOTSUPP;
    return fsetxattr(to, ACL_ATTRIBUTE, acl, (size_t)len, 0) == 0;
}

/* The owner comes before the mode, which a change of owner may narrow. */
static bool dress(const void *ctx, int fd)
{
    const struct ini_entry *entry = ctx;
    const struct stat *st = &entry->as_read;
    return fchown(fd, st->st_uid, st->st_gid) == 0 && fchmod(fd, st->st_mode & 07777) == 0 &&
           copy_acl(entry->path, fd);
}

static bool write_new(const struct ini_entry *entry, const char *path, const struct strbuf *text,
                      struct err *err)
{
    return new_file_write(path, 0600, text->data, text->len, dress, entry, err);
}

bool ini_entry_writable(const struct ini_entry *entry, struct err *err)
{
    char *path CLEANUP(free_ptr) = xasprintf("%s" NEW_FILE_SUFFIX, entry->path);
    struct strbuf text = STRBUF_INIT(FILE_BYTES_MAX);
    strbuf_add(&text, entry->text, entry->len);
    bool ok = strbuf_ok(&text, entry->path, err) && write_new(entry, path, &text, err);
    strbuf_release(&text);
    if (!ok)
        return err_wrap(
            err, "it cannot be replaced (run as its owner or as root, where its folder can be written)");
    return unlink(path) == 0 || err_set_errno(err, errno, "%s", path);
}

static bool unchanged(const struct ini_entry *entry)
{
    struct stat now;
    const struct stat *then = &entry->as_read;
    return stat(entry->path, &now) == 0 && now.st_dev == then->st_dev && now.st_ino == then->st_ino &&
           now.st_size == then->st_size && now.st_mtim.tv_sec == then->st_mtim.tv_sec &&
           now.st_mtim.tv_nsec == then->st_mtim.tv_nsec;
}

bool ini_entry_replace(const struct ini_entry *entry, const struct strbuf *text, struct err *err)
{
    char *path CLEANUP(free_ptr) = xasprintf("%s" NEW_FILE_SUFFIX, entry->path);
    char *folder CLEANUP(free_ptr) = folder_of(entry->path);
    if (!strbuf_ok(text, entry->path, err) || !write_new(entry, path, text, err))
        return false;
    bool ok = failpoint("cutover.pooler_ini", err) &&
              (unchanged(entry) ||
               err_set(err, ERR_BUSY, "%s was changed by somebody else meanwhile", entry->path));
    if (ok && rename(path, entry->path) != 0)
        ok = err_set_errno(err, errno, "%s", entry->path);
    if (!ok) {
        (void)unlink(path);
        return false;
    }
    return new_file_sync_folder(folder, err);
}
