/* Owns: what capture does because its source is a standby. See standby.h. */
#include "capture/source/standby.h"

#include <poll.h>
#include <string.h>

#include "core/alloc.h"
#include "core/log.h"

#define OLDEST_VERSION   160000
#define CATCH_UP_POLL_MS 50

struct pg_conn *cap_writable(const struct cap_session *s)
{
    return s->standby ? s->primary : s->sql;
}

/* --- opening --- */

static bool in_recovery(struct pg_conn *conn, bool *ret, struct err *err)
{
    int64_t yes = 0;
    if (!pg_query_int64(conn, "SELECT pg_catalog.pg_is_in_recovery()::int", 0, NULL, &yes, err))
        return false;
    *ret = yes != 0;
    return true;
}

static bool system_id(const char *url, const struct cap_settings *settings, uint64_t *ret, struct err *err)
{
    struct pg_options options = {.application_name = settings->application_name, .replication = true};
    struct repl_identity identity;
    struct pg_conn *conn = NULL;
    bool ok = pg_open(url, &options, &conn, err) && repl_identify(conn, &identity, err);
    pg_close(conn);
    if (ok)
        *ret = identity.system_id;
    return ok;
}

static bool same_system(const struct cap_session *s, struct err *err)
{
    const struct cap_settings *settings = s->settings;
    uint64_t standby = 0, primary = 0;
    if (!system_id(settings->source_url, settings, &standby, err))
        return err_wrap(err, "source.standby_url");
    if (!system_id(settings->primary_url, settings, &primary, err))
        return err_wrap(err, "source.url");
    return standby == primary || err_set(err, ERR_CONFIG,
                                         "source.standby_url is a standby of another server than source.url: "
                                         "system identifier %llu against %llu",
                                         (unsigned long long)standby, (unsigned long long)primary);
}

static bool open_primary(struct cap_session *s, struct err *err)
{
    bool standby = true;
    if (!same_system(s, err) ||
        !cap_connect_to(s->settings, s->settings->primary_url, false, &s->primary, err) ||
        !in_recovery(s->primary, &standby, err))
        return false;
    return !standby || err_set(err, ERR_CONFIG,
                               "source.url is a standby as well: it has to be the primary, where control "
                               "tables, publication, "
                               "markers and heartbeats are written");
}

static bool warn_of_settings(struct cap_session *s, struct err *err)
{
    char *feedback CLEANUP(free_ptr) = NULL;
    if (!pg_query_text(s->sql, "SELECT pg_catalog.current_setting('hot_standby_feedback')", 0, NULL,
                       &feedback, err))
        return false;
    if (feedback != NULL && strcmp(feedback, "on") != 0)
        log_event(LOG_LEVEL_WARN, "standby_feedback_off",
                  "text=\"hot_standby_feedback is off on the standby: vacuum on the primary may invalidate "
                  "the slot. Turn it on, and "
                  "give the standby a slot on the primary (primary_slot_name)\"");
    if (s->primary == NULL)
        log_event(LOG_LEVEL_INFO, "standby_alone",
                  "text=\"source.url is a standby: no heartbeats, and a slot's creation waits until the "
                  "primary records its running "
                  "transactions (SELECT pg_log_standby_snapshot() there). With source.url: the primary, and "
                  "source.standby_url: this "
                  "server, capture does both itself\"");
    return true;
}

bool cap_standby_open(struct cap_session *s, struct err *err)
{
    if (!in_recovery(s->sql, &s->standby, err))
        return false;
    if (!s->standby)
        return s->settings->primary_url == NULL ||
               err_set(err, ERR_CONFIG,
                       "source.standby_url is no standby (was it promoted?): if it is the primary now, make "
                       "it source.url and "
                       "take source.standby_url away");
    int version = pg_server_version(s->sql);
    if (version < OLDEST_VERSION)
        return err_set(err, ERR_UNSUPPORTED,
                       "source: PostgreSQL %d does not decode on a standby, 16 is the first that does: "
                       "capture from the primary",
                       version / 10000);
    return (s->settings->primary_url == NULL || open_primary(s, err)) && warn_of_settings(s, err);
}

/* --- setting up --- */

bool cap_standby_catch_up(struct cap_session *s, struct err *err)
{
    char *lsn CLEANUP(free_ptr) = NULL;
    int64_t reached = 0;
    if (!s->standby || s->primary == NULL)
        return true;
    if (!pg_query_text(s->primary, "SELECT pg_catalog.pg_current_wal_insert_lsn()::text", 0, NULL, &lsn, err))
        return false;
    const char *params[] = {lsn};
    for (;;) {
        if (!pg_query_int64(s->sql, "SELECT (pg_catalog.pg_last_wal_replay_lsn() >= $1::pg_lsn)::int", 1,
                            params, &reached, err))
            return false;
        if (reached != 0)
            return true;
        struct pollfd fd = {.fd = s->stop_fd, .events = POLLIN};
        if (poll(&fd, 1, CATCH_UP_POLL_MS) > 0)
            return err_set(err, ERR_INTERRUPTED, "stopped while the standby replays");
    }
}

bool cap_standby_check_table(const struct source_table *t, struct err *err)
{
    return t->key_count > 0 ||
           err_set(err, ERR_SCHEMA,
                   "table=%s.%s has no key, and a standby does not tell which transactions a snapshot "
                   "sees, which its copy "
                   "needs: add a primary key, exclude it in source.tables, or capture from the primary",
                   t->schema, t->name);
}

bool cap_standby_check_tables(const struct cap_session *s, struct err *err)
{
    bool copies = s->standby && s->settings->snapshot_mode != SNAPSHOT_NEVER;
    for (size_t i = 0; copies && i < s->tables.count; i++) {
        if (!cap_standby_check_table(&s->tables.items[i], err))
            return false;
    }
    return true;
}

/* IDENTIFY_SYSTEM tells a standby's timeline as that of the last record that was replayed (server: GetStandbyFlushRecPtr()), and
 * only what was replayed is decoded. */
bool cap_standby_same_timeline(struct cap_session *s, struct err *err)
{
    struct repl_identity now;
    if (!s->standby)
        return true;
    if ((s->timeline == NULL && !cap_connect(s->settings, true, &s->timeline, err)) ||
        !repl_identify(s->timeline, &now, err))
        return err_wrap(err, "asking the standby for its timeline");
    return now.timeline == s->identity.timeline ||
           err_set(err, ERR_TRANSIENT,
                   "the standby has gone over from timeline %u to %u (it was promoted, or follows another "
                   "primary): going on there, at the last fence",
                   s->identity.timeline, now.timeline);
}

void cap_standby_nudge(const struct cap_session *s)
{
    struct err ignored = ERR_INIT; /* no right to: it will come by itself */
    if (s->primary != NULL)
        (void)!pg_exec(s->primary, "SELECT pg_catalog.pg_log_standby_snapshot()", &ignored);
}
