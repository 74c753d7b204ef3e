/* Owns: replication slots on the source, and on the standby that is read in its place. */
#include <stdio.h>
#include <string.h>

#include "cleanup_internal.h"

/* What a slot keeps from being removed; on a standby, as far as it has replayed. */
#define RETAINED                                                                                             \
    "pg_catalog.pg_wal_lsn_diff(CASE WHEN pg_catalog.pg_is_in_recovery() THEN "                              \
    "pg_catalog.pg_last_wal_replay_lsn() ELSE "                                                              \
    "pg_catalog.pg_current_wal_lsn() END, s.restart_lsn)::bigint"

static const char own_sql[] =
    "SELECT s.slot_name, coalesce(s.database, ''), coalesce(s.plugin, ''), coalesce(" RETAINED ", -1),"
    " CASE WHEN s.active THEN 'pid ' || s.active_pid || coalesce(', application ' || a.application_name, '') "
    "|| coalesce(' from ' || host(a.client_addr), '') END,"
    " s.database = pg_catalog.current_database() AND s.plugin = 'pgoutput' AND NOT s.temporary"
    " FROM pg_catalog.pg_replication_slots s LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = s.active_pid "
    "WHERE s.slot_name = $1";

static bool find_on(struct cleanup *cl, const struct cleanup_kind *kind, struct pg_conn *conn,
                    const char *side, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    const char *own = cl->own;
    if (conn == NULL)
        return true;
    if (!pg_query(conn, own_sql, 1, &own, &res, err))
        return err_wrap(err, "slots on the %s", side);
    for (int i = 0; i < pg_rows(res); i++) {
        struct cleanup_item *item = item_add(cl, kind, side, pg_cell(res, i, 0));
        item->bytes = pg_cell_int64(res, i, 3);
        item_action(item, "SELECT pg_catalog.pg_drop_replication_slot('%s')", cl->own); /* [a-z0-9_] */
        item_used_by(item, pg_cell(res, i, 4));
        if (!pg_cell_bool(res, i, 5))
            item_leave(item, "it is not as capture makes it here: database %s, plugin %s", pg_cell(res, i, 1),
                       pg_cell(res, i, 2));
        else if (!pg_is_null(res, i, 4))
            item_refuse(item, "it is active: stop who reads it (%s)", pg_cell(res, i, 4));
    }
    return true;
}

bool slots_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err)
{
    return find_on(cl, kind, cl->source, "source", err) && find_on(cl, kind, cl->standby, "standby", err);
}

/* They go with their session, which the server keeps when its client's host has died without a word. One whose comparator has no
 * other session is such a one. (That of a direct load has capture's.) */
static const char temporary_sql[] =
    "SELECT s.slot_name, s.active_pid, coalesce(" RETAINED
    ", -1), EXISTS (SELECT FROM pg_catalog.pg_stat_activity o WHERE o.application_name ="
    " a.application_name AND o.pid <> a.pid AND coalesce(o.backend_type, 'client backend') = 'client "
    "backend' AND o.datname = a.datname)"
    " FROM pg_catalog.pg_replication_slots s JOIN pg_catalog.pg_stat_activity a ON a.pid = s.active_pid"
    " WHERE s.temporary AND s.database = pg_catalog.current_database() AND (s.slot_name ~ "
    "'^crossfade_compare_[0-9a-f]+$' AND a.application_name ="
    " 'crossfade compare ' || $1)";

bool temporary_slots_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (cl->source == NULL)
        return true;
    if (!pg_query(cl->source, temporary_sql, 1, &cl->pipeline, &res, err))
        return err_wrap(err, "temporary slots on the source");
    for (int i = 0; i < pg_rows(res); i++) {
        struct cleanup_item *item = item_add(cl, kind, "source", pg_cell(res, i, 0));
        item->bytes = pg_cell_int64(res, i, 2);
        char used[40];
        (void)snprintf(used, sizeof used, "pid %s", pg_cell(res, i, 1));
        item_used_by(item, used);
        item_action(item, "SELECT pg_catalog.pg_terminate_backend(%s)", pg_cell(res, i, 1));
        if (pg_cell_bool(res, i, 3))
            item_refuse(item, "a comparison runs: wait for it, or stop it");
    }
    return true;
}
