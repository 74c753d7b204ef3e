/* Owns: lock, markers, temporary slot and the wait for the fence. See fence.h. */
#include "fence.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "control.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/nonce.h"
#include "pg/control_tables.h"
#include "postgres/postgres.h"
#include "sql/embedded.h"

#define POLL_POSITION_MS 2
#define LOOK_AROUND_MS   250

static bool source_tables(struct pg_conn *conn, struct err *err)
{
    return pg_control_tables_ensure(conn, "crossfade.marker", embedded_sql_source_sql, "source", err);
}

#define LOCK_KEY "hashtextextended('crossfade.compare:' || $1, 0)"

static bool tell_holder(struct fence_run *run, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(run->source,
                  "SELECT l.pid, a.application_name, coalesce(host(a.client_addr), 'a local socket'), "
                  "a.backend_start"
                  "  FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)"
                  " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"
                  "   AND l.classid = ((" LOCK_KEY " >> 32) & 4294967295)::oid"
                  "   AND l.objid = (" LOCK_KEY " & 4294967295)::oid",
                  1, &run->pipeline, &res, err))
        return false;
    if (pg_rows(res) == 0)
        return err_set(err, ERR_BUSY, "another comparison of pipeline %s was running just now: try again",
                       run->pipeline);
    return err_set(
        err, ERR_BUSY,
        "another comparison of pipeline %s is running: pid %s on the source (%s from %s, connected %s). Wait "
        "for it, or end that session",
        run->pipeline, pg_cell(res, 0, 0), pg_cell(res, 0, 1), pg_cell(res, 0, 2), pg_cell(res, 0, 3));
}

static bool take_lock(struct fence_run *run, struct err *err)
{
    int64_t got = 0;
    if (!pg_query_int64(run->source, "SELECT pg_try_advisory_lock(" LOCK_KEY ")::int", 1, &run->pipeline,
                        &got, err))
        return false;
    run->locked = got == 1;
    return run->locked || tell_holder(run, err);
}

/* It goes with the session, too, but only when the server has noticed that it ended: too late for whoever compares next. */
static void give_lock_back(struct fence_run *run)
{
    int64_t ignored = 0;
    if (run->locked)
        (void)!pg_query_int64(run->source, "SELECT pg_advisory_unlock(" LOCK_KEY ")::int", 1, &run->pipeline,
                              &ignored, NULL);
    run->locked = false;
}

/* Rows that earlier comparisons left: a day is longer than any deadline. */
static bool clean_up_old(struct fence_run *run, struct err *err)
{
    return control_delete_old(
               run->source_session,
               "DELETE FROM crossfade.marker WHERE id IN (SELECT id FROM crossfade.marker WHERE "
               "pipeline = $1 AND kind"
               " IN ('hold', 'cut') AND created_at < now() - interval '1 day' ORDER BY id LIMIT 1000)",
               run->pipeline, err) &&
           control_delete_old(run->target, run->control->clean_releases, run->pipeline, err);
}

/* What we write is worth nothing after a crash: no standby has to confirm it. */
static bool settle_commits(struct session *s, struct err *err)
{
    return session_dialect(s) != DIALECT_POSTGRES || session_exec(s, "SET synchronous_commit = local", err);
}

static bool open_source(void *ctx, struct err *err)
{
    struct fence_run *run = ctx;
    return session_open(run->source_url, "source", run->pipeline, &run->source_session, err);
}

static bool open_slot_conn(void *ctx, struct err *err)
{
    struct fence_run *run = ctx;
    char app[64];
    (void)snprintf(app, sizeof app, "crossfade compare %s", run->pipeline);
    return pg_open(run->source_url, &(struct pg_options){.application_name = app, .replication = true},
                   &run->slot_conn, err) ||
           err_wrap(err, "source");
}

/* Both sides at once. The source's error is the one to tell. */
static bool open_both(struct fence_run *run, const char *target_url, struct err *err)
{
    struct err target = ERR_INIT;
    aside_begin(&run->opening, open_source, run);
    bool ok = session_open(target_url, "target", run->pipeline, &run->target, &target);
    if (!aside_end(&run->opening, err))
        return false;
    if (!ok)
        *err = target;
    return ok;
}

bool fence_open(struct fence_run *run, const struct config *cfg, const struct compare_request *req,
                struct err *err)
{
    *run = (struct fence_run){.req = req,
                              .pipeline = config_text(cfg, "pipeline"),
                              .source_url = config_text(cfg, "source.url"),
                              .started_us = clock_mono_us()};
    run->deadline_us = config_int(cfg, "compare.deadline_ms") * 1000;
    nonce_make(run->nonce);
    if (!open_both(run, config_text(cfg, "target.url"), err))
        return false;
    run->source = session_postgres_conn(run->source_session);
    run->control = control_of(run->target);
    if (!settle_commits(run->source_session, err) || !settle_commits(run->target, err) ||
        !source_tables(run->source, err) || !run->control->ensure(run->target, err) || !take_lock(run, err))
        return false;
    aside_begin(&run->opening, open_slot_conn, run);
    return clean_up_old(run, err);
}

