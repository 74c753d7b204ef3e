/* Owns: choosing among pg_dump's entries what is made on a PostgreSQL target, and when. See plan_postgres.h. */
#include "plan_postgres.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

#define SQL_BYTES_MAX  ((size_t)64 << 20)
#define CLASS_RELATION 1259 /* pg_class: the numbers of system catalogs never change */

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

struct lost_object {
    uint32_t class_oid, object_oid;
    int column; /* 0 = all of it */
};

struct pair {
    uint32_t partition, root;
};

struct builder {
    struct schema_plan *plan;
    const struct postgres_request *req;
    struct lost_object *lost;
    size_t lost_count;
    struct pair *partitions;
    size_t partition_count;
    const char **roles; /* of the target, sorted; NULL = not known */
    size_t role_count;
    const char **missing; /* extensions */
    size_t missing_count;
    bool *left_out; /* parallel to the dump's entries */
};

enum step_phase plan_phase(const struct dump_entry *e, bool indexes_later)
{
    if (strcmp(e->kind, "EVENT TRIGGER") == 0)
        return PHASE_LAST; /* it would fire at what is made after it */
    if (!indexes_later)
        return PHASE_TABLES;
    if (strcmp(e->kind, "INDEX") == 0)
        return strstr(e->sql, "CREATE UNIQUE INDEX ") != NULL ? PHASE_TABLES : PHASE_INDEXES;
    if (strcmp(e->kind, "CONSTRAINT") == 0)
        return strstr(e->sql, " EXCLUDE ") != NULL ? PHASE_INDEXES : PHASE_TABLES;
    if (strcmp(e->kind, "FK CONSTRAINT") == 0)
        return PHASE_FOREIGN_KEYS;
    if (strcmp(e->kind, "INDEX ATTACH") == 0)
        return PHASE_ATTACH;
    if (strcmp(e->kind, "COMMENT") == 0 &&
        (strncmp(e->name, "INDEX ", 6) == 0 || strncmp(e->name, "CONSTRAINT ", 11) == 0))
        return PHASE_LAST;
    return PHASE_TABLES;
}

/* --- what the target has --- */

static bool read_roles(struct builder *b, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (b->req->target == NULL)
        return true;
    if (!pg_query(b->req->target, "SELECT rolname FROM pg_roles", 0, NULL, &res, err))
        return err_wrap(err, "roles of the target");
    b->roles = xcalloc((size_t)pg_rows(res) + 1, sizeof *b->roles);
    for (int i = 0; i < pg_rows(res); i++)
        b->roles[b->role_count++] = model_text(&b->plan->model, pg_cell(res, i, 0));
    qsort(b->roles, b->role_count, sizeof *b->roles, roles_compare);
    return true;
}

static bool excluded(const struct postgres_request *req, const char *kind, const char *name)
{
    char *text CLEANUP(free_ptr) = xasprintf("%s %s", kind, name);
    for (size_t i = 0; i < req->exclude_count; i++) {
        if (fnmatch(req->exclude[i], text, FNM_CASEFOLD) == 0)
            return true;
    }
    return false;
}

/* Extensions that are to be left out, or that the target does not offer. */
static bool look_at_extensions(struct builder *b, struct err *err)
{
    b->missing = xcalloc(b->req->dump->count + 1, sizeof *b->missing);
    for (size_t i = 0; i < b->req->dump->count; i++) {
        const struct dump_entry *e = &b->req->dump->entries[i];
        int64_t there = 1;
        if (strcmp(e->kind, "EXTENSION") != 0)
            continue;
        if (excluded(b->req, e->kind, e->name)) {
            b->missing[b->missing_count++] = e->name;
            continue;
        }
        if (b->req->target != NULL &&
            !pg_query_int64(b->req->target, "SELECT count(*) FROM pg_available_extensions WHERE name = $1", 1,
                            &e->name, &there, err))
            return err_wrap(err, "extensions of the target");
        if (there == 0)
            plan_add_item(b->plan, ITEM_DECIDE, "extension", model_text(&b->plan->model, e->name),
                          "the target's server does not have it: install it there, or leave it out with all "
                          "that needs it",
                          model_textf(&b->plan->model, "schema: {exclude: [\"extension %s\"]}", e->name));
    }
    return true;
}

/* --- what is lost --- */

