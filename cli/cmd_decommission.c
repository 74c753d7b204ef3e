/* crossfade decommission status | watch | tombstone: what is left of the old database after a cutover, and closing it. */
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "core/alloc.h"
#include "cutover_confirm.h"
#include "decommission/decommission.h"
#include "print_json.h"
#include "terminal.h"
#include "json/text.h"

#define TEXT_BYTES_MAX ((size_t)16 << 20)
#define EXIT_REFUSED   10

const struct cli_flag decommission_flags[] = {
    {"execute", NULL, "tombstone: really do it; without this it only tells"},
    {"undo", NULL, "tombstone: take it down again (with --execute)"},
    {"confirm", "NAME", "tombstone: the old database's name; else it is asked at the terminal"},
    {"interval", "S", "watch: look every so many seconds (default: 10)"},
    {"once", NULL, "watch: look once"},
    {"json", NULL, "one JSON object"},
    {NULL, NULL, NULL},
};

/* --- status --- */

static json_t *entry_json(const struct decom_entry *e)
{
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "kind", e->kind, "side", e->side,
                     "name", json_text(e->name), "address", json_text_or_null(e->address), "application",
                     json_text_or_null(e->application), "state", json_text_or_null(e->state), "at",
                     json_text_or_null(e->at), "detail", json_text_or_null(e->detail), "blocks", e->blocks);
}

static json_t *status_json(const struct decom_report *r)
{
    json_t *entries = json_array();
    for (size_t i = 0; i < r->count; i++)
        json_array_append_new(entries, entry_json(&r->entries[i]));
    json_t *tombstone = *r->method == '\0'
                            ? json_null()
                            : json_pack("{s:s, s:s, s:o, s:b}", "method", r->method, "at", r->tombstone_at,
                                        "message", json_text(r->message), "whole", r->tombstone_whole);
    return json_pack("{s:s, s:o, s:o, s:o, s:b, s:o, s:o, s:b, s:o}", "stage", r->stage, "database",
                     json_text(r->database), "cut_over_at", json_text_or_null(r->cut_over_at),
                     "read_only_until", json_text_or_null(r->read_only_until), "period_over", r->period_over,
                     "tombstone", tombstone, "found", entries, "may_switch_off", r->may_switch_off, "why_not",
                     json_text_or_null(r->why_not));
}

static void add_stage(const struct terminal *term, struct strbuf *out, const struct decom_report *r)
{
    static const char *const stages[] = {"serving", "readonly", "tombstone", "ready"};
    strbuf_addf(out, "database %s: ", r->database);
    for (size_t i = 0; i < ARRAY_LEN(stages); i++) {
        strbuf_adds(out, i > 0 ? " → " : "");
        terminal_paint(term, out, strcmp(stages[i], r->stage) == 0 ? COLOR_BOLD : COLOR_PLAIN, stages[i]);
        strbuf_adds(out, strcmp(stages[i], r->stage) == 0 ? " (now)" : "");
    }
    strbuf_addc(out, '\n');
    if (*r->cut_over_at != '\0')
        strbuf_addf(out, "cut over at %s; kept closed to writers until %s%s\n", r->cut_over_at,
                    r->read_only_until, r->period_over ? " (over)" : "");
    if (*r->method != '\0')
        strbuf_addf(out, "tombstone (%s) since %s%s: %s\n", r->method, r->tombstone_at,
                    r->tombstone_whole ? "" : ", half-way", r->message);
}

static void add_entry(const struct terminal *term, struct strbuf *out, const struct decom_entry *e)
{
    strbuf_adds(out, "  ");
    terminal_paint(term, out, e->blocks ? COLOR_RED : COLOR_PLAIN, e->blocks ? "BLOCKS" : "noted ");
    strbuf_addf(out, "  %s %s: %s", e->side, e->kind, e->name);
    if (*e->address != '\0')
        strbuf_addf(out, " from %s", e->address);
    if (*e->application != '\0')
        strbuf_addf(out, ", application %s", e->application);
    if (*e->state != '\0')
        strbuf_addf(out, ", %s", e->state);
    if (*e->at != '\0')
        strbuf_addf(out, ", last at %s", e->at);
    strbuf_addf(out, "%s%s\n", *e->detail != '\0' ? ", " : "", e->detail);
}

static int status(struct cli *cli)
{
    struct decom_report report;
    struct err err = ERR_INIT;
    struct terminal term;
    struct strbuf out = STRBUF_INIT(TEXT_BYTES_MAX);
    if (!decommission_status(cli->cfg, &report, &err)) {
        decom_report_release(&report);
        return cli_error(cli, &err);
    }
    terminal_look(&term);
    add_stage(&term, &out, &report);
    for (size_t i = 0; i < report.count; i++)
        add_entry(&term, &out, &report.entries[i]);
    strbuf_adds(&out, "may be switched off: ");
    terminal_paint(&term, &out, report.may_switch_off ? COLOR_GREEN : COLOR_RED,
                   report.may_switch_off ? "yes" : "no");
    strbuf_addf(&out, "%s%s\n", report.may_switch_off ? "" : ": ", report.why_not);
    if (cli_flag(cli, "json") != NULL)
        cli_print_json(status_json(&report));
    else
        terminal_write(&term, out.data);
    strbuf_release(&out);
    int code = report.may_switch_off ? CLI_EXIT_OK : CLI_EXIT_FAILED;
    decom_report_release(&report);
    return code;
}

