/*
 * Whether the network to a server still takes what is sent there. A host that is gone, or a firewall that has forgotten a connection, sends
 * nothing at all: where data are unacknowledged the kernel goes on sending them for a quarter of an hour, and a call to the server waits as
 * long, though the role says that it is well. Here such a connection is ended after LINE_SILENT_MS, as if the server had closed it. A server
 * that acknowledges is never ended, however long its statement takes and however long it does not read (TCP_USER_TIMEOUT would end that).
 *
 * One per process; without line_watch_start() the rest does nothing. Sockets that are not TCP are passed over. @thread any
 */
#ifndef CORE_LINE_WATCH_H
#define CORE_LINE_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#define LINE_SILENT_MS 30000

/* Connections that are made from now on are looked at, once a second. limit_ms: LINE_SILENT_MS, or less in tests. */
void line_watch_start(int64_t limit_ms);
void line_watch_stop(void);
bool line_watch_runs(void);
/* owner: whose connection it is. who: a host's name, for the log; copied, shortened if need be. */
void line_watch_add(const void *owner, int fd, const char *who);
/* Before it is closed. An unknown one is no error. (One that a library has closed by itself, after an error, is not looked at any more, whosever its
 * number is.) */
void line_watch_remove(const void *owner);

#endif
