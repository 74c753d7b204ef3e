/* Owns: the life of a direct load: its snapshot, runs of its workers, what becomes of errors. See direct.h. */
#include "capture/direct/direct.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "capture/direct/direct_internal.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "core/log.h"

#define READY_POLL_MS   20
#define LOOK_MS         500 /* at the source's latency */
#define BACKOFF_BASE_MS 250
#define BACKOFF_MAX_MS  15000

/* --- snapshots --- */

void cap_direct_snapshot_release(struct cap_direct_snapshot *snap)
{
    pg_close(snap->conn);
    *snap = (struct cap_direct_snapshot){0};
}

/* server: snapmgr.c, ImportSnapshot(): the one that exported it is gone. */
void direct_snapshot_err(struct err *err)
{
    static const char *const states[] = {"22023", "42704", "55000"};
    for (size_t i = 0; i < ARRAY_LEN(states); i++) {
        if (strcmp(err->sqlstate, states[i]) == 0)
            err->code = ERR_CONNECT;
    }
}

void direct_gone_err(struct err *err)
{
    static const char *const states[] = {"42P01", "42703", "3F000"};
    for (size_t i = 0; i < ARRAY_LEN(states); i++) {
        if (strcmp(err->sqlstate, states[i]) == 0)
            err->code = ERR_TRANSIENT;
    }
}

/* A transaction that took it, and gives it on. */
bool cap_direct_keep(const struct cap_settings *settings, const struct repl_slot *slot,
                     struct cap_direct_snapshot *ret, struct err *err)
{
    struct cap_direct_snapshot snap = {.lsn = slot->consistent_lsn};
    struct strbuf sql = STRBUF_INIT(256);
    char *name CLEANUP(free_ptr) = NULL;
    strbuf_adds(&sql, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET TRANSACTION SNAPSHOT ");
    pg_quote_literal(&sql, slot->snapshot);
    bool ok = strbuf_ok(&sql, "snapshot", err) && cap_connect(settings, false, &snap.conn, err) &&
              pg_exec(snap.conn, sql.data, err) &&
              pg_query_text(snap.conn, "SELECT pg_catalog.pg_export_snapshot()", 0, NULL, &name, err);
    strbuf_release(&sql);
    if (!ok) {
        cap_direct_snapshot_release(&snap);
        direct_snapshot_err(err);
        return err_wrap(err, "snapshot");
    }
    (void)snprintf(snap.name, sizeof snap.name, "%s", name != NULL ? name : "");
    *ret = snap;
    return true;
}

static void show_conn(struct cap_direct *d, int place, struct pg_conn *conn)
{
    pthread_mutex_lock(&d->cancel_lock);
    d->conns[place] = conn;
    pthread_mutex_unlock(&d->cancel_lock);
}

/* Another one, of a temporary slot: exact at its position, too. */
static bool find_snapshot(struct cap_direct *d, struct err *err)
{
    const struct cap_settings *settings = d->session->settings;
    struct pg_conn *conn = NULL;
    struct repl_slot slot;
    char nonce[NONCE_MAX], name[64];
    nonce_make(nonce);
    (void)snprintf(name, sizeof name, "crossfade_load_%.16s", nonce);
    if (!cap_connect(settings, true, &conn, err))
        return false;
    show_conn(d, d->workers + 1, conn);
    bool ok = repl_create_slot(conn, name, REPL_SLOT_TEMPORARY, &slot, err) &&
              cap_direct_keep(settings, &slot, &d->snap, err);
    show_conn(d, d->workers + 1, NULL);
    pg_close(conn);
    if (ok)
        log_event(LOG_LEVEL_INFO, "direct_snapshot", "lsn=" LSN_FMT, LSN_ARGS(d->snap.lsn));
    return ok || err_wrap(err, "direct load: snapshot");
}

static bool have_snapshot(struct cap_direct *d, struct err *err)
{
    struct err lost = ERR_INIT;
    if (d->snap.conn != NULL && pg_exec(d->snap.conn, "SELECT 1", &lost))
        return true;
    cap_direct_snapshot_release(&d->snap);
    return find_snapshot(d, err);
}

/* --- what the threads share --- */

bool direct_is_over(struct cap_direct *d)
{
    pthread_mutex_lock(&d->lock);
    bool over = d->run_failed;
    pthread_mutex_unlock(&d->lock);
    return over || atomic_load(&d->abort);
}

/* Each opens a connection of its own, and waits for it: never with d->lock, which the stream takes at each turn. lost: the source's are
 * broken; all are thrown away. */
static void cancel_all(struct cap_direct *d, bool lost)
{
    pthread_mutex_lock(&d->cancel_lock);
    for (int i = 0; i < d->place_count; i++) {
        if (d->conns[i] != NULL)
            (lost ? pg_break : pg_cancel)(d->conns[i]);
        if (d->loaders[i] != NULL)
            loader_cancel(d->loaders[i]);
    }
    pthread_mutex_unlock(&d->cancel_lock);
}

void direct_fail(struct cap_direct *d, const struct err *err)
{
    pthread_mutex_lock(&d->lock);
    bool first = !d->run_failed;
    if (first) {
        d->run_failed = true;
        d->run_err = *err;
    }
    pthread_mutex_unlock(&d->lock);
    if (first)
        cancel_all(d, err->code == ERR_CONNECT);
}

bool direct_open_loader(struct cap_direct *d, int place, struct loader **ret, struct err *err)
{
    const struct cap_settings *settings = d->session->settings;
    const struct loader_options options = {.url = settings->target_url,
                                           .pipeline = settings->pipeline,
                                           .owner = d->owner,
                                           .attempt = d->attempt,
                                           .source_system_id = d->session->identity.system_id,
                                           .begin_lsn = d->begin_lsn,
                                           .way_back = settings->other_pipeline,
                                           .truncate_nonempty = settings->truncate_nonempty,
                                           .index_memory_bytes = settings->index_memory_bytes,
                                           .unfit = {.all = target_unfit_named(settings->unfit),
                                                     .rules = settings->unfit_columns,
                                                     .rule_count = settings->unfit_column_count}};
    if (!target_unfit_check(&options.unfit, err) || !loader_open(&options, ret, err))
        return false;
    pthread_mutex_lock(&d->cancel_lock);
    d->loaders[place] = *ret;
    pthread_mutex_unlock(&d->cancel_lock);
    return true;
}

bool direct_open_source(struct cap_direct *d, int place, struct pg_conn **ret, struct err *err)
{
    if (!cap_connect(d->session->settings, false, ret, err) ||
        !pg_exec(*ret,
                 "SET client_encoding = 'UTF8'; SET datestyle = 'ISO'; SET intervalstyle = 'postgres'; SET "
                 "timezone "
                 "= 'UTC'; SET extra_float_digits = 3; SET bytea_output = 'hex'",
                 err))
        return false;
    show_conn(d, place, *ret);
    return true;
}

bool direct_open_side(struct cap_direct *d, int place, struct pg_conn **ret, struct err *err)
{
    if (!cap_connect(d->session->settings, false, ret, err) ||
        !pg_exec(*ret, "SET lock_timeout = " DIRECT_LOCK_TIMEOUT, err))
        return false;
    show_conn(d, place, *ret);
    return true;
}

void direct_close_place(struct cap_direct *d, int place, struct pg_conn *conn, struct loader *ld)
{
    pthread_mutex_lock(&d->cancel_lock);
    d->conns[place] = NULL;
    d->loaders[place] = NULL;
    pthread_mutex_unlock(&d->cancel_lock);
    pg_close(conn);
    loader_close(ld);
}

static void set_notice(struct cap_direct *d, const char *text)
{
    pthread_mutex_lock(&d->lock);
    (void)snprintf(d->notice, sizeof d->notice, "%.590s", text);
    pthread_mutex_unlock(&d->lock);
}

static void nap_ms(int64_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&t, NULL);
}

