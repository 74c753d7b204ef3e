SELECT format('GRANT CONNECT ON DATABASE %I TO crossfade_cutover', current_database()) \gexec
GRANT crossfade_apply TO crossfade_cutover;
GRANT :"owner" TO crossfade_cutover;
SELECT format('GRANT SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA %I TO crossfade_cutover', nspname)
  FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'crossfade') AND nspname ~ :'schemas' \gexec
