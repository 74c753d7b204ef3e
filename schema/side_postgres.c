/*
 * Owns: steps on a PostgreSQL target. What is made is noted in the same transaction (crossfade.schema_step), so that a run that was
 * killed goes on exactly behind it; what somebody else has made is compared by its definition.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/hash.h"
#include "pg/control_tables.h"
#include "side.h"
#include "sql/embedded.h"

#define OIDS_BYTES_MAX ((size_t)16 << 20)

/* Each is one statement with schemas/sql/catalog_definition.sql between its parts. */
static const char source_head[] = "WITH w (at, c, o) AS MATERIALIZED (SELECT n, c, o FROM unnest($1::oid[], "
                                  "$2::oid[]) WITH ORDINALITY u (c, o, n)), "
                                  "gone (t, n) AS MATERIALIZED (SELECT * FROM unnest($3::oid[], "
                                  "$4::text[])), apart (c, o) AS MATERIALIZED (SELECT c, o "
                                  "FROM w WHERE c IN (2604, 2606))";
static const char source_tail[] =
    " SELECT i.type, i.object_names, i.object_args, d.def FROM definition d LEFT JOIN LATERAL "
    "pg_identify_object_as_address(nullif(d.c, 0), nullif(d.o, 0), 0) i ON true ORDER BY at";
static const char target_head[] =
    "WITH w (at, c, o) AS MATERIALIZED (SELECT 1, classid, objid FROM pg_get_object_address($1, $2::text[], "
    "$3::text[])), "
    "gone (t, n) AS (SELECT 0::oid, '' WHERE false), apart (c, o) AS (SELECT 0::oid, 0::oid WHERE false)";
static const char target_tail[] = " SELECT def FROM definition";

struct postgres_side {
    struct side base;
    struct pg_conn *conn;
    const struct schema_plan *plan;
    const struct source_object *objects;
    bool has_notes; /* crossfade.schema_step is there */
    char *target_sql;
    /* Of all steps, by the first look: there may be thousands. */
    bool looked;
    char **notes; /* sorted */
    size_t note_count;
    bool *
        missing; /* parallel to the plan's steps: the relation that the object is, or belongs to, is not there */
};

static void list_left_out(const struct schema_model *m, struct strbuf *tables, struct strbuf *names)
{
    strbuf_addc(tables, '{');
    strbuf_addc(names, '{');
    for (size_t t = 0; t < m->table_count; t++) {
        for (size_t c = 0; c < m->tables[t].column_count; c++) {
            const char *p = m->tables[t].columns[c].name;
            if (!m->tables[t].columns[c].left_out)
                continue;
            strbuf_addf(tables, "%s%u", tables->len > 1 ? "," : "", m->tables[t].oid);
            strbuf_adds(names, names->len > 1 ? ",\"" : "\"");
            for (; *p != '\0'; p++)
                strbuf_addf(names, "%s%c", *p == '"' || *p == '\\' ? "\\" : "", *p);
            strbuf_addc(names, '"');
        }
    }
    strbuf_addc(tables, '}');
    strbuf_addc(names, '}');
}

static const char *kept(struct schema_plan *plan, const struct pg_result *res, int row, int column)
{
    return pg_is_null(res, row, column) ? NULL : model_text(&plan->model, pg_cell(res, row, column));
}

bool side_postgres_source(struct pg_conn *source, struct schema_plan *plan, struct source_object **ret,
                          struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    char *sql CLEANUP(free_ptr) =
        xasprintf("%s%s%s", source_head, embedded_sql_catalog_definition_sql, source_tail);
    struct strbuf classes = STRBUF_INIT(OIDS_BYTES_MAX), objects = STRBUF_INIT(OIDS_BYTES_MAX),
                  tables = STRBUF_INIT(OIDS_BYTES_MAX), names = STRBUF_INIT(OIDS_BYTES_MAX);
    for (size_t i = 0; i < plan->step_count; i++) {
        strbuf_addf(&classes, "%c%u", i > 0 ? ',' : '{', plan->steps[i].class_oid);
        strbuf_addf(&objects, "%c%u", i > 0 ? ',' : '{', plan->steps[i].object_oid);
    }
    strbuf_adds(&classes, plan->step_count > 0 ? "}" : "{}");
    strbuf_adds(&objects, plan->step_count > 0 ? "}" : "{}");
    list_left_out(&plan->model, &tables, &names);
    const char *params[] = {classes.data, objects.data, tables.data, names.data};
    bool ok = strbuf_ok(&classes, "the list of objects", err) && pg_query(source, sql, 4, params, &res, err);
    strbuf_release(&classes);
    strbuf_release(&objects);
    strbuf_release(&tables);
    strbuf_release(&names);
    if (!ok)
        return err_wrap(err, "definitions of the source");
    struct source_object *list = xcalloc(plan->step_count + 1, sizeof *list);
    for (size_t i = 0; i < plan->step_count; i++)
        list[i] = (struct source_object){.type = kept(plan, res, (int)i, 0),
                                         .names = kept(plan, res, (int)i, 1),
                                         .args = kept(plan, res, (int)i, 2),
                                         .def = kept(plan, res, (int)i, 3)};
    *ret = list;
    return true;
}

