/*
 * Owns: rules and contracts. All checks of a table under one condition are counted in one scan; those with a parent take a
 * statement of their own. Where the scan fails, each check is tried alone, so that one bad rule takes no other with it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compare/semantic/job.h"
#include "core/alloc.h"

#define OFFENDERS_SHOWN 10

static void plural(char *out, size_t size, uint64_t n)
{
    (void)snprintf(out, size, "%llu row%s", (unsigned long long)n, n == 1 ? "" : "s");
}

/* What the numbers of rows that break a rule mean. */
static void judge(struct compare_check *check, enum severity severity)
{
    char source[40], target[40];
    plural(source, sizeof source, check->broken_source);
    plural(target, sizeof target, check->broken_target);
    bool worse = check->broken_target > check->broken_source;
    if (check->broken_target == 0 && check->broken_source == 0)
        check_conclude(check, STATE_PASS, "%s", "");
    else if (check->broken_target == 0)
        check_conclude(check, STATE_FINDING, "%s on the source break%s it, none on the target", source,
                       check->broken_source == 1 ? "s" : "");
    else if (check->broken_source == 0)
        check_conclude(check, severity == SEVERITY_WARN ? STATE_FINDING : STATE_FAIL,
                       "%s on the target break%s it, none on the source", target,
                       check->broken_target == 1 ? "s" : "");
    else
        check_conclude(check,
                       severity == SEVERITY_ERROR || (worse && severity != SEVERITY_WARN) ? STATE_FAIL
                                                                                          : STATE_FINDING,
                       "%s on the target, and the source breaks it as well: %s", target, source);
}

/* Rows of one side's result become offenders. */
static void take_offenders(struct compare_check *check, enum side side, const struct grid *grid)
{
    for (size_t r = 0; r < grid->row_count; r++) {
        struct compare_difference row = {.kind = side == SIDE_SOURCE ? DIFF_MISSING : DIFF_EXTRA};
        for (size_t c = 0; c < grid->column_count; c++) {
            const char *cell = grid_cell(grid, r, c);
            difference_add_key(&row, grid->names[c], cell, cell);
        }
        check_add_offender(check, (int)side, &row);
    }
}

static uint64_t broken_on(const struct compare_check *check, enum side side)
{
    return side == SIDE_SOURCE ? check->broken_source : check->broken_target;
}

/* --- queries that must return no row --- */

bool data_query_job(struct semantic_job *job, struct pair *pair, struct err *err)
{
    const struct data_contract *rule = job->rule;
    struct compare_check *check = &job->checks[0];
    struct strbuf sql[SIDE_COUNT] = SQLS_INIT;
    struct grid counts[SIDE_COUNT] = {0};
    for (int side = 0; side < SIDE_COUNT; side++)
        phrase_count(rule->sql[side], &sql[side]);
    bool ok = fetch_pair(pair, sql, 1, counts, &check->duration_us, err);
    if (ok) {
        check->broken_source = grid_count(&counts[SIDE_SOURCE], 0, 0);
        check->broken_target = grid_count(&counts[SIDE_TARGET], 0, 0);
    }
    for (enum side side = SIDE_SOURCE; ok && side < SIDE_COUNT; side++) {
        struct grid rows = {0};
        strbuf_clear(&sql[side]);
        phrase_limited(phrases_of(pair->session[side]), rule->sql[side], OFFENDERS_SHOWN, &sql[side]);
        ok = broken_on(check, side) == 0 ||
             fetch_side(pair, side, &sql[side], OFFENDERS_SHOWN, &rows, &check->duration_us, err);
        take_offenders(check, side, &rows);
        grid_release(&rows);
    }
    if (ok)
        judge(check, rule->severity);
    grids_release(counts);
    sqls_release(sql);
    return ok || check_error(check, err);
}

/* --- checks of a table --- */

struct scan {
    struct semantic_job *job;
    struct pair *pair;
    struct grid probe[SIDE_COUNT];
    struct subject on[SIDE_COUNT];
};

