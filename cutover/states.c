/*
 * Owns the state table of a cutover: state × event → guard, action, undo, next. Everything else about its course follows from
 * these rows: walk.c takes them one by one, `plan` prints them, docs/CUTOVER.md draws them.
 *
 * A state names what is about to be done: it is recorded on the target first, then its guard is asked and its action taken, so
 * after a crash the same is done again; all actions are idempotent. Before the decision everything that goes wrong leads back
 * to the source; behind it there is no way but forward.
 */
#include "states.h"

#include <string.h>

#include "actions.h"
#include "core/utf8.h"
#include "poolers/actions.h"

/* Whatever happens before the decision leads back. */
#define LEADS_BACK(s)                                                                                        \
    {.state = (s), .event = EV_FAILED, .next = CUT_ABORTING},                                                \
        {.state = (s), .event = EV_LATE, .next = CUT_ABORTING},                                              \
        {.state = (s), .event = EV_STOPPED, .next = CUT_ABORTING},                                           \
    {                                                                                                        \
        .state = (s), .event = EV_ABORTED, .next = CUT_ABORTING                                              \
    }

/* clang-format off */
static const struct cutover_rule table[] = {
    {.state = CUT_BEGINNING, .event = EV_GO,
     .action = "open the decision row on the source", .act = act_begin,
     .undo = "decision → aborted", .next = CUT_WAITING, .deadline = "cutover.step_timeout_ms"},
    LEADS_BACK(CUT_BEGINNING),

    {.state = CUT_WAITING, .event = EV_GO, .guard = "the decision is open", .holds = guard_open,
     .action = "wait as long as the postpone file exists, then ask the gates again", .act = act_wait,
     .undo = "nothing", .next = CUT_PREPARING},
    LEADS_BACK(CUT_WAITING),

    {.state = CUT_PREPARING, .event = EV_GO, .guard = "the decision is open", .holds = guard_open,
     .action = "refresh materialized views, ANALYZE, warm caches; then ask the gates again", .act = act_prepare,
     .undo = "nothing", .next = CUT_READING, .deadline = "cutover.prepare_timeout_s"},
    LEADS_BACK(CUT_PREPARING),

    {.state = CUT_READING, .event = EV_GO, .guard = "the decision is open", .holds = guard_open,
     .action = "hooks on_read_step: lead reads to the target in steps, measured", .act = act_read,
     .undo = "lead reads back", .next = CUT_ARMING},
    LEADS_BACK(CUT_READING),

    {.state = CUT_ARMING, .event = EV_GO, .guard = "the decision is open", .holds = guard_open,
     .action = "put up the triggers, letting everything pass", .act = act_arm,
     .undo = "drop them", .next = CUT_PAUSING, .deadline = "cutover.arm_timeout_ms"},
    LEADS_BACK(CUT_ARMING),

    {.state = CUT_PAUSING, .event = EV_GO, .guard = "the decision is open", .holds = guard_open,
     .action = "hooks on_freeze; pause the poolers, all or none", .act = act_pause,
     .undo = "resume the poolers", .next = CUT_FREEZING, .deadline = "cutover.step_timeout_ms", .in_pause = true},
    LEADS_BACK(CUT_PAUSING),

    {.state = CUT_FREEZING, .event = EV_GO, .guard = "the decision is open", .holds = guard_open,
     .action = "close the source to writers, verify that every table refuses", .act = act_freeze,
     .undo = "open the source again", .next = CUT_MARKING, .deadline = "cutover.freeze_timeout_ms", .in_pause = true},
    LEADS_BACK(CUT_FREEZING),

    {.state = CUT_MARKING, .event = EV_GO, .guard = "the decision is open", .holds = guard_open,
     .action = "write the final marker", .act = act_mark,
     .undo = "nothing", .next = CUT_DRAINING, .deadline = "cutover.step_timeout_ms", .in_pause = true},
    LEADS_BACK(CUT_MARKING),

    {.state = CUT_DRAINING, .event = EV_GO, .guard = "the decision is open", .holds = guard_open,
     .action = "wait until the target holds the final fence", .act = act_drain,
     .undo = "nothing", .next = CUT_SEQUENCING, .deadline = "cutover.drain_timeout_s", .in_pause = true},
    LEADS_BACK(CUT_DRAINING),

    {.state = CUT_SEQUENCING, .event = EV_GO, .guard = "the decision is open", .holds = guard_open,
     .action = "set the target's sequences", .act = act_sequences,
     .undo = "nothing (overwritten next time)", .next = CUT_VERIFYING, .deadline = "cutover.step_timeout_ms", .in_pause = true},
    LEADS_BACK(CUT_SEQUENCING),

    {.state = CUT_VERIFYING, .event = EV_GO, .guard = "the decision is open", .holds = guard_open,
     .action = "compare what changed since the last full PASS", .act = act_verify,
     .undo = "nothing", .next = CUT_DECIDING, .deadline = "cutover.pause_budget_ms", .in_pause = true},
    LEADS_BACK(CUT_VERIFYING),

    {.state = CUT_DECIDING, .event = EV_GO, .guard = "hooks on_verified; the poolers hold; nothing was committed behind the final fence; the way back stands", .holds = guard_nothing_late,
     .action = "decide: open → switched", .act = act_decide,
     .undo = "none: the point of no return", .next = CUT_SWITCHING, .deadline = "cutover.drain_timeout_s", .in_pause = true},
    LEADS_BACK(CUT_DECIDING),

    {.state = CUT_SWITCHING, .event = EV_GO, .guard = "the decision is switched", .holds = guard_switched,
     .action = "open the target if it was closed; switch and resume the poolers; hooks on_switch", .act = act_switch,
     .undo = "none", .next = CUT_FINISHING, .deadline = "cutover.step_timeout_ms", .in_pause = true},

    {.state = CUT_FINISHING, .event = EV_GO, .guard = "the decision is switched", .holds = guard_switched,
     .action = "refresh materialized views once more, if asked for", .act = act_finish,
     .undo = "none", .next = CUT_DONE, .deadline = "cutover.prepare_timeout_s"},

    {.state = CUT_ABORTING, .event = EV_GO, .guard = "the decision is not switched", .holds = guard_not_switched,
     .action = "decision → aborted, open the source again, resume the poolers", .act = act_abort,
     .undo = "none", .next = CUT_ABORTED, .deadline = "cutover.abort_timeout_ms"},
    {.state = CUT_ABORTING, .event = EV_SWITCHED, .next = CUT_SWITCHING},
};
/* clang-format on */

