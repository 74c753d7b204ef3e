/*
 * Owns: the loop that follows the binlog, and what becomes of a transaction at its end.
 *
 * The connection's library reads ahead without saying what it has, so there is no waiting for the socket: binlog_next() waits, and the source
 * says every HEARTBEAT_MS that there is nothing. Batches go to the publisher at the end of a transaction when it has room, else at the
 * next end, or with the next such word.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "capture/maria/maria_internal.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "core/log.h"

/* Under sustained load a complete transaction waits at most this long for company. */
#define BATCH_AGE_US     (10 * 1000)
#define ROOM_POLL_MS     100
#define STOP_PATIENCE_US (4 * INT64_C(1000000))
#define SHOW_INTERVAL_US 200000

/* --- batches --- */

static void new_batch(struct cap_maria *m)
{
    m->batch = cap_publisher_batch(m->session->publisher);
    m->batch_since_us = 0;
}

static bool publisher_failed(struct err *err)
{
    return err_set(err, ERR_INTERRUPTED,
                   "the journal's writer has failed"); /* cap_publisher_stop() tells why */
}

bool maria_submit(struct cap_maria *m, struct cap_batch *batch, struct err *err)
{
    struct cap_publisher *pub = m->session->publisher;
    int64_t stop_seen_us = 0;
    if (batch->bound_count > 0)
        m->last_fence_us = clock_mono_us();
    while (!cap_publisher_try_submit(pub, batch)) {
        struct pollfd fd = {.fd = cap_publisher_fd(pub), .events = POLLIN};
        (void)poll(&fd, 1, ROOM_POLL_MS);
        cap_publisher_progress(pub, &m->progress);
        if (m->progress.failed) {
            cap_batch_free(batch);
            return publisher_failed(err);
        }
        if (stop_seen_us == 0 && cap_stop_asked(m->session))
            stop_seen_us = clock_mono_us();
        if (stop_seen_us != 0 && clock_mono_us() - stop_seen_us >= STOP_PATIENCE_US) {
            cap_batch_free(batch);
            return err_set(err, ERR_INTERRUPTED, "stopped while the journal takes nothing");
        }
    }
    return true;
}

static bool hand_over(struct cap_maria *m, struct err *err)
{
    struct cap_batch *batch = m->batch;
    if (batch->bound_count == 0)
        return true;
    new_batch(m);
    return maria_submit(m, batch, err);
}

/* If it can be done without waiting. */
static void offer(struct cap_maria *m)
{
    if (m->batch->bound_count == 0 || cap_batch_tail(m->batch) > 0 ||
        !cap_publisher_try_submit(m->session->publisher, m->batch))
        return;
    m->last_fence_us = clock_mono_us();
    new_batch(m);
}

bool maria_make_room(struct cap_maria *m, struct err *err)
{
    const struct cap_settings *settings = m->session->settings;
    struct cap_batch *emptied = NULL;
    if (cap_batch_size(m->batch) < settings->batch_bytes && m->batch->changes < settings->fence_max_changes)
        return true;
    if (cap_stop_asked(m->session))
        return err_set(err, ERR_INTERRUPTED, "stopped inside of a transaction");
    if (!cap_spill_push(m->held, m->batch, &emptied, err))
        return false; /* the batch is still ours */
    if (emptied != NULL)
        cap_publisher_return(m->session->publisher, emptied);
    new_batch(m);
    return failpoint("capture.txn_held", err);
}

/* The transaction counts: what was held of it goes in front of what is at hand. */
static bool release_held(struct cap_maria *m, struct err *err)
{
    while (cap_spill_count(m->held) > 0) {
        struct cap_batch *batch = NULL;
        if (!cap_spill_pop(m->held, &batch, err) || !maria_submit(m, batch, err))
            return false;
    }
    return true;
}

/* It does not count. The oldest batch may hold transactions that ended before. */
static bool drop_transaction(struct cap_maria *m, struct err *err)
{
    while (cap_spill_count(m->held) > 0) {
        struct cap_batch *batch = NULL;
        if (!cap_spill_pop(m->held, &batch, err))
            return false;
        cap_batch_drop_tail(batch);
        if (batch->bound_count == 0)
            cap_publisher_return(m->session->publisher, batch);
        else if (!maria_submit(m, batch, err))
            return false;
    }
    cap_batch_drop_tail(m->batch);
    return true;
}

/* --- transactions --- */

static bool put_boundary(struct cap_maria *m, bool synthetic, const struct fence_marker *marker,
                         struct err *err)
{
    strbuf_clear(&m->position);
    binlog_position(m->binlog, &m->position);
    if (!strbuf_ok(&m->position, "position", err))
        return false;
    cap_batch_end_transaction(m->batch, synthetic ? m->lsn : m->lsn - 1, m->lsn, m->commit_time_us, marker);
    m->passed = false;
    return cap_batch_note_gtid(m->batch, m->position.data, maria_prepared_from(m), synthetic, err);
}

static bool begin(struct cap_maria *m, const struct binlog_item *item)
{
    uint64_t serial = m->txn.serial + 1;
    m->txn = (struct maria_txn){
        .open = true, .skip = gtid_list_covers(&m->done, item->gtid), .gtid = item->gtid, .serial = serial};
    if (item->has_xid) { /* it may be prepared: then this is in front of it */
        strbuf_clear(&m->position);
        binlog_position(m->binlog, &m->position);
    }
    return true;
}

/* Whether the journal gets anything of it. */
static bool counts(const struct cap_maria *m, const struct binlog_item *item)
{
    return (item->outcome == BINLOG_COMMITTED || item->outcome == BINLOG_XA_COMMITTED) && !m->txn.left_out &&
           (m->txn.total_order > 0 || m->txn.marker.kind != MARKER_NONE);
}

