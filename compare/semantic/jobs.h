/* From rules and tables to jobs. Private to compare/semantic. */
#ifndef COMPARE_SEMANTIC_JOBS_H
#define COMPARE_SEMANTIC_JOBS_H

#include "compare/semantic/job.h"

struct job_list {
    struct semantic_job *jobs;
    size_t count;
};

/* All jobs of the level, in the order of the report. A rule whose pattern fits no table has a check that says so. */
struct job_list jobs_make(const struct semantic *semantic);
/* Hands the checks to *out, then frees the rest. */
void jobs_hand_over(struct job_list *list, struct compare_result *out);

#endif
