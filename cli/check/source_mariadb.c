/* Checks of a source that is MariaDB: what reading its binlog takes, and which tables would be captured. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "core/alloc.h"
#include "maria/binlog/checks.h"
#include "maria/conn.h"
#include "maria/names.h"

#define SIDE           "source"
#define OLDEST_VERSION 100600
/* Names of tables that one result lists. */
#define NAMED_MAX 5

/* "found. Hint: what to do" in two. */
static void add_setting(void *ctx, enum binlog_verdict verdict, const char *name, const char *text)
{
    static const enum check_state states[] = {[BINLOG_CHECK_UNKNOWN] = CHECK_FAIL,
                                              [BINLOG_CHECK_PASS] = CHECK_OK,
                                              [BINLOG_CHECK_WARN] = CHECK_WARN,
                                              [BINLOG_CHECK_FAIL] = CHECK_FAIL};
    static const char mark[] = ". Hint: ";
    const char *hint = strstr(text, mark);
    int found = (int)(hint != NULL ? (size_t)(hint - text) : strlen(text));
    check_add(ctx, SIDE, name, states[verdict], hint != NULL ? hint + strlen(mark) : NULL, "%.*s", found,
              text);
}

struct seen_tables {
    struct check *ck;
    const char *database;
    size_t count, keyless;
    struct strbuf names; /* of those without a key */
};

/* On a way back patterns have PostgreSQL's names. */
static const char *called(const struct seen_tables *seen, const char *database)
{
    return config_comes_from_mariadb(seen->ck->cfg) ? maria_schema_of(seen->database, database) : database;
}

static bool each_table(void *ctx, char **cells, size_t count, struct err *err)
{
    struct seen_tables *seen = ctx;
    if (count != 3 || cells[0] == NULL || cells[1] == NULL)
        return err_set(err, ERR_PROTOCOL, "an unexpected row of tables");
    if (maria_is_own_table(seen->database, cells[0], cells[1]) ||
        maria_is_nobodys_database(seen->database, cells[0]) ||
        !table_filter_matches(seen->ck->filter, called(seen, cells[0]), cells[1]))
        return true;
    seen->count++;
    if (cells[2] == NULL && seen->keyless++ < NAMED_MAX)
        strbuf_addf(&seen->names, "%s%s.%s", seen->keyless > 1 ? ", " : "", cells[0], cells[1]);
    return true;
}

static bool look_at_tables(struct check *ck, struct maria_conn *conn, struct err *err)
{
    struct seen_tables seen = {.ck = ck, .database = maria_database(conn), .names = STRBUF_INIT(4096)};
    bool ok =
        maria_query(conn,
                    "SELECT t.TABLE_SCHEMA, t.TABLE_NAME, k.CONSTRAINT_NAME FROM information_schema.TABLES t "
                    "LEFT JOIN information_schema.TABLE_CONSTRAINTS k ON k.TABLE_SCHEMA = t.TABLE_SCHEMA AND "
                    "k.TABLE_NAME = t.TABLE_NAME AND k.CONSTRAINT_TYPE = 'PRIMARY KEY' WHERE t.TABLE_TYPE IN "
                    "('BASE TABLE', 'SYSTEM VERSIONED')",
                    each_table, &seen, err);
    if (ok && seen.count == 0)
        check_add(ck, SIDE, "tables", CHECK_FAIL,
                  "source.tables are patterns database.table; the user must have SELECT on the tables",
                  "no table is captured");
    else if (ok && seen.keyless > 0)
        check_add(ck, SIDE, "tables", CHECK_WARN,
                  "rows of tables without a primary key are found by all of their columns: give them one",
                  "%zu, without a primary key: %zu (%s%s)", seen.count, seen.keyless, seen.names.data,
                  seen.keyless > NAMED_MAX ? ", …" : "");
    else if (ok)
        check_add(ck, SIDE, "tables", CHECK_OK, NULL, "%zu", seen.count);
    strbuf_release(&seen.names);
    return ok;
}

bool check_source_mariadb(struct check *ck, struct err *err)
{
    struct maria_conn *conn = NULL;
    struct err why = ERR_INIT;
    if (!maria_open_as(config_text(ck->cfg, "source.url"), "crossfade check", &conn, &why)) {
        check_add(ck, SIDE, "reachable", CHECK_FAIL,
                  "check source.url and the password (MARIADB_PWD, MYSQL_PWD, ~/.my.cnf)", "%s", why.text);
        return true;
    }
    check_add(ck, SIDE, "reachable", CHECK_OK, NULL, "database %s", maria_database(conn));
    bool old = maria_version(conn) < OLDEST_VERSION || strstr(maria_server(conn), "MariaDB") == NULL;
    check_add(ck, SIDE, "version", old ? CHECK_FAIL : CHECK_OK,
              old ? "capture reads the binlog of MariaDB 10.6 and later" : NULL, "%s", maria_server(conn));
    bool ok = old || (binlog_check(conn, add_setting, ck, err) && look_at_tables(ck, conn, err));
    check_add(ck, "tables", "not compared", CHECK_WARN,
              "crossfade check does not hold the tables of a MariaDB source against the target's: apply "
              "halts at the "
              "first that does not fit, and names it",
              "tables of the target");
    maria_close(conn);
    return ok;
}
