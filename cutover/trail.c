/* Owns: the rows of a cutover in the audit chain. See trail.h. */
#include "cutover/trail.h"

#include <stdio.h>

#include "core/alloc.h"
#include "core/failpoint.h"
#include "cutover/cutover_internal.h"
#include "json/text.h"

struct audit *trail_audit(struct cutover *co, struct err *err)
{
    struct trail *t = &co->trail;
    if (t->audit != NULL)
        return t->audit;
    return co->store->audit(co, &t->audit, err) ? t->audit : NULL;
}

void trail_forget(struct cutover *co)
{
    audit_close(co->trail.audit);
    co->trail.audit = NULL;
}

void trail_settled(struct cutover *co)
{
    if (co->trail.audit != NULL)
        audit_settled(co->trail.audit);
}

static bool append(struct cutover *co, const char *event, json_t *detail, struct err *err)
{
    struct audit *audit = trail_audit(co, err);
    if (audit == NULL) {
        json_decref(detail);
        return false;
    }
    return audit_append(audit, co->id, event, detail, &co->trail.mark, err);
}

static json_t *gates_json(const struct cutover_report *report)
{
    json_t *gates = json_array();
    for (size_t i = 0; i < report->gate_count; i++) {
        const struct gate_result *g = &report->gates[i];
        json_t *j = json_object();
        json_object_set_new(j, "name", json_text(g->name));
        json_object_set_new(j, "verdict", json_text(g->verdict == GATE_OK ? "ok" : "refused"));
        json_object_set_new(j, "measured", json_text(g->measured));
        json_object_set_new(j, "limit", json_text(g->limit));
        json_object_set_new(j, "hint", json_text_or_null(g->hint));
        json_array_append_new(gates, j);
    }
    return gates;
}

/* What is expected, for a look back at it. */
static json_t *estimates_json(const struct cutover_report *report)
{
    json_t *estimates = json_array();
    for (size_t i = 0; i < report->estimate_count; i++) {
        const struct cutover_estimate *e = &report->estimates[i];
        json_array_append_new(estimates,
                              json_pack("{s:s, s:I, s:I, s:b, s:o}", "state", e->state, "ms",
                                        (json_int_t)e->ms, "deadline_ms", (json_int_t)e->deadline_ms,
                                        "clients_wait", e->in_pause, "basis", json_text(e->basis)));
    }
    return estimates;
}

/* The last hash, as the source shall know it and a person may write it down. */
static void note_mark(struct cutover *co)
{
    struct err failed = ERR_INIT;
    const struct audit_mark *mark = &co->trail.mark;
    co->report->audit = *mark;
    if (co->source == NULL || pg_busy(co->source) || pg_in_transaction(co->source))
        return;
    if (!audit_anchor_put(co->source, co->pipeline, mark, &failed))
        cutover_say(co, "%s", failed.text);
}

bool trail_gates(struct cutover *co, bool all_ok, struct err *err)
{
    json_t *detail = json_object();
    json_object_set_new(detail, "outcome", json_text(all_ok ? "ok" : "refused"));
    json_object_set_new(detail, "plan", json_text(co->report->plan_hash));
    json_object_set_new(detail, "gates", gates_json(co->report));
    json_object_set_new(detail, "estimates", estimates_json(co->report));
    json_object_set_new(detail, "pause_estimate_ms", json_integer(co->report->pause_estimate_ms));
    json_object_set_new(detail, "pause_budget_ms", json_integer(co->report->pause_budget_ms));
    if (!append(co, "cutover.gates", detail, err))
        return false;
    note_mark(co);
    return true;
}

bool trail_begin(struct cutover *co, struct err *err)
{
    return trail_audit(co, err) != NULL && store_begin(co, err);
}

/* The first step takes the approvals that the gates have found: no other cutover may rest on them. */
static bool use_approvals(struct cutover *co, struct err *err)
{
    if (co->trail.nonces == NULL)
        return true;
    return append(co, "approval.used", json_pack("{s:O}", "nonces", co->trail.nonces), err);
}

