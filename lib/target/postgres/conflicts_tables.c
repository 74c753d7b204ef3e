/* Owns: which tables are written on both sides: their rows in crossfade.dual_write, and the hashes that apply begins with. */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "pg/control_tables.h"
#include "postgres.h"
#include "sql/embedded.h"

#define NEEDED  "crossfade.dual_write crossfade.applied crossfade.conflict crossfade.conflict.target_hash"
#define WATCHED "crossfade.dual_write crossfade.applied crossfade.conflict"

void pgt_watch_free(struct pg_watch *watch)
{
    if (watch == NULL)
        return;
    free(watch->columns);
    free(watch->key);
    free(watch);
}

void pgt_watch_ended(struct pg_watch *watch, bool committed)
{
    if (watch == NULL)
        return;
    watch->known = watch->known || (committed && watch->id != 0);
    watch->id = watch->known ? watch->id : 0;
    watch->made = watch->made && committed;
    watch->used = false;
}

void pgt_watch_restored(struct pg_watch *watch)
{
    if (watch == NULL)
        return;
    watch->id = watch->known ? watch->id : 0;
    watch->made = false; /* it may be there, with rows that were in it before */
    watch->used = true;
}

struct sorted_name {
    const char *name;
    size_t index;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct sorted_name *)a)->name, ((const struct sorted_name *)b)->name);
}

static size_t *sorted(struct sorted_name *names, size_t count)
{
    size_t *ret = xcalloc(count + 1, sizeof *ret);
    qsort(names, count, sizeof *names, by_name);
    for (size_t i = 0; i < count; i++)
        ret[i] = names[i].index;
    return ret;
}

struct pg_watch *pgt_watch_new(const struct pg_table *tab)
{
    struct pg_watch *watch = xcalloc(1, sizeof *watch);
    struct sorted_name *names = xcalloc(tab->column_count + 1, sizeof *names);
    for (size_t i = 0; i < tab->column_count; i++)
        names[i] = (struct sorted_name){tab->columns[i].field->name, i};
    watch->columns = sorted(names, tab->column_count);
    for (size_t i = 0; i < tab->key_count; i++)
        names[i] = (struct sorted_name){tab->columns[tab->key[i]].field->name, i};
    watch->key = sorted(names, tab->key_count);
    free(names);
    return watch;
}

/* All rows as they are become the state that apply knows. One statement: both tables or neither. rows_of: "ONLY s.t" */
static bool seed(struct pg_target *pt, const char *schema, const char *table, const char *rows_of,
                 const char *keys, const char *columns, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    char *lists CLEANUP(free_ptr) = xasprintf("%s / %s", keys, columns);
    const char *params[] = {pt->pipeline, schema, table, lists};
    strbuf_adds(&sql,
                "WITH d AS (INSERT INTO crossfade.dual_write (pipeline, schema_name, table_name, columns) "
                "VALUES ($1, $2, $3, $4) ON CONFLICT (pipeline, schema_name, table_name) DO UPDATE SET "
                "columns = EXCLUDED.columns RETURNING id) INSERT INTO crossfade.applied (dual_write, key, "
                "state) SELECT d.id, ");
    sql_watch_hashes(&sql, keys, columns);
    strbuf_addf(&sql, " FROM d, %s t ON CONFLICT (dual_write, key) DO UPDATE SET state = EXCLUDED.state",
                rows_of);
    bool ok = strbuf_ok(&sql, "statement", err) && pg_query(pt->conn, sql.data, 4, params, &res, err);
    strbuf_release(&sql);
    return ok || err_wrap(err, "table=%s.%s: apply.conflicts", schema, table);
}

