/* The target as a server: what our role may do there, and whose position it holds. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "maria/conn.h"

#define SIDE "target"

static bool check_create(struct check *ck, struct err *err)
{
    static const char sql[] =
        "SELECT has_database_privilege(current_database(), 'CREATE'), to_regclass('crossfade.position') IS "
        "NOT NULL,"
        " (SELECT has_schema_privilege(oid, 'USAGE') AND has_schema_privilege(oid, 'CREATE')"
        "    FROM pg_namespace WHERE nspname = 'crossfade')";
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(ck->target, sql, 0, NULL, &res, err))
        return false;
    bool schema_there = !pg_is_null(res, 0, 2);
    if (schema_there && !pg_cell_bool(res, 0, 2))
        check_add(ck, SIDE, "create", CHECK_FAIL, "GRANT USAGE, CREATE ON SCHEMA crossfade TO our role",
                  "schema crossfade is there, but our role may not use it");
    else if (!schema_there && !pg_cell_bool(res, 0, 0))
        check_add(ck, SIDE, "create", CHECK_FAIL, "GRANT CREATE ON DATABASE … TO our role",
                  "our role may not create the schema crossfade");
    else
        check_add(ck, SIDE, "create", CHECK_OK, NULL, "schema crossfade %s",
                  schema_there ? "is there" : "can be made");
    ck->has_position = schema_there && pg_cell_bool(res, 0, 1) && pg_cell_bool(res, 0, 2);
    return true;
}

/* Tried, not asked: since PostgreSQL 15 the right can be granted, and managed servers have ways of their own.
 */
static bool check_triggers(struct check *ck, struct err *err)
{
    struct err why = ERR_INIT;
    if (!pg_exec(ck->target, "BEGIN", err))
        return false;
    bool allowed = pg_exec(ck->target, "SET LOCAL session_replication_role = replica", &why);
    if (!pg_exec(ck->target, "ROLLBACK", err))
        return false;
    if (allowed)
        check_add(ck, SIDE, "session_replication_role", CHECK_OK, NULL, "can be set: triggers do not fire");
    else
        check_add(
            ck, SIDE, "session_replication_role", CHECK_WARN,
            "GRANT SET ON PARAMETER session_replication_role TO our role (15 and later), else a superuser",
            "cannot be set: the target's triggers and foreign keys will fire for replicated rows");
    return true;
}

static bool check_same_database(struct check *ck, struct err *err)
{
    if (ck->source == NULL || ck->source_system_id == NULL)
        return true;
    char *id = NULL;
    if (!pg_query_text(ck->target, "SELECT system_identifier::text FROM pg_control_system()", 0, NULL, &id,
                       err))
        return false;
    if (id != NULL && strcmp(id, ck->source_system_id) == 0 &&
        strcmp(pg_database(ck->source), pg_database(ck->target)) == 0)
        check_add(ck, SIDE, "other database", CHECK_FAIL,
                  "source.url and target.url must name different databases",
                  "the target is the source itself");
    free(id);
    return true;
}

static bool check_position(struct check *ck, struct err *err)
{
    static const char sql[] = "SELECT fence_id, lsn, source_system_id::text, complete FROM crossfade.position"
                              " WHERE pipeline = $1 ORDER BY shard LIMIT 1";
    PG_RESULT_AUTO res = NULL;
    const char *params[] = {config_text(ck->cfg, "pipeline")};
    if (!ck->has_position)
        return true;
    if (!pg_query(ck->target, sql, 1, params, &res, err))
        return false;
    ck->has_position = pg_rows(res) > 0;
    if (!ck->has_position)
        return true;
    if (ck->source_system_id != NULL && strcmp(ck->source_system_id, pg_cell(res, 0, 2)) != 0)
        check_add(ck, SIDE, "position", CHECK_FAIL,
                  "the source was replaced or restored: name a new pipeline, or empty the target and "
                  "crossfade.position",
                  "this pipeline's rows here come from another source (system identifier %s, now %s)",
                  pg_cell(res, 0, 2), ck->source_system_id);
    else
        check_add(ck, SIDE, "position", CHECK_OK, NULL, "apply goes on at fence %s, %s%s", pg_cell(res, 0, 0),
                  pg_cell(res, 0, 1), pg_cell_bool(res, 0, 3) ? "" : " (first copy under way)");
    return true;
}

bool check_target(struct check *ck, struct err *err)
{
    if (maria_is_url(config_text(ck->cfg, "target.url")))
        return check_target_mariadb(ck, err);
    if (!check_server(ck, SIDE, "target.url", &ck->target, err))
        return false;
    if (ck->target == NULL)
        return true;
    return check_create(ck, err) && check_triggers(ck, err) && check_same_database(ck, err) &&
           check_position(ck, err);
}
