/* Owns: does the target table exist, and does every field of the source fit into it? Reads the target's
 * catalog once per version of a table, for many tables at once: a few statements for PREPARE_TABLES of them. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/log.h"
#include "postgres.h"
#include "target/target_impl.h"

static bool schema_err(const struct table_schema *schema, struct err *err, const char *what, const char *name)
{
    return err_set(err, ERR_SCHEMA, "table=%s.%s: %s%s%s", schema->schema, schema->table, what,
                   name != NULL ? " " : "", name != NULL ? name : "");
}

/* What makes the target fit; `type`: the field's type ends the statement. */
static bool alter_hint(const struct table_schema *schema, const char *verb, const char *column,
                       const struct field *type, const char *rest, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(4096);
    pg_quote_table(&sql, schema->schema, schema->table);
    strbuf_addf(&sql, " %s ", verb);
    pg_quote_ident(&sql, column);
    if (type != NULL) {
        strbuf_adds(&sql, strncmp(verb, "ALTER", 5) == 0 ? " TYPE " : " ");
        pg_field_type_print(type, &sql);
    }
    struct err what = *err;
    err_set(err, what.code,
            "%s. Hint: on the target ALTER TABLE %s%s, then start apply again: nothing was skipped",
            what.text, sql.data, rest);
    strbuf_release(&sql);
    return false;
}

void pgt_table_free(struct pg_table *tab)
{
    if (tab == NULL)
        return;
    for (size_t i = 0; i < tab->set_count; i++) {
        free(tab->sets[i].present);
        free(tab->sets[i].rows);
    }
    for (size_t i = 0; i < STAGE_MAX_; i++)
        free(tab->rows[i]);
    pgt_watch_free(tab->watch);
    free(tab->sets);
    free(tab->columns);
    free(tab->key);
    free(tab->base.split);
    free(tab->name);
    free(tab->rows_of);
    free(tab);
}

void pgt_values(struct strbuf *sb, struct pg_table *const *tabs, size_t count)
{
    strbuf_adds(sb, "(VALUES ");
    for (size_t i = 0; i < count; i++) {
        strbuf_addf(sb, "%s(%zu, ", i > 0 ? ", " : "", i);
        pg_quote_literal(sb, tabs[i]->base.schema->schema);
        strbuf_adds(sb, ", ");
        pg_quote_literal(sb, tabs[i]->base.schema->table);
        strbuf_addc(sb, ')');
    }
    strbuf_addc(sb, ')');
}

/* The rows of one table in a result that is ordered by the tables' numbers, its first column. */
struct slice {
    const struct pg_result *res;
    int first, end;
};

static struct slice next_slice(const struct pg_result *res, int first, size_t number)
{
    struct slice s = {.res = res, .first = first, .end = first};
    while (s.end < pg_rows(res) && pg_cell_int64(res, s.end, 0) == (int64_t)number)
        s.end++;
    return s;
}

static bool query_text(struct pg_target *pt, struct strbuf *sql, struct pg_result **ret, struct err *err)
{
    bool ok = strbuf_ok(sql, "statement", err) && pg_query(pt->conn, sql->data, 0, NULL, ret, err);
    strbuf_release(sql);
    return ok;
}

static bool take_table(struct pg_table *tab, struct slice rows, struct err *err)
{
    const struct table_schema *schema = tab->base.schema;
    if (rows.end == rows.first)
        return schema_err(schema, err,
                          "there is no such table on the target: create it there (or rename the one that it "
                          "was), then start apply again: nothing was skipped",
                          NULL);
    char kind = pg_cell(rows.res, rows.first, 2)[0];
    if (kind != 'r' && kind != 'p')
        return schema_err(schema, err, "on the target this is no table that can be written", NULL);
    tab->partitioned = kind == 'p';
    tab->rows_of = xasprintf("%s%s", tab->partitioned ? "" : "ONLY ", tab->name);
    tab->base.fk_rank = (int)pg_cell_int64(rows.res, rows.first, 3);
    tab->has_wards = pg_cell_bool(rows.res, rows.first, 4);
    tab->relid = (uint32_t)pg_cell_int64(rows.res, rows.first, 1);
    return true;
}

