/* A target in MariaDB: can it be reached, what is our role granted, are the tables there? */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "core/alloc.h"
#include "maria/names.h"

#define SIDE           "target"
#define OLDEST_VERSION 101100
#define CONTROL_TABLES 3

/* What apply needs on each database (docs/PRIVILEGES.md). CREATE: until the control tables are there. TRIGGER shows triggers. */
static const char *const rights[] = {"SELECT",  "INSERT", "UPDATE", "DELETE", "CREATE TEMPORARY TABLES",
                                     "TRIGGER", "CREATE"};

/* Rights of the session's user on a database, whole or on one table ("" = none): GRANTEE is 'user'@'host', a database's name a
 * pattern. What comes by way of a MariaDB role is not listed there. */
static bool granted(struct check *ck, const char *database, const char *table, char **ret, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(8000);
    static const char me[] = "GRANTEE = CONCAT('''', SUBSTRING_INDEX(CURRENT_USER(), '@', "
                             "LENGTH(CURRENT_USER()) - LENGTH(REPLACE(CURRENT_USER(), '@', ''))), '''@''', "
                             "SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '''')";
    strbuf_addf(&sql,
                "SELECT CONCAT(',', GROUP_CONCAT(DISTINCT PRIVILEGE_TYPE), ',') FROM (SELECT PRIVILEGE_TYPE "
                "FROM information_schema.USER_PRIVILEGES WHERE %s UNION ALL SELECT PRIVILEGE_TYPE FROM "
                "information_schema.SCHEMA_PRIVILEGES WHERE %s AND ",
                me, me);
    maria_quote_literal(&sql, database);
    strbuf_addf(&sql,
                " LIKE TABLE_SCHEMA UNION ALL SELECT PRIVILEGE_TYPE FROM information_schema.TABLE_PRIVILEGES "
                "WHERE %s AND TABLE_SCHEMA = ",
                me);
    maria_quote_literal(&sql, database);
    strbuf_adds(&sql, " AND TABLE_NAME = ");
    maria_quote_literal(&sql, table);
    strbuf_adds(&sql, ") x");
    bool ok = strbuf_ok(&sql, "statement", err) && maria_query_text(ck->mariadb, sql.data, 0, ret, err);
    strbuf_release(&sql);
    return ok;
}

/* "SELECT, TRIGGER", of the first `count` rights; malloc'd, NULL: nothing is missing. */
static char *missing_of(const char *have, size_t count)
{
    struct strbuf out = STRBUF_INIT(1000);
    for (size_t i = 0; i < count; i++) {
        char *item CLEANUP(free_ptr) = xasprintf(",%s,", rights[i]);
        if (have == NULL || strstr(have, item) == NULL)
            strbuf_addf(&out, "%s%s", out.len > 0 ? ", " : "", rights[i]);
    }
    if (out.len > 0)
        return strbuf_detach(&out);
    strbuf_release(&out);
    return NULL;
}

/* GRANT … ON `d`.* TO 'me'@'host'; malloc'd. */
static char *grant(struct check *ck, const char *missing, const char *database, const char *table)
{
    struct strbuf sql = STRBUF_INIT(4000);
    struct err ignored = ERR_INIT; /* a hint is not worth an error */
    char *user CLEANUP(free_ptr) = NULL;
    if (!maria_query_text(
            ck->mariadb,
            "SELECT CONCAT('''', REVERSE(SUBSTRING(REVERSE(CURRENT_USER()), INSTR(REVERSE("
            "CURRENT_USER()), '@') + 1)), '''@''', SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '''')",
            0, &user, &ignored))
        user = NULL;
    strbuf_addf(&sql, "GRANT %s ON ", missing);
    maria_quote_ident(&sql, database);
    strbuf_addc(&sql, '.');
    if (table != NULL)
        maria_quote_ident(&sql, table);
    else
        strbuf_addc(&sql, '*');
    strbuf_addf(&sql, " TO %s", user != NULL ? user : "our role");
    return strbuf_detach(&sql);
}

