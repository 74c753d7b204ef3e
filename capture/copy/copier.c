/*
 * Owns: when a window is opened and when it ends. See copier.h.
 * Failpoints: capture.snapshot_opened, capture.snapshot_ended.
 */
#include "capture/copy/copier.h"

#include "capture/asked.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "capture/copy/copy_keys.h"
#include "capture/copy/copy_pace.h"
#include "capture/direct/direct.h"
#include "capture/stream/stream_internal.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "core/log.h"

/* A window takes at least one range a worker; another is begun only in this time. */
#define WINDOW_US (300 * 1000)
/* While the stream has to come to a position, the server is asked so often how far it is. */
#define ASK_INTERVAL_US (50 * 1000)
/* After so many questions in vain the source is made to flush. */
#define ASKS_BEFORE_COMMIT 2
/* Transactions noted between windows before it is looked which of them can be forgotten. */
#define NOTED_MANY 65536
/* Looking for a floor, and telling what it waits for. */
#define FLOOR_INTERVAL_US (50 * 1000)
#define FLOOR_TELL_US     (30 * 1000 * 1000)
/* A copy that is slowed down lets the stream follow this often. */
#define SLOW_TURN_US (200 * 1000)
/* Headers at the beginning of a WAL page and segment (server: xlog_internal.h); an insert position behind them is not reached
 * before the next record. */
#define WAL_PAGE_BYTES   8192
#define WAL_HEADER_BYTES 40

#define ANEW_MAX 16

enum state { NO_FLOOR = 0, BETWEEN, SNAPSHOT, WINDOW, CATCHING_UP };

struct cap_copier {
    struct cap_session *session;
    struct cap_copy copy;
    struct cap_copy_worker *workers;
    int worker_count;
    struct cap_direct *direct; /* loads in place of the workers; NULL = they copy, or it is done */
    bool direct_done;          /* stays */
    struct cap_visible *visible;
    uint32_t before_xid; /* all that was published before this session has a smaller one */
    size_t forget_at;    /* so many noted transactions are too many */
    uint32_t *noted;     /* decoded while the window is open */
    size_t noted_count, noted_cap;
    enum state state;
    uint32_t anew[ANEW_MAX]; /* tables that are to be copied from their first row on */
    size_t anew_count;
    bool given_up;            /* a request that cannot be fulfilled */
    struct copy_request wish; /* what is copied, if it was asked for: the queue may move */
    uint32_t alone_oid;       /* of the table without key in the window at hand; 0 = none */
    struct cap_snapshot alone_snapshot;
    lsn_t high_lsn;
    lsn_t
        calm_lsn; /* a table was altered: no window before the stream has come here. 0 = none was, or not known yet */
    int64_t asked_us, floor_since_us;
    unsigned asked;    /* since the window was copied */
    int64_t slowed_us; /* mono */
    struct cap_copy_pace pace;
    struct table_status *tables;
};

/* --- life --- */

static void init_tables(struct cap_copier *c)
{
    const struct cap_tables *all = &c->session->tables;
    c->tables = xcalloc(all->count + 1, sizeof *c->tables);
    for (size_t i = 0; i < all->count; i++) {
        const struct source_table *t = &all->items[i];
        char *name CLEANUP(free_ptr) = xasprintf("%s.%s", t->schema, t->name);
        memcpy(c->tables[i].name, name, strnlen(name, sizeof c->tables[i].name - 1));
        for (size_t p = 0; p < t->part_count; p++)
            c->tables[i].rows_estimate +=
                t->parts[p].rows_estimate > 0 ? (uint64_t)t->parts[p].rows_estimate : 0;
    }
}

static void start_workers(struct cap_copier *c)
{
    c->worker_count = c->session->settings->snapshot_workers;
    c->copy.conns = xcalloc((size_t)c->worker_count, sizeof(struct pg_conn *));
    c->workers = xcalloc((size_t)c->worker_count, sizeof *c->workers);
    for (int i = 0; i < c->worker_count; i++) {
        c->workers[i] = (struct cap_copy_worker){.copy = &c->copy, .index = i};
        BUG_UNLESS(pthread_create(&c->workers[i].thread, NULL, cap_copy_worker_main, &c->workers[i]) == 0);
    }
}

