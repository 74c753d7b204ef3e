/*
 * Owns: how a copy begins, and how it is taken up again. See snapshot.h. Failpoints: capture.slot_before,
 * capture.slot_created, capture.snapshot_begun.
 */
#include "capture/copy/snapshot.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "capture/copy/copy_plan.h"
#include "capture/direct/direct.h"
#include "capture/source/recover.h"
#include "capture/source/setup.h"
#include "capture/source/standby.h"
#include "core/alloc.h"
#include "core/failpoint.h"
#include "core/log.h"

/* --- the slot --- */

/* How often a primary is asked for what its standby waits for. */
#define NUDGE_MS 200

struct watch {
    const struct cap_session *session;
    int stop_fd, done_fd;
    struct pg_conn *conn;
};

/* Creating a slot waits for transactions that may run for hours: a stop ends the wait. */
static void *watch_main(void *arg)
{
    struct watch *w = arg;
    struct pollfd fds[2] = {{.fd = w->stop_fd, .events = POLLIN}, {.fd = w->done_fd, .events = POLLIN}};
    int wait_ms = w->session->primary != NULL ? NUDGE_MS : -1, n;
    while ((n = poll(fds, 2, wait_ms)) == 0 || (n < 0 && errno == EINTR)) {
        if (n == 0)
            cap_standby_nudge(w->session);
    }
    while ((fds[1].revents & POLLIN) == 0) { /* again and again: the first may come before the command runs */
        pg_cancel(w->conn);
        while (poll(&fds[1], 1, 200) < 0 && errno == EINTR)
            ;
    }
    return NULL;
}

static bool create_slot(struct cap_session *s, struct repl_slot *ret, struct err *err)
{
    const char *name = s->settings->slot;
    struct watch watch = {s, s->stop_fd, eventfd(0, EFD_CLOEXEC), s->stream};
    pthread_t thread;
    uint64_t one = 1;
    BUG_UNLESS(watch.done_fd >= 0 && pthread_create(&thread, NULL, watch_main, &watch) == 0);
    enum repl_slot_kind kind =
        s->settings->failover_slot && !s->standby ? REPL_SLOT_FAILOVER : REPL_SLOT_PLAIN;
    bool ok = repl_create_slot(s->stream, name, kind, ret, err);
    ssize_t n = write(watch.done_fd, &one, sizeof one);
    BUG_UNLESS(n == sizeof one);
    pthread_join(thread, NULL);
    close(watch.done_fd);
    if (!ok && cap_stop_asked(s))
        return err_set(err, ERR_INTERRUPTED, "stopped while the slot was being created");
    return ok || err_wrap(err, "slot %s", name);
}

static bool make_slot(struct cap_session *s, struct repl_slot *ret, struct err *err)
{
    struct source_slot old;
    if (!cap_slot_free(s, &old, err) || (old.exists && !source_slot_drop(s->sql, s->settings->slot, err)))
        return false;
    log_event(LOG_LEVEL_INFO, "slot_create", "slot=%s text=\"waits for the transactions that run now\"",
              s->settings->slot);
    return failpoint("capture.slot_before", err) && create_slot(s, ret, err) &&
           failpoint("capture.slot_created", err);
}