static bool find_tables(struct pg_target *pt, struct pg_table *const *tabs, size_t count, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(
        &sql,
        "SELECT w.n, c.oid, c.relkind, (WITH RECURSIVE up(relid, depth) AS (SELECT c.oid, 0 UNION SELECT "
        "k.confrelid, up.depth + 1 FROM up JOIN pg_constraint k ON k.contype = 'f' AND k.conrelid = up.relid "
        "AND k.confrelid <> k.conrelid WHERE up.depth < 100) SELECT max(depth) FROM up), c.oid IN (SELECT "
        "k.confrelid FROM pg_constraint k WHERE k.contype = 'f' AND k.confdeltype IN ('c', 'n', 'd')) FROM ");
    pgt_values(&sql, tabs, count);
    strbuf_adds(&sql,
                " w (n, s, t) JOIN pg_namespace s ON s.nspname = w.s JOIN pg_class c ON c.relnamespace = "
                "s.oid AND c.relname = w.t ORDER BY w.n");
    if (!query_text(pt, &sql, &res, err))
        return false;
    struct slice rows = {0};
    for (size_t i = 0; i < count; i++) {
        rows = next_slice(res, rows.end, i);
        if (!take_table(tabs[i], rows, err))
            return false;
    }
    return true;
}

static bool add_column(struct pg_target *pt, struct pg_table *tab, const struct pg_result *res, int row,
                       size_t field, struct err *err)
{
    const struct table_schema *schema = tab->base.schema;
    struct pg_column *col = &tab->columns[tab->column_count];
    *col = (struct pg_column){.field = &schema->fields[field], .index = field};
    col->identity_always = pg_cell(res, row, 5)[0] == 'a';
    col->nullable = !pg_cell_bool(res, row, 7);
    col->unfit = target_unfit_of(&pt->unfit, schema->schema, schema->table, col->field->name);
    for (size_t i = 0; i < schema->key_count; i++)
        col->key = col->key || schema->key_fields[i] == field;
    uint32_t oid = (uint32_t)pg_cell_int64(res, row, 2);
    int32_t typmod = (int32_t)pg_cell_int64(res, row, 3);
    if (!(pt->comes_back ? pg_writer_plan_back : pg_writer_plan)(col->field, oid, typmod, pt->types, pt->conn,
                                                                 &col->writer, err)) {
        pgt_table_err(tab, err);
        return err->code == ERR_SCHEMA &&
               alter_hint(schema, "ALTER COLUMN", col->field->name, col->field, "", err);
    }
    tab->all_binary = tab->all_binary && col->writer.mode == PG_WRITE_BINARY;
    tab->identity_always = tab->identity_always || col->identity_always;
    tab->delete_first = tab->delete_first || (col->identity_always && !col->key);
    tab->column_count++;
    return true;
}

static int find_column(struct slice rows, const char *name)
{
    for (int i = rows.first; i < rows.end; i++) {
        if (strcmp(pg_cell(rows.res, i, 1), name) == 0)
            return i;
    }
    return -1;
}

static bool take_columns(struct pg_target *pt, struct pg_table *tab, struct slice rows, struct err *err)
{
    const struct table_schema *schema = tab->base.schema;
    tab->columns = xcalloc(schema->field_count + 1, sizeof *tab->columns);
    tab->all_binary = true;
    for (size_t i = 0; i < schema->field_count; i++) {
        int row = find_column(rows, schema->fields[i].name);
        if (row < 0) {
            schema_err(schema, err, "the target table lacks column", schema->fields[i].name);
            return alter_hint(
                schema, "ADD COLUMN", schema->fields[i].name, &schema->fields[i],
                " (with the source's DEFAULT, for the rows that are there; or RENAME COLUMN, if that is "
                "what the source did)",
                err);
        }
        if (!pg_cell_bool(rows.res, row, 6) && !add_column(pt, tab, rows.res, row, i, err))
            return false;
    }
    for (int i = rows.first; i < rows.end; i++) {
        const char *name = pg_cell(rows.res, i, 1);
        if (pg_cell_bool(rows.res, i, 4) && table_schema_find(schema, name) < 0) {
            schema_err(schema, err,
                       "the source lacks a column that the target table wants a value for:", name);
            return alter_hint(schema, "DROP COLUMN", name, NULL, " (or ALTER COLUMN … DROP NOT NULL)", err);
        }
    }
    return tab->column_count > 0 || schema_err(schema, err, "no column can be written", NULL);
}

