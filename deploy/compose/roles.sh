#!/bin/bash
# A script of PostgreSQL's first start, on both servers: the shop's role, which owns the database, and Crossfade's, which is no
# superuser. Here it is one role for all jobs; docs/PRIVILEGES.md has one for each.
set -euo pipefail

psql -X -q -v ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname shop \
    -v shop_password="$(cat /run/secrets/server/shop)" -v crossfade_password="$(cat /run/secrets/server/crossfade)" <<'SQL'
CREATE ROLE shop LOGIN PASSWORD :'shop_password';
ALTER DATABASE shop OWNER TO shop;
CREATE ROLE crossfade LOGIN REPLICATION PASSWORD :'crossfade_password';
GRANT shop, pg_signal_backend, pg_read_all_stats TO crossfade;
GRANT SET ON PARAMETER session_replication_role TO crossfade;
-- What apply writes is marked as its own, on the target, and on the source by the way back.
GRANT EXECUTE ON FUNCTION pg_replication_origin_create(text), pg_replication_origin_session_setup(text),
    pg_replication_origin_xact_setup(pg_lsn, timestamptz), pg_replication_origin_drop(text) TO crossfade;
SQL