static bool put_marker(struct fence_run *run, const char *kind, const char *cut_lsn, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    char deadline[24];
    (void)snprintf(deadline, sizeof deadline, "%lld", (long long)run->deadline_us / 1000);
    const char *params[] = {run->pipeline, run->nonce, kind, cut_lsn, deadline};
    if (!pg_query(run->source,
                  "INSERT INTO crossfade.marker (pipeline, nonce, kind, cut_lsn, deadline_ms)"
                  " VALUES ($1, $2, $3, $4::pg_lsn, $5::bigint)",
                  5, params, &res, err))
        return err_wrap(err, "source: marker %s", kind);
    return true;
}

static void tell(const struct fence_run *run, const char *text)
{
    struct compare_progress p = {
        .stage = "fence", .text = text, .elapsed_us = clock_mono_us() - run->started_us};
    if (run->req->progress != NULL)
        run->req->progress(run->req->progress_ctx, &p);
}

/* Waits up to ms for `fd` (-1 = none). 1: it is readable, 0: not yet, -1: stop was asked for. */
static int wait_fd(const struct fence_run *run, int fd, int ms)
{
    struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = run->req->stop_fd, .events = POLLIN}};
    if (poll(fds, 2, ms) <= 0)
        return 0;
    return fds[1].revents != 0 ? -1 : fds[0].revents != 0;
}

/* Whom a slot's creation waits for: every transaction with an xid that began before it. Best effort. */
static void describe_wait(struct fence_run *run, char *out, size_t size)
{
    PG_RESULT_AUTO res = NULL;
    (void)snprintf(out, size, "waiting for transactions that run on the source");
    if (pg_query(run->source,
                 "SELECT a.n, p.n, a.pid, a.age FROM"
                 " (SELECT count(*) AS n, (array_agg(pid ORDER BY xact_start))[1] AS pid,"
                 "         extract(epoch FROM clock_timestamp() - min(xact_start))::int AS age"
                 "    FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()) a,"
                 " (SELECT count(*) AS n FROM pg_prepared_xacts) p",
                 0, NULL, &res, NULL) &&
        (pg_cell_int64(res, 0, 0) > 0 || pg_cell_int64(res, 0, 1) > 0))
        (void)snprintf(
            out, size, "waiting for %s transactions on the source (%s prepared), oldest pid %s since %s s",
            pg_cell(res, 0, 0), pg_cell(res, 0, 1), pg_is_null(res, 0, 2) ? "-" : pg_cell(res, 0, 2),
            pg_is_null(res, 0, 3) ? "-" : pg_cell(res, 0, 3));
}

struct slot_work {
    struct fence_run *run;
    int done_fd;
    bool ok;
    struct err err;
};

static void *slot_main(void *arg)
{
    struct slot_work *work = arg;
    char name[64];
    (void)snprintf(name, sizeof name, "crossfade_compare_%.16s", work->run->nonce);
    work->ok =
        repl_create_slot(work->run->slot_conn, name, REPL_SLOT_TEMPORARY, &work->run->slot, &work->err);
    (void)eventfd_write(work->done_fd, 1);
    return NULL;
}

/* 1: the slot is there (or failed); 0: deadline; -1: stop. The thread has ended in any case. */
static int create_slot(struct fence_run *run, struct slot_work *work, char *waited_for, size_t size)
{
    pthread_t thread;
    int64_t until_us = clock_mono_us() + run->deadline_us;
    int state = 0;
    if (pthread_create(&thread, NULL, slot_main, work) != 0)
        BUG("no thread");
    while ((state = wait_fd(run, work->done_fd, LOOK_AROUND_MS)) == 0 && clock_mono_us() < until_us) {
        describe_wait(run, waited_for, size);
        tell(run, waited_for);
    }
    while (state != 1) { /* a cancel may come too early: again until it is gone */
        pg_cancel(run->slot_conn);
        struct pollfd fd = {.fd = work->done_fd, .events = POLLIN};
        if (poll(&fd, 1, LOOK_AROUND_MS) == 1)
            break;
    }
    pthread_join(thread, NULL);
    return state;
}

