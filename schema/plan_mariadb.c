/* Owns: what each column becomes on MariaDB, all things considered: the rule, the configuration, keys, foreign keys, and the
 * limits of a row. See plan.h. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/alloc.h"
#include "maria/conn.h"
#include "maria/names.h"
#include "plan.h"
#include "rules.h"

/* The YAML line that decides; the suggestion is a guess that a person looks at. */
static const char *line_for(struct schema_plan *plan, const struct sch_table *t, const struct sch_column *c,
                            const char *suggestion)
{
    struct strbuf line = STRBUF_INIT(8192);
    const char *key = plan_key(plan, t, c->name);
    strbuf_adds(&line, "types: {\"");
    for (; *key != '\0'; key++) {
        if (*key == '"' || *key == '\\')
            strbuf_addc(&line, '\\');
        strbuf_addc(&line, *key);
    }
    strbuf_addf(&line, "\": \"%s\"}", suggestion);
    const char *text = model_text(&plan->model, line.data);
    strbuf_release(&line);
    return text;
}

static const char *suggest(const struct sch_column *c)
{
    if (strcmp(c->base, "numeric") == 0)
        return "decimal(38,10)";
    if (c->generated != 0)
        return "-";
    if (rules_mariadb_is_long(c->map.type != NULL ? c->map.type : "longtext") &&
        (strcmp(c->base, "text") == 0 || strcmp(c->base, "varchar") == 0 || strcmp(c->base, "citext") == 0))
        return "varchar(255)";
    if (strcmp(c->base, "bytea") == 0)
        return "varbinary(255)";
    return "longtext";
}

static void decide(struct schema_plan *plan, const struct sch_table *t, struct sch_column *c, const char *why)
{
    const char *line = line_for(plan, t, c, suggest(c));
    c->map.kind = MAP_DECIDE;
    c->map.type = NULL;
    c->map.note = why;
    plan_add_item(plan, ITEM_DECIDE, "column", plan_key(plan, t, c->name), why, line);
}

/* The configured type of a column, NULL = none. *ret_at tells which entry. */
static const char *chosen_type(struct schema_plan *plan, const struct sch_table *t,
                               const struct sch_column *c, const char *const *types, size_t count,
                               size_t *ret_at)
{
    const char *key = plan_key(plan, t, c->name);
    size_t len = strlen(key);
    for (size_t i = 0; i < count; i++) {
        if (strncmp(types[i], key, len) == 0 && types[i][len] == '=') {
            *ret_at = i;
            return types[i] + len + 1;
        }
    }
    return NULL;
}

static void take_chosen(struct schema_plan *plan, struct sch_column *c, const char *type)
{
    bool out = strcmp(type, "-") == 0;
    c->left_out = c->left_out || out;
    c->map = (struct mapping){.kind = out ? MAP_LEFT_OUT : MAP_CHOSEN,
                              .type = out ? NULL : model_text(&plan->model, type),
                              .rule = "types",
                              .note = out ? "left out by the configuration" : "the configuration's type"};
}

static void map_column(struct schema_plan *plan, const struct sch_table *t, struct sch_column *c,
                       const char *const *types, size_t count, bool *used)
{
    size_t at = 0;
    const char *type = chosen_type(plan, t, c, types, count, &at);
    if (type != NULL)
        used[at] = true;
    if (c->left_out) {
        c->map = (struct mapping){
            .kind = MAP_LEFT_OUT, .rule = "source.filters", .note = "left out by source.filters"};
        return;
    }
    if (type != NULL && range_columns(plan, t, c, type))
        return;
    if (type != NULL) {
        take_chosen(plan, c, type);
        return;
    }
    rules_mariadb(&plan->model, c, &c->map);
    if (c->generated != 0)
        decide(plan, t, c,
               model_textf(&plan->model,
                           "generated as %s: say the type with the expression as MariaDB writes it, \"int "
                           "generated always "
                           "as (…) stored\", or \"-\" to leave the column out",
                           c->def != NULL ? c->def : "?"));
    else if (c->map.kind == MAP_DECIDE)
        decide(plan, t, c, c->map.note);
}

