/* Owns: who is at work for the pipeline just now, and keeping them from starting while it is taken away. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup_internal.h"
#include "core/alloc.h"
#include "pg/control_tables.h"

/* Roles show themselves as "crossfade capture shop" and the like; of other roles' sessions the name is everybody's to read. */
static const char sessions_sql[] =
    "SELECT a.application_name, pg_catalog.string_agg('pid ' || a.pid || coalesce(' from ' || "
    "host(a.client_addr), ''), ', ' ORDER BY a.pid)"
    " FROM pg_catalog.pg_stat_activity a WHERE a.application_name = ANY (ARRAY['crossfade capture ' || "
    "$1, "
    "'crossfade apply ' || $1,"
    " 'crossfade load ' || $1, 'crossfade compare ' || $1, 'crossfade cutover ' || $1]) AND a.datname = "
    "pg_catalog.current_database()"
    " AND NOT (coalesce(a.backend_type, '') = 'walsender' AND a.application_name LIKE 'crossfade compare "
    "%')" /* slots.c */
    " GROUP BY 1 ORDER BY 1";

static bool find_sessions(struct cleanup *cl, const struct cleanup_kind *kind, struct pg_conn *conn,
                          const char *side, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (conn == NULL)
        return true;
    if (!pg_query(conn, sessions_sql, 1, &cl->pipeline, &res, err))
        return err_wrap(err, "sessions on the %s", side);
    for (int i = 0; i < pg_rows(res); i++) {
        struct cleanup_item *item = item_add(cl, kind, side, pg_cell(res, i, 0));
        item_used_by(item, pg_cell(res, i, 1));
        item_refuse(item, "it runs: stop it (SIGTERM) and come again");
    }
    return true;
}

/* As apply names its lock (lib/target/mariadb/lock.c), for the shards that have a position, and the usual one. */
#define MARIA_LOCKS                                                                                          \
    "SELECT s.shard, IS_USED_LOCK(CONCAT('crossfade apply ', SHA1(CONCAT_WS('\\n', DATABASE(), s.p, "        \
    "s.shard)))) AS holder FROM (SELECT "

static bool add_maria_holder(void *ctx, char **cells, size_t count, struct err *err)
{
    struct cleanup_item *item = ctx;
    (void)count;
    (void)err;
    if (cells[1] == NULL)
        return true;
    char *text CLEANUP(free_ptr) =
        xasprintf("connection %s, shard %s", cells[1], cells[0] != NULL ? cells[0] : "1/1");
    item_used_by(item, text);
    return true;
}

static bool maria_there(struct cleanup *cl, const char *table, bool *ret, struct err *err)
{
    char *count CLEANUP(free_ptr) = NULL;
    struct strbuf sql = STRBUF_INIT(2000);
    strbuf_adds(
        &sql,
        "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ");
    maria_quote_literal(&sql, table);
    bool ok = strbuf_ok(&sql, "statement", err) && maria_query_text(cl->maria, sql.data, 0, &count, err);
    strbuf_release(&sql);
    *ret = ok && count != NULL && strcmp(count, "0") != 0;
    return ok;
}

static bool find_maria(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err)
{
    bool there = false;
    struct strbuf sql = STRBUF_INIT(4000);
    if (!maria_there(cl, "crossfade_position", &there, err))
        return false;
    struct cleanup_item *item = item_add(cl, kind, "target", "crossfade apply");
    strbuf_adds(&sql, MARIA_LOCKS);
    maria_quote_literal(&sql, cl->pipeline);
    strbuf_adds(&sql, " AS p, '1/1' AS shard");
    if (there) {
        strbuf_adds(&sql, " UNION SELECT pipeline, shard FROM crossfade_position WHERE pipeline = ");
        maria_quote_literal(&sql, cl->pipeline);
    }
    strbuf_adds(&sql, ") s");
    bool ok =
        strbuf_ok(&sql, "statement", err) && maria_query(cl->maria, sql.data, add_maria_holder, item, err);
    strbuf_release(&sql);
    if (*item->used_by != '\0')
        item_refuse(item, "apply runs: stop it (SIGTERM) and come again");
    else
        item_leave(item, "does not run");
    return ok;
}

bool running_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err)
{
    return find_sessions(cl, kind, cl->source, "source", err) &&
           find_sessions(cl, kind, cl->standby, "standby", err) &&
           find_sessions(cl, kind, cl->target, "target", err) &&
           (cl->maria == NULL || find_maria(cl, kind, err));
}

/* One row for each lock that could not be had. The keys are those of compare/fence.c, cutover/cutover.c and lib/target/postgres/postgres.c. */
static bool lock_pg(struct cleanup *cl, const struct cleanup_kind *kind, struct pg_conn *conn,
                    const char *side, const char *sql, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (conn == NULL)
        return true;
    if (!pg_query(conn, sql, 1, &cl->pipeline, &res, err))
        return err_wrap(err, "locks on the %s", side);
    for (int i = 0; i < pg_rows(res); i++)
        item_refuse(item_add(cl, kind, side, pg_cell(res, i, 0)), "it runs: stop it and come again");
    return true;
}

static bool apply_locks(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err)
{
    bool there = false;
    if (cl->target == NULL)
        return true;
    return pg_control_tables_look(cl->target, "crossfade.position", &there, err) &&
           lock_pg(
               cl, kind, cl->target, "target",
               there ? "SELECT 'crossfade apply ' || $1 || ' ' || s FROM (SELECT '1/1' UNION SELECT shard "
                       "FROM crossfade.position WHERE pipeline = $1) t (s)"
                       " WHERE NOT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended('crossfade "
                       "apply ' || $1 || ' ' || s, 0))"
                     : "SELECT 'crossfade apply ' || $1 || ' 1/1' WHERE NOT pg_catalog.pg_try_advisory_lock("
                       "pg_catalog.hashtextextended('crossfade apply ' || $1 || ' 1/1', 0))",
               err);
}

bool running_lock(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err)
{
    return lock_pg(cl, kind, cl->source, "source",
                   "SELECT 'crossfade compare ' || $1 WHERE NOT "
                   "pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended("
                   "'crossfade.compare:' || $1, 0))",
                   err) &&
           lock_pg(cl, kind, cl->target, "target",
                   "SELECT 'crossfade cutover or cleanup ' || $1 WHERE NOT "
                   "pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended("
                   "'crossfade.cutover:' || $1, 0))",
                   err) &&
           apply_locks(cl, kind, err);
}
