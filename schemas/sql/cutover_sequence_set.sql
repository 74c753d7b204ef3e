-- Sets the target's twins of sequences ($1: a JSON array of what cutover_sequences.sql gives) to the values $2 (is_called: $3), in this order, and gives
-- schema and name of the twins; null: there is none. Who stands further on already (it was used meanwhile) is left there: what it has handed out
-- must not come again. One that cycles has no further on. Used by cutover/prepare/sequences.c.
WITH s AS (SELECT a->>'schema' AS schema, a->>'name' AS name, a->>'oschema' AS oschema, a->>'otable' AS otable, a->>'ocolumn' AS ocolumn, v, called, i
    FROM ROWS FROM (jsonb_array_elements($1::jsonb), unnest($2::bigint[]), unnest($3::boolean[])) WITH ORDINALITY x (a, v, called, i)),
t AS (SELECT s.*, coalesce(owned.oid, to_regclass(format('%I.%I', s.schema, s.name))::oid) AS oid
  FROM (SELECT *, CASE WHEN otable IS NOT NULL THEN to_regclass(format('%I.%I', oschema, otable)) END AS of_table FROM s) s
  LEFT JOIN LATERAL (SELECT q.oid FROM pg_depend d JOIN pg_class q ON q.oid = d.objid AND q.relkind = 'S'
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = s.of_table AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
      AND d.refobjsubid = (SELECT a.attnum FROM pg_attribute a WHERE a.attrelid = s.of_table AND a.attname = s.ocolumn)
    ORDER BY q.relname = s.name DESC LIMIT 1) owned ON true),
stands AS MATERIALIZED (SELECT t.*, q.seqcycle, q.seqincrement > 0 AS up, q.seqrelid AS twin, pg_sequence_last_value(q.seqrelid) AS at
    FROM t LEFT JOIN LATERAL (SELECT * FROM pg_sequence q WHERE q.seqrelid = t.oid LIMIT 1) q ON true),
decided AS (SELECT *, seqcycle OR at IS NULL OR NOT (CASE WHEN up THEN at > v ELSE at < v END OR (at = v AND NOT called)) AS moves FROM stands)
SELECT (SELECT n.nspname FROM pg_namespace n WHERE n.oid = (SELECT c.relnamespace FROM pg_class c WHERE c.oid = twin)), (SELECT c.relname FROM pg_class c WHERE c.oid = twin), moves,
    CASE WHEN moves THEN setval(twin, v, called) ELSE at END FROM decided ORDER BY i