/* A text column that refers to a key takes the key's type: no value can be longer. */
static bool inherit_types(struct schema_plan *plan, struct sch_table *t)
{
    bool changed = false;
    for (size_t k = 0; k < t->constraint_count; k++) {
        const struct sch_constraint *fk = &t->constraints[k];
        const struct sch_table *ref =
            fk->type == 'f' ? model_find(&plan->model, fk->ref_schema, fk->ref_table) : NULL;
        for (size_t i = 0; ref != NULL && i < fk->column_count; i++) {
            size_t at = sch_table_column(ref, fk->ref_columns[i]);
            struct sch_column *c = &t->columns[fk->columns[i]];
            if (at == SIZE_MAX || c->map.type == NULL || ref->columns[at].map.type == NULL ||
                c->map.kind == MAP_CHOSEN || !rules_mariadb_is_long(c->map.type) ||
                rules_mariadb_is_long(ref->columns[at].map.type))
                continue;
            c->map.type = ref->columns[at].map.type;
            c->map.rule = "foreign key";
            c->map.note = "the type of the column that it refers to";
            changed = true;
        }
    }
    return changed;
}

static size_t key_bytes(const struct sch_table *t, const size_t *columns, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += t->columns[columns[i]].map.type != NULL
                     ? rules_mariadb_key_bytes(t->columns[columns[i]].map.type)
                     : 0;
    return bytes;
}

/* A primary key cannot end before the value does. */
static void check_primary(struct schema_plan *plan, struct sch_table *t)
{
    const struct sch_constraint *pk = sch_table_primary(t);
    if (pk == NULL)
        return;
    for (size_t i = 0; i < pk->column_count; i++) {
        struct sch_column *c = &t->columns[pk->columns[i]];
        if (c->map.type != NULL && rules_mariadb_is_long(c->map.type))
            decide(plan, t, c,
                   "part of the primary key, where MariaDB takes at most 3072 bytes in all: say how long it "
                   "gets, such as "
                   "varchar(255)");
    }
    if (key_bytes(t, pk->columns, pk->column_count) > MARIA_KEY_BYTES)
        plan_add_item(plan, ITEM_DECIDE, "primary key", plan_key(plan, t, NULL),
                      "longer than MariaDB's 3072 bytes: give its text columns shorter types",
                      "types: {…: \"varchar(n)\"}");
}

static struct sch_column *longest_varchar(struct sch_table *t)
{
    struct sch_column *longest = NULL;
    size_t most = 0;
    const struct sch_constraint *pk = sch_table_primary(t);
    for (size_t i = 0; i < t->column_count; i++) {
        struct sch_column *c = &t->columns[i];
        bool in_key = false;
        for (size_t k = 0; pk != NULL && k < pk->column_count; k++)
            in_key = in_key || pk->columns[k] == i;
        size_t bytes = c->map.type != NULL && c->map.kind != MAP_CHOSEN &&
                               strncmp(c->map.type, "varchar", 7) == 0 && !in_key
                           ? rules_mariadb_row_bytes(c->map.type)
                           : 0;
        if (bytes > most) {
            most = bytes;
            longest = c;
        }
    }
    return longest;
}

static void fit_row(struct schema_plan *plan, struct sch_table *t)
{
    for (;;) {
        size_t bytes = 16;
        for (size_t i = 0; i < t->column_count; i++)
            bytes += t->columns[i].map.type != NULL ? rules_mariadb_row_bytes(t->columns[i].map.type) + 1 : 0;
        if (bytes <= MARIA_ROW_BYTES)
            return;
        struct sch_column *c = longest_varchar(t);
        if (c == NULL) {
            plan_add_item(
                plan, ITEM_DECIDE, "table", plan_key(plan, t, NULL),
                "its columns need more than the 65535 bytes of a row: give some of them another type",
                "types: {…: longtext}");
            return;
        }
        c->map.kind = MAP_LOSSY;
        c->map.type = "longtext";
        c->map.rule = "row size";
        c->map.note =
            "the limit on the length is not kept: all columns together pass the 65535 bytes of a row";
    }
}

static const char *rename_line(struct schema_plan *plan, const struct sch_table *t,
                               const struct sch_column *c)
{
    return model_textf(&plan->model, "source.filters: [{table: '%s', rename: {'%s': …}}]",
                       plan_key(plan, t, NULL), c->name);
}

