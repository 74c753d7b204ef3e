SELECT format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO crossfade_capture', current_database()) \gexec
SELECT format('GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA %1$I TO crossfade_capture;'
              'ALTER DEFAULT PRIVILEGES FOR ROLE %2$I IN SCHEMA %1$I GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON TABLES TO crossfade_capture;'
              'GRANT SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA %1$I TO crossfade_cutover', nspname, :'owner')
  FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'crossfade') AND nspname ~ :'schemas' \gexec
GRANT EXECUTE ON FUNCTION pg_replication_origin_create(text), pg_replication_origin_session_setup(text), pg_replication_origin_xact_setup(pg_lsn, timestamptz) TO crossfade_capture;
SELECT current_setting('server_version_num')::int >= 150000 AS can_be_granted \gset
\if :can_be_granted
GRANT SET ON PARAMETER session_replication_role TO crossfade_capture;
\endif
