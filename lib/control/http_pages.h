/*
 * What a role serves beside its figures: pages, and one stream of server-sent events to a bounded number of clients. Whoever has something to
 * show fills this in (lib/statuspage); the server calls it and knows nothing of contents.
 */
#ifndef CONTROL_HTTP_PAGES_H
#define CONTROL_HTTP_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/strbuf.h"

#define HTTP_STREAMS_MAX 8 /* clients of the stream at a time; one more gets 503 */

struct http_page {
    char *body;         /* malloc'd, the server frees it */
    const char *type;   /* "text/html; charset=utf-8"; kept by pointer */
    const char *policy; /* of Content-Security-Policy, NULL = none; kept by pointer */
};

/* All are called by the server's one thread. */
struct http_pages {
    void *ctx;
    /* after: of ?after=N, 0 = not given. False: there is no such page. */
    bool (*get)(void *ctx, const char *path, uint64_t after, struct http_page *ret);
    const char *stream_path;
    void *(*stream_open)(void *ctx); /* what next() gets; never NULL */
    /* Appends whole events; nothing = there is nothing to send until http_server_wake(). Called when the client has taken what came before: who
     * reads slowly gets fewer, later states, never a queue of them. */
    void (*stream_next)(void *client, struct strbuf *out);
    void (*stream_close)(void *client);
};

#endif
