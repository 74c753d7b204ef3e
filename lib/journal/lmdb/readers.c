/* Registered readers of the embedded journal: one small file each, holding the first fence offset still
 * needed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/alloc.h"
#include "journal/lmdb/lmdb.h"

static char *folder_of(const struct lmdb_env *le)
{
    return xasprintf("%s/readers", le->path);
}

/* A file that cannot be read or understood counts as "needs everything". */
static uint64_t load(int folder, const char *name)
{
    char text[64];
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    uint64_t next_fence = 0;
    if (n <= 0)
        return 0;
    text[n] = '\0';
    return sscanf(text, "next_fence=%" SCNu64 "\n", &next_fence) == 1 ? next_fence : 0;
}

/* No fsync: an older file only means that less is freed. */
bool lmdb_reader_save(const struct lmdb_env *le, const char *name, uint64_t next_fence, struct err *err)
{
    char *folder CLEANUP(free_ptr) = folder_of(le);
    char *fresh CLEANUP(free_ptr) = xasprintf("%s/.%s.new", folder, name);
    char *path CLEANUP(free_ptr) = xasprintf("%s/%s", folder, name);
    FILE *f = fopen(fresh, "we");
    if (f == NULL)
        return err_set_errno(err, errno, "lmdb journal: writing %s", fresh);
    bool ok = fprintf(f, "next_fence=%" PRIu64 "\n", next_fence) > 0;
    ok = fclose(f) == 0 && ok;
    if (!ok || rename(fresh, path) != 0)
        return err_set_errno(err, errno, "lmdb journal: writing %s", path);
    return true;
}

bool lmdb_reader_register(const struct lmdb_env *le, const char *name, struct err *err)
{
    char *folder CLEANUP(free_ptr) = folder_of(le);
    if (mkdir(folder, 0750) != 0 && errno != EEXIST)
        return err_set_errno(err, errno, "lmdb journal: making folder %s", folder);
    char *path CLEANUP(free_ptr) = xasprintf("%s/%s", folder, name);
    return access(path, F_OK) == 0 || lmdb_reader_save(le, name, 0, err);
}

bool lmdb_readers_least(const struct lmdb_env *le, uint64_t *ret_next_fence, size_t *ret_count,
                        struct err *err)
{
    char *path CLEANUP(free_ptr) = folder_of(le);
    DIR *dir = opendir(path);
    uint64_t least = UINT64_MAX;
    size_t count = 0;
    if (dir == NULL && errno != ENOENT)
        return err_set_errno(err, errno, "lmdb journal: reading folder %s", path);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        uint64_t next_fence = load(dirfd(dir), entry->d_name);
        least = MIN_OF(least, next_fence);
        count++;
    }
    if (dir != NULL)
        closedir(dir);
    *ret_next_fence = least;
    *ret_count = count;
    return true;
}
