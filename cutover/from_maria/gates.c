/* Owns: the gates of a rollback from MariaDB, where its source is asked something else than a PostgreSQL. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compare/borrowed.h"
#include "config/reverse.h"
#include "config/table_filter.h"
#include "core/alloc.h"
#include "cutover/back.h"
#include "cutover/deadline.h"
#include "cutover/from_maria/from_maria.h"
#include "cutover/poolers/poolers.h"
#include "cutover/prepare/prepare.h"
#include "maria/binlog/checks.h"
#include "maria/names.h"

/* --- the server --- */

static void take_check(void *ctx, enum binlog_verdict verdict, const char *name, const char *text)
{
    struct gate_result *gate = ctx;
    bool setting = strncmp(name, "log_bin", 7) == 0 || strncmp(name, "binlog_", 7) == 0; /* no right */
    if (setting && verdict == BINLOG_CHECK_FAIL && gate->verdict == GATE_OK)
        gate_refuse(gate, "%s: %.300s", name, text);
}

void from_maria_ask_metadata(struct session *s, struct gate_result *gate)
{
    struct err failed = ERR_INIT;
    char *text CLEANUP(free_ptr) = NULL;
    if (!session_text(s, "SELECT @@GLOBAL.binlog_row_metadata", 0, NULL, &text, &failed))
        (void)gate_unmeasured(gate, &failed);
    else if (text == NULL || strcmp(text, "FULL") != 0)
        gate_refuse(gate, "on MariaDB: SET GLOBAL binlog_row_metadata = FULL, and in its configuration");
}

/* The decision is a commit here: with the server's defaults a power failure may take it back, with PostgreSQL open by then. */
static void ask_durable(struct session *s, struct gate_result *gate)
{
    struct err failed = ERR_INIT;
    int64_t durable = 0;
    if (!session_int64(s, "SELECT @@GLOBAL.sync_binlog = 1 AND @@GLOBAL.innodb_flush_log_at_trx_commit = 1",
                       0, NULL, &durable, &failed))
        (void)gate_unmeasured(gate, &failed);
    else if (durable != 1)
        gate_refuse(gate,
                    "a power failure on the source could undo the decision: SET GLOBAL sync_binlog = 1; "
                    "SET GLOBAL innodb_flush_log_at_trx_commit = 1, and in its configuration");
}

static bool gate_binlog(struct cutover *co, struct gate_result *gate)
{
    struct err failed = ERR_INIT;
    gate_limit(gate, "the source's binlog can be followed");
    gate_measured(gate, "%s", session_server(co->from_maria->main));
    /* As the cutover's role: whether capture's may read it, capture itself has found. */
    if (!binlog_check(session_mariadb_conn(co->from_maria->watch), take_check, gate, &failed))
        return gate_unmeasured(gate, &failed);
    if (gate->verdict == GATE_OK)
        from_maria_ask_metadata(co->from_maria->watch, gate);
    if (gate->verdict == GATE_OK)
        ask_durable(co->from_maria->watch, gate);
    return true;
}

/* --- who writes --- */

static bool gate_xa(struct cutover *co, struct gate_result *gate)
{
    char *names CLEANUP(free_ptr) = NULL;
    struct err failed = ERR_INIT;
    gate_limit(gate, "none");
    if (!from_maria_prepared(co, &names, &failed))
        return gate_unmeasured(gate, &failed);
    gate_measured(gate, "%s", names != NULL ? "some" : "0 open");
    if (names != NULL)
        gate_refuse(gate, "finish them: XA COMMIT or XA ROLLBACK: %.200s", names);
    return true;
}

