/*
 * Owns the gate of owners and rights. Both sides tell theirs as statements, in one order; what the source says and the target does not is
 * what is to be run there. Objects that only one side has are other gates' affair. More rights on the target than on the source are told,
 * and no reason to refuse.
 */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "cutover/gates.h"
#include "prepare.h"
#include "sql/embedded.h"

struct grants {
    struct pg_result *source, *target;
    struct pg_result *roles; /* of the target, by name */
    int version;             /* of the target */
    size_t missing, more, roles_missing;
    struct strbuf statements, made; /* made: the roles that have their CREATE ROLE, as lines */
};

/* Roles of ours, which both sides leave out: by name, as who we are, and who may use the schema crossfade of the source and owns nothing
 * of the application's. */
static const char ours_sql[] =
    "SELECT coalesce(array_agg(r.rolname::text), '{}')::text FROM pg_catalog.pg_roles r WHERE r.rolname LIKE "
    "'crossfade%' OR"
    " r.rolname IN (current_user, $2) OR (EXISTS (SELECT FROM pg_catalog.pg_namespace n,"
    " pg_catalog.aclexplode(n.nspacl) x WHERE n.nspname = 'crossfade' AND x.grantee = r.oid) AND NOT EXISTS "
    "(SELECT FROM"
    " pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relowner = r.oid"
    " AND n.nspname = ANY ($1::text[])))";

static bool ask_all(struct cutover *co, struct grants *g, struct err *err)
{
    char *schemas CLEANUP(free_ptr) = gate_schemas(co);
    char *ours CLEANUP(free_ptr) = NULL;
    const char *who[] = {schemas, pg_user(co->target)};
    if (!pg_query_text(co->source, ours_sql, 2, who, &ours, err))
        return err_wrap(err, "rights on the source");
    const char *params[] = {schemas, ours};
    g->version = pg_server_version(co->target);
    return (pg_query(co->source, embedded_sql_cutover_grants_sql, 2, params, &g->source, err) ||
            err_wrap(err, "rights on the source")) &&
           ((pg_query(co->target, embedded_sql_cutover_grants_sql, 2, params, &g->target, err) &&
             pg_query(co->target, "SELECT rolname FROM pg_catalog.pg_roles ORDER BY rolname COLLATE \"C\"", 0,
                      NULL, &g->roles, err)) ||
            err_wrap(err, "rights on the target"));
}

static bool has_role(const struct grants *g, const char *name)
{
    int low = 0, high = pg_rows(g->roles);
    while (low < high) {
        int mid = low + (high - low) / 2, order = strcmp(name, pg_cell(g->roles, mid, 0));
        if (order == 0)
            return true;
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return false;
}

/* Once for each role: its own statement comes before all that name it. */
static void need_role(struct grants *g, const char *name)
{
    struct strbuf line = STRBUF_INIT(1024);
    strbuf_adds(&line, "CREATE ROLE ");
    pg_quote_ident(&line, name);
    strbuf_adds(&line, ";\n");
    if (strstr(g->made.data, line.data) == NULL) {
        strbuf_adds(&g->made, line.data);
        g->roles_missing++;
    }
    strbuf_release(&line);
}

static int compare_rows(const struct grants *g, int i, int j)
{
    int by_object = strcmp(pg_cell(g->source, i, 0), pg_cell(g->target, j, 0));
    return by_object != 0 ? by_object : strcmp(pg_cell(g->source, i, 1), pg_cell(g->target, j, 1));
}

/* The row with the empty statement stands before the others of its object. */
static bool is_object(const struct pg_result *res, int row)
{
    return *pg_cell(res, row, 1) == '\0';
}

static void take_missing(struct grants *g, int row)
{
    const char *statement = pg_cell(g->source, row, 1), *maintain = "GRANT MAINTAIN ";
    if (g->version < 170000 && strncmp(statement, maintain, strlen(maintain)) == 0)
        return; /* there is no such right there */
    if (!pg_is_null(g->source, row, 2) && !has_role(g, pg_cell(g->source, row, 2)))
        need_role(g, pg_cell(g->source, row, 2));
    strbuf_addf(&g->statements, "%s;\n", statement);
    g->missing++;
}

/* Both lists side by side; `shared`: the object at hand is on both sides. */
static void compare_sides(struct grants *g)
{
    int i = 0, j = 0, n = pg_rows(g->source), m = pg_rows(g->target);
    bool shared = false;
    while (i < n || j < m) {
        int order = i == n ? 1 : j == m ? -1 : compare_rows(g, i, j);
        if (order == 0) {
            shared = is_object(g->source, i) || shared;
            i++;
            j++;
        } else if (order < 0) {
            shared = !is_object(g->source, i) && shared;
            if (shared)
                take_missing(g, i);
            i++;
        } else {
            shared = !is_object(g->target, j) && shared;
            g->more += shared && strstr(pg_cell(g->target, j, 1), " OWNER TO ") == NULL;
            j++;
        }
    }
}

static void tell(struct grants *g, struct gate_result *gate)
{
    gate_measured(gate, "%zu missing on the target, %zu roles are not there, %zu more than on the source",
                  g->missing, g->roles_missing, g->more);
    if (g->missing == 0)
        return;
    strbuf_adds(&g->made, g->statements.data); /* roles first */
    gate_refuse_with(
        gate,
        g->roles_missing > 0
            ? "or set cutover.grants: ignore; on the target (LOGIN and passwords are yours to add)"
            : "or set cutover.grants: ignore; on the target",
        &g->made);
}

bool gate_grants(struct cutover *co, struct gate_result *gate)
{
    struct grants g = {.statements = STRBUF_INIT(PREPARE_STATEMENTS_MAX),
                       .made = STRBUF_INIT(PREPARE_STATEMENTS_MAX)};
    struct err failed = ERR_INIT;
    if (strcmp(config_text(co->cfg, "cutover.grants"), "ignore") == 0)
        return false;
    gate_limit(gate, "owners and rights as on the source");
    bool ok = ask_all(co, &g, &failed);
    if (ok)
        compare_sides(&g);
    ok = ok && strbuf_ok(&g.statements, "statements for rights", &failed);
    if (ok)
        tell(&g, gate);
    else
        (void)gate_unmeasured(gate, &failed);
    strbuf_release(&g.statements);
    strbuf_release(&g.made);
    pg_result_free(g.source);
    pg_result_free(g.target);
    pg_result_free(g.roles);
    return true;
}