/* (VALUES (0, 16384::oid), …) w (n, relid) */
static void add_relids(struct strbuf *sb, struct pg_table *const *tabs, size_t count)
{
    strbuf_adds(sb, "(VALUES ");
    for (size_t i = 0; i < count; i++)
        strbuf_addf(sb, "%s(%zu, %" PRIu32 "::oid)", i > 0 ? ", " : "", i, tabs[i]->relid);
    strbuf_adds(sb, ") w (n, relid)");
}

static bool read_columns(struct pg_target *pt, struct pg_table *const *tabs, size_t count, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql,
                "SELECT w.n, attname, atttypid, atttypmod, attnotnull AND NOT atthasdef AND attidentity = "
                "'', attidentity, attgenerated <> '', attnotnull FROM ");
    add_relids(&sql, tabs, count);
    strbuf_adds(&sql, " JOIN pg_attribute a ON a.attrelid = w.relid WHERE attnum > 0 AND NOT attisdropped "
                      "ORDER BY w.n, attnum");
    if (!query_text(pt, &sql, &res, err))
        return false;
    struct slice rows = {0};
    for (size_t i = 0; i < count; i++) {
        rows = next_slice(res, rows.end, i);
        if (!take_columns(pt, tabs[i], rows, err))
            return false;
    }
    return true;
}

static size_t field_of(const void *tab, size_t column)
{
    return ((const struct pg_table *)tab)->columns[column].index;
}

static bool find_key(struct pg_table *tab, struct err *err)
{
    const struct table_schema *schema = tab->base.schema;
    if (!target_find_key(schema, tab->column_count, field_of, tab, &tab->key, err))
        return false;
    tab->key_count = schema->key_count;
    return true;
}

static void add_key_names(struct strbuf *sb, const struct pg_table *tab)
{
    for (size_t i = 0; i < tab->key_count; i++) {
        strbuf_adds(sb, i > 0 ? ", " : "");
        pg_quote_literal(sb, tab->columns[tab->key[i]].field->name);
    }
}

static bool take_key_index(struct pg_table *tab, struct slice rows, struct err *err)
{
    if (rows.end > rows.first) {
        tab->arbiter = pg_cell_bool(rows.res, rows.first, 1);
        return true;
    }
    struct strbuf names = STRBUF_INIT(1 << 20);
    add_key_names(&names, tab);
    schema_err(tab->base.schema, err,
               "the target table lacks a unique index on the key's columns:", names.data);
    strbuf_release(&names);
    return false;
}

/* A unique index on exactly the key's columns; one that is not deferrable is better. */
static bool find_key_indexes(struct pg_target *pt, struct pg_table *const *tabs, size_t count,
                             struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    size_t keyed = 0;
    strbuf_adds(&sql, "SELECT w.n, bool_or(i.indimmediate) FROM (VALUES ");
    for (size_t i = 0; i < count; i++) {
        if (tabs[i]->key_count == 0)
            continue;
        strbuf_addf(&sql, "%s(%zu, %" PRIu32 "::oid, ARRAY[", keyed++ > 0 ? ", " : "", i, tabs[i]->relid);
        add_key_names(&sql, tabs[i]);
        strbuf_adds(&sql, "]::text[])");
    }
    strbuf_adds(
        &sql, ") w (n, relid, key) JOIN pg_index i ON i.indrelid = w.relid WHERE i.indisunique AND "
              "i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND (SELECT "
              "array_agg(a.attname::text ORDER BY a.attname::text) FROM unnest(i.indkey::smallint[]) WITH "
              "ORDINALITY k(attnum, n) JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = "
              "k.attnum WHERE k.n <= i.indnkeyatts) = (SELECT array_agg(u ORDER BY u) FROM unnest(w.key) u) "
              "GROUP BY w.n ORDER BY w.n");
    if (keyed == 0) {
        strbuf_release(&sql);
        return true;
    }
    if (!query_text(pt, &sql, &res, err))
        return false;
    struct slice rows = {0};
    for (size_t i = 0; i < count; i++) {
        rows = next_slice(res, rows.end, i);
        if (tabs[i]->key_count > 0 && !take_key_index(tabs[i], rows, err))
            return false;
    }
    return true;
}

