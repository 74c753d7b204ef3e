/* Owns: which jobs there are. See jobs.h. */
#include "compare/semantic/jobs.h"

#include <stdlib.h>
#include <string.h>

#include "config/table_filter.h"
#include "core/alloc.h"

static struct semantic_job *add_job(struct job_list *list, const struct semantic *semantic,
                                    struct plan_table *pt, const void *rule,
                                    bool (*run)(struct semantic_job *job, struct pair *pair, struct err *err))
{
    list->jobs = xrealloc(list->jobs, (list->count + 1) * sizeof *list->jobs);
    struct semantic_job *job = &list->jobs[list->count++];
    *job = (struct semantic_job){.semantic = semantic, .pt = pt, .rule = rule, .run = run};
    return job;
}

/* In the order of the plan, which is by work; the report is by rule. */
static struct plan_table *next_table(const struct semantic *semantic, const struct table_choice *of,
                                     size_t *at)
{
    while (*at < semantic->plan->count) {
        struct plan_table *pt = semantic->plan->tables[(*at)++];
        if (table_filter_matches(of->tables, pt->out.schema, pt->out.table))
            return pt;
    }
    return NULL;
}

/* Of a table that cannot be compared nothing else can be checked either. */
static void give_up(struct semantic_job *job)
{
    for (size_t i = 0; job->pt != NULL && !job->pt->comparable && i < job->check_count; i++)
        check_conclude(&job->checks[i], STATE_INCONCLUSIVE, "the table cannot be compared: %s",
                       job->pt->out.reason);
}

/* A pattern for which there is no table proves nothing, and is most likely a slip of the pen. */
static void add_unmatched(struct job_list *list, const struct semantic *semantic,
                          const struct table_choice *of, enum check_kind kind, enum severity severity)
{
    if (!semantic->whole_pipeline)
        return;
    struct semantic_job *job = add_job(list, semantic, NULL, NULL, NULL);
    check_conclude(job_add_check(job, kind, of->pattern, NULL, "", severity), STATE_INCONCLUSIVE,
                   "no table of the pipeline fits the pattern %s", of->pattern);
}

static const char *by_text(const struct count_rule *rule)
{
    static const char *const texts[] = {"",         "by partition", "by hour", "by day",
                                        "by month", "by year",      "by value"};
    return texts[rule->by];
}

static void add_counts(struct job_list *list, const struct semantic *semantic)
{
    for (size_t i = 0; i < semantic->rules->count_count; i++) {
        const struct count_rule *rule = &semantic->rules->counts[i];
        size_t at = 0, before = list->count;
        for (struct plan_table *pt; (pt = next_table(semantic, &rule->of, &at)) != NULL;) {
            struct semantic_job *job = add_job(list, semantic, pt, rule, count_job);
            (void)job_add_check(job, CHECK_COUNT, NULL, rule->column, by_text(rule), SEVERITY_REGRESSION);
            give_up(job);
        }
        if (list->count == before)
            add_unmatched(list, semantic, &rule->of, CHECK_COUNT, SEVERITY_REGRESSION);
    }
}

static void add_queries(struct job_list *list, const struct semantic *semantic)
{
    for (size_t i = 0; semantic->whole_pipeline && i < semantic->rules->query_count; i++) {
        const struct query_pair *q = &semantic->rules->queries[i];
        (void)job_add_check(add_job(list, semantic, NULL, q, query_job), CHECK_QUERY, q->name, NULL, "",
                            q->severity);
    }
}

static void add_aggregates(struct job_list *list, const struct semantic *semantic)
{
    for (size_t i = 0; i < semantic->rules->aggregate_count; i++) {
        const struct aggregate_rule *rule = &semantic->rules->aggregates[i];
        size_t at = 0, before = list->count;
        for (struct plan_table *pt; (pt = next_table(semantic, &rule->of, &at)) != NULL;) {
            struct semantic_job *job = add_job(list, semantic, pt, rule, aggregate_job);
            if (!pt->comparable) /* else its columns make the checks */
                (void)job_add_check(job, CHECK_AGGREGATE, NULL, NULL, "aggregates", rule->severity);
            give_up(job);
        }
        if (list->count == before)
            add_unmatched(list, semantic, &rule->of, CHECK_AGGREGATE, rule->severity);
    }
}

