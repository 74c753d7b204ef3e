/* Owns: a comparison as cases of JUnit: the run itself, each table, each check. */
#include <stdio.h>
#include <stdlib.h>

#include "core/alloc.h"
#include "report/junit.h"

#define DIFFERENCES_SHOWN 20 /* of a table or check; report.json has all that are listed */
#define DETAIL_MAX        ((size_t)1 << 20)

enum suite { SUITE_RUN, SUITE_TABLES, SUITE_CHECKS }; /* then one for each kind of check */
#define SUITES (SUITE_CHECKS + CHECK_CONTRACT)

static void add_value(struct strbuf *out, const char *value)
{
    strbuf_adds(out, value != NULL ? value : "null");
}

static void add_difference(struct strbuf *out, const struct compare_difference *d)
{
    strbuf_adds(out, compare_kind_name(d->kind));
    for (size_t i = 0; i < d->key_count; i++) {
        strbuf_addf(out, " %s=", d->keys[i].name);
        add_value(out, d->kind == DIFF_EXTRA ? d->keys[i].target : d->keys[i].source);
    }
    for (size_t i = 0; d->kind == DIFF_CHANGED && i < d->column_count; i++) {
        strbuf_addf(out, "%s %s: ", i > 0 ? "," : ":", d->columns[i].name);
        add_value(out, d->columns[i].source);
        strbuf_adds(out, " -> ");
        add_value(out, d->columns[i].target);
    }
    if (d->key_count == 0)
        strbuf_addf(out, " %llu copies on the source, %llu on the target",
                    (unsigned long long)d->copies_source, (unsigned long long)d->copies_target);
    strbuf_addc(out, '\n');
}

static void add_differences(struct strbuf *out, const struct compare_difference *list, size_t count,
                            unsigned long long total)
{
    size_t shown = MIN_OF(count, (size_t)DIFFERENCES_SHOWN);
    for (size_t i = 0; i < shown; i++)
        add_difference(out, &list[i]);
    if (total > shown)
        strbuf_addf(out, "and %llu more\n", total - shown);
}

static void add_table(struct junit_suite *suite, const struct compare_result *r,
                      const struct compare_table *t)
{
    static const enum junit_state states[] = {JUNIT_SKIPPED, JUNIT_PASS, JUNIT_FAILURE, JUNIT_ERROR};
    struct strbuf detail = STRBUF_INIT(DETAIL_MAX); /* cut off beyond that */
    char *name CLEANUP(free_ptr) = xasprintf("%s.%s", t->schema, t->table);
    add_differences(&detail, t->differences, t->difference_count, t->difference_count);
    if (t->more)
        strbuf_adds(&detail, "there are more than were listed\n");
    junit_suite_add(suite, r->pipeline,
                    &(struct junit_case){.state = states[t->verdict],
                                         .name = name,
                                         .reason = t->reason[0] != '\0'      ? t->reason
                                                   : t->difference_count > 0 ? "rows differ"
                                                                             : "it was not compared",
                                         .detail = detail.data,
                                         .duration_us = t->duration_us});
    strbuf_release(&detail);
}

/* A finding is about the data, and no failure of the migration: it passes, and says so. */
static void add_check(struct junit_suite *suite, const struct compare_result *r,
                      const struct compare_check *c)
{
    static const enum junit_state states[] = {JUNIT_SKIPPED, JUNIT_PASS, JUNIT_FAILURE, JUNIT_PASS,
                                              JUNIT_ERROR};
    struct strbuf detail = STRBUF_INIT(DETAIL_MAX);
    if (c->state == STATE_FINDING)
        strbuf_addf(&detail, "FINDING: %s\n", c->reason);
    add_differences(&detail, c->differences, c->difference_count, c->difference_total);
    junit_suite_add(suite, r->pipeline,
                    &(struct junit_case){.state = states[c->state],
                                         .name = c->name,
                                         .reason = c->reason,
                                         .detail = detail.data,
                                         .duration_us = c->duration_us});
    strbuf_release(&detail);
}

/* What is about no table: that a fence was reached, and what keeps the whole from a PASS. */
static void add_run(struct junit_suite *suite, const struct compare_result *r)
{
    bool nothing = r->verdict == VERDICT_INCONCLUSIVE && (r->reason[0] != '\0' || r->table_count == 0);
    char detail[120] = "";
    if (!nothing && r->fence_id > 0)
        (void)snprintf(detail, sizeof detail, "%s, fence %llu, " LSN_FMT, compare_verdict_name(r->verdict),
                       (unsigned long long)r->fence_id, LSN_ARGS(r->lsn));
    junit_suite_add(suite, r->pipeline,
                    &(struct junit_case){.state = nothing ? JUNIT_ERROR : JUNIT_PASS,
                                         .name = r->frozen ? "both sides standing still" : "fence",
                                         .reason = r->reason[0] != '\0' ? r->reason : "nothing was compared",
                                         .detail = detail,
                                         .duration_us = r->fence_us});
}

bool report_junit(const struct compare_result *r, struct strbuf *out, struct err *err)
{
    struct junit_suite suites[SUITES];
    junit_suite_open(&suites[SUITE_RUN], "run");
    junit_suite_open(&suites[SUITE_TABLES], "tables");
    for (enum check_kind kind = CHECK_COUNT; kind <= CHECK_CONTRACT; kind++)
        junit_suite_open(&suites[SUITE_CHECKS + kind - 1], check_kind_name(kind));
    add_run(&suites[SUITE_RUN], r);
    for (size_t i = 0; i < r->table_count; i++)
        add_table(&suites[SUITE_TABLES], r, &r->tables[i]);
    for (size_t i = 0; i < r->check_count; i++)
        add_check(&suites[SUITE_CHECKS + r->checks[i].kind - 1], r, &r->checks[i]);
    return junit_write(suites, SUITES, "crossfade compare", r->started_us, out, err);
}
