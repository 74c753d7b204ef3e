/*
 * Owns: who else writes to a MariaDB target. What a transaction has changed only its metadata locks tell, which the server shows where performance_schema is on
 * and told to look at them (instrument wait/lock/metadata/sql/mdl). Elsewhere a session counts by its default database: ours, or none (then its
 * statements name one), and how many others have changed rows is told beside. A prepared XA transaction without a session may be of any database.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gates.h"

/* Transactions that have changed rows, without apply's: its lead and its writers hold locks by name (lib/target/mariadb/lock.c), whatever
 * their roles. */
#define SHARD "SHA1(CONCAT_WS('\\n', DATABASE(), p.pipeline, p.shard))"
#define WRITING                                                                                              \
    "WITH RECURSIVE w (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM w WHERE n < 31), ours (id) AS (SELECT "   \
    "IS_USED_LOCK(CONCAT('crossfade apply ', " SHARD                                                         \
    ", IF(w.n = 0, '', CONCAT(' ', w.n)))) FROM crossfade_position p, w WHERE p.pipeline = $1), writing AS " \
    "(SELECT l.ID, l.USER, l.HOST, l.DB FROM information_schema.INNODB_TRX t JOIN "                          \
    "information_schema.PROCESSLIST l ON l.ID = t.trx_mysql_thread_id WHERE t.trx_rows_modified > 0 AND "    \
    "l.ID <> CONNECTION_ID() AND l.ID NOT IN (SELECT id FROM ours WHERE id IS NOT NULL)), judged AS "        \
    "(SELECT x.*, "
#define JUDGED                                                                                               \
    " AS here FROM writing x) SELECT COALESCE(SUM(here), 0), GROUP_CONCAT(IF(here, CONCAT('id=', ID, ' "     \
    "user=', USER, ' host=', HOST), NULL) ORDER BY ID SEPARATOR ', '), COALESCE(SUM(NOT here), 0) FROM "     \
    "judged"

static const char locks_seen_sql[] =
    "SELECT @@GLOBAL.performance_schema AND EXISTS (SELECT 1 FROM performance_schema.setup_instruments WHERE "
    "NAME = 'wait/lock/metadata/sql/mdl' AND ENABLED = 'YES') AND (SELECT COUNT(*) FROM "
    "performance_schema.metadata_locks) >= 0 AND (SELECT COUNT(*) FROM performance_schema.threads) > 0";

/* Without the right to look it is as if it were off. */
static bool locks_are_seen(struct cutover *co, bool *ret, struct err *err)
{
    struct err denied = ERR_INIT;
    int64_t seen = 0;
    *ret = false;
    if (!session_int64(co->maria, locks_seen_sql, 0, NULL, &seen, &denied)) {
        if (err_policy(denied.code) != POLICY_RECONNECT)
            return true;
        *err = denied;
        return false;
    }
    *ret = seen == 1;
    return true;
}

static void add_judgement(const struct cutover *co, bool locks_seen, struct strbuf *sql)
{
    strbuf_adds(sql, "(COALESCE(x.DB IN (");
    cutover_add_databases(co, session_database(co->maria), sql);
    if (!locks_seen) {
        strbuf_adds(sql, "), TRUE))");
        return;
    }
    strbuf_adds(sql,
                "), FALSE) OR EXISTS (SELECT 1 FROM performance_schema.threads h JOIN "
                "performance_schema.metadata_locks m ON m.OWNER_THREAD_ID = h.THREAD_ID WHERE "
                "h.PROCESSLIST_ID = x.ID "
                "AND m.OBJECT_TYPE = 'TABLE' AND m.LOCK_STATUS = 'GRANTED' AND m.LOCK_TYPE NOT IN "
                "('INTENTION_EXCLUSIVE', "
                "'SHARED', 'SHARED_HIGH_PRIO', 'SHARED_READ', 'SHARED_READ_ONLY') AND m.OBJECT_SCHEMA IN (");
    cutover_add_databases(co, session_database(co->maria), sql);
    strbuf_adds(sql, ")))");
}

static void note(struct cutover *co, int64_t count, const char *names)
{
    if (count <= co->writers.most)
        return;
    co->writers.most = count;
    (void)snprintf(co->writers.names, sizeof co->writers.names, "%s", names);
}

static bool look_at_sessions(struct cutover *co, struct err *err)
{
    const char *params[] = {co->pipeline};
    struct statement st = {STRBUF_INIT(STRBUF_SQL_MAX), 1, params};
    ROWSET_AUTO rs = NULL;
    bool locks_seen = false;
    if (!locks_are_seen(co, &locks_seen, err))
        return false;
    strbuf_adds(&st.sql, WRITING);
    add_judgement(co, locks_seen, &st.sql);
    strbuf_adds(&st.sql, JUDGED);
    bool ok = session_query(co->maria, &st, &rs, err);
    strbuf_release(&st.sql);
    if (!ok)
        return err_wrap(err, "who writes to the target (GRANT PROCESS ON *.* to our role shows it)");
    note(co, rowset_int64(rs, 0, 0), rowset_cell(rs, 0, 1));
    if (!locks_seen)
        co->writers.elsewhere = MAX_OF(co->writers.elsewhere, rowset_int64(rs, 0, 2));
    return true;
}

/* --- XA --- */

/* Of apply's writers (lib/target/mariadb/writers.c): their global part is the hash of pipeline and shard. */
static bool is_ours(const struct rowset *shards, const char *xid)
{
    for (int i = 0; i < rowset_rows(shards); i++) {
        if (strncmp(xid, rowset_cell(shards, i, 0), rowset_cell_len(shards, i, 0)) == 0)
            return true;
    }
    return false;
}

static void take_xid(const struct rowset *xids, int row, char ret[120])
{
    char name[49];
    size_t n = 0;
    for (const char *p = rowset_cell(xids, row, 3); *p != '\0' && n < sizeof name - 1; p++)
        name[n++] = isprint((unsigned char)*p) ? *p : '?';
    name[n] = '\0';
    (void)snprintf(ret, 120, "prepared XA %s (XA RECOVER shows it; XA COMMIT or XA ROLLBACK)", name);
}

/* One that has a session is that session's matter, and counts with it. */
static bool look_at_prepared(struct cutover *co, struct err *err)
{
    const char *params[] = {co->pipeline};
    ROWSET_AUTO xids = NULL;
    ROWSET_AUTO shards = NULL;
    int64_t alone = 0, count = 0;
    char first[120] = "";
    if (!session_int64(co->maria,
                       "SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_mysql_thread_id = 0", 0,
                       NULL, &alone, err))
        return false;
    if (alone == 0)
        return true;
    if (!session_ask(co->maria, "XA RECOVER", 0, NULL, &xids, err) ||
        !session_ask(co->maria, "SELECT " SHARD " FROM crossfade_position p WHERE p.pipeline = $1", 1, params,
                     &shards, err))
        return false;
    for (int i = 0; i < rowset_rows(xids); i++) {
        if (!is_ours(shards, rowset_cell(xids, i, 3)) && count++ == 0)
            take_xid(xids, i, first);
    }
    note(co, MIN_OF(count, alone), first);
    return true;
}

bool maria_writers_look(struct cutover *co, struct err *err)
{
    co->writers.looks++;
    return look_at_sessions(co, err) &&
           (look_at_prepared(co, err) || err_wrap(err, "prepared XA transactions of the target"));
}
