SELECT format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO crossfade_apply', current_database()) \gexec
SELECT 'CREATE SCHEMA crossfade AUTHORIZATION crossfade_apply' WHERE to_regnamespace('crossfade') IS NULL \gexec
SELECT format('GRANT USAGE ON SCHEMA %1$I TO crossfade_apply; GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA %1$I TO crossfade_apply;'
              'ALTER DEFAULT PRIVILEGES FOR ROLE %2$I IN SCHEMA %1$I GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON TABLES TO crossfade_apply', nspname, :'owner')
  FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'crossfade') AND nspname ~ :'schemas' \gexec
