/* The beginning of a copy: slot, first fence, and what is known to be visible; or going on with one that was interrupted. The
 * copying itself goes on beside the stream (copier.h). */
#ifndef CAPTURE_SNAPSHOT_H
#define CAPTURE_SNAPSHOT_H

#include "capture/capture_internal.h"
#include "capture/copy/visible.h"

/* Can the copy of the last fence go on? s->tables with parts are loaded either way. *ret_why when not: a few words for the log. */
bool cap_snapshot_may_resume(struct cap_session *s, bool *ret_may, const char **ret_why,
                             struct err *err) MUST_CHECK;
/* Makes publication and slot anew and writes the fence with which a copy begins: durable on return. s->publisher runs with the new
 * attempt's number. Fills s->slot_lsn: streaming starts there on s->stream. ERR_INTERRUPTED when a stop was asked for. */
bool cap_snapshot_begin(struct cap_session *s, struct cap_snapshot *ret_floor, struct err *err) MUST_CHECK;
/* Goes on at the last fence: fills s->slot_lsn. */
bool cap_snapshot_resume(struct cap_session *s, struct err *err) MUST_CHECK;
/* Loads the parts of all s->tables. */
bool cap_snapshot_load(struct cap_session *s, struct err *err) MUST_CHECK;

#endif
