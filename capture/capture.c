/*
 * Owns: the life of the role. A session looks whether the slot is free, opens everything (journal writer
 * first: it settles what a dead one left), recovers the position, copies if there is no complete copy, streams;
 * after an error that may pass everything is closed and the next session begins after a backoff.
 *
 * Failpoints (CROSSFADE_FAILPOINT), in the order of a life:
 *   capture.slot_before, capture.slot_created        around the slot's creation
 *   capture.snapshot_begun                           behind the first fence of a copy
 *   capture.snapshot_opened, capture.snapshot_ended  around each window of a copy
 *   capture.snapshot_chunk, capture.snapshot_part    before each range; behind each part of it given to the journal
 *   capture.snapshot_copied                          all rows given, the completing fence not
 *   capture.way_back                                 MariaDB: the journal has a way back's beginning, the source does not know
 *   capture.fence_before, capture.fence_appended, capture.committed  around each fence and its commit
 *   capture.txn_part                                 between parts of a transaction that is larger than a batch
 *   capture.txn_held                                 behind a part of one of MariaDB that waits for its end
 *   capture.stream_block, capture.stream_commit      behind a part of a transaction that still runs; before its commit is decoded
 *   capture.feedback_before                          before a newer position is confirmed to the slot
 *   capture.ddl_new_shape, capture.ddl_halt          before the first row of a new shape; before the note that it stops capture
 *   capture.hold, capture.cut                        a comparison's hold begins; its cut is released
 *   capture.accept_before, capture.accept_committed  accept-ddl: around its unit
 */
#include "capture/capture.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/asked.h"
#include "capture/capture_internal.h"
#include "capture/copy/copier.h"
#include "capture/copy/snapshot.h"
#include "capture/ddl/ddl_text.h"
#include "capture/ddl/shapes.h"
#include "capture/direct/direct.h"
#include "capture/maria/maria.h"
#include "capture/publish/shape_voids.h"
#include "capture/source/recover.h"
#include "capture/source/setup.h"
#include "capture/source/standby.h"
#include "capture/stream/stream.h"
#include "control/tally.h"
#include "core/alive.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"
#include "journal/journal_settings.h"
#include "maria/url.h"

#define BACKOFF_BASE_MS 250
#define BACKOFF_MAX_MS  15000
/* A slot or journal that somebody else uses: at the very start it is more likely a mistake than a death a
 * moment ago. */
#define BUSY_PATIENCE_US (30 * INT64_C(1000000))

bool cap_connect_to(const struct cap_settings *settings, const char *url, bool replication,
                    struct pg_conn **ret, struct err *err)
{
    struct pg_options options = {.application_name = settings->application_name, .replication = replication};
    struct pg_conn *conn = NULL;
    if (!pg_open(url, &options, &conn, err))
        return err_wrap(err, "source");
    if (!pg_exec(
            conn,
            "SET idle_in_transaction_session_timeout = 0; SET statement_timeout = 0; SET lock_timeout = 0;"
            " SET idle_session_timeout = 0; SET row_security = off; SET synchronous_commit = off",
            err) ||
        (pg_server_version(conn) >= 170000 && !pg_exec(conn, "SET transaction_timeout = 0", err))) {
        pg_close(conn);
        return err_wrap(err, "source");
    }
    *ret = conn;
    return true;
}

bool cap_connect(const struct cap_settings *settings, bool replication, struct pg_conn **ret, struct err *err)
{
    return cap_connect_to(settings, settings->source_url, replication, ret, err);
}

bool cap_stop_asked(const struct cap_session *s)
{
    alive_tick(); /* each turn of a loop asks this */
    struct pollfd fd = {.fd = s->stop_fd, .events = POLLIN};
    return poll(&fd, 1, 0) > 0;
}

void cap_status_begin(struct cap_session *s)
{
    cap_status_show(s, s->status->phase == PHASE_RETRYING ? PHASE_RETRYING : PHASE_STARTING);
}

void cap_status_show(struct cap_session *s, enum role_phase phase)
{
    struct role_status *st = s->status;
    alive_tick();
    if (st->phase != phase) {
        st->phase = phase;
        st->phase_since_us = clock_wall_us();
    }
    if (s->publisher != NULL) {
        struct cap_progress p;
        cap_publisher_progress(s->publisher, &p);
        st->journaled_lsn = p.durable_lsn;
        st->position_commit_us = p.durable_commit_us;
        st->fence_id = p.fence_id;
        st->attempt = p.attempt;
        st->complete = p.complete;
        st->changes = p.changes;
        st->transactions = p.transactions;
        st->fences = p.fences;
        st->bytes = p.bytes;
        st->queued_batches = (uint64_t)MAX_OF(p.queued, 0);
        st->journal_known = p.fences > 0;
        st->journal_bytes = p.journal.bytes;
        st->journal_records = p.journal.records;
        st->journal_queued = p.journal.queued;
    }
    status_board_publish(s->board, st);
}