/* MariaDB knows one name whatever the case of its letters. */
static void check_names(struct schema_plan *plan, struct sch_table *t)
{
    for (size_t i = 0; i < t->column_count; i++) {
        struct sch_column *c = &t->columns[i];
        char name[MARIA_NAME_BYTES];
        if (c->map.kind == MAP_LEFT_OUT)
            continue;
        if (maria_name(c->target, name))
            plan_add_item(plan, ITEM_DECIDE, "column", plan_key(plan, t, c->name),
                          "MariaDB takes no names with a blank at the end, characters beyond U+FFFF, or more "
                          "than 64 characters",
                          rename_line(plan, t, c));
        for (size_t k = 0; k < i; k++) {
            if (t->columns[k].map.kind != MAP_LEFT_OUT && strcasecmp(t->columns[k].target, c->target) == 0)
                plan_add_item(plan, ITEM_DECIDE, "column", plan_key(plan, t, c->name),
                              model_textf(&plan->model,
                                          "differs from %s by case only, and is the same name to MariaDB",
                                          t->columns[k].name),
                              rename_line(plan, t, c));
        }
    }
}

/* A server with lower_case_table_names keeps (1) or looks for (2) names in lower case; either way these are what it knows. */
static const char *server_name(struct schema_plan *plan, const char *name, bool *ret_sure)
{
    if (!plan->folds_names)
        return name;
    char *lower CLEANUP(free_ptr) = xstrdup(name);
    *ret_sure = maria_lower_name(name, lower) && *ret_sure;
    return model_text(&plan->model, lower);
}

static void name_table(struct schema_plan *plan, struct sch_table *t)
{
    char name[MARIA_NAME_BYTES];
    bool sure = true;
    t->target_database = server_name(plan, maria_database_of(plan->url_database, t->schema), &sure);
    t->target_name = server_name(plan, t->name, &sure);
    if (!sure)
        plan_add_item(
            plan, ITEM_DECIDE, "table", plan_key(plan, t, NULL),
            "the server has lower_case_table_names, and what is lower case beyond ASCII is not known here",
            "source.tables: leave it out, or a server with lower_case_table_names = 0");
    if (maria_name(t->target_database, name) || maria_name(t->name, name))
        plan_add_item(plan, ITEM_DECIDE, "table", plan_key(plan, t, NULL),
                      "MariaDB takes no names with a blank at the end or characters beyond U+FFFF",
                      "source.tables: leave it out, or give it another name on the source");
    if (maria_is_system_database(t->target_database))
        plan_add_item(plan, ITEM_DECIDE, "table", plan_key(plan, t, NULL),
                      model_textf(&plan->model,
                                  "schema %s would be the database that MariaDB keeps for itself", t->schema),
                      "source.tables: leave it out, or ALTER SCHEMA … RENAME on the source");
}

static int compare_targets(const void *a, const void *b)
{
    const struct sch_table *const *x = a, *const *y = b;
    int databases = strcmp((*x)->target_database, (*y)->target_database);
    return databases != 0 ? databases : strcmp((*x)->target_name, (*y)->target_name);
}

/* Among equals in the source's order. */
static int order_targets(const void *a, const void *b)
{
    const struct sch_table *const *x = a, *const *y = b;
    int names = compare_targets(a, b);
    return names != 0 ? names : (*x > *y) - (*x < *y);
}

static struct sch_table **by_target(struct schema_plan *plan)
{
    struct sch_table **list = xcalloc(plan->model.table_count + 1, sizeof *list);
    for (size_t i = 0; i < plan->model.table_count; i++)
        list[i] = &plan->model.tables[i];
    if (plan->model.table_count > 0)
        qsort(list, plan->model.table_count, sizeof *list, order_targets);
    return list;
}

/* Two tables of the source that would be one: by the URL's database, or by the case of their names. */
static void check_same_names(struct schema_plan *plan, struct sch_table *const *list)
{
    for (size_t i = 1; i < plan->model.table_count; i++) {
        if (compare_targets(&list[i - 1], &list[i]) != 0)
            continue;
        const struct sch_table *t = list[i], *other = list[i - 1];
        bool by_case = strcmp(t->schema, other->schema) == 0;
        plan_add_item(
            plan, ITEM_DECIDE, "table", plan_key(plan, t, NULL),
            model_textf(&plan->model, "would be the same table as %s.%s%s", other->schema, other->name,
                        plan->folds_names
                            ? ": the server has lower_case_table_names, and does not tell names "
                              "apart by case"
                            : ""),
            by_case ? "source.tables: leave one of them out, or a server with lower_case_table_names = 0"
                    : "target.url: a database that is not called like a schema of the source");
    }
}

