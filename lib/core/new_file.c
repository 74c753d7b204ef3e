/* Owns: writing a file that is whole or not there. See new_file.h. */
#include "core/new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

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

bool new_file_write(const char *path, mode_t mode, const void *bytes, size_t len, new_file_dress *dress,
                    const void *ctx, struct err *err)
{
    if (unlink(path) != 0 && errno != ENOENT)
        return err_set_errno(err, errno, "%s", path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        return err_set_errno(err, errno, "%s", path);
    bool ok = write_all(fd, bytes, len) && (dress == NULL || dress(ctx, fd)) && fsync(fd) == 0;
    int saved = errno;
    if (close(fd) != 0 && ok) {
        saved = errno;
        ok = false;
    }
    if (ok)
        return true;
    (void)unlink(path);
    return err_set_errno(err, saved, "%s", path);
}

bool new_file_sync_folder(const char *folder, struct err *err)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, errno, "%s", folder);
    bool ok = fsync(fd) == 0 || err_set_errno(err, errno, "%s", folder);
    (void)close(fd);
    return ok;
}
