/* Owns: figures of columns (count, nulls, distinct, sum, avg, min, max, quantiles, top values) on both sides. */
#include <stdlib.h>
#include <string.h>

#include "compare/semantic/decimal.h"
#include "compare/semantic/job.h"
#include "core/alloc.h"

#define COLUMNS_PER_SCAN 60
#define AVERAGE_PLACES   6
#define FLOAT_TOLERANCE  "1e-9" /* a sum of floats depends on the order of its parts */

static const struct {
    enum measure measure;
    const char *name;
} figures[] = {
    {MEASURE_COUNT, "count"}, {MEASURE_NULLS, "nulls"}, {MEASURE_DISTINCT, "distinct"}, {MEASURE_SUM, "sum"},
    {MEASURE_AVG, "avg"},     {MEASURE_MIN, "min"},     {MEASURE_MAX, "max"},
};

/* A column of the table, what it holds on each side, and its figures as one row with a column for each. */
struct column {
    char *name;            /* as the job has it */
    char *own[SIDE_COUNT]; /* as the server has it */
    enum value_class classes[SIDE_COUNT];
    unsigned measures;
    struct grid figures[SIDE_COUNT];
};

static bool is_number(enum value_class of)
{
    return of == VALUE_NUMBER || of == VALUE_FLOAT || of == VALUE_SINGLE;
}

/* What can be said of both sides' types. */
static unsigned measures_for(unsigned wanted, const enum value_class classes[SIDE_COUNT])
{
    bool numbers = is_number(classes[0]) && is_number(classes[1]),
         times = classes[0] == VALUE_TIME && classes[1] == VALUE_TIME;
    bool bytes = classes[0] == VALUE_BYTES || classes[1] == VALUE_BYTES,
         flags = classes[0] == VALUE_BOOL || classes[1] == VALUE_BOOL;
    bool other = (classes[0] == VALUE_OTHER || classes[1] == VALUE_OTHER);
    if (!numbers)
        wanted &= ~(unsigned)(MEASURE_SUM | MEASURE_AVG);
    if (!numbers && !times)
        wanted &= ~(unsigned)MEASURE_QUANTILES;
    if (flags || bytes || other)
        wanted &= ~(unsigned)(MEASURE_MIN | MEASURE_MAX);
    if (bytes || other)
        wanted &= ~(unsigned)(MEASURE_TOP | MEASURE_DISTINCT);
    return wanted;
}

static const struct aggregate_rule *rule_of(const struct semantic_job *job)
{
    return job->rule;
}

/* Compared at all: the plan says which columns are not, and why. */
static bool is_planned(const struct plan_table *pt, const char *name)
{
    for (size_t i = 0; i < pt->column_count; i++) {
        if (strcmp(pt->columns[i].name, name) == 0)
            return true;
    }
    return false;
}

static bool is_wanted(const struct aggregate_rule *rule, const char *name)
{
    for (size_t i = 0; i < rule->column_count; i++) {
        if (strcmp(rule->columns[i], name) == 0)
            return true;
    }
    return rule->column_count == 0;
}

/* --- one statement for many columns --- */

static void add_figures(const struct phrases *p, const struct column *columns, size_t count, enum side side,
                        struct strbuf *sql)
{
    strbuf_adds(sql, "SELECT count(*)");
    for (size_t i = 0; i < count; i++) {
        for (size_t f = 0; f < ARRAY_LEN(figures); f++) {
            if ((columns[i].measures & (unsigned)figures[f].measure) == 0)
                continue;
            strbuf_adds(sql, ", ");
            phrase_measure(p, figures[f].measure, columns[i].own[side], columns[i].classes[side], sql);
        }
    }
}

/* The class that a figure has on both sides, whatever type the server gives a sum. */
static enum value_class figure_class(enum measure measure, enum value_class of)
{
    bool counted = measure == MEASURE_COUNT || measure == MEASURE_NULLS || measure == MEASURE_DISTINCT;
    if (measure == MEASURE_SUM && of == VALUE_SINGLE)
        return VALUE_FLOAT;
    return counted || measure == MEASURE_AVG ? VALUE_NUMBER : of;
}

