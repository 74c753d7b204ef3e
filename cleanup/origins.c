/* Owns: replication origins of apply on a PostgreSQL target (pg/origin.h): crossfade:<pipeline>:<OID of the database>:<part>. */
#include <string.h>

#include "cleanup_internal.h"

static const char origins_sql[] =
    "SELECT o.roname, pg_catalog.format('SELECT pg_catalog.pg_replication_origin_drop(%L)', o.roname),"
    " pg_catalog.has_function_privilege('pg_catalog.pg_replication_origin_drop(text)', 'EXECUTE'), "
    "current_user"
    " FROM pg_catalog.pg_replication_origin o WHERE pg_catalog.starts_with(o.roname, 'crossfade:' || $1 || "
    "':' ||"
    " (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()) || ':') "
    "ORDER BY 1";

bool origins_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (cl->target == NULL)
        return true;
    if (!pg_query(cl->target, origins_sql, 1, &cl->pipeline, &res, err))
        return err_wrap(err, "replication origins on the target");
    for (int i = 0; i < pg_rows(res); i++) {
        struct cleanup_item *item = item_add(cl, kind, "target", pg_cell(res, i, 0));
        item_action(item, "%s", pg_cell(res, i, 1));
        if (!pg_cell_bool(res, i, 2))
            item_leave(item,
                       "role %s may not drop it: GRANT EXECUTE ON FUNCTION pg_replication_origin_drop(text) "
                       "TO %s and come again",
                       pg_cell(res, i, 3), pg_cell(res, i, 3));
    }
    return true;
}
