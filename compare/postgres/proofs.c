/* Owns: crossfade.compared on PostgreSQL. See history/proof_sql.h. */
#include "history/proof_sql.h"

#include "pg/conn.h"
#include "pg/control_tables.h"
#include "postgres.h"
#include "sql/embedded.h"

static bool is_there(struct pg_conn *conn, bool *ret, struct err *err)
{
    return pg_query_bool(
        conn,
        "SELECT coalesce(bool_and(has_table_privilege(to_regclass('crossfade.compared'), p)), false)"
        " FROM unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) p",
        0, NULL, ret, err);
}

static bool ensure(struct session *target, bool *ret, struct err *err)
{
    struct err refused = ERR_INIT;
    struct pg_conn *conn = session_postgres_conn(target);
    if (!is_there(conn, ret, err) || *ret)
        return *ret;
    if (!pg_control_tables_ensure(conn, "crossfade.compared", embedded_sql_target_sql, "target", &refused) &&
        refused.code == ERR_CONNECT) {
        *err = refused;
        return false;
    }
    return is_there(conn, ret, err);
}

/* Of the whole database: such changes are rare. */
static const char types_sql[] =
    "SELECT md5(concat_ws('|',"
    " (SELECT string_agg(concat_ws(' ', enumtypid, enumlabel, enumsortorder), ',' ORDER BY enumtypid,"
    "  enumsortorder) FROM pg_enum),"
    " (SELECT string_agg(concat_ws(' ', c.oid, a.attnum, a.attname, a.atttypid, a.atttypmod, "
    "a.attisdropped), ','"
    "  ORDER BY c.oid, a.attnum) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
    "  WHERE c.relkind = 'c')))";

/* Of tables and their partitions, as compare_shapes() looks at them on the source. The function sees the present, whatever the
 * snapshot. */
static const char storage_sql[] =
    "SELECT o.oid, md5(string_agg(concat_ws(' ', p.relid, pg_relation_filenode(p.relid),"
    "   (SELECT 'in ' || string_agg(i.xmin::text, ',' ORDER BY i.inhparent) FROM pg_inherits i"
    "    WHERE i.inhrelid = p.relid), (SELECT string_agg(concat_ws(',', a.attnum, a.attname, a.atttypid,"
    "   a.atttypmod, a.attcollation, a.attisdropped), ';' ORDER BY a.attnum) FROM pg_attribute a"
    "    WHERE a.attrelid = p.relid AND a.attnum > 0)), '|' ORDER BY p.relid))"
    "  FROM unnest($1::oid[]) o(oid) CROSS JOIN LATERAL"
    "  (SELECT o.oid AS relid UNION SELECT t.relid::oid FROM pg_partition_tree(o.oid) t) p GROUP BY 1"
    " ORDER BY 1";

/* A proof of all rows gives way to one of some only if it does not count any more. */
static const char save_sql[] =
    "INSERT INTO crossfade.compared AS c (pipeline, schema_name, table_name, shape, whole, upper, rows, "
    "fence_id,"
    " fence_offset, lsn, attempt, read_at, links)"
    " SELECT $1, x.* FROM jsonb_to_recordset($2::jsonb) AS x(schema_name text, table_name text, shape text, "
    "whole"
    " boolean, upper text[], rows bigint, fence_id bigint, fence_offset bigint, lsn pg_lsn, attempt bigint,"
    " read_at timestamptz, links integer)"
    " ON CONFLICT (pipeline, schema_name, table_name) DO UPDATE SET format = 1, shape = excluded.shape, "
    "whole ="
    " excluded.whole, upper = excluded.upper, rows = excluded.rows, fence_id = excluded.fence_id, "
    "fence_offset ="
    " excluded.fence_offset, lsn = excluded.lsn, attempt = excluded.attempt, read_at = excluded.read_at, "
    "links ="
    " excluded.links, proven_at = clock_timestamp()"
    " WHERE excluded.whole OR NOT c.whole OR c.shape <> excluded.shape OR c.read_at < $3::timestamptz";

const struct proof_sql proof_sql_postgres = {
    .ensure = ensure,
    .place =
        "SELECT fence_id, fence_offset, lsn, attempt, complete FROM crossfade.position WHERE pipeline = $1 "
        "ORDER BY fence_id LIMIT 1",
    .load =
        "SELECT schema_name, table_name, whole, to_json(upper), rows, fence_id, fence_offset, lsn, attempt, "
        "(extract(epoch FROM read_at) * 1000000)::bigint, links, shape FROM crossfade.compared WHERE "
        "pipeline = $1 AND format = 1",
    .last_end = "SELECT coalesce((extract(epoch FROM max(started_at)) * 1000000)::bigint, 0) FROM "
                "crossfade.verdict WHERE pipeline = $1 AND scope IN ('full', 'changed') AND verdict <> "
                "'INCONCLUSIVE'",
    .save = save_sql,
    .forget = "DELETE FROM crossfade.compared c USING jsonb_to_recordset($2::jsonb) AS x(schema_name text, "
              "table_name text) WHERE c.pipeline = $1 AND c.schema_name = x.schema_name AND c.table_name = "
              "x.table_name",
    .types = types_sql,
    .storage = storage_sql,
};
