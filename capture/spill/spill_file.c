/* Owns: the files of spill.c and txn_store.c. See spill_file.h. */
#include "capture/spill/spill_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/seal.h"

#define PIECE_BYTES ((size_t)64 << 10)

struct cap_spill_file {
    char *dir;
    bool encrypt;
    int fd; /* -1 = not made yet */
    off_t write_at;
    uint64_t next_number;
    struct seal *seal;
    unsigned char *piece;
};

struct cap_spill_file *cap_spill_file_new(const char *dir, bool encrypt)
{
    struct cap_spill_file *f = xcalloc(1, sizeof *f);
    f->dir = xstrdup(dir);
    f->encrypt = encrypt;
    f->fd = -1;
    return f;
}

void cap_spill_file_free(struct cap_spill_file *f)
{
    if (f == NULL)
        return;
    if (f->fd >= 0)
        close(f->fd);
    seal_free(f->seal);
    free(f->piece);
    free(f->dir);
    free(f);
}

static bool make(struct cap_spill_file *f, struct err *err)
{
    if (f->fd >= 0)
        return true;
    if (f->seal == NULL && !seal_new(NULL, f->encrypt, &f->seal, err))
        return false;
    if (f->piece == NULL)
        f->piece = xmalloc(PIECE_BYTES);
    char *path CLEANUP(free_ptr) = xasprintf("%s/crossfade-spill-XXXXXX", f->dir);
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, errno, "spill file in %s (capture.spill_dir)", f->dir);
    (void)unlink(path);
    f->fd = fd;
    return true;
}

static bool cipher_failed(struct err *err)
{
    return err_set(err, ERR_IO, "sealing a spill file: the cipher failed");
}

/* --- bytes --- */

static bool write_all(struct cap_spill_file *f, const unsigned char *p, size_t len, off_t at, struct err *err)
{
    while (len > 0) {
        ssize_t n = pwrite(f->fd, p, len, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_set_errno(err, n < 0 ? errno : EIO, "writing the spill file in %s (capture.spill_dir)",
                                 f->dir);
        p += n;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static bool read_all(struct cap_spill_file *f, unsigned char *p, size_t len, off_t at, struct err *err)
{
    while (len > 0) {
        ssize_t n = pread(f->fd, p, len, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set_errno(err, errno, "reading the spill file in %s (capture.spill_dir)", f->dir);
        if (n == 0)
            return err_set(err, ERR_IO, "spill file in %s (capture.spill_dir): cut short", f->dir);
        p += n;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

bool cap_spill_file_write(struct cap_spill_file *f, const void *bytes, size_t len,
                          struct cap_spill_block *ret, struct err *err)
{
    if (!make(f, err))
        return false;
    struct cap_spill_block block = {.at = f->write_at, .len = len, .number = ++f->next_number};
    if (!seal_begin(f->seal, block.number, true))
        return cipher_failed(err);
    for (size_t done = 0; done < len;) {
        size_t n = MIN_OF(PIECE_BYTES, len - done);
        memcpy(f->piece, (const unsigned char *)bytes + done, n);
        if (!seal_piece(f->seal, f->piece, n))
            return cipher_failed(err);
        if (!write_all(f, f->piece, n, block.at + (off_t)done, err))
            return false;
        done += n;
    }
    if (!seal_end(f->seal, block.tag))
        return cipher_failed(err);
    f->write_at += (off_t)len;
    *ret = block;
    return true;
}

bool cap_spill_file_read(struct cap_spill_file *f, const struct cap_spill_block *block, void *out,
                         struct err *err)
{
    if (!seal_begin(f->seal, block->number, false))
        return cipher_failed(err);
    for (size_t done = 0; done < block->len;) {
        size_t n = MIN_OF(PIECE_BYTES, block->len - done);
        unsigned char *piece = (unsigned char *)out + done;
        if (!read_all(f, piece, n, block->at + (off_t)done, err))
            return false;
        if (!seal_piece(f->seal, piece, n))
            return cipher_failed(err);
        done += n;
    }
    return seal_holds(f->seal, block->tag) ||
           err_set(
               err, ERR_IO,
               "spill file in %s (capture.spill_dir): damaged: %zu bytes at %lld are not what was written",
               f->dir, block->len, (long long)block->at);
}

bool cap_spill_file_cut(struct cap_spill_file *f, off_t at, struct err *err)
{
    if (f->fd < 0 || at >= f->write_at)
        return true;
    f->write_at = at;
    return ftruncate(f->fd, at) == 0 ||
           err_set_errno(err, errno, "spill file in %s (capture.spill_dir)", f->dir);
}
