/* Owns: what is asked of poolers before a cutover begins. See poolers_look(). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "cutover/poolers/ini_file.h"
#include "cutover/poolers/poolers.h"
#include "cutover/poolers/poolers_internal.h"
#include "pg/url.h"

struct settings {
    char pool_mode[24];
    char conffile[512]; /* its configuration, as it was started with it */
    int64_t query_wait_timeout_ms;
};

static int64_t deadline_of(const struct poolers *ps)
{
    return clock_mono_us() + ps->timeout_ms * 1000;
}

static bool read_settings(struct poolers *ps, struct pooler *p, struct settings *ret, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (!console_query(p->conn, "SHOW CONFIG", deadline_of(ps), &res, err))
        return err_wrap(err, "%s", p->place);
    *ret = (struct settings){.query_wait_timeout_ms = 0};
    for (int i = 0; i < pg_rows(res); i++) {
        const char *key = console_cell(res, i, "key"), *value = console_cell(res, i, "value");
        if (strcmp(key, "pool_mode") == 0)
            (void)snprintf(ret->pool_mode, sizeof ret->pool_mode, "%s", value);
        else if (strcmp(key, "conffile") == 0)
            (void)snprintf(ret->conffile, sizeof ret->conffile, "%s", value);
        else if (strcmp(key, "query_wait_timeout") == 0)
            ret->query_wait_timeout_ms = (int64_t)(strtod(value, NULL) * 1000);
    }
    return true;
}

/* Its own mode, or that of a user, may be another than the configuration's. */
static bool sessions_pooled(struct poolers *ps, struct pooler *p, const char *mode, bool *ret,
                            struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (!console_query(p->conn, "SHOW POOLS", deadline_of(ps), &res, err))
        return err_wrap(err, "%s", p->place);
    *ret = strcmp(mode, "session") == 0;
    for (int i = 0; i < pg_rows(res); i++) {
        if (strcmp(console_cell(res, i, "database"), p->rule->database) == 0 &&
            strcmp(console_cell(res, i, "pool_mode"), "session") == 0)
            *ret = true;
    }
    return true;
}

/* RESUME of what is not paused is refused with other words than to somebody who may only look. */
static bool may_pause(struct poolers *ps, struct pooler *p, struct err *err)
{
    struct err answer = ERR_INIT;
    if (console_run(p->conn, "RESUME", p->rule->database, deadline_of(ps), &answer) ||
        strstr(answer.text, "is not paused") != NULL)
        return true;
    *err = answer;
    return err_wrap(err, "%s: no right to pause (put the user into admin_users)", p->place);
}

/* How the server proves who it is, and how fast a silent one is given up: as in our own URL of it. Left away, another machine's would have
 * to show a certificate that nobody has told us to trust. */
static bool add_as_in_url(struct strbuf *out, const char *url, struct err *err)
{
    static const char *const keywords[] = {
        "sslmode", "sslrootcert", "sslcrl", "sslcrldir", "ssl_min_protocol_version", "tcp_user_timeout"};
    for (size_t i = 0; i < ARRAY_LEN(keywords); i++) {
        char *value CLEANUP(free_ptr) = NULL;
        if (!pg_url_value(url, keywords[i], &value, err))
            return false;
        if (value != NULL)
            pg_conninfo_add(out, keywords[i], value);
    }
    return true;
}

/* Tried with the address that the entry will have; what PgBouncer would ask a server for (auth_query) is not known here. */
static bool try_login(const struct pooler *p, const char *user, const char *password, struct err *err)
{
    struct strbuf url = STRBUF_INIT(65536);
    struct pg_options options = {.application_name = "crossfade cutover", .connect_timeout_s = 5};
    struct pg_conn *conn = NULL;
    pg_conninfo_add(&url, "host", p->target.host);
    pg_conninfo_add(&url, "port", p->target.port);
    pg_conninfo_add(&url, "dbname", p->target.dbname);
    pg_conninfo_add(&url, "user", user);
    if (password != NULL)
        pg_conninfo_add(&url, "password", password);
    bool ok = add_as_in_url(&url, p->target_url, err) && strbuf_ok(&url, "the connection string", err) &&
              pg_open(url.data, &options, &conn, err);
    strbuf_release(&url);
    pg_close(conn);
    return ok || err_wrap(err, "%s: login on the target as %s", p->place, user);
}

static bool look_at_login(const struct pooler *p, const struct ini_entry *entry, bool *ret_tried,
                          struct err *err)
{
    const char *url = p->rule->login;
    char *user CLEANUP(free_ptr) = NULL, *password CLEANUP(free_ptr) = NULL;
    *ret_tried = url != NULL || entry->now.user != NULL;
    if (url != NULL &&
        (!pg_url_value(url, "user", &user, err) || !pg_url_value(url, "password", &password, err)))
        return false;
    if (url != NULL && user == NULL)
        return err_set(err, ERR_CONFIG, "%s: login: says no user", p->place);
    if (entry->now.user != NULL && !try_login(p, entry->now.user, entry->now.password, err))
        return false;
    return user == NULL || try_login(p, user, password, err);
}

/* Where it runs elsewhere, its path says nothing here. */
static bool is_its_file(const struct pooler *p, const char *conffile)
{
    struct stat theirs, ours;
    return conffile[0] != '/' || stat(conffile, &theirs) != 0 || stat(p->rule->ini, &ours) != 0 ||
           (theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino);
}