/* --- a session --- */

/* Shapes that no fence covers are not those of the journal's end: the stream comes to them again. */
static bool read_shapes(struct cap_session *s, struct journal_writer *jw, struct err *err)
{
    bool unfenced = false;
    uint64_t fenced_next = s->position.base.schemas_next;
    char *text CLEANUP(free_ptr) = shape_voids_text(fenced_next);
    return cap_shapes_read(&s->settings->journal, fenced_next, &s->shapes, &unfenced, err) &&
           (!unfenced || cap_shape_append(jw, s->settings->topic_prefix, text, err));
}

/* The journal's side first: from here on no other capture of this pipeline writes. */
bool cap_open_journal(struct cap_session *s, struct journal_writer **ret_jw,
                      struct schema_store **ret_schemas, struct err *err)
{
    struct journal_writer *jw = NULL;
    struct schema_store *schemas = NULL;
    if (!journal_writer_open(&s->settings->journal, &jw, err))
        return false;
    if (!cap_position_read(s->settings, &s->position, err) || !read_shapes(s, jw, err) ||
        !schema_store_open(&s->settings->journal, &schemas, err)) {
        journal_writer_close(jw);
        return false;
    }
    *ret_jw = jw;
    *ret_schemas = schemas;
    return true;
}

/* goes_on: at the last fence, with the copy that it belongs to. */
void cap_start_publisher(struct cap_session *s, struct journal_writer *jw, struct schema_store *schemas,
                         bool goes_on)
{
    struct cap_publisher_config config = {
        .topic_prefix = s->settings->topic_prefix,
        .codec = s->settings->codec,
        .fence_interval_us = s->settings->fence_interval_us,
        .fence_max_changes = s->settings->fence_max_changes,
        .base = s->position.base,
        .tally = s->settings->tally,
    };
    config.base.pipeline = s->settings->pipeline;
    config.base.system_id = s->identity.system_id;
    config.base.timeline = s->identity.timeline;
    config.base.attempt = s->position.attempt;
    config.base.gtid = s->position.gtid;
    config.base.gtid_from = s->position.gtid_from;
    if (!goes_on) /* 0: no rows are copied, the target has them */
        config.base.attempt = s->settings->snapshot_mode == SNAPSHOT_NEVER ? 0 : s->position.attempt + 1;
    config.complete = s->position.complete;
    s->publisher = cap_publisher_start(&config, jw, schemas, goes_on ? s->position.lsn : 0);
    s->status->attempt = config.base.attempt;
}

/* Taking over the journal fences whoever writes there. Who streams from the slot is alive and stays: only one
 * that has lost it may be replaced. */
static bool nobody_streams(struct cap_session *s, struct err *err)
{
    struct source_slot slot;
    return cap_connect(s->settings, false, &s->sql, err) && cap_standby_open(s, err) &&
           cap_slot_free(s, &slot, err);
}

static bool open_source(struct cap_session *s, struct err *err)
{
    return cap_connect(s->settings, true, &s->stream, err) && cap_check_identity(s, err) &&
           cap_setup_source(s, err);
}

/* *ret_goes_on: the stream starts at the last fence. */
static bool look_at_source(struct cap_session *s, bool *ret_goes_on, struct err *err)
{
    const char *why = NULL;
    *ret_goes_on = cap_position_streams(&s->position);
    if (!open_source(s, err))
        return false;
    if (*ret_goes_on)
        return cap_check_publication(s, err) && cap_check_slot(s, err) && cap_queue_check(s, err) &&
               (s->position.complete || cap_snapshot_load(s, err));
    if (!cap_snapshot_may_resume(s, ret_goes_on, &why, err))
        return false;
    if (why != NULL)
        log_event(LOG_LEVEL_WARN, "snapshot_anew", "attempt=%llu text=\"%s: the copy starts over\"",
                  (unsigned long long)s->position.attempt + 1, why);
    return true;
}

/* What is copied has the shape that the journal knows, or becomes the first that it knows. (What else has changed since, the
 * stream will tell.) */
