/* Owns: the thread that looks at the slot in the stream's place. See slot_watch.h. */
#include "capture/source/slot_watch.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#include "capture/capture_internal.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mono_cond.h"

#define LOOK_EVERY_US    INT64_C(2000000)
#define SILENT_US        INT64_C(5000000) /* of the stream */
#define CONNECT_WITHIN_S 5
#define ANSWER_WITHIN_US INT64_C(5000000)
#define POLL_MS          100

const char cap_slot_look_sql[] =
    "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()"
    "            ELSE pg_catalog.pg_current_wal_lsn() END,"
    "       s.restart_lsn, s.safe_wal_size, s.wal_status"
    "  FROM (SELECT) AS one LEFT JOIN pg_catalog.pg_replication_slots s ON s.slot_name "
    "OPERATOR(pg_catalog.=) $1";

struct cap_slot_watch {
    const struct cap_settings *settings;
    struct status_board *board;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    bool ends;
    int64_t seen_us; /* mono; the stream's last look */
    enum wal_guard_level level;
    struct pg_conn *conn; /* the thread's own; NULL while the stream looks */
    bool asked;           /* an answer to come, on that connection */
    bool told;            /* that it looks: once for each time */
};

void cap_slot_take(const struct cap_settings *settings, const struct pg_result *res,
                   struct role_status *status)
{
    lsn_t end_lsn = 0, restart_lsn = 0;
    if (pg_rows(res) != 1 || !lsn_parse(pg_cell(res, 0, 0), &end_lsn))
        return;
    status->source_lsn = MAX_OF(end_lsn, status->source_lsn);
    struct cap_slot_wal wal = {.retained_bytes = -1,
                               .safe_bytes = pg_is_null(res, 0, 2) ? -1 : MAX_OF(pg_cell_int64(res, 0, 2), 0),
                               .state = pg_cell(res, 0, 3)};
    if (lsn_parse(pg_cell(res, 0, 1), &restart_lsn) && end_lsn >= restart_lsn)
        wal.retained_bytes = (int64_t)(end_lsn - restart_lsn);
    cap_wal_guard(&wal, settings->max_retained_wal_bytes, settings->slot, status);
}

void cap_slot_watch_took(struct cap_slot_watch *w, const struct cap_settings *settings,
                         const struct pg_result *res, struct role_status *status)
{
    if (w == NULL) {
        cap_slot_take(settings, res, status);
        return;
    }
    pthread_mutex_lock(&w->lock);
    status->wal_guard = w->level; /* as it was told last, by whomever */
    cap_slot_take(settings, res, status);
    w->level = status->wal_guard;
    w->seen_us = clock_mono_us();
    status_board_slot(w->board, NULL);
    pthread_mutex_unlock(&w->lock);
}

static bool ends(struct cap_slot_watch *w)
{
    pthread_mutex_lock(&w->lock);
    bool yes = w->ends;
    pthread_mutex_unlock(&w->lock);
    return yes;
}

/* Not for ever: whoever stops the role waits for this thread. PG_POLL_WAIT: it has not come yet. */
static enum pg_poll await(struct cap_slot_watch *w, struct pg_result **ret)
{
    struct err silent = ERR_INIT;
    int64_t until_us = clock_mono_us() + ANSWER_WITHIN_US;
    enum pg_poll state;
    while ((state = pg_poll_result(w->conn, ret, &silent)) == PG_POLL_WAIT) {
        struct pollfd fd = {.fd = pg_socket(w->conn), .events = POLLIN};
        (void)poll(&fd, 1, POLL_MS);
        if (ends(w) || clock_mono_us() >= until_us)
            break;
    }
    return state;
}

static void close_conn(struct cap_slot_watch *w)
{
    pg_close(w->conn);
    w->conn = NULL;
    w->asked = false;
}

/* A source that cannot be reached is told of by the role itself. A server that is sick has one question at most, which the next look goes on
 * to wait for: a connection that is closed leaves its backend there. */
static bool ask(struct cap_slot_watch *w, struct pg_result **ret)
{
    struct err silent = ERR_INIT;
    const char *params[] = {w->settings->slot};
    const struct pg_options options = {.application_name = w->settings->application_name,
                                       .connect_timeout_s = CONNECT_WITHIN_S,
                                       .bare = true};
    if (w->conn == NULL && !pg_open(w->settings->source_url, &options, &w->conn, &silent)) {
        w->conn = NULL;
        return false;
    }
    w->asked = w->asked || pg_send(w->conn, cap_slot_look_sql, 1, params, &silent);
    enum pg_poll state = w->asked ? await(w, ret) : PG_POLL_ERROR;
    w->asked = state == PG_POLL_WAIT;
    if (state == PG_POLL_ERROR)
        close_conn(w);
    return state == PG_POLL_READY;
}

/* The lock is held, but for the question. */
static void look(struct cap_slot_watch *w)
{
    PG_RESULT_AUTO res = NULL;
    int64_t seen_us = w->seen_us;
    pthread_mutex_unlock(&w->lock);
    bool ok = ask(w, &res);
    pthread_mutex_lock(&w->lock);
    if (!ok || w->seen_us != seen_us) /* the stream is back */
        return;
    struct role_status found = {.retained_wal_bytes = -1, .safe_wal_bytes = -1, .wal_guard = w->level};
    cap_slot_take(w->settings, res, &found);
    w->level = found.wal_guard;
    status_board_slot(w->board, &found);
    if (!w->told)
        log_event(LOG_LEVEL_INFO, "slot_watched",
                  "slot=%s retained_bytes=%lld text=\"the stream does not run: the slot is looked at all the "
                  "same\"",
                  w->settings->slot, (long long)found.retained_wal_bytes);
    w->told = true;
}

static void *run(void *arg)
{
    struct cap_slot_watch *w = arg;
    pthread_mutex_lock(&w->lock);
    while (!w->ends) {
        (void)mono_cond_wait(&w->wake, &w->lock, clock_mono_us() + LOOK_EVERY_US);
        if (w->ends)
            break;
        if (clock_mono_us() - w->seen_us >= SILENT_US) {
            look(w);
        } else {
            close_conn(w);
            w->told = false;
        }
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

struct cap_slot_watch *cap_slot_watch_start(const struct cap_settings *settings, struct status_board *board)
{
    struct cap_slot_watch *w = xcalloc(1, sizeof *w);
    *w = (struct cap_slot_watch){.settings = settings, .board = board, .seen_us = clock_mono_us()};
    mono_cond_init(&w->wake);
    if (pthread_mutex_init(&w->lock, NULL) != 0 || pthread_create(&w->thread, NULL, run, w) != 0)
        BUG("no thread to look at the slot");
    return w;
}

void cap_slot_watch_stop(struct cap_slot_watch *w)
{
    if (w == NULL)
        return;
    pthread_mutex_lock(&w->lock);
    w->ends = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    (void)pthread_join(w->thread, NULL);
    close_conn(w);
    (void)pthread_cond_destroy(&w->wake);
    (void)pthread_mutex_destroy(&w->lock);
    free(w);
}
