/* Owns: what was told of a role so far. See role_alerts.h. */
#include "control/role_alerts.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/alert_state.h"
#include "control/board.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/mono_cond.h"

#define LOOK_EVERY_US INT64_C(500000)
#define TEXT_MAX      900

enum condition { LAG = 0, SLOT, SLOT_DANGER, DEAD_LETTERS, RETRYING, HALTED, CONDITION_COUNT };

struct role_alerts {
    struct status_board *board;
    struct alerts *alerts;
    int64_t raise_after_us, clear_after_us;
    struct alert_state states[CONDITION_COUNT];
    pthread_mutex_t lock; /* guards ends */
    pthread_cond_t wake;
    bool ends;
    pthread_t thread;
};

static const struct {
    const char *event, *over; /* over NULL: it never is */
    bool at_once;
} conditions[CONDITION_COUNT] = {
    [LAG] = {"lag", "lag_over", false},
    [SLOT] = {"slot", "slot_over", false},
    [SLOT_DANGER] = {"slot_danger", "slot_danger_over", true},
    [DEAD_LETTERS] = {"dead_letters", "dead_letters_over", true},
    [RETRYING] = {"retrying", "retrying_over", false},
    [HALTED] = {"halted", NULL, true},
};

/* By the clock, too: a role that hangs in one batch notes nothing any more. */
static bool is_late(const struct board_view *view)
{
    double lag_s = 0;
    return view->status.lag_alarm || (view->status.lag_limit_us > 0 && board_view_lag_seconds(view, &lag_s) &&
                                      lag_s * 1e6 > (double)view->status.lag_limit_us);
}

static bool holds(const struct board_view *view, enum condition c)
{
    const struct role_status *st = &view->status;
    switch (c) {
    case LAG:
        return is_late(view);
    case SLOT:
        return st->wal_guard >= WAL_GUARD_WARN;
    case SLOT_DANGER:
        return st->wal_guard >= WAL_GUARD_ALERT;
    case DEAD_LETTERS:
        return st->dead_letters > 0;
    case RETRYING:
        return st->phase == PHASE_RETRYING;
    case HALTED:
        return st->phase == PHASE_HALTED;
    case CONDITION_COUNT:
        break;
    }
    return false;
}

static void say(const struct board_view *view, enum condition c, char *out, size_t size)
{
    const struct role_status *st = &view->status;
    double lag_s = 0;
    switch (c) {
    case LAG:
        if (board_view_lag_seconds(view, &lag_s))
            (void)snprintf(out, size, "%s is %.1f s behind", st->role, lag_s);
        else
            (void)snprintf(out, size, "%s is behind", st->role);
        break;
    case SLOT:
    case SLOT_DANGER:
        (void)snprintf(out, size, "the slot holds back %lld bytes of WAL (limit %lld, wal_status %s)",
                       (long long)st->retained_wal_bytes, (long long)st->max_retained_wal_bytes,
                       st->wal_status);
        break;
    case DEAD_LETTERS:
        (void)snprintf(out, size, "%llu changes are held as dead letters",
                       (unsigned long long)st->dead_letters);
        break;
    case RETRYING:
    case HALTED:
        (void)snprintf(out, size, "%.600s", st->last_error[0] != '\0' ? st->last_error : view->trouble);
        break;
    case CONDITION_COUNT:
        break;
    }
}

static const char *level_of(const struct board_view *view, enum condition c)
{
    return c == SLOT ? "warn" : c == SLOT_DANGER ? "alert" : view->status.role;
}

static void tell(struct role_alerts *ra, const struct board_view *view, enum condition c, unsigned turns)
{
    char text[TEXT_MAX] = "";
    bool on = ra->states[c].told;
    const char *event = on ? conditions[c].event : conditions[c].over;
    if (event == NULL)
        return;
    if (on)
        say(view, c, text, sizeof text);
    else if (turns > 0)
        (void)snprintf(text, sizeof text, "it is over; meanwhile it came back %u times", turns);
    else
        (void)snprintf(text, sizeof text, "it is over");
    alerts_raise(ra->alerts, event, level_of(view, c), text, !on);
}

static void look(struct role_alerts *ra)
{
    struct board_view view;
    board_look(ra->board, &view);
    int64_t now_us = clock_mono_us();
    for (int c = 0; c < CONDITION_COUNT; c++) {
        unsigned turns = 0;
        if (alert_state_step(&ra->states[c], holds(&view, (enum condition)c), now_us,
                             conditions[c].at_once ? 0 : ra->raise_after_us, ra->clear_after_us, &turns))
            tell(ra, &view, (enum condition)c, turns);
    }
    board_view_release(&view);
}

static void *watch(void *arg)
{
    struct role_alerts *ra = arg;
    pthread_mutex_lock(&ra->lock);
    while (!ra->ends) {
        (void)mono_cond_wait(&ra->wake, &ra->lock, clock_mono_us() + LOOK_EVERY_US);
        pthread_mutex_unlock(&ra->lock);
        look(ra);
        pthread_mutex_lock(&ra->lock);
    }
    pthread_mutex_unlock(&ra->lock);
    return NULL;
}

struct role_alerts *role_alerts_start(const struct config *cfg, struct status_board *board)
{
    const struct alert_ways ways = alert_ways_of(cfg);
    if (!alert_ways_any(&ways))
        return NULL;
    struct role_alerts *ra = xcalloc(1, sizeof *ra);
    ra->board = board;
    ra->alerts = alerts_new(&ways);
    ra->raise_after_us = config_int(cfg, "alerts.raise_after") * 1000000;
    ra->clear_after_us = config_int(cfg, "alerts.clear_after") * 1000000;
    mono_cond_init(&ra->wake);
    if (pthread_mutex_init(&ra->lock, NULL) != 0 || pthread_create(&ra->thread, NULL, watch, ra) != 0)
        BUG("no thread for alerts");
    return ra;
}

void role_alerts_stop(struct role_alerts *ra)
{
    if (ra == NULL)
        return;
    pthread_mutex_lock(&ra->lock);
    ra->ends = true;
    pthread_cond_signal(&ra->wake);
    pthread_mutex_unlock(&ra->lock);
    pthread_join(ra->thread, NULL);
    alerts_free(ra->alerts);
    pthread_cond_destroy(&ra->wake);
    pthread_mutex_destroy(&ra->lock);
    free(ra);
}
