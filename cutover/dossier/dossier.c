/* Owns: the course of making a document of a cutover. See dossier.h. */
#include "cutover/dossier/dossier.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compare/compare.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"
#include "cutover/dossier/dossier_internal.h"

/* --- words --- */

const char *dossier_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

double dossier_number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : -1;
}

int64_t dossier_int(const json_t *object, const char *key, int64_t otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

json_t *dossier_say(const struct dossier *d, const char *text)
{
    if (text == NULL || *text == '\0')
        return json_null();
    size_t size = 2 * strlen(text) + 64;
    char *masked CLEANUP(free_ptr) = xcalloc(size, 1);
    (void)log_mask_text(text, masked, size);
    compare_hide_quoted(d->cfg, masked);
    return json_text(masked);
}

json_t *dossier_time(int64_t wall_us)
{
    char at[ISO_TIME_MAX];
    return wall_us > 0 ? json_text(clock_iso(wall_us, at)) : json_null();
}

json_t *dossier_ms(int64_t us)
{
    return us < 0 ? json_null() : json_real((double)us / 1000.0);
}

/* --- what is told of --- */

static const char *outcome_of(const struct dossier *d)
{
    if (d->req->now != NULL && d->req->now->outcome != NULL)
        return d->req->now->outcome;
    enum cutover_state state = cutover_state_parse(d->past.state);
    if (state == CUT_DONE || state == CUT_ABORTED)
        return cutover_state_name(state);
    return d->past.running ? "running" : "interrupted";
}

/* "shop at db1:5432": what stands in the URL and is no secret. */
static json_t *end_json(const struct dossier *d, const char *key)
{
    static const char *const parts[] = {"dbname", "host", "port"};
    char *found[ARRAY_LEN(parts)];
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        found[i] = cutover_url_part(d->cfg, key, parts[i]);
    char *label CLEANUP(free_ptr) =
        xasprintf("%s at %s:%s", *found[0] != '\0' ? found[0] : "?", *found[1] != '\0' ? found[1] : "local",
                  *found[2] != '\0' ? found[2] : "5432");
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        free(found[i]);
    return json_text(label);
}

static void put_head(struct dossier *d)
{
    json_t *doc = d->doc;
    const struct cutover_report *now = d->req->now;
    const char *reason = d->req->failed != NULL                  ? d->req->failed
                         : now != NULL && now->reason[0] != '\0' ? now->reason
                         : d->recorded                           ? d->past.reason
                                                                 : "";
    dossier_put(doc, "format", json_integer(DOSSIER_FORMAT));
    dossier_put(doc, "crossfade", json_text(CF_VERSION));
    dossier_put(doc, "pipeline", json_text(d->co.pipeline));
    dossier_put(doc, "command", json_text(d->req->command));
    dossier_put(doc, "written_at", dossier_time(clock_wall_us()));
    dossier_put(doc, "source", end_json(d, "source.url"));
    dossier_put(doc, "target", end_json(d, "target.url"));
    dossier_put(doc, "source_unread", dossier_say(d, d->source_away));
    dossier_put(doc, "id", d->recorded ? json_text(d->past.id) : json_null());
    dossier_put(doc, "outcome", json_text(outcome_of(d)));
    dossier_put(doc, "state", d->recorded ? json_text(d->past.state) : json_null());
    dossier_put(doc, "decision", d->recorded ? json_text_or_null(d->past.decision) : json_null());
    dossier_put(doc, "reason", dossier_say(d, reason));
}

/* A plan, and a run that was refused, have nothing recorded that they could be told by. */
static bool find_run(struct dossier *d, struct err *err)
{
    const struct cutover_report *now = d->req->now;
    const char *id = d->req->id != NULL ? d->req->id : now != NULL && now->id[0] != '\0' ? now->id : NULL;
    if (now != NULL && id == NULL)
        return true;
    if (!cutover_status(d->cfg, id, &d->past, &d->recorded, err))
        return false;
    if (!d->recorded && now == NULL)
        return err_set(err, ERR_REFUSED, "no cutover%s%.60s of this pipeline is recorded",
                       id != NULL ? " " : "", id != NULL ? id : "");
    return true;
}

static bool make(struct dossier *d, struct err *err)
{
    struct err away = ERR_INIT;
    if (!find_run(d, err) || !cutover_open_target(&d->co, d->cfg, err))
        return false;
    (void)snprintf(d->co.id, sizeof d->co.id, "%s", d->past.id);
    if (!cutover_open_source(&d->co, &away))
        (void)snprintf(d->source_away, sizeof d->source_away, "%s", away.text);
    put_head(d);
    bool ok = dossier_run(d, err) && dossier_gates(d, err) && dossier_approvals(d, err) &&
              dossier_verdicts(d, err) && dossier_rollback(d, err) && dossier_audit(d, err);
    if (ok)
        dossier_ready(d);
    cutover_close(&d->co);
    return ok;
}

bool dossier_make(const struct config *cfg, const struct dossier_request *req, json_t **ret, struct err *err)
{
    struct dossier *d = xcalloc(1, sizeof *d);
    *d = (struct dossier){.cfg = cfg, .req = req, .doc = json_object()};
    bool ok = make(d, err);
    if (ok)
        *ret = d->doc;
    else
        json_decref(d->doc);
    free(d);
    return ok || err_wrap(err, "the report of the cutover");
}
