/* Owns: which tables are written on both sides: their rows in crossfade.dual_write, and the hashes that apply begins with. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/log.h"
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

/* What the hashes of a table stand for. */
struct shape {
    const char *schema, *table, *rows_of; /* rows_of: "ONLY s.t" */
    const struct pg_result
        *lists; /* keys and columns, by name: t."a", t."b"; then both, with types, as JSON */
};

enum { L_KEYS, L_COLUMNS, L_JSON, L_ONLY };

#define NAME_OF_COLUMN "'t.\"' || replace(a.attname::text, '\"', '\"\"') || '\"'"
#define BY_NAME        "ORDER BY a.attname::text COLLATE \"C\""

/* is_key: of column a; from: relation c with columns a, and which of them. */
static bool read_shape(struct pg_target *pt, const char *is_key, const char *from, int count,
                       const char *const *params, struct pg_result **ret, struct err *err)
{
    char *sql CLEANUP(free_ptr) = xasprintf(
        "SELECT string_agg(" NAME_OF_COLUMN ", ', ' " BY_NAME
        ") FILTER (WHERE %s), string_agg(" NAME_OF_COLUMN ", ', ' " BY_NAME
        "), jsonb_build_object('key', jsonb_agg(a.attname::text " BY_NAME
        ") FILTER (WHERE %s), 'columns', jsonb_agg(jsonb_build_array(a.attname::text, a.atttypid::bigint, "
        "a.atttypmod) " BY_NAME ")), CASE WHEN c.relkind = 'p' THEN '' ELSE 'ONLY ' END FROM %s AND "
        "a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' GROUP BY c.oid, c.relkind",
        is_key, is_key, from);
    return pg_query(pt->conn, sql, count, params, ret, err);
}

/* All rows as they are become the state that apply knows. One statement: both tables or neither. */
static bool seed(struct pg_target *pt, const struct shape *sh, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    const char *params[] = {pt->pipeline, sh->schema, sh->table, pg_cell(sh->lists, 0, L_JSON)};
    strbuf_adds(&sql,
                "WITH d AS (INSERT INTO crossfade.dual_write (pipeline, schema_name, table_name, columns) "
                "VALUES ($1, $2, $3, $4) ON CONFLICT (pipeline, schema_name, table_name) DO UPDATE SET "
                "columns = EXCLUDED.columns RETURNING id) INSERT INTO crossfade.applied (dual_write, key, "
                "state) SELECT d.id, ");
    sql_watch_hashes(&sql, pg_cell(sh->lists, 0, L_KEYS), pg_cell(sh->lists, 0, L_COLUMNS));
    strbuf_addf(&sql, " FROM d, %s t ON CONFLICT (dual_write, key) DO UPDATE SET state = EXCLUDED.state",
                sh->rows_of);
    bool ok = strbuf_ok(&sql, "statement", err) && pg_query(pt->conn, sql.data, 4, params, &res, err);
    strbuf_release(&sql);
    return ok || err_wrap(err, "table=%s.%s: apply.conflicts", sh->schema, sh->table);
}

/* A table whose primary key tells the key; others are taken up when they are met first. */
static bool seed_from_catalog(struct pg_target *pt, const char *schema, const char *table, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    const char *params[] = {schema, table};
    if (!read_shape(
            pt, "a.attnum = ANY ((i.indkey::smallint[])[0:i.indnkeyatts - 1])",
            "pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace JOIN pg_index i ON i.indrelid = "
            "c.oid AND i.indisprimary JOIN pg_attribute a ON a.attrelid = c.oid WHERE s.nspname = $1 "
            "AND c.relname = $2",
            2, params, &res, err))
        return false;
    if (pg_rows(res) == 0)
        return true;
    struct strbuf name = STRBUF_INIT(4096);
    strbuf_adds(&name, pg_cell(res, 0, L_ONLY));
    pg_quote_table(&name, schema, table);
    const struct shape sh = {schema, table, name.data, res};
    bool ok = strbuf_ok(&name, "name", err) && seed(pt, &sh, err);
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

/* Those of this shard, or of a name that no table has any more. */
static bool forget_tables(struct pg_target *pt, pgt_rule_fn *rule_of, void *ctx, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    const char *params[] = {pt->pipeline, pt->shard};
    if (!pg_query(pt->conn,
                  "SELECT id, schema_name, table_name FROM crossfade.dual_write LEFT JOIN crossfade.loaded "
                  "l USING (pipeline, schema_name, table_name) WHERE pipeline = $1 AND (l.shard = $2 OR "
                  "l.shard IS NULL)",
                  2, params, &res, err))
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
    const char *params[] = {pt->pipeline, pt->shard};
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
                        "SELECT count(*) FROM crossfade.conflict JOIN crossfade.loaded l USING (pipeline, "
                        "schema_name, table_name) WHERE pipeline = $1 AND l.shard = $2 AND state = 'open'",
                        2, params, &open, err))
        return err_wrap(err, "target");
    *ret_open = (uint64_t)open;
    return true;
}

