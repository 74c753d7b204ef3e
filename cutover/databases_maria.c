/* Owns: which databases of a MariaDB the pipeline's tables are in. */
#include <string.h>

#include "cutover/cutover_internal.h"
#include "maria/names.h"
#include "maria/quote.h"

void cutover_add_databases(const struct cutover *co, const char *home, struct strbuf *sql)
{
    maria_quote_literal(sql, home);
    for (size_t i = 0; i < co->table_count; i++) {
        if (i > 0 && strcmp(co->tables[i].schema, co->tables[i - 1].schema) == 0)
            continue;
        strbuf_adds(sql, ", ");
        maria_quote_literal(sql, maria_database_of(home, co->tables[i].schema));
    }
}
