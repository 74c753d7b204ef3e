-- Tables of the target in the schemas $1 that the planner knows too little of: never analyzed, a tenth changed since, or with extended statistics that hold nothing.
-- Partitioned tables have statistics of their own, which nobody makes by himself. schema, name, why ('' = known well enough), size in bytes, the GRANT that
-- is missing. Read by cutover/prepare/statistics.c.
WITH t AS (SELECT c.oid, n.nspname, c.relname, c.relkind, c.relowner, c.reltuples, s.n_live_tup, s.n_mod_since_analyze,
      coalesce(s.last_analyze, s.last_autoanalyze) AS analyzed,
      CASE WHEN c.relkind = 'p' THEN (SELECT coalesce(sum(pg_relation_size(x.relid)), 0) FROM pg_partition_tree(c.oid) x WHERE x.isleaf) ELSE pg_relation_size(c.oid) END AS bytes
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
   WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't' AND n.nspname = ANY ($1::text[]) AND n.nspname <> 'crossfade'
     AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e'))
SELECT nspname, relname, CASE WHEN bytes = 0 THEN ''
      WHEN reltuples < 0 OR (analyzed IS NULL AND relkind <> 'p') THEN 'never analyzed'
      WHEN n_mod_since_analyze > 50 + greatest(n_live_tup, reltuples, 0) / 10 THEN 'much changed since'
      WHEN EXISTS (SELECT FROM pg_statistic_ext e JOIN pg_namespace en ON en.oid = e.stxnamespace WHERE e.stxrelid = t.oid AND e.stxstattarget IS DISTINCT FROM 0
           AND NOT EXISTS (SELECT FROM pg_stats_ext x WHERE x.statistics_schemaname = en.nspname AND x.statistics_name = e.stxname
              AND (x.n_distinct IS NOT NULL OR x.dependencies IS NOT NULL OR x.most_common_vals IS NOT NULL))
           AND NOT EXISTS (SELECT FROM pg_stats_ext_exprs x WHERE x.statistics_schemaname = en.nspname AND x.statistics_name = e.stxname AND x.null_frac IS NOT NULL))
        THEN 'extended statistics hold nothing'
      ELSE '' END, bytes,
    CASE WHEN pg_has_role(relowner, 'USAGE') OR CASE WHEN $2 = '' THEN false ELSE has_table_privilege(oid, $2) END
        OR pg_has_role((SELECT datdba FROM pg_database WHERE datname = current_database()), 'USAGE') THEN ''
      ELSE format('GRANT %I TO %I', pg_get_userbyid(relowner), current_user) END
  FROM t ORDER BY bytes DESC, 1, 2
