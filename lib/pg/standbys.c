/* See standbys.h. PostgreSQL documentation: "The Cumulative Statistics System", pg_stat_replication. */
#include "pg/standbys.h"

/* Physical standbys only: a logical slot's reader is no copy of this server. Without the right their places are NULL, which would
 * look as if there were none: that is an error. A standby may have standbys of its own. */
static const char standbys_sql[] = "WITH w AS (SELECT CASE WHEN pg_is_in_recovery() THEN "
                                   "pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END "
                                   "AS lsn) SELECT coalesce(w.lsn, '0/0'), coalesce((SELECT "
                                   "min(r.replay_lsn) FROM pg_stat_replication r WHERE "
                                   "r.replay_lsn IS NOT NULL AND NOT EXISTS (SELECT 1 FROM "
                                   "pg_replication_slots s WHERE s.active_pid = r.pid AND "
                                   "s.slot_type = 'logical')), w.lsn, '0/0'), pg_has_role(current_user, "
                                   "'pg_read_all_stats', 'USAGE') FROM w";

bool pg_standbys(struct pg_conn *conn, lsn_t *ret_written, lsn_t *ret_replayed, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    lsn_t written = 0, replayed = 0;
    if (!pg_query(conn, standbys_sql, 0, NULL, &res, err))
        return err_wrap(err, "standbys");
    if (!pg_cell_bool(res, 0, 2))
        return err_set(
            err, ERR_AUTH,
            "the server does not tell this role where its standbys are; GRANT pg_read_all_stats TO "
            "\"%s\" there, or set it to 0",
            pg_user(conn));
    if (!lsn_parse(pg_cell(res, 0, 0), &written) || !lsn_parse(pg_cell(res, 0, 1), &replayed))
        return err_set(err, ERR_PROTOCOL, "pg_stat_replication holds no LSN");
    *ret_written = written;
    *ret_replayed = replayed;
    return true;
}
