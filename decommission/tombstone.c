/* Owns the life of a tombstone: choosing how, saving what was there, raising, ending sessions, lowering. What undo needs stands in crossfade.tombstone on the
 * target before anything is changed; the change itself is one transaction on the source; so it can be run again after having been killed anywhere. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/failpoint.h"
#include "kept.h"
#include "json/text.h"

/* The one that tells clients most comes first. */
static const struct tombstone_method *const methods[] = {&tombstone_login, &tombstone_preload,
                                                         &tombstone_connect};

static const struct tombstone_method *find_method(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        if (strcmp(methods[i]->name, name) == 0)
            return methods[i];
    }
    return NULL;
}

/* decommission.tombstone, or the first that is possible; method_why says what speaks against those before. */
static bool choose(struct decom *d, const struct tombstone_method **ret, struct tombstone_report *r,
                   struct err *err)
{
    const char *wanted = config_text(d->cfg, "decommission.tombstone");
    bool any = strcmp(wanted, "auto") == 0;
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        char why[200] = "";
        bool possible = false;
        if (!any && strcmp(methods[i]->name, wanted) != 0)
            continue;
        if (!methods[i]->possible(d, &possible, why, err))
            return false;
        if (possible) {
            *ret = methods[i];
            return true;
        }
        size_t used = strlen(r->method_why);
        (void)snprintf(r->method_why + used, sizeof r->method_why - used, "%s%s: %s", used > 0 ? "; " : "",
                       methods[i]->name, why);
    }
    return err_set(err, ERR_REFUSED, "no tombstone can be put up here: %s", r->method_why);
}

/* --- what is written down --- */

struct row {
    const struct tombstone_method *method; /* NULL: there is none */
    char *message, *saved;
};

static bool take_row(void *ctx, const char *const *cells, struct err *err)
{
    struct row *row = ctx;
    row->method = find_method(cells[0]);
    if (row->method == NULL)
        return err_set(err, ERR_UNSUPPORTED,
                       "the tombstone was put up by a way that this version does not know: %s", cells[0]);
    row->message = xstrdup(cells[2]);
    row->saved = xstrdup(cells[4]);
    return true;
}

static bool read_row(struct decom *d, const struct tombstone_method **ret, struct tombstone *t,
                     char **ret_message, struct err *err)
{
    struct row row = {0};
    bool ok = kept_ask(d, KEPT_TOMBSTONE, 1, &d->pipeline, take_row, &row, err) ||
              err_wrap(err, "crossfade.tombstone on the target");
    *ret = row.method;
    *ret_message = row.message;
    t->saved = row.saved;
    return ok;
}

static bool set_state(struct decom *d, const char *state, struct err *err)
{
    const char *params[] = {d->pipeline, state};
    return kept_ask(d, KEPT_TOMBSTONE_STATE, 2, params, NULL, NULL, err) ||
           err_wrap(err, "crossfade.tombstone on the target");
}

/* The first try's stays: the second one would save the first one's work. */
static bool save(struct decom *d, const struct tombstone_method *method, struct tombstone *t, struct err *err)
{
    if (t->saved != NULL) /* the first try's, by read_row() */
        return true;
    char *allowed CLEANUP(free_ptr) = decom_allowed(d);
    const char *who[] = {d->source_user, allowed};
    if (!pg_query_text(d->source, method->save_sql, 2, who, &t->saved, err))
        return err_wrap(err, "what the tombstone replaces");
    const char *params[] = {d->pipeline, method->name, t->message, t->saved};
    return kept_ask(d, KEPT_TOMBSTONE_NEW, 4, params, NULL, NULL, err) ||
           err_wrap(err, "crossfade.tombstone on the target");
}

static bool note(struct decom *d, const char *event, const struct tombstone_report *r, struct audit_mark *ret,
                 struct err *err)
{
    struct audit *audit = NULL;
    if (!kept_audit(d, &audit, err))
        return false;
    json_t *detail = json_pack("{s:o, s:s, s:o}", "database", json_text(r->database), "method", r->method,
                               "message", json_text(r->message));
    bool ok = audit_append(audit, NULL, event, detail, ret, err);
    audit_close(audit);
    return ok;
}

/* --- on the source --- */

/* All or nothing, the comment with it. */
static bool run_on_source(struct decom *d, const struct strbuf *sql, struct err *err)
{
    struct err ignored = ERR_INIT;
    if (!strbuf_ok(sql, "statements", err))
        return false;
    if (pg_exec(d->source, "BEGIN", err) && pg_exec(d->source, sql->data, err) &&
        failpoint("decommission.changed", err) && pg_exec(d->source, "COMMIT", err))
        return true;
    if (pg_in_transaction(d->source))
        (void)!pg_exec(d->source, "ROLLBACK", &ignored);
    return err_wrap(err, "the source");
}

static const char session_list_sql[] =
    "SELECT a.pid, a.usename, coalesce(a.application_name, '') FROM pg_catalog.pg_stat_activity a LEFT JOIN "
    "pg_catalog.pg_roles r ON r.oid = a.usesysid"
    " WHERE " FOREIGN_SESSIONS " AND NOT coalesce(" PASSES ", false) ORDER BY a.pid";

static bool list_sessions(struct decom *d, struct pg_result **ret, struct err *err)
{
    char *allowed CLEANUP(free_ptr) = decom_allowed(d);
    const char *params[] = {d->source_user, allowed};
    return pg_query(d->source, session_list_sql, 2, params, ret, err) ||
           err_wrap(err, "sessions of the source");
}