/* What the check's columns hold on this side. */
static bool find_classes(const struct scan *scan, const struct data_check *check, enum side side,
                         enum value_class *ret, struct err *err)
{
    for (size_t i = 0; i < check->column_count; i++) {
        size_t column = grid_column(&scan->probe[side], check->columns[i]);
        if (column == NO_COLUMN)
            return err_set(err, ERR_CONFIG, "%s: there is no column %s", side_name(side), check->columns[i]);
        ret[i] = scan->probe[side].classes[column];
    }
    return true;
}

/* The expressions of these checks, on both sides; one that cannot be said is INCONCLUSIVE and left out (want[i] = false). */
static void add_scan(const struct scan *scan, bool *want, size_t from, size_t to,
                     struct strbuf sql[SIDE_COUNT])
{
    struct semantic_job *job = scan->job;
    for (size_t i = from; i < to; i++) {
        const struct data_check *check = job->data_checks[i].check;
        struct strbuf item[SIDE_COUNT] = SQLS_INIT;
        struct err why = ERR_INIT;
        for (enum side side = SIDE_SOURCE; want[i] && side < SIDE_COUNT; side++) {
            enum value_class *classes CLEANUP(free_ptr) = xcalloc(check->column_count, sizeof *classes);
            want[i] = find_classes(scan, check, side, classes, &why) &&
                      phrase_breach_count(&scan->on[side], check, classes, &item[side], &why);
        }
        if (err_is_set(&why))
            check_conclude(&job->checks[i], STATE_INCONCLUSIVE, "%s", why.text);
        for (int side = 0; want[i] && side < SIDE_COUNT; side++)
            strbuf_addf(&sql[side], ", %s", item[side].data);
        sqls_release(item);
    }
    for (int side = 0; side < SIDE_COUNT; side++)
        phrase_from(&scan->on[side], &sql[side]);
}

/* One statement for the checks [from, to) that are wanted. */
static bool scan_some(const struct scan *scan, bool *want, size_t from, size_t to, struct err *err)
{
    struct compare_check *checks = scan->job->checks;
    struct strbuf sql[SIDE_COUNT] = SQLS_INIT;
    struct grid grids[SIDE_COUNT] = {0};
    int64_t duration_us = 0;
    size_t column = 1;
    for (int side = 0; side < SIDE_COUNT; side++)
        strbuf_adds(&sql[side], "SELECT count(*)");
    add_scan(scan, want, from, to, sql);
    bool any = false;
    for (size_t i = from; i < to; i++)
        any = any || want[i];
    bool ok = !any || fetch_pair(scan->pair, sql, 1, grids, &duration_us, err);
    for (size_t i = from; ok && i < to; i++) {
        if (!want[i])
            continue;
        checks[i].rows_source = grid_count(&grids[SIDE_SOURCE], 0, 0);
        checks[i].rows_target = grid_count(&grids[SIDE_TARGET], 0, 0);
        checks[i].broken_source = grid_count(&grids[SIDE_SOURCE], 0, column);
        checks[i].broken_target = grid_count(&grids[SIDE_TARGET], 0, column++);
        checks[i].duration_us = duration_us;
    }
    grids_release(grids);
    sqls_release(sql);
    return ok;
}

static bool scan_all(const struct scan *scan, bool *want, struct err *err)
{
    size_t count = scan->job->check_count;
    if (scan_some(scan, want, 0, count, err))
        return true;
    if (err->code == ERR_CONNECT)
        return false;
    for (size_t i = 0; i < count; i++) { /* which of them was it? */
        err_clear(err);
        if (!want[i] || scan_some(scan, want, i, i + 1, err))
            continue;
        want[i] = false;
        if (!check_error(&scan->job->checks[i], err))
            return false;
    }
    return true;
}

