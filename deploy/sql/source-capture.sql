SELECT format('GRANT CONNECT ON DATABASE %I TO crossfade_capture', current_database()) \gexec
SELECT 'CREATE SCHEMA crossfade AUTHORIZATION crossfade_capture' WHERE to_regnamespace('crossfade') IS NULL \gexec
SELECT format('GRANT USAGE ON SCHEMA %1$I TO crossfade_capture; GRANT SELECT ON ALL TABLES IN SCHEMA %1$I TO crossfade_capture;'
              'ALTER DEFAULT PRIVILEGES FOR ROLE %2$I IN SCHEMA %1$I GRANT SELECT ON TABLES TO crossfade_capture', nspname, :'owner')
  FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'crossfade') AND nspname ~ :'schemas' \gexec