static void add_databases(struct schema_plan *plan, struct sch_table *const *list)
{
    bool sure = true;
    const char *url_database = server_name(plan, plan->url_database, &sure), *last = "";
    for (size_t i = 0; i < plan->model.table_count; i++) {
        const char *name = list[i]->target_database;
        if (strcmp(name, url_database) == 0 || strcmp(name, last) == 0 || maria_is_system_database(name))
            continue;
        last = name;
        struct strbuf sql = STRBUF_INIT(1000);
        strbuf_adds(&sql, "CREATE DATABASE ");
        maria_quote_ident(&sql, name);
        strbuf_adds(&sql, " CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin");
        plan_add_step(plan, PHASE_TABLES, "database", name, model_text(&plan->model, sql.data))->database =
            name;
        strbuf_release(&sql);
    }
}

/* What becomes of things that MariaDB has not, or has in ways of its own. */
static const struct {
    const char *kind, *lost, *decide;
} others[] = {
    {"view", "views", "write it anew for MariaDB"},
    {"materialized view", "MariaDB has none", "a table that a job fills"},
    {"function", "functions", "write it anew for MariaDB, or move it into the application"},
    {"procedure", "procedures", "write it anew for MariaDB, or move it into the application"},
    {"aggregate", "aggregates", "write it anew for MariaDB"},
    {"trigger", "triggers",
     "write it anew for MariaDB, once the target serves: what it does to rows on the source comes with the "
     "rows"},
    {"rule", "MariaDB has none", "the application"},
    {"policy", "MariaDB has no row security", "views with rights of their own, or the application"},
    {"row security", "MariaDB has none", "views with rights of their own, or the application"},
    {"inheritance", "MariaDB has none: rows stay in the table that they are in",
     "a view of all, or the application"},
    {"table option", "MariaDB has options of its own", "nothing, or MariaDB's"},
    {"extension", "MariaDB has none", "what of it the application uses"},
    {"event trigger", "MariaDB has none", "nothing, or MariaDB's audit plugin"},
    {"grant", "users and rights of MariaDB are its own", "GRANT there, before applications come"},
    {"default grant", "MariaDB has none", "GRANT on whole databases there"},
    {"comment", "MariaDB has comments of columns and tables, which go along", "nothing"},
    {"foreign table", "foreign tables", "MariaDB's CONNECT engine, or the application"},
    {"sequence",
     "sequences that no AUTO_INCREMENT column stands for (such a column goes on behind its greatest value by "
     "itself)",
     "CREATE SEQUENCE there, before applications come"},
    {"enum", "the name: its labels stand in each column that has it", "nothing"},
    {"domain", "the name and its checks: its base type stands in each column that has it",
     "checks of columns, or the application"},
    {"range", "kept as text in each column that has it", "columns(lower,upper) in types, or nothing"},
    {"composite type", "kept as text in each column that has it",
     "nothing, or columns of their own on the source"},
    {"statistics object", "MariaDB has none of several columns", "ANALYZE TABLE … PERSISTENT FOR ALL"},
    {"publication", "what it publishes goes on at the source alone",
     "who reads it, and from where after the cutover"},
    {"subscription", "what it brings ends at the source", "how its rows come after the cutover"}};

static void report_objects(struct schema_plan *plan)
{
    for (size_t i = 0; i < plan->model.object_count; i++) {
        const struct sch_object *o = &plan->model.objects[i];
        const char *lost = "MariaDB has none", *decide = "what of it the application uses";
        if (o->table_oid != 0 && model_find_oid(&plan->model, o->table_oid) == NULL)
            continue; /* of a table that is not moved */
        for (size_t k = 0; k < ARRAY_LEN(others); k++) {
            if (strcmp(others[k].kind, o->kind) == 0) {
                lost = others[k].lost;
                decide = others[k].decide;
            }
        }
        plan_add_item(plan, ITEM_REPORTED, o->kind, o->name,
                      o->detail[0] != '\0'
                          ? model_textf(&plan->model, "lost: %s (%s); decide: %s", lost, o->detail, decide)
                          : model_textf(&plan->model, "lost: %s; decide: %s", lost, decide),
                      NULL);
    }
}

