/* Owns: the warning about what InnoDB's foreign keys change by themselves on a source of MariaDB or MySQL: no binlog has it. */
#include "core/log.h"
#include "mariadb.h"

bool md_tell_cascades(struct md_target *mt, const struct md_table *tab, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    int64_t found = 0;
    if (!tab->base.schema->silent_cascades)
        return true;
    strbuf_adds(&sql,
                "SELECT COUNT(*) FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE "
                "(DELETE_RULE IN ('CASCADE', 'SET NULL') OR UPDATE_RULE IN ('CASCADE', 'SET NULL')) AND "
                "UNIQUE_CONSTRAINT_SCHEMA = ");
    maria_quote_literal(&sql, tab->database);
    strbuf_adds(&sql, " AND REFERENCED_TABLE_NAME = ");
    maria_quote_literal(&sql, tab->base.schema->table);
    bool ok = strbuf_ok(&sql, "statement", err) && md_query_int64(mt, sql.data, &found, err);
    strbuf_release(&sql);
    if (ok && found > 0)
        log_event(
            LOG_LEVEL_WARN, "cascades_unseen",
            "table=%s.%s text=\"foreign keys that refer to it cascade (or set null): what InnoDB "
            "does by them on the source is in no topic, and apply's session does not check foreign keys: "
            "rows of the tables that refer to it stay as they are here; compare them\"",
            tab->base.schema->schema, tab->base.schema->table);
    return ok;
}
