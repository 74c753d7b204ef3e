GRANT USAGE, CREATE ON SCHEMA crossfade TO :"owner";
SELECT format('GRANT SELECT ON crossfade.position TO %I', :'owner') WHERE to_regclass('crossfade.position') IS NOT NULL \gexec
ALTER DEFAULT PRIVILEGES FOR ROLE crossfade_apply IN SCHEMA crossfade GRANT SELECT ON TABLES TO :"owner";
