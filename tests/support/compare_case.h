/*
 * Shared by compare's component tests: two databases of one server that stand still, and what a comparison
 * must tell about them, exactly. CF_SEED chooses random values.
 */
#ifndef SUPPORT_COMPARE_CASE_H
#define SUPPORT_COMPARE_CASE_H

#include "pg_server.h"

#include <time.h>

#include "compare/compare.h"
#include "compare/engine.h"
#include "config/config.h"
#include "config/table_filter.h"
#include "core/alloc.h"
#include "pg/conn.h"

struct rig {
    struct pg_server server;
    char urls[2][128];
    struct pg_conn *source, *target;
    char reports[64];
    struct config *cfg;
    unsigned seed;
};

static struct err err;

static inline void ok(bool good)
{
    if (!good)
        fail_msg("%s: %s", err_code_name(err.code), err.text);
}

static inline void both(struct rig *rig, const char *sql)
{
    ok(pg_exec(rig->source, sql, &err));
    ok(pg_exec(rig->target, sql, &err));
}

static inline void on_source(struct rig *rig, const char *sql)
{
    ok(pg_exec(rig->source, sql, &err));
}

static inline void on_target(struct rig *rig, const char *sql)
{
    ok(pg_exec(rig->target, sql, &err));
}

static inline void copy_table(struct rig *rig, const char *table)
{
    const char *bytes;
    size_t len;
    char sql[200];
    (void)snprintf(sql, sizeof sql, "COPY (SELECT * FROM %s) TO STDOUT", table);
    ok(pg_copy_out_begin(rig->source, sql, &err));
    (void)snprintf(sql, sizeof sql, "COPY %s FROM STDIN", table);
    ok(pg_copy_in_begin(rig->target, sql, &err));
    for (;;) {
        ok(pg_copy_out_get(rig->source, &bytes, &len, &err));
        if (len == 0)
            break;
        ok(pg_copy_in_put(rig->target, bytes, len, &err));
    }
    ok(pg_copy_in_end(rig->target, NULL, &err));
}

static inline int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);
    const struct pg_options options = {.application_name = "compare_frozen_test"};
    const char *seed = getenv("CF_SEED");
    struct pg_conn *admin = NULL;
    char yaml[1000];
    *state = rig;
    rig->seed = seed != NULL ? (unsigned)strtoul(seed, NULL, 10) : (unsigned)time(NULL);
    printf("seed %u\n", rig->seed);
    pg_server_start(&rig->server);
    ok(pg_open(rig->server.url, &options, &admin, &err));
    ok(pg_exec(admin, "CREATE DATABASE src", &err) && pg_exec(admin, "CREATE DATABASE dst", &err));
    pg_close(admin);
    for (int i = 0; i < 2; i++)
        (void)snprintf(rig->urls[i], sizeof rig->urls[i], "postgresql://postgres@127.0.0.1:%d/%s",
                       rig->server.port, i == 0 ? "src" : "dst");
    ok(pg_open(rig->urls[0], &options, &rig->source, &err) &&
       pg_open(rig->urls[1], &options, &rig->target, &err));
    /* Where the cases' tables are made: sessions of ours have pg_catalog first. */
    ok(pg_exec(rig->source, "SET search_path = public, pg_catalog", &err) &&
       pg_exec(rig->target, "SET search_path = public, pg_catalog", &err));
    ok(pg_execf(rig->source, &err, "SELECT setseed(%g)", (double)(rig->seed % 1000000) / 1e6));
    (void)snprintf(rig->reports, sizeof rig->reports, "/tmp/cf-compare-XXXXXX");
    assert_non_null(mkdtemp(rig->reports));
    int n = snprintf(yaml, sizeof yaml,
                     "pipeline: shop\nsource: { url: \"%s\" }\ntarget: { url: \"%s\" }\n"
                     "compare: { report_dir: \"%s\", chunk_rows: 3000, workers: 3 }\n",
                     rig->urls[0], rig->urls[1], rig->reports);
    ok(config_load_text("test", yaml, (size_t)n, NULL, 0, NULL, &rig->cfg, &err));
    return 0;
}

static inline int tear_down(void **state)
{
    struct rig *rig = *state;
    pg_close(rig->source);
    pg_close(rig->target);
    config_free(rig->cfg);
    pg_server_stop(&rig->server);
    nftw(rig->reports, pg_server_remove, 16, FTW_DEPTH | FTW_PHYS);
    free(rig);
    return 0;
}

static inline struct compare_result run(struct rig *rig, const char *pattern)
{
    struct compare_request req = {.tables = &pattern,
                                  .table_count = pattern != NULL,
                                  .frozen = true,
                                  .stop_fd = -1,
                                  .skip_report = true};
    struct compare_result result = {0};
    ok(compare_run(rig->cfg, &req, &result, &err));
    return result;
}

/* "changed 5|7: v [old] -> [new]" */
static inline char *told(const struct compare_difference *d)
{
    struct strbuf sb = STRBUF_INIT(1 << 16);
    strbuf_addf(&sb, "%s ", compare_kind_name(d->kind));
    for (size_t i = 0; i < d->key_count; i++)
        strbuf_addf(&sb, "%s%s", i > 0 ? "|" : "",
                    d->kind == DIFF_EXTRA ? d->keys[i].target : d->keys[i].source);
    if (d->key_count == 0)
        strbuf_addf(&sb, "%d/%d", (int)d->copies_source, (int)d->copies_target);
    for (size_t i = 0; d->kind == DIFF_CHANGED && i < d->column_count; i++)
        strbuf_addf(&sb, "; %s %s -> %s", d->columns[i].name,
                    d->columns[i].source ? d->columns[i].source : "NULL",
                    d->columns[i].target ? d->columns[i].target : "NULL");
    return strbuf_detach(&sb);
}

static inline int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All differences of a table, sorted, one a line. */
static inline char *told_all(const struct compare_table *t)
{
    char **lines = xcalloc(t->difference_count, sizeof *lines);
    struct strbuf sb = STRBUF_INIT(1 << 22);
    for (size_t i = 0; i < t->difference_count; i++)
        lines[i] = told(&t->differences[i]);
    if (t->difference_count > 1)
        qsort(lines, t->difference_count, sizeof *lines, by_text);
    for (size_t i = 0; i < t->difference_count; i++) {
        strbuf_addf(&sb, "%s\n", lines[i]);
        free(lines[i]);
    }
    free(lines);
    return strbuf_detach(&sb);
}

/* One table, its verdict, and exactly these differences (sorted, one a line). */
static inline void expect(struct rig *rig, const char *table, enum compare_verdict verdict,
                          enum compare_method method, const char *differences)
{
    struct compare_result r = run(rig, table);
    assert_int_equal(r.table_count, 1);
    char *got = told_all(&r.tables[0]);
    if (r.verdict != verdict || strcmp(got, differences) != 0 || r.tables[0].method != method)
        fail_msg("%s: %s by %s (%s)\n%sexpected %s by %s\n%s", table, compare_verdict_name(r.verdict),
                 compare_method_name(r.tables[0].method), r.tables[0].reason, got,
                 compare_verdict_name(verdict), compare_method_name(method), differences);
    free(got);
    compare_result_release(&r);
}

#endif