struct cap_copier *cap_copier_open(struct cap_session *s, const struct fence_copy *place,
                                   struct cap_snapshot *floor)
{
    struct cap_plan *plan = cap_plan_new(s, place);
    BUG_UNLESS(plan != NULL);
    struct cap_snapshot none = {0};
    struct cap_copier *c = xcalloc(1, sizeof *c);
    c->session = s;
    c->state = floor != NULL ? BETWEEN : NO_FLOOR;
    c->forget_at = NOTED_MANY;
    c->visible = cap_visible_new(floor != NULL ? floor : &none);
    c->copy.session = s;
    c->copy.plan = plan;
    c->copy.visible = c->visible;
    c->copy.rows = xcalloc(s->tables.count + 1, sizeof *c->copy.rows);
    c->copy.range_rows = cap_copy_pace_range_rows(s->settings);
    const struct copy_request *req = cap_queue_at_hand(&s->queue);
    c->wish = req != NULL ? copy_request_clone(req) : (struct copy_request){0};
    c->copy.keys = c->wish.keys;
    c->copy.where = cap_copy_where(s, &c->wish);
    c->copy.started_us = clock_wall_us();
    c->copy.event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    BUG_UNLESS(c->copy.event_fd >= 0);
    pthread_mutex_init(&c->copy.lock, NULL);
    pthread_cond_init(&c->copy.opened, NULL);
    init_tables(c);
    if (s->direct)
        c->direct = cap_direct_open(s, &s->direct_snapshot, c->copy.rows, c->copy.event_fd);
    else
        start_workers(c);
    return c;
}

static void stop_workers(struct cap_copier *c, bool lost)
{
    cap_copy_abort(&c->copy, c->worker_count, lost);
    for (int i = 0; i < c->worker_count; i++)
        pthread_join(c->workers[i].thread, NULL);
    c->worker_count = 0;
}

void cap_copier_close(struct cap_copier *c, bool lost)
{
    if (c == NULL)
        return;
    stop_workers(c, lost);
    cap_direct_close(c->direct, lost);
    pthread_cond_destroy(&c->copy.opened);
    pthread_mutex_destroy(&c->copy.lock);
    close(c->copy.event_fd);
    cap_snapshot_release(&c->copy.own);
    cap_snapshot_release(&c->alone_snapshot);
    cap_visible_free(c->visible);
    cap_plan_free(c->copy.plan);
    free(c->copy.rows);
    free(c->copy.where);
    copy_request_release(&c->wish);
    free(c->copy.conns);
    free(c->workers);
    free(c->tables);
    free(c->noted);
    free(c);
}

int cap_copier_fd(const struct cap_copier *c)
{
    return c->copy.event_fd;
}

bool cap_copier_holds(const struct cap_copier *c)
{
    return c->state > BETWEEN;
}

bool cap_copier_pauses(const struct cap_copier *c)
{
    return c->state == SNAPSHOT;
}

/* --- what the stream asks --- */

/* … or did: until the complete fence is written its changes are apply's to sort out. */
static bool loads_directly(const struct cap_copier *c)
{
    return c->direct != NULL || c->direct_done;
}

enum cap_fate cap_copier_fate(const struct cap_copier *c, uint32_t oid, size_t key_count, uint32_t xid)
{
    if (oid == c->alone_oid)
        return cap_snapshot_sees(&c->alone_snapshot, xid) ? CAP_DROP : CAP_KEEP;
    if (cap_plan_table_done(c->copy.plan, oid) && !cap_queue_waits(&c->session->queue, oid))
        return CAP_KEEP;
    if (key_count == 0) /* loaded directly: apply drops what its rows have */
        return loads_directly(c) && !cap_queue_waits(&c->session->queue, oid) ? CAP_KEEP : CAP_DROP;
    return CAP_COMPLETE;
}

