/* Owns: the rule of clean windows. See window.h. */
#include "window.h"

#include <stdio.h>
#include <string.h>

static struct window *window_of(struct windows *windows, const char *level)
{
    for (size_t i = 0; i < windows->count; i++) {
        if (strcmp(windows->levels[i].told.level, level) == 0)
            return &windows->levels[i];
    }
    if (windows->count == WINDOWS_MAX)
        return NULL; /* a later version's level: it is not ours to judge */
    struct window *window = &windows->levels[windows->count++];
    *window = (struct window){.last_id = 0};
    (void)snprintf(window->told.level, sizeof window->told.level, "%s", level);
    return window;
}

/* Whether `more` reads all that `less` does: a comparison of hours lets no other run meanwhile, and its PASS says what theirs would. */
static bool includes(const char *more, const char *less)
{
    static const char *const order[] = {"counts", "changed", "digests", "full"};
    int rank_more = -1, rank_less = -1;
    for (int i = 0; i < (int)ARRAY_LEN(order); i++) {
        if (strcmp(order[i], more) == 0)
            rank_more = i;
        if (strcmp(order[i], less) == 0)
            rank_less = i;
    }
    return rank_less >= 0 && rank_more >= 2 &&
           rank_more > rank_less; /* changed keys say nothing of the others' count */
}

static void begin_anew(struct window *w)
{
    w->told.clean_runs = 0;
    w->told.clean_since_us = 0;
}

static void add_pass(struct window *w, const struct window_row *row, bool own)
{
    int64_t every_s = own ? row->every_s : MIN_OF(row->every_s, w->told.every_s);
    int64_t most_us = 3 * MAX_OF(every_s * 1000000, w->before_ended_us - w->before_began_us);
    bool gap = w->before_began_us > 0 && row->began_us - w->before_began_us > most_us;
    if (gap || (row->fence_id > 0 && row->fence_id < w->before_fence))
        begin_anew(w);
    w->before_began_us = row->began_us;
    w->before_ended_us = row->ended_us;
    w->before_fence = row->fence_id;
    if (own && w->told.clean_runs++ == 0)
        w->told.clean_since_us = row->began_us;
}

static void add_own(struct window *w, const struct window_row *row)
{
    bool passed = strcmp(row->verdict, "PASS") == 0, failed = strcmp(row->verdict, "FAIL") == 0;
    w->last_id = row->id;
    w->began_us = row->began_us;
    w->told.every_s = row->every_s;
    w->told.runs++;
    w->told.passed += passed;
    w->told.failed += failed;
    w->told.inconclusive += !passed && !failed;
    w->told.last_us = MAX_OF(w->told.last_us, row->ended_us);
    (void)snprintf(w->told.last_verdict, sizeof w->told.last_verdict, "%s", row->verdict);
    if (failed)
        begin_anew(w);
}

void windows_add(struct windows *windows, const struct window_row *row)
{
    struct window *mine = window_of(windows, row->level);
    bool passed = strcmp(row->verdict, "PASS") == 0;
    windows->last_id = MAX_OF(windows->last_id, row->id);
    if (mine == NULL || row->id <= mine->last_id || (passed && !row->whole))
        return;
    add_own(mine, row);
    for (size_t i = 0; passed && i < windows->count; i++) {
        struct window *w = &windows->levels[i];
        if (w == mine || includes(row->level, w->told.level))
            add_pass(w, row, w == mine);
    }
}

const struct window *windows_find(const struct windows *windows, const char *level)
{
    for (size_t i = 0; i < windows->count; i++) {
        if (strcmp(windows->levels[i].told.level, level) == 0)
            return &windows->levels[i];
    }
    return NULL;
}

void window_tell(const struct window *w, int64_t every_s, int64_t now_us, struct watch_window *ret)
{
    *ret = w->told;
    if (every_s > 0)
        ret->every_s = every_s;
    int64_t took_us = w->before_ended_us - w->before_began_us;
    ret->passed_us = w->before_began_us;
    ret->stale = ret->passed_us == 0 || now_us - ret->passed_us > 3 * MAX_OF(ret->every_s * 1000000, took_us);
    if (ret->stale) {
        ret->clean_runs = 0;
        ret->clean_since_us = 0;
    }
}
