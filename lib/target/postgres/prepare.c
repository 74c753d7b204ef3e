/* Owns: does the target table exist, and does every field of the source fit into it? Reads the target's
 * catalog once per version of a table. */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
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

/* relid as text, malloc'd. */
static bool find_table(struct pg_target *pt, const struct table_schema *schema, struct pg_table *tab,
                       char **ret_relid, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    const char *params[] = {schema->schema, schema->table};
    if (!pg_query(
            pt->conn,
            "SELECT c.oid, c.relkind, (WITH RECURSIVE up(relid, depth) AS (SELECT c.oid, 0 UNION SELECT "
            "k.confrelid, "
            "up.depth + 1 FROM up JOIN pg_constraint k ON k.contype = 'f' AND k.conrelid = up.relid AND "
            "k.confrelid <> k.conrelid WHERE up.depth < 100) SELECT max(depth) FROM up), EXISTS (SELECT 1 "
            "FROM pg_constraint k WHERE k.contype = 'f' AND "
            "k.confrelid = c.oid AND k.confdeltype IN ('c', 'n', 'd')) "
            "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND "
            "c.relname = $2",
            2, params, &res, err))
        return false;
    if (pg_rows(res) != 1)
        return schema_err(schema, err,
                          "there is no such table on the target: create it there (or rename the one that it "
                          "was), then start apply again: nothing was skipped",
                          NULL);
    char kind = pg_cell(res, 0, 1)[0];
    if (kind != 'r' && kind != 'p')
        return schema_err(schema, err, "on the target this is no table that can be written", NULL);
    tab->partitioned = kind == 'p';
    tab->rows_of = xasprintf("%s%s", tab->partitioned ? "" : "ONLY ", tab->name);
    tab->base.fk_rank = (int)pg_cell_int64(res, 0, 2);
    tab->has_wards = pg_cell_bool(res, 0, 3);
    *ret_relid = xstrdup(pg_cell(res, 0, 0));
    return true;
}