static void add_names(struct strbuf *sb, const struct pg_table *tab, bool keys)
{
    strbuf_adds(sb, "a.attname::text IN (");
    for (size_t i = 0; i < (keys ? tab->key_count : tab->column_count); i++) {
        strbuf_adds(sb, i > 0 ? ", " : "");
        pg_quote_literal(sb, tab->columns[keys ? tab->key[i] : i].field->name);
    }
    strbuf_addc(sb, ')');
}

/* The columns that the pipeline writes, and its key. */
static bool read_own_shape(struct pg_target *pt, const struct pg_table *tab, struct pg_result **ret,
                           struct err *err)
{
    struct strbuf keys = STRBUF_INIT(STRBUF_SQL_MAX), from = STRBUF_INIT(STRBUF_SQL_MAX);
    add_names(&keys, tab, true);
    strbuf_addf(&from,
                "pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.oid = %" PRIu32 "::oid AND ",
                tab->relid);
    add_names(&from, tab, false);
    bool ok = strbuf_ok(&keys, "key", err) && strbuf_ok(&from, "columns", err) &&
              read_shape(pt, keys.data, from.data, 0, NULL, ret, err);
    strbuf_release(&keys);
    strbuf_release(&from);
    return ok;
}

/* The lists that the hashes of another shape were made from, in its types as far as there still are such. $1: as JSON */
#define LISTS_OF                                                                                             \
    "SELECT (SELECT string_agg('t.' || quote_ident(k), ', ' ORDER BY n) FROM jsonb_array_elements_text("     \
    "$1::jsonb -> 'key') WITH ORDINALITY x (k, n)), (SELECT string_agg('t.' || quote_ident(k ->> 0) || "     \
    "CASE WHEN EXISTS (SELECT 1 FROM pg_type WHERE oid = (k ->> 1)::oid) THEN '::' || format_type((k ->> "   \
    "1)::oid, (k ->> 2)::integer) ELSE '' END, ', ' ORDER BY n) FROM jsonb_array_elements($1::jsonb -> "     \
    "'columns') WITH ORDINALITY x (k, n)), $1::jsonb -> 'key' = $2::jsonb -> 'key'"

/* What is known of the rows moves over, $1 to $2: a row that is not as apply knew it stays unknown, and so a conflict when the source
 * changes it; one that was inserted meanwhile has no state, as before. */
static void add_move(struct strbuf *sql, const struct shape *sh, const struct pg_result *old)
{
    strbuf_adds(sql, "WITH moved AS (INSERT INTO crossfade.applied (dual_write, key, state) SELECT "
                     "$2::integer, r.nk, CASE WHEN x.state = r.os THEN r.ns ELSE "
                     "'00000000-0000-0000-0000-000000000000'::uuid END FROM (SELECT h.* FROM (SELECT ");
    sql_watch_hashes(sql, pg_cell(sh->lists, 0, L_KEYS), pg_cell(sh->lists, 0, L_COLUMNS));
    strbuf_adds(sql, ", ");
    sql_watch_hashes(sql, pg_cell(old, 0, L_KEYS), pg_cell(old, 0, L_COLUMNS));
    strbuf_addf(sql,
                " FROM %s t) h (nk, ns, ok, os) OFFSET 0) r, LATERAL (SELECT a.state FROM crossfade.applied "
                "a WHERE a.dual_write = $1::integer AND a.key = r.ok OFFSET 0) x RETURNING state) SELECT "
                "count(*), count(*) FILTER (WHERE state = '00000000-0000-0000-0000-000000000000') FROM moved",
                sh->rows_of);
}