static const char *const state_names[CUT_MAX_] = {
    [CUT_UNKNOWN] = "unknown",     [CUT_BEGINNING] = "beginning",   [CUT_WAITING] = "waiting",
    [CUT_PREPARING] = "preparing", [CUT_READING] = "reading",       [CUT_ARMING] = "arming",
    [CUT_PAUSING] = "pausing",     [CUT_FREEZING] = "freezing",     [CUT_MARKING] = "marking",
    [CUT_DRAINING] = "draining",   [CUT_SEQUENCING] = "sequencing", [CUT_VERIFYING] = "verifying",
    [CUT_DECIDING] = "deciding",   [CUT_SWITCHING] = "switching",   [CUT_FINISHING] = "finishing",
    [CUT_DONE] = "done",           [CUT_ABORTING] = "aborting",     [CUT_ABORTED] = "aborted",
};

static const char *const event_names[EV_MAX_] = {
    [EV_UNKNOWN] = "unknown", [EV_GO] = "go",         [EV_FAILED] = "failed",    [EV_LATE] = "late",
    [EV_STOPPED] = "stopped", [EV_ABORTED] = "abort", [EV_SWITCHED] = "switched"};

const char *cutover_state_name(enum cutover_state state)
{
    return (unsigned)state < CUT_MAX_ ? state_names[state] : "unknown";
}

enum cutover_state cutover_state_parse(const char *name)
{
    for (int s = CUT_UNKNOWN + 1; s < CUT_MAX_; s++) {
        if (strcmp(state_names[s], name) == 0)
            return (enum cutover_state)s;
    }
    return CUT_UNKNOWN;
}

const char *cutover_event_name(enum cutover_event event)
{
    return (unsigned)event < EV_MAX_ ? event_names[event] : "unknown";
}

const struct cutover_rule *cutover_rule(enum cutover_state state, enum cutover_event event)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (table[i].state == state && table[i].event == event)
            return &table[i];
    }
    return NULL;
}

/* The events beside EV_GO that lead from this state to `to`, as "failed, late". */
static void add_events(struct strbuf *out, enum cutover_state state, enum cutover_state to)
{
    const char *divider = "";
    for (int e = EV_GO + 1; e < EV_MAX_; e++) {
        const struct cutover_rule *rule = cutover_rule(state, (enum cutover_event)e);
        if (rule != NULL && rule->next == to) {
            strbuf_addf(out, "%s%s", divider, event_names[e]);
            divider = ", ";
        }
    }
}

static bool leads_to(enum cutover_state state, enum cutover_state to)
{
    for (int e = EV_GO + 1; e < EV_MAX_; e++) {
        const struct cutover_rule *rule = cutover_rule(state, (enum cutover_event)e);
        if (rule != NULL && rule->next == to)
            return true;
    }
    return false;
}

