-- All that belongs to a pipeline's tables, on either side: the objects for catalog_definition.sql, which follows. $1, $2: schemas and tables, as published (roots);
-- $3, $4: columns that are left out, oid and name; $5, $6: objects that need something that is left out, class and oid. Not: what an extension owns, what comes
-- with a partition because its table has it, constraints' own indexes, our triggers. Numbers are those of system catalogs, which never change.
WITH root (s, t) AS MATERIALIZED (SELECT * FROM unnest($1::text[], $2::text[])),
tab (o) AS MATERIALIZED (SELECT DISTINCT p.o FROM root JOIN pg_namespace n ON n.nspname = root.s JOIN pg_class r ON r.relnamespace = n.oid AND r.relname = root.t
    CROSS JOIN LATERAL (SELECT r.oid AS o UNION SELECT q.relid::oid FROM pg_partition_tree(r.oid) q) p WHERE r.relkind IN ('r', 'p', 'f')),
ns (o) AS MATERIALIZED (SELECT n.oid FROM pg_namespace n WHERE n.nspname IN (SELECT s FROM root)),
trig (o, f) AS MATERIALIZED (SELECT g.oid, g.tgfoid FROM pg_trigger g WHERE g.tgrelid IN (SELECT o FROM tab) AND NOT g.tgisinternal AND g.tgname <> 'crossfade_freeze'),
found (c, o) AS MATERIALIZED (
    SELECT 1259::oid, o FROM tab
    UNION SELECT 1259, i.indexrelid FROM pg_index i JOIN pg_class r ON r.oid = i.indexrelid WHERE i.indrelid IN (SELECT o FROM tab) AND NOT r.relispartition
        AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
    UNION SELECT 2606, k.oid FROM pg_constraint k WHERE k.conrelid IN (SELECT o FROM tab) AND k.contype IN ('p', 'u', 'x', 'f') AND k.conparentid = 0
    UNION SELECT 2620, o FROM trig
    UNION SELECT 2618, w.oid FROM pg_rewrite w WHERE w.ev_class IN (SELECT o FROM tab)
    UNION SELECT 3256, p.oid FROM pg_policy p WHERE p.polrelid IN (SELECT o FROM tab)
    UNION SELECT 1259, r.oid FROM pg_class r WHERE r.relkind = 'v' AND r.relnamespace IN (SELECT o FROM ns)
    UNION SELECT 1255, f.oid FROM pg_proc f WHERE f.pronamespace IN (SELECT o FROM ns) OR (f.oid IN (SELECT f FROM trig) AND f.oid >= 16384)
    UNION SELECT 1247, y.oid FROM pg_type y WHERE y.typnamespace IN (SELECT o FROM ns) AND (y.typtype IN ('e', 'd', 'r') OR (y.typtype = 'c' AND
        EXISTS (SELECT FROM pg_class r WHERE r.oid = y.typrelid AND r.relkind = 'c')))),
w (at, c, o) AS MATERIALIZED (SELECT 0, c, o FROM found WHERE (c, o) NOT IN (SELECT d.classid, d.objid FROM pg_depend d WHERE d.deptype = 'e')
    AND (c, o) NOT IN (SELECT * FROM unnest($5::oid[], $6::oid[]))),
gone (t, n) AS MATERIALIZED (SELECT * FROM unnest($3::oid[], $4::text[])),
apart (c, o) AS (SELECT 0::oid, 0::oid WHERE false)
