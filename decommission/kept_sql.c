/* Owns: the statements of kept.h, in both dialects. */
#include "kept.h"

/* The last column of a look, and where from. */
#define SEEN_TAIL                                                                                            \
    ", s.last_seen > pg_catalog.clock_timestamp() - $2::bigint * interval '1 second' AND s.last_seen >"      \
    " coalesce((SELECT t.at FROM crossfade.tombstone t WHERE t.pipeline = $1 AND t.state = 'up'),"           \
    " '-infinity') FROM crossfade.connection_seen s WHERE s.pipeline = $1"                                   \
    " ORDER BY s.last_seen DESC LIMIT 1000"

const char *const kept_postgres[KEPT_STATEMENTS] = {
    [KEPT_CUT_OVER] = "SELECT " ISO_TIME("max(at)") ", " ISO_TIME(
        "max(at) + $2::bigint * interval '1 second'") ", max(at) + $2::bigint * interval '1 second' <= "
                                                      "pg_catalog.clock_timestamp() FROM "
                                                      "crossfade.cutover WHERE pipeline = $1"
                                                      " AND state = 'done' HAVING count(*) > 0",
    [KEPT_TOMBSTONE] =
        "SELECT method, state, message, " ISO_TIME("at") ", saved::text FROM "
                                                         "crossfade.tombstone WHERE pipeline = "
                                                         "$1",
    [KEPT_TOMBSTONE_NEW] =
        "INSERT INTO crossfade.tombstone (pipeline, method, state, message, saved) VALUES ($1, $2, "
        "'raising', $3, $4::jsonb) ON CONFLICT DO NOTHING",
    [KEPT_TOMBSTONE_STATE] = "UPDATE crossfade.tombstone SET state = $2, at = CASE WHEN state = $2 THEN at "
                             "ELSE pg_catalog.clock_timestamp() END WHERE pipeline = $1",
    [KEPT_TOMBSTONE_GONE] = "DELETE FROM crossfade.tombstone WHERE pipeline = $1",
    [KEPT_NOTE] =
        "INSERT INTO crossfade.connection_seen AS c (pipeline, role, address, application, first_seen, "
        "last_seen, connections)"
        " SELECT $1, CASE WHEN k.known THEN n.role ELSE '(others)' END, CASE WHEN k.known THEN n.address "
        "ELSE '' END, CASE WHEN k.known THEN n.application ELSE '' END,"
        " min(n.seen), max(n.seen), sum(n.fresh) FROM pg_catalog.jsonb_to_recordset($2::jsonb) n (role text, "
        "address text, application text, seen timestamptz, fresh bigint)"
        " CROSS JOIN LATERAL (SELECT (SELECT count(*) FROM crossfade.connection_seen t WHERE t.pipeline = "
        "$1) < " KNOWN_MAX " OR EXISTS (SELECT FROM crossfade.connection_seen t WHERE t.pipeline = $1 AND "
        "t.role = n.role AND t.address = n.address AND t.application = n.application)) k (known)"
        " GROUP BY 1, 2, 3, 4 ON CONFLICT (pipeline, role, address, application) DO UPDATE SET last_seen = "
        "EXCLUDED.last_seen, connections = c.connections + EXCLUDED.connections",
    [KEPT_KNOWN] = "SELECT count(*), max(last_seen)::text FROM crossfade.connection_seen WHERE pipeline = $1",
    [KEPT_SEEN] = "SELECT s.role, s.address, s.application, NULL::text, " ISO_TIME(
        "s.last_seen") ", s.connections || ' connections since ' || " ISO_TIME("s.first_seen") SEEN_TAIL,
};

#define MARIA_ISO(value) "DATE_FORMAT(" value ", '%Y-%m-%dT%H:%i:%sZ')"
#define NOTED            "crossfade_connection_seen t WHERE t.pipeline = $1"

