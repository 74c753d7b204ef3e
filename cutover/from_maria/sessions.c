/* Owns: the sessions on a source that is MariaDB, and what they must find there. See from_maria.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compare/borrowed.h"
#include "core/alloc.h"
#include "cutover/deadline.h"
#include "cutover/from_maria/from_maria.h"
#include "maria/script.h"
#include "sql/embedded.h"

/* Locks are asked for in short tries: writers wait behind us while we wait. A transaction of ours never rests: should our machine be gone
 * with the decision row locked, writers must not wait for TCP to find out. */
static const char session_sql[] =
    "SET SESSION innodb_lock_wait_timeout = 1, lock_wait_timeout = 1, idle_transaction_timeout = 10";

static bool open_at(const struct cutover *co, const char *key, struct session **ret, struct err *err)
{
    char program[80];
    struct session *fresh = NULL;
    (void)snprintf(program, sizeof program, "crossfade cutover %s", co->pipeline);
    if (!session_mariadb_as(config_text(co->cfg, key), program, &fresh, err) ||
        !session_exec(fresh, session_sql, err)) {
        session_close(fresh);
        return err_wrap(err, "%s", key);
    }
    *ret = fresh;
    return true;
}

static bool open_one(const struct cutover *co, struct session **ret, struct err *err)
{
    return open_at(co, "source.url", ret, err);
}

bool from_maria_watch_target(struct cutover *co, struct session **ret, struct err *err)
{
    struct session *fresh = NULL;
    if (!open_at(co, "target.url", &fresh, err))
        return false;
    deadline_hold(co);
    co->maria_watch = fresh;
    deadline_let_go(co);
    *ret = fresh;
    return true;
}

void from_maria_unwatch_target(struct cutover *co)
{
    struct session *old = co->maria_watch;
    deadline_hold(co);
    co->maria_watch = NULL;
    deadline_let_go(co);
    session_close(old);
}

bool from_maria_look(struct cutover *co, struct err *err)
{
    co->from_maria = xcalloc(1, sizeof *co->from_maria);
    return open_one(co, &co->from_maria->main, err);
}

bool from_maria_open(struct cutover *co, struct err *err)
{
    return from_maria_look(co, err) && open_one(co, &co->from_maria->watch, err) &&
           from_maria_lock_name(co->from_maria->main, co->pipeline, co->from_maria->lock_name, err);
}

static bool renew_one(struct cutover *co, struct session **s, struct err *err)
{
    struct session *fresh = NULL, *old = *s;
    if (old != NULL && session_exec(old, "ROLLBACK", NULL))
        return true;
    if (!open_one(co, &fresh, err))
        return false;
    deadline_hold(co);
    *s = fresh;
    deadline_let_go(co);
    session_close(old);
    return true;
}

bool from_maria_renew(struct cutover *co, struct err *err)
{
    return renew_one(co, &co->from_maria->main, err) && renew_one(co, &co->from_maria->watch, err);
}

void from_maria_close(struct cutover *co)
{
    struct from_maria *fm = co->from_maria;
    if (fm == NULL)
        return;
    session_close(fm->keeper);
    session_close(fm->watch);
    session_close(fm->main);
    free(fm->body);
    free(fm);
    co->from_maria = NULL;
}

bool from_maria_limit(struct cutover *co, int64_t ms, struct err *err)
{
    return session_limit_time(co->from_maria->main, MIN_OF(ms, INT32_MAX), err) &&
           session_limit_time(co->from_maria->watch, MIN_OF(ms, INT32_MAX), err);
}

void from_maria_sockets(const struct cutover *co, int fds[3])
{
    const struct from_maria *fm = co->from_maria;
    const struct session *all[] = {fm->main, fm->watch, fm->keeper};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        fds[i] = all[i] != NULL ? session_socket(all[i]) : -1;
}

const char *from_maria_database(const struct cutover *co)
{
    return session_database(co->from_maria->main);
}

void from_maria_add_databases(const struct cutover *co, struct strbuf *sql)
{
    cutover_add_databases(co, from_maria_database(co), sql);
}

bool from_maria_there(struct session *s, const char *table, bool *ret, struct err *err)
{
    int64_t count = 0;
    bool ok = session_int64(s,
                            "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() "
                            "AND TABLE_NAME = $1",
                            1, &table, &count, err);
    *ret = count > 0;
    return ok;
}

bool from_maria_control_tables(struct cutover *co, struct err *err)
{
    const char *script = embedded_sql_source_mariadb_cutover_sql;
    bool marker = false, decision = false;
    bool ok = from_maria_there(co->from_maria->main, "crossfade_marker", &marker, err) &&
              from_maria_there(co->from_maria->main, "crossfade_decision", &decision, err);
    if (ok && marker && decision)
        return true;
    ok = ok && session_exec(co->from_maria->main, embedded_sql_source_mariadb_sql, err);
    for (char *sql; ok && (sql = maria_script_next(&script)) != NULL; free(sql))
        ok = session_exec(co->from_maria->main, sql, err);
    return ok || err_wrap(err, "source: control tables");
}

int from_maria_row(const struct rowset *rs, const char *database, const char *name)
{
    int low = 0, high = rowset_rows(rs);
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (strcmp(rowset_cell(rs, middle, 1), name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < rowset_rows(rs) && strcmp(rowset_cell(rs, low, 1), name) == 0; low++) {
        if (strcmp(rowset_cell(rs, low, 0), database) == 0)
            return low;
    }
    return -1;
}
