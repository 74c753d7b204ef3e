GRANT pg_read_all_stats TO crossfade_compare;
