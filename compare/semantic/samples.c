/*
 * Owns: random rows of the source, held against the target's field by field by the rules for values: a second opinion that
 * shares neither canonical forms nor hashes with the digests.
 */
#include <stdlib.h>
#include <string.h>

#include "compare/semantic/job.h"
#include "core/alloc.h"

#define SURPLUS 1.5 /* of rows that chance should choose, so that there are hardly ever too few */

struct sample {
    char **columns[SIDE_COUNT]; /* as the server has them; keys first */
    enum value_class *classes[SIDE_COUNT];
    size_t column_count, key_count, skipped;
};

/* Types that each engine prints in its own way are compared only where both are of one engine. */
static bool comparable(const struct pair *pair, enum value_class a, enum value_class b)
{
    bool alike = session_dialect(pair->session[SIDE_SOURCE]) == session_dialect(pair->session[SIDE_TARGET]);
    return alike || (a != VALUE_OTHER && b != VALUE_OTHER && (a == VALUE_BYTES) == (b == VALUE_BYTES));
}

static void add_column(struct sample *s, const struct grid probe[SIDE_COUNT], size_t source, size_t target)
{
    const size_t at[SIDE_COUNT] = {source, target};
    for (int side = 0; side < SIDE_COUNT; side++) {
        s->columns[side][s->column_count] = xstrdup(probe[side].names[at[side]]);
        s->classes[side][s->column_count] = probe[side].classes[at[side]];
    }
    s->column_count++;
}

static bool is_key(const struct compare_table *table, const char *name)
{
    for (size_t i = 0; i < table->key_count; i++) {
        if (strcmp(table->keys[i], name) == 0)
            return true;
    }
    return false;
}

static bool choose(const struct semantic_job *job, const struct pair *pair,
                   const struct grid probe[SIDE_COUNT], struct sample *s, struct err *err)
{
    const struct compare_table *table = &job->pt->out;
    for (int side = 0; side < SIDE_COUNT; side++) {
        s->columns[side] = xcalloc(probe[SIDE_SOURCE].column_count + 1, sizeof *s->columns[side]);
        s->classes[side] = xcalloc(probe[SIDE_SOURCE].column_count + 1, sizeof *s->classes[side]);
    }
    for (size_t i = 0; i < table->key_count; i++) {
        size_t source = grid_column(&probe[SIDE_SOURCE], table->keys[i]),
               target = grid_column(&probe[SIDE_TARGET], table->keys[i]);
        if (source == NO_COLUMN || target == NO_COLUMN)
            return err_set(err, ERR_CONFIG, "the key column %s is not on both sides", table->keys[i]);
        add_column(s, probe, source, target);
    }
    s->key_count = s->column_count;
    if (s->key_count == 0)
        return err_set(err, ERR_CONFIG, "the table has no key: rows cannot be looked up");
    for (size_t i = 0; i < job->pt->column_count; i++) { /* what is compared at all */
        const char *name = job->pt->columns[i].name;
        size_t source = grid_column(&probe[SIDE_SOURCE], name),
               target = grid_column(&probe[SIDE_TARGET], name);
        if (is_key(table, name) || source == NO_COLUMN || target == NO_COLUMN)
            continue;
        if (comparable(pair, probe[SIDE_SOURCE].classes[source], probe[SIDE_TARGET].classes[target]))
            add_column(s, probe, source, target);
        else
            s->skipped++;
    }
    return true;
}

static void sample_release(struct sample *s)
{
    for (int side = 0; side < SIDE_COUNT; side++) {
        for (size_t i = 0; i < s->column_count; i++)
            free(s->columns[side][i]);
        free(s->columns[side]);
        free(s->classes[side]);
    }
}

static bool draw(struct semantic_job *job, struct pair *pair, const struct sample *s, struct grid *ret,
                 int64_t *duration_us, struct err *err)
{
    const struct sample_rule *rule = job->rule;
    struct subject on = job_subject(job, pair, SIDE_SOURCE, rule->of.where);
    double share = job->pt->rows_estimate > 0 && rule->of.where == NULL
                       ? SURPLUS * ((double)rule->rows + 20) / (double)job->pt->rows_estimate
                       : 1;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    phrase_sample(&on, s->columns[SIDE_SOURCE], s->column_count, share, rule->rows, &sql);
    bool ok = fetch_side(pair, SIDE_SOURCE, &sql, (size_t)rule->rows, ret, duration_us, err);
    strbuf_release(&sql);
    return ok;
}

