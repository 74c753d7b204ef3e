/* Owns: what cannot be made on a PostgreSQL target because something that it needs is not. See plan_postgres_builder.h. */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "plan_postgres_builder.h"

#define SQL_BYTES_MAX ((size_t)64 << 20)

/* What cannot be made because something that it needs is not: from tables, columns and extensions that are left out, along
 * pg_depend. A view depends through its rule. */
static const char lost_sql[] =
    "WITH RECURSIVE lost (classid, objid, objsubid) AS ("
    " SELECT 'pg_class'::regclass::oid, unnest($1::oid[]), 0"
    " UNION SELECT 'pg_class'::regclass::oid, c.t, c.n FROM unnest($2::oid[], $3::int[]) c (t, n)"
    " UNION SELECT 'pg_class'::regclass::oid, pa.attrelid, pa.attnum FROM unnest($2::oid[], $3::int[]) c (t, "
    "n) JOIN"
    " pg_attribute a ON a.attrelid = c.t AND a.attnum = c.n CROSS JOIN LATERAL pg_partition_tree(c.t) p JOIN "
    "pg_attribute pa ON"
    " pa.attrelid = p.relid AND pa.attname = a.attname"
    " UNION SELECT 'pg_extension'::regclass::oid, e.oid, 0 FROM pg_extension e WHERE e.extname = ANY "
    "($4::text[])"
    " UNION SELECT x.classid, x.objid, x.objsubid FROM lost l CROSS JOIN LATERAL ("
    " SELECT d.classid, d.objid, d.objsubid FROM pg_depend d WHERE d.refclassid = l.classid AND d.refobjid = "
    "l.objid AND"
    " (l.objsubid = 0 OR d.refobjsubid = l.objsubid) AND d.classid <> 'pg_extension'::regclass"
    " UNION ALL SELECT 'pg_class'::regclass::oid, r.ev_class, 0 FROM pg_rewrite r WHERE l.classid ="
    " 'pg_rewrite'::regclass AND r.oid = l.objid AND r.rulename = '_RETURN'"
    " UNION ALL SELECT 'pg_type'::regclass::oid, t.typarray, 0 FROM pg_type t WHERE l.classid = "
    "'pg_type'::regclass AND"
    " t.oid = l.objid AND t.typarray <> 0"
    ") x) SELECT DISTINCT classid, objid, objsubid FROM lost ORDER BY 1, 2, 3";

static const char partitions_sql[] = "SELECT c.oid, pg_partition_root(c.oid)::oid FROM pg_class c WHERE "
                                     "c.relispartition AND c.relkind IN ('r', 'p') ORDER BY 1";

static void add_oids(struct strbuf *out, const uint32_t *oids, size_t count)
{
    strbuf_addc(out, '{');
    for (size_t i = 0; i < count; i++)
        strbuf_addf(out, "%s%u", i > 0 ? "," : "", oids[i]);
    strbuf_addc(out, '}');
}

static int compare_partitions(const void *a, const void *b)
{
    const struct partition_pair *x = a, *y = b;
    return (x->partition > y->partition) - (x->partition < y->partition);
}

const struct sch_table *plan_pg_table(const struct builder *b, uint32_t oid)
{
    struct partition_pair key = {.partition = oid};
    const struct partition_pair *found =
        b->partition_count == 0
            ? NULL
            : bsearch(&key, b->partitions, b->partition_count, sizeof key, compare_partitions);
    return model_find_oid(&b->plan->model, found != NULL ? found->root : oid);
}

/* Columns that rules leave out, of tables and of their partitions (where they are found by name, below). */
static void add_columns(const struct builder *b, struct strbuf *tables, struct strbuf *numbers)
{
    const struct schema_model *m = &b->plan->model;
    strbuf_addc(tables, '{');
    strbuf_addc(numbers, '{');
    for (size_t t = 0; t < m->table_count; t++) {
        for (size_t c = 0; c < m->tables[t].column_count; c++) {
            if (!m->tables[t].columns[c].left_out)
                continue;
            strbuf_addf(tables, "%s%u", tables->len > 1 ? "," : "", m->tables[t].oid);
            strbuf_addf(numbers, "%s%d", numbers->len > 1 ? "," : "", m->tables[t].columns[c].number);
        }
    }
    strbuf_addc(tables, '}');
    strbuf_addc(numbers, '}');
}

static void add_names(struct strbuf *out, const char **names, size_t count)
{
    strbuf_addc(out, '{');
    for (size_t i = 0; i < count; i++) {
        strbuf_adds(out, i > 0 ? ",\"" : "\"");
        for (const char *p = names[i]; *p != '\0'; p++)
            strbuf_addf(out, "%s%c", *p == '"' || *p == '\\' ? "\\" : "", *p);
        strbuf_addc(out, '"');
    }
    strbuf_addc(out, '}');
}

