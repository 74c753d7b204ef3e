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
/* The slot still has everything behind the last fence: else ERR_GAP. Fills s->slot_lsn. */
bool cap_check_slot(struct cap_session *s, struct err *err) MUST_CHECK;
/*
 * A restored server with the old identifier, timeline and a position beyond the last fence is told by its
 * history: the stream begins where the slot stands, and what comes up to the last fence must be what the
 * journal holds. from_lsn: the slot's position; commits, last_commit_time_us: what came from there to before
 * pos->lsn. ERR_IDENTITY if it is not. Pure.
 */
bool cap_check_history(const struct cap_position *pos, lsn_t from_lsn, uint64_t commits,
                       int64_t last_commit_time_us, struct err *err) MUST_CHECK;
/* Pure part of cap_check_identity(). history: ancestors of now->timeline. */
bool cap_identity_fits(const struct cap_position *pos, const struct repl_identity *now,
                       const struct repl_timeline *history, size_t history_count, struct err *err) MUST_CHECK;

#endif
