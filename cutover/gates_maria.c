/* Owns the gates that ask a MariaDB target, where they ask something else than of PostgreSQL. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fnmatch.h>

#include "core/alloc.h"
#include "cutover/poolers/poolers.h"
#include "gates.h"
#include "schema/schema.h"

/* --- the server --- */

static bool judge_server(const struct rowset *rs, struct gate_result *gate)
{
    const char *mode = rowset_cell(rs, 0, 1);
    gate_measured(gate, "MariaDB %.40s, %s, %s", rowset_cell(rs, 0, 0),
                  strstr(mode, "STRICT_") != NULL ? "strict" : "not strict",
                  rowset_bool(rs, 0, 2) ? "read-only" : "takes writes");
    if (rowset_bool(rs, 0, 2))
        gate_refuse(gate, "the target would refuse applications: SET GLOBAL read_only = 0; and in its "
                          "configuration");
    else if (strstr(mode, "STRICT_") == NULL)
        gate_refuse(gate, "applications could write values that do not fit, which PostgreSQL refuses: set "
                          "sql_mode=STRICT_TRANS_TABLES in the server's configuration");
    return true;
}

/* What apply asks of its own session, applications get from the server. */
bool gate_target(struct cutover *co, struct gate_result *gate)
{
    ROWSET_AUTO rs = NULL;
    struct err failed = ERR_INIT;
    if (co->maria == NULL)
        return false;
    gate_limit(gate, "sql_mode is strict, takes writes");
    if (!session_ask(co->maria, "SELECT VERSION(), @@GLOBAL.sql_mode, @@GLOBAL.read_only", 0, NULL, &rs,
                     &failed))
        return gate_unmeasured(gate, &failed);
    return judge_server(rs, gate);
}

bool maria_gate_poolers(struct cutover *co, struct gate_result *gate)
{
    if (poolers_count(co) == 0)
        return false;
    gate_limit(gate, "none");
    gate_measured(gate, "%zu configured", poolers_count(co));
    gate_refuse(gate,
                "PgBouncer does not speak to MariaDB: take cutover.poolers away, and lead applications by "
                "hooks (cutover.on_freeze, cutover.on_switch)");
    return true;
}

bool maria_denies(struct cutover *co, char **ret, struct err *err)
{
    const char *params[] = {"rights", co->pipeline, "0", "beginning", "{}"};
    struct err denied = ERR_INIT;
    ROWSET_AUTO none = NULL;
    *ret = NULL;
    if (!store_begin(co, err))
        return false;
    bool ok = store_ask(co, STORE_STEP_ADD, ARRAY_LEN(params), params, &none, &denied);
    if (!store_rollback(co, err))
        return false;
    if (!ok)
        *ret =
            xasprintf("GRANT SELECT, INSERT, UPDATE ON its tables crossfade_* to this role: %s", denied.text);
    return true;
}

/* --- definitions, by the rules of `schema` --- */

struct differences {
    const struct config *cfg;
    size_t objects, allowed, count;
    char first[300];
};

static bool is_allowed(const struct differences *d, const char *kind, const char *name)
{
    static const char *const keys[] = {"schema.exclude", "cutover.schema_ignore"};
    char *text CLEANUP(free_ptr) = xasprintf("%s %s", kind, name);
    for (size_t k = 0; k < ARRAY_LEN(keys); k++) {
        size_t count;
        const char *const *patterns = config_list(d->cfg, keys[k], &count);
        for (size_t i = 0; i < count; i++) {
            if (fnmatch(patterns[i], text, FNM_CASEFOLD) == 0)
                return true;
        }
    }
    return false;
}

static void add_difference(struct differences *d, const char *kind, const char *name, const char *why)
{
    if (is_allowed(d, kind, name))
        d->allowed++;
    else if (d->count++ == 0)
        (void)snprintf(d->first, sizeof d->first, "%s %.80s: %.150s", kind, name, why);
}

static void take_step(void *ctx, const struct schema_progress *p)
{
    struct differences *d = ctx;
    d->objects++;
    if (p->event == SCHEMA_DIFFERS)
        add_difference(d, p->kind, p->name, p->why);
    else if (p->event == SCHEMA_WOULD_MAKE)
        add_difference(d, p->kind, p->name, "is not there");
}

static void take_decision(void *ctx, const char *kind, const char *name, const char *text, const char *line)
{
    struct differences *d = ctx;
    (void)line;
    d->objects++;
    add_difference(d, kind, name, text);
}

bool maria_gate_schema(struct cutover *co, struct gate_result *gate)
{
    struct differences d = {.cfg = co->cfg};
    const struct schema_request req = {.stop_fd = co->talk->stop_fd, .progress = take_step, .ctx = &d};
    struct schema_plan *plan = NULL;
    struct schema_result result;
    struct err failed = ERR_INIT;
    gate_limit(gate, "the target has what `crossfade schema` makes of the source");
    bool ok = schema_plan_make(co->cfg, &plan, &failed) && schema_look(co->cfg, plan, &req, &result, &failed);
    if (ok)
        schema_plan_each_decision(plan, take_decision, &d);
    schema_plan_free(plan);
    if (!ok)
        return gate_unmeasured(gate, &failed);
    gate_measured(gate, "%zu of %zu objects differ, %zu are allowed to", d.count, d.objects, d.allowed);
    if (d.count > 0)
        gate_refuse(
            gate,
            "`crossfade schema plan` tells all; mend it on the target, decide it in the configuration, "
            "or name it in cutover.schema_ignore: %s%s",
            d.first, d.count > 1 ? "; …" : "");
    return true;
}
