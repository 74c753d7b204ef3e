/*
 * Owns: the loop of the owner thread while it follows the WAL, and when a batch is handed over. See stream.h.
 * Failpoints: capture.hold, capture.cut.
 *
 * Group commit: when the socket has no more to give, what is complete goes to the publisher at once if that
 * is idle; while more keeps coming, batches grow until the publisher is free or they are full.
 */
#include "capture/stream/stream.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "capture/asked.h"
#include "capture/ddl/shapes.h"
#include "capture/ddl/watch.h"
#include "capture/source/recover.h"
#include "capture/source/standby.h"
#include "capture/stream/stream_internal.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "core/log.h"

/* Frames handled before the clock is read and feedback is due. */
#define FRAMES_PER_TURN 256
/* Under sustained load a complete transaction waits at most this long for company. */
#define BATCH_AGE_US (10 * 1000)
#define POLL_MS      50
/* While frames come faster than PACE_FRAMES in PACE_WINDOW_US, the socket is left alone for NAP_NS whenever it is empty:
 * the walsender sends each message by itself, and to wake a sleeping receiver for each costs the source's CPU half as
 * much again as decoding does (docs/PERFORMANCE.md). */
#define PACE_WINDOW_US 5000
#define PACE_FRAMES    200
#define NAP_NS         2000000
/* As much as this over so long is a backlog that is read: few large fences are cheaper than many (cap_publisher_hurry()). */
#define BACKLOG_WINDOW_US 50000
#define BACKLOG_FRAMES    1500
#define ROOM_POLL_MS      100
/* Servers before it have no "streaming". */
#define STREAMING_SINCE_VERSION 140000
#define STOP_TIMEOUT_MS         3000
/* Whether tables are published is looked at as often as heartbeats go, within these. With thousands of tables that takes long: then less
 * often, so that it takes no more than a fiftieth of the time, as far as the second bound lets it. */
#define WATCH_MIN_US INT64_C(1000000)
#define WATCH_MAX_US (5 * WATCH_MIN_US)
#define WATCH_SHARE  50
/* An orderly stop does not wait longer than this for a journal that takes nothing: it all comes again. */
#define STOP_PATIENCE_US (4 * INT64_C(1000000))

/* --- batches --- */

static void new_batch(struct cap_stream *st)
{
    st->batch = cap_publisher_batch(st->session->publisher);
    st->batch_since_us = 0;
}

static void take_time(struct cap_stream *st)
{
    st->now_us = clock_mono_us();
    st->now_wall_us = clock_wall_us();
}

static bool publisher_failed(struct err *err)
{
    return err_set(err, ERR_INTERRUPTED,
                   "the journal's writer has failed"); /* cap_publisher_stop() tells why */
}

bool cap_stream_check_history(struct cap_stream *st, lsn_t lsn, struct err *err)
{
    if (st->history_checked || lsn < st->start_lsn)
        return true;
    if (!cap_check_history(&st->session->position, st->slot_lsn, st->skipped_commits,
                           st->skipped_commit_time_us, err))
        return false;
    st->history_checked = true;
    return true;
}

bool cap_stream_settled(const struct cap_stream *st)
{
    return st->batch->record_count == 0 && st->batch->bound_count == 0 && cap_spill_count(st->held) == 0 &&
           cap_publisher_idle(st->session->publisher);
}

bool cap_stream_submit(struct cap_stream *st, struct cap_batch *batch, struct err *err)
{
    struct cap_publisher *pub = st->session->publisher;
    int64_t stop_seen_us = 0;
    if ((batch->bound_count > 0 || batch->copy_fence.wanted) &&
        !cap_standby_same_timeline(st->session, err)) {
        cap_batch_free(batch);
        return false;
    }
    while (!cap_publisher_try_submit(pub, batch)) {
        struct pollfd fd = {.fd = cap_publisher_fd(pub), .events = POLLIN};
        (void)poll(&fd, 1, ROOM_POLL_MS);
        take_time(st);
        cap_publisher_progress(pub, &st->progress);
        if (st->progress.failed || !cap_feedback_turn(st, err)) {
            cap_batch_free(batch);
            return st->progress.failed ? publisher_failed(err) : false;
        }
        if (stop_seen_us == 0 && cap_stop_asked(st->session))
            stop_seen_us = st->now_us;
        if (stop_seen_us != 0 && st->now_us - stop_seen_us >= STOP_PATIENCE_US) {
            cap_batch_free(batch);
            return err_set(err, ERR_INTERRUPTED, "stopped while the journal takes nothing");
        }
    }
    return true;
}

