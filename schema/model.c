/* Owns: reading the source's catalog into a model. See model.h. */
#include "model.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "sql/embedded.h"

#define MODEL_BYTES_MAX ((size_t)1 << 30)
#define TEXT_BYTES_MAX  ((size_t)16 << 20)

static const char tables_sql[] =
    "SELECT c.oid, n.nspname, c.relname, coalesce(pg_get_partkeydef(c.oid), ''), rn.nspname, rc.relname,"
    " c.relpersistence = 'u', coalesce(ts.spcname, ''), obj_description(c.oid, 'pg_class'), c.relispartition,"
    " CASE WHEN c.relkind = 'p' THEN (SELECT count(*) FROM pg_partition_tree(c.oid) WHERE isleaf) ELSE 0 END,"
    " pg_get_userbyid(c.relowner)"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " LEFT JOIN pg_class rc ON rc.oid = CASE WHEN c.relispartition THEN pg_partition_root(c.oid)::oid ELSE "
    "c.oid END"
    " LEFT JOIN pg_namespace rn ON rn.oid = rc.relnamespace LEFT JOIN pg_tablespace ts ON ts.oid = "
    "c.reltablespace"
    " WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', "
    "'information_schema',"
    " 'crossfade') AND n.nspname !~ '^pg_(toast|temp)' AND NOT EXISTS (SELECT FROM pg_depend d WHERE "
    "d.classid ="
    " 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') ORDER BY 2, 3";

/* Domains are followed to their base; an array is told by its element. */
static const char columns_sql[] =
    "WITH RECURSIVE d AS (SELECT oid, oid AS base, -1 AS typmod, false AS domain, false AS not_null, "
    "typdefault AS def FROM pg_type"
    " WHERE typtype <> 'd' UNION ALL SELECT t.oid, d.base, CASE WHEN t.typtypmod <> -1 THEN t.typtypmod ELSE "
    "d.typmod END,"
    " true, t.typnotnull OR d.not_null, coalesce(t.typdefault, d.def) FROM pg_type t JOIN d ON t.typbasetype "
    "= d.oid WHERE t.typtype = 'd')"
    " SELECT a.attrelid, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), e.typname, e.typtype,"
    " e.oid <> b.oid, d.domain, CASE WHEN a.atttypmod <> -1 THEN a.atttypmod ELSE "
    "d.typmod END,"
    " a.attnotnull OR d.not_null, coalesce(pg_get_expr(ad.adbin, ad.adrelid), CASE WHEN d.domain THEN d.def "
    "END), a.attgenerated, a.attidentity,"
    " EXISTS (SELECT FROM pg_depend s JOIN pg_depend u ON u.classid = 'pg_attrdef'::regclass AND u.objid = "
    "ad.oid AND"
    " u.refclassid = 'pg_class'::regclass AND u.refobjid = s.objid WHERE s.classid = 'pg_class'::regclass "
    "AND s.refclassid ="
    " 'pg_class'::regclass AND s.refobjid = a.attrelid AND s.refobjsubid = a.attnum AND s.deptype = 'a'),"
    " NOT coalesce(co.collisdeterministic, true) OR e.typname = 'citext',"
    " (SELECT json_agg(l.enumlabel ORDER BY l.enumsortorder) FROM pg_enum l WHERE l.enumtypid = e.oid),"
    " col_description(a.attrelid, a.attnum), (SELECT x.extname FROM pg_depend s JOIN pg_extension x ON x.oid "
    "= s.refobjid"
    " WHERE s.classid = 'pg_type'::regclass AND s.objid = e.oid AND s.deptype = 'e' LIMIT 1),"
    " (SELECT nullif(concat_ws(', ', CASE WHEN q.seqincrement <> 1 THEN 'steps of ' || q.seqincrement END, "
    "CASE WHEN q.seqstart <> 1 THEN 'its start at ' || q.seqstart END, CASE WHEN q.seqcycle THEN 'its "
    "beginning "
    "anew at the end' END), '')"
    " FROM pg_depend s JOIN pg_sequence q ON q.seqrelid = s.objid WHERE s.classid = 'pg_class'::regclass AND "
    "s.refclassid = 'pg_class'::regclass AND s.refobjid = a.attrelid AND s.refobjsubid = a.attnum AND "
    "s.deptype IN ('a', 'i') LIMIT 1), (SELECT r.rngsubtype::regtype::text FROM pg_range r WHERE r.rngtypid "
    "= b.oid)"
    " FROM pg_attribute a JOIN d ON d.oid = a.atttypid JOIN pg_type b ON b.oid = d.base"
    " JOIN pg_type e ON e.oid = CASE WHEN EXISTS (SELECT FROM pg_type x WHERE x.oid = b.typelem AND "
    "x.typarray = "
    "b.oid) THEN b.typelem ELSE b.oid END" /* int2vector and the like are no arrays */
    " LEFT JOIN pg_attrdef ad ON ad.adrelid = a.attrelid AND ad.adnum = a.attnum"
    " LEFT JOIN pg_collation co ON co.oid = a.attcollation"
    " WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1, 2";

