/*
 * Statements for the target that take long, on several sessions side by side, with progress: ended by the step's deadline, by a stop, and when the
 * decision row says something else than it should (the cutover was aborted). Private to cutover. @thread owner
 */
#ifndef CUTOVER_PREPARE_JOBS_H
#define CUTOVER_PREPARE_JOBS_H

#include "cutover/cutover_internal.h"

struct job {
    char *sql;      /* one statement */
    char *what;     /* for messages: table=public.orders */
    int64_t weight; /* in whatever unit; the time that is left is told by it */
};

struct jobs {
    const char *name;  /* "analyze" */
    const char *state; /* what the decision row has to say for them to go on: "open" */
    struct job *items;
    size_t count, cap;
};

/* Takes both texts over. */
void jobs_add(struct jobs *jobs, char *sql, char *what, int64_t weight);
void jobs_release(struct jobs *jobs);
/* In their order, `workers` at a time; the first that fails ends all. */
bool jobs_run(struct cutover *co, const struct jobs *jobs, size_t workers, struct err *err) MUST_CHECK;

#endif
