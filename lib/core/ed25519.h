/*
 * Signatures by Ed25519 (RFC 8032), by OpenSSL. Private keys are files in PEM (PKCS #8), as `openssl genpkey -algorithm ed25519` writes them;
 * public ones a line of base64 (SubjectPublicKeyInfo), as `openssl pkey -pubout` writes it between its two others.
 * @thread any; a key has one owner at a time
 */
#ifndef CORE_ED25519_H
#define CORE_ED25519_H

#include <stdbool.h>
#include <stddef.h>

#include "core/attr.h"
#include "core/err.h"

#define ED25519_PUBLIC_MAX    64 /* base64 of 44 bytes is 60 characters */
#define ED25519_SIGNATURE_MAX 96 /* base64 of 64 bytes is 88 characters */

struct ed25519_key;

/* A private key. Refused: one that others than its owner can read, and any other kind of key. One with a passphrase asks for it at the
 * terminal. */
bool ed25519_read(const char *path, struct ed25519_key **ret, struct err *err) MUST_CHECK;
void ed25519_free(struct ed25519_key *key); /* NULL allowed */
/* Its public half, in base64. */
bool ed25519_public(const struct ed25519_key *key, char ret[ED25519_PUBLIC_MAX], struct err *err) MUST_CHECK;
bool ed25519_sign(const struct ed25519_key *key, const void *bytes, size_t len,
                  char ret[ED25519_SIGNATURE_MAX], struct err *err) MUST_CHECK;

/* Whether the text is a public key at all. */
bool ed25519_public_fits(const char *public_base64);
/* Whether the signature is this key's over these bytes; false for anything that does not parse. */
bool ed25519_verify(const char *public_base64, const void *bytes, size_t len, const char *signature_base64);

#endif