static bool commit(struct cap_maria *m, struct err *err)
{
    struct fence_marker marker = {.kind = m->txn.marker.kind};
    memcpy(marker.nonce, m->txn.marker.nonce, sizeof marker.nonce);
    m->lsn++;
    if (!release_held(m, err) || !put_boundary(m, false, &marker, err))
        return false;
    int64_t now_us = clock_mono_us();
    if (m->batch_since_us == 0)
        m->batch_since_us = now_us;
    bool full = cap_batch_size(m->batch) >= m->session->settings->batch_bytes ||
                m->batch->changes >= m->session->settings->fence_max_changes;
    bool old = now_us - m->batch_since_us >= BATCH_AGE_US && cap_publisher_idle(m->session->publisher);
    if (full || old || marker.kind != MARKER_NONE)
        return hand_over(m, err);
    offer(m);
    return true;
}

/* XA: what is prepared waits; what becomes of it is told by a transaction of its own. */
static bool settle_prepared(struct cap_maria *m, const struct binlog_item *item, struct err *err)
{
    switch (item->outcome) {
    case BINLOG_PREPARED:
        maria_prepared_add(m, item, m->position.data);
        break;
    case BINLOG_XA_COMMITTED:
        if (!m->txn.skip && !maria_prepared_commit(m, &item->xid, err))
            return false;
        maria_prepared_forget(m, &item->xid);
        break;
    case BINLOG_XA_ROLLED_BACK:
        maria_prepared_forget(m, &item->xid);
        break;
    case BINLOG_OUTCOME_UNKNOWN:
    case BINLOG_COMMITTED:
    case BINLOG_ROLLED_BACK:
        break;
    }
    return true;
}

static bool end(struct cap_maria *m, const struct binlog_item *item, struct err *err)
{
    bool xa = item->outcome == BINLOG_PREPARED || item->outcome == BINLOG_XA_COMMITTED ||
              item->outcome == BINLOG_XA_ROLLED_BACK;
    if (xa && !settle_prepared(m, item, err))
        return false;
    m->txn.open = false;
    if (m->txn.skip)
        return true;
    m->commit_time_us = (int64_t)item->time_s * 1000000;
    if (counts(m, item))
        return commit(m, err);
    m->passed = true;
    if (!drop_transaction(m, err))
        return false;
    m->lsn++;
    return true;
}

static bool take(struct cap_maria *m, const struct binlog_item *item, struct err *err)
{
    switch (item->kind) {
    case BINLOG_BEGIN:
        return begin(m, item);
    case BINLOG_ROW:
        return m->txn.skip || maria_take_row(m, item, err);
    case BINLOG_STATEMENT:
        return m->txn.skip || maria_take_statement(m, item, err);
    case BINLOG_END:
        return end(m, item, err);
    case BINLOG_IDLE:
        break;
    }
    return true;
}

/* --- the loop --- */

/* Transactions that left nothing move the position on now and then: the source lets go of its binlog by time, and a start should not read
 * far back. At once it must not be: apply's own would call forth fences, hence transactions of the other direction, for ever. */
static bool move_on(struct cap_maria *m, int64_t now_us, struct err *err)
{
    if (!m->passed || m->txn.open || now_us - m->last_fence_us < m->session->settings->heartbeat_us)
        return true;
    return put_boundary(m, true, NULL, err) && hand_over(m, err);
}

static void show(struct cap_maria *m, bool idle, int64_t now_us)
{
    struct role_status *status = m->session->status;
    if (idle && m->batch->record_count == 0 && cap_publisher_idle(m->session->publisher))
        status->caught_up_us = clock_wall_us();
    if (now_us - m->last_show_us < SHOW_INTERVAL_US)
        return;
    m->last_show_us = now_us;
    status->received_lsn = m->lsn;
    status->received_commit_us = m->commit_time_us;
    if (idle) {
        status->source_lsn = MAX_OF(status->source_lsn, m->lsn);
        status->received_all_us = clock_wall_us();
    }
    cap_status_show(m->session, PHASE_STREAMING);
}

/* Between transactions, or when nothing comes. */
static bool look_around(struct cap_maria *m, bool idle, struct err *err)
{
    int64_t now_us = clock_mono_us();
    if (idle && !m->txn.open && !hand_over(m, err))
        return false;
    if (!move_on(m, now_us, err))
        return false;
    cap_publisher_progress(m->session->publisher, &m->progress);
    if (m->progress.failed)
        return publisher_failed(err);
    m->session->progressed = m->session->progressed || m->progress.fences > 0;
    show(m, idle, now_us);
    return true;
}

static bool finish(struct cap_maria *m, struct err *err)
{
    cap_status_show(m->session, PHASE_STOPPING);
    if (m->txn.open && !drop_transaction(m, err))
        return false;
    if (m->passed && !put_boundary(m, true, NULL, err))
        return false;
    if (!hand_over(m, err) || !cap_publisher_drain(m->session->publisher, err))
        return false;
    cap_status_show(m->session, PHASE_STOPPING);
    return true;
}

bool maria_loop(struct cap_maria *m, struct err *err)
{
    struct binlog_item item;
    new_batch(m);
    m->last_fence_us = clock_mono_us();
    status_board_set_ready(m->session->board);
    while (!cap_stop_asked(m->session)) {
        if (!binlog_next(m->binlog, &item, err) || !take(m, &item, err))
            return false;
        if ((item.kind == BINLOG_END || item.kind == BINLOG_IDLE) &&
            !look_around(m, item.kind == BINLOG_IDLE, err))
            return false;
    }
    return finish(m, err);
}
