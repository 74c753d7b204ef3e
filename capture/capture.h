/* The capture role: source → journal. Runs until *stop is set (finishes the fence at hand) or it must halt.
 */
#ifndef CAPTURE_CAPTURE_H
#define CAPTURE_CAPTURE_H

#include "config/config.h"
#include "control/status.h"

/* stop_fd: readable (signalfd/eventfd/pipe) when an orderly stop is asked for; each retryable error is
 * handled inside. Returns true after an orderly stop. @thread owner */
bool capture_run(const struct config *cfg, struct status_board *board, int stop_fd,
                 struct err *err) MUST_CHECK;

/* Accepts what capture halted at (capture.on_ddl): of `table` ("schema.table"), or of all with NULL. Calls each() with every
 * change that was accepted; durable on return. Nothing waits: nothing is done. ERR_REFUSED while capture runs. */
bool capture_accept_ddl(const struct config *cfg, const char *table,
                        void (*each)(void *ctx, const char *schema, const char *table, const char *change),
                        void *ctx, struct err *err) MUST_CHECK;

#endif