static const char constraints_sql[] =
    "SELECT c.conrelid, c.oid, c.conname, c.contype, pg_get_constraintdef(c.oid), to_json(c.conkey), "
    "rn.nspname, rc.relname,"
    " (SELECT json_agg(a.attname ORDER BY k.n) FROM unnest(c.confkey) WITH ORDINALITY k (num, n) JOIN "
    "pg_attribute a ON"
    " a.attrelid = c.confrelid AND a.attnum = k.num), c.confupdtype, c.confdeltype, c.confmatchtype, "
    "c.condeferrable,"
    " obj_description(c.oid, 'pg_constraint'), c.convalidated"
    " FROM pg_constraint c LEFT JOIN pg_class rc ON rc.oid = c.confrelid LEFT JOIN pg_namespace rn ON rn.oid "
    "= rc.relnamespace"
    " WHERE c.conrelid = ANY ($1::oid[]) AND c.conparentid = 0 AND c.contype IN ('p', 'u', 'f', 'c', 'x')"
    " ORDER BY 1, array_position('{p,u,x,c,f}'::\"char\"[], c.contype), 3";

static const char indexes_sql[] =
    "SELECT i.indrelid, c.relname, pg_get_indexdef(i.indexrelid), am.amname, i.indisunique, i.indpred IS NOT "
    "NULL,"
    " i.indexprs IS NOT NULL, i.indnatts > i.indnkeyatts, (SELECT json_agg(k.num ORDER BY k.n) FROM"
    " unnest(i.indkey::int2[]) WITH ORDINALITY k (num, n) WHERE k.n <= i.indnkeyatts),"
    " coalesce(to_jsonb(i) ->> 'indnullsnotdistinct', 'false'), to_json(i.indoption::int2[]), (SELECT "
    "string_agg(o.opcname, ', ') FROM unnest(i.indclass::oid[]) k JOIN pg_opclass o ON o.oid = k WHERE NOT "
    "o.opcdefault) FROM pg_index i JOIN pg_class c ON c.oid = "
    "i.indexrelid"
    " JOIN pg_am am ON am.oid = c.relam WHERE i.indrelid = ANY ($1::oid[]) AND NOT EXISTS (SELECT FROM "
    "pg_constraint k"
    " WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')) ORDER BY 1, 2";

const char *model_text(struct schema_model *model, const char *text)
{
    char *copy = arena_copy(&model->mem, text, strlen(text));
    if (copy == NULL)
        model->failed = true;
    return copy != NULL ? copy : "";
}

const char *model_textf(struct schema_model *model, const char *fmt, ...)
{
    struct strbuf text = STRBUF_INIT(TEXT_BYTES_MAX);
    va_list ap;
    va_start(ap, fmt);
    strbuf_vaddf(&text, fmt, ap);
    va_end(ap);
    const char *copy = model_text(model, text.data);
    model->failed = model->failed || text.failed;
    strbuf_release(&text);
    return copy;
}

