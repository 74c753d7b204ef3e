/* Owns: which approvals hold. See approval.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/strbuf.h"
#include "cutover/approval/approval.h"

/* Of each kind, those that hold as far as they go by themselves: the newest ones. A row may be a copy of an earlier one, so that what was used
 * is told by nonce, wherever its row stands. */
#define CANDIDATES 16

struct candidate {
    char by[AUDIT_NAME_MAX];
    char nonce[NONCE_MAX];
    char spent[100]; /* "" = it is not */
};

struct candidates {
    struct candidate of[CANDIDATES]; /* a ring: the n-th is at n % CANDIDATES */
    size_t count;
};

struct look {
    const struct config *cfg;
    const char *plan;
    const struct approval_runner *runner;
    struct approver *approvers;
    size_t approver_count;
    int64_t now_us, valid_us;
    struct approvals *all;
    struct candidates *candidates; /* by kind */
};

static const struct approver *approver_named(const struct look *l, const char *name)
{
    for (size_t i = 0; i < l->approver_count; i++) {
        if (strcmp(l->approvers[i].name, name) == 0)
            return &l->approvers[i];
    }
    return NULL;
}

static bool is_user(const struct approver *who, const char *user)
{
    for (size_t i = 0; i < who->user_count; i++) {
        if (strcmp(who->users[i], user) == 0)
            return true;
    }
    return false;
}

/* The same user of the operating system has given it and would run the cutover, or the approver is the runner under another name. */
static bool is_own(const struct look *l, const struct approval *a, const struct approver *who)
{
    return strcmp(a->os_user, l->runner->os_user) == 0 || strcmp(who->name, l->runner->os_user) == 0 ||
           is_user(who, l->runner->os_user) || is_user(who, l->runner->db_user);
}

/* Why it does not hold; NULL = it does. Whose it is comes first: of an approval that nobody signed nothing is told. */
static bool judge(const struct look *l, const struct approval *a, const char **ret_why, struct err *err)
{
    const struct approver *who = approver_named(l, a->approver);
    bool holds = false;
    *ret_why = NULL;
    if (who != NULL && !approval_holds(a, who->key, err, &holds))
        return false;
    if (who == NULL)
        *ret_why = "its approver is not among cutover.approvers";
    else if (!holds)
        *ret_why = "its signature is not by the approver's key: a key that is not allowed, or a changed row";
    else if (strcmp(a->plan, l->plan) != 0)
        *ret_why = "it is for another plan: look at `crossfade cutover plan` and approve again";
    else if (a->issued_us > l->now_us || a->expires_us - a->issued_us > l->valid_us)
        *ret_why = "it is valid for longer than cutover.approval_valid_s, or from later on";
    else if (a->expires_us <= l->now_us)
        *ret_why = "it has expired";
    else if (a->kind == APPROVAL_SECOND_PERSON && is_own(l, a, who))
        *ret_why = "it is the own approval of the user that runs the cutover";
    return true;
}

static void keep(struct candidates *c, const struct approval *a)
{
    for (size_t i = 0; i < MIN_OF(c->count, (size_t)CANDIDATES); i++) {
        if (strcmp(c->of[i].nonce, a->nonce) == 0)
            return; /* the same once more */
    }
    struct candidate *next = &c->of[c->count++ % CANDIDATES];
    *next = (struct candidate){0};
    (void)snprintf(next->by, sizeof next->by, "%s", a->approver);
    (void)snprintf(next->nonce, sizeof next->nonce, "%s", a->nonce);
}

static bool take_given(void *ctx, const struct audit_row *row, struct err *err)
{
    struct look *l = ctx;
    struct approval a;
    const char *why = NULL;
    if (!approval_parse(row, &a))
        return true;
    if (!judge(l, &a, &why, err))
        return false;
    if (why == NULL)
        keep(&l->candidates[a.kind], &a);
    else
        (void)snprintf(l->all->of[a.kind].why, sizeof l->all->of[a.kind].why,
                       "%.60s's of seq %" PRId64 ": %s", a.approver, row->seq, why);
    return true;
}