bool cap_stream_breathe(struct cap_stream *st, bool *ret_stop, struct err *err)
{
    take_time(st);
    cap_publisher_progress(st->session->publisher, &st->progress);
    if (st->progress.failed)
        return publisher_failed(err);
    *ret_stop = cap_stop_asked(st->session);
    return cap_feedback_turn(st, err);
}

bool cap_stream_hand_over(struct cap_stream *st, struct err *err)
{
    struct cap_batch *batch = st->batch;
    if (batch->record_count == 0 && batch->bound_count == 0)
        return true;
    if (batch->bound_count > 0)
        st->submitted_lsn = batch->bounds[batch->bound_count - 1].commit_end_lsn;
    new_batch(st);
    return cap_stream_submit(st, batch, err);
}

static bool hold_back(struct cap_stream *st, struct err *err)
{
    struct cap_batch *batch = st->batch, *emptied = NULL;
    if (!cap_spill_push(st->held, batch, &emptied, err))
        return false; /* the batch is still st's */
    if (emptied != NULL)
        cap_publisher_return(st->session->publisher, emptied);
    new_batch(st);
    return true;
}

/* For a comparison, or while rows are copied that have to come first. */
static bool holds(const struct cap_stream *st)
{
    return st->hold.active || (st->copier != NULL && cap_copier_holds(st->copier));
}

bool cap_stream_make_room(struct cap_stream *st, struct err *err)
{
    const struct cap_settings *settings = st->session->settings;
    if (cap_batch_size(st->batch) < settings->batch_bytes && st->batch->changes < settings->fence_max_changes)
        return true;
    return holds(st) ? hold_back(st, err) : cap_stream_hand_over(st, err);
}

/* Everything held goes to the publisher, in order; with a cut, a fence exactly at its position. */
static bool release_held(struct cap_stream *st, const struct cap_hold_step *step, struct err *err)
{
    bool cut_done = !step->cut;
    int64_t previous_us = 0;
    if (!hold_back(st, err) || (step->cut && !failpoint("capture.cut", err)))
        return false;
    while (cap_spill_count(st->held) > 0) {
        struct cap_batch *batch = NULL;
        if (!cap_spill_pop(st->held, &batch, err))
            return false;
        if (!cut_done)
            cut_done = cap_batch_cut(batch, step->cut_lsn, &step->cut_marker, previous_us,
                                     cap_spill_count(st->held) == 0);
        if (batch->bound_count > 0) {
            st->submitted_lsn = batch->bounds[batch->bound_count - 1].commit_end_lsn;
            previous_us = batch->bounds[batch->bound_count - 1].commit_time_us;
        }
        if (!cap_stream_submit(st, batch, err))
            return false;
    }
    return true;
}

static bool submit_held(struct cap_stream *st, struct err *err)
{
    while (cap_spill_count(st->held) > 0) {
        struct cap_batch *batch = NULL;
        if (!cap_spill_pop(st->held, &batch, err))
            return false;
        if (batch->bound_count > 0)
            st->submitted_lsn = batch->bounds[batch->bound_count - 1].commit_end_lsn;
        if (!cap_stream_submit(st, batch, err))
            return false;
    }
    return true;
}

