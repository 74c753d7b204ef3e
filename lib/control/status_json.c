/* /status: a board as one JSON object. What is not known is null, never a made-up number. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/board.h"
#include "core/clock.h"
#include "core/memory.h"
#include "json/text.h"

static json_t *json_lsn(lsn_t lsn)
{
    char text[LSN_TEXT_MAX];
    return lsn != 0 ? json_string(lsn_format(lsn, text)) : json_null();
}

static json_t *json_time(int64_t wall_us)
{
    char text[ISO_TIME_MAX];
    return wall_us != 0 ? json_string(clock_iso(wall_us, text)) : json_null();
}

static json_t *json_count(uint64_t n)
{
    return json_integer((json_int_t)n);
}

/* Rounded to milliseconds (or thousandths), so that people can read it. */
static json_t *json_rounded(bool known, double value)
{
    return known ? json_real((double)(int64_t)(value * 1000.0 + 0.5) / 1000.0) : json_null();
}

static void set(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) != 0)
        BUG("no memory for JSON");
}

static json_t *tables_json(const struct table_status *tables, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        const struct table_status *table = &tables[i];
        json_t *item = json_object();
        set(item, "name", json_text_or_null(table->name));
        set(item, "rows", json_count(table->rows));
        set(item, "estimate", table->rows_estimate != 0 ? json_count(table->rows_estimate) : json_null());
        set(item, "done", json_boolean(table->done));
        json_array_append_new(list, item);
    }
    return list;
}

static json_t *snapshot_json(const struct board_view *view)
{
    const struct role_status *st = &view->status;
    if (st->snapshot_started_us == 0)
        return json_null();
    double percent = 0, eta_s = -1;
    bool known = board_view_eta(view, &percent, &eta_s);
    int64_t end_us = st->snapshot_finished_us != 0 ? st->snapshot_finished_us : view->now_us;
    json_t *snapshot = json_object();
    set(snapshot, "rows", json_count(st->snapshot_rows));
    set(snapshot, "estimate",
        st->snapshot_rows_estimate != 0 ? json_count(st->snapshot_rows_estimate) : json_null());
    set(snapshot, "percent", json_rounded(known, percent));
    set(snapshot, "eta_seconds", json_rounded(eta_s >= 0, eta_s));
    set(snapshot, "rows_per_second", json_rounded(true, view->rows_per_s));
    set(snapshot, "seconds", json_rounded(true, (double)(end_us - st->snapshot_started_us) / 1e6));
    set(snapshot, "started", json_time(st->snapshot_started_us));
    set(snapshot, "finished", json_time(st->snapshot_finished_us));
    if (view->tables_wanted != STATUS_TABLES_NONE)
        set(snapshot, "tables", tables_json(view->tables, view->status.table_count));
    return snapshot;
}

static void set_positions(json_t *root, const struct board_view *view)
{
    const struct role_status *st = &view->status;
    uint64_t lag_bytes = 0;
    double lag_s = 0;
    bool bytes_known = board_view_lag_bytes(view, &lag_bytes);
    bool seconds_known = board_view_lag_seconds(view, &lag_s);
    set(root, "source_lsn", json_lsn(st->source_lsn));
    set(root, "received_lsn", json_lsn(st->received_lsn));
    set(root, "journaled_lsn", json_lsn(st->journaled_lsn));
    set(root, "applied_lsn", json_lsn(st->applied_lsn));
    set(root, "confirmed_lsn", json_lsn(st->confirmed_lsn));
    set(root, "lag_bytes", bytes_known ? json_count(lag_bytes) : json_null());
    set(root, "lag_seconds", json_rounded(seconds_known, lag_s));
    set(root, "position_commit_time", json_time(st->position_commit_us));
    set(root, "caught_up_time", json_time(st->caught_up_us));
    set(root, "retained_wal_bytes",
        st->retained_wal_bytes >= 0 ? json_integer(st->retained_wal_bytes) : json_null());
    set(root, "safe_wal_bytes", st->safe_wal_bytes >= 0 ? json_integer(st->safe_wal_bytes) : json_null());
    set(root, "max_retained_wal_bytes",
        st->max_retained_wal_bytes > 0 ? json_integer(st->max_retained_wal_bytes) : json_null());
    set(root, "wal_status", json_text_or_null(st->wal_status));
    set(root, "wal_guard", json_string(wal_guard_level_name(st->wal_guard)));
}