/* Zeroed; NULL when memory is out, and then `failed` is set. */
static void *many(struct schema_model *model, size_t count, size_t size)
{
    void *p = arena_alloc(&model->mem, count * size + 1);
    if (p == NULL)
        model->failed = true;
    else
        memset(p, 0, count * size + 1);
    return p;
}

static const char *cell(struct schema_model *model, const struct pg_result *res, int row, int column)
{
    return pg_is_null(res, row, column) ? NULL : model_text(model, pg_cell(res, row, column));
}

static uint32_t cell_oid(const struct pg_result *res, int row, int column)
{
    return (uint32_t)strtoul(pg_cell(res, row, column), NULL, 10);
}

/* A JSON array of texts; NULL for null. */
static const char **cell_texts(struct schema_model *model, const struct pg_result *res, int row, int column,
                               size_t *ret_count)
{
    *ret_count = 0;
    json_t *array = pg_is_null(res, row, column) ? NULL : json_loads(pg_cell(res, row, column), 0, NULL);
    size_t count = json_array_size(array);
    const char **texts = count > 0 ? many(model, count, sizeof *texts) : NULL;
    for (size_t i = 0; texts != NULL && i < count; i++)
        texts[i] = model_text(model, json_string_value(json_array_get(array, i)));
    *ret_count = texts != NULL ? count : 0;
    json_decref(array);
    return texts;
}

/* A JSON array of column numbers as indexes into the table's columns; what is no column is left out. */
static size_t *cell_columns(struct schema_model *model, const struct sch_table *t,
                            const struct pg_result *res, int row, int column, size_t *ret_count)
{
    *ret_count = 0;
    json_t *array = pg_is_null(res, row, column) ? NULL : json_loads(pg_cell(res, row, column), 0, NULL);
    size_t count = json_array_size(array), n = 0;
    size_t *columns = count > 0 ? many(model, count, sizeof *columns) : NULL;
    for (size_t i = 0; columns != NULL && i < count; i++) {
        int number = (int)json_integer_value(json_array_get(array, i));
        for (size_t c = 0; c < t->column_count; c++) {
            if (t->columns[c].number == number)
                columns[n++] = c;
        }
    }
    *ret_count = n;
    json_decref(array);
    return columns;
}

/* The first `count` of a JSON array of small numbers; NULL without any. */
static int *cell_numbers(struct schema_model *model, const struct pg_result *res, int row, int column,
                         size_t count)
{
    json_t *array = pg_is_null(res, row, column) ? NULL : json_loads(pg_cell(res, row, column), 0, NULL);
    int *numbers = count > 0 ? many(model, count, sizeof *numbers) : NULL;
    for (size_t i = 0; numbers != NULL && i < count; i++)
        numbers[i] = (int)json_integer_value(json_array_get(array, i));
    json_decref(array);
    return numbers;
}

static bool selected(const struct table_filter *filter, const struct pg_result *res, int row)
{
    return table_filter_matches(filter, pg_cell(res, row, 4), pg_cell(res, row, 5));
}

static bool read_tables(struct pg_conn *conn, const struct table_filter *filter, struct schema_model *m,
                        struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(conn, tables_sql, 0, NULL, &res, err))
        return false;
    m->tables = many(m, (size_t)pg_rows(res), sizeof *m->tables);
    m->other_tables = many(m, (size_t)pg_rows(res), sizeof *m->other_tables);
    for (int i = 0; i < pg_rows(res) && !m->failed; i++) {
        bool partition = pg_cell_bool(res, i, 9);
        if (!selected(filter, res, i)) {
            m->other_tables[m->other_count++] = cell_oid(res, i, 0);
            m->other_root_count += !partition;
            continue;
        }
        if (partition)
            continue;
        m->tables[m->table_count++] =
            (struct sch_table){.oid = cell_oid(res, i, 0),
                               .schema = cell(m, res, i, 1),
                               .name = cell(m, res, i, 2),
                               .partitioned_by = pg_cell_len(res, i, 3) > 0 ? cell(m, res, i, 3) : NULL,
                               .unlogged = pg_cell_bool(res, i, 6),
                               .tablespace = pg_cell_len(res, i, 7) > 0 ? cell(m, res, i, 7) : NULL,
                               .comment = cell(m, res, i, 8),
                               .partition_count = (size_t)pg_cell_int64(res, i, 10),
                               .owner = cell(m, res, i, 11)};
    }
    return true;
}

