GRANT :"owner" TO crossfade_cutover;
GRANT pg_signal_backend TO crossfade_cutover;
SELECT format('GRANT CONNECT ON DATABASE %I TO crossfade_cutover', current_database()) \gexec
GRANT crossfade_capture TO crossfade_cutover;
