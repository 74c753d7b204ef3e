/* Owns: what approvals are to the gates of a cutover. */
#include "cutover/approval/gate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/strbuf.h"
#include "cutover/approval/approval.h"
#include "cutover/cutover_internal.h"
#include "cutover/from_maria/from_maria.h"

#define TEXT_MAX 8192

static void refuse(struct gate_result *gate, const char *text)
{
    (void)snprintf(gate->hint, sizeof gate->hint, "%.*s", (int)sizeof gate->hint - 1, text);
    gate->verdict = GATE_REFUSED;
}

static void tell_met(const struct approvals *all, const struct rehearsed *rehearsed, struct gate_result *gate)
{
    struct strbuf text = STRBUF_INIT(TEXT_MAX);
    for (int kind = 0; kind < APPROVAL_KINDS; kind++) {
        const struct approval_state *state = &all->of[kind];
        if (state->wanted && state->met)
            strbuf_addf(&text, "%s%s by %.60s", text.len > 0 ? ", " : "",
                        approval_kind_name((enum approval_kind)kind), state->by);
    }
    if (text.len == 0)
        strbuf_adds(&text, "none");
    if (all->of[APPROVAL_REHEARSAL].wanted)
        strbuf_addf(&text, "; %s", rehearsed->seq > 0 ? rehearsed->text : "no rollback was rehearsed");
    (void)snprintf(gate->measured, sizeof gate->measured, "%.*s", (int)sizeof gate->measured - 1, text.data);
    strbuf_release(&text);
}

static void tell_missing(const struct approvals *all, struct gate_result *gate)
{
    struct strbuf text = STRBUF_INIT(TEXT_MAX);
    strbuf_adds(&text, "`crossfade approve`: ");
    if (approvals_missing(all, &text) > 0)
        refuse(gate, text.data);
    strbuf_release(&text);
}

void approvals_gate(struct cutover *co, struct gate_result *gate)
{
    struct err failed = ERR_INIT;
    struct approvals all;
    struct rehearsed rehearsed;
    (void)snprintf(gate->limit, sizeof gate->limit, "all of cutover.approval, plan %.12s",
                   co->report->plan_hash);
    struct audit *audit = trail_audit(co, &failed);
    const struct approval_runner runner = {.os_user = audit != NULL ? audit_os_user(audit) : "",
                                           .db_user = audit != NULL ? audit_db_user(audit) : ""};
    if (audit == NULL || !approvals_look(co->cfg, audit, co->report->plan_hash, &runner, &all, &failed) ||
        !rehearsed_last(audit, co->pipeline, &rehearsed, &failed)) {
        (void)snprintf(gate->measured, sizeof gate->measured, "not known");
        refuse(gate, failed.text);
        return;
    }
    tell_met(&all, &rehearsed, gate);
    tell_missing(&all, gate);
    json_decref(co->trail.nonces);
    co->trail.nonces = approvals_used(&all);
}

void confirm_gate(struct cutover *co, struct gate_result *gate)
{
    (void)snprintf(gate->limit, sizeof gate->limit, "the source's database, named");
    bool ok = co->talk->confirm(co->talk->ctx,
                                co->from_maria != NULL ? from_maria_database(co) : pg_database(co->source));
    (void)snprintf(gate->measured, sizeof gate->measured, "%s", ok ? "named" : "not named");
    if (!ok)
        refuse(gate, "type the name of the source's database when asked, or give it: --confirm NAME");
}