static void add_oids(struct strbuf *out, const uint32_t *oids, size_t count)
{
    strbuf_addc(out, '{');
    for (size_t i = 0; i < count; i++)
        strbuf_addf(out, "%s%u", i > 0 ? "," : "", oids[i]);
    strbuf_addc(out, '}');
}

static const struct sch_table *table_or_root(const struct builder *b, uint32_t oid)
{
    for (size_t i = 0; i < b->partition_count; i++) {
        if (b->partitions[i].partition == oid)
            return model_find_oid(&b->plan->model, b->partitions[i].root);
    }
    return model_find_oid(&b->plan->model, oid);
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

static bool read_lost(struct builder *b, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    struct strbuf tables = STRBUF_INIT(SQL_BYTES_MAX), of = STRBUF_INIT(SQL_BYTES_MAX),
                  numbers = STRBUF_INIT(SQL_BYTES_MAX), extensions = STRBUF_INIT(SQL_BYTES_MAX);
    add_oids(&tables, b->plan->model.other_tables, b->plan->model.other_count);
    add_columns(b, &of, &numbers);
    add_names(&extensions, b->missing, b->missing_count);
    const char *params[] = {tables.data, of.data, numbers.data, extensions.data};
    bool ok = pg_query(b->req->source, lost_sql, 4, params, &res, err);
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

static bool read_partitions(struct builder *b, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(b->req->source, partitions_sql, 0, NULL, &res, err))
        return err_wrap(err, "partitions of the source");
    b->partitions = xcalloc((size_t)pg_rows(res) + 1, sizeof *b->partitions);
    for (int i = 0; i < pg_rows(res); i++)
        b->partitions[b->partition_count++] = (struct pair){.partition = (uint32_t)pg_cell_int64(res, i, 0),
                                                            .root = (uint32_t)pg_cell_int64(res, i, 1)};
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

static bool is_lost(const struct builder *b, const struct dump_entry *e)
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

static void report_lost_columns(struct builder *b)
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

/* --- entries into steps --- */

static const char *lower(struct schema_model *m, const char *text)
{
    char *copy CLEANUP(free_ptr) = xstrdup(text);
    for (char *p = copy; *p != '\0'; p++)
        *p = (char)tolower((unsigned char)*p);
    return model_text(m, copy);
}

static bool minor(const char *kind)
{
    static const char *const kinds[] = {"COMMENT",      "ACL",          "DEFAULT ACL",  "SEQUENCE OWNED BY",
                                        "TABLE ATTACH", "INDEX ATTACH", "ROW SECURITY", "SECURITY LABEL",
                                        "DEFAULT"};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (strcmp(kinds[i], kind) == 0)
            return true;
    }
    return false;
}

/* Saying it twice does no harm, and there is nothing to look for first. */
static bool again(const struct dump_entry *e)
{
    return e->object_oid == 0 || strcmp(e->kind, "DEFAULT ACL") == 0 || strcmp(e->kind, "ROW SECURITY") == 0;
}

static const char *shown_name(struct builder *b, const struct dump_entry *e)
{
    return strcmp(e->schema, "-") == 0 || e->schema[0] == '\0'
               ? model_text(&b->plan->model, e->name)
               : model_textf(&b->plan->model, "%s.%s", e->schema, e->name);
}

static size_t entry_of(const struct dump *dump, int id)
{
    size_t i = 0;
    while (i < dump->count && dump->entries[i].id != id)
        i++;
    return i;
}

/* A comment or a grant of a column that is left out: "COLUMN table.column", each quoted where it must be. */
static bool of_left_out_column(const struct dump_entry *e, const struct sch_table *t)
{
    const char *end = NULL;
    if (t == NULL || strncmp(e->name, "COLUMN ", 7) != 0)
        return false;
    free(roles_identifier(e->name + 7, &end));
    char *column CLEANUP(free_ptr) = roles_identifier(*end == '.' ? end + 1 : end, &end);
    size_t at = sch_table_column(t, column);
    return at != SIZE_MAX && t->columns[at].left_out;
}

/* An attachment names the partition, or the partition's index, which may also be a constraint's ("table constraint"). */
static bool attaches_left_out(const struct builder *b, const struct dump_entry *e)
{
    bool table = strcmp(e->kind, "TABLE ATTACH") == 0;
    size_t len = strlen(e->name);
    if (!table && strcmp(e->kind, "INDEX ATTACH") != 0)
        return false;
    for (size_t i = 0; i < b->req->dump->count; i++) {
        const struct dump_entry *o = &b->req->dump->entries[i];
        if (!b->left_out[i])
            continue;
        size_t other = strlen(o->name);
        bool same = other >= len && strcmp(o->name + other - len, e->name) == 0 &&
                    (other == len || o->name[other - len - 1] == ' ');
        if (same && strcmp(o->schema, e->schema) == 0 &&
            strcmp(o->kind, other > len ? "CONSTRAINT"
                            : table     ? "TABLE"
                                        : "INDEX") == 0)
            return true;
    }
    return false;
}

/* What is no object of its own goes with what it is about. */
static bool needs_left_out(const struct builder *b, const struct dump_entry *e)
{
    if (attaches_left_out(b, e))
        return true;
    for (size_t n = 0; n < e->need_count && e->object_oid == 0; n++) {
        size_t i = entry_of(b->req->dump, e->needs[n]);
        if (i == b->req->dump->count)
            continue;
        const struct dump_entry *about = &b->req->dump->entries[i];
        if (b->left_out[i] || (about->class_oid == CLASS_RELATION &&
                               of_left_out_column(e, table_or_root(b, about->object_oid))))
            return true;
    }
    return false;
}

/* Columns that rules leave out go right after the table was made. */
static void add_column_drops(const struct builder *b, const struct dump_entry *e, struct strbuf *sql)
{
    const struct sch_table *t = strcmp(e->kind, "TABLE") == 0 ? table_or_root(b, e->object_oid) : NULL;
    for (size_t i = 0; t != NULL && i < t->column_count; i++) {
        if (!t->columns[i].left_out)
            continue;
        strbuf_adds(sql, "ALTER TABLE ONLY ");
        pg_quote_table(sql, e->schema, e->name);
        strbuf_adds(sql, " DROP COLUMN ");
        pg_quote_ident(sql, t->columns[i].name);
        strbuf_adds(sql, ";\n");
    }
}

static bool is_partitioned(const struct builder *b, const char *schema, const char *table)
{
    const struct sch_table *t = model_find(&b->plan->model, schema, table);
    return t != NULL && t->partitioned_by != NULL;
}

/* A foreign key is checked by a later scan that lets writers pass. pg_dump names it "table constraint" and ends in ";". */
static void split_foreign_key(struct builder *b, const struct dump_entry *e, struct strbuf *sql,
                              const char **ret_validate)
{
    const char *constraint = strstr(e->sql, "ADD CONSTRAINT "), *end = NULL;
    size_t len = sql->len;
    *ret_validate = NULL;
    while (len > 0 && sql->data[len - 1] == '\n')
        len--;
    if (constraint == NULL || len == 0 || sql->data[len - 1] != ';' || strstr(e->sql, " NOT VALID;") != NULL)
        return;
    char *name CLEANUP(free_ptr) = roles_identifier(constraint + 15, &end);
    size_t table_len = strlen(e->name) - strlen(name);
    if (table_len < 2 || table_len > strlen(e->name))
        return;
    char *table CLEANUP(free_ptr) = xstrndup(e->name, table_len - 1);
    if (is_partitioned(b, e->schema, table))
        return; /* NOT VALID is refused there */
    sql->len = len - 1;
    strbuf_adds(sql, " NOT VALID;\n");
    struct strbuf validate = STRBUF_INIT(4096);
    strbuf_adds(&validate, "ALTER TABLE ");
    pg_quote_table(&validate, e->schema, table);
    strbuf_adds(&validate, " VALIDATE CONSTRAINT ");
    pg_quote_ident(&validate, name);
    *ret_validate = model_text(&b->plan->model, validate.data);
    strbuf_release(&validate);
}

/* A primary key that may wait until the rows are there: no index of a partition is attached to it, and nothing that is made before
 * needs it (a view that groups by it). */
static bool key_may_wait(const struct builder *b, const struct dump_entry *e)
{
    const struct dump *dump = b->req->dump;
    if (!b->req->keys_later || strcmp(e->kind, "CONSTRAINT") != 0 || strstr(e->sql, " PRIMARY KEY ") == NULL)
        return false;
    for (size_t i = 0; i < dump->count; i++) {
        const struct dump_entry *other = &dump->entries[i];
        if (strcmp(other->kind, "INDEX ATTACH") == 0)
            return false;
        for (size_t k = 0; k < other->need_count; k++) {
            if (other->needs[k] == e->id && plan_phase(other, true) == PHASE_TABLES)
                return false;
        }
    }
    return true;
}

/* An index of a partition is attached when both are there: at once where it belongs to a key. */
static enum step_phase phase_of(const struct builder *b, const struct dump_entry *e)
{
    enum step_phase phase = key_may_wait(b, e) ? PHASE_INDEXES : plan_phase(e, b->req->indexes_later);
    for (size_t i = 0; phase == PHASE_ATTACH && i < b->plan->step_count; i++) {
        const struct plan_step *s = &b->plan->steps[i];
        size_t len = strlen(s->name), tail = strlen(e->name);
        bool key =
            s->phase == PHASE_TABLES && (strcmp(s->kind, "constraint") == 0 || strcmp(s->kind, "index") == 0);
        if (key && len > tail && strcmp(s->name + len - tail, e->name) == 0 &&
            (s->name[len - tail - 1] == ' ' || s->name[len - tail - 1] == '.') &&
            strncmp(s->name, e->schema, strlen(e->schema)) == 0)
            return PHASE_TABLES;
    }
    return phase;
}

static void add_entry(struct builder *b, const struct dump_entry *e)
{
    struct schema_model *m = &b->plan->model;
    struct strbuf sql = STRBUF_INIT(SQL_BYTES_MAX);
    const char *kind = lower(m, e->kind), *name = shown_name(b, e), *validate = NULL;
    bool dropped = false;
    if (b->roles != NULL)
        dropped = plan_drop_roles(e->sql, b->roles, b->role_count, &sql);
    else
        strbuf_adds(&sql, e->sql);
    add_column_drops(b, e, &sql);
    if (strcmp(e->kind, "FK CONSTRAINT") == 0 && b->req->indexes_later)
        split_foreign_key(b, e, &sql, &validate);
    if (dropped)
        plan_add_item(b->plan, ITEM_CHANGED, kind, name, "without roles that the target does not have", NULL);
    else if (strcmp(e->kind, "MATERIALIZED VIEW") == 0)
        plan_add_item(b->plan, ITEM_CHANGED, kind, name,
                      "made without rows: REFRESH MATERIALIZED VIEW once the copy is complete", NULL);
    else if (strcmp(e->kind, "SEQUENCE") == 0)
        plan_add_item(b->plan, ITEM_CARRIED, kind, name, "its value is set at cutover", NULL);
    else if (!minor(e->kind) && strstr(e->name, " _RETURN") == NULL)
        plan_add_item(b->plan, ITEM_CARRIED, kind, name, NULL, NULL);
    if (sql.len > 0) {
        struct plan_step *step = plan_add_step(b->plan, phase_of(b, e), kind, name, model_text(m, sql.data));
        step->class_oid = e->class_oid;
        step->object_oid = e->object_oid;
        step->again = again(e);
        step->validate = validate;
    }
    m->failed = m->failed || sql.failed;
    strbuf_release(&sql);
}

static bool of_other_table(const struct builder *b, const struct dump_entry *e)
{
    for (size_t i = 0; i < b->plan->model.other_count; i++) {
        if (e->class_oid == CLASS_RELATION && b->plan->model.other_tables[i] == e->object_oid)
            return true;
    }
    return false;
}

/* A policy for a role that is not there: it would be another policy without it. */
static bool lacks_role(const struct builder *b, const struct dump_entry *e)
{
    const char *to = strcmp(e->kind, "POLICY") == 0 && b->roles != NULL ? strstr(e->sql, " TO ") : NULL,
               *end = NULL;
    while (to != NULL) {
        char *name CLEANUP(free_ptr) = roles_identifier(to + (*to == ' ' ? 4 : 2), &end);
        if (name[0] != '\0' && !roles_has(b->roles, b->role_count, name) && strcmp(name, "CURRENT_USER") != 0)
            return true;
        to = strncmp(end, ", ", 2) == 0 ? end : NULL;
    }
    return false;
}

static void take_entry(struct builder *b, size_t i)
{
    const struct dump_entry *e = &b->req->dump->entries[i];
    struct schema_model *m = &b->plan->model;
    const char *name = shown_name(b, e);
    if (excluded(b->req, e->kind, name)) {
        b->left_out[i] = true;
        plan_add_item(b->plan, ITEM_LEFT_OUT, lower(m, e->kind), name, "by schema.exclude", NULL);
    } else if (is_lost(b, e) || needs_left_out(b, e)) {
        b->left_out[i] = true;
        if (e->class_oid == CLASS_RELATION && model_find_oid(m, e->object_oid) != NULL)
            plan_add_item(b->plan, ITEM_DECIDE, "table", name,
                          "needs a table or an extension that is not moved",
                          "source.tables: what it inherits from, too, or leave it out");
        else if (!of_other_table(b, e) && !minor(e->kind))
            plan_add_item(b->plan, ITEM_LEFT_OUT, lower(m, e->kind), name,
                          "needs a table, column or extension that is not moved", NULL);
    } else if (lacks_role(b, e)) {
        plan_add_item(
            b->plan, ITEM_DECIDE, "policy", name,
            "is for a role that the target does not have: create the role there, or leave the policy out",
            model_textf(m, "schema: {exclude: [\"policy %s\"]}", name));
    } else {
        add_entry(b, e);
    }
}

static void add_renames(struct builder *b)
{
    for (size_t t = 0; t < b->plan->model.table_count; t++) {
        const struct sch_table *tab = &b->plan->model.tables[t];
        for (size_t c = 0; c < tab->column_count; c++) {
            const struct sch_column *col = &tab->columns[c];
            if (col->left_out || strcmp(col->name, col->target) == 0)
                continue;
            struct strbuf sql = STRBUF_INIT(8192);
            strbuf_adds(&sql, "ALTER TABLE ");
            pg_quote_table(&sql, tab->schema, tab->name);
            strbuf_adds(&sql, " RENAME COLUMN ");
            pg_quote_ident(&sql, col->name);
            strbuf_adds(&sql, " TO ");
            pg_quote_ident(&sql, col->target);
            struct plan_step *step =
                plan_add_step(b->plan, PHASE_TABLES, "column name", plan_key(b->plan, tab, col->name),
                              model_text(&b->plan->model, sql.data));
            step->again = true;
            strbuf_release(&sql);
            plan_add_item(b->plan, ITEM_CHANGED, "column", plan_key(b->plan, tab, col->name),
                          model_textf(&b->plan->model, "is called %s, by source.filters", col->target), NULL);
            if (b->req->indexes_later)
                plan_add_item(b->plan, ITEM_DECIDE, "column", plan_key(b->plan, tab, col->name),
                              "indexes that come later would not know its new name",
                              "schema: {indexes: before_snapshot}");
        }
    }
}

/* PostgreSQL's own types stay what they are. */
static void map_columns(struct schema_plan *plan)
{
    for (size_t t = 0; t < plan->model.table_count; t++) {
        struct sch_table *tab = &plan->model.tables[t];
        tab->target_name = tab->name;
        for (size_t c = 0; c < tab->column_count; c++) {
            struct sch_column *col = &tab->columns[c];
            col->map = col->left_out
                           ? (struct mapping){.kind = MAP_LEFT_OUT,
                                              .rule = "source.filters",
                                              .note = "left out by source.filters"}
                           : (struct mapping){.kind = MAP_EXACT, .rule = "same type", .type = col->type};
        }
        if (tab->tablespace != NULL)
            plan_add_item(plan, ITEM_CHANGED, "table", plan_key(plan, tab, NULL),
                          model_textf(&plan->model,
                                      "lies in the target's default tablespace (on the source in %s)",
                                      tab->tablespace),
                          NULL);
    }
}

static void build(struct builder *b)
{
    b->left_out = xcalloc(b->req->dump->count + 1, sizeof *b->left_out);
    for (size_t i = 0; i < b->req->dump->count; i++)
        take_entry(b, i);
    add_renames(b);
    report_lost_columns(b);
    if (b->plan->model.other_root_count > 0)
        plan_add_item(b->plan, ITEM_LEFT_OUT, "tables",
                      model_textf(&b->plan->model, "%zu", b->plan->model.other_root_count),
                      "are not part of the pipeline (source.tables)", NULL);
}

bool plan_postgres(struct schema_plan *plan, const struct postgres_request *req, struct err *err)
{
    struct builder b = {.plan = plan, .req = req};
    map_columns(plan);
    bool ok =
        read_roles(&b, err) && read_partitions(&b, err) && look_at_extensions(&b, err) && read_lost(&b, err);
    if (ok)
        build(&b);
    free(b.left_out);
    free(b.lost);
    free(b.partitions);
    free(b.roles);
    free(b.missing);
    if (ok && plan->model.failed)
        return err_set(err, ERR_NO_MEMORY, "the plan does not fit into memory");
    return ok;
}
