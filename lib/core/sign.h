/* HMAC-SHA256 (RFC 2104), by OpenSSL. @thread any */
#ifndef CORE_SIGN_H
#define CORE_SIGN_H

#include <stdbool.h>
#include <stddef.h>

#include "core/attr.h"

#define SIGN_HEX_SIZE 65

/* In hexadecimal digits with a NUL. False: no memory. */
bool sign_hmac_sha256(const char *secret, const void *bytes, size_t len, char out[SIGN_HEX_SIZE]) MUST_CHECK;

#endif
