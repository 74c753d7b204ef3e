/*
 * Owns: scratch databases on MariaDB. One is made with its neighbour's character set, and a comment by which it is known beside its name. A named
 * lock (GET_LOCK), taken before it is made, says that its rehearsal lives; the session to the pipeline's own database has it.
 *
 * Two users: that of target.url, as which all of Crossfade's own come, and one that comes as an application would, for the triggers of a
 * rollback let the former pass.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "maria/binlog/checks.h"
#include "maria/names.h"
#include "maria/rights.h"
#include "maria/url.h"
#include "rehearsal.h"

#define PROGRAM        "crossfade rehearsal"
#define APP_SUFFIX     "_app"
#define NOWHERE        "information_schema" /* a database that every user may name */
#define COMMENT_BEGIN  "scratch copy of a rehearsal of crossfade pipeline "
#define EXISTS_ALREADY "(error 1007)"
#define NO_SUCH_THREAD "(error 1094)"

static bool connect_admin(struct scratch *s, struct err *err)
{
    maria_close(s->maria_admin);
    s->maria_admin = NULL;
    return (s->scratch_url != NULL || maria_url_with(s->url, "", s->name, &s->scratch_url, err)) &&
           (s->app_url != NULL || maria_url_with(s->url, APP_SUFFIX, s->name, &s->app_url, err)) &&
           maria_open_as(s->url, PROGRAM, &s->maria_admin, err) &&
           maria_exec(s->maria_admin, "SET SESSION wait_timeout = 604800, lock_wait_timeout = 1", err);
}

static bool run_text(struct maria_conn *conn, struct strbuf *sql, struct err *err)
{
    bool ok = strbuf_ok(sql, "statement", err) && maria_exec(conn, sql->data, err);
    strbuf_release(sql);
    return ok;
}

/* --- may it be made --- */

struct missing {
    struct strbuf text;
};

