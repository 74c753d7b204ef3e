/* Owns: questions to the catalog about rights. See rights.h. GRANTEE is 'user'@'host', a database's name a pattern. */
#include "maria/rights.h"

#include <string.h>

#include "core/alloc.h"

#define ME                                                                                                   \
    "CONCAT('''', SUBSTRING_INDEX(CURRENT_USER(), '@', LENGTH(CURRENT_USER()) - "                            \
    "LENGTH(REPLACE(CURRENT_USER(), '@', ''))), '''@''', SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '''')"

bool maria_rights(struct maria_conn *conn, const char *database, const char *table, char **ret,
                  struct err *err)
{
    struct strbuf sql = STRBUF_INIT(8000);
    strbuf_adds(&sql,
                "SELECT CONCAT(',', GROUP_CONCAT(DISTINCT PRIVILEGE_TYPE), ',') FROM (SELECT PRIVILEGE_TYPE "
                "FROM information_schema.USER_PRIVILEGES WHERE GRANTEE = " ME
                " UNION ALL SELECT PRIVILEGE_TYPE FROM information_schema.SCHEMA_PRIVILEGES WHERE GRANTEE "
                "= " ME " AND ");
    maria_quote_literal(&sql, database);
    strbuf_adds(&sql,
                " LIKE TABLE_SCHEMA UNION ALL SELECT PRIVILEGE_TYPE FROM information_schema.TABLE_PRIVILEGES "
                "WHERE GRANTEE = " ME " AND TABLE_SCHEMA = ");
    maria_quote_literal(&sql, database);
    strbuf_adds(&sql, " AND TABLE_NAME = ");
    maria_quote_literal(&sql, table);
    strbuf_adds(&sql, ") x");
    bool ok = strbuf_ok(&sql, "statement", err) && maria_query_text(conn, sql.data, 0, ret, err);
    strbuf_release(&sql);
    return ok;
}

char *maria_rights_missing(const char *have, const char *const *wanted, size_t count)
{
    struct strbuf out = STRBUF_INIT(1000);
    for (size_t i = 0; i < count; i++) {
        char *item CLEANUP(free_ptr) = xasprintf(",%s,", wanted[i]);
        if (have == NULL || strstr(have, item) == NULL)
            strbuf_addf(&out, "%s%s", out.len > 0 ? ", " : "", wanted[i]);
    }
    if (out.len > 0)
        return strbuf_detach(&out);
    strbuf_release(&out);
    return NULL;
}

bool maria_rights_user(struct maria_conn *conn, char **ret, struct err *err)
{
    return maria_query_text(conn, "SELECT " ME, 0, ret, err);
}
