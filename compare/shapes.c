/* Owns: what tells that a table of the source was changed by other means than rows. See compare.h. */
#include "compare.h"

#include "pg/conn.h"

/*
 * For the table and each of its leaf partitions: storage (a new file after TRUNCATE, a rewrite, VACUUM FULL), columns, the
 * row that makes it a partition (a new one after it was away: its changes meanwhile were not published), the row that publishes
 * it (a new one after it was taken out and put back), and the version of the publication's (what it publishes may have been less
 * for a while). Functions of size and storage see the present, whatever snapshot the transaction has.
 */
static const char shapes_sql[] =
    "SELECT coalesce(jsonb_object_agg(f.name, f.digest), '{}')::text FROM ("
    " SELECT n.nspname || '.' || c.relname AS name, md5(string_agg(concat_ws(' ', r.oid, b.xmin, p.relid,"
    "   pg_relation_filenode(p.relid), (SELECT 'in ' || string_agg(i.xmin::text, ',' ORDER BY i.inhparent)"
    "   FROM pg_inherits i WHERE i.inhrelid = p.relid), (SELECT string_agg(concat_ws(',', a.attnum, "
    "a.attname,"
    "   a.atttypid, a.atttypmod, a.attcollation, a.attgenerated, a.attisdropped), ';' ORDER BY a.attnum)"
    "   FROM pg_attribute a WHERE a.attrelid = p.relid AND a.attnum > 0)), '|' ORDER BY p.relid)) AS digest"
    " FROM pg_publication_rel r JOIN pg_publication b ON b.oid = r.prpubid JOIN pg_class c ON c.oid = "
    "r.prrelid"
    " JOIN pg_namespace n ON n.oid = c.relnamespace"
    " CROSS JOIN LATERAL (SELECT c.oid AS relid UNION SELECT t.relid::oid FROM pg_partition_tree(c.oid) t) p"
    " WHERE b.pubname = 'crossfade_' || $1 GROUP BY 1) f";

bool compare_shapes(struct pg_conn *source, const char *pipeline, char **ret_json, struct err *err)
{
    return pg_query_text(source, shapes_sql, 1, &pipeline, ret_json, err) ||
           err_wrap(err, "source: shapes of the published tables");
}
