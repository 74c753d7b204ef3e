/*
 * report-pages FOLDER TABLES: writes what a report of a comparison looks like that is larger and more hostile than real servers make in a
 * minute: pages, JSON and JUnit of so many tables, with names and values that try to get out of their place. Prints how long it took.
 * A tool of tests/system/test_report.py.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compare/compare.h"
#include "compare/journal_reach.h"
#include "compare/model.h"
#include "compare/report/report.h"
#include "compare/standing.h"
#include "config/report_formats.h"
#include "core/alloc.h"
#include "core/clock.h"

#define START_US INT64_C(1795339000000000)

static const char hostile[] =
    "<script>document.title='owned'</script>\"'><img src=http://127.0.0.1:9/x onerror=alert(1)>]]>&amp;"
    "\x01\x1b[31m\x7f\xff\xfe\xc3(\xed\xa0\x80\xef\xbf\xbe \xe2\x80\xae reversed";

static void add_rows(struct compare_table *t, size_t rows)
{
    for (size_t i = 0; i < rows; i++) {
        struct compare_difference d = {.kind = (enum compare_kind)(DIFF_MISSING + i % 3),
                                       .copies_source = i % 3 != 1,
                                       .copies_target = i % 3 != 0};
        char id[24];
        (void)snprintf(id, sizeof id, "%zu", i * 7919);
        difference_add_key(&d, "id", id, id);
        difference_add_column(&d, i == 0 ? hostile : "email", i % 4 == 0 ? hostile : "ann@example.org",
                              i % 5 == 0 ? NULL : "ann@example.com");
        if (d.kind == DIFF_CHANGED)
            difference_add_column(&d, "amount", "120.50", "120.05");
        table_add_difference(t, &d);
    }
}

static void add_partitions(struct compare_table *t, size_t count, bool differs)
{
    t->partitions = xcalloc(count, sizeof *t->partitions);
    t->part_count = count;
    for (size_t i = 0; i < count; i++) {
        bool failed = differs && i % 50 == 3, open = !failed && i % 60 == 7;
        t->partitions[i] =
            (struct compare_part){.name = i == 3 ? xstrdup(hostile) : xasprintf("shop.orders_2026_%03zu", i),
                                  .verdict = failed ? VERDICT_FAIL
                                             : open ? VERDICT_INCONCLUSIVE
                                                    : VERDICT_PASS,
                                  .method = METHOD_RANGES,
                                  .reason = xstrdup(failed ? "rows differ" : ""),
                                  .rows_source = 5000 + i,
                                  .rows_target = 5000 + i - failed,
                                  .differences = failed,
                                  .duration_us = 9000};
    }
}

static void make_table(struct compare_table *t, size_t i, size_t count)
{
    bool differs = i % 97 == 5 || count < 3, open = !differs && i % 131 == 7;
    *t = (struct compare_table){.schema = xstrdup(i % 3 == 0 ? "shop" : "warehouse"),
                                .table = i == 5 ? xstrdup(hostile) : xasprintf("table_%04zu_of_orders", i),
                                .method = METHOD_RANGES,
                                .column_count = 12,
                                .rows_source = 1000 + i * 1234567 % 9999991,
                                .chunks = 20,
                                .chunks_differing = differs,
                                .duration_us = 1200 + (int64_t)(i * 7919 % 900000)};
    t->rows_target = t->rows_source - (differs ? 1 : 0);
    t->reason = xstrdup("");
    table_conclude(t,
                   differs ? VERDICT_FAIL
                   : open  ? VERDICT_INCONCLUSIVE
                           : VERDICT_PASS,
                   "%s",
                   differs ? "rows differ"
                   : open  ? "not in the publication: its changes are not captured"
                           : "");
    for (size_t c = 0; c < t->column_count; c++)
        table_add_rule(t, "c", xasprintf("type %zu: byte by byte", c));
    if (i % 50 == 0)
        table_leave_out(t, "secret", "left out by source.filters");
    if (differs)
        add_rows(t, i == 5 ? 120 : 12);
    if (i % 100 == 5)
        add_partitions(t, i == 5 ? 60 : 4, differs);
}

static void make_check(struct compare_check *c, size_t i)
{
    *c = (struct compare_check){.kind = (enum check_kind)(CHECK_COUNT + i % 6),
                                .name = i == 0 ? xstrdup(hostile) : xasprintf("check %zu of a rule", i),
                                .rule = xstrdup("length 1..255"),
                                .severity = xstrdup("regression"),
                                .reason = xstrdup(""),
                                .rows_source = 10 * i,
                                .rows_target = 10 * i,
                                .duration_us = 1500 * (int64_t)i};
    if (c->kind == CHECK_QUERY) {
        c->side_us[0] = 300 + (int64_t)(i * i * 2300);
        c->side_us[1] = 500 + (int64_t)(i * 4700);
    }
    check_conclude(c, (enum check_state)(STATE_PASS + i % 4), "%s", i % 4 == 0 ? "" : "revenue differs");
    if (c->state == STATE_FAIL) {
        struct compare_difference d = {.kind = DIFF_CHANGED};
        difference_add_key(&d, "day", "2026-01-01", "2026-01-01");
        difference_add_column(&d, "revenue", "1200.50", hostile);
        check_add_difference(c, &d);
    }
}

static void make_history(struct watch_history *h)
{
    static const char *const levels[] = {"changed", "counts", "digests"};
    h->window_count = ARRAY_LEN(levels);
    h->run_count = STANDING_RUNS;
    h->runs = xcalloc(h->run_count, sizeof *h->runs);
    for (size_t i = 0; i < h->window_count; i++) {
        struct watch_window *w = &h->windows[i];
        *w = (struct watch_window){.every_s = i == 0   ? 10
                                              : i == 1 ? 60
                                                       : 3600,
                                   .runs = 900,
                                   .passed = 880,
                                   .failed = 12,
                                   .inconclusive = 8};
        (void)snprintf(w->level, sizeof w->level, "%s", levels[i]);
        w->clean_runs = i == 1 ? 0 : 700;
        w->clean_since_us = i == 1 ? 0 : START_US - INT64_C(86400000000) * 6;
        (void)snprintf(w->last_verdict, sizeof w->last_verdict, "PASS");
    }
    for (size_t i = 0; i < h->run_count; i++) {
        struct watch_run *r = &h->runs[i];
        *r = (struct watch_run){.started_us = START_US - (int64_t)i * 600000000,
                                .fence_id = 9000 - i,
                                .rows = 123456,
                                .full = true};
        r->finished_us = r->started_us + 900000;
        r->lag_us =
            9000 + (int64_t)(i * 7919 % 30000) + (i > 300 && i < 330 ? (int64_t)(330 - i) * 400000 : 0);
        r->differences = i % 83 == 11 ? 3 : 0;
        r->reason = i % 83 == 11 ? xstrdup(hostile) : NULL;
        (void)snprintf(r->level, sizeof r->level, "%s", levels[i % 7 == 0 ? 2 : i % 2]);
        (void)snprintf(r->verdict, sizeof r->verdict, "%s",
                       i % 83 == 11  ? "FAIL"
                       : i % 59 == 3 ? "INCONCLUSIVE"
                                     : "PASS");
    }
}

static struct standing *make_standing(void)
{
    struct standing *s = xcalloc(1, sizeof *s);
    s->at_us = START_US;
    make_history(&s->history);
    s->readiness = (struct readiness){
        .count = 3,
        .gates = {{"dead_letters", true, "0 held", "none held", ""},
                  {"verdict", false, "FAIL, 0 s old", "PASS of all tables, <= 3600 s old",
                   "the last full comparison is not a PASS: look at its report, repair, compare again"},
                  {"clean_window", true, "clean for 518400 s", "clean for 259200 s", ""}}};
    return s;
}

/* Three partitions for each table. */
static struct journal_reach *make_reach(size_t tables)
{
    struct journal_reach *reach = xcalloc(1, sizeof *reach);
    reach->kind = "kafka";
    reach->topic_count = tables;
    reach->part_count = 3 * tables;
    reach->parts = xcalloc(reach->part_count + 1, sizeof *reach->parts);
    for (size_t i = 0; i < reach->part_count; i++)
        reach->parts[i] = (struct reach_part){.topic = i == 2 ? xasprintf("shop.public.%s", hostile)
                                                              : xasprintf("shop.public.table_%05zu", i / 3),
                                              .partition = (int32_t)(i % 3),
                                              .next_offset = 123456789 - i * 997};
    return reach;
}