/* --- a run --- */

static bool wait_for_apply(struct cap_direct *d, struct loader *ld, struct err *err)
{
    bool ready = false, told = false;
    while (!atomic_load(&d->abort)) {
        if (!loader_ready(ld, &ready, err))
            return false;
        if (ready) {
            set_notice(d, "");
            return true;
        }
        if (!told) {
            told = true;
            set_notice(d,
                       "the direct load waits for apply to come to its beginning: crossfade apply must run");
            log_event(LOG_LEVEL_INFO, "direct_waits", "text=\"for apply to come to the copy's beginning\"");
        }
        nap_ms(READY_POLL_MS);
    }
    return err_set(err, ERR_INTERRUPTED, "the load was ended");
}

static void look_at_latency(struct cap_direct *d, struct pg_conn *conn)
{
    int64_t limit_us = d->session->settings->max_source_latency_us, begin_us = clock_mono_us(), ignored = 0;
    struct err err = ERR_INIT;
    if (limit_us == 0)
        return;
    if (!pg_query_int64(conn, "SELECT count(*) FROM pg_catalog.pg_namespace", 0, NULL, &ignored, &err)) {
        direct_fail(d, &err);
        return;
    }
    bool slow = clock_mono_us() - begin_us > limit_us;
    if (slow && !atomic_load(&d->slow))
        log_event(LOG_LEVEL_WARN, "snapshot_slowed", "latency_ms=%lld limit_ms=%lld",
                  (long long)((clock_mono_us() - begin_us) / 1000), (long long)(limit_us / 1000));
    atomic_store(&d->slow, slow);
}

