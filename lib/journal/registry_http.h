/*
 * Requests to a schema registry over HTTP: the one file of this module that knows libcurl. No proxy, no
 * redirect (a password goes to the host that was configured, and to no other), TLS verified, size and time of
 * an answer bounded. The connection stays open between requests. @thread: one owner at a time
 */
#ifndef JOURNAL_REGISTRY_HTTP_H
#define JOURNAL_REGISTRY_HTTP_H

#include "core/strbuf.h"
#include "registry_protocol.h"

#define REGISTRY_ANSWER_BYTES_MAX ((size_t)16 << 20)

struct registry_http;

/* Connects to nothing yet. *address must outlive it; ca_file: PEM, NULL = the system's. */
bool registry_http_open(const struct registry_address *address, const char *ca_file,
                        struct registry_http **ret, struct err *err) MUST_CHECK;
/* GET, or POST when there is a body (JSON), of <base><path>. Whatever status the server gives is a success
 * here: *ret_status and the text in `answer` (made empty first). ERR_CONNECT: no answer within 10 s, connection
 * refused or broken; ERR_CONFIG: certificate or CA file not good; ERR_PROTOCOL: answer too large or no HTTP. */
bool registry_http_call(struct registry_http *http, const char *path, const char *body, int *ret_status,
                        struct strbuf *answer, struct err *err) MUST_CHECK;
void registry_http_close(struct registry_http *http); /* NULL allowed */

#endif