bool plan_pg_ask_lost(struct pg_conn *source, const char *const params[4], struct pg_result **ret,
                      struct err *err)
{
    return pg_query(source, lost_sql, 4, params, ret, err);
}

bool plan_pg_read_lost(struct builder *b, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    struct strbuf tables = STRBUF_INIT(SQL_BYTES_MAX), of = STRBUF_INIT(SQL_BYTES_MAX),
                  numbers = STRBUF_INIT(SQL_BYTES_MAX), extensions = STRBUF_INIT(SQL_BYTES_MAX);
    add_oids(&tables, b->plan->model.other_tables, b->plan->model.other_count);
    add_columns(b, &of, &numbers);
    add_names(&extensions, b->missing, b->missing_count);
    const char *params[] = {tables.data, of.data, numbers.data, extensions.data};
    bool ok = plan_pg_ask_lost(b->req->source, params, &res, err);
    strbuf_release(&tables);
    strbuf_release(&of);
    strbuf_release(&numbers);
    strbuf_release(&extensions);
    if (!ok)
        return err_wrap(err, "what depends on what is left out");
    b->lost = xcalloc((size_t)pg_rows(res) + 1, sizeof *b->lost);
    for (int i = 0; i < pg_rows(res); i++)
        b->lost[b->lost_count++] = (struct lost_object){.class_oid = (uint32_t)pg_cell_int64(res, i, 0),
                                                        .object_oid = (uint32_t)pg_cell_int64(res, i, 1),
                                                        .column = (int)pg_cell_int64(res, i, 2)};
    return true;
}

bool plan_pg_read_partitions(struct builder *b, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(b->req->source, partitions_sql, 0, NULL, &res, err))
        return err_wrap(err, "partitions of the source");
    b->partitions = xcalloc((size_t)pg_rows(res) + 1, sizeof *b->partitions);
    for (int i = 0; i < pg_rows(res); i++)
        b->partitions[b->partition_count++] = (struct partition_pair){
            .partition = (uint32_t)pg_cell_int64(res, i, 0), .root = (uint32_t)pg_cell_int64(res, i, 1)};
    return true;
}

static int compare_lost(const void *a, const void *b)
{
    const struct lost_object *x = a, *y = b;
    if (x->class_oid != y->class_oid)
        return x->class_oid < y->class_oid ? -1 : 1;
    if (x->object_oid != y->object_oid)
        return x->object_oid < y->object_oid ? -1 : 1;
    return x->column - y->column;
}

bool plan_pg_is_lost(const struct builder *b, const struct dump_entry *e)
{
    struct lost_object key = {.class_oid = e->class_oid, .object_oid = e->object_oid};
    return e->object_oid != 0 && bsearch(&key, b->lost, b->lost_count, sizeof key, compare_lost) != NULL;
}

static bool extension_is_missing(const struct builder *b, const char *extension)
{
    for (size_t i = 0; extension != NULL && i < b->missing_count; i++) {
        if (strcmp(b->missing[i], extension) == 0)
            return true;
    }
    return false;
}

/* A column of a table that is moved, and that cannot be made: nobody has said so yet. Where its type is missing the table cannot be
 * made at all: a column that stays behind is made first, too. */
static void report_lost_column(struct builder *b, const struct sch_table *t, const struct sch_column *c)
{
    const char *name = plan_key(b->plan, t, c->name), *table = plan_key(b->plan, t, NULL);
    if (extension_is_missing(b, c->extension))
        plan_add_item(
            b->plan, ITEM_DECIDE, "column", name,
            "its type belongs to an extension that is left out: take that along, or leave the table out",
            model_textf(&b->plan->model, "source: {tables: [..., \"!%s\"]}", table));
    else if (!c->left_out)
        plan_add_item(
            b->plan, ITEM_DECIDE, "column", name,
            "needs something that is left out: leave it out, too, or give it another type on the source",
            model_textf(&b->plan->model, "source.filters: [{table: '%s', columns: ['!%s']}]", table,
                        c->name));
}

void plan_pg_report_lost_columns(struct builder *b)
{
    for (size_t i = 0; i < b->lost_count; i++) {
        const struct lost_object *l = &b->lost[i];
        const struct sch_table *t = l->class_oid == CLASS_RELATION && l->column > 0
                                        ? model_find_oid(&b->plan->model, l->object_oid)
                                        : NULL;
        for (size_t c = 0; t != NULL && c < t->column_count; c++) {
            if (t->columns[c].number == l->column)
                report_lost_column(b, t, &t->columns[c]);
        }
    }
}