static char *average(const char *sum, const char *rows)
{
    struct strbuf text = STRBUF_INIT(100000);
    if (sum == NULL || rows == NULL || !decimal_quotient(sum, rows, AVERAGE_PLACES, &text)) {
        strbuf_release(&text);
        return sum != NULL ? xstrdup(sum) : NULL; /* NaN */
    }
    return strbuf_detach(&text);
}

/* Takes the row apart: a grid with one row for each column. An average needs the count, which is read with it. */
static void take_figures(struct column *columns, size_t count, enum side side, const struct grid *row)
{
    size_t at = 1;
    for (size_t i = 0; i < count; i++) {
        struct grid *to = &columns[i].figures[side];
        size_t first = at;
        for (size_t f = 0; f < ARRAY_LEN(figures); f++) {
            if ((columns[i].measures & (unsigned)figures[f].measure) != 0)
                grid_add_column(to, figures[f].name,
                                figure_class(figures[f].measure, columns[i].classes[side]));
        }
        (void)grid_add_row(to);
        for (size_t c = 0; c < to->column_count; c++, at++) {
            const char *cell = grid_cell(row, 0, at);
            bool avg = strcmp(to->names[c], "avg") == 0;
            char *text = avg ? average(cell, grid_cell(row, 0, first)) : cell != NULL ? xstrdup(cell) : NULL;
            (void)grid_set(to, c, text);
        }
    }
}

static bool scan_columns(struct semantic_job *job, struct pair *pair, struct column *columns, size_t count,
                         int64_t *duration_us, struct err *err)
{
    struct strbuf sql[SIDE_COUNT] = SQLS_INIT;
    struct grid rows[SIDE_COUNT] = {0};
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        struct subject on = job_subject(job, pair, side, rule_of(job)->of.where);
        add_figures(on.phrases, columns, count, side, &sql[side]);
        phrase_from(&on, &sql[side]);
    }
    bool ok = fetch_pair(pair, sql, 1, rows, duration_us, err);
    for (enum side side = SIDE_SOURCE; ok && side < SIDE_COUNT; side++)
        take_figures(columns, count, side, &rows[side]);
    grids_release(rows);
    sqls_release(sql);
    return ok;
}

/* --- quantiles: values at ranks --- */

/* Of n values the q-quantile is the one at rank ceil(q × n), as percentile_disc has it. */
static bool add_quantiles(struct semantic_job *job, struct pair *pair, struct column *column, enum side side,
                          int64_t *duration_us, struct err *err)
{
    const struct aggregate_rule *rule = rule_of(job);
    struct subject on = job_subject(job, pair, side, rule->of.where);
    struct grid *to = &column->figures[side], found = {0};
    uint64_t n = grid_count(to, 0, 0),
             *ranks CLEANUP(free_ptr) = xcalloc(rule->quantile_count, sizeof *ranks);
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    for (size_t i = 0; i < rule->quantile_count; i++) {
        double rank = strtod(rule->quantiles[i], NULL) * (double)n - 1e-9;
        ranks[i] = rank < 1 ? 1 : (uint64_t)rank;
        ranks[i] += rank > (double)ranks[i];
    }
    phrase_ranks(&on, column->own[side], ranks, rule->quantile_count, &sql);
    bool ok = fetch_side(pair, side, &sql, rule->quantile_count, &found, duration_us, err);
    struct grid with = {0}; /* a grid's columns are there before its rows */
    for (size_t c = 0; ok && c < to->column_count; c++)
        grid_add_column(&with, to->names[c], to->classes[c]);
    for (size_t i = 0; ok && i < rule->quantile_count; i++) {
        char *name CLEANUP(free_ptr) = xasprintf("quantile %s", rule->quantiles[i]);
        grid_add_column(&with, name, column->classes[side]);
    }
    if (ok)
        (void)grid_add_row(&with);
    for (size_t c = 0; ok && c < to->column_count; c++) {
        const char *cell = grid_cell(to, 0, c);
        (void)grid_set(&with, c, cell != NULL ? xstrdup(cell) : NULL);
    }
    for (size_t i = 0; ok && i < rule->quantile_count; i++) {
        for (size_t r = 0; r < found.row_count; r++) {
            const char *value = grid_cell(&found, r, 1);
            if (grid_count(&found, r, 0) == ranks[i] && value != NULL)
                (void)grid_set(&with, to->column_count + i, xstrdup(value));
        }
    }
    if (ok) {
        grid_release(to);
        *to = with;
    }
    grid_release(&found);
    strbuf_release(&sql);
    return ok;
}