static bool note_shape(struct cap_session *s, struct source_table *t, struct pg_type_catalog *types,
                       struct err *err)
{
    enum cap_shape_news news = cap_shapes_judge(s->shapes, t);
    s->altered = s->altered || (news != SHAPE_FIRST && news != SHAPE_SAME);
    for (size_t i = 0; i < t->column_count; i++)
        t->columns[i].not_null =
            t->columns[i].not_null && !cap_shapes_is_added(s->shapes, t, t->columns[i].name);
    if (news == SHAPE_FIRST) {
        char *text CLEANUP(free_ptr) = cap_shapes_take(s->shapes, t, types, s->sql, err);
        return text != NULL && cap_publisher_note_shape(s->publisher, text, err);
    }
    if (!cap_shape_needs_person(s->settings, news))
        return true;
    const struct cap_shape *old = cap_shapes_current(s->shapes, t->oid);
    struct strbuf change = STRBUF_INIT(1 << 20), advice = STRBUF_INIT(1 << 20);
    if (old == NULL || cap_ddl_describe(s->sql, old, t, &change, &advice, err))
        cap_shape_refuse(s->shapes, t, news, change.data, err);
    strbuf_release(&change);
    strbuf_release(&advice);
    return false;
}

static bool note_shapes(struct cap_session *s, bool goes_on, struct err *err)
{
    if (!goes_on) { /* the journal was told by the copy's first fence */
        cap_shapes_free(s->shapes);
        s->shapes = cap_shapes_new();
    }
    const struct copy_request *asked = cap_queue_at_hand(&s->queue);
    struct pg_type_catalog *types = pg_type_catalog_new();
    bool ok = true;
    for (size_t i = 0; ok && i < s->tables.count; i++) {
        struct source_table *t = &s->tables.items[i];
        bool published = t->from_start || (asked != NULL && asked->oid == t->oid);
        ok = !published || note_shape(s, t, types, err);
    }
    pg_type_catalog_free(types);
    return ok;
}

/* A copy that begins or goes on, and the stream beside it. */
static bool run_copy(struct cap_session *s, bool goes_on, struct err *err)
{
    struct cap_snapshot floor = {0};
    struct cap_copier *copier = NULL;
    s->direct = goes_on ? s->position.copy.direct
                        : s->settings->snapshot_direct && s->settings->snapshot_mode != SNAPSHOT_NEVER;
    s->direct_lsn = goes_on ? s->position.copy.begin_lsn : 0;
    if (s->direct && s->settings->target_url == NULL)
        return err_set(err, ERR_CONFIG,
                       "the copy was begun as a direct load: capture needs target.url to go on");
    cap_status_show(s, PHASE_SNAPSHOT);
    if (!goes_on) { /* all tables: also those that were asked for */
        cap_queue_release(&s->queue);
        *s->part_lsn = 0;
    }
    if (!goes_on || s->status->snapshot_finished_us != 0 || s->status->snapshot_started_us == 0)
        s->status->snapshot_started_us = clock_wall_us();
    s->status->snapshot_finished_us = 0;
    bool ok = goes_on ? cap_snapshot_resume(s, err) : cap_snapshot_begin(s, &floor, err);
    ok = ok && note_shapes(s, goes_on, err);
    if (ok) {
        copier = cap_copier_open(s, goes_on ? &s->position.copy : NULL, goes_on ? NULL : &floor);
        s->progressed = s->progressed || !goes_on;
        ok = cap_stream_run(s, goes_on ? s->position.lsn : s->slot_lsn, copier, err);
    }
    cap_snapshot_release(&floor);
    return ok;
}

static bool run_session(struct cap_session *s, struct err *err)
{
    if (maria_is_url(s->settings->source_url))
        return cap_maria_session(s, err);
    struct journal_writer *jw = NULL;
    struct schema_store *schemas = NULL;
    bool goes_on = false;
    cap_status_begin(s);
    if (!nobody_streams(s, err) || !cap_open_journal(s, &jw, &schemas, err))
        return false;
    cap_queue_take(&s->queue, &s->position.copy);
    if (!look_at_source(s, &goes_on, err)) {
        schema_store_close(schemas);
        journal_writer_close(jw);
        return false;
    }
    cap_start_publisher(s, jw, schemas, goes_on);
    if (!s->position.complete)
        return run_copy(s, goes_on, err);
    return cap_stream_run(s, s->position.lsn, NULL, err);
}

/* The publisher's own failure is the cause of whatever came after. */
static bool close_session(struct cap_session *s, bool ok, struct err *err)
{
    struct err cause = ERR_INIT;
    if (!cap_publisher_stop(s->publisher, &cause)) {
        *err = cause;
        err_wrap(err, "journal");
        ok = false;
    }
    s->publisher = NULL;
    struct err note = ERR_INIT;
    if (s->shapes != NULL && cap_shapes_has_halted(s->shapes) &&
        !cap_shapes_write_halt(s->shapes, &s->settings->journal, &note)) {
        /* Not noted: the next session comes to it again. */
        *err = note;
        ok = false;
    }
    cap_shapes_free(s->shapes);
    s->shapes = NULL;
    cap_direct_snapshot_release(&s->direct_snapshot);
    pg_close(s->stream);
    pg_close(s->sql);
    pg_close(s->primary);
    pg_close(s->timeline);
    cap_tables_release(&s->tables);
    cap_queue_release(&s->queue);
    cap_position_release(&s->position);
    return ok;
}