/* --- watch --- */

static void sampled(void *ctx, int64_t sessions, int64_t known)
{
    (void)ctx;
    printf("%" PRId64 " sessions of others now, %" PRId64 " kinds of them seen so far\n", sessions, known);
    (void)fflush(stdout);
}

static int watch(struct cli *cli)
{
    struct err err = ERR_INIT;
    int64_t interval_s = 10;
    if (!cli_flag_int(cli, "interval", 1, 86400, 10, &interval_s))
        return CLI_EXIT_USAGE;
    const struct decom_watch request = {.interval_ms = interval_s * 1000,
                                        .once = cli_flag(cli, "once") != NULL,
                                        .stop_fd = cli->stop_fd,
                                        .sampled = sampled};
    return decommission_watch(cli->cfg, &request, &err) ? CLI_EXIT_OK : cli_error(cli, &err);
}

/* --- tombstone --- */

static bool confirm(void *ctx, const char *database)
{
    struct cli *cli = ctx;
    char *question CLEANUP(free_ptr) = xasprintf(
        cli_flag(cli, "undo") != NULL
            ? "This lets applications connect to the old database \"%s\" again."
            : "This ends the sessions of applications on the old database \"%s\" and refuses new ones.",
        database);
    return name_confirmed(cli_flag(cli, "confirm"), database, question, cli->stop_fd);
}

static json_t *tombstone_json(const struct tombstone_report *r)
{
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:I, s:s}", "outcome", r->outcome,
                     "database", json_text(r->database), "method", json_text_or_null(r->method), "method_why",
                     json_text_or_null(r->method_why), "message", json_text_or_null(r->message),
                     "clients_read", json_text_or_null(r->seen), "passes", json_text_or_null(r->passes),
                     "sessions", (json_int_t)r->sessions, "not_ended", json_text_or_null(r->not_ended),
                     "audit_seq", (json_int_t)r->audit.seq, "audit_hash", r->audit.hash);
}

static void print_tombstone(const struct tombstone_report *r, bool undo)
{
    if (*r->method != '\0')
        printf("database %s, by %s%s%s\n  message: %s\n  clients read: %s\n  let in: %s\n", r->database,
               r->method, *r->method_why != '\0' ? "; not by " : "", r->method_why, r->message, r->seen,
               r->passes);
    if (!undo && *r->method != '\0')
        printf("  sessions %s: %" PRId64 "\n", strcmp(r->outcome, "up") == 0 ? "ended" : "to be ended",
               r->sessions);
    if (*r->not_ended != '\0')
        printf("  could not be ended: %s\n", r->not_ended);
    printf("%s\n", r->outcome);
    if (r->audit.seq > 0)
        printf("audit: seq %" PRId64 ", hash %s\n", r->audit.seq, r->audit.hash);
    if (strcmp(r->outcome, "planned") == 0)
        puts("Nothing was changed. Add --execute to do it.");
    if (strcmp(r->outcome, "refused") == 0)
        printf("The database's name was not given: --confirm %s\n", r->database);
}

static int tombstone(struct cli *cli)
{
    struct tombstone_report report;
    struct err err = ERR_INIT;
    bool undo = cli_flag(cli, "undo") != NULL;
    const struct tombstone_request request = {
        .execute = cli_flag(cli, "execute") != NULL, .undo = undo, .ctx = cli, .confirm = confirm};
    if (!decommission_tombstone(cli->cfg, &request, &report, &err))
        return cli_error(cli, &err);
    if (cli_flag(cli, "json") != NULL)
        cli_print_json(tombstone_json(&report));
    else
        print_tombstone(&report, undo);
    if (strcmp(report.outcome, "refused") == 0)
        return EXIT_REFUSED;
    return *report.not_ended != '\0' ? CLI_EXIT_FAILED : CLI_EXIT_OK;
}

int cmd_decommission(struct cli *cli)
{
    static const struct {
        const char *name;
        int (*run)(struct cli *cli);
    } verbs[] = {{"status", status}, {"watch", watch}, {"tombstone", tombstone}};
    for (size_t i = 0; cli->arg_count == 1 && i < ARRAY_LEN(verbs); i++) {
        if (strcmp(verbs[i].name, cli_arg(cli, 0)) == 0)
            return verbs[i].run(cli);
    }
    return cli_usage_error(cli, "say status, watch or tombstone");
}
