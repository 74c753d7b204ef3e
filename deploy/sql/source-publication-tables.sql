SELECT format('CREATE PUBLICATION crossfade_shop FOR TABLE %s WITH (publish_via_partition_root = true%s)',
              string_agg(CASE WHEN relkind = 'p' THEN '' ELSE 'ONLY ' END || oid::regclass, ', ' ORDER BY oid),
              CASE WHEN current_setting('server_version_num')::int >= 180000 THEN ', publish_generated_columns = stored' ELSE '' END)
  FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace \gexec
ALTER PUBLICATION crossfade_shop OWNER TO crossfade_capture;
