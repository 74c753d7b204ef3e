/* The embedded journal's environment: opening and sharing it in this process, its errors, its meta row, its
 * wake-up. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "journal/lmdb/lmdb.h"

#define NOTIFY_BYTES 4096
#define LMDB_READERS 510
#define PROBE_BYTES  (1u << 20)
/* Waiting is cut into slices: should a wake-up get lost (a file system without shared futexes), this is the
 * delay. */
#define WAIT_SLICE_MS 200
#define POLL_SLICE_MS 10

static pthread_mutex_t envs_lock = PTHREAD_MUTEX_INITIALIZER;
static struct lmdb_env *envs; /* open in this process */

const char *lmdb_url_path(const char *url)
{
    return url + strlen("lmdb:");
}

/* --- errors --- */

/* LMDB says EIO when a write came out short, which is how a full disk, quota or file size limit shows itself
 * first. */
static bool no_room(const char *path)
{
    static const char zeros[PROBE_BYTES];
    struct statvfs vfs;
    struct rlimit limit;
    struct stat st;
    char *data CLEANUP(free_ptr) = xasprintf("%s/data.mdb", path);
    if (statvfs(path, &vfs) == 0 && (uint64_t)vfs.f_bavail * vfs.f_frsize < PROBE_BYTES)
        return true;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && stat(data, &st) == 0 &&
        (uint64_t)st.st_size + PROBE_BYTES > limit.rlim_cur)
        return true;
    char *probe CLEANUP(free_ptr) = xasprintf("%s/probe", path);
    int fd = open(probe, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0)
        return errno == ENOSPC || errno == EDQUOT;
    bool full = write(fd, zeros, sizeof zeros) != (ssize_t)sizeof zeros;
    close(fd);
    (void)unlink(probe);
    return full;
}

bool lmdb_fail(const struct lmdb_env *le, int rc, const char *what, struct err *err)
{
    const char *path = le->path;
    if (rc == ENOSPC || rc == EDQUOT || rc == EFBIG || (rc == EIO && no_room(path)))
        return err_set(
            err, ERR_NO_SPACE,
            "lmdb journal %s: %s: the disk is full (%s); what was committed is safe: make room there, "
            "or lower journal.keep once all readers have caught up",
            path, what, mdb_strerror(rc));
    switch (rc) {
    case MDB_MAP_FULL:
        return err_set(err, ERR_NO_SPACE,
                       "lmdb journal %s: %s: the map is full; raise the limit on address space (ulimit -v)",
                       path, what);
    case MDB_MAP_RESIZED:
        return err_set(
            err, ERR_NO_SPACE,
            "lmdb journal %s: %s: it has outgrown this process's map; raise the limit on address space "
            "(ulimit -v) and restart",
            path, what);
    case MDB_READERS_FULL:
        return err_set(err, ERR_BUSY, "lmdb journal %s: %s: more than %d readers", path, what, LMDB_READERS);
    case MDB_VERSION_MISMATCH:
    case MDB_INVALID:
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
        return err_set(
            err, ERR_PROTOCOL,
            "lmdb journal %s: %s: %s; the file is damaged or not ours: restore the folder, or start over "
            "with an empty one and a new snapshot",
            path, what, mdb_strerror(rc));
    case MDB_PANIC:
        return err_set(err, ERR_IO, "lmdb journal %s: %s: an earlier write failed; restart this process",
                       path, what);
    default:
        break;
    }
    if (rc > 0) {
        err_set_errno(err, rc, "lmdb journal %s: %s", path, what);
        return false;
    }
    return err_set(err, ERR_BUG, "lmdb journal %s: %s: %s", path, what, mdb_strerror(rc));
}

bool lmdb_damaged(const struct lmdb_env *le, const char *what, struct err *err)
{
    return err_set(
        err, ERR_PROTOCOL,
        "lmdb journal %s: %s; the file is damaged: restore the folder, or start over with an empty one and "
        "a new snapshot",
        le->path, what);
}

/* --- wake-up --- */