static void is_missing(struct missing *m, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void is_missing(struct missing *m, const char *fmt, ...)
{
    va_list ap;
    if (m->text.len > 0)
        strbuf_adds(&m->text, "; ");
    va_start(ap, fmt);
    strbuf_vaddf(&m->text, fmt, ap);
    va_end(ap);
}

static void take_check(void *ctx, enum binlog_verdict verdict, const char *name, const char *text)
{
    (void)name;
    if (verdict == BINLOG_CHECK_FAIL)
        is_missing(ctx, "%.300s", text);
}

/* Rights of the session's user that are not there, with the statement that gives them. A role's are not listed: what that lacks shows when
 * it is tried. */
static bool look_at_rights(struct maria_conn *conn, const char *database, const char *on,
                           const char *const *wanted, size_t count, struct missing *m, struct err *err)
{
    char *have CLEANUP(free_ptr) = NULL;
    char *user CLEANUP(free_ptr) = NULL;
    char *role CLEANUP(free_ptr) = NULL;
    if (!maria_rights(conn, database, "", &have, err) || !maria_rights_user(conn, &user, err) ||
        !maria_query_text(conn, "SELECT CURRENT_ROLE()", 0, &role, err))
        return false;
    char *lacks CLEANUP(free_ptr) = maria_rights_missing(have, wanted, count);
    if (lacks != NULL && role == NULL)
        is_missing(m, "GRANT %s ON %s TO %s", lacks, on, user);
    return true;
}

#define OWN_DATABASES "`crossfade\\_rehearsal\\_%`.*"

static bool look_at_ours(struct scratch *s, struct missing *m, struct err *err)
{
    static const char *const everywhere[] = {"PROCESS", "CONNECTION ADMIN"};
    static const char *const inside[] = {
        "SELECT", "INSERT", "UPDATE", "DELETE",     "CREATE",
        "DROP",   "ALTER",  "INDEX",  "REFERENCES", "CREATE TEMPORARY TABLES",
        "TRIGGER"};
    return look_at_rights(s->maria_admin, "", "*.*", everywhere, ARRAY_LEN(everywhere), m, err) &&
           look_at_rights(s->maria_admin, s->name, OWN_DATABASES, inside, ARRAY_LEN(inside), m, err);
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
    static const char *const inside[] = {"SELECT", "INSERT", "UPDATE", "DELETE", "CREATE TEMPORARY TABLES"};
    char *nowhere CLEANUP(free_ptr) = NULL;
    struct maria_conn *conn = NULL;
    struct err why = ERR_INIT;
    if (!maria_url_with(s->url, APP_SUFFIX, NOWHERE, &nowhere, err))
        return false;
    if (!maria_open_as(nowhere, PROGRAM, &conn, &why)) {
        if (why.code == ERR_AUTH)
            no_application(s, why.text, m);
        else
            *err = why;
        return why.code == ERR_AUTH;
    }
    bool ok = look_at_rights(conn, s->name, OWN_DATABASES, inside, ARRAY_LEN(inside), m, err);
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

static bool may_be_made(struct rehearsal *r, int side, struct err *err)
{
    struct scratch *s = &r->sides[side];
    struct missing m = {STRBUF_INIT(8000)};
    bool ok = look_at_schemas(r, &m, err) && binlog_check(s->maria_admin, take_check, &m, err) &&
              look_at_ours(s, &m, err) && look_at_triggers(s, &m, err) && look_at_application(s, &m, err);
    if (ok && m.text.len > 0)
        ok = err_set(err, ERR_REFUSED, "%s. Hint: docs/PRIVILEGES.md, \"rollback rehearse\"", m.text.data);
    strbuf_release(&m.text);
    return ok;
}

/* --- making --- */

/* Said of it as long as the session lives. */
static bool lock(struct scratch *s, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(1000);
    char *got CLEANUP(free_ptr) = NULL;
    strbuf_adds(&sql, "SELECT GET_LOCK(");
    maria_quote_literal(&sql, s->name);
    strbuf_adds(&sql, ", 0)");
    bool ok = strbuf_ok(&sql, "statement", err) && maria_query_text(s->maria_admin, sql.data, 0, &got, err);
    strbuf_release(&sql);
    return ok && ((got != NULL && strcmp(got, "1") == 0) ||
                  err_set(err, ERR_BUSY, "another session holds the lock %s", s->name));
}

static bool create(struct scratch *s, const char *pipeline, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(2000);
    char *set CLEANUP(free_ptr) = NULL;
    char *collation CLEANUP(free_ptr) = NULL;
    if (!maria_query_text(s->maria_admin, "SELECT @@character_set_database", 0, &set, err) ||
        !maria_query_text(s->maria_admin, "SELECT @@collation_database", 0, &collation, err))
        return false;
    strbuf_adds(&sql, "CREATE DATABASE ");
    maria_quote_ident(&sql, s->name);
    strbuf_addf(&sql,
                " CHARACTER SET %s COLLATE %s COMMENT '" COMMENT_BEGIN "%s; goes away with the next one'",
                set, collation, pipeline);
    s->made = true; /* also if its answer is lost */
    if (run_text(s->maria_admin, &sql, err))
        return true;
    s->made = strstr(err->text, EXISTS_ALREADY) == NULL;
    return false;
}

/* An id that is 0 is written as it is, as apply writes it; parents of rows may not be in the sample. */
static bool make(struct scratch *s, const char *pipeline, struct err *err)
{
    return lock(s, err) && create(s, pipeline, err) &&
           maria_open_as(s->app_url, PROGRAM, &s->maria_inside, err) &&
           maria_exec(s->maria_inside,
                      "SET SESSION wait_timeout = 604800, foreign_key_checks = 0, "
                      "sql_mode = CONCAT(@@sql_mode, ',NO_AUTO_VALUE_ON_ZERO')",
                      err);
}

/* --- what `schema create` leaves to people --- */

struct texts {
    char **list;
    size_t count;
};

static bool add_texts(void *ctx, char **cells, size_t count, struct err *err)
{
    struct texts *t = ctx;
    (void)err;
    t->list = xrealloc(t->list, (t->count + count) * sizeof *t->list);
    for (size_t i = 0; i < count; i++)
        t->list[t->count++] = xstrdup(cells[i] != NULL ? cells[i] : "");
    return true;
}

static void free_texts(struct texts *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->list[i]);
    free(t->list);
}

/* "CREATE SEQUENCE `ticket` start with …": there instead of here. */
static bool copy_sequence(struct scratch *s, const char *name, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(8000), begin = STRBUF_INIT(1000);
    char *text CLEANUP(free_ptr) = NULL;
    strbuf_adds(&sql, "SHOW CREATE SEQUENCE ");
    maria_quote_name(&sql, maria_database(s->maria_admin), name);
    strbuf_adds(&begin, "CREATE SEQUENCE ");
    maria_quote_ident(&begin, name);
    bool ok = strbuf_ok(&sql, "statement", err) && maria_query_text(s->maria_admin, sql.data, 1, &text, err);
    if (ok && (text == NULL || strncmp(text, begin.data, begin.len) != 0))
        ok = err_set(err, ERR_PROTOCOL, "an unexpected answer to SHOW CREATE SEQUENCE");
    strbuf_clear(&sql);
    if (ok) {
        strbuf_adds(&sql, "CREATE SEQUENCE IF NOT EXISTS ");
        maria_quote_name(&sql, s->name, name);
        strbuf_adds(&sql, text + begin.len);
        ok = run_text(s->maria_admin, &sql, err);
    }
    strbuf_release(&sql);
    strbuf_release(&begin);
    return ok || err_wrap(err, "sequence %s", name);
}

static bool copy_sequences(struct scratch *s, struct err *err)
{
    struct texts names = {0};
    bool ok = maria_query(s->maria_admin,
                          "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() "
                          "AND TABLE_TYPE = 'SEQUENCE' ORDER BY BINARY TABLE_NAME",
                          add_texts, &names, err);
    for (size_t i = 0; ok && i < names.count; i++)
        ok = copy_sequence(s, names.list[i], err);
    free_texts(&names);
    return ok;
}

/* The constraint's definition as the pipeline's own table has it; malloc'd, NULL = it has none of that name. */
static bool own_definition(struct scratch *s, const char *table, const char *name, char **ret,
                           struct err *err)
{
    struct strbuf sql = STRBUF_INIT(1000), begin = STRBUF_INIT(1000);
    char *text CLEANUP(free_ptr) = NULL;
    *ret = NULL;
    strbuf_adds(&sql, "SHOW CREATE TABLE ");
    maria_quote_name(&sql, maria_database(s->maria_admin), table);
    strbuf_adds(&begin, "\n  CONSTRAINT ");
    maria_quote_ident(&begin, name);
    strbuf_adds(&begin, " FOREIGN KEY ");
    bool ok = strbuf_ok(&sql, "statement", err) && maria_query_text(s->maria_admin, sql.data, 1, &text, err);
    const char *line = ok && text != NULL ? strstr(text, begin.data) : NULL;
    if (line != NULL) {
        size_t len = strcspn(++line, "\n");
        *ret = xstrndup(line, len - (len > 0 && line[len - 1] == ','));
    }
    strbuf_release(&sql);
    strbuf_release(&begin);
    return ok;
}

static bool remake_foreign_key(struct scratch *s, const char *table, const char *name, struct err *err)
{
    struct strbuf drop = STRBUF_INIT(2000), add = STRBUF_INIT(8000);
    char *definition CLEANUP(free_ptr) = NULL;
    if (!own_definition(s, table, name, &definition, err))
        return false;
    if (definition == NULL)
        return true;
    strbuf_adds(&drop, "ALTER TABLE ");
    maria_quote_name(&drop, s->name, table);
    strbuf_addf(&add, "%s ADD%s", drop.data, definition + 1);
    strbuf_adds(&drop, " DROP FOREIGN KEY ");
    maria_quote_ident(&drop, name);
    bool ok = run_text(s->maria_admin, &drop, err) && run_text(s->maria_admin, &add, err);
    strbuf_release(&add);
    return ok;
}

/* One that cascades on PostgreSQL is made so here, and a way back refuses it until somebody has made it another one. */
static bool remake_foreign_keys(struct scratch *s, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(2000);
    struct texts keys = {0};
    strbuf_adds(&sql, "SELECT TABLE_NAME, CONSTRAINT_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS "
                      "WHERE (DELETE_RULE NOT IN ('RESTRICT', 'NO ACTION') OR UPDATE_RULE NOT IN "
                      "('RESTRICT', 'NO ACTION')) AND CONSTRAINT_SCHEMA = ");
    maria_quote_literal(&sql, s->name);
    bool ok =
        strbuf_ok(&sql, "statement", err) && maria_query(s->maria_admin, sql.data, add_texts, &keys, err);
    strbuf_release(&sql);
    for (size_t i = 0; ok && i + 1 < keys.count; i += 2)
        ok = remake_foreign_key(s, keys.list[i], keys.list[i + 1], err) ||
             err_wrap(err, "foreign key %s", keys.list[i + 1]);
    free_texts(&keys);
    return ok;
}

static bool complete(struct scratch *s, struct err *err)
{
    return copy_sequences(s, err) && remake_foreign_keys(s, err);
}

/* --- away --- */

/* Those of our two users; whoever else looks into it stands in the way, and is named by the server. */
static bool end_sessions(struct scratch *s, const char *name, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(4000);
    struct texts ids = {0};
    strbuf_adds(&sql, "SELECT ID FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND USER IN "
                      "(SUBSTRING_INDEX(USER(), '@', 1), CONCAT(SUBSTRING_INDEX(USER(), '@', 1), "
                      "'" APP_SUFFIX "')) AND DB = ");
    maria_quote_literal(&sql, name);
    bool ok =
        strbuf_ok(&sql, "statement", err) && maria_query(s->maria_admin, sql.data, add_texts, &ids, err);
    strbuf_release(&sql);
    for (size_t i = 0; ok && i < ids.count; i++) {
        char text[48];
        struct err now = ERR_INIT;
        (void)snprintf(text, sizeof text, "KILL CONNECTION %.20s", ids.list[i]);
        if (!maria_exec(s->maria_admin, text, &now) && strstr(now.text, NO_SUCH_THREAD) == NULL) {
            *err = now;
            ok = false;
        }
    }
    free_texts(&ids);
    return ok;
}

static bool drop(struct scratch *s, const char *name, bool keep, bool *ret_gone, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(1000);
    *ret_gone = (s->maria_admin != NULL || connect_admin(s, err)) && end_sessions(s, name, err);
    if (!*ret_gone || keep)
        return *ret_gone;
    strbuf_adds(&sql, "DROP DATABASE IF EXISTS ");
    maria_quote_ident(&sql, name);
    *ret_gone = run_text(s->maria_admin, &sql, err);
    return *ret_gone;
}

static bool add_name(void *ctx, char **cells, size_t count, struct err *err)
{
    (void)err;
    if (count > 0 && cells[0] != NULL)
        json_array_append_new(ctx, json_string(cells[0]));
    return true;
}

static bool leftovers(struct scratch *s, const char *begin, json_t *names, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(4000);
    strbuf_adds(
        &sql, "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_COMMENT LIKE '" COMMENT_BEGIN
              "%' AND IS_USED_LOCK(SCHEMA_NAME) IS NULL AND LEFT(SCHEMA_NAME, ");
    strbuf_addf(&sql, "%zu) = ", strlen(begin));
    maria_quote_literal(&sql, begin);
    strbuf_adds(&sql, " ORDER BY 1");
    bool ok =
        strbuf_ok(&sql, "statement", err) && maria_query(s->maria_admin, sql.data, add_name, names, err);
    strbuf_release(&sql);
    return ok;
}

static void leave(struct scratch *s)
{
    maria_close(s->maria_inside);
    s->maria_inside = NULL;
}

static void close_admin(struct scratch *s)
{
    maria_close(s->maria_admin);
    s->maria_admin = NULL;
}

const struct scratch_server scratch_mariadb = {.connect = connect_admin,
                                               .may_be_made = may_be_made,
                                               .make = make,
                                               .complete = complete,
                                               .drop = drop,
                                               .leftovers = leftovers,
                                               .leave = leave,
                                               .close = close_admin};
