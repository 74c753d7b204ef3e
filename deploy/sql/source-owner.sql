GRANT :"owner" TO crossfade_capture;
SELECT format('GRANT CREATE ON DATABASE %I TO crossfade_capture', current_database()) \gexec