/* Rows that the target takes for one key have equal values in this column: its equality is that of the datums. */
static bool tells_apart(const struct pg_column *col, bool odd_collations)
{
    const struct field *f = col->field;
    uint32_t oid = col->writer.target->oid;
    bool is_integer = f->phys == PHYS_INT16 || f->phys == PHYS_INT32 || f->phys == PHYS_INT64;
    if (f->text_encoding != NULL || f->unsigned_wraps)
        return false;
    if (is_integer)
        return f->semantic == NULL && (oid == PG_OID_INT2 || oid == PG_OID_INT4 || oid == PG_OID_INT8);
    if (f->phys != PHYS_STRING)
        return false;
    return (oid == PG_OID_UUID && !f->foreign) || /* (of others it may come in capitals) */
           (f->semantic == NULL && !odd_collations && (oid == PG_OID_TEXT || oid == PG_OID_VARCHAR));
}

static void take_split(struct pg_table *tab, const struct pg_result *res, int row)
{
    tab->lead_only = pg_cell_bool(res, row, 2);
    if (tab->key_count == 0 || pg_cell_int64(res, row, 1) != 1)
        return;
    tab->base.split = xcalloc(tab->key_count, sizeof *tab->base.split);
    for (size_t i = 0; i < tab->key_count; i++) {
        const struct pg_column *col = &tab->columns[tab->key[i]];
        if (tells_apart(col, pg_cell_bool(res, row, 3)))
            tab->base.split[tab->base.split_count++] = col->index;
    }
}

/* May several writers share these tables, and by what? Each further unique index or exclusion constraint could make one of them wait
 * for another; so could triggers that fire in replica role. */
static bool find_splits(struct pg_target *pt, struct pg_table *const *tabs, size_t count, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    if (!pt->crewed || pt->writer > 0)
        return true;
    strbuf_adds(&sql, "SELECT w.n, x.* FROM ");
    add_relids(&sql, tabs, count);
    strbuf_adds(
        &sql,
        ", LATERAL (WITH rels AS (SELECT w.relid AS relid UNION SELECT p.relid FROM "
        "pg_partition_tree(w.relid) p) SELECT (SELECT count(*) FROM rels JOIN pg_index i ON i.indrelid = "
        "rels.relid JOIN pg_class c ON c.oid = i.indexrelid WHERE (i.indisunique OR i.indisexclusion) AND "
        "(i.indrelid = w.relid OR NOT c.relispartition)), EXISTS (SELECT 1 FROM rels JOIN pg_trigger t ON "
        "t.tgrelid = rels.relid WHERE t.tgenabled IN ('A', 'R') AND NOT t.tgisinternal) OR EXISTS (SELECT 1 "
        "FROM rels JOIN pg_rewrite r ON r.ev_class = rels.relid WHERE r.ev_enabled IN ('A', 'R')), EXISTS "
        "(SELECT 1 FROM pg_attribute a JOIN pg_collation c ON c.oid = a.attcollation WHERE a.attrelid = "
        "w.relid AND NOT c.collisdeterministic)) x ORDER BY w.n");
    if (!query_text(pt, &sql, &res, err))
        return false;
    for (int i = 0; i < pg_rows(res); i++)
        take_split(tabs[pg_cell_int64(res, i, 0)], res, i);
    return true;
}

static bool is_one_of(struct pg_table *const *tabs, size_t count, const char *schema, const char *table)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(tabs[i]->base.schema->schema, schema) == 0 &&
            strcmp(tabs[i]->base.schema->table, table) == 0)
            return true;
    }
    return false;
}

/* Debezium's snapshot has the rows of a partitioned table in its own topic and in those of its partitions, the stream in one
 * of them: a row that was deleted in the one would come back by the other. What another session or shard has filled counts, too. */
