/*
 * Hooks: commands of the configuration at points of a cutover ("on_freeze", …), run by /bin/sh -c one after the other. Each gets
 * what docs/OPERATIONS.md says: CROSSFADE_* in its environment, the same as JSON on its standard input; no secrets. What it says is
 * told line by line, up to a limit and without secrets of ours.
 * @thread owner
 */
#ifndef CUTOVER_POOLERS_HOOKS_H
#define CUTOVER_POOLERS_HOOKS_H

#include "cutover/cutover_internal.h"

/* Stops at the first that fails: exit code, signal, or cutover.hook_timeout_ms (it is ended then, with its children). */
bool hooks_run(struct cutover *co, const char *event, struct err *err) MUST_CHECK;
/* All of them, whatever one says; failures are told. */
void hooks_report(struct cutover *co, const char *event);

#endif