/* --- top values --- */

/* Of more rows than wanted, those as rare as the last one are left out on both sides: which of them were chosen is chance. */
static void drop_ties(struct grid *top, uint64_t border)
{
    size_t kept = 0;
    for (size_t r = 0; r < top->row_count; r++) {
        if (grid_count(top, r, 1) <= border) {
            free(top->cells[2 * r]);
            free(top->cells[2 * r + 1]);
            continue;
        }
        top->cells[2 * kept] = top->cells[2 * r];
        top->cells[2 * kept + 1] = top->cells[2 * r + 1];
        kept++;
    }
    top->row_count = kept;
    top->more = false;
}

static bool compare_top(struct semantic_job *job, struct pair *pair, const struct column *column,
                        struct compare_check *check, struct err *err)
{
    const struct aggregate_rule *rule = rule_of(job);
    struct strbuf sql[SIDE_COUNT] = SQLS_INIT;
    struct grid top[SIDE_COUNT] = {0};
    uint64_t border = 0;
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        struct subject on = job_subject(job, pair, side, rule->of.where);
        phrase_top(&on, column->own[side], column->classes[side], rule->top + 1, &sql[side]);
    }
    bool ok = fetch_pair(pair, sql, (size_t)rule->top + 1, top, &check->duration_us, err);
    for (int side = 0; ok && side < SIDE_COUNT; side++) {
        uint64_t last =
            top[side].row_count > (size_t)rule->top ? grid_count(&top[side], (size_t)rule->top, 1) : 0;
        border = last > border ? last : border;
    }
    if (ok) {
        char *key[] = {"value"};
        drop_ties(&top[SIDE_SOURCE], border);
        drop_ties(&top[SIDE_TARGET], border);
        grid_compare(top, &(struct grid_rules){.key = key, .key_count = 1, .subject = "top value"}, check);
    }
    grids_release(top);
    sqls_release(sql);
    return ok;
}

/* --- */

/* A tolerance speaks of the column's values, not of how many there are. */
static void compare_figures(const struct aggregate_rule *rule, const struct column *column,
                            struct compare_check *check)
{
    struct column_tolerance counted[] = {{.column = "count"}, {.column = "nulls"}, {.column = "distinct"}};
    struct tolerances tolerances = {.all = tolerance_of(&rule->tolerances, column->name),
                                    .columns = counted,
                                    .column_count = ARRAY_LEN(counted)};
    bool floats = column->classes[0] == VALUE_FLOAT || column->classes[0] == VALUE_SINGLE ||
                  column->classes[1] == VALUE_FLOAT || column->classes[1] == VALUE_SINGLE;
    if (floats && tolerances.all.relative == NULL)
        tolerances.all.relative = FLOAT_TOLERANCE;
    grid_compare(column->figures, &(struct grid_rules){.tolerances = &tolerances, .subject = "figure"},
                 check);
}

static bool finish_column(struct semantic_job *job, struct pair *pair, struct column *column,
                          struct compare_check *check, struct err *err)
{
    const struct aggregate_rule *rule = rule_of(job);
    bool quantiles = (column->measures & MEASURE_QUANTILES) != 0, top = (column->measures & MEASURE_TOP) != 0;
    for (enum side side = SIDE_SOURCE; quantiles && side < SIDE_COUNT; side++) {
        if (!add_quantiles(job, pair, column, side, &check->duration_us, err))
            return check_error(check, err);
    }
    compare_figures(rule, column, check);
    if (top && !compare_top(job, pair, column, check, err))
        return check_error(check, err);
    check->rows_source = grid_count(&column->figures[SIDE_SOURCE], 0, 0);
    check->rows_target = grid_count(&column->figures[SIDE_TARGET], 0, 0);
    check_soften(check, rule->severity);
    return true;
}

static char *measures_text(unsigned measures)
{
    struct strbuf text = STRBUF_INIT(500);
    for (size_t f = 0; f < ARRAY_LEN(figures); f++) {
        if ((measures & (unsigned)figures[f].measure) != 0)
            strbuf_addf(&text, "%s%s", text.len > 0 ? ", " : "", figures[f].name);
    }
    strbuf_adds(&text, (measures & MEASURE_QUANTILES) != 0 ? ", quantiles" : "");
    strbuf_adds(&text, (measures & MEASURE_TOP) != 0 ? ", top values" : "");
    return strbuf_detach(&text);
}

