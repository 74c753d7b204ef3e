/* The status board: a locked copy of a role's numbers, and a short history of its counters for rates. */
#include "control/status.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/board.h"
#include "control/desk.h"
#include "control/tally.h"
#include "core/alloc.h"
#include "core/clock.h"

#define SAMPLE_EVERY_US INT64_C(200000)
#define RATE_WINDOW_US  INT64_C(10000000)
#define SAMPLES_MAX     64

struct sample {
    int64_t mono_us;
    uint64_t changes, rows, bytes;
};

struct status_board {
    pthread_mutex_t lock;
    struct role_status status;        /* tables: own copy */
    struct table_status *last_tables; /* of the copy before, when none runs */
    size_t last_table_count;
    int64_t published_us; /* wall */
    struct desk *desk;
    bool ready;
    char trouble[BOARD_TROUBLE_MAX];
    struct role_status slot;    /* status_board_slot() */
    bool slot_found, slot_ends; /* … with what is published next */
    struct sample samples[SAMPLES_MAX];
    size_t sample_count; /* ever taken */
    struct tally *tally;
};

static const char *const phase_names[PHASE_MAX_] = {
    [PHASE_UNKNOWN] = "unknown",     [PHASE_STARTING] = "starting", [PHASE_SNAPSHOT] = "snapshot",
    [PHASE_STREAMING] = "streaming", [PHASE_HOLDING] = "holding",   [PHASE_RETRYING] = "retrying",
    [PHASE_PAUSED] = "paused",       [PHASE_STOPPING] = "stopping", [PHASE_HALTED] = "halted",
};

const char *role_phase_name(enum role_phase phase)
{
    return (unsigned)phase < PHASE_MAX_ ? phase_names[phase] : "unknown";
}

const char *wal_guard_level_name(enum wal_guard_level level)
{
    static const char *const names[] = {"ok", "warn", "throttle", "alert"};
    return (unsigned)level < sizeof names / sizeof names[0] ? names[level] : "unknown";
}

struct status_board *status_board_new(void)
{
    struct status_board *board = xcalloc(1, sizeof *board);
    board->desk = desk_new();
    if (pthread_mutex_init(&board->lock, NULL) != 0)
        BUG("pthread_mutex_init failed");
    board->tally = tally_new();
    board->status = (struct role_status){.role = "unknown", .retained_wal_bytes = -1, .safe_wal_bytes = -1};
    return board;
}

void status_board_free(struct status_board *board)
{
    if (board == NULL)
        return;
    desk_free(board->desk);
    free((void *)(uintptr_t)board->status.tables);
    tally_free(board->tally);
    free(board->last_tables);
    pthread_mutex_destroy(&board->lock);
    free(board);
}

struct tally *status_board_tally(struct status_board *board)
{
    return board->tally;
}

static struct table_status *copy_tables(const struct table_status *tables, size_t count)
{
    if (tables == NULL || count == 0)
        return NULL;
    struct table_status *copy = xmalloc(count * sizeof *copy);
    memcpy(copy, tables, count * sizeof *copy);
    return copy;
}

static void take_sample(struct status_board *board, const struct role_status *status)
{
    int64_t now_us = clock_mono_us();
    size_t n = board->sample_count;
    if (n > 0 && now_us - board->samples[(n - 1) % SAMPLES_MAX].mono_us < SAMPLE_EVERY_US)
        return;
    board->samples[n % SAMPLES_MAX] = (struct sample){
        .mono_us = now_us, .changes = status->changes, .rows = status->snapshot_rows, .bytes = status->bytes};
    board->sample_count++;
}

void status_board_publish(struct status_board *board, const struct role_status *status)
{
    struct table_status *tables = copy_tables(status->tables, status->table_count);
    pthread_mutex_lock(&board->lock);
    struct table_status *old = (void *)(uintptr_t)board->status.tables;
    if (tables == NULL && old != NULL) { /* the copy is over, or waits between two windows */
        struct table_status *before = board->last_tables;
        board->last_tables = old;
        board->last_table_count = board->status.table_count;
        old = before;
    }
    board->status = *status;
    board->slot_found = board->slot_found && !board->slot_ends;
    board->published_us = clock_wall_us();
    board->status.tables = tables;
    if (tables == NULL)
        board->status.table_count = 0;
    take_sample(board, status);
    pthread_mutex_unlock(&board->lock);
    free(old);
}

struct desk *status_board_desk(struct status_board *board)
{
    return board->desk;
}

void status_board_trouble(void *ctx, const char *text)
{
    struct status_board *board = ctx;
    pthread_mutex_lock(&board->lock);
    (void)snprintf(board->trouble, sizeof board->trouble, "%s", text != NULL ? text : "");
    pthread_mutex_unlock(&board->lock);
}

void status_board_slot(struct status_board *board, const struct role_status *found)
{
    pthread_mutex_lock(&board->lock);
    board->slot_ends = found == NULL;
    if (found != NULL) {
        board->slot_found = true;
        board->slot = *found;
    }
    pthread_mutex_unlock(&board->lock);
}

/* Under the lock. */
static void look_at_slot(const struct status_board *board, struct role_status *ret)
{
    const struct role_status *slot = &board->slot;
    if (!board->slot_found)
        return;
    ret->source_lsn = MAX_OF(slot->source_lsn, ret->source_lsn);
    ret->retained_wal_bytes = slot->retained_wal_bytes;
    ret->safe_wal_bytes = slot->safe_wal_bytes;
    ret->max_retained_wal_bytes = slot->max_retained_wal_bytes;
    ret->wal_guard = slot->wal_guard;
    memcpy(ret->wal_status, slot->wal_status, sizeof ret->wal_status);
}

