/*
 * Owns: crossfade_compared on MariaDB. See history/proof_sql.h. Rights cannot be asked for there without others: statements that
 * touch no row are refused just as those that do.
 */
#include "history/proof_sql.h"

#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "maria/script.h"
#include "sql/embedded.h"

static const char may_save_sql[] =
    "INSERT INTO crossfade_compared SELECT * FROM crossfade_compared WHERE FALSE ON DUPLICATE KEY UPDATE "
    "links = VALUES(links)";
static const char may_forget_sql[] = "DELETE FROM crossfade_compared WHERE FALSE";

static bool is_there(struct session *target, bool *ret, struct err *err)
{
    const char *name = "compared";
    int64_t there = 0;
    if (!session_int64(target, control_mariadb.table_there, 1, &name, &there, err))
        return false;
    *ret = there > 0;
    return true;
}

static bool may_use(struct session *target, bool *ret, struct err *err)
{
    struct err refused = ERR_INIT;
    *ret = session_exec(target, may_save_sql, &refused) && session_exec(target, may_forget_sql, &refused);
    if (*ret || refused.code == ERR_AUTH)
        return true;
    *err = refused;
    return false;
}

/* This one alone: tables that are made now are none for a snapshot that is there already (error 1412). */
static bool make_table(struct session *target, struct err *err)
{
    const char *script = embedded_sql_target_mariadb_sql;
    bool ok = true;
    for (char *sql; ok && (sql = maria_script_next(&script)) != NULL; free(sql)) {
        if (strstr(sql, "TABLE IF NOT EXISTS crossfade_compared ") != NULL)
            ok = session_exec(target, sql, err);
    }
    return ok;
}

static bool ensure(struct session *target, bool *ret, struct err *err)
{
    struct err refused = ERR_INIT;
    if (!is_there(target, ret, err))
        return false;
    if (!*ret && !make_table(target, &refused) && refused.code == ERR_CONNECT) {
        *err = refused;
        return false;
    }
    return is_there(target, ret, err) && (!*ret || may_use(target, ret, err));
}

/* Not in the collation of the database, which may be any. */
#define TEXT(most) "varchar(" #most ") CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
#define NAMES(more)                                                                                          \
    "JSON_TABLE($2, '$[*]' COLUMNS (schema_name " TEXT(64) " PATH '$.schema_name', table_name " TEXT(        \
        64) " "                                                                                              \
            "PATH '$.table_name'" more ")) x"
#define SAME       "c.pipeline = $1 AND c.schema_name = x.schema_name AND c.table_name = x.table_name"
#define TIME(text) "REPLACE(REPLACE(" text ", 'T', ' '), 'Z', '')"

const struct proof_sql proof_sql_mariadb = {
    .ensure = ensure,
    .place = "SELECT fence_id, fence_offset, lsn, attempt, complete FROM crossfade_position WHERE "
             "pipeline = $1 "
             "ORDER BY fence_id LIMIT 1",
    .load = "SELECT schema_name, table_name, whole, `upper`, `rows`, fence_id, fence_offset, lsn, "
            "attempt, "
            "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', read_at), links, shape FROM crossfade_compared "
            "WHERE "
            "pipeline = $1 AND format = 1",
    .last_end = "SELECT COALESCE(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', MAX(started_at)), 0) FROM "
                "crossfade_verdict WHERE pipeline = $1 AND scope IN ('full', 'changed') AND verdict <> "
                "'INCONCLUSIVE'",
    .give_way = "DELETE c FROM crossfade_compared c JOIN " NAMES(", shape " TEXT(
        64) " PATH '$.shape', whole int PATH '$.whole'") " ON " SAME " WHERE x.whole OR NOT c.whole OR "
                                                         "c.shape <> x.shape OR c.read_at "
                                                         "< " TIME("$3"),
    .save = "INSERT INTO crossfade_compared (pipeline, schema_name, table_name, shape, whole, "
            "`upper`, `rows`, "
            "fence_id, fence_offset, lsn, attempt, read_at, links) SELECT $1, x.schema_name, "
            "x.table_name, "
            "x.shape, x.whole, x.`upper`, x.`rows`, x.fence_id, x.fence_offset, x.lsn, "
            "x.attempt, " TIME("x.read_at") ", x.links FROM " NAMES(
                ", shape " TEXT(64) " PATH '$.shape', whole int PATH "
                                    "'$.whole', `upper` json PATH '$.upper', "
                                    "`rows` bigint PATH '$.rows', fence_id bigint unsigned PATH "
                                    "'$.fence_id', fence_offset bigint "
                                    "unsigned PATH '$.fence_offset', lsn " TEXT(
                                        20) " PATH "
                                            "'$.lsn', attempt bigint unsigned PATH "
                                            "'$.attempt', read_at " TEXT(
                                                40) " PATH '$.read_at', links "
                                                    "int PATH '$.links'") " ON DUPLICATE KEY UPDATE links = "
                                                                          "crossfade_compared.links",
    .forget = "DELETE c FROM crossfade_compared c JOIN " NAMES("") " ON " SAME,
};
