/* What our role may do on a MariaDB target: on the database of the URL, and on each table. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "core/alloc.h"
#include "maria/conn.h"
#include "maria/names.h"
#include "maria/rights.h"

#define SIDE           "target"
#define CONTROL_TABLES 4

/* What apply needs on each database (docs/PRIVILEGES.md). CREATE: until the control tables are there. TRIGGER shows triggers. */
static const char *const rights[] = {"SELECT",  "INSERT", "UPDATE", "DELETE", "CREATE TEMPORARY TABLES",
                                     "TRIGGER", "CREATE"};

/* GRANT … ON `d`.* TO 'me'@'host'; malloc'd. */
static char *grant(struct check *ck, const char *missing, const char *database, const char *table)
{
    struct strbuf sql = STRBUF_INIT(4000);
    struct err ignored = ERR_INIT; /* a hint is not worth an error */
    char *user CLEANUP(free_ptr) = NULL;
    if (!maria_rights_user(ck->maria, &user, &ignored))
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

static bool control_tables(struct check *ck, bool *ret_position, bool *ret_all, struct err *err)
{
    static const char sql[] =
        "SELECT COUNT(*), COALESCE(SUM(TABLE_NAME = 'crossfade_position'), 0) FROM information_schema.TABLES "
        "WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN ('crossfade_position', 'crossfade_loaded', "
        "'crossfade_release', 'crossfade_dead_letter')";
    char *count CLEANUP(free_ptr) = NULL;
    char *position CLEANUP(free_ptr) = NULL;
    if (!maria_query_text(ck->maria, sql, 0, &count, err) ||
        !maria_query_text(ck->maria, sql, 1, &position, err))
        return false;
    *ret_all = count != NULL && strtol(count, NULL, 10) == CONTROL_TABLES;
    *ret_position = position != NULL && strcmp(position, "1") == 0;
    return true;
}

bool check_mariadb_rights(struct check *ck, struct err *err)
{
    char *have CLEANUP(free_ptr) = NULL;
    bool made = false;
    const char *database = maria_database(ck->maria);
    if (!maria_rights(ck->maria, database, "", &have, err) ||
        !control_tables(ck, &ck->has_position, &made, err))
        return false;
    char *missing CLEANUP(free_ptr) = maria_rights_missing(have, rights, ARRAY_LEN(rights) - 1);
    bool may_create = made || (have != NULL && strstr(have, ",CREATE,") != NULL);
    if (may_create)
        check_add(ck, SIDE, "create", CHECK_OK, NULL, "control tables %s",
                  made ? "are there" : "can be made");
    else
        check_add_hint(ck, SIDE, "create", CHECK_FAIL, grant(ck, "CREATE", database, NULL),
                       "our role may not create the control tables crossfade_*");
    if (missing != NULL)
        check_add_hint(ck, SIDE, "privileges", CHECK_FAIL, grant(ck, missing, database, NULL),
                       "our role lacks %s on database %s", missing, database);
    else
        check_add(ck, SIDE, "privileges", CHECK_OK, NULL, "our role may write to database %s", database);
    return true;
}

bool check_mariadb_table_rights(struct check *ck, struct check_table *t, struct err *err)
{
    const char *database = maria_database_of(maria_database(ck->maria), t->source.schema);
    char *have CLEANUP(free_ptr) = NULL;
    if (!maria_rights(ck->maria, database, t->source.name, &have, err))
        return false;
    char *missing CLEANUP(free_ptr) = maria_rights_missing(have, rights, ARRAY_LEN(rights) - 1);
    if (missing == NULL)
        return true;
    t->bad = true;
    check_add_hint(ck, "tables", "privileges", CHECK_FAIL, grant(ck, missing, database, t->source.name),
                   "%s.%s: our role lacks %s on the target", t->source.schema, t->source.name, missing);
    return true;
}