bool cap_stream_release(struct cap_stream *st, const struct fence_copy *place, bool complete, struct err *err)
{
    if (!hold_back(st, err) || !submit_held(st, err))
        return false;
    struct cap_batch *batch = cap_publisher_batch(st->session->publisher);
    int64_t time_us =
        st->last_commit_time_us != 0 ? st->last_commit_time_us : st->session->status->snapshot_started_us;
    batch->copy_fence = (struct cap_copy_fence){
        .wanted = true, .complete = complete, .lsn = st->seen_lsn, .commit_time_us = time_us};
    batch->copy_fence.place = fence_copy_clone(place);
    st->submitted_lsn = MAX_OF(st->submitted_lsn, st->seen_lsn);
    st->fenced_lsn = st->seen_lsn;
    return cap_stream_submit(st, batch, err);
}

static void log_hold(const struct cap_stream *st, const struct cap_hold_step *step, lsn_t commit_lsn)
{
    const char *what = step->cut ? "cut" : step->hold ? "hold" : step->lapsed ? "hold_lapsed" : NULL;
    if (step->marker.kind == MARKER_REFUSED)
        what = "cut_refused";
    if (what != NULL)
        log_event(step->lapsed || step->marker.kind == MARKER_REFUSED ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, what,
                  "nonce=%s lsn=" LSN_FMT,
                  st->txn.marker.kind != MARKER_NONE ? st->txn.marker.nonce : st->hold.marker.nonce,
                  LSN_ARGS(commit_lsn));
}

/* Beside a copy. Markers mean nothing yet: what they ask for needs a complete target. */
static bool commit_in_copy(struct cap_stream *st, lsn_t commit_lsn, lsn_t commit_end_lsn,
                           int64_t commit_time_us, struct err *err)
{
    lsn_t *part_lsn = st->session->part_lsn;
    if (st->txn.marker.kind != MARKER_NONE && st->txn.marker.kind != MARKER_PING)
        log_event(LOG_LEVEL_WARN, "marker_ignored", "nonce=%s text=\"the copy is not complete\"",
                  st->txn.marker.nonce);
    cap_batch_end_transaction(st->batch, commit_lsn, commit_end_lsn, commit_time_us, NULL);
    st->last_commit_time_us = commit_time_us;
    cap_copier_note(st->copier, st->txn.xid);
    if (st->txn.request.schema != NULL) /* goes with the next fence */
        (void)cap_queue_add(&st->session->queue, &st->txn.request);
    st->complete_lsn = commit_end_lsn;
    if (*part_lsn == 0 || commit_end_lsn < *part_lsn)
        return true;
    *part_lsn = 0;
    return cap_copier_fence(st, err);
}

/* A copy was asked for. Its fence ends here: from now on it goes on over any restart, and this session gives way to one that
 * begins with it. A comparison that holds is left without answer, as beside any copy. */
static bool begin_request(struct cap_stream *st, struct err *err)
{
    struct fence_copy place = {.there = true};
    if (!cap_queue_add(&st->session->queue, &st->txn.request))
        return true;
    BUG_UNLESS(!st->session->queue.requested); /* nothing is decoded behind it */
    (void)cap_queue_next(&st->session->queue);
    cap_queue_place(&st->session->queue, &place);
    st->hold.active = false;
    st->session->again = true;
    return cap_stream_release(st, &place, false, err);
}

bool cap_stream_commit(struct cap_stream *st, lsn_t commit_lsn, lsn_t commit_end_lsn, int64_t commit_time_us,
                       struct err *err)
{
    if (st->copier != NULL)
        return commit_in_copy(st, commit_lsn, commit_end_lsn, commit_time_us, err);
    struct cap_commit c = {commit_lsn, commit_end_lsn, commit_time_us, st->txn.marker};
    struct cap_hold_step step = cap_hold_commit(&st->hold, &c);
    log_hold(st, &step, commit_lsn);
    if (step.release && !release_held(st, &step, err))
        return false;
    if (step.hold && (!cap_stream_hand_over(st, err) || !failpoint("capture.hold", err)))
        return false;
    cap_batch_end_transaction(st->batch, commit_lsn, commit_end_lsn, commit_time_us, &step.marker);
    st->last_commit_time_us = commit_time_us;
    if (st->txn.request.schema != NULL)
        return begin_request(st, err);
    if (st->batch_since_us == 0)
        st->batch_since_us = st->now_us;
    if (st->hold.active)
        return true;
    bool old = st->now_us - st->batch_since_us >= BATCH_AGE_US && cap_publisher_idle(st->session->publisher);
    return (step.marker.kind == MARKER_NONE && !old) || cap_stream_hand_over(st, err);
}

