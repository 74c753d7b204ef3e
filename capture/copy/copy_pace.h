/* How fast a copy may go: rows a second, the source's own latency, and the WAL that it holds back. @thread owner */
#ifndef CAPTURE_COPY_PACE_H
#define CAPTURE_COPY_PACE_H

#include "capture/capture_internal.h"

/* Zeroed: no window was opened yet. */
struct cap_copy_pace {
    int64_t opened_us;    /* the last window; mono */
    uint64_t opened_rows; /* copied before it */
    int64_t slow_log_us;
};

/* No window is to be opened now. copied_rows: in all. */
bool cap_copy_pace_must_wait(struct cap_copy_pace *pace, struct cap_session *s, uint64_t copied_rows,
                             int64_t now_us, bool *ret_wait, struct err *err) MUST_CHECK;
/* Rows of one range: fewer when the copy is slowed down, so that windows stay short. Pure. */
int64_t cap_copy_pace_range_rows(const struct cap_settings *settings);

#endif