/* Who is in already would stay: no tombstone sees him. */
static bool end_sessions(struct decom *d, struct tombstone_report *r, struct err *err)
{
    PG_RESULT_AUTO rows = NULL;
    if (!list_sessions(d, &rows, err))
        return false;
    r->sessions = 0;
    for (int i = 0; i < pg_rows(rows); i++) {
        PG_RESULT_AUTO res = NULL;
        struct err refused = ERR_INIT;
        const char *params[] = {pg_cell(rows, i, 0)};
        if (pg_query(d->source, "SELECT pg_catalog.pg_terminate_backend($1::int)", 1, params, &res,
                     &refused)) {
            r->sessions++;
            continue;
        }
        size_t used = strlen(r->not_ended);
        (void)snprintf(r->not_ended + used, sizeof r->not_ended - used, "%spid %s of role %s (%.80s)",
                       used > 0 ? ", " : "", pg_cell(rows, i, 0), pg_cell(rows, i, 1), refused.text);
        if (refused.code == ERR_CONNECT) {
            *err = refused;
            return false;
        }
    }
    return true;
}

static bool find_passes(struct decom *d, struct tombstone *t, struct tombstone_report *r, struct err *err)
{
    char *allowed CLEANUP(free_ptr) = decom_allowed(d);
    const char *params[] = {d->source_user, allowed};
    if (!pg_query_text(d->source,
                       "SELECT coalesce(string_agg(r.rolname, E'\\n' ORDER BY r.rolname), '') FROM "
                       "pg_catalog.pg_roles r WHERE r.rolcanlogin AND " PASSES,
                       2, params, &t->passes, err))
        return err_wrap(err, "roles of the source");
    (void)snprintf(r->passes, sizeof r->passes, "%s", t->passes);
    for (char *c = r->passes; *c != '\0'; c++)
        *c = *c == '\n' ? ' ' : *c;
    return true;
}

/* --- raising and lowering --- */

static bool raise_it(struct decom *d, const struct tombstone_method *method, struct tombstone *t,
                     struct tombstone_report *r, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    bool ok = note(d, "decommission.tombstone", r, &r->audit, err) && failpoint("decommission.noted", err) &&
              save(d, method, t, err) && failpoint("decommission.saved", err) &&
              method->raise(t, &sql, err) && run_on_source(d, &sql, err);
    strbuf_release(&sql);
    ok = ok && failpoint("decommission.raised", err) && end_sessions(d, r, err) && set_state(d, "up", err);
    if (ok)
        r->outcome = "up";
    return ok;
}

static bool lower_it(struct decom *d, const struct tombstone_method *method, struct tombstone *t,
                     struct tombstone_report *r, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    bool ok = note(d, "decommission.tombstone_undo", r, &r->audit, err) && set_state(d, "lowering", err) &&
              method->lower(t, &sql, err) && run_on_source(d, &sql, err) &&
              failpoint("decommission.lowered", err);
    strbuf_release(&sql);
    ok = ok && kept_ask(d, KEPT_TOMBSTONE_GONE, 1, &d->pipeline, NULL, NULL, err);
    if (ok)
        r->outcome = "down";
    return ok;
}

static bool may_begin(struct decom *d, const struct tombstone_request *request, struct err *err)
{
    struct decom_cutover c;
    if (!decom_cutover(d, &c, err))
        return false;
    return request->undo || c.at[0] != '\0' ||
           err_set(err, ERR_REFUSED,
                   "pipeline %s was not cut over: its source serves, and a tombstone would stop that",
                   d->pipeline);
}

static bool plan(struct decom *d, const struct tombstone_method *method, struct tombstone *t,
                 struct tombstone_report *r, struct err *err)
{
    PG_RESULT_AUTO rows = NULL;
    (void)snprintf(r->method, sizeof r->method, "%s", method->name);
    (void)snprintf(r->message, sizeof r->message, "%s", t->message);
    method->seen(t, r->seen, sizeof r->seen);
    if (!find_passes(d, t, r, err) || !list_sessions(d, &rows, err))
        return false;
    r->sessions = pg_rows(rows);
    return true;
}

/* One that stands, or half stands, stays of its kind. */
static bool run(struct decom *d, const struct tombstone_request *request, struct tombstone_report *r,
                struct err *err)
{
    struct tombstone t = {.d = d};
    const struct tombstone_method *method = NULL;
    char *message CLEANUP(free_ptr) = NULL;
    bool there = false;
    bool ok =
        may_begin(d, request, err) &&
        (request->execute ? kept_make(d, err) && (there = true) : kept_there(d, "tombstone", &there, err)) &&
        (!there || read_row(d, &method, &t, &message, err));
    if (ok && request->undo && method == NULL) {
        r->outcome = "down";
        return true;
    }
    if (message == NULL)
        message = xasprintf("database %s has moved to %s", r->database, d->home);
    t.message = message;
    ok = ok && (method != NULL || choose(d, &method, r, err)) && plan(d, method, &t, r, err);
    if (ok && request->execute && !request->confirm(request->ctx, r->database))
        r->outcome = "refused";
    else if (ok && request->execute)
        ok = request->undo ? lower_it(d, method, &t, r, err) : raise_it(d, method, &t, r, err);
    free(t.passes);
    free(t.saved);
    return ok;
}

bool decommission_tombstone(const struct config *cfg, const struct tombstone_request *request,
                            struct tombstone_report *ret, struct err *err)
{
    struct decom d;
    *ret = (struct tombstone_report){.outcome = "planned"};
    if (!decom_open(&d, cfg, err))
        return false;
    (void)snprintf(ret->database, sizeof ret->database, "%s", pg_database(d.source));
    bool ok = run(&d, request, ret, err);
    decom_close(&d);
    return ok;
}