static void note_key(const struct plan_step *step, char out[17])
{
    uint64_t hash = hash_fnv1a(HASH_FNV1A, step->kind, strlen(step->kind) + 1);
    hash = hash_fnv1a(hash, step->name, strlen(step->name) + 1);
    hash = hash_fnv1a(hash, step->sql, strlen(step->sql));
    (void)snprintf(out, 17, "%016" PRIx64, hash);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool read_notes(struct postgres_side *ps, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (!ps->has_notes)
        return true;
    if (!pg_query(ps->conn, "SELECT step FROM crossfade.schema_step WHERE pipeline = $1", 1,
                  &ps->plan->pipeline, &res, err))
        return false;
    ps->notes = xcalloc((size_t)pg_rows(res) + 1, sizeof *ps->notes);
    for (int row = 0; row < pg_rows(res); row++)
        ps->notes[ps->note_count++] = xstrdup(pg_cell(res, row, 0));
    qsort(ps->notes, ps->note_count, sizeof *ps->notes, compare_texts);
    return true;
}

/* Their address begins with a relation's. (server: objectaddress.c, getObjectIdentityParts()) */
static bool is_of_relation(const struct source_object *o)
{
    static const char *const types[] = {
        "table",        "index",   "sequence", "view",   "table constraint", "default value",
        "table column", "trigger", "rule",     "policy", "materialized view"};
    for (size_t i = 0; o->type != NULL && i < ARRAY_LEN(types); i++) {
        if (strcmp(o->type, types[i]) == 0)
            return true;
    }
    return false;
}

static bool find_missing(struct postgres_side *ps, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    struct strbuf names = STRBUF_INIT(OIDS_BYTES_MAX);
    size_t *steps CLEANUP(free_ptr) = xcalloc(ps->plan->step_count + 1, sizeof *steps), count = 0;
    ps->missing = xcalloc(ps->plan->step_count + 1, sizeof *ps->missing);
    for (size_t i = 0; i < ps->plan->step_count; i++) {
        if (!is_of_relation(&ps->objects[i]))
            continue;
        pg_array_text(&names, count, ps->objects[i].names);
        steps[count++] = i;
    }
    pg_array_end(&names, count);
    const char *params[] = {names.data};
    bool ok = strbuf_ok(&names, "names of objects", err) &&
              pg_query(ps->conn,
                       "SELECT n FROM (SELECT a::text[] AS a, n FROM unnest($1::text[]) WITH ORDINALITY AS u "
                       "(a, n)) AS x WHERE to_regclass(format('%I.%I', a[1], a[2])) IS NULL",
                       1, params, &res, err);
    strbuf_release(&names);
    for (int row = 0; ok && row < pg_rows(res); row++)
        ps->missing[steps[pg_cell_int64(res, row, 0) - 1]] = true;
    return ok;
}

/* The statement is long: planning it takes longer than answering it. */
static bool prepare_look(struct postgres_side *ps, struct err *err)
{
    char *sql CLEANUP(free_ptr) = xasprintf(
        "SET plan_cache_mode = force_generic_plan; PREPARE crossfade_look (text, text[], text[]) AS %s",
        ps->target_sql);
    return pg_exec(ps->conn, sql, err);
}

static bool look_ahead(struct postgres_side *ps, struct err *err)
{
    ps->looked = ps->looked || (read_notes(ps, err) && find_missing(ps, err) && prepare_look(ps, err));
    return ps->looked;
}

static bool is_noted(const struct postgres_side *ps, const struct plan_step *step)
{
    char key[17], *const at = key;
    note_key(step, key);
    return ps->note_count > 0 &&
           bsearch(&at, ps->notes, ps->note_count, sizeof *ps->notes, compare_texts) != NULL;
}

/* The target's object with the source's address. *ret_there = false: there is none. def: malloc'd, NULL = not to be compared. */
static bool find_object(struct postgres_side *ps, const struct source_object *o, bool *ret_there,
                        char **ret_def, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    struct err refused = ERR_INIT;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    const char *const params[] = {o->type, o->names, o->args};
    *ret_there = false;
    for (size_t i = 0; i < ARRAY_LEN(params); i++) {
        strbuf_adds(&sql, i == 0 ? "EXECUTE crossfade_look (" : ", ");
        if (params[i] != NULL)
            pg_quote_literal(&sql, params[i]);
        else
            strbuf_adds(&sql, "NULL");
    }
    strbuf_adds(&sql, ")");
    bool ok = strbuf_ok(&sql, "statement", err);
    ok = ok && pg_query(ps->conn, sql.data, 0, NULL, &res, &refused);
    strbuf_release(&sql);
    if (!ok && refused.code == ERR_NONE)
        return false;
    if (!ok) {
        if (refused.sqlstate[0] == '4' || refused.sqlstate[0] == '3') /* 42704 and its like: no such thing */
            return true;
        if (err != NULL)
            *err = refused;
        return false;
    }
    *ret_there = pg_rows(res) > 0;
    if (*ret_there && !pg_is_null(res, 0, 0))
        *ret_def = xstrdup(pg_cell(res, 0, 0));
    return true;
}

/* A view that others need before it can be made is made empty first; this is its second half, which replaces. */
static bool is_view_body(const struct plan_step *step)
{
    size_t len = strlen(step->name);
    return strcmp(step->kind, "rule") == 0 && len > 8 && strcmp(step->name + len - 8, " _RETURN") == 0;
}

static bool look(struct side *side, const struct plan_step *step, enum step_state *ret, char **ret_why,
                 struct err *err)
{
    struct postgres_side *ps = (struct postgres_side *)side;
    const struct source_object *o = &ps->objects[step - ps->plan->steps];
    char *def CLEANUP(free_ptr) = NULL;
    bool there = false;
    if (!look_ahead(ps, err))
        return false;
    bool noted = is_noted(ps, step);
    if (step->again || o->type == NULL) {
        *ret = noted ? STEP_THERE : STEP_TODO;
        return true;
    }
    if (!ps->missing[step - ps->plan->steps] && !find_object(ps, o, &there, &def, err))
        return false;
    char *why CLEANUP(free_ptr) =
        there && !noted && o->def != NULL && def != NULL ? definition_difference(o->def, def) : NULL;
    bool differs = why != NULL;
    bool body = differs && is_view_body(step);
    *ret = body ? STEP_TODO : differs ? STEP_DIFFERS : there ? STEP_THERE : STEP_TODO;
    if (differs && !body)
        *ret_why = xasprintf("is there and is another: %s", why);
    return true;
}

static bool note(struct postgres_side *ps, const struct plan_step *step, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    char key[17];
    const char *params[] = {ps->plan->pipeline, key, step->kind, step->name};
    note_key(step, key);
    return pg_query(ps->conn,
                    "INSERT INTO crossfade.schema_step (pipeline, step, kind, name) VALUES ($1, $2, $3, $4) "
                    "ON CONFLICT DO"
                    " NOTHING",
                    4, params, &res, err);
}

static bool in_transaction(struct postgres_side *ps, const struct plan_step *step, const char *sql,
                           struct err *err)
{
    struct err ignored = ERR_INIT;
    if (pg_exec(ps->conn, "BEGIN", err) && pg_exec(ps->conn, sql, err) && note(ps, step, err) &&
        pg_exec(ps->conn, "COMMIT", err))
        return true;
    if (pg_in_transaction(ps->conn))
        (void)!pg_exec(ps->conn, "ROLLBACK", &ignored);
    return false;
}

/* Somebody has attached the partition, or renamed the column, before. */
static bool is_done_already(const struct plan_step *step, const struct err *refused)
{
    if (strcmp(step->kind, "table attach") == 0)
        return strcmp(refused->sqlstate, "42809") == 0 &&
               strstr(refused->text, "is already a partition") != NULL;
    return false;
}

static bool take(struct side *side, const struct plan_step *step, struct err *err)
{
    struct postgres_side *ps = (struct postgres_side *)side;
    struct err refused = ERR_INIT;
    if (in_transaction(ps, step, step->sql, &refused))
        return true;
    if (is_done_already(step, &refused))
        return in_transaction(ps, step, "SELECT", err);
    if (err != NULL)
        *err = refused;
    return err_wrap(err, "%s %s", step->kind, step->name);
}

/* In one round trip, and one commit. */
static bool take_some(struct side *side, const struct plan_step *const *steps, size_t count, struct err *err)
{
    struct postgres_side *ps = (struct postgres_side *)side;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    struct err ignored = ERR_INIT;
    strbuf_adds(&sql, "BEGIN");
    for (size_t i = 0; i < count; i++)
        strbuf_addf(&sql, "\n;%s", steps[i]->sql);
    strbuf_adds(&sql, "\n;INSERT INTO crossfade.schema_step (pipeline, step, kind, name) VALUES ");
    for (size_t i = 0; i < count; i++) {
        char key[17];
        const char *const values[] = {ps->plan->pipeline, key, steps[i]->kind, steps[i]->name};
        note_key(steps[i], key);
        for (size_t k = 0; k < ARRAY_LEN(values); k++) {
            strbuf_adds(&sql, k > 0 ? ", " : i > 0 ? ", (" : "(");
            pg_quote_literal(&sql, values[k]);
        }
        strbuf_adds(&sql, ")");
    }
    strbuf_adds(&sql, " ON CONFLICT DO NOTHING; COMMIT");
    bool ok = strbuf_ok(&sql, "statements", err) && pg_exec(ps->conn, sql.data, err);
    strbuf_release(&sql);
    if (!ok && pg_in_transaction(ps->conn))
        (void)!pg_exec(ps->conn, "ROLLBACK", &ignored);
    return ok;
}

static bool validate(struct side *side, const struct plan_step *step, struct err *err)
{
    struct postgres_side *ps = (struct postgres_side *)side;
    return step->validate == NULL || pg_exec(ps->conn, step->validate, err) ||
           err_wrap(err, "%s %s: validating it", step->kind, step->name);
}

static bool copied(struct side *side, enum copy_state *ret, struct err *err)
{
    struct postgres_side *ps = (struct postgres_side *)side;
    PG_RESULT_AUTO res = NULL;
    bool there = false;
    *ret = COPY_NOT_BEGUN;
    if (!pg_control_tables_look(ps->conn, "crossfade.position", &there, err))
        return false;
    if (!there)
        return true;
    if (!pg_query(ps->conn,
                  "SELECT count(*), coalesce(max(split_part(shard, '/', 2)::int), 1), count(*) FILTER (WHERE "
                  "NOT complete) FROM crossfade.position WHERE pipeline = $1",
                  1, &ps->plan->pipeline, &res, err))
        return false;
    *ret = side_copy_state(pg_cell_int64(res, 0, 0), pg_cell_int64(res, 0, 1), pg_cell_int64(res, 0, 2));
    return true;
}

static void close_side(struct side *side)
{
    struct postgres_side *ps = (struct postgres_side *)side;
    pg_close(ps->conn);
    free(ps->target_sql);
    for (size_t i = 0; i < ps->note_count; i++)
        free(ps->notes[i]);
    free(ps->notes);
    free(ps->missing);
    free(ps);
}

static const struct side_ops ops = {.close = close_side,
                                    .look = look,
                                    .take = take,
                                    .take_some = take_some,
                                    .validate = validate,
                                    .copied = copied};

/* As pg_dump's own output begins. */
static const char session_sql[] = "SET check_function_bodies = false; SET row_security = off; SET "
                                  "client_min_messages = warning; SET xmloption = content;"
                                  " SET lock_timeout = 0; SET statement_timeout = 0; SELECT "
                                  "pg_catalog.set_config('search_path', '', false)";

static bool set_up(struct postgres_side *ps, bool writes, struct err *err)
{
    return (!writes || pg_control_tables_ensure(ps->conn, "crossfade.schema_step",
                                                embedded_sql_target_schema_sql, "target", err)) &&
           pg_exec(ps->conn, session_sql, err) &&
           pg_control_tables_look(ps->conn, "crossfade.schema_step", &ps->has_notes, err);
}

bool side_postgres_open(const char *url, const struct schema_plan *plan, const struct source_object *objects,
                        bool writes, struct side **ret, struct err *err)
{
    const struct pg_options options = {.application_name = "crossfade schema"};
    struct postgres_side *ps = xcalloc(1, sizeof *ps);
    ps->base.ops = &ops;
    ps->plan = plan;
    ps->objects = objects;
    ps->target_sql = xasprintf("%s%s%s", target_head, embedded_sql_catalog_definition_sql, target_tail);
    if (!pg_open(url, &options, &ps->conn, err) || !set_up(ps, writes, err)) {
        close_side(&ps->base);
        return err_wrap(err, "target");
    }
    *ret = &ps->base;
    return true;
}
