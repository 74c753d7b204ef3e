/* Owns: rows of crossfade.comparison, and the windows that they make. See history.h. */
#include "history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"

#define REASON_MAX 2000
#define NUMBER_MAX 24

static const char *number(char buf[NUMBER_MAX], int64_t n)
{
    (void)snprintf(buf, NUMBER_MAX, "%lld", (long long)n);
    return buf;
}

/* Of what is no PASS: why, the first tables that are at fault, and where all of it can be read. */
static void add_reason(struct strbuf *out, const struct compare_result *r)
{
    strbuf_adds(out, r->reason);
    size_t told = 0;
    for (size_t i = 0; i < r->table_count && told < 3; i++) {
        const struct compare_table *t = &r->tables[i];
        if (t->verdict == VERDICT_PASS)
            continue;
        strbuf_addf(out, "%s%s.%s: %s", out->len > 0 ? "; " : "", t->schema, t->table, t->reason);
        told++;
    }
    if (r->report_dir != NULL)
        strbuf_addf(out, "%sreport: %s", out->len > 0 ? "; " : "", r->report_dir);
}

static char *reason_of(const struct compare_result *r, const char *why)
{
    struct strbuf sb = STRBUF_INIT(REASON_MAX); /* more than that is cut off, in the report it is whole */
    if (r == NULL)
        strbuf_adds(&sb, why);
    else if (r->verdict != VERDICT_PASS)
        add_reason(&sb, r);
    char *text = sb.len > 0 ? xstrndup(sb.data, sb.len) : NULL;
    strbuf_release(&sb);
    return text;
}

bool history_add(struct session *target, const char *pipeline, const struct watch_level *level,
                 int64_t started_us, const struct compare_result *r, const char *why, struct err *err)
{
    ROWSET_AUTO res = NULL;
    static const struct compare_result none = {.verdict = VERDICT_INCONCLUSIVE, .full = true};
    char n[9][NUMBER_MAX], lsn[LSN_TEXT_MAX];
    char *reason = reason_of(r, why);
    if (r == NULL)
        r = &none;
    const char *params[] = {pipeline,
                            level->name,
                            number(n[0], level->every_us / 1000000),
                            number(n[1], started_us),
                            number(n[2], r == &none ? clock_wall_us() : r->finished_us),
                            compare_verdict_name(r->verdict),
                            r->full ? "t" : "f",
                            r->fence_id > 0 ? number(n[3], (int64_t)r->fence_id) : NULL,
                            r->lsn != 0 ? lsn_format(r->lsn, lsn) : NULL,
                            number(n[4], (int64_t)r->table_count),
                            number(n[5], (int64_t)r->rows_source),
                            number(n[6], (int64_t)r->differences),
                            number(n[7], r->hold_us),
                            reason,
                            r->lag_us > 0 ? number(n[8], r->lag_us) : NULL};
    bool ok = session_ask(target, control_of(target)->comparison_add, ARRAY_LEN(params), params, &res, err);
    free(reason);
    return ok || err_wrap(err, "target: crossfade.comparison");
}

bool history_prune(struct session *target, const char *pipeline, int64_t keep_s, struct err *err)
{
    ROWSET_AUTO res = NULL;
    char older[NUMBER_MAX];
    struct err found = ERR_INIT;
    const char *params[] = {pipeline, number(older, clock_wall_us() - keep_s * 1000000)};
    if (session_ask(target, control_of(target)->comparison_prune, 2, params, &res, &found) ||
        found.code == ERR_AUTH) /* as control_delete_old(): left to a role that may */
        return true;
    *err = found;
    return err_wrap(err, "target: crossfade.comparison");
}

bool history_last(struct session *target, const char *pipeline, const char *level, int64_t *ret_us,
                  struct err *err)
{
    ROWSET_AUTO res = NULL;
    if (!session_ask(target, control_of(target)->comparison_levels, 1, &pipeline, &res, err))
        return err_wrap(err, "target: crossfade.comparison");
    *ret_us = 0;
    for (int i = 0; i < rowset_rows(res); i++) {
        if (strcmp(rowset_cell(res, i, 0), level) == 0)
            *ret_us = rowset_int64(res, i, 2);
    }
    return true;
}

bool history_window(struct session *target, const char *pipeline, const char *level, struct watch_window *ret,
                    struct err *err)
{
    ROWSET_AUTO res = NULL;
    const char *params[] = {pipeline, level};
    if (!session_ask(target, control_of(target)->comparison_window, 2, params, &res, err))
        return err_wrap(err, "target: crossfade.comparison");
    ret->runs = (uint64_t)rowset_int64(res, 0, 0);
    ret->passed = (uint64_t)rowset_int64(res, 0, 1);
    ret->failed = (uint64_t)rowset_int64(res, 0, 2);
    ret->inconclusive = (uint64_t)rowset_int64(res, 0, 3);
    ret->clean_runs = (uint64_t)rowset_int64(res, 0, 4);
    ret->clean_since_us = rowset_int64(res, 0, 5);
    ret->last_us = rowset_int64(res, 0, 6);
    ret->passed_us = rowset_int64(res, 0, 7);
    (void)snprintf(ret->level, sizeof ret->level, "%s", level);
    (void)snprintf(ret->last_verdict, sizeof ret->last_verdict, "%s", rowset_cell(res, 0, 8));
    ret->stale = ret->passed_us == 0 || clock_wall_us() - ret->passed_us > 3 * ret->every_s * 1000000;
    if (ret->stale) {
        ret->clean_runs = 0;
        ret->clean_since_us = 0;
    }
    return true;
}

