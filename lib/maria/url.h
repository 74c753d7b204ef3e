/*
 * What target.url says: mariadb://user:password@host:port/database?option=value&…, every part percent-decoded. Options: ssl-mode
 * (disabled, required = encrypted but not verified, verify_ca and verify_identity = verified), ssl-ca, ssl-cert, ssl-key, socket; '_'
 * for '-' is taken as well. Asking for TLS in any other way than ssl-mode=required verifies the server, and so does asking for nothing where the host
 * is another machine.
 * @thread any
 */
#ifndef MARIA_URL_H
#define MARIA_URL_H

#include <stdbool.h>

#include "core/err.h"

struct maria_url {
    char *host, *user, *password, *database, *socket;
    char *ssl_ca, *ssl_cert, *ssl_key;
    unsigned port;
    bool tls, tls_verify;
    bool tls_by_default; /* the URL leaves it open */
};

/* Whether the URL names MariaDB at all. */
bool maria_is_url(const char *url);
/* malloc'd parts. ERR_CONFIG says what is missing; no part of the URL that may be secret is shown. */
bool maria_url_parse(const char *url, struct maria_url *ret, struct err *err) MUST_CHECK;
/* The same with another database (of letters, digits and '_'), and its user's name with `suffix` ("" = none) behind it; malloc'd. ERR_CONFIG: it
 * names no user. */
bool maria_url_with(const char *url, const char *suffix, const char *database, char **ret,
                    struct err *err) MUST_CHECK;
void maria_url_release(struct maria_url *url);

#endif
