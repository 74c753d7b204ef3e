SELECT current_setting('server_version_num')::int >= 160000 AS decodes \gset
\if :decodes
GRANT EXECUTE ON FUNCTION pg_log_standby_snapshot() TO crossfade_capture;
\endif