static bool read_windows(struct session *target, const char *pipeline, struct watch_history *ret,
                         struct err *err)
{
    ROWSET_AUTO res = NULL;
    if (!session_ask(target, control_of(target)->comparison_levels, 1, &pipeline, &res, err))
        return err_wrap(err, "target: crossfade.comparison");
    for (int i = 0; i < rowset_rows(res) && ret->window_count < ARRAY_LEN(ret->windows); i++) {
        struct watch_window *window = &ret->windows[ret->window_count++];
        window->every_s = rowset_int64(res, i, 1);
        if (!history_window(target, pipeline, rowset_cell(res, i, 0), window, err))
            return false;
    }
    return true;
}

static struct watch_run run_of(const struct rowset *res, int i)
{
    struct watch_run run = {.reason = rowset_is_null(res, i, 2) ? NULL : xstrdup(rowset_cell(res, i, 2)),
                            .started_us = rowset_int64(res, i, 3),
                            .finished_us = rowset_int64(res, i, 4),
                            .fence_id = (uint64_t)rowset_int64(res, i, 5),
                            .tables = (uint64_t)rowset_int64(res, i, 6),
                            .rows = (uint64_t)rowset_int64(res, i, 7),
                            .differences = (uint64_t)rowset_int64(res, i, 8),
                            .full = rowset_bool(res, i, 9),
                            .lag_us = rowset_int64(res, i, 10)};
    (void)snprintf(run.level, sizeof run.level, "%s", rowset_cell(res, i, 0));
    (void)snprintf(run.verdict, sizeof run.verdict, "%s", rowset_cell(res, i, 1));
    return run;
}

static bool read_runs(struct session *target, const char *pipeline, size_t limit, struct watch_history *ret,
                      struct err *err)
{
    ROWSET_AUTO res = NULL;
    if (!session_ask(target, control_of(target)->comparisons, 1, &pipeline, &res, err))
        return err_wrap(err, "target: crossfade.comparison");
    size_t there = (size_t)rowset_rows(res);
    ret->run_count = there < limit ? there : limit;
    ret->runs = xcalloc(ret->run_count, sizeof *ret->runs);
    for (size_t i = 0; i < ret->run_count; i++)
        ret->runs[i] = run_of(res, (int)i);
    return true;
}

/* Levels are what the configuration schedules: one that never ran is not clean, one that is not scheduled any more says nothing. */
bool history_clean_since(struct session *target, const char *pipeline, const struct watch_schedule *schedule,
                         int64_t *ret_us, struct err *err)
{
    int64_t since_us = 0;
    for (size_t i = 0; i < schedule->count; i++) {
        struct watch_window window = {.every_s = schedule->levels[i].every_us / 1000000};
        if (!history_window(target, pipeline, schedule->levels[i].name, &window, err))
            return false;
        if (window.clean_since_us == 0) {
            *ret_us = 0;
            return true;
        }
        since_us = MAX_OF(since_us, window.clean_since_us);
    }
    *ret_us = since_us;
    return true;
}

/* Under one snapshot: a run that ends meanwhile is in the windows and among the runs, or in neither. */
bool history_read(struct session *target, const char *pipeline, size_t limit, struct watch_history *ret,
                  struct err *err)
{
    struct watch_history history = {0};
    struct err left = ERR_INIT;
    if (!session_begin(target, NULL, err))
        return err_wrap(err, "target: crossfade.comparison");
    bool ok =
        read_windows(target, pipeline, &history, err) && read_runs(target, pipeline, limit, &history, err);
    ok = session_exec(target, "ROLLBACK", ok ? err : &left) && ok;
    if (ok)
        *ret = history;
    else
        watch_history_release(&history);
    return ok;
}

bool watch_history_read(const struct config *cfg, size_t limit, struct watch_history *ret, struct err *err)
{
    struct session *target = NULL;
    const char *pipeline = config_text(cfg, "pipeline");
    bool ok = session_open(config_text(cfg, "target.url"), "target", pipeline, &target, err) &&
              control_of(target)->ensure(target, err) && history_read(target, pipeline, limit, ret, err);
    session_close(target);
    return ok;
}

void watch_history_release(struct watch_history *history)
{
    for (size_t i = 0; i < history->run_count; i++)
        free(history->runs[i].reason);
    free(history->runs);
    *history = (struct watch_history){0};
}
