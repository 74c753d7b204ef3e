/* Owns the connections of a cleanup, and what holds for all kinds: whether the pipeline was cut over, and who else uses the source's database. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup_internal.h"
#include "core/alloc.h"
#include "maria/url.h"
#include "maria_source.h"
#include "maria_state.h"
#include "pg/control_tables.h"
#include "pg/url.h"

/* Nobody waits behind us for longer than this; TRIES (items.c) times. */
#define LOCK_TIMEOUT "2s"

static const char session_sql[] = "SET lock_timeout = '" LOCK_TIMEOUT
                                  "'; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0;"
                                  " SET default_transaction_read_only = off; SET search_path = ''";

static char *place_of(const char *url, const char *database)
{
    struct err ignored = ERR_INIT;
    char *host CLEANUP(free_ptr) = NULL;
    char *port CLEANUP(free_ptr) = NULL;
    if (!pg_url_value(url, "host", &host, &ignored) || !pg_url_value(url, "port", &port, &ignored))
        return xstrdup("");
    return xasprintf("database %s on %s:%s", database, host != NULL ? host : "this machine",
                     port != NULL ? port : "5432");
}

static bool open_pg(struct cleanup *cl, const char *key, struct pg_conn **ret, char **ret_place,
                    struct err *err)
{
    char name[80];
    (void)snprintf(name, sizeof name, "crossfade cleanup %s", cl->pipeline);
    const struct pg_options options = {.application_name = name};
    const char *url = config_text(cl->cfg, key);
    if (!pg_open(url, &options, ret, err) || !pg_exec(*ret, session_sql, err))
        return err_wrap(err, "%s", key);
    *ret_place = place_of(url, pg_database(*ret));
    return true;
}

static bool open_maria(struct cleanup *cl, const char *key, struct maria_conn **ret, char **ret_place,
                       struct err *err)
{
    if (!maria_open_as(config_text(cl->cfg, key), "crossfade cleanup", ret, err))
        return err_wrap(err, "%s", key);
    *ret_place = xasprintf("database %s (MariaDB)", maria_database(*ret));
    if (!maria_exec(*ret, "SET SESSION lock_wait_timeout = 2", err)) /* as LOCK_TIMEOUT */
        return err_wrap(err, "%s", key);
    return true;
}

/* Parts for a UNION: pipelines that the tables on the source know of. */
static bool others_sql(struct cleanup *cl, struct strbuf *sql, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(cl->source,
                  "SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = "
                  "c.relnamespace"
                  " WHERE n.nspname = 'crossfade' AND c.relname IN ('marker', 'decision', 'audit_anchor') "
                  "AND c.relkind = 'r'",
                  0, NULL, &res, err))
        return false;
    for (int i = 0; i < pg_rows(res); i++) {
        strbuf_adds(sql, " UNION SELECT pipeline FROM ");
        pg_quote_table(sql, "crossfade", pg_cell(res, i, 0));
        strbuf_adds(sql, " WHERE pipeline <> $1");
    }
    return true;
}

/* Slots and publications of ours have such a name, and the publications hold the markers. */
bool cleanup_source_others(struct cleanup *cl, char **ret, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql,
                "SELECT coalesce(string_agg(DISTINCT p, ', ' ORDER BY p), '') FROM ("
                "SELECT substr(slot_name, 11)::text FROM pg_catalog.pg_replication_slots WHERE database = "
                "current_database()"
                " AND NOT temporary AND slot_name ~ '^crossfade_[a-z]' AND slot_name <> 'crossfade_' || $1"
                " UNION SELECT substr(pubname, 11)::text FROM pg_catalog.pg_publication_tables WHERE "
                "schemaname = 'crossfade' AND"
                " tablename = 'marker' AND pubname ~ '^crossfade_[a-z]' AND pubname <> 'crossfade_' || $1");
    bool ok = others_sql(cl, &sql, err);
    strbuf_adds(&sql, ") o (p)");
    ok = ok && strbuf_ok(&sql, "statement", err) &&
         pg_query_text(cl->source, sql.data, 1, &cl->pipeline, ret, err);
    strbuf_release(&sql);
    return ok || err_wrap(err, "other pipelines of the source");
}

static bool query_where_there(struct pg_conn *conn, const char *table, const char *sql, const char *param,
                              bool *ret, struct err *err)
{
    bool there = false;
    *ret = false;
    return pg_control_tables_look(conn, table, &there, err) &&
           (!there || pg_query_bool(conn, sql, 1, &param, ret, err));
}

static bool look_at_cutover(struct cleanup *cl, struct err *err)
{
    bool by_source = false, by_target = false;
    if (cl->source != NULL &&
        !query_where_there(cl->source, "crossfade.decision",
                           "SELECT true FROM crossfade.decision WHERE pipeline = $1 AND state = 'switched'",
                           cl->pipeline, &by_source, err))
        return false;
    if (cl->target != NULL &&
        !query_where_there(
            cl->target, "crossfade.cutover",
            "SELECT true FROM crossfade.cutover WHERE pipeline = $1 AND state = 'done' LIMIT 1", cl->pipeline,
            &by_target, err))
        return false;
    if (cl->maria_source != NULL && !maria_source_switched(cl, &by_source, err))
        return false;
    if (cl->maria != NULL && !maria_switched(cl, &by_target, err))
        return false;
    cl->switched = by_source || by_target;
    cl->triggers_stay = by_source && !cl->request->open_source;
    return true;
}

static bool open_source(struct cleanup *cl, struct err *err)
{
    if (cl->request->without_source)
        return true;
    if (!config_is_set(cl->cfg, "source.url"))
        return err_set(err, ERR_CONFIG, "source.url is not set; --without-source leaves the source alone");
    if (maria_is_url(config_text(cl->cfg, "source.url"))) {
        cl->source_others = xstrdup("");
        return open_maria(cl, "source.url", &cl->maria_source, &cl->source_place, err) ||
               err_wrap(err, "the source cannot be asked (--without-source leaves it alone)");
    }
    if (!open_pg(cl, "source.url", &cl->source, &cl->source_place, err))
        return err_wrap(err, "the source cannot be asked (--without-source leaves it alone)");
    if (config_is_set(cl->cfg, "source.standby_url") &&
        !open_pg(cl, "source.standby_url", &cl->standby, &cl->standby_place, err))
        return false;
    return cleanup_source_others(cl, &cl->source_others, err);
}

bool cleanup_open(struct cleanup *cl, struct err *err)
{
    const char *target = config_text(cl->cfg, "target.url");
    (void)snprintf(cl->own, sizeof cl->own, "crossfade_%s", cl->pipeline);
    if (!open_source(cl, err))
        return false;
    bool ok = maria_is_url(target) ? open_maria(cl, "target.url", &cl->maria, &cl->target_place, err)
                                   : open_pg(cl, "target.url", &cl->target, &cl->target_place, err);
    return ok && look_at_cutover(cl, err) &&
           (!cl->request->execute || audit_open(target, cl->pipeline, &cl->audit, err));
}

void cleanup_close(struct cleanup *cl)
{
    audit_close(cl->audit);
    pg_close(cl->source);
    pg_close(cl->standby);
    pg_close(cl->target);
    maria_close(cl->maria);
    maria_close(cl->maria_source);
    free(cl->source_place);
    free(cl->standby_place);
    free(cl->target_place);
    free(cl->source_others);
}