int main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    if (argc != 3) {
        fprintf(stderr, "usage: report-pages FOLDER TABLES\n");
        return 2;
    }
    struct compare_result r = {.level = LEVEL_FULL,
                               .full = true,
                               .fence_id = 8123,
                               .fence_offset = 8127,
                               .lsn = 0x1A2B3C4D5EULL,
                               .commit_us = START_US - 1500000,
                               .reached_us = START_US - 1200000,
                               .started_us = START_US - 2000000,
                               .finished_us = START_US,
                               .lag_us = 12300,
                               .hold_us = 4200,
                               .fence_us = 300000,
                               .table_count = (size_t)strtoul(argv[2], NULL, 10),
                               .check_count = 24};
    r.reason = xstrdup("");
    r.pipeline = xstrdup("shop");
    r.server[0] = xstrdup("PostgreSQL 15.3, database shop");
    r.server[1] = xstrdup("PostgreSQL 17.0, database shop <new>");
    r.tables = xcalloc(r.table_count, sizeof *r.tables);
    r.checks = xcalloc(r.check_count, sizeof *r.checks);
    r.standing = make_standing();
    r.reach = make_reach(r.table_count);
    for (size_t i = 0; i < r.table_count; i++)
        make_table(&r.tables[i], i, r.table_count);
    for (size_t i = 0; i < r.check_count; i++)
        make_check(&r.checks[i], i);
    result_sum_up(&r);
    int64_t start_us = clock_mono_us();
    bool ok = report_write(&r, argv[1], REPORT_HTML | REPORT_JSON | REPORT_JUNIT, &err);
    printf("{\"took_ms\": %lld, \"folder\": \"%s\"}\n", (long long)(clock_mono_us() - start_us) / 1000,
           ok ? r.report_dir : "");
    if (!ok)
        fprintf(stderr, "%s\n", err.text);
    compare_result_release(&r);
    return ok ? 0 : 1;
}
