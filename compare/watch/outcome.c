/* Owns: a run's result in the form that the window keeps. See outcome.h. */
#include "outcome.h"

#include <inttypes.h>
#include <stdlib.h>

#include "core/alloc.h"
#include "core/clock.h"

#define REASON_MAX 2000 /* more than that is cut off, in the report it is whole */

/* Of what is no PASS: why, the first tables that are at fault, and where all of it can be read. */
static char *reason_of(const struct compare_result *r)
{
    struct strbuf sb = STRBUF_INIT(REASON_MAX);
    size_t told = 0;
    strbuf_adds(&sb, r->reason);
    for (size_t i = 0; i < r->table_count && told < 3; i++) {
        const struct compare_table *t = &r->tables[i];
        if (t->verdict == VERDICT_PASS)
            continue;
        strbuf_addf(&sb, "%s%s.%s: %s", sb.len > 0 ? "; " : "", t->schema, t->table, t->reason);
        told++;
    }
    if (r->report_dir != NULL)
        strbuf_addf(&sb, "%sreport: %s", sb.len > 0 ? "; " : "", r->report_dir);
    char *text = sb.len > 0 ? xstrndup(sb.data, sb.len) : NULL;
    strbuf_release(&sb);
    return text;
}

void outcome_of_compare(const struct compare_result *r, struct outcome *ret)
{
    *ret = (struct outcome){.verdict = r->verdict,
                            .whole = r->full,
                            .fence_id = r->fence_id,
                            .lsn = r->lsn,
                            .started_us = r->started_us,
                            .finished_us = r->finished_us,
                            .hold_us = r->hold_us,
                            .lag_us = r->lag_us,
                            .tables = r->table_count,
                            .rows = r->rows_source,
                            .differences = r->differences};
    if (r->verdict != VERDICT_PASS)
        ret->reason = reason_of(r);
    ret->text = xasprintf(
        "%s: %zu of %zu tables differ, %" PRIu64 " differences%s%s%s%s", compare_verdict_name(r->verdict),
        r->failed, r->table_count, r->differences, r->reason[0] != '\0' ? ": " : "", r->reason,
        r->report_dir != NULL ? ", report: " : "", r->report_dir != NULL ? r->report_dir : "");
}

void outcome_of_shadow(const struct shadow_result *result, struct outcome *ret)
{
    struct shadow_summary s;
    shadow_summary(result, &s);
    *ret = (struct outcome){.verdict = shadow_verdict(result),
                            .whole = true,
                            .fence_id = s.fence_id,
                            .lsn = s.lsn,
                            .started_us = s.started_us,
                            .finished_us = s.finished_us,
                            .hold_us = s.hold_us,
                            .tables = s.compared,
                            .rows = s.runs,
                            .differences = s.findings,
                            .timed = s.timed,
                            .p95_us = {s.p95_us[0], s.p95_us[1]}};
    const char *dir = s.report_dir != NULL ? s.report_dir : "",
               *mark = s.report_dir != NULL ? "; report: " : "";
    if (ret->verdict != VERDICT_PASS)
        ret->reason = xasprintf("%s%s%s", s.reason, mark, dir);
    ret->text = xasprintf("%s: %" PRIu64 " of %" PRIu64 " queries are not well%s%s%s%s",
                          compare_verdict_name(ret->verdict), s.findings, s.compared,
                          s.reason[0] != '\0' ? ": " : "", s.reason, mark, dir);
}

void outcome_of_failure(const char *why, struct outcome *ret)
{
    *ret = (struct outcome){.verdict = VERDICT_INCONCLUSIVE,
                            .whole = true,
                            .finished_us = clock_wall_us(),
                            .reason = xstrdup(why),
                            .text = xstrdup(why)};
}

void outcome_release(struct outcome *outcome)
{
    free(outcome->reason);
    free(outcome->text);
    *outcome = (struct outcome){0};
}
