/* The pages and streams of a server (http_pages.h). Private to this module. */
#ifndef CONTROL_HTTP_SERVER_STREAM_H
#define CONTROL_HTTP_SERVER_STREAM_H

#include <microhttpd.h>

#include "control/http_pages.h"

struct http_streams;

struct http_streams *http_streams_new(const struct http_pages *pages);
/* True: the path is one of the pages or the stream, and *ret is what queueing the answer came to. streams may be NULL. @thread the server's */
bool http_streams_take(struct http_streams *streams, struct MHD_Connection *conn, const char *path,
                       enum MHD_Result *ret);
void http_streams_wake(struct http_streams *streams); /* @thread any; NULL allowed */
/* Before MHD_stop_daemon(): all streams come to their end. NULL allowed. */
void http_streams_end(struct http_streams *streams);
void http_streams_free(struct http_streams *streams); /* NULL allowed */

#endif