/* printf counts bytes. */
static int columns(const char *text, int want)
{
    return want + (int)(strlen(text) - utf8_count(text));
}

void cutover_describe_state(struct strbuf *out, enum cutover_state state)
{
    const struct cutover_rule *rule = cutover_rule(state, EV_GO);
    bool on = false;
    if (rule == NULL)
        return;
    strbuf_addf(out, "  %-10s  %-*s  undo: %-*s  then %s", state_names[state], columns(rule->action, 66),
                rule->action, columns(rule->undo, 32), rule->undo, state_names[rule->next]);
    for (int to = CUT_UNKNOWN + 1; to < CUT_MAX_; to++) {
        if (!leads_to(state, (enum cutover_state)to))
            continue;
        strbuf_adds(out, "; ");
        add_events(out, state, (enum cutover_state)to);
        strbuf_addf(out, ": %s", state_names[to]);
        on = true;
    }
    strbuf_adds(out, on ? "\n" : "; else it stays (resume)\n");
}

void cutover_describe(struct strbuf *out)
{
    for (int s = CUT_UNKNOWN + 1; s < CUT_MAX_; s++)
        cutover_describe_state(out, (enum cutover_state)s);
}

void cutover_diagram(struct strbuf *out)
{
    strbuf_adds(out, "stateDiagram-v2\n    [*] --> beginning: the gates hold\n");
    for (int s = CUT_UNKNOWN + 1; s < CUT_MAX_; s++) {
        const struct cutover_rule *rule = cutover_rule((enum cutover_state)s, EV_GO);
        if (rule == NULL)
            continue;
        strbuf_addf(out, "    %s --> %s: %s\n", state_names[s], state_names[rule->next], rule->action);
        for (int to = CUT_UNKNOWN + 1; to < CUT_MAX_; to++) {
            if (!leads_to((enum cutover_state)s, (enum cutover_state)to))
                continue;
            strbuf_addf(out, "    %s --> %s: ", state_names[s], state_names[to]);
            add_events(out, (enum cutover_state)s, (enum cutover_state)to);
            strbuf_addc(out, '\n');
        }
    }
    strbuf_adds(out, "    done --> [*]\n    aborted --> [*]\n");
}

/* One row of the page's table; a bar would divide cells, none of the texts has one. */
static void add_row(struct strbuf *out, enum cutover_state state)
{
    const struct cutover_rule *rule = cutover_rule(state, EV_GO);
    strbuf_addf(out, "| `%s` | %s | %s | %s | `%s` |", state_names[state],
                rule->guard != NULL ? rule->guard : "–", rule->action, rule->undo, state_names[rule->next]);
    const char *divider = " ";
    for (int to = CUT_UNKNOWN + 1; to < CUT_MAX_; to++) {
        if (!leads_to(state, (enum cutover_state)to))
            continue;
        strbuf_adds(out, divider);
        add_events(out, state, (enum cutover_state)to);
        strbuf_addf(out, ": `%s`", state_names[to]);
        divider = "; ";
    }
    if (strcmp(divider, " ") == 0)
        strbuf_adds(out, " stays: resume");
    strbuf_addf(out, " | %s%s%s | %s |\n", rule->deadline != NULL ? "`" : "",
                rule->deadline != NULL ? rule->deadline : "none", rule->deadline != NULL ? "`" : "",
                rule->in_pause ? "yes" : "no");
}

void cutover_markdown(struct strbuf *out)
{
    strbuf_adds(
        out,
        "# The states of a cutover\n\n"
        "Made by `tools/docs` from the table in `cutover/states.c`; `crossfade cutover plan` prints the same "
        "table with "
        "estimates.\n\n"
        "A state is recorded on the target before its guard is asked and its action is taken; after a crash "
        "the same is "
        "done again. `failed`: guard or action did not succeed. `late`: the deadline of the step has passed, "
        "or, where "
        "clients wait, the pause budget (`cutover.pause_budget_ms`). `crossfade rollback` takes the same "
        "states "
        "the other way round. `stopped`: SIGTERM or SIGINT. `abort`: "
        "`crossfade cutover abort`, from wherever. `switched`: the decision had been taken, only its answer "
        "was lost.\n\n"
        "```mermaid\n");
    cutover_diagram(out);
    strbuf_adds(out, "```\n\n"
                     "| state | guard | action | undo | then | else | deadline | clients wait |\n"
                     "|---|---|---|---|---|---|---|---|\n");
    for (int s = CUT_UNKNOWN + 1; s < CUT_MAX_; s++) {
        if (cutover_rule((enum cutover_state)s, EV_GO) != NULL)
            add_row(out, (enum cutover_state)s);
    }
}
