/* Owns: emptying tables, and crossfade_loaded, which remembers what this pipeline has filled. TRUNCATE commits on its own in
 * MariaDB, with all that was written before it: rows are deleted instead. */
#include <inttypes.h>
#include <stdlib.h>

#include "core/alloc.h"
#include "watch.h"

bool md_empty(struct md_target *mt, struct md_table *tab, struct err *err)
{
    tab->emptied = true;
    char *sql CLEANUP(free_ptr) = xasprintf("DELETE FROM %s", tab->name);
    return md_begun(mt, err) && (md_exec(mt, sql, err) || md_table_err(tab, err));
}

/* pipeline = '…' AND shard = '…' */
static void add_ours(struct strbuf *sb, const struct md_target *mt)
{
    strbuf_adds(sb, "pipeline = ");
    maria_quote_literal(sb, mt->pipeline);
    strbuf_adds(sb, " AND shard = ");
    maria_quote_literal(sb, mt->shard);
}

static bool is_known(struct md_target *mt, const struct md_table *tab, bool *ret, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    int64_t count = 0;
    strbuf_adds(&sql, "SELECT COUNT(*) FROM crossfade_loaded WHERE ");
    add_ours(&sql, mt);
    strbuf_adds(&sql, " AND schema_name = ");
    maria_quote_literal(&sql, tab->base.schema->schema);
    strbuf_adds(&sql, " AND table_name = ");
    maria_quote_literal(&sql, tab->base.schema->table);
    bool ok = strbuf_ok(&sql, "statement", err) && md_query_int64(mt, sql.data, &count, err);
    strbuf_release(&sql);
    *ret = count > 0;
    return ok;
}

static bool remember(struct md_target *mt, struct md_table *tab, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    const char *texts[] = {mt->pipeline, mt->shard, tab->base.schema->schema, tab->base.schema->table};
    strbuf_adds(&sql,
                "INSERT INTO crossfade_loaded (pipeline, shard, schema_name, table_name, attempt) VALUES (");
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        maria_quote_literal(&sql, texts[i]);
        strbuf_adds(&sql, ", ");
    }
    strbuf_addf(&sql, "%" PRIu64 ")", mt->attempt);
    bool ok = strbuf_ok(&sql, "statement", err) && md_exec(mt, sql.data, err);
    strbuf_release(&sql);
    tab->loading = ok;
    return ok;
}

static bool refuse_or_empty(struct md_target *mt, struct md_table *tab, struct err *err)
{
    char *sql CLEANUP(free_ptr) = xasprintf("SELECT EXISTS (SELECT 1 FROM %s)", tab->name);
    int64_t filled = 0;
    if (!md_query_int64(mt, sql, &filled, err))
        return md_table_err(tab, err);
    if (!filled)
        return true;
    if (!mt->truncate_nonempty)
        return err_set(
            err, ERR_SCHEMA,
            "table=%s.%s: the target table holds rows that this pipeline did not write: empty it, or set "
            "apply.on_nonempty: truncate",
            tab->base.schema->schema, tab->base.schema->table);
    return md_empty(mt, tab, err);
}

bool md_ensure_loaded(struct md_target *mt, struct md_table *tab, struct err *err)
{
    bool known = false;
    if (tab->loaded || tab->loading || mt->writer > 0) /* the lead has seen to it */
        return true;
    if (!md_begun(mt, err) || !is_known(mt, tab, &known, err))
        return false;
    if (known) {
        tab->loading = true; /* settled by the next commit: the row may be of this very transaction */
        return true;
    }
    /* Without a copy the rows are there already, and are to stay. */
    return (mt->attempt == 0 || refuse_or_empty(mt, tab, err)) && remember(mt, tab, err);
}

static bool delete_known(struct md_target *mt, const char *schema, const char *table, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    struct err failed = ERR_INIT;
    strbuf_adds(&sql, "DELETE FROM ");
    md_add_table_name(&sql, mt, schema, table);
    bool ok =
        strbuf_ok(&sql, "statement", err) && (md_exec(mt, sql.data, &failed) || failed.code == ERR_SCHEMA);
    if (!ok && err_is_set(&failed))
        *err = failed;
    strbuf_release(&sql);
    return ok; /* a table that is gone is empty */
}

/* What was loaded directly goes with its rows: attempts of a new journal have the numbers of the old one's. The claim is first: behind it
 * no loader's transaction runs. */
static bool forget_direct(struct md_target *mt, struct err *err)
{
    static const char *const tables[] = {"load", "table", "chunk"};
    bool there = false, ok = md_direct_there(mt, &there, err);
    for (size_t i = 0; ok && there && i < ARRAY_LEN(tables); i++) {
        struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
        strbuf_addf(&sql, "DELETE FROM crossfade_direct_%s WHERE pipeline = ", tables[i]);
        maria_quote_literal(&sql, mt->pipeline);
        ok = strbuf_ok(&sql, "statement", err) && md_exec(mt, sql.data, err);
        strbuf_release(&sql);
    }
    return ok;
}

bool md_reset(struct md_target *mt, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    MD_ROWS rows = {0};
    strbuf_adds(&sql, "SELECT schema_name, table_name FROM crossfade_loaded WHERE ");
    add_ours(&sql, mt);
    bool ok = strbuf_ok(&sql, "statement", err) && md_begun(mt, err) && forget_direct(mt, err) &&
              md_watch_reset(mt, err) && md_query(mt, sql.data, &rows, err);
    while (ok && md_next(&rows))
        ok = delete_known(mt, rows.cell[0], rows.cell[1], err);
    strbuf_clear(&sql);
    strbuf_adds(&sql, "DELETE FROM crossfade_loaded WHERE ");
    add_ours(&sql, mt);
    ok = ok && strbuf_ok(&sql, "statement", err) && md_exec(mt, sql.data, err);
    strbuf_release(&sql);
    for (size_t i = 0; ok && i < mt->table_count; i++)
        mt->tables[i]->loaded = mt->tables[i]->loading = false;
    return ok;
}