/* The columns that are wanted and there on both sides; one that is wanted by name and not there is INCONCLUSIVE. */
static struct column *choose_columns(struct semantic_job *job, const struct grid probe[SIDE_COUNT],
                                     size_t *ret_count)
{
    const struct aggregate_rule *rule = rule_of(job);
    struct column *columns = xcalloc(probe[SIDE_SOURCE].column_count + 1, sizeof *columns);
    size_t count = 0;
    for (size_t i = 0; i < probe[SIDE_SOURCE].column_count; i++) {
        const char *name = probe[SIDE_SOURCE].names[i];
        size_t other = grid_column(&probe[SIDE_TARGET], name);
        if (!is_wanted(rule, name) || !is_planned(job->pt, name) || other == NO_COLUMN)
            continue;
        struct column *c = &columns[count];
        *c = (struct column){.name = xstrdup(name),
                             .classes = {probe[SIDE_SOURCE].classes[i], probe[SIDE_TARGET].classes[other]}};
        c->own[SIDE_SOURCE] = xstrdup(name);
        c->own[SIDE_TARGET] = xstrdup(probe[SIDE_TARGET].names[other]);
        c->measures =
            measures_for(rule->measures, c->classes) | MEASURE_COUNT; /* averages and ranks need it */
        count++;
    }
    *ret_count = count;
    return columns;
}

static void add_missing(struct semantic_job *job, const struct column *columns, size_t count)
{
    const struct aggregate_rule *rule = rule_of(job);
    for (size_t i = 0; i < rule->column_count; i++) {
        bool there = false;
        for (size_t k = 0; k < count; k++)
            there = there || strcmp(columns[k].name, rule->columns[i]) == 0;
        if (!there)
            check_conclude(
                job_add_check(job, CHECK_AGGREGATE, NULL, rule->columns[i], "aggregates", rule->severity),
                STATE_INCONCLUSIVE, "there is no column %s that is compared on both sides", rule->columns[i]);
    }
}

static bool scan_batch(struct semantic_job *job, struct pair *pair, struct column *columns, size_t count,
                       size_t first_check, struct err *err)
{
    int64_t duration_us = 0;
    bool ok = scan_columns(job, pair, columns, count, &duration_us, err);
    if (!ok) {
        struct err why = *err;
        for (size_t i = 0; i < count; i++)
            check_conclude(&job->checks[first_check + i], STATE_INCONCLUSIVE, "%s", why.text);
        return check_error(&job->checks[first_check], err);
    }
    for (size_t i = 0; ok && i < count; i++) {
        job->checks[first_check + i].duration_us = duration_us;
        ok = finish_column(job, pair, &columns[i], &job->checks[first_check + i], err);
    }
    return ok;
}

static void columns_free(struct column *columns, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(columns[i].name);
        free(columns[i].own[SIDE_SOURCE]);
        free(columns[i].own[SIDE_TARGET]);
        grids_release(columns[i].figures);
    }
    free(columns);
}

bool aggregate_job(struct semantic_job *job, struct pair *pair, struct err *err)
{
    struct grid probe[SIDE_COUNT] = {0};
    if (!job_probe(job, pair, probe, err)) {
        struct compare_check *check =
            job_add_check(job, CHECK_AGGREGATE, NULL, NULL, "aggregates", rule_of(job)->severity);
        grids_release(probe);
        return check_error(check, err);
    }
    size_t count = 0;
    struct column *columns = choose_columns(job, probe, &count);
    grids_release(probe);
    for (size_t i = 0; i < count; i++) {
        char *rule CLEANUP(free_ptr) = measures_text(columns[i].measures);
        (void)job_add_check(job, CHECK_AGGREGATE, NULL, columns[i].name, rule, rule_of(job)->severity);
    }
    bool ok = true;
    for (size_t i = 0; ok && i < count; i += COLUMNS_PER_SCAN)
        ok = scan_batch(job, pair, columns + i, count - i < COLUMNS_PER_SCAN ? count - i : COLUMNS_PER_SCAN,
                        i, err);
    if (ok)
        add_missing(job, columns, count);
    columns_free(columns, count);
    return ok;
}
