/* The guards and actions that the state table names (actions.c). All are idempotent. Private to this module. @thread owner */
#ifndef CUTOVER_ACTIONS_H
#define CUTOVER_ACTIONS_H

#include "cutover_internal.h"

/* The decision row says open, and for this cutover. Else ERR_FENCED. */
bool guard_open(struct cutover *co, struct err *err) MUST_CHECK;
/* The same, for who works or waits for long: it outlives a restart of the source. */
bool guard_still_open(struct cutover *co, struct err *err) MUST_CHECK;
bool guard_switched(struct cutover *co, struct err *err) MUST_CHECK;
bool guard_not_switched(struct cutover *co, struct err *err) MUST_CHECK;
/* Hooks, poolers, then closes the source once more, and looks whether anything was committed to it behind the final fence. */
bool guard_nothing_late(struct cutover *co, struct err *err) MUST_CHECK;

bool act_begin(struct cutover *co, struct err *err) MUST_CHECK;
bool act_wait(struct cutover *co, struct err *err) MUST_CHECK;
bool act_read(struct cutover *co, struct err *err) MUST_CHECK;
bool act_prepare(struct cutover *co, struct err *err) MUST_CHECK;
bool act_arm(struct cutover *co, struct err *err) MUST_CHECK;
bool act_freeze(struct cutover *co, struct err *err) MUST_CHECK;
bool act_mark(struct cutover *co, struct err *err) MUST_CHECK;
bool act_drain(struct cutover *co, struct err *err) MUST_CHECK;
bool act_sequences(struct cutover *co, struct err *err) MUST_CHECK;
bool act_verify(struct cutover *co, struct err *err) MUST_CHECK;
bool act_decide(struct cutover *co, struct err *err) MUST_CHECK;
bool act_finish(struct cutover *co, struct err *err) MUST_CHECK;
bool act_abort(struct cutover *co, struct err *err) MUST_CHECK;

#endif
