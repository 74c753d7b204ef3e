/*
 * The claim store in a directory: one file an object, WHERE/FOLDER/NAME. A file is written under a name that begins with
 * a dot, and locked (flock, which NFS carries to its server), brought to disk, renamed, and the directory brought to disk: nobody
 * sees half of one, and what put() said stays.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/nonce.h"
#include "journal/claim_store.h"

#define HALF_WRITTEN ".new-"

struct dir_store {
    struct claim_store base;
    char *where, *folder;
    bool made; /* the folder is there, and on disk */
};

static struct dir_store *dir_of(struct claim_store *cs)
{
    return (struct dir_store *)cs;
}

static char *path_of(const struct dir_store *d, const char *before, const char *name)
{
    return xasprintf("%s/%s%s", d->folder, before, name);
}

static char *dir_path(const struct claim_store *cs, const char *name)
{
    return path_of((const struct dir_store *)cs, "", name);
}

static struct claim_store *dir_open(const char *where, const char *folder)
{
    struct dir_store *d = xcalloc(1, sizeof *d);
    d->base.ops = &claim_store_dir_ops;
    d->where = xstrdup(where);
    d->folder = xasprintf("%s/%s", where, folder);
    return &d->base;
}

static void dir_close(struct claim_store *cs)
{
    free(dir_of(cs)->where);
    free(dir_of(cs)->folder);
    free(cs);
}

static bool file_failed(int number, const char *verb, const char *path, struct err *err)
{
    return err_set_errno(err, number, "claim store (journal.claim_store): %s %s", verb, path);
}

/* --- writing --- */

static bool sync_dir(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    int number = errno;
    if (fd >= 0)
        close(fd);
    return ok || file_failed(number, "bringing to disk", path, err);
}

/* WHERE itself is the operator's: a share that is not mounted must not be taken for an empty one. */
static bool make_folder(struct dir_store *d, struct err *err)
{
    if (d->made)
        return true;
    d->made = mkdir(d->folder, 0750) == 0 ||
              errno == EEXIST; /* by one that may have been killed before it was on disk */
    int number = errno;
    if (d->made)
        return sync_dir(d->where, err);
    return file_failed(number, number == ENOENT ? "is the store mounted? Making" : "making", d->folder, err);
}

static bool write_all(int fd, const char *path, const char *p, size_t len, struct err *err)
{
    while (len > 0) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return file_failed(n < 0 ? errno : EIO, "writing", path, err);
        p += n;
        len -= (size_t)n;
    }
    return true;
}

static bool fill(int fd, const char *path, const struct claim_source *source, struct err *err)
{
    for (;;) {
        const void *piece = NULL;
        size_t len = 0;
        if (!source->next(source->ctx, &piece, &len, err))
            return false;
        if (len == 0)
            break;
        if (!write_all(fd, path, piece, len, err))
            return false;
    }
    return fsync(fd) == 0 || file_failed(errno, "bringing to disk", path, err);
}

/* A file of this process alone. It is locked as long as it is being written: that tells it from what a killed one left. */
static int make_half(const struct dir_store *d, const char *name, char **ret_path, struct err *err)
{
    for (int tries = 0; tries < 10; tries++) {
        char nonce[NONCE_MAX];
        struct stat st;
        nonce_make(nonce);
        char *before CLEANUP(free_ptr) = xasprintf(HALF_WRITTEN "%.16s-", nonce);
        char *path = path_of(d, before, name);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
        if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) != 0 || fstat(fd, &st) != 0) {
            file_failed(errno, fd < 0 ? "making" : "locking", path, err);
            if (fd >= 0) {
                (void)unlink(path);
                close(fd);
            }
            free(path);
            return -1;
        }
        if (st.st_nlink > 0) { /* else somebody cleaned up between the two calls */
            *ret_path = path;
            return fd;
        }
        close(fd);
        free(path);
    }
    err_set(err, ERR_TRANSIENT,
            "claim store (journal.claim_store): files in %s are removed while they are written", d->folder);
    return -1;
}

