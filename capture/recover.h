/* Where the journal stands, and whether it and the source still belong together. @thread owner */
#ifndef CAPTURE_RECOVER_H
#define CAPTURE_RECOVER_H

#include "capture/capture_internal.h"

/* Reads the end of the fence stream. The writer must be open: it has settled what an earlier one left. */
bool cap_position_read(const struct cap_settings *settings, struct cap_position *ret,
                       struct err *err) MUST_CHECK;
void cap_position_release(struct cap_position *pos);
/* Same system, no fork before the last fence, nothing lost by a restore: else ERR_IDENTITY. s->stream is not
 * streaming. */
bool cap_check_identity(struct cap_session *s, struct err *err) MUST_CHECK;
/* The slot still has everything behind the last fence: else ERR_GAP. */
bool cap_check_slot(struct cap_session *s, struct err *err) MUST_CHECK;
/* Pure part of cap_check_identity(). history: ancestors of now->timeline. */
bool cap_identity_fits(const struct cap_position *pos, const struct repl_identity *now,
                       const struct repl_timeline *history, size_t history_count, struct err *err) MUST_CHECK;

#endif
