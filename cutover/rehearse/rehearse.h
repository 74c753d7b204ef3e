/*
 * A rehearsal of the rollback: cutover, writes on the new side, rollback, writes on the old side, on scratch databases beside the pipeline's
 * own two, with a bounded sample of their rows, by the same executable. The pipeline itself, its databases' contents and its journal are
 * only read; what is made is listed beforehand and taken away afterwards, and what a killed rehearsal has left is found by its name.
 * From PostgreSQL to PostgreSQL or MariaDB. @thread owner: the process' main thread (its children end with it)
 */
#ifndef CUTOVER_REHEARSE_REHEARSE_H
#define CUTOVER_REHEARSE_REHEARSE_H

#include <jansson.h>
#include <stdbool.h>

#include "config/config.h"
#include "core/err.h"

struct rehearse_request {
    bool execute; /* else it is only told what would be made */
    bool keep; /* databases and folder stay (until the next rehearsal of the pipeline); processes never do */
    int stop_fd; /* readable = stop and take all away */
    void *ctx;
    void (*say)(void *ctx, const char *text); /* one line, without secrets */
};

enum rehearse_outcome {
    REHEARSE_COULD_NOT = 0, /* *err says why */
    REHEARSE_PLANNED,
    REHEARSE_PASSED,
    REHEARSE_FAILED /* it found something: *err says what */
};

/* *ret_report: outcome, reason, databases, folder, tables, rows, missing, leftovers, removed, steps with their times, pauses, left; the caller's.
 * In whatever way it ends. cfg: of the pipeline, not turned round. err: COULD_NOT and FAILED. */
enum rehearse_outcome rehearse(const struct config *cfg, const struct rehearse_request *request,
                               json_t **ret_report, struct err *err);

#endif
