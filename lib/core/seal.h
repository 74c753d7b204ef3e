/*
 * Seals: AES-256-GCM over a piece of data that is too large to be held twice, and SHA-256 in the same manner. A seal
 * hides (`encrypt`) or only proves that the bytes are what was sealed; either way under a random key.
 * @thread: a seal or digest belongs to one thread at a time
 */
#ifndef CORE_SEAL_H
#define CORE_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/attr.h"
#include "core/err.h"

#define SEAL_KEY_BYTES 32
#define SEAL_TAG_BYTES 16
#define SHA256_BYTES   32
#define SHA256_HEX     (2 * SHA256_BYTES + 1)
#define SHA256_BASE64  45

struct seal;

/* key: SEAL_KEY_BYTES; NULL = a random one. encrypt false: the bytes stay as they are, only the tag is made. */
bool seal_new(const void *key, bool encrypt, struct seal **ret, struct err *err) MUST_CHECK;
void seal_free(struct seal *s); /* NULL allowed; wipes the key */
const unsigned char *seal_key(const struct seal *s);
/* Begins a block. No number may be sealed twice under one key: it makes the nonce. False: the cipher failed (here and below). */
bool seal_begin(struct seal *s, uint64_t number, bool sealing) MUST_CHECK;
/* The block's next bytes, in place. At most INT_MAX at once. */
bool seal_piece(struct seal *s, void *bytes, size_t len) MUST_CHECK;
/* The block is whole. */
bool seal_end(struct seal *s, uint8_t ret_tag[SEAL_TAG_BYTES]) MUST_CHECK;
/* What went through is what was sealed. */
bool seal_holds(struct seal *s, const uint8_t tag[SEAL_TAG_BYTES]) MUST_CHECK;

/* Lower case, NUL-terminated. False: the library failed. */
bool sha256_hex(const void *bytes, size_t len, char ret[SHA256_HEX]) MUST_CHECK;
/* The same in base64, as Content-Security-Policy names a script. */
bool sha256_base64(const void *bytes, size_t len, char ret[SHA256_BASE64]) MUST_CHECK;

#endif
