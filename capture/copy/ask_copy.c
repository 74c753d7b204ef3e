/* Owns: the question for a copy. See ask_copy.h. */
#include "capture/copy/ask_copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "capture/capture_internal.h"
#include "capture/filters/filters.h"
#include "capture/source/setup.h"
#include "capture/source/standby.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/nonce.h"

/* The lock waits for writers, and new ones wait for it: for no longer than this at a time. */
#define LOCK_TIMEOUT_MS   1000
#define LOCK_TRIES        20
#define LOCK_PAUSE_MS     200
#define LOCK_PAUSE_MAX_MS 5000

static bool find_table(struct cap_session *s, const char *name, const struct source_table **ret,
                       struct err *err)
{
    char *oid CLEANUP(free_ptr) = NULL;
    const char *params[] = {name};
    if (!pg_query_text(s->sql, "SELECT pg_catalog.to_regclass($1)::oid::text", 1, params, &oid, err))
        return err_wrap(err, "table=%s", name);
    if (oid == NULL)
        return err_set(err, ERR_CONFIG,
                       "table=%s: there is none in database %s. Names are written as in SQL: schema.table",
                       name, pg_database(s->sql));
    for (size_t i = 0; i < s->tables.count; i++) {
        if (s->tables.items[i].oid == strtoul(oid, NULL, 10)) {
            *ret = &s->tables.items[i];
            return true;
        }
    }
    return err_set(
        err, ERR_CONFIG,
        "table=%s is not one that capture takes: add it to source.tables (and start capture again with "
        "that); a "
        "partition is taken through its partitioned table, views and unlogged tables are not at all",
        name);
}

static bool look_published(struct cap_session *s, const struct source_table *t, bool *ret, struct err *err)
{
    char oid[16];
    PG_RESULT_AUTO res = NULL;
    (void)snprintf(oid, sizeof oid, "%u", t->oid);
    const char *params[] = {s->settings->publication, oid};
    if (!pg_query(s->sql,
                  "SELECT EXISTS (SELECT FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = p.oid AND "
                  "r.prrelid = "
                  "$2::oid) FROM pg_catalog.pg_publication p WHERE p.pubname = $1",
                  2, params, &res, err))
        return false;
    if (pg_rows(res) == 0)
        return err_set(
            err, ERR_CONFIG,
            "publication %s is not there: this pipeline has not begun, its first copy takes all tables that "
            "source.tables chooses",
            s->settings->publication);
    *ret = pg_cell_bool(res, 0, 0);
    return true;
}

static bool check_condition(struct cap_session *s, const struct source_table *t, const char *where,
                            struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql, "EXPLAIN SELECT FROM ");
    pg_quote_table(&sql, t->schema, t->name);
    strbuf_adds(&sql, " AS p WHERE (");
    strbuf_adds(&sql, where);
    strbuf_adds(&sql, "\n)");
    /* The extended protocol takes one statement and no more. */
    bool ok = strbuf_ok(&sql, "--where", err) && pg_query(s->sql, sql.data, 0, NULL, &res, err);
    strbuf_release(&sql);
    if (ok)
        return true;
    err->code = ERR_CONFIG;
    return err_wrap(err, "--where");
}

/* What the publication remembers of the rules is written anew: that of the other tables must not change by the way. */
static bool check_filters(struct cap_session *s, const struct source_table *t, struct err *err)
{
    char *what CLEANUP(free_ptr) = NULL;
    if (!cap_filters_differ(s, &what, err) || !cap_filters_check_table(s, t, err))
        return false;
    return what == NULL || err_set(err, ERR_CONFIG, "%s: start capture with these rules first", what);
}

static bool check_wish(struct cap_session *s, const struct source_table *t, const struct capture_copy *ask,
                       struct err *err)
{
    bool published = false;
    if (!look_published(s, t, &published, err))
        return false;
    if (ask->add && published)
        return err_set(err, ERR_CONFIG, "table=%s.%s is captured already: resnapshot copies it once more",
                       t->schema, t->name);
    if (!ask->add && !published)
        return err_set(err, ERR_CONFIG, "table=%s.%s is not captured yet: add-table adds it", t->schema,
                       t->name);
    if (ask->add && s->settings->primary_url != NULL && !cap_standby_check_table(t, err))
        return false;
    if (ask->add)
        return cap_check_table(s, t, err) && cap_check_topics(s, err) && check_filters(s, t, err);
    if (t->key_count == 0)
        return err_set(err, ERR_CONFIG,
                       "table=%s.%s has no primary key: a second copy would double its rows. Empty it on the "
                       "target, take it "
                       "out of the publication and add-table it, or add a key",
                       t->schema, t->name);
    return ask->where == NULL || check_condition(s, t, ask->where, err);
}

