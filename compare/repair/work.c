/* Owns: which of the rows that differ are repaired, and which tables are refused. See work.h. */
#include "compare/repair/work.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "compare/control.h"
#include "core/alloc.h"

char *repair_table_name(const struct repair_table *t)
{
    return xasprintf("%s.%s", t->schema, t->table);
}

static struct repair_table *take_table(struct repair_result *out, const struct compare_table *t, bool first)
{
    for (size_t i = 0; i < out->table_count; i++) {
        if (strcmp(out->tables[i].schema, t->schema) == 0 && strcmp(out->tables[i].table, t->table) == 0)
            return &out->tables[i];
    }
    out->tables = xrealloc(out->tables, (out->table_count + 1) * sizeof *out->tables);
    struct repair_table *rt = &out->tables[out->table_count++];
    *rt = (struct repair_table){.schema = xstrdup(t->schema), .table = xstrdup(t->table)};
    for (size_t i = 0; first && i < t->difference_count; i++)
        rt->found[t->differences[i].kind]++;
    rt->more = first && t->more;
    return rt;
}

static const struct plan_table *find_plan(const struct repair_run *run, const struct compare_table *t)
{
    for (size_t i = 0; i < run->plan.count; i++) {
        const struct plan_table *pt = run->plan.tables[i];
        if (strcmp(pt->out.schema, t->schema) == 0 && strcmp(pt->out.table, t->table) == 0)
            return pt;
    }
    return NULL;
}

/* A count of rows that name this table in a statement's result (schema, table, …). */
static bool is_named(struct repair_run *run, const char *control_table, const char *sql,
                     const struct compare_table *t, bool *ret, struct err *err)
{
    ROWSET_AUTO res = NULL;
    struct session *target = run->side[SIDE_TARGET];
    int64_t there = 0;
    *ret = false;
    if (!session_int64(target, control_of(target)->table_there, 1, &control_table, &there, err))
        return err_wrap(err, "target");
    if (there == 0)
        return true;
    if (!session_ask(target, sql, 1, &run->pipeline, &res, err))
        return err_wrap(err, "target: %s", control_table);
    for (int row = 0; row < rowset_rows(res); row++)
        *ret = *ret || (strcmp(rowset_cell(res, row, 0), t->schema) == 0 &&
                        strcmp(rowset_cell(res, row, 1), t->table) == 0);
    return true;
}

/* Rows whose two keys count as one: no statement could name both sides' row. */
static bool has_apart_keys(const struct compare_table *t)
{
    for (size_t i = 0; i < t->difference_count; i++) {
        if (t->differences[i].kind == DIFF_CHANGED && t->differences[i].key_alike)
            return true;
    }
    return false;
}

/* NULL: by what the comparison says it can be repaired. */
static const char *refusal(const struct repair_run *run, const struct plan_table *pt,
                           const struct compare_table *t)
{
    if (pt == NULL || !pt->comparable || t->verdict == VERDICT_INCONCLUSIVE)
        return t->reason;
    if (pt->key_count == 0)
        return "it has no key: rows cannot be named. Give it one (a primary key, or a unique index over NOT "
               "NULL columns) on both sides, or copy it again: empty it on the target, take it out of the "
               "publication and crossfade capture add-table it";
    if (t->more && run->req->rounds == 1)
        return "it has more differences than a comparison lists: copy it again (crossfade capture "
               "resnapshot), or repair it in rounds (--rounds N)";
    if (has_apart_keys(t))
        return "rows of it have keys that are equal by compare.text or compare.unicode alone: repair it with "
               "compare.text: exact and compare.unicode: as_is, by which they are missing and extra rows";
    return t->difference_count == 0 ? t->reason : NULL;
}

static bool check_table(struct repair_run *run, const struct plan_table *pt, const struct compare_table *t,
                        struct repair_table *rt, struct err *err)
{
    const struct control *control = control_of(run->side[SIDE_TARGET]);
    const char *why = refusal(run, pt, t);
    bool letters = false, dual = false;
    if (why == NULL && (!is_named(run, "dead_letter", control->dead_letters, t, &letters, err) ||
                        !is_named(run, "dual_write", control->dual_writes, t, &dual, err)))
        return false;
    if (letters)
        why = "dead letters of it are held: later changes of their rows wait behind them. Settle these first "
              "(crossfade apply dlq)";
    else if (dual)
        why = "it is written on both sides (apply.conflicts): what differs may be the application's own. Its "
              "conflicts are settled by crossfade apply conflicts";
    free(rt->refused);
    rt->refused = why != NULL ? xstrdup(why) : NULL;
    return true;
}

static bool same_key(char *const *a, char *const *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(a[i], b[i]) != 0)
            return false;
    }
    return true;
}