/* Row events of another primary, or of another node of a cluster, fire no triggers here; nor do locks reach over nodes. */
static bool gate_replica(struct cutover *co, struct gate_result *gate)
{
    struct err failed = ERR_INIT;
    ROWSET_AUTO rs = NULL;
    gate_limit(gate, "none");
    if (!session_ask(co->from_maria->watch,
                     "SELECT (SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND IN "
                     "('Slave_SQL', 'Slave_worker')), (SELECT COUNT(*) FROM "
                     "information_schema.GLOBAL_VARIABLES WHERE VARIABLE_NAME = 'WSREP_ON' AND "
                     "VARIABLE_VALUE = 'ON')",
                     0, NULL, &rs, &failed))
        return gate_unmeasured(gate, &failed);
    int64_t count = rowset_int64(rs, 0, 0);
    gate_measured(gate, "%" PRId64 " threads that write what another server sends", count);
    if (count > 0)
        gate_refuse(gate, "the source is a replica, whose rows no trigger stops: STOP ALL SLAVES");
    if (rowset_int64(rs, 0, 1) > 0)
        gate_refuse(gate,
                    "the source is a node of a cluster (wsrep_on): closing is one node's, and the others "
                    "would take writes");
    return true;
}

static bool gate_old(struct cutover *co, struct gate_result *gate)
{
    int64_t limit_ms = deadline_option_ms(co->cfg, "cutover.max_transaction_age_s");
    struct statement st = {STRBUF_INIT(STRBUF_SQL_MAX), 0, NULL};
    struct err failed = ERR_INIT;
    ROWSET_AUTO rs = NULL;
    gate_limit(gate, "none that is open for longer than %" PRId64 " s", limit_ms / 1000);
    strbuf_addf(&st.sql,
                "SELECT COUNT(*), GROUP_CONCAT(CONCAT('id=', l.ID, ' user=', l.USER) SEPARATOR ', ') FROM "
                "information_schema.INNODB_TRX t JOIN information_schema.PROCESSLIST l ON l.ID = "
                "t.trx_mysql_thread_id WHERE t.trx_started < " MARIA_MACHINE_TIME " - INTERVAL %" PRId64
                " MICROSECOND AND l.USER <> SUBSTRING_INDEX(USER(), '@', 1) AND (l.DB IS NULL OR l.DB IN (",
                limit_ms * 1000);
    from_maria_add_databases(co, &st.sql);
    strbuf_adds(&st.sql, "))");
    bool ok = session_query(co->from_maria->watch, &st, &rs, &failed);
    strbuf_release(&st.sql);
    if (!ok)
        return gate_unmeasured(gate, &failed);
    gate_measured(gate, "%" PRId64 " older", rowset_int64(rs, 0, 0));
    if (rowset_int64(rs, 0, 0) > 0)
        gate_refuse(gate, "let them end, or end them: %.200s", rowset_cell(rs, 0, 1));
    return true;
}

/* --- what we may do --- */

/* The right TRIGGER, tried on a table of our own: with a binlog the server asks for more than it says of (log_bin_trust_function_creators). */
static bool try_trigger(struct cutover *co, struct err *err)
{
    ROWSET_AUTO none = NULL;
    return session_exec(co->from_maria->main,
                        "CREATE OR REPLACE TRIGGER crossfade_try BEFORE DELETE ON crossfade_marker FOR "
                        "EACH ROW BEGIN "
                        "END",
                        err) &&
           session_exec(co->from_maria->main, "DROP TRIGGER IF EXISTS crossfade_try", err) &&
           session_ask(co->from_maria->watch,
                       "SELECT COUNT(*) FROM information_schema.INNODB_TRX t JOIN "
                       "information_schema.INNODB_LOCK_WAITS "
                       "w ON w.blocking_trx_id = t.trx_id",
                       0, NULL, &none, err);
}

/* "GRANT SELECT, CONNECTION ADMIN ON *.* TO `u`@`%`": also those of the active role. SUPER is it before 10.11. */
static bool grant_may_end(const char *grant, int version)
{
    const char *on = strstr(grant, " ON *.* TO ");
    if (on == NULL)
        return false;
    char *what CLEANUP(free_ptr) = xstrndup(grant, (size_t)(on - grant));
    return strstr(what, "ALL PRIVILEGES") != NULL || strstr(what, "CONNECTION ADMIN") != NULL ||
           (version < 101100 && strstr(what, "SUPER") != NULL);
}

