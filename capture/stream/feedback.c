/*
 * Owns: what goes back to the server (confirmations, heartbeats) and to people (status). Failpoint:
 * capture.feedback_before.
 *
 * The confirmed position is the last durable fence's, never anything beyond. When nothing is on its way, a
 * keepalive's position is made durable by an empty fence first: an idle source still frees its WAL.
 */
#include <stdio.h>
#include <string.h>

#include "capture/source/slot_watch.h"
#include "capture/stream/stream_internal.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "core/log.h"

#define CONFIRM_INTERVAL_US    (50 * 1000)
#define STATUS_INTERVAL_US     (1000 * 1000)
#define LOOK_INTERVAL_US       (500 * 1000)
#define SHOW_INTERVAL_US       (250 * 1000)
#define IDLE_FENCE_INTERVAL_US (1000 * 1000)
/* A hold's deadline is seen at the next commit only: one has to come soon. */
#define HOLD_HEARTBEAT_US (500 * 1000)

static const char heartbeat_sql[] =
    "SELECT pg_catalog.pg_logical_emit_message(true, 'crossfade', $1), pg_catalog.pg_current_wal_lsn()";

/* NULL: a standby alone. */
static struct pg_conn *heartbeat_conn(const struct cap_stream *st)
{
    return st->session->standby ? st->session->primary : st->side;
}

bool cap_feedback_open(struct cap_stream *st, struct err *err)
{
    int64_t now_us = clock_mono_us();
    st->last_commit_seen_us = st->last_idle_fence_us = now_us;
    if (!cap_connect(st->session->settings, false, &st->side, err))
        return false;
    /* A heartbeat that is flushed at once, without waiting for standbys: windows of a copy end by it. */
    struct pg_conn *beat = heartbeat_conn(st);
    st->heartbeat_refused = beat == NULL;
    return beat == NULL || pg_exec(beat, "SET synchronous_commit = local", err);
}

void cap_feedback_close(struct cap_stream *st)
{
    pg_close(st->side);
    st->side = NULL;
}

static bool confirm(struct cap_stream *st, bool want_reply, struct err *err)
{
    lsn_t durable_lsn = st->history_checked ? st->progress.durable_lsn : st->slot_lsn;
    lsn_t received_lsn = MAX_OF(st->received_lsn, durable_lsn);
    if ((durable_lsn != st->told_lsn && !failpoint("capture.feedback_before", err)) ||
        !repl_status(st->session->stream, received_lsn, durable_lsn, want_reply, err))
        return false;
    st->told_lsn = durable_lsn;
    st->last_status_us = st->now_us;
    st->reply_wanted = false;
    st->session->status->confirmed_lsn = durable_lsn;
    return true;
}

bool cap_feedback_confirm(struct cap_stream *st, struct err *err)
{
    return confirm(st, st->now_us - st->last_status_us >= STATUS_INTERVAL_US, err);
}

bool cap_feedback_ask(struct cap_stream *st, struct err *err)
{
    return confirm(st, true, err);
}

static bool confirm_when_due(struct cap_stream *st, struct err *err)
{
    int64_t since_us = st->now_us - st->last_status_us;
    bool news =
        st->history_checked && st->progress.durable_lsn != st->told_lsn && since_us >= CONFIRM_INTERVAL_US;
    return (!news && !st->reply_wanted && since_us < STATUS_INTERVAL_US) || cap_feedback_confirm(st, err);
}

/* --- questions on the side connection, one at a time --- */

static bool ask(struct cap_stream *st, bool heartbeat, struct err *err)
{
    const struct cap_settings *settings = st->session->settings;
    const char *params[] = {heartbeat ? settings->pipeline : settings->slot};
    st->asking = true;
    st->asked_wall_us = st->now_wall_us;
    st->asking_heartbeat = heartbeat;
    st->asked = heartbeat ? heartbeat_conn(st) : st->side;
    return pg_send(st->asked, heartbeat ? heartbeat_sql : cap_slot_look_sql, 1, params, err);
}

static bool is_heartbeat_due(const struct cap_stream *st)
{
    int64_t interval_us = st->session->settings->heartbeat_us;
    if (st->hold.active)
        interval_us = MIN_OF(interval_us, HOLD_HEARTBEAT_US);
    return !st->heartbeat_refused &&
           (st->commit_wanted || st->now_us - st->last_commit_seen_us >= interval_us);
}

void cap_feedback_want_commit(struct cap_stream *st)
{
    st->commit_wanted = true;
}

static void take_look(struct cap_stream *st, const struct pg_result *res)
{
    cap_slot_watch_took(st->session->slot_watch, st->session->settings, res, st->session->status);
    st->looks[1] = st->looks[0];
    st->looks[0] =
        (struct source_look){.lsn = st->session->status->source_lsn, .asked_us = st->asked_wall_us};
}

