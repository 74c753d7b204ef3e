-- What keeps the target's twins of these sequences ($1: a JSON array of what cutover_sequences.sql gives) from taking over: kind (missing, denied,
-- differs), name, the statement that mends it. A wider range and another cache do no harm. Read by cutover/prepare/sequences.c.
WITH s AS (SELECT * FROM jsonb_to_recordset($1::jsonb) x (schema text, name text, type text, start bigint, inc bigint, min bigint, max bigint,
    cache bigint, cycle boolean, unlogged boolean, oschema text, otable text, ocolumn text, identity text)),
t AS (SELECT s.*, coalesce(owned.oid, to_regclass(format('%I.%I', s.schema, s.name))::oid) AS oid
  FROM (SELECT *, CASE WHEN otable IS NOT NULL THEN to_regclass(format('%I.%I', oschema, otable)) END AS of_table FROM s) s
  LEFT JOIN LATERAL (SELECT q.oid FROM pg_depend d JOIN pg_class q ON q.oid = d.objid AND q.relkind = 'S'
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = s.of_table AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
      AND d.refobjsubid = (SELECT a.attnum FROM pg_attribute a WHERE a.attrelid = s.of_table AND a.attname = s.ocolumn)
    ORDER BY q.relname = s.name DESC LIMIT 1) owned ON true),
found AS (SELECT t.*, CASE WHEN c.oid IS NOT NULL THEN format('%I.%I', n.nspname, c.relname) END AS twin, n.nspname AS tschema, c.relname AS tname, q.seqincrement, q.seqmin, q.seqmax, q.seqcycle,
    format_type(q.seqtypid, NULL) AS ttype, ARRAY['smallint', 'integer', 'bigint'] AS sizes FROM t LEFT JOIN pg_class c ON c.oid = t.oid AND c.relkind = 'S' LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_sequence q ON q.seqrelid = c.oid)
SELECT 'missing', format('%I.%I', schema, name), CASE WHEN identity <> '' THEN
      format('ALTER TABLE %I.%I ALTER COLUMN %I ADD GENERATED %s AS IDENTITY (', oschema, otable, ocolumn, CASE identity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END)
    ELSE format('CREATE%s SEQUENCE %I.%I AS %s', CASE WHEN unlogged THEN ' UNLOGGED' END, schema, name, type) END
    || CASE WHEN identity <> '' THEN format('SEQUENCE NAME %I.%I', schema, name) ELSE '' END
    || format(' INCREMENT BY %s MINVALUE %s MAXVALUE %s START WITH %s CACHE %s %s', inc, min, max, start, cache, CASE WHEN cycle THEN 'CYCLE' ELSE 'NO CYCLE' END)
    || CASE WHEN identity <> '' THEN ')' ELSE '' END AS statement FROM found WHERE tname IS NULL
UNION ALL SELECT 'denied', twin, concat_ws('; ',
    CASE WHEN NOT has_schema_privilege(tschema, 'USAGE') THEN format('GRANT USAGE ON SCHEMA %I TO %I', tschema, current_user) END,
    CASE WHEN NOT (has_sequence_privilege(oid, 'SELECT') AND has_sequence_privilege(oid, 'UPDATE')) THEN
      format('GRANT SELECT, UPDATE ON SEQUENCE %s TO %I', twin, current_user) END) FROM found
  WHERE tname IS NOT NULL AND NOT (has_schema_privilege(tschema, 'USAGE') AND has_sequence_privilege(oid, 'SELECT') AND has_sequence_privilege(oid, 'UPDATE'))
UNION ALL SELECT 'differs', twin, concat_ws(' ', 'ALTER SEQUENCE', twin, CASE WHEN array_position(sizes, type) > array_position(sizes, ttype) THEN 'AS ' || type END,
    CASE WHEN inc <> seqincrement THEN 'INCREMENT BY ' || inc END,
    CASE WHEN min < seqmin OR (cycle AND min <> seqmin) THEN 'MINVALUE ' || min END, CASE WHEN max > seqmax OR (cycle AND max <> seqmax) THEN 'MAXVALUE ' || max END,
    CASE WHEN cycle AND NOT seqcycle THEN 'CYCLE' WHEN seqcycle AND NOT cycle THEN 'NO CYCLE' END) FROM found
  WHERE inc <> seqincrement OR min < seqmin OR max > seqmax OR cycle <> seqcycle OR (cycle AND (min <> seqmin OR max <> seqmax))
ORDER BY 1 DESC, 2