/* To end others' sessions. */
static bool may_end(struct cutover *co, bool *ret, struct err *err)
{
    struct session *s = co->from_maria->main;
    ROWSET_AUTO rs = NULL;
    *ret = false;
    if (!session_ask(s, "SHOW GRANTS", 0, NULL, &rs, err))
        return false;
    for (int i = 0; i < rowset_rows(rs) && !*ret; i++)
        *ret = grant_may_end(rowset_cell(rs, i, 0), session_version(s));
    return true;
}

static void ask_rights(struct cutover *co, struct gate_result *gate)
{
    struct err failed = ERR_INIT;
    bool ends = false;
    if (!try_trigger(co, &failed))
        gate_refuse(gate,
                    "on the source: %.300s. GRANT TRIGGER on its databases and PROCESS, CONNECTION ADMIN ON "
                    "*.* to our "
                    "role, and SET GLOBAL log_bin_trust_function_creators = 1",
                    failed.text);
    else if (!may_end(co, &ends, &failed))
        (void)gate_unmeasured(gate, &failed);
    else if (!ends)
        gate_refuse(gate,
                    "on the source: GRANT CONNECTION ADMIN ON *.* to our role, for ending writers that stay");
}

static bool gate_rights(struct cutover *co, struct gate_result *gate)
{
    struct err failed = ERR_INIT;
    char *user CLEANUP(free_ptr) = NULL;
    gate_limit(gate, "TRIGGER, PROCESS and CONNECTION ADMIN on the source");
    ask_rights(co, gate);
    gate_measured(gate, "%s", gate->verdict == GATE_OK ? "all there" : "some are missing");
    if (gate->verdict == GATE_OK && !from_maria_apply_user(co, &user, &failed)) {
        gate_measured(gate, "no apply");
        gate_refuse(gate, "%.700s", failed.text);
    }
    return true;
}

/* --- tables --- */

/* Of all databases: capture takes from any. */
static bool read_tables(struct cutover *co, struct rowset **ret, struct err *err)
{
    return session_ask(
        co->from_maria->main,
        "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE = 'BASE TABLE' AND ENGINE <=> 'InnoDB' FROM "
        "information_schema.TABLES WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') "
        "ORDER BY BINARY TABLE_NAME",
        0, NULL, ret, err);
}

/* Its capture takes what source.tables name, by the names of the way there. */
static void all_are_captured(struct cutover *co, const struct table_filter *filter, struct gate_result *gate)
{
    for (size_t i = 0; i < co->table_count && gate->verdict == GATE_OK; i++) {
        const struct cutover_table *t = &co->tables[i];
        if (!table_filter_matches(filter, t->schema, t->table))
            gate_refuse(
                gate,
                "not captured on the source: %.70s.%.70s; name it in source.tables, and start `crossfade "
                "--reverse capture` anew",
                t->schema, t->table);
    }
}

/* Marks the rows of the pipeline's tables. */
static size_t find_ours(struct cutover *co, const struct rowset *there, bool *ours, struct gate_result *gate)
{
    size_t missing = 0;
    for (size_t i = 0; i < co->table_count; i++) {
        const struct cutover_table *t = &co->tables[i];
        char name[MARIA_NAME_BYTES];
        (void)maria_name(t->table, name);
        int row = from_maria_row(there, maria_database_of(from_maria_database(co), t->schema), name);
        if (row >= 0)
            ours[row] = true;
        if ((row < 0 || !rowset_bool(there, row, 2)) && missing++ == 0)
            gate_refuse(gate, "a table is not on the source, or not of InnoDB: %.70s.%.70s", t->schema,
                        t->table);
    }
    return missing;
}

static bool is_captured(const struct cutover *co, const struct table_filter *filter, const char *database,
                        const char *table)
{
    const char *home = from_maria_database(co);
    return !maria_is_nobodys_database(home, database) && !maria_is_own_table(home, database, table) &&
           table_filter_matches(filter, maria_schema_of(home, database), table);
}

