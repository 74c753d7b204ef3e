/* Tables that the application writes on both sides (apply.conflicts), as a comparison sees them. */
#ifndef COMPARE_DUAL_WRITE_H
#define COMPARE_DUAL_WRITE_H

#include "compare/compare.h"
#include "session.h"

/* By the session's snapshot of the target: such tables get a note that counts their conflicts, and are no PASS while one is open. */
bool dual_write_conclude(struct session *target, struct compare_result *out, struct err *err) MUST_CHECK;

#endif