static bool put_as(struct claim_store *cs, const char *name, const struct claim_source *source, bool only_new,
                   bool *ret_put, struct err *err)
{
    struct dir_store *d = dir_of(cs);
    char *half CLEANUP(free_ptr) = NULL, *path CLEANUP(free_ptr) = path_of(d, "", name);
    *ret_put = false;
    if (!make_folder(d, err))
        return false;
    int fd = make_half(d, name, &half, err);
    if (fd < 0)
        return false;
    bool ok = fill(fd, half, source, err);
    if (ok && only_new && link(half, path) != 0) {
        ok = errno == EEXIST || file_failed(errno, "naming", path, err);
        (void)unlink(half);
    } else if (ok && (only_new ? unlink(half) : rename(half, path)) != 0) {
        ok = file_failed(errno, "naming", path, err);
    } else if (ok) {
        *ret_put = true;
    }
    if (!ok)
        (void)unlink(half);
    if (close(fd) != 0 && ok) /* NFS tells of a full disk here, if fsync() has not */
        ok = file_failed(errno, "writing", path, err);
    return ok && sync_dir(d->folder, err);
}

static bool dir_put(struct claim_store *cs, const char *name, const struct claim_source *source,
                    struct err *err)
{
    bool put;
    return put_as(cs, name, source, false, &put, err);
}

static bool dir_put_new(struct claim_store *cs, const char *name, const struct claim_source *source,
                        bool *ret_put, struct err *err)
{
    return put_as(cs, name, source, true, ret_put, err);
}

static bool dir_remove(struct claim_store *cs, const char *name, struct err *err)
{
    char *path CLEANUP(free_ptr) = path_of(dir_of(cs), "", name);
    return unlink(path) == 0 || errno == ENOENT || file_failed(errno, "removing", path, err);
}

/* --- reading --- */

static bool dir_size(struct claim_store *cs, const char *name, long long *ret, struct err *err)
{
    struct stat st;
    char *path CLEANUP(free_ptr) = path_of(dir_of(cs), "", name);
    bool there = stat(path, &st) == 0;
    if (!there && errno != ENOENT)
        return file_failed(errno, "reading", path, err);
    *ret = there ? (long long)st.st_size : -1;
    return true;
}

static bool read_all(int fd, const char *path, char *out, size_t size, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return file_failed(errno, "reading", path, err);
    if ((unsigned long long)st.st_size != size)
        return err_set(err, ERR_PROTOCOL,
                       "claim store (journal.claim_store): %s has %lld bytes, %zu were written", path,
                       (long long)st.st_size, size);
    while (size > 0) {
        ssize_t n = read(fd, out, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return file_failed(n < 0 ? errno : EIO, "reading", path, err);
        out += n;
        size -= (size_t)n;
    }
    return true;
}

static bool dir_get(struct claim_store *cs, const char *name, void *out, size_t size, struct err *err)
{
    char *path CLEANUP(free_ptr) = path_of(dir_of(cs), "", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return err_set(err, ERR_GAP, "claim store (journal.claim_store): %s is not there", path);
    if (fd < 0)
        return file_failed(errno, "reading", path, err);
    bool ok = read_all(fd, path, out, size, err);
    close(fd);
    return ok;
}

/* Whoever writes it holds its lock. */
static void remove_if_left(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        (void)unlinkat(dir, name, 0);
    close(fd);
}

static bool each_entry(struct dir_store *d, DIR *dir,
                       bool (*each)(void *ctx, const char *name, struct err *err), void *ctx, struct err *err)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL)
            return errno == 0 || file_failed(errno, "reading", d->folder, err);
        if (strncmp(entry->d_name, HALF_WRITTEN, sizeof HALF_WRITTEN - 1) == 0)
            remove_if_left(dirfd(dir), entry->d_name);
        else if (claim_name_ok(entry->d_name) && !each(ctx, entry->d_name, err))
            return false;
    }
}

static bool dir_list(struct claim_store *cs, bool (*each)(void *ctx, const char *name, struct err *err),
                     void *ctx, struct err *err)
{
    struct dir_store *d = dir_of(cs);
    DIR *dir = opendir(d->folder);
    if (dir == NULL && errno == ENOENT && access(d->where, F_OK) == 0)
        return true; /* nothing was ever put */
    if (dir == NULL)
        return file_failed(errno, "reading", d->folder, err);
    bool ok = each_entry(d, dir, each, ctx, err);
    closedir(dir);
    return ok;
}

const struct claim_store_ops claim_store_dir_ops = {
    .name = "directory",
    .open = dir_open,
    .put = dir_put,
    .put_new = dir_put_new,
    .get = dir_get,
    .size = dir_size,
    .remove = dir_remove,
    .list = dir_list,
    .path = dir_path,
    .close = dir_close,
};