static void set_counters(json_t *root, const struct board_view *view)
{
    const struct role_status *st = &view->status;
    set(root, "fence_id", json_count(st->fence_id));
    set(root, "attempt", json_count(st->attempt));
    set(root, "complete", json_boolean(st->complete));
    set(root, "marker_nonce", json_text_or_null(st->marker_nonce));
    set(root, "unapplied_fences", json_count(st->unapplied_fences));
    set(root, "dead_letters", json_count(st->dead_letters));
    if (st->dual_written[0] != '\0') {
        set(root, "dual_written", json_text_or_null(st->dual_written));
        set(root, "dual_write_until", json_text_or_null(st->dual_write_until));
        set(root, "conflicts_source", json_count(st->conflicts_source));
        set(root, "conflicts_target", json_count(st->conflicts_target));
        set(root, "conflicts_open", json_count(st->conflicts_open));
    }
    if (st->no_origin[0] != '\0')
        set(root, "no_origin", json_text_or_null(st->no_origin));
    set(root, "throttle", json_text_or_null(st->throttle != NULL ? st->throttle : ""));
    set(root, "pause_asked", json_boolean(view->pause_asked));
    set(root, "drains", json_boolean(view->drains));
    set(root, "rows_per_second_asked", view->rate_asked >= 0 ? json_integer(view->rate_asked) : json_null());
    set(root, "batch_changes", json_count(st->batch_changes));
    set(root, "lag_alarm", json_boolean(st->lag_alarm));
    set(root, "failed_batches", json_count(st->failed_batches));
    set(root, "narrowing_attempts", json_count(st->narrowing_attempts));
    set(root, "changes", json_count(st->changes));
    set(root, "transactions", json_count(st->transactions));
    set(root, "fences", json_count(st->fences));
    set(root, "bytes", json_count(st->bytes));
    set(root, "changes_per_second", json_rounded(true, view->changes_per_s));
    set(root, "bytes_per_second", json_rounded(true, view->bytes_per_s));
    set(root, "errors", json_count(st->errors));
    set(root, "retries", json_count(st->retries));
    set(root, "last_error", json_text_or_null(st->last_error));
    set(root, "last_sqlstate", json_text_or_null(st->last_sqlstate));
    set(root, "last_error_time", json_time(st->last_error_us));
    set(root, "trouble", json_text_or_null(view->trouble));
}

char *status_board_json_with(struct status_board *board, enum status_tables tables)
{
    struct board_view view;
    board_look_with(board, tables, &view);
    const struct role_status *st = &view.status;
    json_t *root = json_object();
    set(root, "role", json_text_or_null(st->role));
    set(root, "pipeline", json_text_or_null(st->pipeline));
    if (st->shard[0] != '\0')
        set(root, "shard", json_text_or_null(st->shard));
    set(root, "version", json_string(CF_VERSION));
    set(root, "pid", json_integer(getpid()));
    set(root, "phase", json_string(role_phase_name(st->phase)));
    set(root, "phase_seconds",
        json_rounded(st->phase_since_us != 0, (double)MAX_OF(view.now_us - st->phase_since_us, 0) / 1e6));
    set_positions(root, &view);
    set_counters(root, &view);
    if (st->promise[0] != '\0')
        set(root, "promise", json_text_or_null(st->promise));
    set(root, "snapshot", snapshot_json(&view));
    set(root, "memory_bytes", json_count(memory_anon_bytes()));
    board_view_release(&view);
    char *text = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(14));
    json_decref(root);
    if (text == NULL)
        BUG("status does not become JSON");
    return text;
}

char *status_board_json(struct status_board *board)
{
    return status_board_json_with(board, STATUS_TABLES_NOW);
}
