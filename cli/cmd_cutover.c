/* crossfade cutover plan | run --execute | resume | abort | list | status | report | watch: gates and steps for people, or one JSON object. */
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "cutover/cutover.h"
#include "cutover_confirm.h"
#include "cutover_past.h"
#include "cutover_report.h"
#include "cutover_watch.h"
#include "print_json.h"
#include "terminal.h"

#define TEXT_BYTES_MAX ((size_t)1 << 20)

const struct cli_flag cutover_flags[] = {
    {"execute", NULL, "really do it; without this `run` only plans, and `watch` only raises alerts"},
    {"confirm", "NAME",
     "run --execute: the source's database, where cutover.approval asks for it; else it is asked at the "
     "terminal"},
    {"json", NULL,
     "one JSON object: outcome, gates, estimates, steps, pause_ms, verdict; list and status: what is "
     "recorded; watch: one object a line for each reading"},
    {"once", NULL, "watch: one reading, with all that follows from it"},
    {"report", "PLACE",
     "plan, run, resume, abort, report: write a report into this folder (PLACE/<id>/report.html and .json, "
     "PLACE/cutover-latest points to the newest), or as this file (….html, ….json)"},
    {NULL, NULL, NULL},
};

struct talker {
    int stop_fd;
    bool quiet;
    const char *confirmed; /* --confirm; NULL = not given */
};

static void say(void *ctx, const char *text)
{
    const struct talker *talker = ctx;
    if (!talker->quiet)
        fprintf(stderr, "%s\n", text);
}

static bool stop_asked(void *ctx)
{
    const struct talker *talker = ctx;
    struct pollfd fd = {.fd = talker->stop_fd, .events = POLLIN};
    return talker->stop_fd >= 0 && poll(&fd, 1, 0) > 0;
}

static bool confirm(void *ctx, const char *database)
{
    const struct talker *talker = ctx;
    return cutover_confirmed(talker->confirmed, database, talker->stop_fd);
}

static json_t *gates_json(const struct cutover_report *report)
{
    json_t *gates = json_array();
    for (size_t i = 0; i < report->gate_count; i++) {
        const struct gate_result *g = &report->gates[i];
        json_array_append_new(gates,
                              json_pack("{s:s, s:s, s:s, s:s, s:s, s:s?}", "name", g->name, "verdict",
                                        g->verdict == GATE_OK ? "ok" : "refused", "measured", g->measured,
                                        "limit", g->limit, "hint", g->hint, "statements", g->statements));
    }
    return gates;
}

static json_t *ms_or_null(int64_t ms)
{
    return ms < 0 ? json_null() : json_integer(ms);
}

static json_t *estimates_json(const struct cutover_report *report)
{
    json_t *estimates = json_array();
    for (size_t i = 0; i < report->estimate_count; i++) {
        const struct cutover_estimate *e = &report->estimates[i];
        json_array_append_new(estimates, json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:b, s:s}", "state",
                                                   e->state, "guard", e->guard, "action", e->action, "undo",
                                                   e->undo, "then", e->then, "ms", ms_or_null(e->ms),
                                                   "deadline_ms", ms_or_null(e->deadline_ms), "clients_wait",
                                                   e->in_pause, "basis", e->basis));
    }
    return estimates;
}

static json_t *report_json(const struct cutover_report *report, const struct err *err)
{
    json_t *steps = json_array();
    for (size_t i = 0; i < report->step_count; i++)
        json_array_append_new(steps, json_pack("{s:s, s:f}", "state", report->steps[i].state, "ms",
                                               (double)report->steps[i].took_us / 1000.0));
    return json_pack(
        "{s:s, s:I, s:s, s:s, s:s, s:o, s:o, s:o, s:I, s:o, s:f, s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:s}",
        "plan_hash", report->plan_hash, "audit_seq", (json_int_t)report->audit.seq, "audit_hash",
        report->audit.hash, "outcome", report->outcome, "id", report->id, "gates", gates_json(report),
        "estimates", estimates_json(report), "pause_estimate_ms",
        ms_or_null(report->estimate_count > 0 ? report->pause_estimate_ms : -1), "pause_budget_ms",
        (json_int_t)report->pause_budget_ms, "steps", steps, "pause_ms", (double)report->pause_us / 1000.0,
        "final_lsn", report->final_lsn, "verdict", report->verdict, "verdict_scope", report->verdict_scope,
        "sequences_set", (json_int_t)report->sequences_set, "sequences_kept",
        (json_int_t)report->sequences_kept, "prepared", report->prepared, "stragglers", report->stragglers,
        "reason", err_is_set(err) ? err->text : report->reason);
}