/* "{1,2,3}" */
static void add_oids(const struct schema_model *m, struct strbuf *out)
{
    strbuf_addc(out, '{');
    for (size_t i = 0; i < m->table_count; i++)
        strbuf_addf(out, "%s%u", i > 0 ? "," : "", m->tables[i].oid);
    strbuf_addc(out, '}');
}

/* Rows of one table follow each other: the first row behind those of `oid`, from `row` on. */
static int rows_of(const struct pg_result *res, int row)
{
    uint32_t oid = cell_oid(res, row, 0);
    int end = row;
    while (end < pg_rows(res) && cell_oid(res, end, 0) == oid)
        end++;
    return end;
}

static char cell_char(const struct pg_result *res, int row, int column)
{
    return pg_cell(res, row, column)[0];
}

static void take_column(struct schema_model *m, const struct table_rules *rules, const struct sch_table *t,
                        const struct pg_result *res, int i, struct sch_column *c)
{
    *c = (struct sch_column){.number = (int)pg_cell_int64(res, i, 1),
                             .name = cell(m, res, i, 2),
                             .type = cell(m, res, i, 3),
                             .base = cell(m, res, i, 4),
                             .kind = cell_char(res, i, 5),
                             .array = pg_cell_bool(res, i, 6),
                             .domain = pg_cell_bool(res, i, 7),
                             .typmod = (int32_t)pg_cell_int64(res, i, 8),
                             .not_null = pg_cell_bool(res, i, 9),
                             .def = cell(m, res, i, 10),
                             .generated = cell_char(res, i, 11),
                             .identity = cell_char(res, i, 12),
                             .serial = pg_cell_bool(res, i, 13),
                             .ignores_case = pg_cell_bool(res, i, 14),
                             .comment = cell(m, res, i, 16),
                             .extension = cell(m, res, i, 17),
                             .sequence = cell(m, res, i, 18),
                             .range_of = cell(m, res, i, 19)};
    c->labels = cell_texts(m, res, i, 15, &c->label_count);
    c->target = model_text(m, table_rules_rename(rules, t->schema, t->name, c->name));
    c->left_out = !table_rules_keeps(rules, t->schema, t->name, c->name);
}

static struct sch_table *table_of(struct schema_model *m, const struct pg_result *res, int row)
{
    struct sch_table *t = (struct sch_table *)model_find_oid(m, cell_oid(res, row, 0));
    BUG_UNLESS(t != NULL);
    return t;
}

static bool read_columns(struct pg_conn *conn, const char *oids, const struct table_rules *rules,
                         struct schema_model *m, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(conn, columns_sql, 1, &oids, &res, err))
        return false;
    for (int i = 0, end; i < pg_rows(res) && !m->failed; i = end) {
        struct sch_table *t = table_of(m, res, i);
        end = rows_of(res, i);
        t->columns = many(m, (size_t)(end - i), sizeof *t->columns);
        for (int row = i; row < end && !m->failed; row++)
            take_column(m, rules, t, res, row, &t->columns[t->column_count++]);
    }
    return true;
}

