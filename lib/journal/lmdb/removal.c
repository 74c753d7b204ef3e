/* Removing an LMDB journal: the files that lmdb.h names, and the folder when nothing else is in it. data.mdb, which says whose it is, goes last but for the
 * writer's lock, which is held meanwhile. */
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
#include "core/failpoint.h"
#include "core/strbuf.h"
#include "journal/lmdb/lmdb.h"

static const char *const own_files[] = {"notify", "probe", "lock.mdb", "data.mdb", "writer.lock"};

static bool is_own(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(own_files); i++) {
        if (strcmp(name, own_files[i]) == 0)
            return true;
    }
    return strcmp(name, "readers") == 0;
}

/* Names in the folder that are none of ours: into `strangers`, as far as there is room. *ret_there false: there is no such folder. */
static bool look_at_folder(const char *path, bool *ret_there, struct strbuf *strangers, struct err *err)
{
    DIR *dir = opendir(path);
    *ret_there = dir != NULL;
    if (dir == NULL)
        return errno == ENOENT || err_set_errno(err, errno, "lmdb journal: reading folder %s", path);
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && !is_own(e->d_name))
            strbuf_addf(strangers, "%s%s", strangers->len > 0 ? ", " : "", e->d_name);
    }
    (void)closedir(dir);
    return true;
}

/* ERR_IDENTITY: it is another pipeline's. */
static bool check_owner(const struct journal_config *config, const char *path, struct err *err)
{
    struct lmdb_env *le;
    MDB_txn *txn;
    struct lmdb_meta meta;
    bool found = false;
    if (!lmdb_env_acquire(path, false, &le, err))
        return false;
    int rc = mdb_txn_begin(le->env, NULL, MDB_RDONLY, &txn);
    bool ok = rc == 0 || lmdb_fail(le, rc, "beginning to read", err);
    if (ok) {
        ok =
            lmdb_meta_get(le, txn, &meta, &found, err) && (!found || lmdb_meta_check(le, &meta, config, err));
        mdb_txn_abort(txn);
    }
    lmdb_env_release(le);
    return ok;
}

static bool has_data(const char *path, int64_t *ret_bytes)
{
    struct stat st;
    char *data CLEANUP(free_ptr) = xasprintf("%s/data.mdb", path);
    bool there = stat(data, &st) == 0;
    *ret_bytes = there ? (int64_t)st.st_blocks * 512 : 0;
    return there;
}

static void look_for_writer(const char *path, struct journal_part *part)
{
    char *name CLEANUP(free_ptr) = xasprintf("%s/writer.lock", path);
    int fd = open(name, O_RDWR | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0)
        (void)snprintf(part->used_by, sizeof part->used_by, "capture writes to it");
    if (fd >= 0)
        close(fd);
}

bool lmdb_parts(const struct journal_config *config, journal_part_fn *each, void *ctx, struct err *err)
{
    const char *path = lmdb_url_path(config->url);
    struct journal_part part = {.records = -1};
    struct err other = ERR_INIT;
    struct strbuf strangers = STRBUF_INIT(4096);
    bool there = false;
    if (!look_at_folder(path, &there, &strangers, err)) {
        strbuf_release(&strangers);
        return false;
    }
    if (!there)
        return true; /* strangers has nothing */
    (void)snprintf(part.name, sizeof part.name, "%s", path);
    (void)snprintf(part.action, sizeof part.action, "remove the folder's files%s",
                   strangers.len == 0 ? " and the folder" : "");
    bool owned = !has_data(path, &part.bytes) || check_owner(config, path, &other);
    if (!owned && other.code == ERR_UNSUPPORTED) { /* whoever has written it knows what belongs to it */
        strbuf_release(&strangers);
        *err = other;
        return false;
    }
    if (!owned) {
        (void)snprintf(part.why, sizeof part.why, "%.299s", other.text);
    } else if (part.bytes == 0 && strangers.len > 0) { /* nothing says that the folder was ever ours */
        (void)snprintf(part.why, sizeof part.why, "there is no journal in it, but: %.250s", strangers.data);
    } else {
        part.ours = true;
        look_for_writer(path, &part);
    }
    strbuf_release(&strangers);
    each(ctx, &part);
    return true;
}

static bool unlink_one(const char *path, const char *name, struct err *err)
{
    char *file CLEANUP(free_ptr) = xasprintf("%s/%s", path, name);
    if (unlink(file) == 0)
        return failpoint("journal.remove_file", err);
    return errno == ENOENT || err_set_errno(err, errno, "lmdb journal: removing %s", file);
}

static bool remove_readers(const char *path, struct err *err)
{
    char *readers CLEANUP(free_ptr) = xasprintf("%s/readers", path);
    DIR *dir = opendir(readers);
    bool ok = true;
    if (dir == NULL)
        return errno == ENOENT || err_set_errno(err, errno, "lmdb journal: reading folder %s", readers);
    for (const struct dirent *e = readdir(dir); ok && e != NULL; e = readdir(dir)) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            ok = unlink_one(readers, e->d_name, err);
    }
    (void)closedir(dir);
    return ok && (rmdir(readers) == 0 || errno == ENOENT ||
                  err_set_errno(err, errno, "lmdb journal: removing folder %s", readers));
}

bool lmdb_remove_part(const struct journal_config *config, const char *name, struct err *err)
{
    int64_t bytes;
    struct stat st;
    int lock_fd = -1;
    if (stat(name, &st) != 0)
        return errno == ENOENT || err_set_errno(err, errno, "lmdb journal: %s", name);
    if (!lmdb_lock_writer(name, &lock_fd, err))
        return false;
    bool ok = (!has_data(name, &bytes) || check_owner(config, name, err)) && remove_readers(name, err);
    for (size_t i = 0; ok && i < ARRAY_LEN(own_files); i++)
        ok = unlink_one(name, own_files[i], err);
    close(lock_fd);
    /* What others have put there, a place where something is mounted, a folder above that is not ours to write: it stays, empty of us. */
    return ok &&
           (rmdir(name) == 0 || errno == ENOTEMPTY || errno == EBUSY || errno == EACCES || errno == EPERM ||
            errno == EEXIST || err_set_errno(err, errno, "lmdb journal: removing folder %s", name));
}
