/*
 * cutover watch: measures a pipeline before and after its cutover, fires triggers (alert, pause, rollback) by cutover.triggers, and runs the
 * cutover by itself where cutover.auto_cutover_on says when. Its state is a row on the target, so that a restart goes on; each firing,
 * clearing and action is a row of the audit chain. What it does to a pipeline or to an application it does only with `execute`.
 * @thread owner
 */
#ifndef CUTOVER_WATCH_H
#define CUTOVER_WATCH_H

#include <jansson.h>

#include "config/config.h"

struct cutover_watch_request {
    bool once;    /* one reading, with all that follows from it */
    bool execute; /* else alerts are all that it does; what it would do is told */
    int stop_fd;
    /* After each reading: schemas as docs/CUTOVER.md has it; valid during the call. NULL = nobody wants it. */
    void (*reading)(void *ctx, const json_t *report);
    void *ctx;
};

/* Runs until stop_fd is readable. *ret_firing: whether any level of a trigger fires at the end. False: it could not run (configuration, another
 * watch of this pipeline; with `once` also a target that is away). Servers that are away are waited for. */
bool cutover_watch(const struct config *cfg, const struct cutover_watch_request *request, bool *ret_firing,
                   struct err *err) MUST_CHECK;

#endif
