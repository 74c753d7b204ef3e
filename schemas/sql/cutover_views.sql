-- Materialized views of the target in the schemas $1, or that read what lies there, in an order in which each comes behind all that it reads
-- (whoever reads more comes later: what a view reads, those that read the view do, too). schema, name, populated, can be refreshed CONCURRENTLY, the GRANT that is
-- missing. What a function reads is not seen. Read by cutover/prepare/views.c.
WITH RECURSIVE reads(view, what) AS (SELECT DISTINCT r.ev_class, d.refobjid FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class AND c.relkind IN ('v', 'm')
    JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class),
closure(view, what) AS (SELECT view, what FROM reads UNION SELECT c.view, r.what FROM closure c JOIN reads r ON r.view = c.what)
SELECT n.nspname, c.relname, c.relispopulated,
    c.relispopulated AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL),
    CASE WHEN pg_has_role(c.relowner, 'USAGE') OR CASE WHEN $2 = '' THEN false ELSE has_table_privilege(c.oid, $2) END THEN '' ELSE format('GRANT %I TO %I', pg_get_userbyid(c.relowner), current_user) END
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'm' AND n.nspname NOT IN ('crossfade', 'pg_catalog', 'information_schema')
   AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
   AND (n.nspname = ANY ($1::text[]) OR EXISTS (SELECT FROM closure x JOIN pg_class t ON t.oid = x.what JOIN pg_namespace tn ON tn.oid = t.relnamespace
        WHERE x.view = c.oid AND t.relkind IN ('r', 'p') AND tn.nspname = ANY ($1::text[])))
 ORDER BY (SELECT count(*) FROM closure x JOIN pg_class m ON m.oid = x.what WHERE x.view = c.oid AND m.relkind = 'm'), 1, 2