void cap_copier_note(struct cap_copier *c, uint32_t xid)
{
    if (c->state <= BETWEEN) {
        cap_visible_note(c->visible, xid);
        return;
    }
    if (c->noted_count == c->noted_cap) {
        c->noted_cap = c->noted_cap != 0 ? c->noted_cap * 2 : 256;
        c->noted = xrealloc(c->noted, c->noted_cap * sizeof *c->noted);
    }
    c->noted[c->noted_count++] = xid;
}

void cap_copier_read_ahead(struct cap_copier *c, lsn_t insert_lsn)
{
    c->high_lsn = MAX_OF(c->high_lsn, insert_lsn);
}

bool cap_copier_begin_anew(struct cap_copier *c, uint32_t oid)
{
    for (size_t i = 0; i < c->anew_count; i++) {
        if (c->anew[i] == oid)
            return true;
    }
    if (c->copy.where != NULL || c->given_up || loads_directly(c) || c->anew_count == ANEW_MAX)
        return false;
    c->anew[c->anew_count++] = oid;
    return true;
}

/* No worker runs. */
static void rewind_plan(struct cap_copier *c)
{
    for (size_t i = 0; i < c->anew_count; i++)
        cap_plan_rewind(c->copy.plan, c->anew[i]);
    c->anew_count = 0;
}

/* --- showing it --- */

void cap_copier_show(struct cap_copier *c)
{
    struct cap_session *s = c->session;
    struct role_status *st = s->status;
    st->snapshot_rows = st->snapshot_rows_estimate = 0;
    for (size_t i = 0; i < s->tables.count; i++) {
        c->tables[i].rows = atomic_load(&c->copy.rows[i]);
        c->tables[i].done = c->direct != NULL ? cap_direct_table_done(c->direct, i)
                                              : cap_plan_table_done(c->copy.plan, s->tables.items[i].oid);
        st->snapshot_rows += c->tables[i].rows;
        st->snapshot_rows_estimate +=
            c->tables[i].done ? c->tables[i].rows : MAX_OF(c->tables[i].rows_estimate, c->tables[i].rows);
    }
    st->notice[0] = '\0';
    if (c->direct != NULL)
        cap_direct_notice(c->direct, st->notice, sizeof st->notice);
    st->tables = c->tables;
    st->table_count = s->tables.count;
    cap_status_show(s, PHASE_SNAPSHOT);
    st->tables = NULL;
    st->table_count = 0;
}

/* --- windows --- */

static uint64_t copied_rows(const struct cap_copier *c)
{
    uint64_t rows = 0;
    for (size_t i = 0; i < c->session->tables.count; i++)
        rows += atomic_load(&c->copy.rows[i]);
    return rows;
}

/* The stream stands between two transactions and all that came is handed over. */
static bool open_window(struct cap_stream *st, struct err *err)
{
    struct cap_copier *c = st->copier;
    struct cap_copy *copy = &c->copy;
    bool alone = cap_plan_next_is_keyless(copy->plan);
    if (!failpoint("capture.snapshot_opened", err))
        return false;
    c->state = alone ? SNAPSHOT : WINDOW;
    c->pace.opened_us = clock_mono_us();
    c->pace.opened_rows = copied_rows(c);
    c->alone_oid = alone ? cap_plan_next_oid(copy->plan) : 0;
    pthread_mutex_lock(&copy->lock);
    copy->window.number++;
    copy->window.alone = alone;
    copy->window.base_lsn = st->submitted_lsn;
    copy->window.until_us =
        c->session->settings->max_rows_per_second != 0 ? 0 : c->pace.opened_us + WINDOW_US;
    copy->working = c->worker_count;
    copy->own_there = false;
    pthread_cond_broadcast(&copy->opened);
    pthread_mutex_unlock(&copy->lock);
    return true;
}