static void print_json(const struct cutover_report *report, const struct err *err, const char *file)
{
    json_t *json = report_json(report, err);
    json_object_set_new(json, "report_file", file != NULL ? json_string(file) : json_null());
    cli_print_json(json);
}

static void add_gates(const struct terminal *term, struct strbuf *out, const struct cutover_report *report)
{
    for (size_t i = 0; i < report->gate_count; i++) {
        const struct gate_result *g = &report->gates[i];
        bool ok = g->verdict == GATE_OK;
        strbuf_adds(out, "  ");
        bool warns = ok && *g->hint != '\0';
        terminal_paint(term, out,
                       warns ? COLOR_YELLOW
                       : ok  ? COLOR_GREEN
                             : COLOR_RED,
                       warns ? "warn   "
                       : ok  ? "ok     "
                             : "REFUSED");
        strbuf_addf(out, "  %-22s %s (%s)\n", g->name, g->measured, g->limit);
        if (*g->hint != '\0')
            terminal_wrap(term, out, 11, g->hint);
    }
}

static void add_outcome(const struct terminal *term, struct strbuf *out, const struct cutover_report *report)
{
    bool good = strcmp(report->outcome, "done") == 0 || strcmp(report->outcome, "planned") == 0;
    terminal_paint(term, out, good ? COLOR_GREEN : COLOR_RED, report->outcome);
    if (*report->id != '\0')
        strbuf_addf(out, "  cutover %s", report->id);
    if (report->pause_us > 0)
        strbuf_addf(out, ", writers were refused for %.0f ms", (double)report->pause_us / 1000.0);
    if (*report->verdict != '\0')
        strbuf_addf(out, ", final comparison %s (%s)", report->verdict, report->verdict_scope);
    strbuf_addc(out, '\n');
    if (*report->plan_hash != '\0')
        strbuf_addf(out, "  plan %s\n", report->plan_hash);
    if (report->audit.seq > 0)
        strbuf_addf(out, "  audit: seq %" PRId64 ", hash %s\n", report->audit.seq, report->audit.hash);
    terminal_wrap(term, out, 2, report->reason);
}

static void add_ms(struct strbuf *out, const char *before, int64_t ms, const char *unknown)
{
    if (ms < 0)
        strbuf_addf(out, "%s%s", before, unknown);
    else
        strbuf_addf(out, "%s%" PRId64 " ms", before, ms);
}

static void add_estimates(struct strbuf *out, const struct cutover_report *report)
{
    for (size_t i = 0; i < report->estimate_count; i++) {
        const struct cutover_estimate *e = &report->estimates[i];
        strbuf_addf(out, "  %-10s", e->state);
        add_ms(out, " about ", e->ms, "?");
        add_ms(out, ", at most ", e->deadline_ms, "any time");
        strbuf_addf(out, "%s  (%s)\n", e->in_pause ? ", clients wait" : "", e->basis);
    }
    add_ms(out, "  clients wait: about ", report->pause_estimate_ms, "?");
    strbuf_addf(out, " of %" PRId64 " ms (cutover.pause_budget_ms)\n", report->pause_budget_ms);
}