static bool check_partitions(struct pg_target *pt, struct pg_table *const *tabs, size_t count,
                             const struct pg_table *tab, struct err *err)
{
    const struct table_schema *schema = tab->base.schema;
    PG_RESULT_AUTO res = NULL;
    char relid[16];
    const char *params[] = {relid, pt->pipeline};
    if (schema->field_count == 0 || !schema->fields[0].foreign)
        return true;
    (void)snprintf(relid, sizeof relid, "%" PRIu32, tab->relid);
    if (!pg_query(pt->conn,
                  "SELECT n.nspname, c.relname, EXISTS (SELECT FROM crossfade.loaded l WHERE l.pipeline = $2 "
                  "AND l.schema_name = n.nspname AND l.table_name = c.relname) FROM (SELECT relid FROM "
                  "pg_catalog.pg_partition_ancestors($1::oid) UNION SELECT relid FROM "
                  "pg_catalog.pg_partition_tree($1::oid)) p JOIN pg_catalog.pg_class c ON c.oid = p.relid "
                  "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid <> $1::oid",
                  2, params, &res, err))
        return false;
    for (int row = 0; row < pg_rows(res); row++) {
        const char *other_schema = pg_cell(res, row, 0), *other = pg_cell(res, row, 1);
        if (pg_cell_bool(res, row, 2) || is_one_of(pt->tables, pt->table_count, other_schema, other) ||
            is_one_of(tabs, count, other_schema, other))
            return err_set(
                err, ERR_SCHEMA,
                "table=%s.%s: rows come for it and for %s.%s, and one is a partition of the other: "
                "Debezium's snapshot writes such rows into both topics, and which one holds is not "
                "told. Hint: leave one of them out of source.debezium.topics (\"!…\"): the partitioned "
                "table itself, or its partitions when the publication has "
                "publish_via_partition_root; for a new pipeline and an empty target",
                schema->schema, schema->table, other_schema, other);
    }
    return true;
}

/* What is special about tables that come by Debezium's topics. */
static bool check_foreign(struct pg_target *pt, struct pg_table *const *tabs, size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct table_schema *schema = tabs[i]->base.schema;
        if (!check_partitions(pt, tabs, count, tabs[i], err))
            return false;
        if (schema->silent_cascades && tabs[i]->has_wards)
            log_event(LOG_LEVEL_WARN, "cascades_unseen",
                      "table=%s.%s text=\"foreign keys that refer to it cascade (or set null): what InnoDB "
                      "changes by "
                      "them on the source is in no binlog and in no topic, so such rows stay on the target\"",
                      schema->schema, schema->table);
    }
    return true;
}

static struct pg_table *new_table(struct pg_target *pt, const struct table_schema *schema, size_t number)
{
    struct strbuf name = STRBUF_INIT(4096);
    struct pg_table *tab = xcalloc(1, sizeof *tab);
    pg_quote_table(&name, schema->schema, schema->table);
    tab->base.schema = schema;
    tab->id = (unsigned)(pt->table_count + number) + 1;
    tab->name = strbuf_detach(&name);
    return tab;
}

static bool find_keys(struct pg_table *const *tabs, size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (!find_key(tabs[i], err))
            return false;
    }
    return true;
}

static bool prepare_some(struct pg_target *pt, const struct table_schema *const *schemas, size_t count,
                         struct target_table **ret, struct err *err)
{
    struct pg_table *tabs[PREPARE_TABLES];
    for (size_t i = 0; i < count; i++)
        tabs[i] = new_table(pt, schemas[i], i);
    bool ok = find_tables(pt, tabs, count, err) && read_columns(pt, tabs, count, err) &&
              find_keys(tabs, count, err) && find_key_indexes(pt, tabs, count, err) &&
              find_splits(pt, tabs, count, err) && check_foreign(pt, tabs, count, err);
    if (ok)
        pt->tables = xrealloc(pt->tables, (pt->table_count + count) * sizeof(struct pg_table *));
    for (size_t i = 0; i < count; i++) {
        if (!ok) {
            pgt_table_free(tabs[i]);
            continue;
        }
        tabs[i]->arrays = pt->writer > 0 && pgt_arrays_fit(tabs[i]);
        pt->tables[pt->table_count++] = tabs[i];
        ret[i] = &tabs[i]->base;
    }
    return ok;
}

bool pgt_prepare(struct target *tgt, const struct table_schema *const *schemas, size_t count,
                 struct target_table **ret, struct err *err)
{
    struct pg_target *pt = (struct pg_target *)tgt;
    if (!pgt_plain(pt, err))
        return false;
    for (size_t first = 0, n; first < count; first += n) {
        n = target_prepare_part(schemas + first, count - first, PREPARE_TABLES, PREPARE_FIELDS);
        if (!prepare_some(pt, schemas + first, n, ret + first, err))
            return false;
    }
    return true;
}