/* "ONLY s.t AS t" of the parent: as the plan reads it, else by its name. malloc'd. */
static char *parent_from(const struct scan *scan, const struct data_check *check, enum side side)
{
    const struct plan *plan = scan->job->semantic->plan;
    for (size_t i = 0; i < plan->count; i++) {
        const struct plan_table *pt = plan->tables[i];
        if (pt->comparable && strcmp(pt->out.schema, check->parent_schema) == 0 &&
            strcmp(pt->out.table, check->parent_table) == 0)
            return xstrdup(pt->from[side]);
    }
    struct strbuf from = STRBUF_INIT(10000);
    phrase_table(scan->on[side].phrases, session_database(scan->pair->session[side]), check->parent_schema,
                 check->parent_table, &from);
    return strbuf_detach(&from);
}

static bool count_orphans(const struct scan *scan, size_t i, struct err *err)
{
    const struct data_check *check = scan->job->data_checks[i].check;
    struct compare_check *out = &scan->job->checks[i];
    struct strbuf sql[SIDE_COUNT] = SQLS_INIT;
    struct grid grids[SIDE_COUNT] = {0};
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        char *from CLEANUP(free_ptr) = parent_from(scan, check, side);
        phrase_orphan_count(&scan->on[side], check, from, &sql[side]);
    }
    bool ok = fetch_pair(scan->pair, sql, 1, grids, &out->duration_us, err);
    if (ok) {
        out->broken_source = grid_count(&grids[SIDE_SOURCE], 0, 0);
        out->broken_target = grid_count(&grids[SIDE_TARGET], 0, 0);
    }
    grids_release(grids);
    sqls_release(sql);
    return ok;
}

/* Some of the rows, named by their key. */
static bool find_offenders(const struct scan *scan, size_t i, enum side side, struct err *err)
{
    const struct data_check *check = scan->job->data_checks[i].check;
    const struct compare_table *table = &scan->job->pt->out;
    struct compare_check *out = &scan->job->checks[i];
    enum value_class *classes CLEANUP(free_ptr) = xcalloc(check->column_count, sizeof *classes);
    char *from CLEANUP(free_ptr) = check->test == TEST_REFERENCES ? parent_from(scan, check, side) : NULL;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    struct grid rows = {0};
    bool ok = broken_on(out, side) == 0 ||
              (find_classes(scan, check, side, classes, err) &&
               phrase_offenders(&scan->on[side], check, classes, table->keys, table->key_count, from,
                                OFFENDERS_SHOWN, &sql, err) &&
               fetch_side(scan->pair, side, &sql, OFFENDERS_SHOWN, &rows, &out->duration_us, err));
    take_offenders(out, side, &rows);
    grid_release(&rows);
    strbuf_release(&sql);
    return ok;
}

static bool finish_check(const struct scan *scan, size_t i, struct err *err)
{
    const struct job_check *jc = &scan->job->data_checks[i];
    bool ok = jc->check->test != TEST_REFERENCES || count_orphans(scan, i, err);
    for (enum side side = SIDE_SOURCE; ok && side < SIDE_COUNT; side++)
        ok = find_offenders(scan, i, side, err);
    if (ok)
        judge(&scan->job->checks[i], jc->contract->severity);
    return ok || check_error(&scan->job->checks[i], err);
}

bool data_checks_job(struct semantic_job *job, struct pair *pair, struct err *err)
{
    struct scan scan = {.job = job, .pair = pair};
    const char *where = job->data_checks[0].contract->of.where;
    bool *want CLEANUP(free_ptr) = xcalloc(job->check_count, sizeof *want);
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++)
        scan.on[side] = job_subject(job, pair, side, where);
    bool ok = job_probe(job, pair, scan.probe, err);
    if (!ok) { /* nothing of the table can be read */
        for (size_t i = 0; i < job->check_count; i++)
            check_conclude(&job->checks[i], STATE_INCONCLUSIVE, "%s", err->text);
        grids_release(scan.probe);
        return check_error(&job->checks[0], err);
    }
    for (size_t i = 0; i < job->check_count; i++)
        want[i] = job->data_checks[i].check->test != TEST_REFERENCES;
    ok = scan_all(&scan, want, err);
    for (size_t i = 0; ok && i < job->check_count; i++) {
        if (job->checks[i].state == STATE_UNKNOWN)
            ok = finish_check(&scan, i, err);
    }
    grids_release(scan.probe);
    return ok;
}