/* --- asking --- */

static bool write_marker(struct cap_session *s, const struct source_table *t, const struct capture_copy *ask,
                         struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    struct copy_request req = {
        .oid = t->oid, .fresh = ask->add, .schema = t->schema, .table = t->name, .where = (char *)ask->where};
    nonce_make(req.nonce);
    json_auto_t *object = copy_request_to_json(&req);
    char *detail CLEANUP(free_ptr) = json_dumps(object, JSON_COMPACT);
    const char *params[] = {s->settings->pipeline, req.nonce, detail};
    return pg_query(
               s->sql,
               "INSERT INTO crossfade.marker (pipeline, nonce, kind, detail) VALUES ($1, $2, 'copy', $3)", 3,
               params, &res, err) ||
           err_wrap(err, "marker copy");
}

/* No transaction may have written to the table before it is published and be still open: its rows would be in no copy (which
 * comes later) as little as in the stream, and older servers would go on without the table for as long as the walsender lives. */
static bool publish(struct cap_session *s, const struct source_table *t, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_addf(&sql, "SET LOCAL lock_timeout = %d; LOCK TABLE ", LOCK_TIMEOUT_MS);
    cap_put_name(t, &sql);
    strbuf_adds(&sql, " IN SHARE ROW EXCLUSIVE MODE; ALTER PUBLICATION ");
    pg_quote_ident(&sql, s->settings->publication);
    strbuf_adds(&sql, " ADD TABLE ");
    bool ok = cap_put_published(s, t, &sql, err) && strbuf_ok(&sql, "publication", err) &&
              pg_exec(s->sql, sql.data, err) && cap_filters_remember(s, s->sql, err);
    strbuf_release(&sql);
    return ok || err_wrap(err, "publication %s", s->settings->publication);
}

static bool ask_once(struct cap_session *s, const struct source_table *t, const struct capture_copy *ask,
                     struct err *err)
{
    struct err ignored = ERR_INIT;
    if (pg_exec(s->sql, "BEGIN; SET LOCAL synchronous_commit = on", err) &&
        (!ask->add || publish(s, t, err)) && write_marker(s, t, ask, err) && pg_exec(s->sql, "COMMIT", err))
        return true;
    (void)!pg_exec(s->sql, "ROLLBACK", &ignored);
    return false;
}

static bool ask_until_locked(struct cap_session *s, const struct source_table *t,
                             const struct capture_copy *ask, struct err *err)
{
    for (unsigned i = 0; i < LOCK_TRIES; i++) {
        struct err once = ERR_INIT;
        if (ask_once(s, t, ask, &once))
            return true;
        *err = once;
        if (strcmp(once.sqlstate, "55P03") != 0)
            return false;
        int64_t pause_us = clock_backoff_us(i, LOCK_PAUSE_MS, LOCK_PAUSE_MAX_MS);
        struct timespec nap = {pause_us / 1000000, (pause_us % 1000000) * 1000};
        while (nanosleep(&nap, &nap) != 0 && errno == EINTR)
            ;
    }
    return err_wrap(err, "table=%s.%s is written to by transactions that do not end (see pg_locks)",
                    t->schema, t->name);
}

static bool ask_source(struct cap_session *s, const struct capture_copy *ask, struct err *err)
{
    const struct source_table *t = NULL;
    return cap_setup_source(s, err) && find_table(s, ask->table, &t, err) && check_wish(s, t, ask, err) &&
           ask_until_locked(s, t, ask, err);
}

bool capture_ask_copy(const struct config *cfg, const struct capture_copy *ask, struct err *err)
{
    struct cap_settings settings;
    if (!cap_settings_read(cfg, &settings, err))
        return false;
    struct cap_session s = {.settings = &settings};
    const char *url = settings.primary_url != NULL ? settings.primary_url : settings.source_url;
    bool ok = cap_connect_to(&settings, url, false, &s.sql, err) && ask_source(&s, ask, err);
    pg_close(s.sql);
    cap_tables_release(&s.tables);
    cap_settings_release(&settings);
    return ok;
}
