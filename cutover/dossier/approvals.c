/* Owns: who has approved it: the approvals that a cutover rests on, or, before one, those that are given for the plan as it is. */
#include <string.h>

#include "core/clock.h"
#include "core/seal.h"
#include "cutover/approval/approval.h"
#include "cutover/dossier/dossier_internal.h"

struct look {
    struct dossier *d;
    json_t *used, *spent; /* nonces: used by this cutover; used by any or taken back */
    json_t *list;
    const char *plan; /* NULL = of any */
};

static bool take_spent(void *ctx, const struct audit_row *row, struct err *err)
{
    struct look *look = ctx;
    bool used = strcmp(row->event, APPROVAL_USED) == 0;
    (void)err;
    if (!used && strcmp(row->event, APPROVAL_REVOKED) != 0)
        return true;
    bool ours = used && look->d->recorded && strcmp(row->cutover_id, look->d->past.id) == 0;
    json_t *detail = json_loads(row->detail, 0, NULL), *nonce;
    size_t i;
    json_array_foreach(json_object_get(detail, "nonces"), i, nonce)
    {
        const char *text = json_string_value(nonce);
        if (text != NULL)
            dossier_put(ours ? look->used : look->spent, text, json_true());
    }
    json_decref(detail);
    return true;
}

/* Enough of the signature's SHA-256 to know it again. */
static json_t *fingerprint(const char *signature)
{
    char digest[SHA256_HEX];
    if (!sha256_hex(signature, strlen(signature), digest))
        return json_null();
    return json_sprintf("%.32s", digest);
}

static json_t *approval_told(const struct dossier *d, const struct audit_row *row, const struct approval *a)
{
    json_t *j = json_object();
    dossier_put(j, "kind", json_text(approval_kind_name(a->kind)));
    dossier_put(j, "approver", dossier_say(d, a->approver));
    dossier_put(j, "user", dossier_say(d, a->os_user));
    dossier_put(j, "host", dossier_say(d, a->host));
    dossier_put(j, "given_at", json_text(row->at));
    dossier_put(j, "expires_at", dossier_time(a->expires_us));
    dossier_put(j, "note", dossier_say(d, a->note));
    dossier_put(j, "plan", json_text(a->plan));
    dossier_put(j, "signature_sha256", fingerprint(a->signature));
    dossier_put(j, "audit_seq", json_integer(row->seq));
    return j;
}

static bool take_given(void *ctx, const struct audit_row *row, struct err *err)
{
    struct look *look = ctx;
    struct approval a;
    (void)err;
    if (!approval_parse(row, &a))
        return true;
    bool used = json_object_get(look->used, a.nonce) != NULL;
    bool waits = look->plan != NULL && strcmp(look->plan, a.plan) == 0 &&
                 json_object_get(look->spent, a.nonce) == NULL && a.expires_us > clock_wall_us();
    if (used || waits)
        json_array_append_new(look->list, approval_told(look->d, row, &a));
    return true;
}

bool dossier_approvals(struct dossier *d, struct err *err)
{
    const struct cutover_report *now = d->req->now;
    struct look look = {.d = d,
                        .used = json_object(),
                        .spent = json_object(),
                        .list = json_array(),
                        .plan = !d->recorded && now != NULL ? now->plan_hash : NULL};
    const struct audit_filter all = {.pipeline = d->co.pipeline, .event = "approval.%"};
    const struct audit_filter given = {.pipeline = d->co.pipeline, .event = APPROVAL_GIVEN};
    struct audit *audit = trail_audit(&d->co, err);
    bool ok = audit != NULL && audit_read(audit, &all, take_spent, &look, err) &&
              audit_read(audit, &given, take_given, &look, err);
    dossier_put(d->doc, "approvals", look.list);
    json_decref(look.used);
    json_decref(look.spent);
    return ok;
}
