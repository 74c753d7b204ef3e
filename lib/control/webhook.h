/*
 * Telling somebody by HTTP: a JSON object as POST. With a secret it is signed, with the time at which it is sent, so that nobody can send it again
 * later: X-Crossfade-Timestamp: <seconds since 1970>, X-Crossfade-Signature-256: sha256=<HMAC-SHA256 of "<timestamp>.<body>" in hex>. TLS is
 * verified; no redirect is followed, the answer is not read beyond its status.
 */
#ifndef CONTROL_WEBHOOK_H
#define CONTROL_WEBHOOK_H

#include <stdbool.h>

#include "core/err.h"

struct webhook {
    const char *url;    /* may hold a token, and is in no error text beyond its host */
    const char *secret; /* NULL = not signed */
    const char *ca;     /* file of authorities, PEM; NULL = the system's */
};

/* Blocks for at most timeout_ms. False: nobody took it (a status of 2xx is "taken"); ERR_CONNECT is worth another try. @thread any */
bool webhook_post(const struct webhook *to, const char *json, int timeout_ms, struct err *err) MUST_CHECK;

#endif