/* In the database of the URL our control tables lie, or are to be made. */
static bool check_rights(struct check *ck, struct err *err)
{
    char *have CLEANUP(free_ptr) = NULL;
    char *there CLEANUP(free_ptr) = NULL;
    const char *database = maria_database(ck->mariadb);
    if (!granted(ck, database, "", &have, err) ||
        !maria_query_text(
            ck->mariadb,
            "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND "
            "TABLE_NAME IN ('crossfade_position', 'crossfade_loaded', 'crossfade_release')",
            0, &there, err))
        return false;
    bool made = there != NULL && strtol(there, NULL, 10) == CONTROL_TABLES;
    char *missing CLEANUP(free_ptr) = missing_of(have, ARRAY_LEN(rights) - made);
    if (missing != NULL)
        check_add_hint(ck, SIDE, "privileges", CHECK_FAIL, grant(ck, missing, database, NULL),
                       "our role lacks %s on database %s", missing, database);
    else
        check_add(ck, SIDE, "privileges", CHECK_OK, NULL,
                  "our role may write to database %s, control tables %s", database,
                  made ? "are there" : "can be made");
    return true;
}

bool check_mariadb(struct check *ck, struct err *err)
{
    struct err why = ERR_INIT;
    char *user CLEANUP(free_ptr) = NULL;
    if (!maria_open(config_text(ck->cfg, "target.url"), &ck->mariadb, &why)) {
        check_add(ck, SIDE, "reachable", CHECK_FAIL,
                  "check target.url, the password (MARIADB_PWD, ~/.my.cnf) and TLS", "%s", why.text);
        return true;
    }
    if (!maria_query_text(ck->mariadb, "SELECT CURRENT_USER()", 0, &user, err))
        return false;
    check_add(ck, SIDE, "reachable", CHECK_OK, NULL, "database %s as user %s", maria_database(ck->mariadb),
              user);
    if (maria_version(ck->mariadb) < OLDEST_VERSION)
        check_add(ck, SIDE, "version", CHECK_FAIL,
                  "MariaDB 10.11 is the oldest that works: upgrade the server", "%s",
                  maria_server(ck->mariadb));
    else
        check_add(ck, SIDE, "version", CHECK_OK, NULL, "%s", maria_server(ck->mariadb));
    return check_rights(ck, err);
}

static bool check_table(struct check *ck, struct check_table *t, struct err *err)
{
    const char *database = maria_database_of(maria_database(ck->mariadb), t->source.schema);
    struct strbuf sql = STRBUF_INIT(4000);
    char *there CLEANUP(free_ptr) = NULL;
    char *have CLEANUP(free_ptr) = NULL;
    strbuf_adds(&sql, "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = ");
    maria_quote_literal(&sql, database);
    strbuf_adds(&sql, " AND TABLE_NAME = ");
    maria_quote_literal(&sql, t->source.name);
    bool ok = strbuf_ok(&sql, "statement", err) && maria_query_text(ck->mariadb, sql.data, 0, &there, err) &&
              granted(ck, database, t->source.name, &have, err);
    strbuf_release(&sql);
    if (!ok)
        return false;
    char *missing CLEANUP(free_ptr) = missing_of(have, ARRAY_LEN(rights) - 1);
    t->bad = t->bad || there == NULL || missing != NULL;
    if (missing != NULL)
        check_add_hint(ck, "tables", "privileges", CHECK_FAIL, grant(ck, missing, database, t->source.name),
                       "%s.%s: our role lacks %s on the target", t->source.schema, t->source.name, missing);
    else if (there == NULL)
        check_add(ck, "tables", "exists", CHECK_FAIL, "crossfade schema create makes it",
                  "%s.%s: there is no such table on the target", t->source.schema, t->source.name);
    return true;
}

bool check_mariadb_tables(struct check *ck, struct err *err)
{
    size_t ready = 0;
    if (ck->mariadb == NULL)
        return true;
    for (size_t i = 0; i < ck->table_count; i++) {
        if (!check_table(ck, &ck->tables[i], err))
            return false;
        ready += !ck->tables[i].bad;
    }
    if (ck->table_count > 0)
        check_add(ck, "tables", "ready", ready == ck->table_count ? CHECK_OK : CHECK_FAIL, NULL,
                  "%zu of %zu tables (types and keys of the target: schema plan, or apply when it starts)",
                  ready, ck->table_count);
    return true;
}