static bool add_column(struct pg_target *pt, struct pg_table *tab, const struct pg_result *res, int row,
                       size_t field, struct err *err)
{
    const struct table_schema *schema = tab->base.schema;
    struct pg_column *col = &tab->columns[tab->column_count];
    *col = (struct pg_column){.field = &schema->fields[field], .index = field};
    col->identity_always = pg_cell(res, row, 4)[0] == 'a';
    col->nullable = !pg_cell_bool(res, row, 6);
    col->unfit = target_unfit_of(&pt->unfit, schema->schema, schema->table, col->field->name);
    for (size_t i = 0; i < schema->key_count; i++)
        col->key = col->key || schema->key_fields[i] == field;
    if (!pg_writer_plan(col->field, (uint32_t)pg_cell_int64(res, row, 1), (int32_t)pg_cell_int64(res, row, 2),
                        pt->types, pt->conn, &col->writer, err)) {
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

static int find_column(const struct pg_result *res, const char *name)
{
    for (int i = 0; i < pg_rows(res); i++) {
        if (strcmp(pg_cell(res, i, 0), name) == 0)
            return i;
    }
    return -1;
}

static bool read_columns(struct pg_target *pt, struct pg_table *tab, const char *relid, struct err *err)
{
    const struct table_schema *schema = tab->base.schema;
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(pt->conn,
                  "SELECT attname, atttypid, atttypmod, attnotnull AND NOT atthasdef AND attidentity = '', "
                  "attidentity, "
                  "attgenerated <> '', attnotnull FROM pg_attribute WHERE attrelid = $1::oid AND attnum > 0 "
                  "AND NOT "
                  "attisdropped "
                  "ORDER BY attnum",
                  1, &relid, &res, err))
        return false;
    tab->columns = xcalloc(schema->field_count + 1, sizeof *tab->columns);
    tab->all_binary = true;
    for (size_t i = 0; i < schema->field_count; i++) {
        int row = find_column(res, schema->fields[i].name);
        if (row < 0) {
            schema_err(schema, err, "the target table lacks column", schema->fields[i].name);
            return alter_hint(
                schema, "ADD COLUMN", schema->fields[i].name, &schema->fields[i],
                " (with the source's DEFAULT, for the rows that are there; or RENAME COLUMN, if that is "
                "what the source did)",
                err);
        }
        if (!pg_cell_bool(res, row, 5) && !add_column(pt, tab, res, row, i, err))
            return false;
    }
    for (int i = 0; i < pg_rows(res); i++) {
        if (pg_cell_bool(res, i, 3) && table_schema_find(schema, pg_cell(res, i, 0)) < 0) {
            schema_err(schema, err, "the source lacks a column that the target table wants a value for:",
                       pg_cell(res, i, 0));
            return alter_hint(schema, "DROP COLUMN", pg_cell(res, i, 0), NULL,
                              " (or ALTER COLUMN … DROP NOT NULL)", err);
        }
    }
    return tab->column_count > 0 || schema_err(schema, err, "no column can be written", NULL);
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

/* A unique index on exactly the key's columns; one that is not deferrable is better. */
static bool find_key_index(struct pg_target *pt, struct pg_table *tab, const char *relid, struct err *err)
{
    if (tab->key_count == 0)
        return true;
    PG_RESULT_AUTO res = NULL;
    struct strbuf names = STRBUF_INIT(1 << 20);
    for (size_t i = 0; i < tab->key_count; i++) {
        strbuf_adds(&names, i > 0 ? ", " : "");
        pg_quote_literal(&names, tab->columns[tab->key[i]].field->name);
    }
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_addf(&sql,
                "SELECT i.indimmediate FROM pg_index i WHERE i.indrelid = $1::oid AND i.indisunique AND "
                "i.indisvalid AND "
                "i.indpred IS NULL AND i.indexprs IS NULL AND (SELECT array_agg(a.attname::text ORDER BY "
                "a.attname::text) "
                "FROM unnest(i.indkey::smallint[]) WITH ORDINALITY k(attnum, n) JOIN pg_attribute a ON "
                "a.attrelid = i.indrelid "
                "AND a.attnum = k.attnum WHERE k.n <= i.indnkeyatts) = (SELECT array_agg(u ORDER BY u) FROM "
                "unnest(ARRAY[%s]::text[]) u) ORDER BY i.indimmediate DESC LIMIT 1",
                names.data);
    bool ok = strbuf_ok(&names, "key", err) && strbuf_ok(&sql, "statement", err) &&
              pg_query(pt->conn, sql.data, 1, &relid, &res, err);
    if (ok && pg_rows(res) == 0)
        ok = schema_err(tab->base.schema, err,
                        "the target table lacks a unique index on the key's columns:", names.data);
    if (ok)
        tab->arbiter = pg_cell_bool(res, 0, 0);
    strbuf_release(&names);
    strbuf_release(&sql);
    return ok;
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

/* May several writers share this table, and by what? Each further unique index or exclusion constraint could make one of them wait
 * for another; so could triggers that fire in replica role. */
static bool find_split(struct pg_target *pt, struct pg_table *tab, const char *relid, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (!pt->crewed || pt->writer > 0)
        return true;
    if (!pg_query(pt->conn,
                  "WITH rels AS (SELECT $1::oid AS relid UNION SELECT relid FROM pg_partition_tree($1::oid)) "
                  "SELECT (SELECT count(*) FROM "
                  "pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE (i.indisunique OR "
                  "i.indisexclusion) AND "
                  "(i.indrelid = $1::oid OR (i.indrelid IN (SELECT relid FROM rels) AND NOT "
                  "c.relispartition))), EXISTS "
                  "(SELECT 1 FROM pg_trigger t WHERE t.tgrelid IN (SELECT relid FROM rels) AND t.tgenabled "
                  "IN ('A', 'R') "
                  "AND NOT t.tgisinternal) OR EXISTS (SELECT 1 FROM pg_rewrite r WHERE r.ev_class IN (SELECT "
                  "relid FROM "
                  "rels) AND r.ev_enabled IN ('A', 'R')), EXISTS (SELECT 1 FROM pg_attribute a JOIN "
                  "pg_collation c ON c.oid = "
                  "a.attcollation WHERE a.attrelid = $1::oid AND NOT c.collisdeterministic)",
                  1, &relid, &res, err))
        return false;
    tab->lead_only = pg_cell_bool(res, 0, 1);
    if (tab->key_count == 0 || pg_cell_int64(res, 0, 0) != 1)
        return true;
    tab->base.split = xcalloc(tab->key_count, sizeof *tab->base.split);
    for (size_t i = 0; i < tab->key_count; i++) {
        const struct pg_column *col = &tab->columns[tab->key[i]];
        if (tells_apart(col, pg_cell_bool(res, 0, 2)))
            tab->base.split[tab->base.split_count++] = col->index;
    }
    return true;
}

static char *quoted_name(const struct table_schema *schema)
{
    struct strbuf name = STRBUF_INIT(4096);
    pg_quote_table(&name, schema->schema, schema->table);
    return strbuf_detach(&name);
}

bool pgt_prepare(struct target *tgt, const struct table_schema *schema, struct target_table **ret,
                 struct err *err)
{
    struct pg_target *pt = (struct pg_target *)tgt;
    char *relid = NULL;
    if (!pgt_plain(pt, err))
        return false;
    struct pg_table *tab = xcalloc(1, sizeof *tab);
    tab->base.schema = schema;
    tab->id = (unsigned)pt->table_count + 1;
    tab->name = quoted_name(schema);
    bool ok = find_table(pt, schema, tab, &relid, err) && read_columns(pt, tab, relid, err) &&
              find_key(tab, err) && find_key_index(pt, tab, relid, err) && find_split(pt, tab, relid, err);
    tab->arrays = ok && pt->writer > 0 && pgt_arrays_fit(tab);
    free(relid);
    if (!ok) {
        pgt_table_free(tab);
        return false;
    }
    pt->tables = xrealloc(pt->tables, (pt->table_count + 1) * sizeof(struct pg_table *));
    pt->tables[pt->table_count++] = tab;
    *ret = &tab->base;
    return true;
}
