/*
 * A process that a cutover leaves behind while poolers are paused. Should the cutover die, clients would wait until somebody comes:
 * the keeper lets the poolers go cutover.pooler_hold_ms after the pause began, to where their files say. Before the decision that is the
 * source; behind it a side that is closed tells clients so at once. It goes when the cutover ends in good order, or when it sees that
 * none is paused any more: somebody has taken the cutover up.
 * @thread owner
 */
#ifndef CUTOVER_POOLERS_KEEPER_H
#define CUTOVER_POOLERS_KEEPER_H

#include "cutover/poolers/poolers_internal.h"

/* Does nothing if there is one already. */
bool keeper_start(struct cutover *co, struct poolers *ps, struct err *err) MUST_CHECK;
void keeper_end(struct poolers *ps);

#endif
