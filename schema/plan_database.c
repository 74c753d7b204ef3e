/*
 * Owns: what a database of PostgreSQL has beside its objects, and pg_dump does not say: settings and comment, which go along where
 * the role may make them; roles, rights on the database and large objects, which a person sees to. See plan_postgres_builder.h.
 */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "plan_postgres_builder.h"

#define SQL_BYTES_MAX ((size_t)1 << 20)

const char plan_large_objects_text[] =
    "are in no stream of changes: move them into a bytea column first, or copy them by hand while nobody "
    "writes (pg_dump --large-objects, psql's \\lo_export)";

/* What the target's side allows. */
struct place {
    const char *database;  /* its name; the source's when it could not be asked */
    bool owner;            /* our role may alter it */
    const char **settings; /* that an owner may set, sorted */
    size_t setting_count;
    const char **members; /* "role\nof", sorted */
    size_t member_count;
};

static bool read_names(struct builder *b, const char *sql, const char ***ret, size_t *ret_count,
                       struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(b->req->target, sql, 0, NULL, &res, err))
        return err_wrap(err, "catalog of the target");
    *ret = xcalloc((size_t)pg_rows(res) + 1, sizeof **ret);
    for (int i = 0; i < pg_rows(res); i++)
        (*ret)[(*ret_count)++] = model_text(&b->plan->model, pg_cell(res, i, 0));
    if (*ret_count > 0)
        qsort(*ret, *ret_count, sizeof **ret, roles_compare);
    return true;
}

static bool read_place(struct builder *b, struct place *ret, struct err *err)
{
    int64_t owner = 0;
    ret->database = b->plan->model.database;
    if (b->req->target == NULL)
        return true;
    ret->database = model_text(&b->plan->model, pg_database(b->req->target));
    if (!pg_query_int64(b->req->target,
                        "SELECT pg_has_role(datdba, 'USAGE')::int FROM pg_database WHERE datname = "
                        "current_database()",
                        0, NULL, &owner, err))
        return err_wrap(err, "rights on the target");
    ret->owner = owner != 0;
    return read_names(b, "SELECT name FROM pg_settings WHERE context = 'user'", &ret->settings,
                      &ret->setting_count, err) &&
           read_names(
               b,
               "SELECT r.rolname || E'\\n' || g.rolname FROM pg_auth_members m JOIN pg_roles r ON r.oid = "
               "m.member JOIN pg_roles g ON g.oid = m.roleid",
               &ret->members, &ret->member_count, err);
}

static bool has(const char *const *names, size_t count, const char *name)
{
    return count > 0 && bsearch(&name, names, count, sizeof *names, roles_compare) != NULL;
}

/* Lists are kept as identifiers, each quoted where it must be: flagged GUC_LIST_QUOTE in PostgreSQL's guc_tables.c. */
static bool is_list(const char *setting)
{
    static const char *const names[] = {"search_path", "temp_tablespaces", "local_preload_libraries",
                                        "session_preload_libraries"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(names[i], setting) == 0)
            return true;
    }
    return false;
}

static void add_value(struct strbuf *sql, const char *setting, const char *value)
{
    if (!is_list(setting)) {
        pg_quote_literal(sql, value);
        return;
    }
    for (size_t n = 0; *value != '\0' || n == 0; n++) {
        const char *end = NULL;
        char *name CLEANUP(free_ptr) = roles_identifier(value, &end);
        strbuf_adds(sql, n > 0 ? ", " : "");
        pg_quote_literal(sql, name);
        value = end == value && *end != '\0' ? end + 1 : end;
        value += strspn(value, ", ");
    }
}

/* A setting's parts may be quoted apart: "myapp.tenant". */
static void add_setting_name(struct strbuf *sql, const char *name)
{
    for (const char *dot = strchr(name, '.'); dot != NULL; dot = strchr(name, '.')) {
        char *part CLEANUP(free_ptr) = xstrndup(name, (size_t)(dot - name));
        pg_quote_ident(sql, part);
        strbuf_addc(sql, '.');
        name = dot + 1;
    }
    pg_quote_ident(sql, name);
}

static const char *setting_sql(struct builder *b, const struct place *at, const struct sch_object *o)
{
    struct strbuf sql = STRBUF_INIT(SQL_BYTES_MAX);
    strbuf_adds(&sql, "ALTER ");
    if (o->name[0] != '\0') {
        strbuf_adds(&sql, "ROLE ");
        pg_quote_ident(&sql, o->name);
        strbuf_adds(&sql, " IN ");
    }
    strbuf_adds(&sql, "DATABASE ");
    pg_quote_ident(&sql, at->database);
    strbuf_adds(&sql, " SET ");
    add_setting_name(&sql, o->detail);
    strbuf_adds(&sql, " TO ");
    add_value(&sql, o->detail, o->value);
    const char *text = model_text(&b->plan->model, sql.data);
    b->plan->model.failed = b->plan->model.failed || sql.failed;
    strbuf_release(&sql);
    return text;
}

static void add_step(struct builder *b, const char *kind, const char *name, const char *sql)
{
    struct plan_step *step = plan_add_step(b->plan, PHASE_TABLES, kind, name, sql);
    step->again = true;
    plan_add_item(b->plan, ITEM_CARRIED, kind, name, NULL, NULL);
}

/* default_transaction_read_only is what closes a source (docs/OPERATIONS.md), and would close the target. */
static const char *why_not_set(const struct place *at, const struct sch_object *o)
{
    if (o->name[0] != '\0')
        return "of one role, which a superuser sets";
    if (strcmp(o->detail, "default_transaction_read_only") == 0)
        return "it would close the target, too";
    if (!at->owner)
        return "for the owner of the database";
    if (strchr(o->detail, '.') == NULL && !has(at->settings, at->setting_count, o->detail))
        return "the target does not know it, or only a superuser may set it";
    return NULL;
}