static void spend(struct look *l, const char *nonce, const char *why)
{
    for (int kind = 0; kind < APPROVAL_KINDS; kind++) {
        struct candidates *c = &l->candidates[kind];
        for (size_t i = 0; i < MIN_OF(c->count, (size_t)CANDIDATES); i++) {
            if (strcmp(c->of[i].nonce, nonce) == 0)
                (void)snprintf(c->of[i].spent, sizeof c->of[i].spent, "%s", why);
        }
    }
}

static bool take_spent(void *ctx, const struct audit_row *row, struct err *err)
{
    bool used = strcmp(row->event, APPROVAL_USED) == 0;
    if (!used && strcmp(row->event, APPROVAL_REVOKED) != 0)
        return true;
    (void)err;
    json_t *j = json_loads(row->detail, 0, NULL), *nonce;
    char why[100];
    size_t i;
    (void)snprintf(why, sizeof why, "%s%.40s", used ? "it was used by cutover " : "it was taken back",
                   row->cutover_id);
    json_array_foreach(json_object_get(j, "nonces"), i, nonce)
    {
        if (json_is_string(nonce))
            spend(ctx, json_string_value(nonce), why);
    }
    json_decref(j);
    return true;
}

/* The newest that is not spent; as long as there is none, why the newest is not. */
static void choose(const struct candidates *c, struct approval_state *state)
{
    size_t oldest = c->count > CANDIDATES ? c->count - CANDIDATES : 0;
    for (size_t n = oldest; n < c->count; n++) {
        const struct candidate *one = &c->of[n % CANDIDATES];
        if (one->spent[0] != '\0') {
            (void)snprintf(state->why, sizeof state->why, "%.60s's: %s", one->by, one->spent);
            continue;
        }
        state->met = true;
        (void)snprintf(state->by, sizeof state->by, "%s", one->by);
        (void)snprintf(state->nonce, sizeof state->nonce, "%s", one->nonce);
    }
}

bool approvals_look(const struct config *cfg, struct audit *audit, const char *plan,
                    const struct approval_runner *runner, struct approvals *ret, struct err *err)
{
    struct look l = {.cfg = cfg,
                     .plan = plan,
                     .runner = runner,
                     .valid_us = config_int(cfg, "cutover.approval_valid_s") * 1000000,
                     .all = ret,
                     .candidates = xcalloc(APPROVAL_KINDS, sizeof *l.candidates)};
    const char *pipeline = config_text(cfg, "pipeline");
    struct audit_filter given = {.pipeline = pipeline, .event = APPROVAL_GIVEN};
    struct audit_filter spent = {.pipeline = pipeline, .event = "approval.%"};
    *ret = (struct approvals){0};
    for (int kind = APPROVAL_CONFIRM + 1; kind < APPROVAL_KINDS; kind++) {
        ret->of[kind].wanted = approval_is_wanted(cfg, (enum approval_kind)kind);
        (void)snprintf(ret->of[kind].why, sizeof ret->of[kind].why, "none was given");
    }
    bool ok = approvers_read(cfg, &l.approvers, &l.approver_count, err) && audit_now(audit, &l.now_us, err) &&
              audit_read(audit, &given, take_given, &l, err) &&
              audit_read(audit, &spent, take_spent, &l, err);
    for (int kind = 0; kind < APPROVAL_KINDS; kind++)
        choose(&l.candidates[kind], &ret->of[kind]);
    approvers_free(l.approvers, l.approver_count);
    free(l.candidates);
    return ok;
}

size_t approvals_missing(const struct approvals *all, struct strbuf *out)
{
    size_t count = 0;
    for (int kind = 0; kind < APPROVAL_KINDS; kind++) {
        const struct approval_state *state = &all->of[kind];
        if (!state->wanted || state->met)
            continue;
        strbuf_addf(out, "%s%s (%s)", count > 0 ? "; " : "", approval_kind_name((enum approval_kind)kind),
                    state->why);
        count++;
    }
    return count;
}

json_t *approvals_used(const struct approvals *all)
{
    json_t *nonces = NULL;
    for (int kind = 0; kind < APPROVAL_KINDS; kind++) {
        const struct approval_state *state = &all->of[kind];
        if (!state->wanted || !state->met)
            continue;
        nonces = nonces != NULL ? nonces : json_array();
        json_array_append_new(nonces, json_string(state->nonce));
    }
    return nonces;
}
