/* Owns: giving an approval and taking it back. See approval.h. */
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "cutover/approval/approval.h"
#include "cutover/cutover_internal.h"

/* Nobody has to hear what opening tells. */
static void say_nothing(void *ctx, const char *text)
{
    (void)ctx;
    (void)text;
}

static bool never_stops(void *ctx)
{
    (void)ctx;
    return false;
}

static const struct cutover_talk silent = {.say = say_nothing, .stop_asked = never_stops};

struct desk {
    struct cutover co;
    struct cutover_report report;
    struct audit *audit;
    char plan[SHA256_HEX];
};

static void close_desk(struct desk *d)
{
    audit_close(d->audit);
    cutover_close(&d->co);
}

static bool open_desk(const struct config *cfg, struct desk *d, struct err *err)
{
    *d = (struct desk){0};
    if (!cutover_open(&d->co, cfg, &silent, &d->report, err))
        return false;
    if (audit_on(d->co.target, d->co.pipeline, &d->audit, err) && approval_plan_hash(&d->co, d->plan, err))
        return true;
    close_desk(d);
    return false;
}

/* The one of cutover.approvers whose key it is. */
static bool find_approver(const struct config *cfg, const struct ed25519_key *key, char ret[AUDIT_NAME_MAX],
                          struct err *err)
{
    char public_key[ED25519_PUBLIC_MAX];
    struct approver *all = NULL;
    size_t count = 0;
    bool found = false;
    if (!ed25519_public(key, public_key, err) || !approvers_read(cfg, &all, &count, err))
        return false;
    for (size_t i = 0; !found && i < count; i++) {
        found = strcmp(all[i].key, public_key) == 0;
        if (found)
            (void)snprintf(ret, AUDIT_NAME_MAX, "%s", all[i].name);
    }
    approvers_free(all, count);
    return found ||
           err_set(err, ERR_REFUSED,
                   "this key is not allowed: its public half %s is not among cutover.approvers", public_key);
}

static bool check_request(const struct config *cfg, const struct approve_request *req, const char *plan,
                          struct err *err)
{
    if (req->plan != NULL && strcmp(req->plan, plan) != 0)
        return err_set(
            err, ERR_REFUSED,
            "the plan is not the one that was looked at: it is %s now. Hint: `crossfade cutover plan`", plan);
    if (req->valid_s > config_int(cfg, "cutover.approval_valid_s"))
        return err_set(err, ERR_REFUSED, "cutover.approval_valid_s allows no more than %lld s",
                       (long long)config_int(cfg, "cutover.approval_valid_s"));
    if (req->note != NULL && strlen(req->note) > APPROVAL_NOTE_MAX)
        return err_set(err, ERR_CONFIG, "--note: %d bytes fit", APPROVAL_NOTE_MAX);
    for (size_t i = 0; i < req->kind_count; i++) {
        if (req->kinds[i] == APPROVAL_TICKET && (req->note == NULL || req->note[0] == '\0'))
            return err_set(err, ERR_CONFIG, "a ticket needs --note with its number");
    }
    return true;
}

/* A rehearsal that found something is approved with a reason, or not at all. */
static bool rehearsal_note(struct desk *d, const struct approve_request *req, char ret[APPROVAL_NOTE_MAX + 1],
                           struct err *err)
{
    struct rehearsed last;
    if (!rehearsed_last(d->audit, d->co.pipeline, &last, err))
        return false;
    if (last.seq > 0 && !last.passed && req->note == NULL)
        return err_set(
            err, ERR_REFUSED,
            "%s: %s. Hint: mend it and rehearse again, or say with --note why it is approved all the same",
            last.text, last.reason);
    if (req->note == NULL)
        (void)snprintf(ret, APPROVAL_NOTE_MAX + 1, "%s", last.text);
    return true;
}

static bool give_one(struct desk *d, const struct approve_request *req, const struct ed25519_key *key,
                     enum approval_kind kind, struct approve_result *ret, struct err *err)
{
    struct approval *a = &ret->given[ret->count];
    int64_t valid_s = req->valid_s > 0 ? req->valid_s : config_int(d->co.cfg, "cutover.approval_valid_s");
    *a = (struct approval){.kind = kind};
    if (!audit_now(d->audit, &a->issued_us, err))
        return false;
    a->expires_us = ret->expires_us = a->issued_us + valid_s * 1000000;
    nonce_make(a->nonce);
    (void)snprintf(a->pipeline, sizeof a->pipeline, "%s", d->co.pipeline);
    memcpy(a->plan, d->plan, sizeof a->plan);
    memcpy(a->approver, ret->approver, sizeof a->approver);
    (void)snprintf(a->os_user, sizeof a->os_user, "%s", audit_os_user(d->audit));
    (void)snprintf(a->db_user, sizeof a->db_user, "%s", audit_db_user(d->audit));
    (void)snprintf(a->host, sizeof a->host, "%s", audit_host(d->audit));
    (void)snprintf(a->note, sizeof a->note, "%s", req->note != NULL ? req->note : "");
    if (kind == APPROVAL_REHEARSAL && !rehearsal_note(d, req, a->note, err))
        return false;
    if (!approval_sign(a, key, err) ||
        !audit_append(d->audit, NULL, APPROVAL_GIVEN, approval_json(a), &ret->mark, err))
        return false;
    ret->count++;
    return true;
}

/* The last hash, where the one who could cut the chain cannot reach it. */
static bool anchor(struct desk *d, const struct audit_mark *mark, struct err *err)
{
    return audit_anchor_put(d->co.source, d->co.pipeline, mark, err);
}

bool cutover_approve(const struct config *cfg, const struct approve_request *req, struct approve_result *ret,
                     struct err *err)
{
    struct ed25519_key *key = NULL;
    struct desk d;
    *ret = (struct approve_result){0};
    if (!ed25519_read(req->key_file, &key, err))
        return false;
    bool ok = find_approver(cfg, key, ret->approver, err) && open_desk(cfg, &d, err);
    if (ok) {
        memcpy(ret->plan, d.plan, sizeof ret->plan);
        ok = check_request(cfg, req, d.plan, err);
        for (size_t i = 0; ok && i < req->kind_count; i++)
            ok = give_one(&d, req, key, req->kinds[i], ret, err);
        ok = ok && anchor(&d, &ret->mark, err);
        close_desk(&d);
    }
    ed25519_free(key);
    return ok;
}

bool cutover_revoke(const struct config *cfg, const char *nonce, struct audit_mark *ret, struct err *err)
{
    struct desk d;
    if (!open_desk(cfg, &d, err))
        return false;
    bool ok =
        audit_append(d.audit, NULL, APPROVAL_REVOKED, json_pack("{s:[s]}", "nonces", nonce), ret, err) &&
        anchor(&d, ret, err);
    close_desk(&d);
    return ok;
}

bool cutover_approvals(const struct config *cfg, char ret_plan[SHA256_HEX], struct approvals *ret,
                       struct err *err)
{
    struct desk d;
    if (!open_desk(cfg, &d, err))
        return false;
    const struct approval_runner runner = {audit_os_user(d.audit), audit_db_user(d.audit)};
    memcpy(ret_plan, d.plan, sizeof d.plan);
    bool ok = approvals_look(cfg, d.audit, d.plan, &runner, ret, err);
    close_desk(&d);
    return ok;
}
