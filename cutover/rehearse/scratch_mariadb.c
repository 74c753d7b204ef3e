/*
 * Owns: scratch databases on MariaDB. One is made with its neighbour's character set, and a comment by which it is known beside its name. A named
 * lock (GET_LOCK), taken before it is made, says that its rehearsal lives; the session to the pipeline's own database has it.
 *
 * Two users: that of target.url, as which all of Crossfade's own come, and one that comes as an application would, for the triggers of a
 * rollback let the former pass.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "maria/url.h"
#include "rehearsal.h"

#define COMMENT_BEGIN  "scratch copy of a rehearsal of crossfade pipeline "
#define EXISTS_ALREADY "(error 1007)"
#define NO_SUCH_THREAD "(error 1094)"

static bool connect_admin(struct scratch *s, struct err *err)
{
    maria_close(s->maria_admin);
    s->maria_admin = NULL;
    return (s->scratch_url != NULL || maria_url_with(s->url, "", s->name, &s->scratch_url, err)) &&
           (s->app_url != NULL || maria_url_with(s->url, MARIADB_APP_SUFFIX, s->name, &s->app_url, err)) &&
           maria_open_as(s->url, MARIADB_PROGRAM, &s->maria_admin, err) &&
           maria_exec(s->maria_admin, "SET SESSION wait_timeout = 604800, lock_wait_timeout = 1", err);
}

bool mariadb_run(struct maria_conn *conn, struct strbuf *sql, struct err *err)
{
    bool ok = strbuf_ok(sql, "statement", err) && maria_exec(conn, sql->data, err);
    strbuf_release(sql);
    return ok;
}

bool mariadb_add_texts(void *ctx, char **cells, size_t count, struct err *err)
{
    struct mariadb_texts *t = ctx;
    (void)err;
    t->list = xrealloc(t->list, (t->count + count) * sizeof *t->list);
    for (size_t i = 0; i < count; i++)
        t->list[t->count++] = xstrdup(cells[i] != NULL ? cells[i] : "");
    return true;
}

void mariadb_free_texts(struct mariadb_texts *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->list[i]);
    free(t->list);
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
    if (mariadb_run(s->maria_admin, &sql, err))
        return true;
    s->made = strstr(err->text, EXISTS_ALREADY) == NULL;
    return false;
}

/* An id that is 0 is written as it is, as apply writes it; parents of rows may not be in the sample. */
static bool make(struct scratch *s, const char *pipeline, struct err *err)
{
    return lock(s, err) && create(s, pipeline, err) &&
           maria_open_as(s->app_url, MARIADB_PROGRAM, &s->maria_inside, err) &&
           maria_exec(s->maria_inside,
                      "SET SESSION wait_timeout = 604800, foreign_key_checks = 0, "
                      "sql_mode = CONCAT(@@sql_mode, ',NO_AUTO_VALUE_ON_ZERO')",
                      err);
}

/* --- away --- */

/* Those of our two users; whoever else looks into it stands in the way until he goes. */
static bool end_sessions(struct scratch *s, const char *name, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(4000);
    struct mariadb_texts ids = {0};
    strbuf_adds(&sql, "SELECT ID FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND USER IN "
                      "(SUBSTRING_INDEX(USER(), '@', 1), CONCAT(SUBSTRING_INDEX(USER(), '@', 1), "
                      "'" MARIADB_APP_SUFFIX "')) AND DB = ");
    maria_quote_literal(&sql, name);
    bool ok = strbuf_ok(&sql, "statement", err) &&
              maria_query(s->maria_admin, sql.data, mariadb_add_texts, &ids, err);
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
    mariadb_free_texts(&ids);
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
    *ret_gone = mariadb_run(s->maria_admin, &sql, err);
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
                                               .may_be_made = mariadb_may_be_made,
                                               .make = make,
                                               .complete = mariadb_complete,
                                               .drop = drop,
                                               .leftovers = leftovers,
                                               .leave = leave,
                                               .close = close_admin};
