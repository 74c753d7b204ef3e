-- The sequences that a cutover takes along: all of the schemas in which the publication $1 has tables (identity, serial, free-standing), and
-- those elsewhere that a published table's defaults use. schema, name, what they are as JSON. Read by cutover/prepare/sequence_list.c.
WITH published AS (SELECT c.oid, c.relnamespace FROM pg_publication_tables p JOIN pg_namespace n ON n.nspname = p.schemaname
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename WHERE p.pubname = $1 AND p.schemaname <> 'crossfade'),
wanted AS (SELECT c.oid FROM pg_class c WHERE c.relkind = 'S' AND c.relnamespace IN (SELECT relnamespace FROM published)
    UNION SELECT d.refobjid FROM pg_depend d JOIN pg_attrdef f ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid
    WHERE d.refclassid = 'pg_class'::regclass AND f.adrelid IN (SELECT oid FROM published))
SELECT n.nspname, c.relname, jsonb_build_object('schema', n.nspname, 'name', c.relname, 'type', format_type(s.seqtypid, NULL), 'start', s.seqstart,
    'inc', s.seqincrement, 'min', s.seqmin, 'max', s.seqmax, 'cache', s.seqcache, 'cycle', s.seqcycle, 'unlogged', c.relpersistence = 'u',
    'oschema', own.nspname, 'otable', own.relname, 'ocolumn', own.attname, 'identity', coalesce(own.attidentity::text, ''))
  FROM wanted w JOIN pg_class c ON c.oid = w.oid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_sequence s ON s.seqrelid = c.oid
  LEFT JOIN LATERAL (SELECT tn.nspname, t.relname, a.attname, a.attidentity FROM pg_depend d JOIN pg_class t ON t.oid = d.refobjid
    JOIN pg_namespace tn ON tn.oid = t.relnamespace JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
      AND d.deptype IN ('a', 'i') LIMIT 1) own ON true
 WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND n.nspname <> 'crossfade' ORDER BY 1, 2