/* (a = 1 AND b = 'x') OR … would not use an index everywhere; (a, b) IN (…) does. */
static void add_keys(const struct phrases *p, const struct sample *s, const struct grid *rows,
                     struct strbuf *sql)
{
    strbuf_adds(sql, " WHERE (");
    for (size_t k = 0; k < s->key_count; k++) {
        strbuf_adds(sql, k > 0 ? ", " : "");
        phrase_column(p, s->columns[SIDE_TARGET][k], sql);
    }
    strbuf_adds(sql, ") IN (");
    for (size_t r = 0; r < rows->row_count; r++) {
        strbuf_adds(sql, r > 0 ? ", (" : "(");
        for (size_t k = 0; k < s->key_count; k++) {
            strbuf_adds(sql, k > 0 ? ", " : "");
            phrase_key_value(p, s->classes[SIDE_SOURCE][k], grid_cell(rows, r, k), sql);
        }
        strbuf_adds(sql, ")");
    }
    strbuf_adds(sql, ")");
}

/* A server that takes two of the source's keys for one gives more rows than were asked for: they mean nothing here. */
static bool look_up(struct semantic_job *job, struct pair *pair, const struct sample *s,
                    const struct grid *rows, struct grid *ret, int64_t *duration_us, struct err *err)
{
    struct subject on = job_subject(job, pair, SIDE_TARGET, NULL);
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    for (size_t i = 0; i < s->column_count; i++) {
        strbuf_adds(&sql, i == 0 ? "SELECT " : ", ");
        phrase_column(on.phrases, s->columns[SIDE_TARGET][i], &sql);
    }
    phrase_from(&on, &sql);
    add_keys(on.phrases, s, rows, &sql);
    bool ok = fetch_side(pair, SIDE_TARGET, &sql, rows->row_count * 20, ret, duration_us, err);
    strbuf_release(&sql);
    return ok;
}

static bool compare_sample(struct semantic_job *job, struct pair *pair, const struct sample *s,
                           struct err *err)
{
    const struct sample_rule *rule = job->rule;
    struct compare_check *check = &job->checks[0];
    struct grid rows[SIDE_COUNT] = {0};
    bool ok = draw(job, pair, s, &rows[SIDE_SOURCE], &check->duration_us, err);
    if (ok && rows[SIDE_SOURCE].row_count > 0 && !rows[SIDE_SOURCE].more)
        ok = look_up(job, pair, s, &rows[SIDE_SOURCE], &rows[SIDE_TARGET], &check->duration_us, err);
    if (ok && rows[SIDE_SOURCE].row_count == 0) {
        check_conclude(check, STATE_PASS, "%s", ""); /* an empty table has no rows to differ */
    } else if (ok) {
        struct grid_rules rules = {.tolerances = &rule->tolerances,
                                   .key = s->columns[SIDE_SOURCE],
                                   .key_count = s->key_count,
                                   .subset = true,
                                   .subject = "sampled row"};
        grid_compare(rows, &rules, check);
        check_soften(check, rule->severity);
    }
    grids_release(rows);
    return ok;
}

bool sample_job(struct semantic_job *job, struct pair *pair, struct err *err)
{
    struct compare_check *check = &job->checks[0];
    struct sample s = {0};
    struct grid probe[SIDE_COUNT] = {0};
    bool ok = job_probe(job, pair, probe, err) && choose(job, pair, probe, &s, err) &&
              compare_sample(job, pair, &s, err);
    free(check->rule);
    check->rule =
        s.skipped > 0
            ? xasprintf("%zu columns, %zu left out: of types that each engine prints in its own way",
                        s.column_count, s.skipped)
            : xasprintf("%zu columns", s.column_count);
    sample_release(&s);
    grids_release(probe);
    return ok || check_error(check, err);
}
