/* Owns: query pairs, and rows counted by partition, time range or value. */
#include <stdlib.h>
#include <string.h>

#include "compare/semantic/job.h"
#include "core/alloc.h"

#define GROUPS_MAX 100000

bool query_job(struct semantic_job *job, struct pair *pair, struct err *err)
{
    const struct query_pair *q = job->rule;
    struct compare_check *check = &job->checks[0];
    struct strbuf sql[SIDE_COUNT] = SQLS_INIT;
    struct grid grids[SIDE_COUNT] = {0};
    for (int side = 0; side < SIDE_COUNT; side++)
        phrase_limited(phrases_of(pair->session[side]), q->sql[side], q->max_rows + 1, &sql[side]);
    bool ok = fetch_pair(pair, sql, (size_t)q->max_rows, grids, &check->duration_us, err);
    if (ok) {
        memcpy(check->side_us, pair->took_us, sizeof check->side_us);
        struct grid_rules rules = {.tolerances = &q->tolerances,
                                   .ordered = q->ordered,
                                   .key = q->key,
                                   .key_count = q->key_count,
                                   .subject = "row"};
        grid_compare(grids, &rules, check);
        check_soften(check, q->severity);
    }
    grids_release(grids);
    sqls_release(sql);
    return ok || check_error(check, err);
}

/* The group that a row belongs to. */
static bool add_group(const struct phrases *p, const struct count_rule *rule, enum value_class of,
                      bool select, struct strbuf *out, struct err *err)
{
    if (rule->by == COUNT_BY_VALUE) {
        if (select)
            phrase_group_value(p, rule->column, of, out);
        else
            phrase_exact(p, rule->column, of, out);
        return true;
    }
    if (of != VALUE_TIME)
        return err_set(err, ERR_CONFIG, "column %s holds no dates or timestamps: by: value counts its values",
                       rule->column);
    phrase_range(p, rule->by, rule->column, out);
    return true;
}

static bool add_count(const struct subject *on, const struct count_rule *rule, enum value_class of,
                      struct strbuf *out, struct err *err)
{
    const struct phrases *p = on->phrases;
    if (rule->by == COUNT_BY_PARTITION) {
        if (p->partition == NULL)
            return err_set(err, ERR_CONFIG,
                           "rows by partition are counted on PostgreSQL only: count by a column");
        strbuf_addf(out, "SELECT %s AS part, count(*) AS row_count FROM %s", p->partition, on->from);
        if (on->where != NULL)
            strbuf_addf(out, " WHERE (%s\n)", on->where);
        strbuf_addf(out, " GROUP BY t.tableoid LIMIT %d", GROUPS_MAX + 1);
        return true;
    }
    strbuf_adds(out, "SELECT ");
    if (!add_group(p, rule, of, true, out, err))
        return false;
    strbuf_adds(out, " AS part, count(*) AS row_count");
    phrase_from(on, out);
    strbuf_adds(out, " GROUP BY ");
    bool ok = add_group(p, rule, of, false, out, err);
    strbuf_addf(out, " LIMIT %d", GROUPS_MAX + 1);
    return ok;
}

static bool count_sql(const struct semantic_job *job, const struct pair *pair,
                      const struct grid probe[SIDE_COUNT], struct strbuf sql[SIDE_COUNT], struct err *err)
{
    const struct count_rule *rule = job->rule;
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        struct subject on = job_subject(job, pair, side, rule->of.where);
        size_t column = rule->column != NULL ? grid_column(&probe[side], rule->column) : 0;
        if (column == NO_COLUMN)
            return err_set(err, ERR_CONFIG, "%s: there is no column %s", side_name(side), rule->column);
        if (!add_count(&on, rule, rule->column != NULL ? probe[side].classes[column] : VALUE_TEXT, &sql[side],
                       err))
            return false;
    }
    return true;
}

bool count_job(struct semantic_job *job, struct pair *pair, struct err *err)
{
    struct compare_check *check = &job->checks[0];
    struct strbuf sql[SIDE_COUNT] = SQLS_INIT;
    struct grid grids[SIDE_COUNT] = {0}, probe[SIDE_COUNT] = {0};
    bool ok = job_probe(job, pair, probe, err) && count_sql(job, pair, probe, sql, err) &&
              fetch_pair(pair, sql, GROUPS_MAX, grids, &check->duration_us, err);
    if (ok) {
        char *key[] = {"part"};
        const struct count_rule *rule = job->rule;
        const char *subject = rule->by == COUNT_BY_PARTITION ? "partition"
                              : rule->by == COUNT_BY_VALUE   ? "value"
                                                             : "range";
        grid_compare(grids, &(struct grid_rules){.key = key, .key_count = 1, .subject = subject}, check);
    }
    grids_release(probe);
    grids_release(grids);
    sqls_release(sql);
    return ok || check_error(check, err);
}
