/* How far a server's physical standbys are. */
#ifndef PG_STANDBYS_H
#define PG_STANDBYS_H

#include "core/lsn.h"
#include "pg/conn.h"

/* What was written, and what the slowest standby has replayed of it; both are the same where there is none. ERR_AUTH: the server does
 * not tell this role (it takes pg_read_all_stats); the caller says which option asked. */
bool pg_standbys(struct pg_conn *conn, lsn_t *ret_written, lsn_t *ret_replayed, struct err *err) MUST_CHECK;

#endif