/* What the exported snapshot sees, from inside of it. Its exporter must not have run another command. */
static bool read_floor(struct cap_session *s, const struct repl_slot *slot, struct cap_snapshot *ret,
                       struct err *err)
{
    char *text CLEANUP(free_ptr) = NULL;
    struct strbuf sql = STRBUF_INIT(256);
    strbuf_adds(&sql, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET TRANSACTION SNAPSHOT ");
    pg_quote_literal(&sql, slot->snapshot);
    bool ok = strbuf_ok(&sql, "snapshot", err) && pg_exec(s->sql, sql.data, err) &&
              pg_query_text(s->sql, "SELECT pg_catalog.pg_current_snapshot()::text", 0, NULL, &text, err) &&
              pg_exec(s->sql, "ROLLBACK", err);
    strbuf_release(&sql);
    return ok && cap_snapshot_parse(text != NULL ? text : "", ret, err);
}

/* --- the tables --- */

bool cap_snapshot_load(struct cap_session *s, struct err *err)
{
    return source_tables_parts(s->sql, s->tables.items, s->tables.count, err);
}

static bool plan_fits(const struct cap_session *s)
{
    struct cap_plan *plan = cap_plan_new(s, &s->position.copy);
    bool fits = plan != NULL;
    cap_plan_free(plan);
    return fits;
}

/* --- going on --- */

/* The publication publishes all tables, as the copy's beginning made it. Its faults are no error here: the copy starts over. */
static bool publication_fits(struct cap_session *s, bool *ret_fits, struct err *err)
{
    struct err fault = ERR_INIT;
    *ret_fits = cap_check_publication(s, &fault);
    if (*ret_fits || fault.code == ERR_GAP)
        return true;
    *err = fault;
    return false;
}

bool cap_snapshot_may_resume(struct cap_session *s, bool *ret_may, const char **ret_why, struct err *err)
{
    const struct cap_position *pos = &s->position;
    struct source_slot slot;
    bool published = false;
    *ret_may = false;
    *ret_why = NULL;
    if (!cap_snapshot_load(s, err))
        return false;
    if (!pos->any || !pos->copy.there)
        return true;
    if (!source_slot_look(s->sql, s->settings->slot, &slot, err) || !publication_fits(s, &published, err))
        return false;
    if (pos->base.timeline != s->identity.timeline || s->identity.wal_lsn < pos->lsn)
        *ret_why = "the source was promoted or restored meanwhile";
    else if (!slot.exists || slot.lost || slot.confirmed_lsn > pos->lsn)
        *ret_why = "the slot is gone, or does not fit the journal";
    else if (!published)
        *ret_why = "the publication was changed";
    else if (!plan_fits(s))
        *ret_why = "tables, partitions or keys have changed";
    *ret_may = *ret_why == NULL;
    return true;
}

bool cap_snapshot_resume(struct cap_session *s, struct err *err)
{
    const struct copy_request *req = cap_queue_at_hand(&s->queue);
    struct source_slot ours;
    if (!cap_slot_free(s, &ours, err))
        return false;
    s->slot_lsn = ours.confirmed_lsn;
    log_event(LOG_LEVEL_INFO, "snapshot_resume", "lsn=" LSN_FMT " part=%llu waiting=%zu%s%s%s%s",
              LSN_ARGS(s->position.lsn), (unsigned long long)s->position.copy.part,
              s->queue.count - (req != NULL), req != NULL ? " table=" : "", req != NULL ? req->schema : "",
              req != NULL ? "." : "", req != NULL ? req->table : "");
    return true;
}

/* --- beginning --- */

/* A copy whose first fence is not durable starts over with a slot of its own: this one would only hold back WAL, perhaps for
 * long. */
static void drop_slot(struct cap_session *s)
{
    struct err ignored = ERR_INIT; /* whatever stays is dropped by the next copy */
    if (pg_exec(s->sql, "ROLLBACK", &ignored))
        (void)!source_slot_drop(s->sql, s->settings->slot, &ignored);
}

static bool write_beginning(struct cap_session *s, const struct repl_slot *slot, struct err *err)
{
    struct fence_copy place;
    struct cap_plan *plan = cap_plan_new(s, NULL);
    cap_plan_place(plan, &place);
    bool ok = cap_standby_same_timeline(s, err) &&
              cap_publisher_begin_copy(s->publisher, slot->consistent_lsn, &place, err);
    cap_plan_free(plan);
    return ok;
}

bool cap_snapshot_begin(struct cap_session *s, struct cap_snapshot *ret_floor, struct err *err)
{
    struct repl_slot slot;
    if (!cap_queue_forget_asked(s, err) || !cap_setup_publication(s, err) || !make_slot(s, &slot, err))
        return false;
    s->slot_lsn = s->direct_lsn = slot.consistent_lsn;
    if (!read_floor(s, &slot, ret_floor, err) || !cap_snapshot_load(s, err) ||
        (s->direct && !cap_direct_keep(s->settings, &slot, &s->direct_snapshot, err))) {
        drop_slot(s);
        return err_wrap(err, "snapshot");
    }
    log_event(LOG_LEVEL_INFO, "snapshot_begin", "attempt=%llu lsn=" LSN_FMT " tables=%zu workers=%d",
              (unsigned long long)s->status->attempt, LSN_ARGS(slot.consistent_lsn), s->tables.count,
              s->settings->snapshot_workers);
    /* From here on the slot stays, whatever happens: the fence may be durable although its commit seems to have failed. */
    if (!write_beginning(s, &slot, err) || !failpoint("capture.snapshot_begun", err))
        return err_wrap(err, "snapshot");
    return true;
}
