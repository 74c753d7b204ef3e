GRANT EXECUTE ON FUNCTION pg_replication_origin_drop(text) TO crossfade_cutover;