/* --- the loop --- */

/* Handles what is there. *ret_idle: the socket has no more for now. */
static bool read_frames(struct cap_stream *st, bool *ret_idle, struct err *err)
{
    struct repl_frame frame;
    for (int i = 0; i < FRAMES_PER_TURN && !st->stopped && !st->session->again; i++, st->turn_frames++) {
        switch (repl_next(st->session->stream, &frame, err)) {
        case REPL_ERROR:
            return false;
        case REPL_IDLE:
            *ret_idle = true;
            return true;
        case REPL_KEEPALIVE:
            if (!cap_feedback_keepalive(st, &frame, err))
                return false;
            break;
        case REPL_DATA:
            if (!cap_decode(st, &frame, err))
                return false;
            break;
        }
    }
    return true;
}

static bool is_paused(const struct cap_stream *st)
{
    return st->copier != NULL && cap_copier_pauses(st->copier);
}

/* True: a window has ended, and pace->fast is new. */
static bool pace_ended(struct cap_pace *pace, int64_t now_us, int64_t window_us, unsigned frames)
{
    int64_t took_us = now_us - pace->since_us;
    if (took_us < window_us)
        return false;
    pace->fast = pace->frames * window_us >= frames * took_us;
    pace->frames = 0;
    pace->since_us = now_us;
    return true;
}

static void take_pace(struct cap_stream *st)
{
    st->backlog.frames += st->turn_frames;
    st->pace.frames += st->turn_frames;
    st->turn_frames = 0;
    (void)pace_ended(&st->pace, st->now_us, PACE_WINDOW_US, PACE_FRAMES);
    if (pace_ended(&st->backlog, st->now_us, BACKLOG_WINDOW_US, BACKLOG_FRAMES))
        cap_publisher_hurry(st->session->publisher, st->backlog.fast);
}

static void wait_for_news(struct cap_stream *st)
{
    static const struct timespec nap = {.tv_nsec = NAP_NS}, idle = {.tv_nsec = POLL_MS * 1000000};
    bool fast = st->pace.fast;
    struct pollfd fds[] = {
        {.fd = fast || is_paused(st) ? -1 : pg_socket(st->session->stream), .events = POLLIN},
        {.fd = cap_publisher_fd(st->session->publisher), .events = POLLIN},
        {.fd = st->session->stop_fd, .events = POLLIN},
        {.fd = st->asking ? pg_socket(st->asked) : -1, .events = POLLIN},
        {.fd = st->copier != NULL ? cap_copier_fd(st->copier) : -1, .events = POLLIN},
    };
    (void)ppoll(fds, ARRAY_LEN(fds), fast ? &nap : &idle, NULL);
}

/* The socket is drained: complete transactions go on at once if the publisher has nothing else to do. */
static bool forward_when_idle(struct cap_stream *st, struct err *err)
{
    if (st->copier != NULL || st->hold.active || st->batch->bound_count == 0 ||
        cap_batch_tail(st->batch) > 0 || !cap_publisher_idle(st->session->publisher))
        return true;
    return cap_stream_hand_over(st, err);
}

