/* Owns: what the jobs of all kinds share. See job.h. */
#include "compare/semantic/job.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

struct compare_check *job_add_check(struct semantic_job *job, enum check_kind kind, const char *name,
                                    const char *columns, const char *rule, enum severity severity)
{
    job->checks = xrealloc(job->checks, (job->check_count + 1) * sizeof *job->checks);
    struct compare_check *check = &job->checks[job->check_count++];
    *check = (struct compare_check){.kind = kind,
                                    .columns = columns != NULL ? xstrdup(columns) : NULL,
                                    .rule = xstrdup(rule),
                                    .severity = xstrdup(severity_name(severity)),
                                    .reason = xstrdup("")};
    if (job->pt != NULL)
        check->table = xasprintf("%s.%s", job->pt->out.schema, job->pt->out.table);
    if (name != NULL && *name != '\0')
        check->name = xstrdup(name);
    else
        check->name = xasprintf("%s%s%s: %s", check->table != NULL ? check->table : "",
                                columns != NULL ? "." : "", columns != NULL ? columns : "", rule);
    return check;
}

bool check_error(struct compare_check *check, struct err *err)
{
    check_conclude(check, STATE_INCONCLUSIVE, "%s", err->text);
    if (err->code == ERR_CONNECT)
        return false;
    err_clear(err);
    return true;
}

void check_soften(struct compare_check *check, enum severity severity)
{
    if (check->state == STATE_FAIL && severity == SEVERITY_WARN)
        check->state = STATE_FINDING;
}

struct subject job_subject(const struct semantic_job *job, const struct pair *pair, enum side side,
                           const char *where)
{
    return (struct subject){.phrases = phrases_of(pair->session[side]),
                            .from = job->pt->from[side],
                            .where = where,
                            .now = job->semantic->now};
}

bool job_probe(struct semantic_job *job, struct pair *pair, struct grid ret[SIDE_COUNT], struct err *err)
{
    struct strbuf sql[SIDE_COUNT] = SQLS_INIT;
    int64_t duration_us = 0;
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        struct subject on = job_subject(job, pair, side, NULL);
        strbuf_adds(&sql[side], "SELECT c.*");
        phrase_from(&on, &sql[side]);
        strbuf_adds(&sql[side], " LIMIT 0");
    }
    bool ok = fetch_pair(pair, sql, 1, ret, &duration_us, err);
    sqls_release(sql);
    return ok;
}

void grids_release(struct grid grids[SIDE_COUNT])
{
    grid_release(&grids[SIDE_SOURCE]);
    grid_release(&grids[SIDE_TARGET]);
}

void sqls_release(struct strbuf sql[SIDE_COUNT])
{
    strbuf_release(&sql[SIDE_SOURCE]);
    strbuf_release(&sql[SIDE_TARGET]);
}
