/* The target as a server: what our role may do there, and whose position it holds. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "core/alloc.h"
#include "maria/url.h"
#include "pg/origin.h"
#include "target/dead_letter.h"
#include "target/layout.h"
#include "target/shard.h"

#define SIDE "target"

static bool check_create(struct check *ck, struct err *err)
{
    static const char sql[] =
        "SELECT has_database_privilege(current_database(), 'CREATE'),"
        " (SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = 'crossfade') AND"
        " to_regclass('crossfade.position') IS NOT NULL,"
        " (SELECT has_schema_privilege(oid, 'USAGE') AND has_schema_privilege(oid, 'CREATE')"
        "    FROM pg_namespace WHERE nspname = 'crossfade'),"
        " has_database_privilege(current_database(), 'TEMPORARY')";
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(ck->target, sql, 0, NULL, &res, err))
        return false;
    bool schema_there = !pg_is_null(res, 0, 2);
    if (schema_there && !pg_cell_bool(res, 0, 2))
        check_add_hint(ck, SIDE, "create", CHECK_FAIL,
                       xasprintf("GRANT USAGE, CREATE ON SCHEMA crossfade TO \"%s\"", pg_user(ck->target)),
                       "schema crossfade is there, but our role may not use it");
    else if (!schema_there && !pg_cell_bool(res, 0, 0))
        check_add_hint(ck, SIDE, "create", CHECK_FAIL,
                       xasprintf("GRANT CREATE ON DATABASE \"%s\" TO \"%s\"; or CREATE SCHEMA crossfade "
                                 "AUTHORIZATION \"%s\"",
                                 pg_database(ck->target), pg_user(ck->target), pg_user(ck->target)),
                       "our role may not create the schema crossfade");
    else
        check_add(ck, SIDE, "create", CHECK_OK, NULL, "schema crossfade %s",
                  schema_there ? "is there" : "can be made");
    if (!pg_cell_bool(res, 0, 3))
        check_add_hint(ck, SIDE, "temporary", CHECK_FAIL,
                       xasprintf("GRANT TEMPORARY ON DATABASE \"%s\" TO \"%s\"", pg_database(ck->target),
                                 pg_user(ck->target)),
                       "our role may not make staging tables");
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
        check_add_hint(
            ck, SIDE, "session_replication_role", CHECK_WARN,
            xasprintf("GRANT SET ON PARAMETER session_replication_role TO \"%s\" (15 and later), else a "
                      "superuser",
                      pg_user(ck->target)),
            "cannot be set: the target's triggers and foreign keys will fire for replicated rows");
    return true;
}

/* Each origin that is there may take one of so many places; those of this pipeline are ours already. */
static bool has_origin_room(struct check *ck, bool *ret, struct err *err)
{
    const char *setting =
        pg_server_version(ck->target) >= 180000 ? "max_active_replication_origins" : "max_replication_slots";
    const char *params[] = {PG_ORIGIN_PREFIX, config_text(ck->cfg, "pipeline"), setting};
    int64_t room = 0, wanted = config_int(ck->cfg, "apply.writers") *
                               (int64_t)target_shards_in(config_text(ck->cfg, "apply.shard"));
    if (!pg_query_int64(
            ck->target,
            "SELECT current_setting($3)::bigint - (SELECT count(*) FROM pg_replication_origin WHERE "
            "NOT starts_with(roname, $1::text || $2::text || ':' || (SELECT oid FROM pg_database "
            "WHERE datname = current_database()) || ':'))",
            3, params, &room, err))
        return false;
    *ret = room >= wanted;
    return true;
}