static bool append_step(struct cutover *co, enum cutover_state state, struct err *err)
{
    const struct cutover_report *report = co->report;
    json_t *detail = json_object();
    json_object_set_new(detail, "state", json_text(cutover_state_name(state)));
    json_object_set_new(detail, "seq", json_integer(co->seq + 1));
    json_object_set_new(detail, "after", json_text(cutover_state_name(co->state)));
    if (report->step_count > 0)
        json_object_set_new(detail, "last_took_us",
                            json_integer(report->steps[report->step_count - 1].took_us));
    if (report->reason[0] != '\0')
        json_object_set_new(detail, "reason", json_text(report->reason));
    return append(co, "cutover.step", detail, err);
}

/* What the decision row on the source says by now. */
static bool append_decision(struct cutover *co, enum cutover_state state, struct err *err)
{
    if (state != CUT_SWITCHING && state != CUT_ABORTED)
        return true;
    return append(co, "cutover.decision",
                  json_pack("{s:s}", "decision", state == CUT_SWITCHING ? "switched" : "aborted"), err);
}

/* The source is told where nobody waits for it. */
static void step_committed(struct cutover *co, enum cutover_state state)
{
    if (state == CUT_BEGINNING || state == CUT_DONE || state == CUT_ABORTED)
        note_mark(co);
}

bool trail_step(struct cutover *co, int state, struct err *err)
{
    if (!append_step(co, (enum cutover_state)state, err) ||
        (state == CUT_BEGINNING && !use_approvals(co, err)) ||
        !append_decision(co, (enum cutover_state)state, err) || !failpoint("cutover.audited", err) ||
        !store_commit(co, err) || !failpoint("cutover.recorded", err))
        return false;
    step_committed(co, (enum cutover_state)state);
    return true;
}

bool trail_hold(struct cutover *co, struct err *err)
{
    struct audit *audit = trail_audit(co, err);
    return audit != NULL && audit_hold(audit, err);
}

/* The chain's end may be another one's row than what an earlier try has computed. */
bool trail_step_there(struct cutover *co, int state, struct err *err)
{
    struct audit *audit = trail_audit(co, err);
    if (audit == NULL || !audit_last(audit, &co->trail.mark, err) || !store_rollback(co, err))
        return false;
    step_committed(co, (enum cutover_state)state);
    return true;
}

char *trail_who(struct cutover *co)
{
    const struct audit *audit = co->trail.audit;
    return audit != NULL ? xasprintf("%s@%s", audit_os_user(audit), audit_host(audit)) : xstrdup("");
}

bool trail_resumed(struct cutover *co, struct err *err)
{
    json_t *detail = json_pack("{s:s, s:i, s:I}", "state", cutover_state_name(co->state), "seq", co->seq,
                               "attempt", (json_int_t)co->attempt);
    if (co->takes_over)
        json_object_set_new(detail, "taken_over", json_true());
    return append(co, "cutover.resumed", detail, err) && store_commit(co, err);
}

bool trail_prepared(struct cutover *co, struct err *err)
{
    if (co->report->prepared[0] == '\0')
        return true;
    return append(co, "cutover.prepared", json_pack("{s:o}", "done", json_text(co->report->prepared)), err);
}

static void note_error(struct cutover *co, const struct err *why)
{
    struct err failed = ERR_INIT;
    if (!store_rollback(co, &failed)) {
        cutover_say(co, "not in the audit chain: %s", failed.text);
        return;
    }
    if (!append(co, "cutover.error", json_pack("{s:o}", "error", json_text(why->text)), &failed))
        cutover_say(co, "not in the audit chain: %s", failed.text);
    else
        note_mark(co);
}

void trail_close(struct cutover *co, const struct err *err)
{
    if (err != NULL && err_is_set(err) && co->trail.audit != NULL && co->id[0] != '\0')
        note_error(co, err);
    audit_close(co->trail.audit);
    json_decref(co->trail.nonces);
    co->trail = (struct trail){0};
}
