/* Owns: the target's session, and plain queries in it. How one connects, and errors: lib/maria. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "maria/wait.h"
#include "mariadb.h"

#define OLDEST_VERSION 101100

static bool fail_here(struct md_target *mt, const char *sql, struct err *err)
{
    char head[72];
    (void)snprintf(head, sizeof head, "%.*s", (int)strnlen(sql, 68), sql);
    return maria_fail(mysql_errno(mt->my), mysql_sqlstate(mt->my), mysql_error(mt->my), head, err);
}

bool md_exec_count(struct md_target *mt, const char *sql, int64_t *ret_touched, struct err *err)
{
    if (maria_wait_query(mt->my, sql, (unsigned long)strlen(sql)) != 0)
        return fail_here(mt, sql, err);
    MYSQL_RES *res = mysql_store_result(mt->my);
    if (res == NULL && mysql_errno(mt->my) != 0)
        return fail_here(mt, sql, err);
    *ret_touched = res == NULL ? (int64_t)mysql_affected_rows(mt->my) : 0;
    mysql_free_result(res);
    return true;
}

bool md_exec(struct md_target *mt, const char *sql, struct err *err)
{
    int64_t touched;
    return md_exec_count(mt, sql, &touched, err);
}

bool md_query(struct md_target *mt, const char *sql, struct md_rows *ret, struct err *err)
{
    if (maria_wait_query(mt->my, sql, (unsigned long)strlen(sql)) != 0)
        return fail_here(mt, sql, err);
    MYSQL_RES *res = mysql_store_result(mt->my);
    if (res == NULL)
        return mysql_errno(mt->my) != 0 ? fail_here(mt, sql, err)
                                        : err_set(err, ERR_BUG, "a query without a result");
    *ret = (struct md_rows){.res = res};
    return true;
}

bool md_next(struct md_rows *rows)
{
    rows->cell = mysql_fetch_row(rows->res);
    return rows->cell != NULL;
}

void md_rows_end(struct md_rows *rows)
{
    mysql_free_result(rows->res);
    *rows = (struct md_rows){0};
}

bool md_query_int64(struct md_target *mt, const char *sql, int64_t *ret, struct err *err)
{
    MD_ROWS rows = {0};
    if (!md_query(mt, sql, &rows, err))
        return false;
    *ret = md_next(&rows) && rows.cell[0] != NULL ? strtoll(rows.cell[0], NULL, 10) : 0;
    return true;
}

/* Strict, or values would be cut and dates zeroed in silence; 0 is a value of an auto_increment column; rows are found under the
 * source's clock. Foreign keys are not checked: the source has, and what cascades comes as changes of its own (MariaDB would
 * cascade a second time). READ COMMITTED: nothing is read that must stay, and gaps need not be locked. */
static const char SESSION[] =
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,"
    "NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', foreign_key_checks = 0, "
    "unique_checks = 1, "
    "check_constraint_checks = 1, tx_isolation = 'READ-COMMITTED', tx_read_only = 0, autocommit = 1, "
    "innodb_lock_wait_timeout = 30, lock_wait_timeout = 30, wait_timeout = 28800, max_statement_time = 0, "
    "explicit_defaults_for_timestamp = 1, sql_auto_is_null = 0, sql_safe_updates = 0, "
    "sql_select_limit = 18446744073709551615, completion_type = 0, idle_transaction_timeout = 0, "
    "idle_readonly_transaction_timeout = 0, idle_write_transaction_timeout = 0";

static bool check_session(struct md_target *mt, struct err *err)
{
    MD_ROWS rows = {0};
    if (!md_query(mt,
                  "SELECT FIND_IN_SET('STRICT_ALL_TABLES', @@SESSION.sql_mode) > 0 AND @@SESSION.time_zone = "
                  "'+00:00' AND "
                  "@@SESSION.character_set_client = 'utf8mb4', @@GLOBAL.max_allowed_packet, "
                  "COALESCE(FROM_UNIXTIME(4294967295), FROM_UNIXTIME(2147483647)), "
                  "@@lower_case_table_names",
                  &rows, err))
        return false;
    if (!md_next(&rows) || strcmp(rows.cell[0], "1") != 0)
        return err_set(err, ERR_CONFIG,
                       "the session does not keep strict sql_mode, time_zone +00:00 and utf8mb4: does a "
                       "proxy change it?");
    mt->packet_bytes = (size_t)strtoull(rows.cell[1], NULL, 10);
    (void)snprintf(mt->latest, sizeof mt->latest, "%s", rows.cell[2]);
    mt->caseless = strcmp(rows.cell[3], "0") != 0;
    mt->array_bytes = MIN_OF(MD_ARRAY_BYTES, mt->packet_bytes / 2);
    return true;
}

bool md_connect(struct md_target *mt, const char *text, struct err *err)
{
    const struct maria_login login = {.url = text,
                                      .program = mt->loads ? "crossfade load" : "crossfade apply",
                                      .flags = CLIENT_FOUND_ROWS | (mt->loads ? CLIENT_LOCAL_FILES : 0)};
    if (!maria_connect(&login, &mt->my, &mt->database, err))
        return false;
    if (mt->loads)
        md_file_refuse(mt);
    if (!mariadb_connection(mt->my) || mysql_get_server_version(mt->my) < OLDEST_VERSION)
        return err_set(err, ERR_UNSUPPORTED, "the server is %s: MariaDB 10.11 or later is needed",
                       mysql_get_server_info(mt->my));
    (void)pthread_mutex_lock(&mt->lock);
    mt->fd = (int)mysql_get_socket(mt->my);
    (void)pthread_mutex_unlock(&mt->lock);
    return md_exec(mt, SESSION, err) && check_session(mt, err);
}

void md_disconnect(struct md_target *mt)
{
    (void)pthread_mutex_lock(&mt->lock);
    mt->fd = -1;
    (void)pthread_mutex_unlock(&mt->lock);
    maria_disconnect(mt->my);
    mt->my = NULL;
}

/* The server looks at a prepared statement's tables each time, and prepares it anew, without a word, where one was altered: then the plans of
 * our columns (plan.c) are of a table that is no more, and it may have got a trigger. Com_stmt_reprepare counts these, by session. */
bool md_check_unaltered(struct md_target *mt, struct err *err)
{
    MD_ROWS rows = {0};
    if (!md_query(mt, "SHOW SESSION STATUS LIKE 'Com_stmt_reprepare'", &rows, err))
        return false;
    if (!md_next(&rows) || strcmp(rows.cell[1], "0") == 0)
        return true;
    return err_set(err, ERR_CONNECT,
                   "a table was altered on the target while it was written: nothing of the batch is "
                   "committed, all tables are looked at anew");
}
