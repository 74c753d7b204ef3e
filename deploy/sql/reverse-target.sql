ALTER ROLE crossfade_apply REPLICATION;
GRANT :"owner" TO crossfade_apply;
SELECT format('GRANT CREATE ON DATABASE %I TO crossfade_apply', current_database()) \gexec
GRANT :"owner" TO crossfade_cutover;
GRANT pg_signal_backend TO crossfade_cutover;