static void print_text(const struct cutover_report *report, bool plan)
{
    struct terminal term;
    struct strbuf out = STRBUF_INIT(TEXT_BYTES_MAX);
    terminal_look(&term);
    if (report->gate_count > 0) {
        strbuf_adds(&out, "Gates\n");
        add_gates(&term, &out, report);
    }
    if (plan) {
        strbuf_adds(&out, "Steps\n");
        cutover_describe(&out);
    }
    if (plan && report->estimate_count > 0) {
        strbuf_adds(&out, "Estimates\n");
        add_estimates(&out, report);
    }
    add_outcome(&term, &out, report);
    terminal_write(&term, out.data);
    strbuf_release(&out);
}

typedef bool verb_fn(const struct config *cfg, const struct cutover_talk *talk, struct cutover_report *ret,
                     struct err *err);

static const struct {
    const char *name;
    verb_fn *run, *planned; /* planned: without --execute; NULL = it takes none */
} verbs[] = {{"plan", cutover_plan, cutover_plan},
             {"run", cutover_execute, cutover_plan},
             {"resume", cutover_resume, NULL},
             {"abort", cutover_abort, NULL}};

#define VERBS "say plan, run --execute, resume, abort, list, status [ID], report [ID] or watch"

/* What is done is done: a report that cannot be written is told, and changes no exit code. */
static char *tell_report(struct cli *cli, const struct cutover_report *report, const struct err *failed)
{
    struct err err = ERR_INIT;
    char *file = cutover_report_write(cli, report, failed, &err);
    if (err_is_set(&err))
        (void)cli_error(cli, &err);
    return file;
}

static int run_verb(struct cli *cli, verb_fn *fn)
{
    bool json = cli_flag(cli, "json") != NULL, plan = fn == cutover_plan;
    struct talker talker = {.stop_fd = cli->stop_fd, .quiet = json, .confirmed = cli_flag(cli, "confirm")};
    struct cutover_talk talk = {.ctx = &talker,
                                .say = say,
                                .stop_asked = stop_asked,
                                .stop_fd = cli->stop_fd,
                                .confirm = plan ? NULL : confirm};
    struct cutover_report report = {0};
    struct err err = ERR_INIT;
    bool ok = fn(cli->cfg, &talk, &report, &err);
    char *file = tell_report(cli, &report, &err);
    if (json)
        print_json(&report, &err, file);
    else if (ok)
        print_text(&report, plan);
    if (!json && file != NULL)
        printf("  report: %s\n", file);
    free(file);
    if (ok && plan && strcmp(cli_arg(cli, 0), "run") == 0 && strcmp(report.outcome, "planned") == 0 && !json)
        puts("Nothing was changed. Add --execute to do it.");
    cutover_report_release(&report);
    if (ok)
        return cutover_exit_code(&report);
    int code = cli_error(cli, &err);
    return *report.id != '\0' ? CUTOVER_EXIT_PERSON : code;
}

int cmd_cutover(struct cli *cli)
{
    const char *verb = cli_arg(cli, 0);
    bool execute = cli_flag(cli, "execute") != NULL, status = strcmp(verb, "status") == 0,
         report = strcmp(verb, "report") == 0;
    int refused = 0;
    if (cli->arg_count < 1 || cli->arg_count > (status || report ? 2 : 1))
        return cli_usage_error(cli, VERBS);
    if (!cutover_report_place_fits(cli, &refused))
        return refused;
    if (report)
        return cutover_report_verb(cli, cli->arg_count == 2 ? cli_arg(cli, 1) : NULL);
    if (strcmp(verb, "list") == 0)
        return cutover_past_list(cli);
    if (status)
        return cutover_past_status(cli, cli->arg_count == 2 ? cli_arg(cli, 1) : NULL);
    if (strcmp(verb, "watch") == 0 && strcmp(cli->command->name, "cutover") == 0)
        return cutover_watch_command(cli);
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        if (strcmp(verbs[i].name, verb) == 0)
            return run_verb(cli, execute || verbs[i].planned == NULL ? verbs[i].run : verbs[i].planned);
    }
    return cli_usage_error(cli, "no such verb: %s (" VERBS ")", verb);
}
