/*
 * Ends connections whose request does not come to its end in time, however diligently they send: the idle timeout of the library starts anew
 * with each byte. Private to the HTTP server. @thread any
 */
#ifndef CONTROL_HTTP_SERVER_LATE_H
#define CONTROL_HTTP_SERVER_LATE_H

#include <stdint.h>

struct http_late;
struct http_late_mark;

struct http_late *http_late_start(int64_t allowed_us);
void http_late_end(struct http_late *late); /* NULL allowed; no connection is left */
/* A connection begins; the descriptor stays open until http_late_leave(). */
struct http_late_mark *http_late_enter(struct http_late *late, int fd);
void http_late_leave(struct http_late *late, struct http_late_mark *mark);
/* Its request is there: it may take as long as it likes to be answered. */
void http_late_whole(struct http_late *late, struct http_late_mark *mark);
/* It was answered: the next request's time begins. */
void http_late_again(struct http_late *late, struct http_late_mark *mark);

#endif