/* One that was made after the cutover sends its rows, and would be neither closed nor compared. */
static void all_are_ours(struct cutover *co, const struct table_filter *filter, const struct rowset *there,
                         const bool *ours, struct gate_result *gate)
{
    for (int i = 0; i < rowset_rows(there) && gate->verdict == GATE_OK; i++) {
        const char *database = rowset_cell(there, i, 0), *table = rowset_cell(there, i, 1);
        char forward[64];
        if (ours[i] || !is_captured(co, filter, database, table))
            continue;
        config_other_pipeline(co->cfg, forward);
        gate_refuse(
            gate,
            "captured on the source, but not published by pipeline %s, so it would not be closed: "
            "%.70s.%.70s. On PostgreSQL: ALTER PUBLICATION crossfade_%s ADD TABLE that one; if it cannot "
            "be published (UNLOGGED), leave it out of source.tables, and start `crossfade --reverse "
            "capture` anew",
            forward, maria_schema_of(from_maria_database(co), database), table, forward);
    }
}

static bool gate_tables(struct cutover *co, struct gate_result *gate)
{
    ROWSET_AUTO there = NULL;
    struct table_filter *filter = NULL;
    struct err failed = ERR_INIT;
    gate_limit(gate, "all are there, InnoDB, captured, and no others are");
    if (!read_tables(co, &there, &failed) || !table_filter_from_config(co->cfg, &filter, &failed))
        return gate_unmeasured(gate, &failed);
    bool *ours = xcalloc((size_t)rowset_rows(there) + 1, sizeof *ours);
    all_are_captured(co, filter, gate);
    size_t missing = find_ours(co, there, ours, gate);
    all_are_ours(co, filter, there, ours, gate);
    free(ours);
    table_filter_free(filter);
    gate_measured(gate, "%zu tables, %zu missing", co->table_count, missing);
    return true;
}

/* The cutover's own steps are on the source. */
static bool gate_other(struct cutover *co, struct gate_result *gate)
{
    struct back back;
    struct err failed = ERR_INIT;
    ROWSET_AUTO rs = NULL;
    if (!back_of(co, &back, &failed))
        return false;
    const char *params[] = {back.view.pipeline};
    gate_limit(gate, "ended");
    bool ok = store_ask(&back.view, STORE_FIND_OPEN, 1, params, &rs, &failed);
    back_release(&back);
    if (!ok)
        return gate_unmeasured(gate, &failed);
    bool open = rowset_rows(rs) > 0;
    gate_measured(gate, "%s %s", open ? rowset_cell(rs, 0, 0) : "", open ? rowset_cell(rs, 0, 2) : "ended");
    if (open)
        gate_refuse(gate, "bring it to its end first: crossfade cutover resume");
    return true;
}

static bool gate_no_poolers(struct cutover *co, struct gate_result *gate)
{
    return poolers_count(co) > 0 && maria_gate_poolers(co, gate);
}

#define NOT_MARIADB "PostgreSQL's own: the source is MariaDB"

static const struct {
    const char *name;
    gate_fn *ask;
    const char *none;
} table[] = {
    {"other_direction", gate_other, NULL},
    {"slot", gate_binlog, NULL},
    {"publication", gate_tables, NULL},
    {"replica_identity", NULL, "the binlog holds whole rows"},
    {"subscriptions", gate_replica, NULL},
    {"schema", NULL, "the old source has the definitions that it served with"},
    {"sequences", counters_back_gate, NULL},
    {"large_objects", NULL, NOT_MARIADB},
    {"unlogged_tables", NULL, NOT_MARIADB},
    {"grants", NULL, "the old source has the rights that it served with"},
    {"prepared_transactions", gate_xa, NULL},
    {"old_transactions", gate_old, NULL},
    {"privileges", gate_rights, NULL},
    {"poolers", gate_no_poolers, NULL},
};

gate_fn *from_maria_gate(const char *name, const char **ret_none)
{
    *ret_none = NULL;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (strcmp(table[i].name, name) != 0)
            continue;
        *ret_none = table[i].none;
        return table[i].ask;
    }
    return NULL;
}