/* What the workers have done. */
static bool look(struct cap_copier *c, bool *ret_own, bool *ret_ended, struct err *err)
{
    struct cap_copy *copy = &c->copy;
    uint64_t ignored;
    ssize_t n = read(copy->event_fd, &ignored, sizeof ignored);
    (void)n; /* EAGAIN: nothing new */
    pthread_mutex_lock(&copy->lock);
    *ret_own = copy->own_there;
    *ret_ended = copy->working == 0;
    c->high_lsn = MAX_OF(c->high_lsn, copy->high_lsn);
    bool failed = err_is_set(&copy->first_err);
    if (failed)
        *err = copy->first_err;
    pthread_mutex_unlock(&copy->lock);
    return !failed;
}

static void take_alone_snapshot(struct cap_copier *c)
{
    struct cap_copy *copy = &c->copy;
    pthread_mutex_lock(&copy->lock);
    cap_snapshot_release(&c->alone_snapshot);
    c->alone_snapshot = copy->own;
    copy->own = (struct cap_snapshot){0};
    copy->own_there = false;
    pthread_mutex_unlock(&copy->lock);
}

/* All workers have ended the window: a snapshot of theirs is the new floor. */
static void settle(struct cap_copier *c)
{
    struct cap_copy *copy = &c->copy;
    if (copy->own_there)
        cap_visible_settle(c->visible, &copy->own);
    copy->own_there = false;
    for (size_t i = 0; i < c->noted_count; i++)
        cap_visible_note(c->visible, c->noted[i]);
    c->noted_count = 0;
}

static bool reached(const struct cap_stream *st, lsn_t lsn)
{
    lsn_t in_page = lsn % WAL_PAGE_BYTES;
    return st->seen_lsn >= lsn || (in_page <= WAL_HEADER_BYTES && st->seen_lsn >= lsn - in_page);
}

/* Asks the server how far it is: an idle one says so only when asked. The position waited for is that of the insert, and the
 * server sends only what is flushed: a record that belongs to no transaction (pruning by our own reading is enough) stays
 * unflushed until something commits (server: XLogBackgroundFlush). So a commit of ours goes after it. */
static bool ask(struct cap_stream *st, struct err *err)
{
    struct cap_copier *c = st->copier;
    if (st->now_us - c->asked_us < ASK_INTERVAL_US)
        return true;
    c->asked_us = st->now_us;
    if (++c->asked % ASKS_BEFORE_COMMIT == 0)
        cap_feedback_want_commit(st);
    return cap_feedback_ask(st, err);
}

/* A copy that was asked for begins in a session of its own: it knows all tables. */
static bool end_window(struct cap_stream *st, bool *ret_done, struct err *err)
{
    struct cap_copier *c = st->copier;
    struct cap_session *s = st->session;
    struct fence_copy place = {.there = true};
    bool more = false;
    rewind_plan(c);
    *ret_done = c->given_up || cap_plan_done(c->copy.plan);
    cap_plan_settle(c->copy.plan);
    c->state = BETWEEN;
    c->alone_oid = 0;
    settle(c);
    cap_copier_show(c);
    if (*ret_done) {
        s->direct = false;
        more = cap_queue_next(&s->queue);
        cap_queue_place(&s->queue, &place);
    } else {
        cap_plan_place(c->copy.plan, &place);
    }
    s->again = more || s->queue.grown;
    return failpoint("capture.snapshot_ended", err) &&
           cap_stream_release(st, &place, *ret_done && !more, err);
}

static bool take_look(struct cap_copier *c, struct cap_snapshot *ret, struct err *err)
{
    char *text CLEANUP(free_ptr) = NULL;
    return (pg_query_text(c->session->sql, "SELECT pg_catalog.pg_current_snapshot()::text", 0, NULL, &text,
                          err) &&
            cap_snapshot_parse(text != NULL ? text : "", ret, err)) ||
           err_wrap(err, "snapshot");
}

