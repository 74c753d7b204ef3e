/* Owns the gates that ask the source: who writes to it, and whether it can be closed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "deadline.h"
#include "gates.h"

/* A subscription's apply worker writes in replica role: no trigger of ours stops it. */
bool gate_subscriptions(struct cutover *co, struct gate_result *gate)
{
    char *names CLEANUP(free_ptr) = NULL;
    struct err failed = ERR_INIT;
    gate_limit(gate, "none enabled");
    if (!pg_query_text(
            co->source,
            "SELECT string_agg(s.subname, ', ') FROM pg_catalog.pg_subscription s WHERE s.subenabled AND"
            " s.subdbid = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = "
            "current_database())",
            0, NULL, &names, &failed)) {
        (void)gate_unmeasured(gate, &failed);
        return true;
    }
    gate_measured(gate, "%s", names != NULL ? "some" : "none");
    if (names != NULL)
        gate_refuse(gate, "they write on after the freeze: ALTER SUBSCRIPTION %.120s DISABLE", names);
    return true;
}

bool gate_prepared(struct cutover *co, struct gate_result *gate)
{
    gate_limit(gate, "none");
    return gate_counts(
        co->source,
        "SELECT count(*), string_agg(x.gid, ', ' ORDER BY x.prepared) FROM pg_catalog.pg_prepared_xacts x"
        " WHERE x.database = current_database() AND $1::text IS NOT NULL",
        co->pipeline, gate, 0, "open", "finish them: COMMIT PREPARED or ROLLBACK PREPARED");
}

/* The freeze would wait for them, and end them. */
bool gate_transactions(struct cutover *co, struct gate_result *gate)
{
    int64_t limit_ms = deadline_option_ms(co->cfg, "cutover.max_transaction_age_s");
    char sql[1200];
    gate_limit(gate, "none that writes for longer than %" PRId64 " s", limit_ms / 1000);
    (void)snprintf(
        sql, sizeof sql,
        "SELECT count(*), string_agg(pg_catalog.format('pid=%%s role=%%s', a.pid, a.usename), ', ' ORDER BY "
        "a.xact_start)"
        " FROM pg_catalog.pg_stat_activity a WHERE a.datname = current_database() AND $1::text IS NOT NULL"
        " AND a.xact_start < now() - interval '%" PRId64 " milliseconds'"
        " AND coalesce(a.backend_type, 'client backend') = 'client backend'"
        " AND coalesce(a.application_name, '') NOT LIKE 'crossfade %%'"
        " AND (a.backend_xid IS NOT NULL OR EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.pid = a.pid "
        "AND l.granted"
        "  AND l.locktype = 'relation' AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', "
        "'ExclusiveLock',"
        "  'AccessExclusiveLock')))",
        limit_ms);
    return gate_counts(co->source, sql, co->pipeline, gate, 0, "older", "let them end, or end them");
}

/* Without one an UPDATE or DELETE on the source fails, or comes without its key. */
bool gate_identity(struct cutover *co, struct gate_result *gate)
{
    gate_limit(gate, "a usable one on every table");
    return gate_counts(
        co->source,
        "SELECT count(*), string_agg(n.nspname || '.' || c.relname, ', ' ORDER BY 1) FROM"
        " (SELECT DISTINCT t.relid FROM pg_catalog.pg_publication b JOIN pg_catalog.pg_publication_tables p "
        "ON p.pubname = b.pubname"
        "  JOIN pg_catalog.pg_namespace pn ON pn.nspname = p.schemaname"
        "  JOIN pg_catalog.pg_class pc ON pc.relnamespace = pn.oid AND pc.relname = p.tablename"
        "  CROSS JOIN LATERAL (SELECT pc.oid AS relid UNION SELECT relid FROM "
        "pg_catalog.pg_partition_tree(pc.oid)) t"
        "  WHERE b.pubname = 'crossfade_' || $1 AND p.schemaname <> 'crossfade' AND (b.pubupdate OR "
        "b.pubdelete)) f"
        " JOIN pg_catalog.pg_class c ON c.oid = f.relid JOIN pg_catalog.pg_namespace n ON n.oid = "
        "c.relnamespace"
        " WHERE c.relkind = 'r' AND c.relreplident <> 'f' AND NOT EXISTS (SELECT FROM pg_catalog.pg_index i "
        "WHERE i.indrelid = c.oid"
        "  AND i.indisvalid AND CASE c.relreplident WHEN 'd' THEN i.indisprimary AND i.indimmediate WHEN 'i' "
        "THEN i.indisreplident END)",
        co->pipeline, gate, 0, "without", "ALTER TABLE … REPLICA IDENTITY FULL, or a primary key");
}

/* Who may read the steps need not be able to write them down. NULL: nothing is missing. */
static bool target_denies(struct cutover *co, char **ret, struct err *err)
{
    if (co->maria != NULL)
        return maria_denies(co, ret, err);
    return pg_query_text(
        co->target,
        "SELECT string_agg(pg_catalog.format('GRANT %I TO %I;', pg_catalog.pg_get_userbyid(c.relowner), "
        "current_user), ' ')"
        " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE "
        "n.nspname = 'crossfade'"
        " AND c.relname = 'cutover' AND NOT (pg_catalog.has_table_privilege(c.oid, 'INSERT') AND"
        " pg_catalog.has_table_privilege(c.oid, 'UPDATE'))",
        0, NULL, ret, err);
}

/* Closing the source needs ownership of every table, and the right to end sessions. */
bool gate_privileges(struct cutover *co, struct gate_result *gate)
{
    const char *params[] = {co->pipeline};
    char *missing = NULL;
    char *denied CLEANUP(free_ptr) = NULL;
    struct err failed = ERR_INIT;
    if (!target_denies(co, &denied, &failed))
        return gate_unmeasured(gate, &failed);
    gate_limit(gate, "owner of all tables, pg_signal_backend");
    if (!pg_query_text(
            co->source,
            "SELECT concat_ws(' ', (SELECT string_agg(DISTINCT pg_catalog.format('GRANT %I TO %I;',"
            " pg_catalog.pg_get_userbyid(c.relowner), current_user), ' ')"
            " FROM pg_catalog.pg_publication_tables p JOIN pg_catalog.pg_namespace n ON n.nspname = "
            "p.schemaname"
            " JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename"
            " WHERE p.pubname = 'crossfade_' || $1 AND NOT pg_catalog.pg_has_role(c.relowner, 'USAGE')),"
            " CASE WHEN NOT pg_catalog.pg_has_role('pg_signal_backend', 'USAGE') THEN"
            " pg_catalog.format('GRANT pg_signal_backend TO %I;', current_user) END)",
            1, params, &missing, &failed)) {
        (void)gate_unmeasured(gate, &failed);
        return true;
    }
    bool ok = missing == NULL || *missing == '\0';
    gate_measured(gate, "%s", ok && denied == NULL ? "all there" : "some are missing");
    if (!ok)
        gate_refuse(gate, "on the source: %.220s", missing);
    else if (denied != NULL)
        gate_refuse(gate, "on the target: %.220s", denied);
    free(missing);
    return true;
}