static void map_notify(struct lmdb_env *le)
{
    char *path = xasprintf("%s/notify", le->path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    free(path);
    if (fd < 0)
        return;
    if (ftruncate(fd, NOTIFY_BYTES) == 0) {
        void *map = mmap(NULL, NOTIFY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map != MAP_FAILED)
            le->notify = map;
    }
    close(fd);
}

void lmdb_notify(const struct lmdb_env *le)
{
    if (le->notify == NULL)
        return;
    atomic_fetch_add(le->notify, 1);
    (void)syscall(SYS_futex, le->notify, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

uint32_t lmdb_notify_read(const struct lmdb_env *le)
{
    return le->notify != NULL ? atomic_load(le->notify) : 0;
}

void lmdb_notify_wait(const struct lmdb_env *le, uint32_t seen, int64_t timeout_ms)
{
    int64_t slice = le->notify != NULL ? WAIT_SLICE_MS : POLL_SLICE_MS;
    int64_t ms = timeout_ms < slice ? timeout_ms : slice;
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};
    if (le->notify == NULL)
        (void)nanosleep(&ts, NULL);
    else
        (void)syscall(SYS_futex, le->notify, FUTEX_WAIT, seen, &ts, NULL, 0);
}

/* --- meta and rows --- */

void lmdb_at_key_make(struct lmdb_at_key *ret, uint32_t stream, uint64_t offset)
{
    uint32_t s = __builtin_bswap32(stream);
    uint64_t o = __builtin_bswap64(offset);
    memcpy(ret->bytes, &s, sizeof s);
    memcpy(ret->bytes + sizeof s, &o, sizeof o);
}

bool lmdb_at_key_read(const MDB_val *key, uint32_t *ret_stream, uint64_t *ret_offset)
{
    uint32_t s;
    uint64_t o;
    if (key->mv_size != sizeof s + sizeof o)
        return false;
    memcpy(&s, key->mv_data, sizeof s);
    memcpy(&o, (const char *)key->mv_data + sizeof s, sizeof o);
    *ret_stream = __builtin_bswap32(s);
    *ret_offset = __builtin_bswap64(o);
    return true;
}

bool lmdb_meta_get(const struct lmdb_env *le, MDB_txn *txn, struct lmdb_meta *ret, bool *ret_found,
                   struct err *err)
{
    uint64_t id = LMDB_META_KEY;
    MDB_val key = {sizeof id, &id}, val;
    int rc = mdb_get(txn, le->streams, &key, &val);
    if (rc == MDB_NOTFOUND) {
        *ret_found = false;
        return true;
    }
    if (rc != 0)
        return lmdb_fail(le, rc, "reading the meta row", err);
    uint32_t head[2] = {0, 0}; /* magic, format */
    if (val.mv_size >= sizeof head)
        memcpy(head, val.mv_data, sizeof head);
    if (head[0] != LMDB_MAGIC)
        return lmdb_damaged(le, "the meta row is not ours", err);
    if (head[1] > LMDB_FORMAT)
        return err_set(err, ERR_UNSUPPORTED,
                       "lmdb journal %s has format %u, this program (" CF_VERSION
                       ") knows up to %d: a newer crossfade has written it; use that version, or a later one",
                       le->path, head[1], LMDB_FORMAT);
    if (val.mv_size != sizeof *ret)
        return lmdb_damaged(le, "the meta row has a wrong size", err);
    memcpy(ret, val.mv_data, sizeof *ret);
    *ret_found = true;
    return true;
}

bool lmdb_meta_check(const struct lmdb_env *le, const struct lmdb_meta *meta,
                     const struct journal_config *config, struct err *err)
{
    if (strcmp(meta->pipeline, config->pipeline) == 0 &&
        strcmp(meta->topic_prefix, config->topic_prefix) == 0)
        return true;
    return err_set(
        err, ERR_IDENTITY,
        "lmdb journal %s belongs to pipeline \"%s\" (topic prefix \"%s\"), not to \"%s\" (\"%s\"): "
        "correct journal.url, pipeline or journal.topic_prefix",
        le->path, meta->pipeline, meta->topic_prefix, config->pipeline, config->topic_prefix);
}

bool lmdb_row_get(const struct lmdb_env *le, MDB_txn *txn, uint32_t id, struct lmdb_stream_row *ret,
                  const char **ret_name, bool *ret_found, struct err *err)
{
    uint64_t row_id = (uint64_t)id + 1;
    MDB_val key = {sizeof row_id, &row_id}, val;
    int rc = mdb_get(txn, le->streams, &key, &val);
    if (rc == MDB_NOTFOUND) {
        *ret_found = false;
        return true;
    }
    if (rc != 0)
        return lmdb_fail(le, rc, "reading a stream's row", err);
    if (val.mv_size <= sizeof *ret)
        return lmdb_damaged(le, "a stream's row is too short", err);
    memcpy(ret, val.mv_data, sizeof *ret);
    const char *name = (const char *)val.mv_data + sizeof *ret;
    if (val.mv_size != sizeof *ret + ret->name_len + 1 || name[ret->name_len] != '\0')
        return lmdb_damaged(le, "a stream's row has a wrong size", err);
    if (ret_name != NULL)
        *ret_name = name;
    *ret_found = true;
    return true;
}

/* --- opening --- */

static bool make_folders(const char *path, struct err *err)
{
    char *copy CLEANUP(free_ptr) = xstrdup(path);
    for (char *p = copy + 1;; p++) {
        char c = *p;
        if (c != '/' && c != '\0')
            continue;
        *p = '\0';
        if (mkdir(copy, 0750) != 0 && errno != EEXIST)
            return err_set_errno(err, errno, "lmdb journal: making folder %s", copy);
        if (c == '\0')
            return true;
        *p = c;
    }
}

static bool missing(const char *path, struct err *err)
{
    return err_set(err, ERR_CONNECT, "lmdb journal %s is not there yet: capture makes it when it starts",
                   path);
}

/* Address space may be limited: takes what there is. */
static int open_env(struct lmdb_env *le, unsigned flags)
{
    int rc = ENOMEM;
    for (size_t map = LMDB_MAP_BYTES; rc == ENOMEM && map >= LMDB_MAP_LEAST; map /= 2) {
        rc = mdb_env_create(&le->env);
        if (rc != 0)
            return rc;
        (void)mdb_env_set_maxdbs(le->env, 8);
        (void)mdb_env_set_maxreaders(le->env, LMDB_READERS);
        (void)mdb_env_set_mapsize(le->env, map);
        rc = mdb_env_open(le->env, le->path, flags, 0640);
        if (rc != 0) {
            mdb_env_close(le->env);
            le->env = NULL;
        }
    }
    return rc;
}

static bool open_dbs(struct lmdb_env *le, bool create, struct err *err)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(le->env, NULL, create ? 0 : MDB_RDONLY, &txn);
    if (rc != 0)
        return lmdb_fail(le, rc, "opening", err);
    unsigned flag = create ? MDB_CREATE : 0;
    rc = mdb_dbi_open(txn, "streams", flag | MDB_INTEGERKEY, &le->streams);
    rc = rc != 0 ? rc : mdb_dbi_open(txn, "log", flag | MDB_INTEGERKEY, &le->log);
    rc = rc != 0 ? rc : mdb_dbi_open(txn, "at", flag, &le->at);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc == MDB_NOTFOUND ? missing(le->path, err) : lmdb_fail(le, rc, "opening the databases", err);
    }
    rc = mdb_txn_commit(txn);
    return rc == 0 || lmdb_fail(le, rc, "opening the databases", err);
}