/* A pause may last for hours, and each transaction of it is noted. */
static bool bound_noted(struct cap_copier *c, struct err *err)
{
    struct cap_snapshot snap = {0};
    if (cap_visible_noted(c->visible) < c->forget_at)
        return true;
    if (!take_look(c, &snap, err))
        return false;
    cap_visible_forget(c->visible, &snap);
    cap_snapshot_release(&snap);
    c->forget_at = MAX_OF(2 * cap_visible_noted(c->visible), (size_t)NOTED_MANY);
    return true;
}

bool cap_copier_fence(struct cap_stream *st, struct err *err)
{
    struct fence_copy place;
    rewind_plan(st->copier);
    cap_plan_place(st->copier->copy.plan, &place);
    st->session->again = st->session->queue.grown;
    return cap_stream_release(st, &place, false, err);
}

bool cap_copier_may_part(struct cap_stream *st, struct err *err)
{
    bool changes = st->complete_lsn > st->fenced_lsn;
    if (!changes && !cap_copier_holds(st->copier))
        return true;
    *st->session->part_lsn = changes ? st->complete_lsn : 0;
    return err_set(
        err, ERR_TRANSIENT,
        "it was altered while a range was copied: the copy goes on behind its last fence, with one "
        "more in front of the change");
}

/* No window for now: what the stream brings goes on by itself. */
static bool let_follow(struct cap_stream *st, struct err *err)
{
    struct cap_copier *c = st->copier;
    if (!bound_noted(c, err))
        return false;
    if (st->now_us - c->slowed_us < SLOW_TURN_US || !reached(st, c->high_lsn))
        return true;
    c->slowed_us = st->now_us;
    return st->seen_lsn <= st->submitted_lsn || cap_copier_fence(st, err);
}

/* All rows are on the target. The fence that says so stands behind what any of them has seen: until it is written the copy is a direct
 * one, so that a session that takes it up finds that position again. */
static void end_direct(struct cap_copier *c)
{
    cap_copier_show(c);
    cap_direct_close(c->direct, false);
    c->direct = NULL;
    cap_plan_finish(c->copy.plan);
    c->state = CATCHING_UP;
    c->asked = 0;
}

static bool look_at_direct(struct cap_copier *c, struct err *err)
{
    lsn_t high_lsn = 0;
    bool paused = c->session->status->wal_guard >= WAL_GUARD_THROTTLE || cap_asked_paused(c->session->asked);
    if (!cap_direct_look(c->direct, paused, &c->direct_done, &high_lsn, err))
        return false;
    if (c->direct_done)
        c->high_lsn = MAX_OF(c->high_lsn, high_lsn);
    return true;
}

static bool between(struct cap_stream *st, bool *ret_done, struct err *err)
{
    struct cap_copier *c = st->copier;
    bool wait = false;
    if (c->direct != NULL) {
        if (!c->direct_done)
            return let_follow(st, err);
        end_direct(c);
        return true;
    }
    if (cap_plan_done(c->copy.plan)) /* nothing to copy at all */
        return end_window(st, ret_done, err);
    if (!cap_copy_pace_must_wait(&c->pace, c->session, copied_rows(c), st->now_us, &wait, err))
        return false;
    return wait ? let_follow(st, err) : cap_stream_hand_over(st, err) && open_window(st, err);
}

/* Rows that are read now have the columns of now: what the stream still has of the time before must have its fence first. An idle
 * server tells where it stands only when asked. */
static bool wait_for_calm(struct cap_stream *st, bool *ret_calm, struct err *err)
{
    struct cap_copier *c = st->copier;
    char *lsn CLEANUP(free_ptr) = NULL;
    *ret_calm = true;
    if (!c->session->altered && *c->session->part_lsn == 0)
        return true;
    if (c->calm_lsn == 0 &&
        (!pg_query_text(c->session->sql, "SELECT (" SOURCE_VISIBLE_LSN ")::text", 0, NULL, &lsn, err) ||
         !(lsn != NULL && lsn_parse(lsn, &c->calm_lsn))))
        return err_wrap(err, "asking the source for its position");
    *ret_calm = *c->session->part_lsn == 0 && reached(st, c->calm_lsn);
    if (*ret_calm)
        return st->complete_lsn <= st->fenced_lsn || cap_copier_fence(st, err);
    if (++c->asked % ASKS_BEFORE_COMMIT == 0)
        cap_feedback_want_commit(st);
    return cap_feedback_ask(st, err);
}