static const char *one_line(struct schema_model *m, const char *lines)
{
    char *text CLEANUP(free_ptr) = xstrdup(lines);
    for (char *p = text; *p != '\0'; p++)
        *p = *p == '\n' ? ' ' : *p;
    return model_text(m, text);
}

/* What a database has beside its objects. */
static void report_facts(struct schema_plan *plan)
{
    struct schema_model *m = &plan->model;
    for (size_t i = 0; i < m->fact_count; i++) {
        const struct sch_object *o = &m->facts[i];
        if (strcmp(o->kind, "setting") == 0)
            plan_add_item(plan, ITEM_REPORTED, "database setting",
                          o->name[0] == '\0' ? o->detail : model_textf(m, "%s of %s", o->detail, o->name),
                          model_textf(m, "lost: %s; decide: MariaDB's variable for it, or none", o->value),
                          NULL);
        else if (strcmp(o->kind, "role") == 0)
            plan_add_item(
                plan, ITEM_REPORTED, "role", o->name,
                model_textf(m, "lost: roles (%s%s%s); decide: users and roles of MariaDB, with their rights",
                            o->detail, o->value[0] != '\0' ? ", member of " : "", one_line(m, o->value)),
                NULL);
        else if (strcmp(o->kind, "database grant") == 0)
            plan_add_item(plan, ITEM_REPORTED, "database grant",
                          model_textf(m, "%s to %s", o->detail, o->name),
                          "lost: users and rights of MariaDB are its own; decide: GRANT there", NULL);
        else if (strcmp(o->kind, "database comment") == 0)
            plan_add_item(plan, ITEM_REPORTED, "database comment", o->name,
                          model_textf(m, "lost: %s; decide: ALTER DATABASE … COMMENT there", o->value), NULL);
        else
            plan_add_item(plan, ITEM_REPORTED, o->kind, o->value,
                          model_textf(m, "lost: they %s; decide: which are needed", plan_large_objects_text),
                          NULL);
    }
}

static void report_unused(struct schema_plan *plan, const char *const *types, size_t count, const bool *used)
{
    for (size_t i = 0; i < count; i++) {
        if (!used[i])
            plan_add_item(plan, ITEM_DECIDE, "configuration",
                          model_textf(&plan->model, "types: %.*s", (int)strcspn(types[i], "="), types[i]),
                          "there is no such column among the tables that are moved",
                          "take the entry out of types");
    }
}

bool plan_mariadb(struct schema_plan *plan, const char *const *types, size_t type_count, bool indexes_later,
                  struct err *err)
{
    bool *used = xcalloc(type_count + 1, sizeof *used);
    struct schema_model *m = &plan->model;
    for (size_t i = 0; i < m->table_count; i++) {
        name_table(plan, &m->tables[i]);
        for (size_t c = 0; c < m->tables[i].column_count; c++)
            map_column(plan, &m->tables[i], &m->tables[i].columns[c], types, type_count, used);
    }
    report_unused(plan, types, type_count, used);
    free(used);
    for (bool changed = true; changed;) { /* chains of references */
        changed = false;
        for (size_t i = 0; i < m->table_count; i++)
            changed = inherit_types(plan, &m->tables[i]) || changed;
    }
    struct sch_table **list = by_target(plan);
    check_same_names(plan, list);
    add_databases(plan, list);
    free(list);
    for (size_t i = 0; i < m->table_count; i++) {
        check_primary(plan, &m->tables[i]);
        fit_row(plan, &m->tables[i]);
        check_names(plan, &m->tables[i]);
        plan_mariadb_table(plan, &m->tables[i], indexes_later);
    }
    for (size_t i = 0; i < m->table_count; i++)
        plan_mariadb_foreign_keys(plan, &m->tables[i], indexes_later);
    report_objects(plan);
    report_facts(plan);
    if (m->failed)
        return err_set(err, ERR_NO_MEMORY, "the plan does not fit into memory");
    return true;
}
