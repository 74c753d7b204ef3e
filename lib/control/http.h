/* HTTP for the roles: GET /status (JSON), /metrics (Prometheus text), /health (200 or 503), /healthz (200 as long as the role's loop goes round), /readyz (200 as long
 * as the role works and is healthy); POST /pause, /resume (apply; from
 * this machine only, whatever the address that it listens at). And the client side. */
#ifndef CONTROL_HTTP_H
#define CONTROL_HTTP_H

#include "control/status.h"

struct http_server;

/* listen: "127.0.0.1:7301", "[::1]:7301"; port 0 = any (see http_server_port). The server runs its own
 * thread. */
bool http_server_start(const char *listen, struct status_board *board, struct http_server **ret,
                       struct err *err) MUST_CHECK;
int http_server_port(const struct http_server *server);
void http_server_stop(struct http_server *server); /* NULL allowed */

/* GET http://<listen><path>; body malloc'd, at most 4 MiB. ERR_CONNECT if nobody answers within timeout_ms.
 */
bool http_get(const char *listen, const char *path, int timeout_ms, char **ret_body, int *ret_status,
              struct err *err) MUST_CHECK;
/* As http_get, with POST and without a body. */
bool http_post(const char *listen, const char *path, int timeout_ms, char **ret_body, int *ret_status,
               struct err *err) MUST_CHECK;

#endif