/* A target whose first copy is not done cannot reach a fence of ours: say so before anything is held. */
static enum fence_outcome copy_is_done(struct fence_run *run, char **ret_reason, struct err *err)
{
    ROWSET_AUTO res = NULL;
    if (!session_ask(run->target, run->control->copied, 1, &run->pipeline, &res, err))
        return err_wrap(err, "target: position"), FENCE_ERROR;
    if (rowset_int64(res, 0, 0) > 0 && rowset_bool(res, 0, 1))
        return FENCE_REACHED;
    *ret_reason =
        rowset_int64(res, 0, 0) == 0
            ? xasprintf("apply has not written anything of pipeline %s to the target yet", run->pipeline)
            : xstrdup("a copy of tables is not done yet");
    return FENCE_INCONCLUSIVE;
}

enum fence_outcome fence_hold(struct fence_run *run, char **ret_reason, struct err *err)
{
    char waited_for[200] = "";
    struct slot_work work = {.run = run, .err = ERR_INIT};
    enum fence_outcome copied = copy_is_done(run, ret_reason, err);
    if (copied != FENCE_REACHED)
        return copied;
    if (!aside_end(&run->opening, err) || !put_marker(run, "hold", NULL, err))
        return FENCE_ERROR;
    run->held = true;
    tell(run, "taking the source's snapshot");
    if ((work.done_fd = eventfd(0, EFD_CLOEXEC)) < 0)
        return err_set(err, ERR_IO, "no eventfd"), FENCE_ERROR;
    int state = create_slot(run, &work, waited_for, sizeof waited_for);
    (void)close(work.done_fd);
    if (state < 0)
        return err_set(err, ERR_INTERRUPTED, "stopped"), FENCE_ERROR;
    if (state == 0) {
        *ret_reason = xasprintf("no snapshot of the source within %lld s: %s",
                                (long long)run->deadline_us / 1000000, waited_for);
        return FENCE_INCONCLUSIVE;
    }
    if (!work.ok) {
        *err = work.err;
        return err_wrap(err, "source: temporary slot"), FENCE_ERROR;
    }
    return FENCE_REACHED;
}

bool fence_cut(struct fence_run *run, struct err *err)
{
    char lsn[LSN_TEXT_MAX];
    run->cut_us = clock_mono_us();
    if (!put_marker(run, "cut", lsn_format(run->slot.consistent_lsn, lsn), err))
        return false;
    run->cut = true;
    pg_close(run->slot_conn); /* the temporary slot goes with it */
    run->slot_conn = NULL;
    return true;
}

/* One row of crossfade.position against our fence. */
static enum fence_outcome judge_row(const struct fence_run *run, const struct rowset *res, int row,
                                    char **ret_text)
{
    lsn_t lsn = 0;
    const char *shard = rowset_cell(res, row, 4), *kind = rowset_cell(res, row, 2);
    bool ours = strcmp(rowset_cell(res, row, 3), run->nonce) == 0;
    if (!lsn_parse(rowset_cell(res, row, 1), &lsn))
        lsn = 0;
    free(*ret_text);
    *ret_text = NULL;
    if (!rowset_bool(res, row, 5)) {
        *ret_text =
            xasprintf("a copy of tables is not done (shard %s, fence %s)", shard, rowset_cell(res, row, 0));
    } else if (rowset_bool(res, row, 6)) {
        return FENCE_ERROR; /* rows of a later fence are there in part: see target/crew.h */
    } else if (ours && strcmp(kind, "refused") == 0) {
        *ret_text = xasprintf("capture refused the cut: it came too late (compare.deadline_ms is %lld)",
                              (long long)run->deadline_us / 1000);
    } else if (ours && lsn == run->slot.consistent_lsn) {
        return FENCE_REACHED;
    } else if (lsn > run->slot.consistent_lsn || ours) {
        *ret_text = xasprintf(
            "the target (shard %s) passed the wanted position and stands at fence %s, lsn %s: the hold or "
            "apply's wait ran out",
            shard, rowset_cell(res, row, 0), rowset_cell(res, row, 1));
    } else {
        return FENCE_ERROR; /* not there yet */
    }
    return FENCE_INCONCLUSIVE;
}

struct fence_place {
    uint64_t fence_id, offset;
    int64_t commit_us;
};

/* REACHED: all shards stand at the fence. INCONCLUSIVE: they never will. ERROR without err: not yet;
 * *ret_text then says where the target stands. */