static void take_constraint(struct schema_model *m, const struct sch_table *t, const struct pg_result *res,
                            int i, struct sch_constraint *c)
{
    size_t refs = 0;
    *c = (struct sch_constraint){.oid = cell_oid(res, i, 1),
                                 .name = cell(m, res, i, 2),
                                 .type = cell_char(res, i, 3),
                                 .def = cell(m, res, i, 4),
                                 .ref_schema = cell(m, res, i, 6),
                                 .ref_table = cell(m, res, i, 7),
                                 .on_update = cell_char(res, i, 9),
                                 .on_delete = cell_char(res, i, 10),
                                 .match = cell_char(res, i, 11),
                                 .deferrable = pg_cell_bool(res, i, 12),
                                 .comment = cell(m, res, i, 13),
                                 .not_valid = !pg_cell_bool(res, i, 14)};
    c->columns = cell_columns(m, t, res, i, 5, &c->column_count);
    c->ref_columns = cell_texts(m, res, i, 8, &refs);
}

static bool read_constraints(struct pg_conn *conn, const char *oids, struct schema_model *m, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(conn, constraints_sql, 1, &oids, &res, err))
        return false;
    for (int i = 0, end; i < pg_rows(res) && !m->failed; i = end) {
        struct sch_table *t = table_of(m, res, i);
        end = rows_of(res, i);
        t->constraints = many(m, (size_t)(end - i), sizeof *t->constraints);
        for (int row = i; row < end && !m->failed; row++)
            take_constraint(m, t, res, row, &t->constraints[t->constraint_count++]);
    }
    return true;
}

static void take_index(struct schema_model *m, const struct sch_table *t, const struct pg_result *res, int i,
                       struct sch_index *x)
{
    *x = (struct sch_index){.name = cell(m, res, i, 1),
                            .def = cell(m, res, i, 2),
                            .method = cell(m, res, i, 3),
                            .unique = pg_cell_bool(res, i, 4),
                            .partial = pg_cell_bool(res, i, 5),
                            .expression = pg_cell_bool(res, i, 6),
                            .includes = pg_cell_bool(res, i, 7),
                            .nulls_not_distinct = pg_cell_bool(res, i, 9),
                            .classes = cell(m, res, i, 11)};
    x->columns = cell_columns(m, t, res, i, 8, &x->column_count);
    x->options = cell_numbers(m, res, i, 10, x->column_count);
}

static bool read_indexes(struct pg_conn *conn, const char *oids, struct schema_model *m, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(conn, indexes_sql, 1, &oids, &res, err))
        return false;
    for (int i = 0, end; i < pg_rows(res) && !m->failed; i = end) {
        struct sch_table *t = table_of(m, res, i);
        end = rows_of(res, i);
        t->indexes = many(m, (size_t)(end - i), sizeof *t->indexes);
        for (int row = i; row < end && !m->failed; row++)
            take_index(m, t, res, row, &t->indexes[t->index_count++]);
    }
    return true;
}

/* Rows of kind, name, detail (and value), table. */
static bool read_objects(struct pg_conn *conn, const char *sql, int table_at, struct schema_model *m,
                         struct sch_object **ret, size_t *ret_count, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(conn, sql, 0, NULL, &res, err))
        return false;
    *ret = many(m, (size_t)pg_rows(res), sizeof **ret);
    for (int i = 0; i < pg_rows(res) && !m->failed; i++)
        (*ret)[(*ret_count)++] =
            (struct sch_object){.kind = cell(m, res, i, 0),
                                .name = cell(m, res, i, 1),
                                .detail = model_text(m, pg_cell(res, i, 2)),
                                .value = table_at > 3 ? model_text(m, pg_cell(res, i, 3)) : NULL,
                                .table_oid = cell_oid(res, i, table_at)};
    return true;
}

