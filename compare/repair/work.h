/* What the files of a repair share. Private to this folder. */
#ifndef COMPARE_REPAIR_WORK_H
#define COMPARE_REPAIR_WORK_H

#include <stdio.h>

#include "compare/plan.h"
#include "compare/repair/repair.h"
#include "config/table_filter.h"
#include "config/table_rules.h"

/* The rows of one table. */
struct repair_row {
    enum compare_kind kind;
    char *const *key; /* plan_table.key_count texts; the comparison's result or the job owns them */
};

struct repair_job {
    size_t table; /* of result->tables */
    const struct plan_table *pt;
    struct repair_row *rows;
    size_t count;
    char **
        cells; /* through the journal: the rows' keys as the source prints them, count × key_count; else NULL */
};

struct repair_run {
    const struct config *cfg;
    const struct repair_request *req;
    const char *pipeline;
    struct repair_result *out;
    struct compare_result found; /* the last comparison */
    struct session *side[SIDE_COUNT];
    struct catalog cats[SIDE_COUNT];
    struct table_filter *pipeline_filter;
    struct table_rules *rules;
    struct target_unfit_rules unfit;
    struct plan plan;
    struct repair_job *jobs;
    size_t job_count;
    FILE *file; /* SQL; NULL = none */
};

/* Sessions, catalogs and plan are there. Makes jobs of what the comparison found; what cannot be repaired is refused, with the
 * reason in its repair_table. first: the figures of `found` are taken. */
bool repair_plan_jobs(struct repair_run *run, bool first, struct err *err) MUST_CHECK;
void repair_jobs_free(struct repair_run *run);
/* The table's name for messages; malloc'd. */
char *repair_table_name(const struct repair_table *t);

/* Through the journal: asks for the rows and waits until apply has them. */
bool repair_through_journal(struct repair_run *run, struct err *err) MUST_CHECK;
/* The key's columns are those by which capture publishes the table; else *ret_why (malloc'd). Key texts are replaced by ones that the
 * source's types read. */
bool repair_journal_check(struct repair_run *run, struct repair_job *job, char **ret_why,
                          struct err *err) MUST_CHECK;

/* All rows of the job go into one. */
bool repair_is_one_request(const struct repair_job *job);

/* By statements: of each job, in parts, at a fence. */
bool repair_by_sql(struct repair_run *run, struct err *err) MUST_CHECK;

/* Tells what it waits for. False: stop was asked for. */
bool repair_pause(const struct repair_run *run, const char *text, int64_t since_us, int ms);

#endif