/* The key of rows that the target has several times comes once. */
static void take_kind(const struct compare_table *t, enum compare_kind kind, struct repair_job *job)
{
    for (size_t i = 0; i < t->difference_count; i++) {
        const struct compare_difference *d = &t->differences[i];
        char *const *before = i > 0 ? t->differences[i - 1].key_texts : NULL;
        bool again =
            before != NULL && d->key_texts != NULL && same_key(before, d->key_texts, job->pt->key_count);
        if (d->kind == kind && d->key_texts != NULL && !again)
            job->rows[job->count++] = (struct repair_row){kind, d->key_texts};
    }
}

/* What goes makes room for unique values of what comes. */
static void take_rows(const struct repair_run *run, const struct compare_table *t, struct repair_job *job)
{
    job->rows = xcalloc(t->difference_count + 1, sizeof *job->rows);
    if (run->req->delete_extra)
        take_kind(t, DIFF_EXTRA, job);
    take_kind(t, DIFF_CHANGED, job);
    take_kind(t, DIFF_MISSING, job);
}

/* Apply would halt at a unique value that another row of the target has: within one request it finds an order, but not in front of
 * rows that stay as they are. */
static bool check_unique(struct repair_run *run, const struct compare_table *t, const struct repair_job *job,
                         char **ret_why, struct err *err)
{
    struct session *target = run->side[SIDE_TARGET];
    const struct repair_table *rt = &run->out->tables[job->table];
    const struct cat_table *cat = catalog_find(&run->cats[SIDE_TARGET], rt->schema, rt->table);
    const char *params[] = {cat->schema, cat->name};
    int64_t count = 0;
    bool extra_stays = false;
    for (size_t i = 0; !run->req->delete_extra && i < t->difference_count; i++)
        extra_stays = extra_stays || t->differences[i].kind == DIFF_EXTRA;
    if (job->count == 0 || (!extra_stays && repair_is_one_request(job)))
        return true;
    if (!session_int64(target, control_of(target)->unique_indexes, 2, params, &count, err))
        return err_wrap(err, "target: unique indexes");
    if (count > 1)
        *ret_why = xasprintf(
            "it has more than one unique index on the target, and %s: apply would halt at such a row. %s",
            extra_stays
                ? "a row that the target alone has may hold a value of one that is repaired"
                : "more rows differ than one request carries, of which one may hold a value of another",
            extra_stays ? "Repair with --delete-extra, or look at those rows first"
                        : "Empty it on the target and copy it again (crossfade capture resnapshot)");
    return true;
}

/* A trigger may be what made the difference: then the repair's rows are changed again. */
static bool note_triggers(struct repair_run *run, struct repair_table *rt, struct err *err)
{
    ROWSET_AUTO res = NULL;
    struct session *target = run->side[SIDE_TARGET];
    const struct cat_table *t = catalog_find(&run->cats[SIDE_TARGET], rt->schema, rt->table);
    const char *params[] = {t->schema, t->name};
    if (rt->note != NULL)
        return true;
    if (!session_ask(target, control_of(target)->triggers, 2, params, &res, err))
        return err_wrap(err, "target: triggers");
    if (rowset_rows(res) > 0)
        rt->note = xasprintf("trigger %s of the target runs for what apply writes, too: it may change the "
                             "rows once more",
                             rowset_cell(res, 0, 0));
    return true;
}

static void job_release(struct repair_job *job)
{
    for (size_t i = 0; job->cells != NULL && i < job->count * job->pt->key_count; i++)
        free(job->cells[i]);
    free(job->cells);
    free(job->rows);
}

static bool plan_job(struct repair_run *run, const struct compare_table *t, bool first, struct err *err)
{
    const struct plan_table *pt = find_plan(run, t);
    struct repair_table *rt = take_table(run->out, t, first);
    char *why = NULL;
    if (!check_table(run, pt, t, rt, err))
        return false;
    if (rt->refused != NULL)
        return true;
    if (!note_triggers(run, rt, err))
        return false;
    struct repair_job job = {.table = (size_t)(rt - run->out->tables), .pt = pt};
    take_rows(run, t, &job);
    if (run->req->way == REPAIR_JOURNAL && (!repair_journal_check(run, &job, &why, err) ||
                                            (why == NULL && !check_unique(run, t, &job, &why, err)))) {
        job_release(&job);
        return false;
    }
    if (why != NULL || job.count == 0) {
        rt->refused = why;
        job_release(&job);
        return true;
    }
    run->jobs[run->job_count++] = job;
    return true;
}

bool repair_plan_jobs(struct repair_run *run, bool first, struct err *err)
{
    repair_jobs_free(run);
    run->jobs = xcalloc(run->found.table_count + 1, sizeof *run->jobs);
    for (size_t i = 0; i < run->found.table_count; i++) {
        const struct compare_table *t = &run->found.tables[i];
        if (t->verdict != VERDICT_PASS && !plan_job(run, t, first, err))
            return err_wrap(err, "table=%s.%s", t->schema, t->table);
    }
    return true;
}

void repair_jobs_free(struct repair_run *run)
{
    for (size_t i = 0; i < run->job_count; i++)
        job_release(&run->jobs[i]);
    free(run->jobs);
    run->jobs = NULL;
    run->job_count = 0;
}