static void plan_setting(struct builder *b, const struct place *at, const struct sch_object *o)
{
    struct schema_model *m = &b->plan->model;
    const char *name = o->name[0] == '\0' ? o->detail : model_textf(m, "%s of %s", o->detail, o->name),
               *why = why_not_set(at, o), *sql = setting_sql(b, at, o);
    if (plan_pg_excluded(b->req, "database setting", name))
        plan_add_item(b->plan, ITEM_LEFT_OUT, "database setting", name, "by schema.exclude", NULL);
    else if (why == NULL)
        add_step(b, "database setting", name, sql);
    else
        plan_add_item(b->plan, ITEM_REPORTED, "database setting", name,
                      model_textf(m, "%s; where it is wanted: %s", why, sql), NULL);
}

static void plan_comment(struct builder *b, const struct place *at, const struct sch_object *o)
{
    struct strbuf sql = STRBUF_INIT(SQL_BYTES_MAX);
    strbuf_adds(&sql, "COMMENT ON DATABASE ");
    pg_quote_ident(&sql, at->database);
    strbuf_adds(&sql, " IS ");
    pg_quote_literal(&sql, o->value);
    const char *text = model_text(&b->plan->model, sql.data);
    strbuf_release(&sql);
    if (at->owner && !plan_pg_excluded(b->req, "database comment", at->database))
        add_step(b, "database comment", at->database, text);
    else
        plan_add_item(b->plan, ITEM_REPORTED, "database comment", at->database,
                      model_textf(&b->plan->model, "where it is wanted: %s", text), NULL);
}

/* The memberships of a role that the target lacks, as "a, b". */
static const char *missing_memberships(struct builder *b, const struct place *at, const struct sch_object *o)
{
    struct strbuf list = STRBUF_INIT(SQL_BYTES_MAX);
    for (const char *p = o->value; *p != '\0';) {
        size_t len = strcspn(p, "\n");
        char *pair CLEANUP(free_ptr) = xasprintf("%s\n%.*s", o->name, (int)len, p);
        if (!has(at->members, at->member_count, pair))
            strbuf_addf(&list, "%s%.*s", list.len > 0 ? ", " : "", (int)len, p);
        p += len + (p[len] != '\0');
    }
    const char *text = model_text(&b->plan->model, list.data);
    strbuf_release(&list);
    return text;
}

static void plan_role(struct builder *b, const struct place *at, const struct sch_object *o)
{
    struct schema_model *m = &b->plan->model;
    const char *missing = missing_memberships(b, at, o);
    if (b->roles == NULL)
        plan_add_item(b->plan, ITEM_REPORTED, "role", o->name,
                      model_textf(m, "%s: has to be there before (the target was not asked)", o->detail),
                      NULL);
    else if (!roles_has(b->roles, b->role_count, o->name))
        plan_add_item(
            b->plan, ITEM_REPORTED, "role", o->name,
            model_textf(m,
                        "the target does not have it: make it there first (on the source: %s%s%s; "
                        "pg_dumpall --roles-only shows it with its password), or its rights are left "
                        "out",
                        o->detail, missing[0] != '\0' ? ", member of " : "", missing),
            NULL);
    else if (missing[0] != '\0')
        plan_add_item(b->plan, ITEM_REPORTED, "role", o->name,
                      model_textf(m, "lacks memberships on the target: GRANT %s TO \"%s\"", missing, o->name),
                      NULL);
    else
        plan_add_item(b->plan, ITEM_CARRIED, "role", o->name, "is there, with its memberships", NULL);
}

/* Who may connect is how a source is closed to applications: what a target opens is a person's. */
static void plan_grant(struct builder *b, const struct place *at, const struct sch_object *o)
{
    struct strbuf sql = STRBUF_INIT(SQL_BYTES_MAX);
    strbuf_addf(&sql, "GRANT %s ON DATABASE ", o->detail);
    pg_quote_ident(&sql, at->database);
    strbuf_adds(&sql, " TO ");
    if (strcmp(o->name, "PUBLIC") == 0)
        strbuf_adds(&sql, "PUBLIC");
    else
        pg_quote_ident(&sql, o->name);
    plan_add_item(b->plan, ITEM_REPORTED, "database grant",
                  model_textf(&b->plan->model, "%s to %s", o->detail, o->name),
                  model_textf(&b->plan->model, "where it is wanted: %s", sql.data), NULL);
    strbuf_release(&sql);
}

static void plan_fact(struct builder *b, const struct place *at, const struct sch_object *o)
{
    if (strcmp(o->kind, "setting") == 0)
        plan_setting(b, at, o);
    else if (strcmp(o->kind, "role") == 0)
        plan_role(b, at, o);
    else if (strcmp(o->kind, "database grant") == 0)
        plan_grant(b, at, o);
    else if (strcmp(o->kind, "database comment") == 0)
        plan_comment(b, at, o);
    else
        plan_add_item(b->plan, ITEM_REPORTED, o->kind, o->value, plan_large_objects_text, NULL);
}

bool plan_pg_database(struct builder *b, struct err *err)
{
    struct place at = {0};
    bool ok = read_place(b, &at, err);
    for (size_t i = 0; ok && i < b->plan->model.fact_count; i++)
        plan_fact(b, &at, &b->plan->model.facts[i]);
    free(at.settings);
    free(at.members);
    return ok;
}