static bool move(struct pg_target *pt, const struct shape *sh, const struct pg_result *old,
                 const char *const ids[2], struct err *err)
{
    PG_RESULT_AUTO moved = NULL;
    PG_RESULT_AUTO gone = NULL;
    PG_RESULT_AUTO left = NULL;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    int64_t count = 0;
    bool same_key = pg_cell_bool(old, 0, 2);
    add_move(&sql, sh, old);
    bool ok =
        strbuf_ok(&sql, "statement", err) && pg_query(pt->conn, sql.data, 2, ids, &moved, err) &&
        pg_query_int64(pt->conn, "SELECT count(*) FROM crossfade.applied WHERE dual_write = $1::integer", 1,
                       ids, &count, err);
    strbuf_release(&sql);
    if (!ok)
        return false;
    log_event(
        LOG_LEVEL_WARN, "dual_write_shape",
        "table=%s.%s rows=%s unknown=%s text=\"the key or the columns are others than those that "
        "the rows were known by; rows that were changed since are conflicts when the source changes them\"",
        sh->schema, sh->table, pg_cell(moved, 0, 0), pg_cell(moved, 0, 1));
    if (!same_key && pg_cell_int64(moved, 0, 0) != count)
        return err_set(err, ERR_SCHEMA, "the key has changed, and rows were deleted on the target since");
    return (!same_key || /* rows that are not there */
            pg_query(
                pt->conn,
                "INSERT INTO crossfade.applied SELECT $2::integer, key, state FROM crossfade.applied WHERE "
                "dual_write = $1::integer ON CONFLICT DO NOTHING",
                2, ids, &left, err)) &&
           pg_query(pt->conn, "DELETE FROM crossfade.applied WHERE dual_write = $1::integer", 1, ids, &gone,
                    err);
}

/* Rows that are known by another shape. In the transaction of the batch. */
static bool reshape(struct pg_target *pt, const struct shape *sh, const char *id, const char *json,
                    struct err *err)
{
    PG_RESULT_AUTO old = NULL;
    PG_RESULT_AUTO fresh = NULL;
    const char *both[] = {json, pg_cell(sh->lists, 0, L_JSON)}, *row[] = {id, both[1]};
    bool ok = json[0] == '{' ? pg_query(pt->conn, LISTS_OF, 2, both, &old, err) &&
                                   pg_query(pt->conn,
                                            "UPDATE crossfade.dual_write SET id = DEFAULT, columns = $2 "
                                            "WHERE id = $1::integer RETURNING id",
                                            2, row, &fresh, err)
                             : err_set(err, ERR_SCHEMA, "the columns that rows are known by cannot be read");
    if (ok) {
        const char *const ids[] = {id, pg_cell(fresh, 0, 0)};
        ok = move(pt, sh, old, ids, err);
    }
    if (ok || err_policy(err->code) != POLICY_HALT)
        return ok;
    struct err why = *err; /* no row's fault */
    return err_set(
        err, ERR_SCHEMA,
        "apply.conflicts: the shape of the table has changed in a way that leaves unknown which rows "
        "the target has changed: %s. Hint: make both sides equal, start apply once without the "
        "table in apply.conflicts, and then with it",
        why.text);
}

static bool find_late_keys(struct pg_target *pt, const struct pg_table *tab, struct err *err)
{
    char id[24];
    const char *params[] = {id};
    int64_t late = 0;
    (void)snprintf(id, sizeof id, "%" PRIu32, tab->relid);
    if (!pg_query_int64(pt->conn,
                        "SELECT count(*) FROM pg_index WHERE indrelid = $1::oid AND NOT indimmediate", 1,
                        params, &late, err))
        return false;
    tab->watch->late_keys = late > 0;
    return true;
}

bool pgt_watch_find(struct pg_target *pt, const struct pg_table *tab, struct err *err)
{
    const struct table_schema *schema = tab->base.schema;
    PG_RESULT_AUTO lists = NULL;
    if (tab->watch->id != 0)
        return true;
    if (!read_own_shape(pt, tab, &lists, err) || !find_late_keys(pt, tab, err))
        return false;
    if (pg_rows(lists) != 1)
        return err_set(err, ERR_SCHEMA, "apply.conflicts: the table is not there any more");
    const struct shape sh = {schema->schema, schema->table, tab->rows_of, lists};
    const char *params[] = {pt->pipeline, schema->schema, schema->table, pg_cell(lists, 0, L_JSON)};
    for (int round = 0; tab->watch->id == 0; round++) {
        PG_RESULT_AUTO res = NULL;
        if (!pg_query(pt->conn,
                      "SELECT id, columns = $4, columns FROM crossfade.dual_write WHERE pipeline = $1 AND "
                      "schema_name = $2 AND table_name = $3",
                      4, params, &res, err))
            return false;
        bool there = pg_rows(res) == 1;
        if (there && (round > 0 || pg_cell_bool(res, 0, 1)))
            tab->watch->id = pg_cell_int64(res, 0, 0);
        else if (there ? !reshape(pt, &sh, pg_cell(res, 0, 0), pg_cell(res, 0, 2), err) : !seed(pt, &sh, err))
            return false;
    }
    return true;
}