static enum fence_outcome position_now(const struct fence_run *run, struct session *conn,
                                       struct fence_place *ret, char **ret_text, struct err *err)
{
    ROWSET_AUTO res = NULL;
    if (!session_ask(conn, run->control->position, 1, &run->pipeline, &res, err))
        return err_wrap(err, "target: position"), FENCE_ERROR;
    bool all = rowset_rows(res) > 0;
    if (!all) {
        *ret_text =
            xasprintf("apply has not written anything of pipeline %s to the target yet", run->pipeline);
        return FENCE_INCONCLUSIVE;
    }
    for (int i = 0; i < rowset_rows(res); i++) {
        enum fence_outcome one = judge_row(run, res, i, ret_text);
        if (one == FENCE_INCONCLUSIVE)
            return one;
        if (one == FENCE_ERROR && all) {
            all = false;
            free(*ret_text);
            *ret_text = xasprintf("the target stands at fence %s, lsn %s", rowset_cell(res, i, 0),
                                  rowset_cell(res, i, 1));
        }
    }
    /* "2/3" of a shard tells how many there are: one that has never written must not be overlooked */
    const char *slash = strchr(rowset_cell(res, 0, 4), '/');
    if (all && slash != NULL && atoi(slash + 1) > rowset_rows(res))
        all = false;
    if (all)
        *ret = (struct fence_place){(uint64_t)rowset_int64(res, 0, 0), (uint64_t)rowset_int64(res, 0, 7),
                                    rowset_int64(res, 0, 8)};
    return all ? FENCE_REACHED : FENCE_ERROR;
}

static void note_place(struct fence_run *run, const struct fence_place *place)
{
    run->fence_id = place->fence_id;
    run->fence_offset = place->offset;
    run->commit_us = place->commit_us;
    run->lag_us = clock_mono_us() - run->cut_us;
}

enum fence_outcome fence_wait(struct fence_run *run, char **ret_reason, struct err *err)
{
    int64_t until_us = clock_mono_us() + run->deadline_us, told_us = 0;
    char lsn[LSN_TEXT_MAX], text[300];
    lsn_format(run->slot.consistent_lsn, lsn);
    for (;;) {
        struct err found = ERR_INIT;
        char *where = NULL;
        struct fence_place place = {0};
        enum fence_outcome outcome = position_now(run, run->target, &place, &where, &found);
        if (outcome == FENCE_REACHED)
            note_place(run, &place);
        if (outcome != FENCE_ERROR || err_is_set(&found)) {
            *ret_reason = where;
            if (outcome == FENCE_ERROR)
                *err = found;
            return outcome;
        }
        (void)snprintf(text, sizeof text, "waiting for the target to reach %s: %s", lsn,
                       where != NULL ? where : "");
        free(where);
        if (clock_mono_us() > until_us) {
            *ret_reason = xasprintf("not within %lld s: %s. Do capture and apply run?",
                                    (long long)run->deadline_us / 1000000, text);
            return FENCE_INCONCLUSIVE;
        }
        if (clock_mono_us() - told_us > LOOK_AROUND_MS * 1000) {
            tell(run, text);
            told_us = clock_mono_us();
        }
        if (wait_fd(run, -1, POLL_POSITION_MS) < 0)
            return err_set(err, ERR_INTERRUPTED, "stopped"), FENCE_ERROR;
    }
}

enum fence_outcome fence_check(const struct fence_run *run, struct session *target_session, char **ret_reason,
                               struct err *err)
{
    struct fence_place place = {0};
    struct err found = ERR_INIT;
    char *where = NULL;
    enum fence_outcome outcome = position_now(run, target_session, &place, &where, &found);
    if (outcome == FENCE_ERROR && err_is_set(&found)) {
        *err = found;
        free(where);
        return FENCE_ERROR;
    }
    if (outcome == FENCE_REACHED && place.fence_id == run->fence_id) {
        free(where);
        return FENCE_REACHED;
    }
    *ret_reason = where != NULL ? where : xstrdup("a snapshot of the target is not at the fence");
    return FENCE_INCONCLUSIVE;
}

bool fence_release_apply(struct fence_run *run, struct err *err)
{
    ROWSET_AUTO res = NULL;
    const char *params[] = {run->pipeline, run->nonce};
    if (!session_ask(run->target, run->control->release, 2, params, &res, err))
        return err_wrap(err, "target: release");
    run->released = true;
    return true;
}

void fence_close(struct fence_run *run)
{
    (void)!aside_end(&run->opening, NULL);
    /* Best effort: what fails here is ended by its deadline. */
    pg_close(run->slot_conn);
    run->slot_conn = NULL;
    if (run->held && !run->cut)
        (void)!put_marker(run, "cut", "0/0",
                          NULL); /* a position that cannot be: refused, and the hold ends */
    if (run->held && !run->released)
        (void)!fence_release_apply(run, NULL);
    give_lock_back(run);
    session_close(run->source_session);
    session_close(run->target);
    run->source_session = run->target = NULL;
    run->source = NULL;
}
