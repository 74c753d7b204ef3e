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

#endif
