/* Owns: who is at work for the pipeline just now, and keeping them from starting while it is taken away. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup_internal.h"
#include "core/alloc.h"
#include "maria_rows.h"
#include "maria_state.h"
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
    " AND a.pid NOT IN (SELECT s.active_pid FROM pg_catalog.pg_replication_slots s WHERE s.temporary AND "
    "s.active_pid IS NOT NULL"
    " AND s.slot_name ~ '^crossfade_compare_')" /* slots.c */
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

struct holders {
    struct cleanup *cl;
    const struct cleanup_kind *kind;
};

/* Shard, connection that holds its lock. */
static bool add_maria_holder(void *ctx, char **cells, size_t count, struct err *err)
{
    const struct holders *h = ctx;
    (void)count;
    (void)err;
    if (cells[1] == NULL)
        return true;
    char *text CLEANUP(free_ptr) = xasprintf("connection %s, shard %s", cells[1], cells[0]);
    struct cleanup_item *item = item_add(h->cl, h->kind, "target", "crossfade apply");
    item_used_by(item, text);
    item_refuse(item, "apply runs: stop it (SIGTERM) and come again");
    return true;
}

static bool add_maria_refusal(void *ctx, char **cells, size_t count, struct err *err)
{
    const struct holders *h = ctx;
    (void)count;
    (void)err;
    if (cells[1] == NULL || strcmp(cells[1], "1") != 0)
        item_refuse(item_add(h->cl, h->kind, "target", "crossfade apply"),
                    "apply of shard %s runs: stop it and come again", cells[0]);
    return true;
}

bool running_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err)
{
    return find_sessions(cl, kind, cl->source, "source", err) &&
           find_sessions(cl, kind, cl->standby, "standby", err) &&
           find_sessions(cl, kind, cl->target, "target", err) && maria_locks(cl, kind, false, err) &&
           (cl->maria == NULL || maria_shards(cl, "NULLIF(IS_USED_LOCK(", "), CONNECTION_ID())",
                                              add_maria_holder, &(struct holders){cl, kind}, err));
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
        return maria_shards(cl, "GET_LOCK(", ", 0)", add_maria_refusal, &(struct holders){cl, kind}, err);
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
           maria_locks(cl, kind, true, err) && apply_locks(cl, kind, err);
}
