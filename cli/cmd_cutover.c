/* crossfade cutover plan | run --execute | abort: gates and steps for people, or one JSON object. */
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "cutover/cutover.h"
#include "cutover_confirm.h"
#include "terminal.h"

#define TEXT_BYTES_MAX ((size_t)1 << 20)

const struct cli_flag cutover_flags[] = {
    {"execute", NULL, "really do it; without this `run` only plans"},
    {"confirm", "NAME",
     "run --execute: the source's database, where cutover.approval asks for it; else it is asked at the "
     "terminal"},
    {"json", NULL, "one JSON object: outcome, gates, steps, pause_ms, verdict"},
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
        json_array_append_new(gates, json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", g->name, "verdict",
                                               g->verdict == GATE_OK ? "ok" : "refused", "measured",
                                               g->measured, "limit", g->limit, "hint", g->hint));
    }
    return gates;
}

static json_t *report_json(const struct cutover_report *report, const struct err *err)
{
    json_t *steps = json_array();
    for (size_t i = 0; i < report->step_count; i++)
        json_array_append_new(steps, json_pack("{s:s, s:f}", "state", report->steps[i].state, "ms",
                                               (double)report->steps[i].took_us / 1000.0));
    return json_pack("{s:s, s:I, s:s, s:s, s:s, s:o, s:o, s:f, s:s, s:s, s:s, s:I, s:s, s:s}", "plan_hash",
                     report->plan_hash, "audit_seq", (json_int_t)report->audit.seq, "audit_hash",
                     report->audit.hash, "outcome", report->outcome, "id", report->id, "gates",
                     gates_json(report), "steps", steps, "pause_ms", (double)report->pause_us / 1000.0,
                     "final_lsn", report->final_lsn, "verdict", report->verdict, "verdict_scope",
                     report->verdict_scope, "sequences_set", (json_int_t)report->sequences_set, "stragglers",
                     report->stragglers, "reason", err_is_set(err) ? err->text : report->reason);
}

static void print_json(const struct cutover_report *report, const struct err *err)
{
    json_t *json = report_json(report, err);
    char *text = json_dumps(json, JSON_INDENT(2));
    puts(text != NULL ? text : "{}");
    free(text);
    json_decref(json);
}

static void add_gates(const struct terminal *term, struct strbuf *out, const struct cutover_report *report)
{
    for (size_t i = 0; i < report->gate_count; i++) {
        const struct gate_result *g = &report->gates[i];
        bool ok = g->verdict == GATE_OK;
        strbuf_adds(out, "  ");
        terminal_paint(term, out, ok ? COLOR_GREEN : COLOR_RED, ok ? "ok     " : "REFUSED");
        strbuf_addf(out, "  %-22s %s (%s)\n", g->name, g->measured, g->limit);
        if (!ok)
            strbuf_addf(out, "           %s\n", g->hint);
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
    if (*report->reason != '\0')
        strbuf_addf(out, "  %s\n", report->reason);
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
    add_outcome(&term, &out, report);
    terminal_write(&term, out.data);
    strbuf_release(&out);
}

int cmd_cutover(struct cli *cli)
{
    const char *verb = cli_arg(cli, 0);
    bool json = cli_flag(cli, "json") != NULL, execute = cli_flag(cli, "execute") != NULL;
    struct talker talker = {.stop_fd = cli->stop_fd, .quiet = json, .confirmed = cli_flag(cli, "confirm")};
    struct cutover_talk talk = {.ctx = &talker, .say = say, .stop_asked = stop_asked};
    struct cutover_report report;
    struct err err = ERR_INIT;
    bool plan = strcmp(verb, "plan") == 0 || (strcmp(verb, "run") == 0 && !execute), ok;

    int refused = 0;
    if (cli_refuses_mariadb(cli, &refused))
        return refused;
    if (cli->arg_count != 1)
        return cli_usage_error(cli, "say plan, run --execute, or abort");
    talk.confirm = plan ? NULL : confirm;
    if (plan)
        ok = cutover_plan(cli->cfg, &talk, &report, &err);
    else if (strcmp(verb, "run") == 0)
        ok = cutover_execute(cli->cfg, &talk, &report, &err);
    else if (strcmp(verb, "abort") == 0)
        ok = cutover_abort(cli->cfg, &talk, &report, &err);
    else
        return cli_usage_error(cli, "no such verb: %s (say plan, run --execute, or abort)", verb);

    if (json)
        print_json(&report, &err);
    else if (ok)
        print_text(&report, plan);
    if (ok && strcmp(verb, "run") == 0 && !execute && strcmp(report.outcome, "planned") == 0 && !json)
        puts("Nothing was changed. Add --execute to do it.");
    if (ok)
        return cutover_exit_code(&report);
    int code = cli_error(cli, &err);
    return *report.id != '\0' ? CUTOVER_EXIT_PERSON : code;
}
