/*
 * The end of a role is bounded: an alert's command, a target whose control table is locked or a role that does not answer must not keep a
 * process that has halted from saying so. What takes longer than its step may is given up: that is logged, and the process ends with its exit
 * code. Nothing is lost by it: what has to last is durable before.
 */
#ifndef CLI_END_GUARD_H
#define CLI_END_GUARD_H

#include <stdint.h>

/* All steps together: with apply's own 10 s this stays below the units' TimeoutStopSec. */
#define END_WITHIN_MS 9000

struct end_guard;

/* From now on the process ends within END_WITHIN_MS, with exit code `code`. last_word: called by the guard's thread before it ends the
 * process in the middle of a step. NULL: there is no thread to be had; that is logged, and the end has no bound of its own. */
struct end_guard *end_guard_start(int code, void (*last_word)(void *ctx), void *ctx);
/* A step begins, which may take so long. name: for the log, kept by pointer. guard NULL allowed. */
void end_guard_step(struct end_guard *guard, const char *name, int64_t within_ms);
/* All steps are done. NULL allowed. */
void end_guard_stop(struct end_guard *guard);

#endif
