/*
 * Named points at which a test can stop a process: CROSSFADE_FAILPOINT="name[:n[:action]]", the n-th time
 * (default 1) that the point is passed. Actions: kill (default; SIGKILL to self), error (the caller fails
 * with ERR_INJECTED), stop (SIGSTOP to self), hang (the thread that came
 * there goes no further; the others do). Costs one load and a branch when the variable is not set.
 * Names: docs/ARCHITECTURE.md ("Failpoints") says how to list them.
 * @thread any
 */
#ifndef CORE_FAILPOINT_H
#define CORE_FAILPOINT_H

#include <stdbool.h>

#include "core/err.h"

extern bool failpoint_armed;

/* Reads the environment; call at start, before threads. */
void failpoint_init(void);
bool failpoint_hit(const char *name, struct err *err) MUST_CHECK;

/* True = go on. False = *err is filled (action error). */
static inline bool MUST_CHECK failpoint(const char *name, struct err *err)
{
    return !failpoint_armed || failpoint_hit(name, err);
}

#endif