/* A table whose primary key tells the key; others are taken up when they are met first. */
static bool seed_from_catalog(struct pg_target *pt, const char *schema, const char *table, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    const char *params[] = {schema, table};
    if (!pg_query(
            pt->conn,
            "SELECT (SELECT string_agg('t.\"' || replace(a.attname::text, '\"', '\"\"') || '\"', ', ' ORDER "
            "BY a.attname::text COLLATE \"C\") FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = "
            "ANY (i.indkey::smallint[])), (SELECT string_agg('t.\"' || replace(a.attname::text, '\"', "
            "'\"\"') || '\"', ', ' ORDER BY a.attname::text COLLATE \"C\") FROM pg_attribute a WHERE "
            "a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''), CASE WHEN "
            "c.relkind = 'p' THEN '' ELSE 'ONLY ' END FROM pg_class c JOIN pg_namespace s ON s.oid = "
            "c.relnamespace JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary WHERE s.nspname = $1 "
            "AND c.relname = $2",
            2, params, &res, err))
        return false;
    if (pg_rows(res) == 0)
        return true;
    struct strbuf name = STRBUF_INIT(4096);
    strbuf_adds(&name, pg_cell(res, 0, 2));
    pg_quote_table(&name, schema, table);
    bool ok = strbuf_ok(&name, "name", err) &&
              seed(pt, schema, table, name.data, pg_cell(res, 0, 0), pg_cell(res, 0, 1), err);
    strbuf_release(&name);
    return ok;
}

/* A table that is not dual-written any more: from now on the source alone is written. */
static bool forget_table(struct pg_target *pt, const char *id, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    return pg_query(pt->conn,
                    "WITH d AS (DELETE FROM crossfade.dual_write WHERE id = $1::integer RETURNING *), a AS "
                    "(DELETE FROM crossfade.applied USING d WHERE dual_write = d.id) UPDATE "
                    "crossfade.conflict c SET state = 'resolved', decision = 'source', settled_at = "
                    "clock_timestamp() FROM d WHERE c.pipeline = d.pipeline AND c.schema_name = "
                    "d.schema_name AND c.table_name = d.table_name AND c.state = 'open'",
                    1, &id, &res, err);
}

bool pgt_watch_reset(struct pg_target *pt, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    const char *params[] = {pt->pipeline, pt->shard};
    bool there = false;
    if (!pg_control_tables_look(pt->conn, WATCHED, &there, err))
        return false;
    for (size_t i = 0; i < pt->table_count; i++) {
        struct pg_watch *watch = pt->tables[i]->watch;
        if (watch != NULL)
            watch->known = false, watch->id = 0;
    }
    return !there ||
           pg_query(
               pt->conn,
               "WITH d AS (DELETE FROM crossfade.dual_write w USING crossfade.loaded l WHERE w.pipeline = "
               "$1 AND l.pipeline = $1 AND l.shard = $2 AND l.schema_name = w.schema_name AND "
               "l.table_name = w.table_name RETURNING w.*), a AS (DELETE FROM crossfade.applied USING d "
               "WHERE dual_write = d.id) UPDATE crossfade.conflict c SET state = 'resolved', decision = "
               "'source', settled_at = clock_timestamp() FROM d WHERE c.pipeline = d.pipeline AND "
               "c.schema_name = d.schema_name AND c.table_name = d.table_name AND c.state = 'open'",
               2, params, &res, err);
}

static bool forget_tables(struct pg_target *pt, pgt_rule_fn *rule_of, void *ctx, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    const char *params[] = {pt->pipeline};
    if (!pg_query(pt->conn,
                  "SELECT id, schema_name, table_name FROM crossfade.dual_write WHERE pipeline = $1", 1,
                  params, &res, err))
        return false;
    for (int i = 0; i < pg_rows(res); i++) {
        if (rule_of(ctx, pg_cell(res, i, 1), pg_cell(res, i, 2)) == NULL &&
            !forget_table(pt, pg_cell(res, i, 0), err))
            return false;
    }
    return true;
}

