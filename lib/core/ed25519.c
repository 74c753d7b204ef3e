/* Wraps OpenSSL's Ed25519. See ed25519.h. */
#include "core/ed25519.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/alloc.h"

#define SIGNATURE_BYTES 64
#define BASE64_BYTES    200 /* more than a key or signature takes */

struct ed25519_key {
    EVP_PKEY *pkey;
};

/* Opened once, so that what is looked at is what is read. */
static FILE *open_private(const char *path, struct err *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) != 0) {
        int why = errno;
        if (fd >= 0)
            (void)close(fd);
        (void)err_set_errno(err, why, "key file %s", path);
        return NULL;
    }
    if (!S_ISREG(st.st_mode) || (st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        (void)close(fd);
        (void)err_set(err, ERR_CONFIG, "key file %s: others than its owner can read it. Hint: chmod 600",
                      path);
        return NULL;
    }
    FILE *file = fdopen(fd, "r");
    if (file == NULL) {
        (void)err_set_errno(err, errno, "key file %s", path);
        (void)close(fd);
    }
    return file;
}

bool ed25519_read(const char *path, struct ed25519_key **ret, struct err *err)
{
    FILE *file = open_private(path, err);
    if (file == NULL)
        return false;
    EVP_PKEY *pkey = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    (void)fclose(file);
    if (pkey == NULL || EVP_PKEY_get_id(pkey) != EVP_PKEY_ED25519) {
        EVP_PKEY_free(pkey);
        return err_set(
            err, ERR_CONFIG,
            "key file %s: expected a private key of kind Ed25519 in PEM. Hint: openssl genpkey -algorithm "
            "ed25519 -out FILE",
            path);
    }
    struct ed25519_key *key = xcalloc(1, sizeof *key);
    key->pkey = pkey;
    *ret = key;
    return true;
}

void ed25519_free(struct ed25519_key *key)
{
    if (key == NULL)
        return;
    EVP_PKEY_free(key->pkey);
    free(key);
}

bool ed25519_public(const struct ed25519_key *key, char ret[ED25519_PUBLIC_MAX], struct err *err)
{
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(key->pkey, &der);
    bool ok = len > 0 && 4 * ((len + 2) / 3) < ED25519_PUBLIC_MAX;
    if (ok)
        (void)EVP_EncodeBlock((unsigned char *)ret, der, len);
    OPENSSL_free(der);
    return ok || err_set(err, ERR_BUG, "the public half of the key cannot be written");
}

bool ed25519_sign(const struct ed25519_key *key, const void *bytes, size_t len,
                  char ret[ED25519_SIGNATURE_MAX], struct err *err)
{
    unsigned char signature[SIGNATURE_BYTES];
    size_t signature_len = sizeof signature;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key->pkey) == 1 &&
              EVP_DigestSign(ctx, signature, &signature_len, bytes, len) == 1 &&
              signature_len == sizeof signature;
    EVP_MD_CTX_free(ctx);
    if (ok)
        (void)EVP_EncodeBlock((unsigned char *)ret, signature, (int)signature_len);
    return ok || err_set(err, ERR_IO, "OpenSSL could not sign");
}

/* How many bytes the text stands for; -1 = it is no base64, or too long. */
static int decode(const char *base64, unsigned char ret[BASE64_BYTES])
{
    size_t len = strlen(base64), pad = 0;
    if (len == 0 || len % 4 != 0 || len / 4 * 3 > BASE64_BYTES)
        return -1;
    int bytes = EVP_DecodeBlock(ret, (const unsigned char *)base64, (int)len);
    while (pad < 2 && base64[len - 1 - pad] == '=')
        pad++;
    return bytes < 0 ? -1 : bytes - (int)pad;
}

static EVP_PKEY *public_of(const char *base64)
{
    unsigned char der[BASE64_BYTES];
    const unsigned char *p = der;
    int len = decode(base64, der);
    EVP_PKEY *pkey = len > 0 ? d2i_PUBKEY(NULL, &p, len) : NULL;
    if (pkey != NULL && (EVP_PKEY_get_id(pkey) != EVP_PKEY_ED25519 || p != der + len)) {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }
    return pkey;
}

bool ed25519_public_fits(const char *public_base64)
{
    EVP_PKEY *pkey = public_of(public_base64);
    EVP_PKEY_free(pkey);
    return pkey != NULL;
}

bool ed25519_verify(const char *public_base64, const void *bytes, size_t len, const char *signature_base64)
{
    unsigned char signature[BASE64_BYTES];
    if (decode(signature_base64, signature) != SIGNATURE_BYTES)
        return false;
    EVP_PKEY *pkey = public_of(public_base64);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = pkey != NULL && ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
              EVP_DigestVerify(ctx, signature, SIGNATURE_BYTES, bytes, len) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    return ok;
}