static void run_workers(struct cap_direct *d, struct pg_conn *conn)
{
    struct direct_worker *workers = xcalloc((size_t)d->workers, sizeof *workers);
    d->run_since_us = clock_mono_us();
    atomic_store(&d->run_rows, 0);
    for (int i = 0; i < d->workers; i++) {
        workers[i] = (struct direct_worker){.direct = d, .index = i};
        BUG_UNLESS(pthread_create(&workers[i].thread, NULL, direct_worker_main, &workers[i]) == 0);
    }
    for (int i = 0; i < d->workers; i++) {
        for (;;) {
            struct timespec until;
            (void)clock_gettime(CLOCK_REALTIME, &until);
            until.tv_sec += 1;
            if (pthread_timedjoin_np(workers[i].thread, NULL, &until) == 0)
                break;
            if (!direct_is_over(d))
                look_at_latency(d, conn);
        }
    }
    free(workers);
}

static int64_t cpu_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

/* What the load needs for itself is told: with many small tables that could be most of it. */
static bool make_plan(struct cap_direct *d, struct pg_conn *conn, struct loader *ld, lsn_t *high_lsn,
                      struct err *err)
{
    int64_t begin_us = clock_mono_us(), begin_cpu_us = cpu_us();
    if (!direct_plan_make(d->session, conn, ld, d->snap.lsn, d->rows, &d->plan, high_lsn, err))
        return false;
    size_t chunks = 0;
    for (size_t i = 0; i < d->plan->part_count; i++)
        chunks += d->plan->parts[i].bound_count;
    log_event(LOG_LEVEL_INFO, "direct_planned", "tables=%zu chunks=%zu took_ms=%lld cpu_ms=%lld",
              d->session->tables.count, chunks, (long long)((clock_mono_us() - begin_us) / 1000),
              (long long)((cpu_us() - begin_cpu_us) / 1000));
    return true;
}

static bool load(struct cap_direct *d, struct pg_conn *conn, struct loader *ld, struct err *err)
{
    lsn_t high_lsn = d->snap.lsn;
    for (size_t i = 0; i < d->session->tables.count; i++)
        atomic_store(&d->rows[i], 0);
    if (!make_plan(d, conn, ld, &high_lsn, err))
        return false;
    for (size_t i = 0; i < d->session->tables.count; i++)
        atomic_store(&d->table_done[i], atomic_load(&d->plan->tables[i].done));
    pthread_mutex_lock(&d->lock);
    d->high_lsn = MAX_OF(d->high_lsn, high_lsn);
    pthread_mutex_unlock(&d->lock);
    run_workers(d, conn);
    pthread_mutex_lock(&d->lock);
    bool ok = !d->run_failed;
    if (!ok)
        *err = d->run_err;
    pthread_mutex_unlock(&d->lock);
    direct_plan_free(d->plan);
    d->plan = NULL;
    return ok;
}

/* All was loaded by an earlier session, which did not come to say so: it read no later than now. */
static bool note_now(struct cap_direct *d, struct pg_conn *conn, struct err *err)
{
    char *text CLEANUP(free_ptr) = NULL;
    lsn_t lsn = 0;
    if (!pg_query_text(conn, "SELECT (" SOURCE_VISIBLE_LSN ")::text", 0, NULL, &text, err))
        return false;
    if (text == NULL || !lsn_parse(text, &lsn))
        return err_set(err, ERR_PROTOCOL, "no position from the source");
    pthread_mutex_lock(&d->lock);
    d->high_lsn = lsn;
    pthread_mutex_unlock(&d->lock);
    for (size_t i = 0; i < d->session->tables.count; i++)
        atomic_store(&d->table_done[i], true);
    return true;
}

/* From the target's side first: apply must have emptied it, and earlier loaders must be gone. */
static bool run(struct cap_direct *d, struct pg_conn **conn, struct loader **ld, struct err *err)
{
    bool done = false;
    nonce_make(d->owner);
    if (!direct_open_loader(d, d->workers, ld, err) || !wait_for_apply(d, *ld, err) ||
        !loader_claim(*ld, &done, err) || !failpoint("capture.direct_claimed", err))
        return false;
    if (!direct_open_source(d, d->workers, conn, err) || !pg_exec(*conn, "SET search_path = ''", err))
        return false;
    if (done)
        return note_now(d, *conn, err);
    if (!have_snapshot(d, err))
        return false;
    log_event(LOG_LEVEL_INFO, "direct_begin", "lsn=" LSN_FMT " workers=%d", LSN_ARGS(d->snap.lsn),
              d->workers);
    return load(d, *conn, *ld, err) && failpoint("capture.direct_loaded", err) && loader_finish(*ld, err) &&
           failpoint("capture.direct_finished", err);
}

/* A table that is not as the session knows it: the session begins anew. All else that may pass is tried again here, so that the
 * stream goes on while the target is away. */
