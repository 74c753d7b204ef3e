/*
 * Owns: what a rehearsal writes on MariaDB, as an application would: the user is not apply's, and triggers fire. A row that is updated to what it
 * is would be in no binlog, so rows of the pipeline's tables are taken out and put back, which is always allowed; of the rehearsal's own
 * table they are changed.
 */
#include <stdlib.h>

#include "core/alloc.h"
#include "maria/names.h"
#include "rehearsal.h"

#define KEPT "cfr_kept"

bool proof_insert_mariadb(struct scratch *s, const char *table, const char *label, struct err *err)
{
    const char *params[] = {label};
    struct strbuf sql = STRBUF_INIT(4000), insert = STRBUF_INIT(2000);
    strbuf_adds(&insert, "INSERT INTO ");
    maria_quote_name(&insert, s->name, table);
    strbuf_adds(&insert, " WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) "
                         "SELECT $1, i, MD5(CONCAT($1, i)) FROM n");
    bool ok = strbuf_ok(&insert, "statement", err) &&
              maria_add_statement(&sql, insert.data, ARRAY_LEN(params), params, err) &&
              maria_exec(s->maria_inside, sql.data, err);
    strbuf_release(&sql);
    strbuf_release(&insert);
    return ok;
}

/* Tables, each with its columns that are not generated, and what says that a row of it, t, is that of k. */
static const char tables_sql[] =
    "SELECT t.TABLE_NAME, GROUP_CONCAT(c.name ORDER BY c.place SEPARATOR ', '), GROUP_CONCAT('t.', c.name, "
    "' <=> k.', c.name ORDER BY c.place SEPARATOR ' AND ') FROM information_schema.TABLES t JOIN (SELECT "
    "TABLE_NAME, CONCAT('`', REPLACE(COLUMN_NAME, '`', '``'), '`') AS name, ORDINAL_POSITION AS place FROM "
    "information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND IS_GENERATED = 'NEVER') c ON "
    "c.TABLE_NAME = t.TABLE_NAME WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_TYPE IN ('BASE TABLE', "
    "'SYSTEM VERSIONED') AND t.TABLE_NAME NOT LIKE '" MARIA_OWN_PREFIX "%' GROUP BY t.TABLE_NAME ORDER BY 1";

struct changing {
    struct rehearsal *r;
    struct scratch *s;
};

static bool run_each(struct maria_conn *conn, char *const *statements, size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (!maria_exec(conn, statements[i], err))
            return false;
    }
    return true;
}

static bool put_back(struct maria_conn *conn, const char *table, const char *columns, const char *same,
                     struct err *err)
{
    char *statements[] = {
        xasprintf("CREATE TEMPORARY TABLE " KEPT " AS SELECT %s FROM %s LIMIT 10", columns, table),
        xstrdup("BEGIN"),
        xasprintf("DELETE t FROM %s AS t JOIN " KEPT " AS k ON %s", table, same),
        xasprintf("INSERT INTO %s (%s) SELECT %s FROM " KEPT, table, columns, columns),
        xasprintf("DELETE FROM %s LIMIT 1", table),
        xstrdup("COMMIT"),
        xstrdup("DROP TEMPORARY TABLE " KEPT)};
    bool ok = run_each(conn, statements, ARRAY_LEN(statements), err);
    for (size_t i = 0; i < ARRAY_LEN(statements); i++)
        free(statements[i]);
    return ok;
}

static bool change_written(struct maria_conn *conn, const char *table, struct err *err)
{
    char *statements[] = {xasprintf("UPDATE %s SET value = MD5(value) WHERE number <= 10", table),
                          xasprintf("DELETE FROM %s WHERE number > 95", table)};
    bool ok = run_each(conn, statements, ARRAY_LEN(statements), err);
    for (size_t i = 0; i < ARRAY_LEN(statements); i++)
        free(statements[i]);
    return ok;
}

static bool change_table(void *ctx, char **cells, size_t count, struct err *err)
{
    const struct changing *c = ctx;
    struct maria_conn *conn = c->s->maria_inside;
    struct strbuf name = STRBUF_INIT(1000);
    if (count != 3 || cells[0] == NULL || cells[1] == NULL || cells[2] == NULL)
        return err_set(err, ERR_PROTOCOL, "an unexpected row of tables");
    if (rehearsal_stop_asked(c->r))
        return err_set(err, ERR_INTERRUPTED, "stopped");
    maria_quote_ident(&name, cells[0]);
    bool ok = strcmp(cells[0], c->r->written) == 0 ? change_written(conn, name.data, err)
                                                   : put_back(conn, name.data, cells[1], cells[2], err);
    strbuf_release(&name);
    return ok || err_wrap(err, "table=%s", cells[0]);
}

bool proof_change_mariadb(struct rehearsal *r, struct scratch *s, struct err *err)
{
    struct changing c = {r, s};
    return maria_query(s->maria_inside, tables_sql, change_table, &c, err);
}
