SELECT format('CREATE PUBLICATION crossfade_shop FOR ALL TABLES WITH (publish_via_partition_root = true%s)',
              CASE WHEN current_setting('server_version_num')::int >= 180000 THEN ', publish_generated_columns = stored' ELSE '' END) \gexec
