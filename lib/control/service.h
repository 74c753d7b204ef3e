/*
 * What a role tells the service manager that started it (systemd, Type=notify): READY when the board says that the role is,
 * STATUS, STOPPING, and WATCHDOG as long as its loop goes round (core/alive.h). Without $NOTIFY_SOCKET nothing is sent.
 */
#ifndef CONTROL_SERVICE_H
#define CONTROL_SERVICE_H

#include "control/status.h"

struct service;

/* stop_fd: readable once an orderly end is asked for. The caller's thread is the loop from here on. Its own thread says what
 * changes; the watchdog is fed by the loop itself, by that thread only while the loop waits for a server.
 * @thread the role's, once per process */
struct service *service_start(struct status_board *board, int stop_fd);
/* `text`: the role's last word (why it has halted); NULL = it was stopped. */
void service_stop(struct service *service, const char *text);

/* The role reads its configuration again, and has. Nothing is said before it was ready for the first time. @thread any */
void service_reloading(void);
void service_reloaded(void);

#endif
