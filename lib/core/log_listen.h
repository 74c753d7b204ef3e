/* Who wants to see the log beside stderr: the status page. */
#ifndef CORE_LOG_LISTEN_H
#define CORE_LOG_LISTEN_H

/* Gets every event that is logged beside its line: level, name, text (valid UTF-8, may hold control characters). Called by the thread that
 * logs; must neither log nor block. One listener, NULL = none: behind that call it is not called any more. @thread any */
typedef void log_listener_fn(void *ctx, const char *level, const char *event, const char *text);
void log_listen(log_listener_fn *listener, void *ctx);

#endif
