/* Owns: the course of a repair: compare, repair, compare again. See repair.h. */
#include "compare/repair/repair.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "compare/control.h"
#include "compare/repair/work.h"
#include "compare/scope.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "pg/conn.h"

bool repair_pause(const struct repair_run *run, const char *text, int64_t since_us, int ms)
{
    struct pollfd fd = {.fd = run->req->stop_fd, .events = POLLIN};
    struct compare_progress p = {.stage = "fence", .text = text, .elapsed_us = clock_mono_us() - since_us};
    if (run->req->progress != NULL)
        run->req->progress(run->req->progress_ctx, &p);
    return poll(&fd, 1, ms) <= 0;
}

/* --- comparing --- */

static bool compare_these(struct repair_run *run, const char *const *tables, size_t count, struct err *err)
{
    const struct repair_request *req = run->req;
    struct compare_request ask = {.tables = tables,
                                  .table_count = count,
                                  .level = LEVEL_DIGESTS,
                                  .report_unless_pass = true,
                                  .at_once = true, /* rows are known to differ: that is not left standing */
                                  .stop_fd = req->stop_fd,
                                  .progress = req->progress,
                                  .progress_ctx = req->progress_ctx};
    struct compare_result found;
    if (!compare_run(run->cfg, &ask, &found, err))
        return false;
    repair_jobs_free(run); /* they borrow from it */
    compare_result_release(&run->found);
    run->found = found;
    run->out->fence_id = found.fence_id;
    run->out->lsn = found.lsn;
    free(run->out->reason);
    run->out->reason = xstrdup(found.reason);
    return true;
}

/* The tables that differed, by name. */
static bool compare_again(struct repair_run *run, struct err *err)
{
    size_t n = run->out->table_count;
    char **names = xcalloc(n + 1, sizeof *names);
    for (size_t i = 0; i < n; i++) {
        struct strbuf name = STRBUF_INIT(4096);
        pg_quote_table(&name, run->out->tables[i].schema, run->out->tables[i].table);
        names[i] = strbuf_detach(&name);
    }
    bool ok = compare_these(run, (const char *const *)names, n, err);
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
    if (ok)
        run->out->after = run->found.verdict;
    return ok;
}

/* --- what is on both sides --- */

static void close_sides(struct repair_run *run)
{
    repair_jobs_free(run);
    plan_release(&run->plan);
    for (int side = 0; side < SIDE_COUNT; side++) {
        catalog_release(&run->cats[side]);
        run->cats[side] = (struct catalog){0};
        session_close(run->side[side]);
        run->side[side] = NULL;
    }
}

static bool open_side(struct repair_run *run, enum side side, struct err *err)
{
    const char *url = config_text(run->cfg, side == SIDE_SOURCE ? "source.url" : "target.url");
    return session_open(url, side_name(side), run->pipeline, &run->side[side], err) &&
           ((session_begin(run->side[side], NULL, err) &&
             catalog_read(run->side[side], &run->cats[side], err) &&
             session_exec(run->side[side], "COMMIT", err)) ||
            err_wrap(err, "%s", side_name(side)));
}

/* Anew for each round: tables may have been altered. */
static bool open_sides(struct repair_run *run, struct err *err)
{
    static const struct scope all = {.any = false}; /* which rows, compare_these() has found */
    close_sides(run);
    if (!open_side(run, SIDE_SOURCE, err) || !open_side(run, SIDE_TARGET, err))
        return false;
    run->cats[SIDE_TARGET].unfit = &run->unfit;
    plan_make(run->cats, false, run->pipeline_filter, run->rules, NULL, &all, &run->plan);
    return true;
}

/* --- the course --- */

static bool prepare(struct repair_run *run, struct err *err)
{
    const char *file = run->req->file;
    run->unfit.all = target_unfit_named(config_text(run->cfg, "target.unfit"));
    run->unfit.rules = config_list(run->cfg, "target.unfit_columns", &run->unfit.rule_count);
    if (!table_filter_from_config(run->cfg, &run->pipeline_filter, err) ||
        !table_rules_from_config(run->cfg, &run->rules, err))
        return false;
    if (file == NULL || strcmp(file, "-") == 0) {
        run->file = file != NULL ? stdout : NULL;
        return true;
    }
    mode_t before = umask(077); /* it holds rows */
    run->file = fopen(file, "w");
    (void)umask(before);
    return run->file != NULL || err_set_errno(err, errno, "%s", file);
}

static bool carry_out(struct repair_run *run, struct err *err)
{
    return run->req->way == REPAIR_JOURNAL ? repair_through_journal(run, err) : repair_by_sql(run, err);
}

static bool run_rounds(struct repair_run *run, struct err *err)
{
    const struct repair_request *req = run->req;
    if (!compare_these(run, req->tables, req->table_count, err))
        return false;
    run->out->before = run->found.verdict;
    for (int64_t round = 0; round < req->rounds && run->found.verdict == VERDICT_FAIL; round++) {
        if (!open_sides(run, err) || !repair_plan_jobs(run, round == 0, err))
            return false;
        if (!req->execute)
            return req->way == REPAIR_JOURNAL || repair_by_sql(run, err);
        if (run->job_count == 0)
            break;
        run->out->rounds++;
        if (!carry_out(run, err) || !compare_again(run, err))
            return false;
    }
    return true;
}

static bool close_file(struct repair_run *run, struct err *err)
{
    if (run->file == NULL)
        return true;
    bool ok = fflush(run->file) == 0 && ferror(run->file) == 0;
    if (run->file != stdout)
        ok = fclose(run->file) == 0 && ok;
    return ok || err_set(err, ERR_IO, "%s: could not be written", run->req->file);
}

bool compare_repair(const struct config *cfg, const struct repair_request *req, struct repair_result *ret,
                    struct err *err)
{
    struct repair_run run = {.cfg = cfg, .req = req, .pipeline = config_text(cfg, "pipeline"), .out = ret};
    struct err later = ERR_INIT;
    *ret = (struct repair_result){.reason = xstrdup("")};
    bool ok = prepare(&run, err) && run_rounds(&run, err);
    ok = close_file(&run, ok ? err : &later) && ok;
    close_sides(&run);
    compare_result_release(&run.found);
    table_filter_free(run.pipeline_filter);
    table_rules_free(run.rules);
    return ok;
}

void repair_result_release(struct repair_result *r)
{
    for (size_t i = 0; i < r->table_count; i++) {
        free(r->tables[i].schema);
        free(r->tables[i].table);
        free(r->tables[i].refused);
        free(r->tables[i].note);
    }
    free(r->tables);
    free(r->reason);
    *r = (struct repair_result){0};
}

int repair_exit_code(const struct repair_request *req, const struct repair_result *r)
{
    enum compare_verdict last = req->execute && r->after != VERDICT_UNKNOWN ? r->after : r->before;
    return compare_exit_code(last);
}