/* --- the role --- */

struct role {
    struct cap_asked asked;
    const struct cap_settings *settings;
    struct status_board *board;
    struct role_status status;
    int stop_fd;
    unsigned failures; /* in a row */
    bool ever_progressed, whole_only;
    lsn_t part_lsn;
    int64_t started_us;
};

/* *ret_again: it has ended only for another to begin. */
static bool one_session(struct role *r, bool *ret_again, struct err *err)
{
    struct cap_session s = {.settings = r->settings,
                            .asked = &r->asked,
                            .board = r->board,
                            .status = &r->status,
                            .stop_fd = r->stop_fd,
                            .whole_only = &r->whole_only,
                            .part_lsn = &r->part_lsn};
    bool ok = run_session(&s, err);
    if (!ok && err->code == ERR_INTERRUPTED && cap_stop_asked(&s)) /* an orderly end, wherever it was met */
        ok = true;
    ok = close_session(&s, ok, err);
    *ret_again = ok && s.again && !cap_stop_asked(&s);
    if (s.progressed) {
        r->failures = 0;
        r->ever_progressed = true;
    }
    return ok;
}

static bool may_retry(const struct role *r, const struct err *err)
{
    enum err_policy policy = err_policy(err->code);
    if (policy == POLICY_BUG)
        BUG("%s", err->text);
    if (policy != POLICY_RETRY && policy != POLICY_RECONNECT)
        return false;
    return err->code != ERR_BUSY || r->ever_progressed || clock_mono_us() - r->started_us < BUSY_PATIENCE_US;
}

static void show_error(struct role *r, enum role_phase phase, const struct err *err)
{
    r->status.phase = phase;
    r->status.phase_since_us = r->status.last_error_us = clock_wall_us();
    r->status.errors++;
    tally_error(status_board_tally(r->board), err);
    (void)snprintf(r->status.last_error, sizeof r->status.last_error, "%.*s",
                   (int)sizeof r->status.last_error - 1, err->text);
    status_board_publish(r->board, &r->status);
}

/* True: a stop was asked for meanwhile. */
static bool wait_before_retry(struct role *r, const struct err *err)
{
    int64_t wait_us = clock_backoff_us(r->failures++, BACKOFF_BASE_MS, BACKOFF_MAX_MS);
    r->status.retries++;
    tally_retry(status_board_tally(r->board), err);
    show_error(r, PHASE_RETRYING, err);
    log_event(LOG_LEVEL_WARN, "retry", "code=%s wait_ms=%lld text=\"%s\"", err_code_name(err->code),
              (long long)(wait_us / 1000), err->text);
    struct pollfd fd = {.fd = r->stop_fd, .events = POLLIN};
    return alive_poll(&fd, 1, wait_us / 1000) > 0;
}

bool capture_run(const struct config *cfg, struct status_board *board, int stop_fd, struct err *err)
{
    struct cap_settings settings;
    if (!cap_settings_read(cfg, &settings, err))
        return false;
    settings.journal.on_trouble = status_board_trouble;
    settings.tally = status_board_tally(board);
    settings.journal.trouble_ctx = board;
    struct role r = {
        .settings = &settings, .board = board, .stop_fd = stop_fd, .started_us = clock_mono_us()};
    cap_asked_open(&r.asked, board, &settings, !maria_is_url(settings.source_url));
    r.status.role = "capture";
    r.status.retained_wal_bytes = r.status.safe_wal_bytes = -1;
    (void)snprintf(r.status.pipeline, sizeof r.status.pipeline, "%s", settings.pipeline);
    bool ok = false, stopped = false;
    while (!stopped) {
        struct err session_err = ERR_INIT;
        bool again = false;
        ok = stopped = one_session(&r, &again, &session_err);
        if (again) {
            stopped = false;
            continue;
        }
        if (ok)
            break;
        if (!may_retry(&r, &session_err)) {
            *err = session_err;
            err_wrap(err, "capture");
            show_error(&r, PHASE_HALTED, err);
            break;
        }
        ok = stopped = wait_before_retry(&r, &session_err);
    }
    cap_settings_release(&settings);
    return ok;
}
