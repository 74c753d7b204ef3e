/* What people ask of a running capture (lib/control/desk.h), and what a configuration that is read again changes. @thread owner */
#ifndef CAPTURE_ASKED_H
#define CAPTURE_ASKED_H

#include "capture/capture_internal.h"

/* The settings of the run, of which some are live. */
struct cap_asked {
    struct desk *desk;
    struct cap_settings *settings;
    int64_t rows_configured;
    unsigned config_seen;
};

/* It may be told to pause its copies, to throttle them, and to drain (stream: it follows a stream that can be asked where it ends). */
void cap_asked_open(struct cap_asked *asked, struct status_board *board, struct cap_settings *settings,
                    bool stream);
/* Takes up what is new. */
void cap_asked_look(struct cap_asked *asked);
/* Copies are to wait. */
bool cap_asked_paused(const struct cap_asked *asked);

#endif
