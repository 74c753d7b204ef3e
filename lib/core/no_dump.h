/*
 * Passwords and rows are in our memory: nothing of it goes into a core dump, and no other process of the same user reads it
 * (prctl(2), PR_SET_DUMPABLE: neither ptrace nor /proc/PID/mem and environ). Builds for developers (sanitizers, coverage, Debug) leave it
 * alone. CROSSFADE_DUMPABLE in the environment decides otherwise: 1 = a dump may be made (perf, gdb, a fault that has to be found), 0 = none.
 * Programs that we start inherit the limit (core(5)): they may hold passwords, too.
 * @thread before others begin
 */
#ifndef CORE_NO_DUMP_H
#define CORE_NO_DUMP_H

#include <stdbool.h>

#include "core/err.h"

/* By the environment and the kind of build. ERR_CONFIG: CROSSFADE_DUMPABLE is neither 0 nor 1; another: the kernel refuses. */
bool no_dump_init(struct err *err) MUST_CHECK;

#endif