static void env_free(struct lmdb_env *le)
{
    if (le->env != NULL)
        mdb_env_close(le->env);
    if (le->notify != NULL)
        munmap((void *)le->notify, NOTIFY_BYTES);
    free(le->path);
    free(le);
}

static bool env_open(const char *path, bool create, struct lmdb_env **ret, struct err *err)
{
    char *data CLEANUP(free_ptr) = xasprintf("%s/data.mdb", path);
    if (!create && access(data, F_OK) != 0)
        return missing(path, err);
    struct lmdb_env *le = xcalloc(1, sizeof *le);
    le->path = xstrdup(path);
    int rc = open_env(le, MDB_NOTLS);
    if (!create && (rc == EACCES || rc == EROFS))
        rc = open_env(le, MDB_NOTLS | MDB_RDONLY);
    if (rc != 0) {
        lmdb_fail(le, rc, "opening", err);
        env_free(le);
        return false;
    }
    if (!open_dbs(le, create, err)) {
        env_free(le);
        return false;
    }
    map_notify(le);
    le->refs = 1;
    *ret = le;
    return true;
}

static bool acquire_locked(const char *path, bool create, struct lmdb_env **ret, struct err *err)
{
    struct stat st;
    if (create && !make_folders(path, err))
        return false;
    if (stat(path, &st) != 0)
        return missing(path, err);
    for (struct lmdb_env *le = envs; le != NULL; le = le->next) {
        if (le->dev == (uint64_t)st.st_dev && le->ino == (uint64_t)st.st_ino) {
            le->refs++;
            *ret = le;
            return true;
        }
    }
    struct lmdb_env *le = NULL;
    if (!env_open(path, create, &le, err))
        return false;
    le->dev = (uint64_t)st.st_dev;
    le->ino = (uint64_t)st.st_ino;
    le->next = envs;
    envs = le;
    *ret = le;
    return true;
}

bool lmdb_env_acquire(const char *path, bool create, struct lmdb_env **ret, struct err *err)
{
    if (path[0] == '\0')
        return err_set(err, ERR_CONFIG, "journal url \"lmdb:\" lacks the path of a folder: lmdb:PATH");
    pthread_mutex_lock(&envs_lock);
    bool ok = acquire_locked(path, create, ret, err);
    pthread_mutex_unlock(&envs_lock);
    return ok;
}

void lmdb_env_release(struct lmdb_env *le)
{
    if (le == NULL)
        return;
    pthread_mutex_lock(&envs_lock);
    if (--le->refs == 0) {
        struct lmdb_env **at = &envs;
        while (*at != le)
            at = &(*at)->next;
        *at = le->next;
        env_free(le);
    }
    pthread_mutex_unlock(&envs_lock);
}