static bool may_try_again(struct cap_direct *d, const struct err *err)
{
    enum err_policy policy = err_policy(err->code);
    if (atomic_load(&d->abort) || (err->code == ERR_TRANSIENT && err->sqlstate[0] == '\0'))
        return false;
    if (err->code == ERR_TRANSIENT && strncmp(err->sqlstate, "42", 2) == 0)
        return false;
    return policy == POLICY_RETRY || policy == POLICY_RECONNECT;
}

static void end(struct cap_direct *d, bool ok, const struct err *err)
{
    uint64_t one = 1;
    pthread_mutex_lock(&d->lock);
    d->ended = true;
    d->ok = ok;
    if (!ok)
        d->err = *err;
    pthread_mutex_unlock(&d->lock);
    ssize_t n = write(d->event_fd, &one, sizeof one);
    (void)n; /* EAGAIN: the counter is full, so the owner will wake anyway */
}

static void *main_thread(void *arg)
{
    struct cap_direct *d = arg;
    struct err err = ERR_INIT;
    bool ok = false;
    for (unsigned failures = 0; !ok; failures++) {
        struct pg_conn *conn = NULL;
        struct loader *ld = NULL;
        err_clear(&err);
        pthread_mutex_lock(&d->lock);
        d->run_failed = false;
        pthread_mutex_unlock(&d->lock);
        ok = run(d, &conn, &ld, &err);
        direct_close_place(d, d->workers, conn, ld);
        if (ok || !may_try_again(d, &err))
            break;
        int64_t wait_us = clock_backoff_us(failures, BACKOFF_BASE_MS, BACKOFF_MAX_MS);
        log_event(LOG_LEVEL_WARN, "direct_retry", "code=%s wait_ms=%lld text=\"%s\"", err_code_name(err.code),
                  (long long)(wait_us / 1000), err.text);
        set_notice(d, err.text);
        for (int64_t until_us = clock_mono_us() + wait_us;
             clock_mono_us() < until_us && !atomic_load(&d->abort);)
            nap_ms(50);
    }
    cap_direct_snapshot_release(&d->snap);
    end(d, ok, &err);
    return NULL;
}

/* --- the owner's side --- */

struct cap_direct *cap_direct_open(const struct cap_session *s, struct cap_direct_snapshot *snap,
                                   _Atomic uint64_t *rows, int event_fd)
{
    struct cap_direct *d = xcalloc(1, sizeof *d);
    d->session = s;
    d->attempt = s->status->attempt;
    d->snap = *snap;
    d->begin_lsn = s->direct_lsn;
    *snap = (struct cap_direct_snapshot){0};
    d->rows = rows;
    d->event_fd = event_fd;
    d->workers = s->settings->snapshot_workers;
    d->place_count = DIRECT_PLACES(d->workers);
    d->conns = xcalloc((size_t)d->place_count, sizeof(struct pg_conn *));
    d->loaders = xcalloc((size_t)d->place_count, sizeof(struct loader *));
    d->table_done = xcalloc(s->tables.count + 1, sizeof *d->table_done);
    pthread_mutex_init(&d->lock, NULL);
    pthread_mutex_init(&d->cancel_lock, NULL);
    BUG_UNLESS(pthread_create(&d->thread, NULL, main_thread, d) == 0);
    return d;
}

void cap_direct_close(struct cap_direct *d, bool lost)
{
    if (d == NULL)
        return;
    atomic_store(&d->abort, true);
    for (;;) { /* again and again: the first may come before a statement runs */
        struct timespec until;
        cancel_all(d, lost);
        (void)clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 1;
        if (pthread_timedjoin_np(d->thread, NULL, &until) == 0)
            break;
    }
    pthread_mutex_destroy(&d->lock);
    pthread_mutex_destroy(&d->cancel_lock);
    free(d->conns);
    free(d->loaders);
    free(d->table_done);
    free(d);
}

bool cap_direct_look(struct cap_direct *d, bool paused, bool *ret_done, lsn_t *ret_high_lsn, struct err *err)
{
    atomic_store(&d->paused, paused);
    pthread_mutex_lock(&d->lock);
    bool failed = d->ended && !d->ok;
    *ret_done = d->ended && d->ok;
    *ret_high_lsn = d->high_lsn;
    if (failed)
        *err = d->err;
    pthread_mutex_unlock(&d->lock);
    return !failed;
}

bool cap_direct_table_done(const struct cap_direct *d, size_t table)
{
    return atomic_load(&d->table_done[table]);
}

void cap_direct_notice(struct cap_direct *d, char *ret, size_t size)
{
    pthread_mutex_lock(&d->lock);
    (void)snprintf(ret, size, "%s", d->notice);
    pthread_mutex_unlock(&d->lock);
}