/* Nothing is known of what earlier sessions published, but that it was committed: once all that had begun by now is over, snapshots
 * see it. */
static bool find_floor(struct cap_stream *st, struct err *err)
{
    struct cap_copier *c = st->copier;
    struct cap_snapshot snap = {0};
    bool calm = false;
    if (c->before_xid != 0 && st->now_us - c->asked_us < FLOOR_INTERVAL_US)
        return let_follow(st, err);
    c->asked_us = st->now_us;
    if (!wait_for_calm(st, &calm, err) || !take_look(c, &snap, err))
        return false;
    if (c->before_xid == 0) {
        c->before_xid = snap.xmax;
        c->floor_since_us = st->now_us;
    }
    if (calm && (c->session->standby /* what was published is visible (standby.h) */ ||
                 cap_snapshot_is_past(&snap, c->before_xid))) {
        cap_visible_begin(c->visible, &snap);
        c->state = BETWEEN;
        return true;
    }
    cap_snapshot_release(&snap);
    if (st->now_us - c->floor_since_us >= FLOOR_TELL_US) {
        c->floor_since_us = st->now_us;
        log_event(
            LOG_LEVEL_INFO, "snapshot_waits",
            "text=\"for transactions that ran when it was taken up: see pg_stat_activity.xact_start and "
            "pg_prepared_xacts\"");
    }
    return let_follow(st, err);
}

/* A condition that the server cannot compute for some row must not take the pipeline down: what is copied by then stays. */
static bool may_give_up(const struct cap_copier *c, const struct err *err)
{
    return c->copy.where != NULL && !c->given_up && (err->code == ERR_SQL || err->code == ERR_DATA);
}

static void give_up(struct cap_copier *c, const struct err *err)
{
    const struct copy_request *req = cap_queue_at_hand(&c->session->queue);
    log_event(LOG_LEVEL_ERROR, "copy_failed",
              "table=%s.%s nonce=%s text=\"given up: %s. Ask again with another condition\"", req->schema,
              req->table, req->nonce, err->text);
    stop_workers(c, false);
    c->copy.first_err = (struct err)ERR_INIT;
    c->copy.working = 0;
    c->given_up = true;
    c->state = CATCHING_UP; /* behind what is copied */
}

static bool at_boundary(const struct cap_stream *st)
{
    return !st->txn.open && cap_batch_tail(st->batch) == 0;
}

bool cap_copier_turn(struct cap_stream *st, bool *ret_done, struct err *err)
{
    struct cap_copier *c = st->copier;
    bool own = false, ended = false;
    *ret_done = false;
    if (!look(c, &own, &ended, err)) {
        if (!may_give_up(c, err))
            return false;
        give_up(c, err);
        err_clear(err);
    }
    if (c->direct != NULL && !look_at_direct(c, err))
        return false;
    switch (c->state) {
    case NO_FLOOR:
        return !at_boundary(st) || find_floor(st, err);
    case BETWEEN:
        return !at_boundary(st) || between(st, ret_done, err);
    case SNAPSHOT:
        if (own) {
            take_alone_snapshot(c);
            c->state = WINDOW;
        }
        return true;
    case WINDOW:
        if (ended) {
            c->state = CATCHING_UP;
            c->asked = 0;
        }
        return true;
    case CATCHING_UP:
        if (at_boundary(st) && reached(st, c->high_lsn))
            return end_window(st, ret_done, err);
        return ask(st, err);
    }
    return true;
}
