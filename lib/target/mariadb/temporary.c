/* Owns: when a session's temporary tables go. An apply may run for months: what it has made for tables, and for shapes of tables, that
 * it meets no more would stay with the server (files, and entries of its caches) until it reconnects. */
#include <string.h>

#include "watch.h"

/* Tables that have some (a hold, or the three of a look); more, and all are dropped, to be made again when they are needed. */
#define MOST 50

static bool has_some(const struct md_table *tab)
{
    return tab->held || (tab->watch != NULL && tab->watch->made);
}

void md_temporary_made(struct md_target *mt, const struct md_table *tab)
{
    mt->temporary_count++;
    for (size_t i = 0; i < mt->table_count; i++) {
        const struct md_table *other = mt->tables[i];
        if (other != tab && has_some(other) && strcmp(other->name, tab->name) == 0)
            mt->temporaries_stale = true; /* its columns were others */
    }
}

static void add_names(struct strbuf *sql, const struct md_table *tab)
{
    static const char letters[] = {'s', 'n', 'd'};
    if (tab->held) {
        strbuf_adds(sql, sql->len > 0 ? ", " : "DROP TEMPORARY TABLE IF EXISTS ");
        md_sql_hold_name(sql, tab);
    }
    for (size_t i = 0; tab->watch != NULL && tab->watch->made && i < sizeof letters; i++) {
        strbuf_adds(sql, sql->len > 0 ? ", " : "DROP TEMPORARY TABLE IF EXISTS ");
        md_watch_name(sql, tab, letters[i]);
    }
}

static void forget(struct md_table *tab)
{
    for (size_t i = 0; i < tab->set_count; i++)
        md_stmt_release(&tab->sets[i]->hold);
    tab->held = false;
    if (tab->watch == NULL)
        return;
    md_stmt_release(&tab->watch->stage);
    tab->watch->made = false;
}

bool md_temporary_tidy(struct md_target *mt, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    if (mt->temporary_count <= MOST && !mt->temporaries_stale)
        return true;
    for (size_t i = 0; i < mt->table_count; i++)
        add_names(&sql, mt->tables[i]);
    bool ok = sql.len == 0 || (strbuf_ok(&sql, "statement", err) && md_exec(mt, sql.data, err));
    strbuf_release(&sql);
    for (size_t i = 0; ok && i < mt->table_count; i++)
        forget(mt->tables[i]);
    if (ok) {
        mt->temporary_count = 0;
        mt->temporaries_stale = false;
    }
    return ok;
}