static bool copy_turn(struct cap_stream *st, struct err *err)
{
    bool done = false;
    if (st->copier == NULL)
        return true;
    if (!cap_copier_turn(st, &done, err))
        return false;
    if (!done)
        return true;
    cap_copier_close(st->copier, false);
    st->copier = NULL;
    struct role_status *status = st->session->status;
    status->snapshot_finished_us = clock_wall_us();
    log_event(LOG_LEVEL_INFO, "snapshot_end", "rows=%llu seconds=%.1f",
              (unsigned long long)status->snapshot_rows,
              (double)(status->snapshot_finished_us - status->snapshot_started_us) / 1e6);
    cap_status_show(st->session, PHASE_STREAMING); /* before the fence that readers wait for */
    st->only_copy = st->session->settings->snapshot_mode == SNAPSHOT_ONLY && !st->session->again;
    return failpoint("capture.snapshot_copied", err);
}

/* The catalog is looked at as it is now, so this may come before what the stream has to tell. */
static bool watch(struct cap_stream *st, struct err *err)
{
    int64_t every_us = MAX_OF(WATCH_MIN_US, MIN_OF(WATCH_MAX_US, st->session->settings->heartbeat_us));
    if (st->copier != NULL || st->now_us - st->last_watch_us < MAX_OF(every_us, st->watch_pause_us))
        return true;
    bool first = st->last_watch_us == 0; /* looked at a moment ago */
    st->last_watch_us = st->now_us;
    int64_t began_us = clock_mono_us();
    bool ok = first || cap_watch_look(st->session, err);
    st->watch_pause_us = MIN_OF((clock_mono_us() - began_us) * WATCH_SHARE, WATCH_MAX_US);
    return ok;
}

/* A drain goes to where the source's WAL ends when it is asked for; a copy is not waited for. */
static bool drain_turn(struct cap_stream *st, struct err *err)
{
    struct cap_asked *asked = st->session->asked;
    int64_t lsn = 0;
    cap_asked_look(asked);
    if (!desk_drain_asked(asked->desk))
        return true;
    if (st->drain_lsn == 0) {
        if (!pg_query_int64(
                st->session->sql,
                "SELECT (CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()"
                " ELSE pg_catalog.pg_current_wal_insert_lsn() END - '0/0'::pg_catalog.pg_lsn)::int8",
                0, NULL, &lsn, err))
            return false;
        st->drain_lsn = (lsn_t)lsn;
        cap_feedback_want_commit(st); /* an idle source tells nothing of its end */
    }
    if (st->received_lsn >= st->drain_lsn && !st->hold.active) {
        log_event(LOG_LEVEL_INFO, "drained", "lsn=" LSN_FMT, LSN_ARGS(st->drain_lsn));
        desk_drained(asked->desk);
    }
    return true;
}

static bool turn(struct cap_stream *st, struct err *err)
{
    bool idle = is_paused(st);
    take_time(st);
    take_pace(st);
    if ((!idle && !read_frames(st, &idle, err)) || !copy_turn(st, err) ||
        (idle && !forward_when_idle(st, err)))
        return false;
    cap_publisher_progress(st->session->publisher, &st->progress);
    if (st->progress.failed)
        return publisher_failed(err);
    st->session->progressed = st->session->progressed || st->progress.durable_lsn > st->start_lsn;
    if (!drain_turn(st, err) || !cap_feedback_turn(st, err) || !watch(st, err))
        return false;
    if (idle)
        wait_for_news(st);
    return true;
}

/* Orderly end: what is complete becomes durable and is confirmed; what is held, or not complete, comes again.
 */
static bool finish(struct cap_stream *st, struct err *err)
{
    cap_status_show(st->session, PHASE_STOPPING);
    bool copying = st->copier != NULL; /* what has no fence yet comes again */
    cap_copier_close(st->copier, false);
    st->copier = NULL;
    if (!copying && !st->hold.active) {
        cap_batch_drop_tail(st->batch);
        if (!cap_stream_hand_over(st, err))
            return false;
    }
    if (!cap_publisher_drain(st->session->publisher, err))
        return false;
    take_time(st);
    cap_publisher_progress(st->session->publisher, &st->progress);
    if (!cap_feedback_confirm(st, err))
        return false;
    repl_stop(st->session->stream, STOP_TIMEOUT_MS);
    return true;
}

