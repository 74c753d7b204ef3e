/* One job of semantic.h: a rule for one table, a query pair … Private to compare/semantic. */
#ifndef COMPARE_SEMANTIC_JOB_H
#define COMPARE_SEMANTIC_JOB_H

#include "compare/semantic/fetch.h"
#include "compare/semantic/semantic.h"

struct job_check {
    const struct data_contract *contract;
    const struct data_check *check;
};

struct semantic_job {
    const struct semantic *semantic;
    struct plan_table *pt; /* NULL for what names no table */
    /* False: *err ends the run (a connection broke). What a check could not do is INCONCLUSIVE, and true. */
    bool (*run)(struct semantic_job *job, struct pair *pair, struct err *err);
    const void *rule; /* query_pair, aggregate_rule, sample_rule, count_rule or data_contract (with sql) */
    struct job_check *data_checks; /* parallel to checks: of one table under one condition */
    struct compare_check *checks;
    size_t check_count;
};

bool query_job(struct semantic_job *job, struct pair *pair, struct err *err);
bool count_job(struct semantic_job *job, struct pair *pair, struct err *err);
bool aggregate_job(struct semantic_job *job, struct pair *pair, struct err *err);
bool sample_job(struct semantic_job *job, struct pair *pair, struct err *err);
bool data_query_job(struct semantic_job *job, struct pair *pair, struct err *err);
bool data_checks_job(struct semantic_job *job, struct pair *pair, struct err *err);

/* A check behind the others of the job; name NULL: made of table, columns and rule. Takes over no text. */
struct compare_check *job_add_check(struct semantic_job *job, enum check_kind kind, const char *name,
                                    const char *columns, const char *rule, enum severity severity);
/* The statement of a check failed: INCONCLUSIVE and true, or false when the run cannot go on. Clears *err. */
bool check_error(struct compare_check *check, struct err *err);
/* A difference where a warning is all that is wanted. */
void check_soften(struct compare_check *check, enum severity severity);
/* The job's table on one side. */
struct subject job_subject(const struct semantic_job *job, const struct pair *pair, enum side side,
                           const char *where);
/* No rows, all columns: what they hold, on both sides. */
bool job_probe(struct semantic_job *job, struct pair *pair, struct grid ret[SIDE_COUNT],
               struct err *err) MUST_CHECK;
void grids_release(struct grid grids[SIDE_COUNT]);
void sqls_release(struct strbuf sql[SIDE_COUNT]);
#define SQLS_INIT                                                                                            \
    {                                                                                                        \
        STRBUF_INIT(STRBUF_SQL_MAX), STRBUF_INIT(STRBUF_SQL_MAX)                                             \
    }

#endif
