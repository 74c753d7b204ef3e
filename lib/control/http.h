/*
 * HTTP for the roles: GET /status (JSON; ?tables=no, ?tables=last: see status_tables.h), the status page (http_pages.h), /metrics (Prometheus text), /health (200 or 503), /healthz (200 as long as the role's loop goes round), /readyz (200 as
 * long as the role works and is healthy); POST /control/<verb> (desk.h), for whoever shows a
 * token or a certificate. And the client side. docs/CONTROL.md
 */
#ifndef CONTROL_HTTP_H
#define CONTROL_HTTP_H

#include "control/http_pages.h"
#include "control/status.h"

struct http_server;

/* Texts are kept by pointer; NULL = not set. Nothing set: plain and read-only. */
struct http_settings {
    const char *token_file;
    const char *tls_cert, *tls_key, *client_ca; /* PEM files */
    bool read_needs_auth;                       /* also for /status and /metrics */
    int64_t request_within_us; /* a request is there so long after its first byte, or is given up; 0 = 15 s */
    bool
        refuse_exposed; /* an address that others can reach, without TLS and authentication, is refused; else told */
};

/* listen: "127.0.0.1:7301", "[::1]:7301"; port 0 = any (see http_server_port). settings NULL = nothing set; a copy is made. The server runs its own
 * thread. */
bool http_server_start(const char *listen, const struct http_settings *settings, struct status_board *board,
                       struct http_server **ret, struct err *err) MUST_CHECK;
int http_server_port(const struct http_server *server);
/* Reads the token file once more. False: the old tokens hold. @thread any */
bool http_server_reload(struct http_server *server, struct err *err) MUST_CHECK;
/* From now on these are served, too; kept by pointer. Once. */
void http_server_serve(struct http_server *server, const struct http_pages *pages);
/* Streams look again whether there is something to send. @thread any, until http_server_stop() begins */
void http_server_wake(struct http_server *server);
void http_server_stop(struct http_server *server); /* NULL allowed */

/* How a role is asked. Texts are kept by pointer; NULL = not set. */
struct http_access {
    bool tls;
    bool reads_need_token; /* GET is answered to who shows the token alone */
    const char *token_file;
    const char *ca;         /* that has signed the roles' certificates; NULL = the system's */
    const char *cert, *key; /* of the client */
};

/* GET http[s]://<listen><path>; body malloc'd, at most 4 MiB. ERR_CONNECT if nobody answers within timeout_ms. access NULL: plain, without
 * credentials. */
bool http_get(const struct http_access *access, const char *listen, const char *path, int timeout_ms,
              char **ret_body, int *ret_status, struct err *err) MUST_CHECK;
/* As http_get, with POST of a JSON object. ERR_CONFIG: no token can be read, or it would go over the network unencrypted. */
bool http_post(const struct http_access *access, const char *listen, const char *path, const char *json,
               int timeout_ms, char **ret_body, int *ret_status, struct err *err) MUST_CHECK;

#endif
