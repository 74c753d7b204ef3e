SELECT format('GRANT CONNECT ON DATABASE %I TO crossfade_compare', current_database()) \gexec
SELECT format('GRANT USAGE ON SCHEMA %1$I TO crossfade_compare; GRANT SELECT ON ALL TABLES IN SCHEMA %1$I TO crossfade_compare;'
              'ALTER DEFAULT PRIVILEGES FOR ROLE %2$I IN SCHEMA %1$I GRANT SELECT ON TABLES TO crossfade_compare', nspname, :'owner')
  FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND (nspname = 'crossfade' OR nspname ~ :'schemas') \gexec
SELECT format('GRANT INSERT%s ON crossfade.%I TO crossfade_compare', CASE WHEN relname = 'comparison' THEN ', DELETE' END, relname)
  FROM pg_class WHERE relnamespace = to_regnamespace('crossfade') AND relname IN ('marker', 'release', 'verdict', 'comparison') \gexec
SELECT 'GRANT EXECUTE ON FUNCTION crossfade.prune_verdicts(text) TO crossfade_compare' WHERE to_regprocedure('crossfade.prune_verdicts(text)') IS NOT NULL \gexec
SELECT 'GRANT SELECT, INSERT, UPDATE, DELETE ON crossfade.compared TO crossfade_compare' WHERE to_regclass('crossfade.compared') IS NOT NULL \gexec
SELECT 'GRANT SELECT, INSERT ON crossfade.audit TO crossfade_compare' WHERE to_regclass('crossfade.audit') IS NOT NULL \gexec
ALTER DEFAULT PRIVILEGES FOR ROLE :"control" IN SCHEMA crossfade GRANT SELECT ON TABLES TO crossfade_compare;
