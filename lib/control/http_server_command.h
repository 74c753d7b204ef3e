/*
 * POST /control/<verb>: who may, what is asked, and the answer once the desk has done it. Private to the HTTP server.
 * @thread the server's own, but for http_commands_tokens()
 */
#ifndef CONTROL_HTTP_SERVER_COMMAND_H
#define CONTROL_HTTP_SERVER_COMMAND_H

#include <microhttpd.h>

#include "control/desk.h"
#include "control/http.h"

#define HTTP_BODY_MAX 4096

struct http_commands;

/* One request, from its first line to its end. */
struct http_request {
    struct http_commands *commands;
    struct MHD_Connection *conn;
    char body[HTTP_BODY_MAX + 1];
    size_t len;      /* also what did not fit */
    bool waits;      /* for the desk; the connection is suspended */
    unsigned status; /* of the desk's answer; 0 = none yet */
    char *text;      /* … owned */
};

/* host: that the server listens at; kept by pointer. */
bool http_commands_new(const struct http_settings *settings, const char *host, struct desk *desk,
                       struct http_commands **ret, struct err *err) MUST_CHECK;
void http_commands_free(struct http_commands *c);
/* Reads the tokens once more. False: the old ones hold. */
bool http_commands_tokens(struct http_commands *c, struct err *err) MUST_CHECK;

struct http_request *http_request_new(struct http_commands *c, struct MHD_Connection *conn);
void http_request_free(struct http_request *request);
void http_request_body(struct http_request *request, const char *bytes, size_t len);

/* The request is there as a whole, and a POST to `url`; called again once the desk has answered. False: it is no command. */
bool http_command_take(struct http_request *request, const char *url, enum MHD_Result *ret);
/* GET, HEAD: NULL if it may be answered; else why not, with *ret_status. A wrong token is paced and logged, as with a command. */
const char *http_read_refused(struct http_commands *c, struct MHD_Connection *conn, const char *url,
                              unsigned *ret_status);
/* May this address ask once more? */
bool http_commands_pace(struct http_commands *c, struct MHD_Connection *conn);

#endif
