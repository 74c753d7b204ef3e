/* Owns: the rehearsal's folder, for this user alone: configuration, journals, logs. A lock on it says that its rehearsal lives. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/temp_file.h"
#include "rehearsal.h"

#define PREFIX "crossfade-rehearsal-"

bool folder_make(struct rehearsal *r, struct err *err)
{
    if (mkdir(r->folder, 0700) != 0)
        return err_set_errno(err, errno, "cannot make %s", r->folder);
    r->folder_fd = open(r->folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (r->folder_fd < 0 || flock(r->folder_fd, LOCK_EX | LOCK_NB) != 0)
        return err_set_errno(err, errno, "cannot lock %s", r->folder);
    return true;
}

static int remove_one(const char *path, const struct stat *st UNUSED, int kind UNUSED,
                      struct FTW *place UNUSED)
{
    return remove(path);
}

bool folder_remove(const char *path, struct err *err)
{
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT)
        return true;
    return err_set_errno(err, errno, "cannot remove %s", path);
}

static bool is_ours(const struct rehearsal *r, const char *name)
{
    size_t len = strlen(r->pipeline), prefix = sizeof PREFIX - 1;
    return strncmp(name, PREFIX, prefix) == 0 && strncmp(name + prefix, r->pipeline, len) == 0 &&
           name[prefix + len] == '-' && strlen(name + prefix + len + 1) == TAG_DIGITS &&
           strspn(name + prefix + len + 1, "0123456789abcdef") == TAG_DIGITS;
}

/* A folder of this user's whose rehearsal does not live. */
static bool is_left(int parent, const char *name)
{
    struct stat st;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool left = fstat(fd, &st) == 0 && st.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0;
    (void)close(fd);
    return left;
}

bool folder_leftovers(struct rehearsal *r, json_t *paths, struct err *err)
{
    DIR *dir = opendir(temp_file_folder());
    if (dir == NULL)
        return err_set_errno(err, errno, "cannot look into %s", temp_file_folder());
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (is_ours(r, e->d_name) && is_left(dirfd(dir), e->d_name))
            json_array_append_new(paths, json_sprintf("%s/%s", temp_file_folder(), e->d_name));
    }
    (void)closedir(dir);
    return true;
}
