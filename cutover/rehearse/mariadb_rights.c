/* Owns: what a scratch database on MariaDB needs of its server and of the two users (scratch_mariadb.c): all that is missing is said at once. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "maria/binlog/checks.h"
#include "maria/rights.h"
#include "maria/url.h"
#include "rehearsal.h"

#define NOWHERE       "information_schema" /* a database that every user may name */
#define OWN_DATABASES "`crossfade\\_rehearsal\\_%`.*"
#define AUDIT         "crossfade_audit"

/* What is missing is a list in the report, and a line each for who looks on: it may be more than an error's text takes. */
struct missing {
    struct rehearsal *r;
    json_t *list;
};

static void is_missing(struct missing *m, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void is_missing(struct missing *m, const char *fmt, ...)
{
    struct strbuf text = STRBUF_INIT(2000);
    va_list ap;
    va_start(ap, fmt);
    strbuf_vaddf(&text, fmt, ap);
    va_end(ap);
    rehearsal_say(m->r, "missing: %s", text.data);
    json_array_append_new(m->list, json_string(text.data));
    strbuf_release(&text);
}

static bool refuse(const struct missing *m, struct err *err)
{
    struct strbuf text = STRBUF_INIT(20000);
    size_t i;
    json_t *one;
    json_array_foreach(m->list, i, one) strbuf_addf(&text, "%s%s", i > 0 ? "; " : "", json_string_value(one));
    err_set(err, ERR_REFUSED, "docs/PRIVILEGES.md has what a rehearsal needs; %zu are missing: %s",
            json_array_size(m->list), text.data);
    strbuf_release(&text);
    return false;
}

/* What leaves databases out of the binlog, and not the pipeline's own, may leave out the scratch one. */
static void take_check(void *ctx, enum binlog_verdict verdict, const char *name, const char *text)
{
    bool filters = strcmp(name, "binlog filters") == 0;
    if (verdict == BINLOG_CHECK_FAIL || (filters && verdict != BINLOG_CHECK_PASS))
        is_missing(ctx, "%.300s", text);
}

/* What is wanted of the session's user on a database ("" = on everything), whole or on one table. */
struct wanted {
    const char *database, *table;
    const char *on; /* as GRANT names it */
    const char *rights[12];
};

static size_t count_of(const struct wanted *w)
{
    size_t count = 0;
    while (count < ARRAY_LEN(w->rights) && w->rights[count] != NULL)
        count++;
    return count;
}

/* Those that are not there, with the statement that gives them. A role's are not listed: what that lacks shows when it is tried. */
static bool look_at_rights(struct maria_conn *conn, const struct wanted *w, struct missing *m,
                           struct err *err)
{
    char *have CLEANUP(free_ptr) = NULL;
    char *user CLEANUP(free_ptr) = NULL;
    char *role CLEANUP(free_ptr) = NULL;
    if (!maria_rights(conn, w->database, w->table, &have, err) || !maria_rights_user(conn, &user, err) ||
        !maria_query_text(conn, "SELECT CURRENT_ROLE()", 0, &role, err))
        return false;
    char *lacks CLEANUP(free_ptr) = maria_rights_missing(have, w->rights, count_of(w));
    if (lacks != NULL && role == NULL)
        is_missing(m, "GRANT %s ON %s TO %s", lacks, w->on, user);
    return true;
}

static bool look_at_ours(struct scratch *s, struct missing *m, struct err *err)
{
    const char *own = maria_database(s->maria_admin);
    struct strbuf all = STRBUF_INIT(1000), audit = STRBUF_INIT(1000);
    maria_quote_ident(&all, own);
    strbuf_adds(&all, ".*");
    maria_quote_name(&audit, own, AUDIT);
    const struct wanted wanted[] = {
        {"", "", "*.*", {"PROCESS", "CONNECTION ADMIN"}},
        {s->name,
         "",
         OWN_DATABASES,
         {"SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "INDEX", "REFERENCES",
          "CREATE TEMPORARY TABLES", "TRIGGER"}},
        {own, "", all.data, {"SELECT"}}, /* sequences and foreign keys are made as they are there */
        {own, AUDIT, audit.data, {"INSERT"}},
    };
    bool ok = true;
    for (size_t i = 0; ok && i < ARRAY_LEN(wanted); i++)
        ok = look_at_rights(s->maria_admin, &wanted[i], m, err);
    strbuf_release(&all);
    strbuf_release(&audit);
    return ok;
}

static void no_application(struct scratch *s, const char *why, struct missing *m)
{
    struct maria_url url;
    struct err ignored = ERR_INIT;
    if (!maria_url_parse(s->app_url, &url, &ignored))
        return;
    is_missing(
        m,
        "no user writes as an application would (%.200s): CREATE USER '%.80s'@'%%' with the password of "
        "target.url's, GRANT SELECT, INSERT, UPDATE, DELETE, CREATE TEMPORARY TABLES ON %s to it",
        why, url.user, OWN_DATABASES);
    maria_url_release(&url);
}

static bool look_at_application(struct scratch *s, struct missing *m, struct err *err)
{
    const struct wanted wanted = {
        s->name, "", OWN_DATABASES, {"SELECT", "INSERT", "UPDATE", "DELETE", "CREATE TEMPORARY TABLES"}};
    char *nowhere CLEANUP(free_ptr) = NULL;
    struct maria_conn *conn = NULL;
    struct err why = ERR_INIT;
    if (!maria_url_with(s->url, MARIADB_APP_SUFFIX, NOWHERE, &nowhere, err))
        return false;
    if (!maria_open_as(nowhere, MARIADB_PROGRAM, &conn, &why)) {
        if (why.code == ERR_AUTH)
            no_application(s, why.text, m);
        else
            *err = why;
        return why.code == ERR_AUTH;
    }
    bool ok = look_at_rights(conn, &wanted, m, err);
    maria_close(conn);
    return ok;
}

/* With a binlog the server lets nobody but a superuser make triggers otherwise. */
static bool look_at_triggers(struct scratch *s, struct missing *m, struct err *err)
{
    static const char *const super[] = {"SUPER"};
    char *trusted CLEANUP(free_ptr) = NULL;
    char *have CLEANUP(free_ptr) = NULL;
    if (!maria_query_text(s->maria_admin, "SELECT @@GLOBAL.log_bin_trust_function_creators", 0, &trusted,
                          err) ||
        !maria_rights(s->maria_admin, "", "", &have, err))
        return false;
    char *lacks CLEANUP(free_ptr) = maria_rights_missing(have, super, ARRAY_LEN(super));
    if (lacks != NULL && (trusted == NULL || strcmp(trusted, "1") != 0))
        is_missing(m, "SET GLOBAL log_bin_trust_function_creators = 1");
    return true;
}

/* Another schema would be the database of that name, which is the pipeline's own. */
static bool look_at_schemas(struct rehearsal *r, struct missing *m, struct err *err)
{
    char *table CLEANUP(free_ptr) = NULL;
    if (!sample_elsewhere(r, &table, err))
        return false;
    if (table != NULL)
        is_missing(m,
                   "table=%s is not of schema public, and on MariaDB would be in a database of its schema's "
                   "name beside the scratch one: rehearse on copies of both databases, or leave it out "
                   "(source.tables) in a configuration of its own",
                   table);
    return true;
}

bool mariadb_may_be_made(struct rehearsal *r, int side, struct err *err)
{
    struct scratch *s = &r->sides[side];
    struct missing m = {r, json_array()};
    bool ok = look_at_schemas(r, &m, err) && binlog_check(s->maria_admin, take_check, &m, err) &&
              look_at_ours(s, &m, err) && look_at_triggers(s, &m, err) && look_at_application(s, &m, err);
    ok = ok && (json_array_size(m.list) == 0 || refuse(&m, err));
    json_object_set_new(r->report, "missing", m.list);
    return ok;
}
