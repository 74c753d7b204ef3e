SELECT current_setting('server_version_num')::int >= 150000 AS can_be_granted \gset
\if :can_be_granted
GRANT SET ON PARAMETER session_replication_role TO crossfade_apply;
\endif
