/* What the state table does with poolers and hooks. All may be taken again. @thread owner */
#ifndef CUTOVER_POOLERS_ACTIONS_H
#define CUTOVER_POOLERS_ACTIONS_H

#include "cutover/cutover_internal.h"

/* CUT_PAUSING: on_freeze hooks, then all poolers. */
bool act_pause(struct cutover *co, struct err *err) MUST_CHECK;
/* CUT_DECIDING, before the last look for late commits: on_verified hooks, and all poolers still hold their clients. */
bool act_hold(struct cutover *co, struct err *err) MUST_CHECK;
/* CUT_SWITCHING: all poolers, then on_switch and on_done hooks. */
bool act_switch(struct cutover *co, struct err *err) MUST_CHECK;
/* CUT_ABORTING, when the source is open again: resumes the poolers, then on_abort hooks. */
bool act_unpause(struct cutover *co, struct err *err) MUST_CHECK;

#endif
