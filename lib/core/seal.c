/* Owns: seals and SHA-256. See seal.h. Wraps OpenSSL (so does capture/filters/mask.c, for the digests of values). */
#include "core/seal.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

#define NONCE_BYTES 12

struct seal {
    EVP_CIPHER_CTX *cipher;
    unsigned char key[SEAL_KEY_BYTES];
    bool encrypt;
};

bool seal_new(const void *key, bool encrypt, struct seal **ret, struct err *err)
{
    struct seal *s = xcalloc(1, sizeof *s);
    s->encrypt = encrypt;
    s->cipher = EVP_CIPHER_CTX_new();
    if (key != NULL)
        memcpy(s->key, key, sizeof s->key);
    if (s->cipher == NULL || (key == NULL && RAND_bytes(s->key, sizeof s->key) != 1)) {
        seal_free(s);
        return err_set(err, ERR_IO, "no random key from the system");
    }
    *ret = s;
    return true;
}

void seal_free(struct seal *s)
{
    if (s == NULL)
        return;
    EVP_CIPHER_CTX_free(s->cipher);
    OPENSSL_cleanse(s->key, sizeof s->key);
    free(s);
}

const unsigned char *seal_key(const struct seal *s)
{
    return s->key;
}

bool seal_begin(struct seal *s, uint64_t number, bool sealing)
{
    unsigned char nonce[NONCE_BYTES] = {0};
    memcpy(nonce, &number, sizeof number);
    return EVP_CipherInit_ex(s->cipher, EVP_aes_256_gcm(), NULL, s->key, nonce, sealing ? 1 : 0) == 1;
}

/* Without encryption the bytes only go into the seal. */
bool seal_piece(struct seal *s, void *bytes, size_t len)
{
    int done = 0;
    return EVP_CipherUpdate(s->cipher, s->encrypt ? bytes : NULL, &done, bytes, (int)len) == 1 &&
           done == (int)len;
}

bool seal_end(struct seal *s, uint8_t ret_tag[SEAL_TAG_BYTES])
{
    unsigned char rest[16];
    int done = 0;
    return EVP_CipherFinal_ex(s->cipher, rest, &done) == 1 && done == 0 &&
           EVP_CIPHER_CTX_ctrl(s->cipher, EVP_CTRL_GCM_GET_TAG, SEAL_TAG_BYTES, ret_tag) == 1;
}

bool seal_holds(struct seal *s, const uint8_t tag[SEAL_TAG_BYTES])
{
    unsigned char expected[SEAL_TAG_BYTES], rest[16];
    int done = 0;
    memcpy(expected, tag, sizeof expected);
    return EVP_CIPHER_CTX_ctrl(s->cipher, EVP_CTRL_GCM_SET_TAG, SEAL_TAG_BYTES, expected) == 1 &&
           EVP_CipherFinal_ex(s->cipher, rest, &done) == 1;
}

bool sha256_hex(const void *bytes, size_t len, char ret[SHA256_HEX])
{
    unsigned char sum[SHA256_BYTES];
    if (EVP_Digest(bytes, len, sum, NULL, EVP_sha256(), NULL) != 1)
        return false;
    for (size_t i = 0; i < sizeof sum; i++)
        (void)snprintf(ret + 2 * i, 3, "%02x", sum[i]);
    return true;
}

bool sha256_base64(const void *bytes, size_t len, char ret[SHA256_BASE64])
{
    unsigned char digest[SHA256_BYTES];
    unsigned int n = 0;
    return EVP_Digest(bytes, len, digest, &n, EVP_sha256(), NULL) == 1 && n == SHA256_BYTES &&
           EVP_EncodeBlock((unsigned char *)ret, digest, SHA256_BYTES) == SHA256_BASE64 - 1;
}
