/* Owns: choosing among pg_dump's entries what is made on a PostgreSQL target, and when. See plan_postgres.h. */
#include "plan_postgres.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "plan_postgres_builder.h"

#define SQL_BYTES_MAX ((size_t)64 << 20)

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

bool plan_pg_excluded(const struct postgres_request *req, const char *kind, const char *name)
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
        if (plan_pg_excluded(b->req, e->kind, e->name)) {
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

static void index_entries(struct builder *b)
{
    const struct dump *dump = b->req->dump;
    for (size_t i = 0; i < dump->count; i++)
        b->id_count = MAX_OF(b->id_count, (size_t)MAX_OF(dump->entries[i].id, 0) + 1);
    b->by_id = xcalloc(b->id_count + 1, sizeof *b->by_id);
    for (size_t i = 0; i < dump->count; i++) {
        if (dump->entries[i].id >= 0)
            b->by_id[dump->entries[i].id] = i + 1;
    }
}

static const struct dump_entry *entry_of(const struct builder *b, int id, size_t *ret_at)
{
    size_t at = id >= 0 && (size_t)id < b->id_count ? b->by_id[id] : 0;
    *ret_at = at - 1;
    return at > 0 ? &b->req->dump->entries[at - 1] : NULL;
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
    if (b->left_out_count == 0 || (!table && strcmp(e->kind, "INDEX ATTACH") != 0))
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
        size_t i = 0;
        const struct dump_entry *about = entry_of(b, e->needs[n], &i);
        if (about == NULL)
            continue;
        if (b->left_out[i] || (about->class_oid == CLASS_RELATION &&
                               of_left_out_column(e, plan_pg_table(b, about->object_oid))))
            return true;
    }
    return false;
}

/* Columns that rules leave out go right after the table was made. */
static void add_column_drops(const struct builder *b, const struct dump_entry *e, struct strbuf *sql)
{
    const struct sch_table *t = strcmp(e->kind, "TABLE") == 0 ? plan_pg_table(b, e->object_oid) : NULL;
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

/* What entries that are made with the tables need, once for all keys. */
static void note_needs(struct builder *b)
{
    const struct dump *dump = b->req->dump;
    b->needed = xcalloc(b->id_count + 1, sizeof *b->needed);
    for (size_t i = 0; i < dump->count; i++) {
        const struct dump_entry *e = &dump->entries[i];
        b->attaches = b->attaches || strcmp(e->kind, "INDEX ATTACH") == 0;
        for (size_t k = 0; k < e->need_count && plan_phase(e, true) == PHASE_TABLES; k++) {
            if (e->needs[k] >= 0 && (size_t)e->needs[k] < b->id_count)
                b->needed[e->needs[k]] = true;
        }
    }
}

/* A primary key that may wait until the rows are there: no index of a partition is attached to it, and nothing that is made before
 * needs it (a view that groups by it). */
static bool key_may_wait(const struct builder *b, const struct dump_entry *e)
{
    return b->req->keys_later && !b->attaches && strcmp(e->kind, "CONSTRAINT") == 0 &&
           strstr(e->sql, " PRIMARY KEY ") != NULL && e->id >= 0 && !b->needed[e->id];
}

/* A constraint's entry is called "table constraint". */
static void note_key(struct builder *b, const struct dump_entry *e, enum step_phase phase)
{
    const char *constraint = strstr(e->sql, "ADD CONSTRAINT "), *end = NULL;
    if (phase != PHASE_TABLES)
        return;
    if (strcmp(e->kind, "INDEX") == 0) {
        (void)name_set_add(&b->keys, xasprintf("%s.%s", e->schema, e->name));
    } else if (strcmp(e->kind, "CONSTRAINT") == 0 && constraint != NULL) {
        char *name CLEANUP(free_ptr) = roles_identifier(constraint + 15, &end);
        (void)name_set_add(&b->keys, xasprintf("%s.%s", e->schema, name));
    }
}

/* An index of a partition is attached when both are there: at once where it belongs to a key. */
static enum step_phase phase_of(const struct builder *b, const struct dump_entry *e)
{
    enum step_phase phase = key_may_wait(b, e) ? PHASE_INDEXES : plan_phase(e, b->req->indexes_later);
    if (phase != PHASE_ATTACH || b->keys.count == 0)
        return phase;
    char *name CLEANUP(free_ptr) = xasprintf("%s.%s", e->schema, e->name);
    return name_set_has(&b->keys, name) ? PHASE_TABLES : phase;
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
        enum step_phase phase = phase_of(b, e);
        note_key(b, e, phase);
        struct plan_step *step = plan_add_step(b->plan, phase, kind, name, model_text(m, sql.data));
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
    return e->class_oid == CLASS_RELATION && model_is_other(&b->plan->model, e->object_oid);
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

/* Of the server or of Crossfade, not of the application: why it stays behind; NULL = it does not. */
static const char *not_applications(const struct dump_entry *e)
{
    static const char freeze[] =
        " crossfade_freeze"; /* cutover/freeze.c; pg_dump calls a trigger "table trigger" */
    size_t len = strlen(e->name), tail = sizeof freeze - 1;
    if (strcmp(e->kind, "ACL") == 0 && strcmp(e->schema, "pg_catalog") == 0)
        return "rights on the server's own objects: an administrator grants them there";
    if (strcmp(e->kind, "TRIGGER") == 0 && len > tail && strcmp(e->name + len - tail, freeze) == 0)
        return "a cutover made it";
    return NULL;
}

static void leave_out(struct builder *b, size_t i)
{
    b->left_out[i] = true;
    b->left_out_count++;
}

static void take_entry(struct builder *b, size_t i)
{
    const struct dump_entry *e = &b->req->dump->entries[i];
    struct schema_model *m = &b->plan->model;
    const char *name = shown_name(b, e), *foreign = not_applications(e);
    if (plan_pg_excluded(b->req, e->kind, name)) {
        leave_out(b, i);
        plan_add_item(b->plan, ITEM_LEFT_OUT, lower(m, e->kind), name, "by schema.exclude", NULL);
    } else if (foreign != NULL) {
        leave_out(b, i);
        plan_add_item(b->plan, ITEM_LEFT_OUT, lower(m, e->kind), name, foreign, NULL);
    } else if (plan_pg_is_lost(b, e) || needs_left_out(b, e)) {
        leave_out(b, i);
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
    plan_pg_report_lost_columns(b);
    if (b->plan->model.other_root_count > 0)
        plan_add_item(b->plan, ITEM_LEFT_OUT, "tables",
                      model_textf(&b->plan->model, "%zu", b->plan->model.other_root_count),
                      "are not part of the pipeline (source.tables)", NULL);
}

bool plan_postgres(struct schema_plan *plan, const struct postgres_request *req, struct err *err)
{
    struct builder b = {.plan = plan, .req = req};
    map_columns(plan);
    index_entries(&b);
    note_needs(&b);
    bool ok = read_roles(&b, err) && plan_pg_read_partitions(&b, err) && look_at_extensions(&b, err) &&
              plan_pg_read_lost(&b, err);
    if (ok)
        build(&b);
    ok = ok && plan_pg_database(&b, err);
    name_set_release(&b.keys);
    free(b.by_id);
    free(b.needed);
    free(b.left_out);
    free(b.lost);
    free(b.partitions);
    free(b.roles);
    free(b.missing);
    if (ok && plan->model.failed)
        return err_set(err, ERR_NO_MEMORY, "the plan does not fit into memory");
    return ok;
}