static bool take_answer(struct cap_stream *st, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    struct err answer = ERR_INIT;
    switch (pg_poll_result(st->asked, &res, &answer)) {
    case PG_POLL_WAIT:
        return true;
    case PG_POLL_READY:
        st->asking = false;
        if (!st->asking_heartbeat)
            take_look(st, res);
        return true;
    case PG_POLL_ERROR:
        break;
    }
    st->asking = false;
    if (!st->asking_heartbeat || answer.code == ERR_CONNECT) {
        *err = answer;
        return err_wrap(err, "looking at the source");
    }
    st->heartbeat_refused = true; /* no right to: idle fences do without */
    log_event(LOG_LEVEL_WARN, "heartbeat_refused", "text=\"%s\"", answer.text);
    return true;
}

static bool ask_when_due(struct cap_stream *st, struct err *err)
{
    if (st->asking && !take_answer(st, err))
        return false;
    if (st->asking)
        return true;
    if (is_heartbeat_due(st)) {
        st->commit_wanted = false;
        st->last_commit_seen_us =
            st->now_us; /* the next one an interval later, whether this one is seen or not */
        return ask(st, true, err);
    }
    if (st->now_us - st->last_look_us < LOOK_INTERVAL_US)
        return true;
    st->last_look_us = st->now_us;
    return ask(st, false, err);
}

/* --- keepalives --- */

/* Since when all is here that the source had: a keepalive that was asked for comes in the middle of a backlog, too, and says how far that is.
 * Of a source that is busy the last look may be ahead by what was written in between; what it had at the one before that is enough then. 0 = it
 * is behind. Wall. */
static int64_t all_here_us(const struct cap_stream *st, lsn_t lsn)
{
    if (lsn >= st->session->status->source_lsn)
        return st->now_wall_us;
    return st->looks[1].lsn != 0 && lsn >= st->looks[1].lsn ? st->looks[1].asked_us : 0;
}

static void note_all_here(const struct cap_stream *st, lsn_t lsn, int64_t *time_us)
{
    int64_t us = all_here_us(st, lsn);
    if (us == st->now_wall_us || us > *time_us)
        *time_us = us;
}

bool cap_feedback_keepalive(struct cap_stream *st, const struct repl_frame *frame, struct err *err)
{
    st->reply_wanted = st->reply_wanted || frame->reply_requested;
    st->session->status->source_lsn = MAX_OF(st->session->status->source_lsn, frame->wal_end_lsn);
    bool inside = st->txn.open || cap_streamed_in_block(st->streamed);
    if (!inside) {
        note_all_here(st, frame->wal_end_lsn, &st->session->status->received_all_us);
        st->seen_lsn = MAX_OF(st->seen_lsn, frame->wal_end_lsn);
    }
    if (st->copier != NULL && !inside)
        return cap_stream_check_history(st, frame->wal_end_lsn, err);
    if (inside || st->hold.active || !cap_stream_settled(st))
        return true;
    if (!cap_stream_check_history(st, frame->wal_end_lsn, err))
        return false;
    if (!st->history_checked)
        return true;
    note_all_here(st, frame->wal_end_lsn, &st->session->status->caught_up_us);
    st->received_lsn = MAX_OF(st->received_lsn, frame->wal_end_lsn);
    if (frame->wal_end_lsn <= st->submitted_lsn ||
        st->now_us - st->last_idle_fence_us < IDLE_FENCE_INTERVAL_US)
        return true;
    st->last_idle_fence_us = st->now_us;
    struct cap_batch *batch = cap_publisher_batch(st->session->publisher);
    if (!cap_meta_heartbeat(st, batch, err)) {
        cap_batch_free(batch);
        return false;
    }
    cap_batch_end_transaction(batch, frame->wal_end_lsn, frame->wal_end_lsn, st->last_commit_time_us, NULL);
    batch->bounds[0].synthetic = true;
    st->submitted_lsn = frame->wal_end_lsn;
    return cap_stream_submit(st, batch, err);
}

bool cap_feedback_turn(struct cap_stream *st, struct err *err)
{
    if (!confirm_when_due(st, err) || !ask_when_due(st, err))
        return false;
    if (st->now_us - st->last_show_us >= SHOW_INTERVAL_US) {
        st->last_show_us = st->now_us;
        st->session->status->received_lsn = st->received_lsn;
        st->session->status->received_commit_us = st->last_commit_time_us;
        st->session->status->spilled_bytes =
            st->session->before->spilled_bytes + cap_streamed_spilled(st->streamed);
        if (st->copier != NULL)
            cap_copier_show(st->copier);
        else
            cap_status_show(st->session, st->hold.active ? PHASE_HOLDING : PHASE_STREAMING);
    }
    return true;
}
