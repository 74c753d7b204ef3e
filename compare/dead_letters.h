/* Dead letters of apply, as a comparison sees them: changes that are known not to be on the target. */
#ifndef COMPARE_DEAD_LETTERS_H
#define COMPARE_DEAD_LETTERS_H

#include "compare/compare.h"
#include "session.h"

/* By the session's snapshot of the target: a table that has some is no PASS. */
bool dead_letters_conclude(struct session *target, struct compare_result *out, struct err *err) MUST_CHECK;

#endif