/* Apply goes on without; but nobody can tell its changes then, and a capture on the target takes them for others'. */
static bool check_origin(struct check *ck, struct err *err)
{
    char *lacks CLEANUP(free_ptr) = NULL;
    bool room = true;
    if (!pg_origin_lacks(ck->target, &lacks, err) || !has_origin_room(ck, &room, err))
        return false;
    if (lacks[0] == '\0' && !room)
        check_add(ck, SIDE, "replication origin", CHECK_WARN,
                  pg_server_version(ck->target) >= 180000
                      ? "raise max_active_replication_origins (a restart), or drop origins that nobody needs"
                      : "raise max_replication_slots (a restart), or drop origins that nobody needs",
                  "the server may have no room for as many as apply.writers in apply.shard: a capture on the "
                  "target would take apply's changes for others' (capture.origin)");
    else if (lacks[0] == '\0')
        check_add(ck, SIDE, "replication origin", CHECK_OK, NULL,
                  "can be set: apply's changes can be told from others'");
    else
        check_add_hint(
            ck, SIDE, "replication origin", CHECK_WARN,
            xasprintf("GRANT EXECUTE ON FUNCTION %s TO \"%s\"", lacks, pg_user(ck->target)),
            "cannot be set: a capture on the target would take apply's changes for others' (capture.origin)");
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

static bool check_writers(struct check *ck, struct err *err)
{
    int64_t room = 0, writers = config_int(ck->cfg, "apply.writers");
    if (writers == 1)
        return true;
    int64_t needed = (writers - 1) * (int64_t)target_shards_in(config_text(ck->cfg, "apply.shard"));
    if (!pg_query_int64(ck->target, "SELECT current_setting('max_prepared_transactions')::int", 0, NULL,
                        &room, err))
        return false;
    check_add(ck, SIDE, "max_prepared_transactions",
              room >= needed ? CHECK_OK
              : room == 0    ? CHECK_WARN
                             : CHECK_FAIL,
              room >= needed ? NULL
                             : "set it on the target, which has to be restarted, or set apply.writers: 1",
              "%lld; apply.writers wants at least %lld%s", (long long)room, (long long)needed,
              room == 0 ? ": without any, one writer writes all" : "");
    return true;
}

/* Without it the places of standbys are NULL, as if there were none. */
static bool check_standbys(struct check *ck, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (config_int(ck->cfg, "apply.max_replica_lag_ms") == 0)
        return true;
    if (!pg_query(ck->target, "SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')", 0, NULL, &res,
                  err))
        return false;
    if (pg_cell_bool(res, 0, 0))
        check_add(ck, SIDE, "standbys", CHECK_OK, NULL, "their places can be read");
    else
        check_add_hint(ck, SIDE, "standbys", CHECK_FAIL,
                       xasprintf("GRANT pg_read_all_stats TO \"%s\", or set apply.max_replica_lag_ms: 0",
                                 pg_user(ck->target)),
                       "our role may not see how far the target's standbys are");
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

static bool count_letter(void *ctx, const struct letter_view *view UNUSED, struct err *err UNUSED)
{
    size_t *count = ctx;
    (*count)++;
    return true;
}

/* As the implementation of target.url keeps them; one that keeps none, or cannot be reached, is no news of this check. */
static void check_letters(struct check *ck)
{
    struct err why = ERR_INIT;
    size_t count = 0;
    const struct letters_query query = {.url = config_text(ck->cfg, "target.url"),
                                        .pipeline = config_text(ck->cfg, "pipeline")};
    if (target_letters_look(&query, count_letter, &count, &why)) {
        if (count > 0)
            check_add(
                ck, SIDE, "dead letters", CHECK_WARN,
                "`crossfade apply dlq list` shows them: mend the target and ask for a retry, or discard them",
                "%zu changes that the target refused, or that wait behind those, are not on it", count);
    } else if (why.code == ERR_AUTH) {
        check_add(ck, SIDE, "dead letters", CHECK_WARN, "GRANT SELECT ON crossfade.dead_letter to this role",
                  "whether changes are held could not be told: %s", why.text);
    }
}

bool check_target(struct check *ck, struct err *err)
{
    if (maria_is_url(config_text(ck->cfg, "target.url")))
        return check_target_mariadb(ck, err);
    if (!check_server(ck, SIDE, "target.url", &ck->target, err))
        return false;
    bool postgres = strncmp(config_text(ck->cfg, "target.url"), "postgres", 8) == 0;
    if (ck->target != NULL || !postgres)
        check_letters(ck);
    if (ck->target == NULL)
        return true;
    return check_create(ck, err) && check_triggers(ck, err) && check_origin(ck, err) &&
           check_same_database(ck, err) && check_writers(ck, err) && check_standbys(ck, err) &&
           check_position(ck, err);
}
