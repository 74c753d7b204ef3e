/* The apply role: journal → target. Runs until stop_fd is readable (finishes the batch at hand) or it must
 * halt. */
#ifndef APPLY_APPLY_H
#define APPLY_APPLY_H

#include "config/config.h"
#include "control/status.h"

/* See capture_run(). @thread owner */
bool apply_run(const struct config *cfg, struct status_board *board, int stop_fd, struct err *err) MUST_CHECK;

#endif
