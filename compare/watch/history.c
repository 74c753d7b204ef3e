/* Owns: rows of crossfade.comparison, and the windows that they make. See history.h. */
#include "history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"

#define NUMBER_MAX 24

static const char *number(char buf[NUMBER_MAX], int64_t n)
{
    (void)snprintf(buf, NUMBER_MAX, "%lld", (long long)n);
    return buf;
}

bool history_add(struct session *target, const char *pipeline, const struct watch_level *level,
                 int64_t started_us, const struct outcome *o, struct err *err)
{
    ROWSET_AUTO res = NULL;
    char n[11][NUMBER_MAX], lsn[LSN_TEXT_MAX];
    const char *params[] = {pipeline,
                            level->name,
                            number(n[0], level->every_us / 1000000),
                            number(n[1], started_us),
                            number(n[2], o->finished_us),
                            compare_verdict_name(o->verdict),
                            o->whole ? "t" : "f",
                            o->fence_id > 0 ? number(n[3], (int64_t)o->fence_id) : NULL,
                            o->lsn != 0 ? lsn_format(o->lsn, lsn) : NULL,
                            number(n[4], (int64_t)o->tables),
                            number(n[5], (int64_t)o->rows),
                            number(n[6], (int64_t)o->differences),
                            number(n[7], o->hold_us),
                            o->reason,
                            o->timed ? number(n[8], o->p95_us[0]) : NULL,
                            o->timed ? number(n[9], o->p95_us[1]) : NULL,
                            o->lag_us > 0 ? number(n[10], o->lag_us) : NULL};
    return session_ask(target, control_of(target)->comparison_add, ARRAY_LEN(params), params, &res, err) ||
           err_wrap(err, "target: crossfade.comparison");
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

static struct window_row row_of(const struct rowset *res, int i)
{
    return (struct window_row){.id = (uint64_t)rowset_int64(res, i, 0),
                               .level = rowset_cell(res, i, 1),
                               .verdict = rowset_cell(res, i, 2),
                               .whole = rowset_bool(res, i, 3),
                               .every_s = rowset_int64(res, i, 4),
                               .began_us = rowset_int64(res, i, 5),
                               .ended_us = rowset_int64(res, i, 6),
                               .fence_id = (uint64_t)rowset_int64(res, i, 7)};
}

/* Two lines of levels add rows at the same time: one may come to be seen after one of a higher number. */
#define OVERLAP 100

bool history_read_on(struct session *target, const char *pipeline, struct windows *windows, struct err *err)
{
    uint64_t after = windows->last_id > OVERLAP ? windows->last_id - OVERLAP : 0;
    for (int rows = COMPARISON_ROWS; rows == COMPARISON_ROWS;) {
        ROWSET_AUTO res = NULL;
        char id[NUMBER_MAX];
        const char *params[] = {pipeline, number(id, (int64_t)after)};
        if (!session_ask(target, control_of(target)->comparison_rows, 2, params, &res, err))
            return err_wrap(err, "target: crossfade.comparison");
        rows = rowset_rows(res);
        for (int i = 0; i < rows; i++) {
            struct window_row row = row_of(res, i);
            windows_add(windows, &row);
            after = row.id;
        }
    }
    return true;
}

static bool read_windows(struct session *target, const char *pipeline, struct watch_history *ret,
                         struct err *err)
{
    struct windows windows = {.count = 0};
    if (!history_read_on(target, pipeline, &windows, err))
        return false;
    for (size_t i = 0; i < windows.count && i < ARRAY_LEN(ret->windows); i++) {
        if (windows.levels[i].told.runs > 0)
            window_tell(&windows.levels[i], 0, clock_wall_us(), &ret->windows[ret->window_count++]);
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
                            .timed = !rowset_is_null(res, i, 11),
                            .p95_us = {rowset_int64(res, i, 10), rowset_int64(res, i, 11)},
                            .lag_us = rowset_int64(res, i, 12)};
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
int64_t history_clean_since(const struct windows *windows, const struct watch_schedule *schedule)
{
    int64_t since_us = 0;
    for (size_t i = 0; i < schedule->count; i++) {
        const struct window *window = windows_find(windows, schedule->levels[i].name);
        struct watch_window told = {.clean_since_us = 0};
        if (window != NULL)
            window_tell(window, schedule->levels[i].every_us / 1000000, clock_wall_us(), &told);
        if (told.clean_since_us == 0)
            return 0;
        since_us = MAX_OF(since_us, told.clean_since_us);
    }
    return since_us;
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