/* Times in a sample are UTC, with T and Z. */
const char *const kept_mariadb[KEPT_STATEMENTS] = {
    [KEPT_CUT_OVER] = "SELECT " MARIA_ISO("at") ", " MARIA_ISO(
        "at + INTERVAL $2 SECOND") ", at + INTERVAL $2 SECOND <= SYSDATE(6) FROM (SELECT MAX(at) AS at FROM "
                                   "crossfade_cutover WHERE pipeline = $1 AND state = 'done') l WHERE at IS "
                                   "NOT NULL",
    [KEPT_TOMBSTONE] = "SELECT method, state, message, " MARIA_ISO(
        "at") ", saved FROM crossfade_tombstone WHERE pipeline = $1",
    [KEPT_TOMBSTONE_NEW] = "INSERT INTO crossfade_tombstone (pipeline, method, state, message, saved) "
                           "VALUES ($1, $2, 'raising', $3, $4) ON DUPLICATE KEY UPDATE pipeline = pipeline",
    [KEPT_TOMBSTONE_STATE] = "UPDATE crossfade_tombstone SET at = IF(state = $2, at, SYSDATE(6)), state = "
                             "$2 WHERE pipeline = $1",
    [KEPT_TOMBSTONE_GONE] = "DELETE FROM crossfade_tombstone WHERE pipeline = $1",
    [KEPT_NOTE] =
        "INSERT INTO crossfade_connection_seen (pipeline, role, address, application, first_seen, last_seen, "
        "connections) SELECT $1, r, a, p, MIN(seen), MAX(seen), SUM(fresh) FROM (SELECT IF(k, role, "
        "'(others)') AS r, IF(k, address, '') AS a, IF(k, application, '') AS p, seen, fresh FROM (SELECT "
        "n.role, n.address, n.application, CAST(REPLACE(REPLACE(n.seen, 'T', ' '), 'Z', '') AS datetime(6)) "
        "AS seen, n.fresh, (SELECT COUNT(*) FROM " NOTED ") < " KNOWN_MAX " OR EXISTS (SELECT 1 FROM " NOTED
        " AND t.role = n.role COLLATE utf8mb4_bin AND t.address = n.address COLLATE utf8mb4_bin AND "
        "t.application = n.application COLLATE utf8mb4_bin) AS k FROM "
        "JSON_TABLE($2, '$[*]' COLUMNS (role varchar(64) PATH '$.role', address varchar(64) PATH "
        "'$.address', application varchar(64) PATH '$.application', seen varchar(40) PATH '$.seen', fresh "
        "bigint PATH '$.fresh')) n) w) g GROUP BY r, a, p ON DUPLICATE KEY UPDATE last_seen = "
        "VALUES(last_seen), connections = connections + VALUES(connections)",
    [KEPT_KNOWN] = "SELECT COUNT(*), CONCAT(MAX(last_seen), '+00') FROM crossfade_connection_seen WHERE "
                   "pipeline = $1",
    [KEPT_SEEN] = "SELECT role, address, application, NULL, " MARIA_ISO(
        "last_seen") ", CONCAT(connections, ' connections since ', " MARIA_ISO("first_seen") "), last_seen > "
                                                                                             "SYSDATE(6) - "
                                                                                             "INTERVAL $2 "
                                                                                             "SECOND AND "
                                                                                             "last_seen > "
                                                                                             "COALESCE(("
                                                                                             "SELECT t.at "
                                                                                             "FROM "
                                                                                             "crossfade_"
                                                                                             "tombstone t "
                                                                                             "WHERE "
                                                                                             "t.pipeline = "
                                                                                             "$1 AND t.state "
                                                                                             "= 'up'), "
                                                                                             "'1970-01-01') "
                                                                                             "FROM "
                                                                                             "crossfade_"
                                                                                             "connection_"
                                                                                             "seen WHERE "
                                                                                             "pipeline = $1 "
                                                                                             "ORDER BY "
                                                                                             "last_seen DESC "
                                                                                             "LIMIT 1000",
    [KEPT_ABROAD] =
        "SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME), NULL, NULL, NULL, NULL, CONCAT('engine ', ENGINE, ': "
        "does it lead to the old database?'), 0 FROM information_schema.TABLES WHERE ENGINE IN ('CONNECT', "
        "'FEDERATED', 'SPIDER') ORDER BY 1 LIMIT 200",
};