/* Oldest sample inside the window; NULL if there is none. */
static const struct sample *oldest_sample(const struct status_board *board, int64_t now_us)
{
    size_t n = board->sample_count;
    size_t kept = MIN_OF(n, (size_t)SAMPLES_MAX);
    for (size_t i = n - kept; i < n; i++) {
        const struct sample *s = &board->samples[i % SAMPLES_MAX];
        if (now_us - s->mono_us <= RATE_WINDOW_US)
            return s;
    }
    return NULL;
}

/* A counter that went back (the role started its copy anew) counts as no progress. */
static double rate_of(uint64_t then, uint64_t now, double seconds)
{
    return now > then ? (double)(now - then) / seconds : 0.0;
}

void board_look(struct status_board *board, struct board_view *ret)
{
    board_look_with(board, STATUS_TABLES_NOW, ret);
}

/* Under the lock. */
static void look_at_tables(const struct status_board *board, struct board_view *ret)
{
    const struct table_status *from = board->status.tables;
    if (ret->tables_wanted == STATUS_TABLES_LAST && from == NULL) {
        from = board->last_tables;
        ret->status.table_count = board->last_table_count;
    }
    if (ret->tables_wanted == STATUS_TABLES_NONE)
        ret->status.table_count = 0;
    ret->tables = copy_tables(from, ret->status.table_count);
    ret->status.tables = ret->tables;
}

void board_look_with(struct status_board *board, enum status_tables tables, struct board_view *ret)
{
    pthread_mutex_lock(&board->lock);
    ret->status = board->status;
    ret->tables_wanted = tables;
    ret->published_us = board->published_us;
    memcpy(ret->trouble, board->trouble[0] != '\0' ? board->trouble : board->status.notice,
           sizeof ret->trouble);
    look_at_tables(board, ret);
    look_at_slot(board, &ret->status);
    int64_t now_us = clock_mono_us();
    const struct sample *s = oldest_sample(board, now_us);
    double seconds = s != NULL ? (double)(now_us - s->mono_us) / 1e6 : 0.0;
    bool known = s != NULL && seconds >= 0.1;
    ret->changes_per_s = known ? rate_of(s->changes, board->status.changes, seconds) : 0.0;
    ret->rows_per_s = known ? rate_of(s->rows, board->status.snapshot_rows, seconds) : 0.0;
    ret->bytes_per_s = known ? rate_of(s->bytes, board->status.bytes, seconds) : 0.0;
    pthread_mutex_unlock(&board->lock);
    ret->rate_asked = desk_rate_asked(board->desk);
    ret->drains = desk_drain_asked(board->desk);
    ret->pause_asked = desk_is_paused(board->desk);
    ret->now_us = clock_wall_us();
}

void board_view_release(struct board_view *view)
{
    free(view->tables);
    view->tables = NULL;
}

bool board_view_lag_bytes(const struct board_view *view, uint64_t *ret)
{
    const struct role_status *st = &view->status;
    bool capture = strcmp(st->role, "capture") == 0;
    lsn_t ahead = capture ? st->source_lsn : st->journaled_lsn;
    lsn_t own = capture ? st->journaled_lsn : st->applied_lsn;
    if (ahead == 0 || own == 0)
        return false;
    *ret = ahead > own ? ahead - own : 0;
    return true;
}

bool board_view_lag_seconds(const struct board_view *view, double *ret)
{
    int64_t known_us = MAX_OF(view->status.position_commit_us, view->status.caught_up_us);
    uint64_t lag_bytes = 0;
    /* A role that cannot reach its server has not looked: what it says of itself then is what it saw before. */
    bool looks = view->status.phase != PHASE_RETRYING && view->status.phase != PHASE_HALTED;
    if (looks && board_view_lag_bytes(view, &lag_bytes) && lag_bytes == 0)
        known_us = MAX_OF(known_us, view->published_us);
    if (known_us == 0)
        return false;
    *ret = view->now_us > known_us ? (double)(view->now_us - known_us) / 1e6 : 0.0;
    return true;
}

bool board_view_eta(const struct board_view *view, double *ret_percent, double *ret_eta_s)
{
    const struct role_status *st = &view->status;
    *ret_eta_s = -1;
    if (st->snapshot_finished_us != 0) {
        *ret_percent = 100.0;
        *ret_eta_s = 0;
        return true;
    }
    if (st->snapshot_rows_estimate == 0)
        return false;
    uint64_t rows = MIN_OF(st->snapshot_rows, st->snapshot_rows_estimate); /* estimates may be too low */
    uint64_t left = st->snapshot_rows_estimate - rows;
    *ret_percent = MIN_OF(100.0 * (double)rows / (double)st->snapshot_rows_estimate, 99.9);
    if (view->rows_per_s > 0)
        *ret_eta_s = (double)left / view->rows_per_s;
    return true;
}

bool status_board_healthy(struct status_board *board)
{
    pthread_mutex_lock(&board->lock);
    enum role_phase phase = board->status.phase;
    pthread_mutex_unlock(&board->lock);
    return phase != PHASE_HALTED && phase != PHASE_RETRYING;
}

void status_board_set_ready(struct status_board *board)
{
    pthread_mutex_lock(&board->lock);
    board->ready = true;
    pthread_mutex_unlock(&board->lock);
}

bool status_board_ready(struct status_board *board)
{
    pthread_mutex_lock(&board->lock);
    bool ready = board->ready;
    pthread_mutex_unlock(&board->lock);
    return ready;
}