/* The server looks into its catalog as a running transaction sees it, and some versions stumble when a subtransaction that changed
 * tables is rolled back meanwhile ("could not open relation with OID …", seen on 17.6). What it reads once the transaction has ended is
 * sound. */
static bool failed_at_streaming(const struct err *err)
{
    return err->code == ERR_SQL && strstr(err->text, "stream_") != NULL;
}

static bool ask_for_whole_ones(struct cap_stream *st, struct err *err)
{
    *st->session->whole_only = true;
    err->code = ERR_TRANSIENT;
    return err_wrap(
        err, "the server failed while it streamed a running transaction, and is asked for whole ones now");
}

static bool run(struct cap_stream *st, struct err *err)
{
    const struct cap_settings *settings = st->session->settings;
    bool in_progress = settings->streaming && !*st->session->whole_only && !cap_origin_by_message(st) &&
                       pg_server_version(st->session->stream) >= STREAMING_SINCE_VERSION;
    if (!cap_feedback_open(st, err) ||
        !repl_start(st->session->stream, settings->slot, st->slot_lsn, settings->publication, in_progress,
                    cap_origin_by_server(st), err))
        return false;
    log_event(LOG_LEVEL_INFO, "stream_begin", "slot=%s lsn=" LSN_FMT " in_progress=%s", settings->slot,
              LSN_ARGS(st->start_lsn), in_progress ? "yes" : "no");
    status_board_set_ready(st->session->board);
    while (!st->only_copy && !st->stopped && !st->session->again && !cap_stop_asked(st->session)) {
        if (turn(st, err))
            continue;
        struct err ignored = ERR_INIT; /* what does not become durable now comes again */
        if (cap_shapes_has_halted(st->session->shapes))
            (void)!finish(st, &ignored);
        return in_progress && failed_at_streaming(err) ? ask_for_whole_ones(st, err) : false;
    }
    return finish(st, err);
}

bool cap_stream_run(struct cap_session *s, lsn_t start_lsn, struct cap_copier *copier, struct err *err)
{
    bool from_fence = cap_position_streams(&s->position) || start_lsn != s->slot_lsn;
    struct cap_stream st = {
        .session = s,
        .decoder = pgoutput_new(),
        .relations = cap_relations_new(s),
        .meta = cap_meta_new(s),
        .hold = s->position.hold,
        .held = cap_spill_new(s->settings->spill_dir, s->settings->spill_encryption,
                              s->settings->half_memory_bytes),
        .streamed = cap_streamed_new(s->settings),
        .start_lsn = start_lsn,
        .slot_lsn = s->slot_lsn,
        .history_checked = !from_fence, /* the slot was made a moment ago */
        .copier = copier,
        .only_copy = copier == NULL && s->settings->snapshot_mode == SNAPSHOT_ONLY,
        .seen_lsn = start_lsn,
        .previous_commit_lsn = start_lsn,
        .received_lsn = start_lsn,
        .submitted_lsn = start_lsn,
        .told_lsn = s->slot_lsn,
        .fenced_lsn = start_lsn,
        .last_commit_time_us = s->position.commit_time_us,
    };
    arena_init(&st.arena, 64 << 10, CAP_MESSAGE_BYTES_MAX);
    new_batch(&st);
    cap_publisher_progress(s->publisher, &st.progress);
    bool ok = run(&st, err);
    cap_copier_close(st.copier, !ok && err->code == ERR_CONNECT);
    cap_feedback_close(&st);
    cap_batch_free(st.batch);
    cap_spill_free(st.held);
    cap_meta_free(st.meta);
    s->before->spilled_bytes += cap_streamed_spilled(st.streamed);
    cap_streamed_free(st.streamed);
    cap_relations_free(st.relations);
    pgoutput_free(st.decoder);
    arena_release(&st.arena);
    copy_request_release(&st.txn.request);
    return ok;
}