static int compare_oids(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static int compare_tables_by_oid(const void *a, const void *b)
{
    const struct sch_table *const *x = a, *const *y = b;
    return compare_oids(&(*x)->oid, &(*y)->oid);
}

static int compare_oid_with_table(const void *key, const void *element)
{
    const struct sch_table *const *t = element;
    return compare_oids(key, &(*t)->oid);
}

/* Catalogs have tens of thousands of tables: nothing may look through all of them for each. Type name sorts as bytes do, so the
 * tables came in the order that model_find() needs. */
static void sort_oids(struct schema_model *m)
{
    m->by_oid = many(m, m->table_count, sizeof *m->by_oid);
    for (size_t i = 0; m->by_oid != NULL && i < m->table_count; i++)
        m->by_oid[i] = &m->tables[i];
    if (m->by_oid != NULL && m->table_count > 0)
        qsort(m->by_oid, m->table_count, sizeof *m->by_oid, compare_tables_by_oid);
    if (m->other_tables != NULL && m->other_count > 0)
        qsort(m->other_tables, m->other_count, sizeof *m->other_tables, compare_oids);
}

const struct sch_table *model_find_oid(const struct schema_model *model, uint32_t oid)
{
    struct sch_table **found =
        model->table_count == 0 || model->by_oid == NULL
            ? NULL
            : bsearch(&oid, model->by_oid, model->table_count, sizeof *found, compare_oid_with_table);
    return found != NULL ? *found : NULL;
}

bool model_is_other(const struct schema_model *model, uint32_t oid)
{
    return model->other_count > 0 &&
           bsearch(&oid, model->other_tables, model->other_count, sizeof oid, compare_oids) != NULL;
}

static bool read_all(struct pg_conn *conn, const struct table_filter *filter, const struct table_rules *rules,
                     struct schema_model *m, struct err *err)
{
    struct strbuf oids = STRBUF_INIT(TEXT_BYTES_MAX);
    m->database = model_text(m, pg_database(conn));
    m->server_version = pg_server_version(conn);
    bool ok = read_tables(conn, filter, m, err);
    sort_oids(m);
    if (ok)
        add_oids(m, &oids);
    ok = ok && strbuf_ok(&oids, "the list of tables", err) && read_columns(conn, oids.data, rules, m, err) &&
         read_constraints(conn, oids.data, m, err) && read_indexes(conn, oids.data, m, err) &&
         read_objects(conn, embedded_sql_catalog_objects_sql, 3, m, &m->objects, &m->object_count, err) &&
         read_objects(conn, embedded_sql_catalog_database_sql, 4, m, &m->facts, &m->fact_count, err);
    strbuf_release(&oids);
    if (ok && m->failed)
        return err_set(err, ERR_NO_MEMORY, "the catalog does not fit into %zu bytes", MODEL_BYTES_MAX);
    return ok;
}

bool model_read(struct pg_conn *conn, const struct table_filter *filter, const struct table_rules *rules,
                struct schema_model *ret, struct err *err)
{
    *ret = (struct schema_model){0};
    arena_init(&ret->mem, 64 << 10, MODEL_BYTES_MAX);
    if (read_all(conn, filter, rules, ret, err))
        return true;
    model_release(ret);
    return err_wrap(err, "reading the catalog of database %s", pg_database(conn));
}

void model_release(struct schema_model *model)
{
    arena_release(&model->mem);
    *model = (struct schema_model){0};
}

static int compare_names(const void *a, const void *b)
{
    const struct sch_table *x = a, *y = b;
    int schemas = strcmp(x->schema, y->schema);
    return schemas != 0 ? schemas : strcmp(x->name, y->name);
}

const struct sch_table *model_find(const struct schema_model *model, const char *schema, const char *name)
{
    struct sch_table key = {.schema = schema, .name = name};
    return model->table_count == 0
               ? NULL
               : bsearch(&key, model->tables, model->table_count, sizeof key, compare_names);
}

size_t sch_table_column(const struct sch_table *t, const char *name)
{
    for (size_t i = 0; i < t->column_count; i++) {
        if (strcmp(t->columns[i].name, name) == 0)
            return i;
    }
    return SIZE_MAX;
}

const struct sch_constraint *sch_table_primary(const struct sch_table *t)
{
    for (size_t i = 0; i < t->constraint_count; i++) {
        if (t->constraints[i].type == 'p')
            return &t->constraints[i];
    }
    return NULL;
}