static bool look_at_file(const struct pooler *p, const struct console_database *db, const struct settings *s,
                         const struct ini_entry *entry, struct err *err)
{
    const struct connstr shown = {
        .host = (char *)db->host, .port = (char *)db->port, .dbname = (char *)db->database};
    const struct connstr *now = &entry->now;
    const struct connstr want = {.host = now->host,
                                 .port = now->port != NULL ? now->port : (char *)"5432",
                                 .dbname = now->dbname != NULL ? now->dbname : p->rule->database};
    if (!connstr_leads_to(&shown, p->rule->database, &want))
        return err_set(
            err, ERR_CONFIG,
            "%s: it leads to host=%s port=%s dbname=%s, which is not what %s says: RELOAD it, or say the "
            "right ini:",
            p->place, db->host, db->port, db->database, entry->path);
    if (!is_its_file(p, s->conffile))
        return err_set(err, ERR_CONFIG,
                       "%s: its configuration is %s, not %s. Hint: say the right ini:", p->place, s->conffile,
                       p->rule->ini);
    return ini_entry_writable(entry, err) || err_wrap(err, "%s", p->place);
}

/* What poolers_switch_back() will need. */
static bool look_at_way_back(const struct pooler *p, const struct ini_entry *entry, struct err *err)
{
    return entry->item.mark.len > 0 || !connstr_leads_to(&entry->now, p->rule->database, &p->target) ||
           err_set(err, ERR_REFUSED,
                   "%s: no comment in %s says where the entry led before the cutover. Hint: put the line "
                   "`;crossfade-before ID ENTRY` above it, with the entry as it was",
                   p->place, entry->path);
}

static bool look_at_console(struct poolers *ps, struct pooler *p, struct console_database *db,
                            struct settings *s, struct err *err)
{
    bool sessions = false;
    if (!pooler_connect(ps, p, NULL, err) || !pooler_state(ps, p, db, err) || !read_settings(ps, p, s, err))
        return false;
    if (db->paused || db->disabled)
        return err_set(err, ERR_REFUSED, "%s: it is %s: %s it first", p->place,
                       db->paused ? "paused" : "disabled", db->paused ? "RESUME" : "ENABLE");
    const char *mode = db->pool_mode[0] != '\0' ? db->pool_mode : s->pool_mode;
    if (!sessions_pooled(ps, p, mode, &sessions, err))
        return false;
    if (sessions)
        return err_set(
            err, ERR_REFUSED,
            "%s: it pools sessions, which pause only when clients leave: set pool_mode=transaction "
            "(or statement)",
            p->place);
    if (mode != s->pool_mode)
        (void)snprintf(s->pool_mode, sizeof s->pool_mode, "%s", mode);
    return may_pause(ps, p, err);
}

static bool look_at(struct poolers *ps, struct pooler *p, bool back, struct settings *s, bool *ret_tried,
                    struct err *err)
{
    struct console_database db;
    struct ini_entry entry;
    if (!look_at_console(ps, p, &db, s, err))
        return false;
    if (!ini_entry_find(p->rule->ini, p->rule->database, &entry, err))
        return err_wrap(err, "%s", p->place);
    bool ok = look_at_file(p, &db, s, &entry, err) &&
              (back ? look_at_way_back(p, &entry, err) : look_at_login(p, &entry, ret_tried, err));
    ini_entry_release(&entry);
    return ok;
}

/* A rollback leads back to where the entry was before, which is in the file; there is no login to be tried elsewhere. */
static void add_login(const struct pooler *p, bool back, bool tried, struct pooler_look *look)
{
    if (back)
        return;
    strbuf_adds(&look->measured, tried ? ", login tried" : ", login NOT TRIED");
    if (!tried)
        strbuf_addf(&look->untried, "%s%s", look->untried.len > 0 ? ", " : "", p->place);
}

bool poolers_look(struct cutover *co, struct pooler_look *ret, struct err *err)
{
    struct poolers *ps;
    int64_t wait_ms = 0;
    bool back = config_is_reversed(co->cfg);
    if (!poolers_of(co, &ps, err))
        return false;
    strbuf_addf(&ret->measured, "%zu", ps->count);
    for (size_t i = 0; i < ps->count; i++) {
        struct settings s = {.query_wait_timeout_ms = 0};
        struct err why = ERR_INIT;
        bool tried = false;
        if (!look_at(ps, &ps->items[i], back, &s, &tried, &why)) {
            strbuf_addf(&ret->wrong, "%s%s", ret->wrong.len > 0 ? "; " : "", why.text);
            continue;
        }
        strbuf_addf(&ret->measured, "%s %s pooling", i > 0 ? ";" : ":", s.pool_mode);
        add_login(&ps->items[i], back, tried, ret);
        if (s.query_wait_timeout_ms > 0 && (wait_ms == 0 || s.query_wait_timeout_ms < wait_ms))
            wait_ms = s.query_wait_timeout_ms;
    }
    if (wait_ms > 0)
        strbuf_addf(&ret->measured, ", query_wait_timeout %" PRId64 " s", wait_ms / 1000);
    ret->wait_ms = wait_ms;
    return strbuf_ok(&ret->measured, "what was measured", err) &&
           strbuf_ok(&ret->wrong, "what is wrong", err) &&
           strbuf_ok(&ret->untried, "whose login was not tried", err);
}

void pooler_look_release(struct pooler_look *look)
{
    strbuf_release(&look->measured);
    strbuf_release(&look->wrong);
    strbuf_release(&look->untried);
}
