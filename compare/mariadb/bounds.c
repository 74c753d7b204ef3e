/* Owns: bounds in MariaDB's words. See bounds.h. */
#include "mariadb/bounds.h"

#include "core/alloc.h"
#include "maria/quote.h"
#include "sqlparse/condition.h"

char *mariadb_bounds(const char *constraint, char **ret_reason)
{
    static const struct sql_words words = {
        .ident = maria_quote_ident, .literal = maria_quote_literal, .timestamp = "TIMESTAMP "};
    struct strbuf sql = STRBUF_INIT(4 * SQL_CONDITION_MAX);
    struct err err = ERR_INIT;
    if (sql_condition_say(constraint, &words, &sql, &err))
        return strbuf_detach(&sql);
    strbuf_release(&sql);
    *ret_reason = xasprintf(
        "the partition's bounds cannot be said to MariaDB (%s): compare the whole table, or with --where",
        err.text);
    return NULL;
}
