/* Owns: the files of spill.c and txn_store.c, and their seals. See spill_file.h. Wraps OpenSSL (so does mask.c, for digests). */
#include "capture/spill_file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"

#define PIECE_BYTES ((size_t)64 << 10)
#define NONCE_BYTES 12

struct cap_spill_file {
    char *dir;
    bool encrypt;
    int fd; /* -1 = not made yet */
    off_t write_at;
    uint64_t next_number;
    EVP_CIPHER_CTX *cipher;
    unsigned char key[32];
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
    EVP_CIPHER_CTX_free(f->cipher);
    OPENSSL_cleanse(f->key, sizeof f->key);
    free(f->piece);
    free(f->dir);
    free(f);
}

static bool make(struct cap_spill_file *f, struct err *err)
{
    if (f->fd >= 0)
        return true;
    if (f->cipher == NULL) {
        f->cipher = EVP_CIPHER_CTX_new();
        f->piece = xmalloc(PIECE_BYTES);
        if (f->cipher == NULL || RAND_bytes(f->key, sizeof f->key) != 1)
            return err_set(err, ERR_IO, "no random key for a spill file");
    }
    char *path CLEANUP(free_ptr) = xasprintf("%s/crossfade-spill-XXXXXX", f->dir);
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, errno, "spill file in %s (capture.spill_dir)", f->dir);
    (void)unlink(path);
    f->fd = fd;
    return true;
}

/* --- seals --- */

/* The block's number makes the nonce: the key is this file's alone, numbers only grow. */
static bool seal_begin(struct cap_spill_file *f, uint64_t number, bool sealing)
{
    unsigned char nonce[NONCE_BYTES] = {0};
    memcpy(nonce, &number, sizeof number);
    return EVP_CipherInit_ex(f->cipher, EVP_aes_256_gcm(), NULL, f->key, nonce, sealing ? 1 : 0) == 1;
}

/* In place; without encryption the bytes only go into the seal. */
static bool seal_piece(struct cap_spill_file *f, unsigned char *bytes, size_t len)
{
    int done = 0;
    return EVP_CipherUpdate(f->cipher, f->encrypt ? bytes : NULL, &done, bytes, (int)len) == 1 &&
           done == (int)len;
}

static bool seal_end(struct cap_spill_file *f, uint8_t tag[16])
{
    unsigned char rest[16];
    int done = 0;
    return EVP_CipherFinal_ex(f->cipher, rest, &done) == 1 && done == 0 &&
           EVP_CIPHER_CTX_ctrl(f->cipher, EVP_CTRL_GCM_GET_TAG, 16, tag) == 1;
}

static bool seal_holds(struct cap_spill_file *f, const uint8_t tag[16])
{
    unsigned char expected[16], rest[16];
    int done = 0;
    memcpy(expected, tag, sizeof expected);
    return EVP_CIPHER_CTX_ctrl(f->cipher, EVP_CTRL_GCM_SET_TAG, 16, expected) == 1 &&
           EVP_CipherFinal_ex(f->cipher, rest, &done) == 1;
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
    if (!seal_begin(f, block.number, true))
        return cipher_failed(err);
    for (size_t done = 0; done < len;) {
        size_t n = MIN_OF(PIECE_BYTES, len - done);
        memcpy(f->piece, (const unsigned char *)bytes + done, n);
        if (!seal_piece(f, f->piece, n))
            return cipher_failed(err);
        if (!write_all(f, f->piece, n, block.at + (off_t)done, err))
            return false;
        done += n;
    }
    if (!seal_end(f, block.tag))
        return cipher_failed(err);
    f->write_at += (off_t)len;
    *ret = block;
    return true;
}

bool cap_spill_file_read(struct cap_spill_file *f, const struct cap_spill_block *block, void *out,
                         struct err *err)
{
    if (!seal_begin(f, block->number, false))
        return cipher_failed(err);
    for (size_t done = 0; done < block->len;) {
        size_t n = MIN_OF(PIECE_BYTES, block->len - done);
        unsigned char *piece = (unsigned char *)out + done;
        if (!read_all(f, piece, n, block->at + (off_t)done, err))
            return false;
        if (!seal_piece(f, piece, n))
            return cipher_failed(err);
        done += n;
    }
    return seal_holds(f, block->tag) ||
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
