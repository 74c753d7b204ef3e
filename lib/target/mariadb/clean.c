/* Owns: emptying tables, and crossfade_loaded, which remembers what this pipeline has filled. TRUNCATE commits on its own in
 * MariaDB, with all that was written before it: rows are deleted instead. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

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

/* ('schema', 'table'), … */
static void add_names(struct strbuf *sb, struct md_table *const *tabs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        strbuf_adds(sb, i > 0 ? ", (" : "(");
        maria_quote_literal(sb, tabs[i]->base.schema->schema);
        strbuf_adds(sb, ", ");
        maria_quote_literal(sb, tabs[i]->base.schema->table);
        strbuf_addc(sb, ')');
    }
}

static bool is_named(const struct md_table *tab, char *const *cell)
{
    return strcmp(tab->base.schema->schema, cell[0]) == 0 && strcmp(tab->base.schema->table, cell[1]) == 0;
}

/* Those that crossfade_loaded has are out of tabs: the next commit settles it, since the row may be of this very transaction. */
static bool find_known(struct md_target *mt, struct md_table **tabs, size_t *count, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    MD_ROWS rows = {0};
    size_t kept = 0;
    strbuf_adds(&sql, "SELECT schema_name, table_name FROM crossfade_loaded WHERE ");
    add_ours(&sql, mt);
    strbuf_adds(&sql, " AND (schema_name, table_name) IN (");
    add_names(&sql, tabs, *count);
    strbuf_addc(&sql, ')');
    bool ok = strbuf_ok(&sql, "statement", err) && md_query(mt, sql.data, &rows, err);
    strbuf_release(&sql);
    while (ok && md_next(&rows)) {
        for (size_t i = 0; i < *count; i++)
            tabs[i]->loading = tabs[i]->loading || is_named(tabs[i], rows.cell);
    }
    for (size_t i = 0; i < *count; i++) {
        if (!tabs[i]->loading)
            tabs[kept++] = tabs[i];
    }
    *count = kept;
    return ok;
}

static bool remember(struct md_target *mt, struct md_table *const *tabs, size_t count, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql,
                "INSERT INTO crossfade_loaded (pipeline, shard, schema_name, table_name, attempt) VALUES ");
    for (size_t i = 0; i < count; i++) {
        const char *texts[] = {mt->pipeline, mt->shard, tabs[i]->base.schema->schema,
                               tabs[i]->base.schema->table};
        strbuf_adds(&sql, i > 0 ? ", (" : "(");
        for (size_t k = 0; k < ARRAY_LEN(texts); k++) {
            maria_quote_literal(&sql, texts[k]);
            strbuf_adds(&sql, ", ");
        }
        strbuf_addf(&sql, "%" PRIu64 ")", mt->attempt);
    }
    bool ok = strbuf_ok(&sql, "statement", err) && md_exec(mt, sql.data, err);
    strbuf_release(&sql);
    for (size_t i = 0; ok && i < count; i++)
        tabs[i]->loading = true;
    return ok;
}

static bool empty_filled(struct md_target *mt, struct md_table *tab, struct err *err)
{
    if (!mt->truncate_nonempty)
        return err_set(
            err, ERR_SCHEMA,
            "table=%s.%s: the target table holds rows that this pipeline did not write: empty it, or set "
            "apply.on_nonempty: truncate",
            tab->base.schema->schema, tab->base.schema->table);
    return md_empty(mt, tab, err);
}

static bool refuse_or_empty(struct md_target *mt, struct md_table *const *tabs, size_t count, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    MD_ROWS rows = {0};
    for (size_t i = 0; i < count; i++)
        strbuf_addf(&sql, "%sSELECT %zu FROM DUAL WHERE EXISTS (SELECT 1 FROM %s)",
                    i > 0 ? " UNION ALL " : "", i, tabs[i]->name);
    bool ok = strbuf_ok(&sql, "statement", err) && md_query(mt, sql.data, &rows, err);
    strbuf_release(&sql);
    if (!ok && count == 1)
        return md_table_err(tabs[0], err);
    while (ok && md_next(&rows))
        ok = empty_filled(mt, tabs[strtoull(rows.cell[0], NULL, 10)], err);
    return ok;
}

/* Whether this pipeline has been cut over: then applications have written here, whose rows are never in the way, and never emptied. */
static bool has_served(struct md_target *mt, bool *ret, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    struct err failed = ERR_INIT;
    int64_t served = 0;
    strbuf_adds(&sql,
                "SELECT EXISTS (SELECT 1 FROM crossfade_cutover WHERE state IN ('switching', 'done') AND "
                "pipeline = ");
    maria_quote_literal(&sql, mt->pipeline);
    strbuf_addc(&sql, ')');
    bool ok = strbuf_ok(&sql, "statement", &failed) && md_query_int64(mt, sql.data, &served, &failed);
    strbuf_release(&sql);
    *ret = served == 1;
    if (ok || failed.code == ERR_SCHEMA) /* an earlier version has made the tables */
        return true;
    *err = failed;
    return err_wrap(err, "whether the target has served already");
}

static bool unless_served(struct md_target *mt, struct md_table *const *tabs, size_t count, struct err *err)
{
    bool served = false;
    return has_served(mt, &served, err) && (served || refuse_or_empty(mt, tabs, count, err));
}

static bool ensure_some(struct md_target *mt, struct md_table **tabs, size_t count, struct err *err)
{
    if (!md_begun(mt, err) || !find_known(mt, tabs, &count, err))
        return false;
    /* Without a copy the rows are there already, and are to stay. */
    return count == 0 ||
           ((mt->attempt == 0 || unless_served(mt, tabs, count, err)) && remember(mt, tabs, count, err));
}

void md_touch(struct md_target *mt, struct md_table *tab)
{
    if (tab->touched)
        return;
    if (mt->touched_count == mt->touched_cap) {
        mt->touched_cap = mt->touched_cap == 0 ? 64 : 2 * mt->touched_cap;
        mt->touched = xrealloc(mt->touched, mt->touched_cap * sizeof(struct md_table *));
    }
    mt->touched[mt->touched_count++] = tab;
    tab->touched = true;
}

bool md_ensure_loaded(struct md_target *mt, const struct target_batch *batches, size_t count, struct err *err)
{
    struct md_table *some[MD_PREPARE_TABLES];
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        struct md_table *tab = (struct md_table *)batches[i].table;
        bool twin = false;
        md_touch(mt, tab);
        if (tab->loaded || tab->loading || mt->writer > 0) /* the lead has seen to it */
            continue;
        for (size_t k = 0; !twin && k < n; k++)
            twin = strcmp(some[k]->name, tab->name) == 0; /* it repeats, or has changed its shape */
        if (twin || n == MD_PREPARE_TABLES) {
            if (!ensure_some(mt, some, n, err))
                return false;
            n = 0;
        }
        if (!tab->loading)
            some[n++] = tab;
    }
    return n == 0 || ensure_some(mt, some, n, err);
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
    static const char *const tables[] = {"load", "table", "chunk", "letter"};
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

static bool has_not_served(struct md_target *mt, struct err *err)
{
    bool served = false;
    if (!has_served(mt, &served, err))
        return false;
    return !served ||
           err_set(err, ERR_SCHEMA,
                   "a new copy would empty the target, which pipeline %s has been cut over to. Hint: "
                   "was capture's journal or slot lost? If the target is really to be filled anew, "
                   "delete the pipeline's rows in crossfade_cutover",
                   mt->pipeline);
}

bool md_reset(struct md_target *mt, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    MD_ROWS rows = {0};
    if (!has_not_served(mt, err))
        return false;
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