static bool seed_tables(struct pg_target *pt, pgt_rule_fn *rule_of, void *ctx, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    const char *params[] = {pt->pipeline, pt->shard};
    if (!pg_query(pt->conn,
                  "SELECT schema_name, table_name FROM crossfade.loaded l WHERE pipeline = $1 AND shard = $2 "
                  "AND NOT EXISTS (SELECT 1 FROM crossfade.dual_write d WHERE d.pipeline = l.pipeline AND "
                  "d.schema_name = l.schema_name AND d.table_name = l.table_name) ORDER BY 1, 2",
                  2, params, &res, err))
        return false;
    for (int i = 0; i < pg_rows(res); i++) {
        if (rule_of(ctx, pg_cell(res, i, 0), pg_cell(res, i, 1)) != NULL &&
            !seed_from_catalog(pt, pg_cell(res, i, 0), pg_cell(res, i, 1), err))
            return false;
    }
    return true;
}

/* Some table of this shard is watched since before: a copy that began anew would have forgotten it (pgt_watch_reset). */
static bool is_watching(struct pg_target *pt, bool *ret, struct err *err)
{
    const char *params[] = {pt->pipeline, pt->shard};
    bool there = false;
    int64_t count = 0;
    if (!pg_control_tables_look(pt->conn, WATCHED, &there, err) ||
        (there && !pg_query_int64(pt->conn,
                                  "SELECT count(*) FROM crossfade.dual_write d JOIN crossfade.loaded l USING "
                                  "(pipeline, schema_name, table_name) WHERE pipeline = $1 AND shard = $2",
                                  2, params, &count, err)))
        return err_wrap(err, "target: apply.conflicts");
    *ret = count > 0;
    return true;
}

bool pgt_watch_start(struct target *tgt, pgt_rule_fn *rule_of, void *ctx, size_t count, bool complete,
                     bool *ret_begun, uint64_t *ret_open, struct err *err)
{
    struct pg_target *pt = (struct pg_target *)tgt;
    const char *params[] = {pt->pipeline};
    bool there = false;
    int64_t open = 0;
    *ret_begun = complete;
    if (!complete && (!is_watching(pt, ret_begun, err) || !*ret_begun))
        return !err_is_set(err);
    if (count > 0
            ? !pg_control_tables_ensure(pt->conn, NEEDED, embedded_sql_target_conflicts_sql, "target", err)
            : !pg_control_tables_look(pt->conn, WATCHED, &there, err))
        return err_wrap(err, "target: apply.conflicts");
    if (count == 0 && !there) {
        *ret_open = 0;
        return true;
    }
    if (!forget_tables(pt, rule_of, ctx, err) || (complete && !seed_tables(pt, rule_of, ctx, err)) ||
        !pg_query_int64(pt->conn,
                        "SELECT count(*) FROM crossfade.conflict WHERE pipeline = $1 AND state = 'open'", 1,
                        params, &open, err))
        return err_wrap(err, "target");
    *ret_open = (uint64_t)open;
    return true;
}

bool pgt_watch_find(struct pg_target *pt, const struct pg_table *tab, struct err *err)
{
    const struct table_schema *schema = tab->base.schema;
    const char *params[] = {pt->pipeline, schema->schema, schema->table, NULL};
    struct strbuf keys = STRBUF_INIT(STRBUF_SQL_MAX), columns = STRBUF_INIT(STRBUF_SQL_MAX);
    sql_watch_lists(&keys, &columns, tab);
    char *lists CLEANUP(free_ptr) = xasprintf("%s / %s", keys.data, columns.data);
    params[3] = lists;
    bool ok = strbuf_ok(&keys, "key", err) && strbuf_ok(&columns, "columns", err);
    for (int round = 0; ok && tab->watch->id == 0; round++) {
        PG_RESULT_AUTO res = NULL;
        ok = pg_query(pt->conn,
                      "SELECT id, columns = $4 FROM crossfade.dual_write WHERE pipeline = $1 AND schema_name "
                      "= $2 AND table_name = $3",
                      4, params, &res, err);
        if (ok && pg_rows(res) == 1 && (round > 0 || pg_cell_bool(res, 0, 1)))
            tab->watch->id = pg_cell_int64(res, 0, 0);
        else
            ok = ok && seed(pt, schema->schema, schema->table, tab->rows_of, keys.data, columns.data, err);
    }
    strbuf_release(&keys);
    strbuf_release(&columns);
    return ok;
}
