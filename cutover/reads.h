/*
 * Reads of the application that go to the target before the cutover, in steps (cutover.read_steps): a hook leads a share of them there, shadow queries measure it.
 * Writes are nobody's business here. Private to this module. @thread owner
 */
#ifndef CUTOVER_READS_H
#define CUTOVER_READS_H

#include "gates.h"

/* Some steps are configured. */
bool reads_wanted(const struct cutover *co);
/* For how long all of them are held. */
int64_t reads_hold_ms(const struct cutover *co);
/* Leads one share after the other there, holds and measures it; each is recorded before it is taken. The caller asks the gates again. Errors: the hook's;
 * ERR_REFUSED: too slow, or other answers; ERR_FENCED: ended from elsewhere. */
bool reads_step_up(struct cutover *co, struct err *err) MUST_CHECK;
/* Behind the decision: all of them, should the last step have been less; in a rollback all back. */
bool reads_all(struct cutover *co, struct err *err) MUST_CHECK;
/* All back to the source. Does nothing where no steps are configured. */
bool reads_back(struct cutover *co, struct err *err) MUST_CHECK;

gate_fn gate_reads;

#endif