static void add_samples(struct job_list *list, const struct semantic *semantic)
{
    for (size_t i = 0; i < semantic->rules->sample_count; i++) {
        const struct sample_rule *rule = &semantic->rules->samples[i];
        size_t at = 0, before = list->count;
        for (struct plan_table *pt; (pt = next_table(semantic, &rule->of, &at)) != NULL;) {
            struct semantic_job *job = add_job(list, semantic, pt, rule, sample_job);
            char *text CLEANUP(free_ptr) = xasprintf("%lld random rows", (long long)rule->rows);
            (void)job_add_check(job, CHECK_SAMPLE, NULL, NULL, text, rule->severity);
            give_up(job);
        }
        if (list->count == before)
            add_unmatched(list, semantic, &rule->of, CHECK_SAMPLE, rule->severity);
    }
}

static char *columns_text(const struct data_check *check)
{
    struct strbuf text = STRBUF_INIT(1 << 20);
    for (size_t i = 0; i < check->column_count; i++)
        strbuf_addf(&text, "%s%s", i > 0 ? ", " : "", check->columns[i]);
    return strbuf_detach(&text);
}

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* The job that scans this table under this condition, if there is one since `first`. */
static struct semantic_job *scan_of(struct job_list *list, size_t first, const struct plan_table *pt,
                                    const char *where)
{
    for (size_t i = first; i < list->count; i++) {
        struct semantic_job *job = &list->jobs[i];
        if (job->pt == pt && job->run == data_checks_job &&
            same_text(job->data_checks[0].contract->of.where, where))
            return job;
    }
    return NULL;
}

static void add_data_checks(struct semantic_job *job, const struct data_contract *contract)
{
    for (size_t i = 0; i < contract->check_count; i++) {
        const struct data_check *check = &contract->checks[i];
        char *columns CLEANUP(free_ptr) = columns_text(check),
                      *rule CLEANUP(free_ptr) = data_check_text(check);
        job->data_checks = xrealloc(job->data_checks, (job->check_count + 1) * sizeof *job->data_checks);
        job->data_checks[job->check_count] = (struct job_check){contract, check};
        bool named = contract->name[0] != '\0';
        char *name CLEANUP(free_ptr) = named && contract->check_count > 1
                                           ? xasprintf("%s: %s %s", contract->name, columns, rule)
                                           : xstrdup(contract->name);
        (void)job_add_check(job, contract->contract ? CHECK_CONTRACT : CHECK_RULE, name, columns, rule,
                            contract->severity);
    }
    give_up(job);
}

/* Contracts and rules of one table share a scan. */
static void add_contracts(struct job_list *list, const struct semantic *semantic)
{
    size_t first = list->count;
    for (size_t i = 0; i < semantic->rules->contract_count; i++) {
        const struct data_contract *contract = &semantic->rules->contracts[i];
        enum check_kind kind = contract->contract ? CHECK_CONTRACT : CHECK_RULE;
        size_t at = 0;
        bool fits = false;
        if (contract->sql[0] != NULL) {
            if (semantic->whole_pipeline)
                (void)job_add_check(add_job(list, semantic, NULL, contract, data_query_job), kind,
                                    contract->name, NULL, "returns no row", contract->severity);
            continue;
        }
        for (struct plan_table *pt; (pt = next_table(semantic, &contract->of, &at)) != NULL; fits = true) {
            struct semantic_job *job = scan_of(list, first, pt, contract->of.where);
            add_data_checks(job != NULL ? job : add_job(list, semantic, pt, contract, data_checks_job),
                            contract);
        }
        if (!fits)
            add_unmatched(list, semantic, &contract->of, kind, contract->severity);
    }
}

struct job_list jobs_make(const struct semantic *semantic)
{
    struct job_list list = {0};
    add_counts(&list, semantic);
    if (semantic->level < LEVEL_FULL)
        return list;
    add_queries(&list, semantic);
    add_aggregates(&list, semantic);
    add_samples(&list, semantic);
    add_contracts(&list, semantic);
    return list;
}

void jobs_hand_over(struct job_list *list, struct compare_result *out)
{
    for (size_t i = 0; i < list->count; i++) {
        struct semantic_job *job = &list->jobs[i];
        out->checks = xrealloc(out->checks, (out->check_count + job->check_count + 1) * sizeof *out->checks);
        for (size_t c = 0; c < job->check_count; c++)
            out->checks[out->check_count++] = job->checks[c];
        free(job->checks);
        free(job->data_checks);
    }
    free(list->jobs);
    *list = (struct job_list){0};
}
