/* The server's certificate and key, and who a client's certificate is of. Private to the HTTP server. @thread any */
#ifndef CONTROL_HTTP_SERVER_TLS_H
#define CONTROL_HTTP_SERVER_TLS_H

#include <microhttpd.h>

#include "control/http.h"

/* What the library wants to have in memory for as long as the server runs. */
struct http_tls {
    char *cert, *key, *client_ca; /* PEM; client_ca NULL: clients show no certificate */
};

bool http_tls_read(const struct http_settings *settings, struct http_tls *ret, struct err *err) MUST_CHECK;
void http_tls_release(struct http_tls *tls);
/* The subject of the client's certificate, if it has shown one that control.client_ca has signed and that is valid now. */
bool http_tls_peer(struct MHD_Connection *conn, char *ret_subject, size_t size);

#endif
