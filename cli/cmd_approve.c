/* crossfade approve KIND… --key FILE | list | revoke NONCE: approvals of a cutover, signed. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "core/clock.h"
#include "cutover/approval/approval.h"
#include "print_json.h"
#include "terminal.h"
#include "json/text.h"

#define VALID_MAX_S INT64_C(2592000)

const struct cli_flag approve_flags[] = {
    {"key", "FILE", "the private key to sign with: Ed25519, PEM, readable by its owner alone"},
    {"note", "TEXT",
     "what is approved: the ticket's number (needed for a ticket), the backup, the rehearsal (without it, "
     "what the audit log tells of the last one)"},
    {"valid", "S", "valid for so many seconds (default: cutover.approval_valid_s)"},
    {"plan", "HASH",
     "the plan that was looked at, as `crossfade cutover plan` prints it: refused if it is another by now"},
    {"json", NULL, "one JSON object"},
    {NULL, NULL, NULL},
};

static json_t *result_json(const struct approve_result *r)
{
    char expires[ISO_TIME_MAX];
    json_t *given = json_array();
    for (size_t i = 0; i < r->count; i++)
        json_array_append_new(given, json_pack("{s:s, s:s}", "kind", approval_kind_name(r->given[i].kind),
                                               "nonce", r->given[i].nonce));
    return json_pack("{s:s, s:s, s:s, s:o, s:I, s:s}", "plan_hash", r->plan, "approver", r->approver,
                     "expires", clock_iso(r->expires_us, expires), "given", given, "audit_seq",
                     (json_int_t)r->mark.seq, "audit_hash", r->mark.hash);
}

static void print_result(const struct approve_result *r)
{
    char expires[ISO_TIME_MAX];
    for (size_t i = 0; i < r->count; i++)
        printf("%s approved by %s, until %.19sZ, for plan %s (take it back: crossfade approve revoke %s)\n",
               approval_kind_name(r->given[i].kind), r->approver, clock_iso(r->expires_us, expires), r->plan,
               r->given[i].nonce);
    printf("audit: seq %" PRId64 ", hash %s\n", r->mark.seq, r->mark.hash);
}

static int give(struct cli *cli)
{
    struct err err = ERR_INIT;
    enum approval_kind kinds[APPROVAL_KINDS];
    struct approve_request req = {.key_file = cli_flag(cli, "key"),
                                  .note = cli_flag(cli, "note"),
                                  .plan = cli_flag(cli, "plan"),
                                  .kinds = kinds};
    struct approve_result result;
    for (size_t i = 0; i < cli->arg_count; i++) {
        enum approval_kind kind = approval_kind_parse(cli->args[i]);
        if (kind == APPROVAL_KINDS || kind == APPROVAL_CONFIRM || req.kind_count == APPROVAL_KINDS)
            return cli_usage_error(
                cli, "found \"%s\", expected ticket, second_person, backup, rehearsal, list or revoke",
                cli->args[i]);
        kinds[req.kind_count++] = kind;
    }
    if (req.kind_count == 0 || req.key_file == NULL)
        return cli_usage_error(
            cli, "say what is approved (ticket, second_person, backup, rehearsal) and --key FILE");
    if (!cli_flag_int(cli, "valid", 1, VALID_MAX_S, 0, &req.valid_s))
        return CLI_EXIT_USAGE;
    if (!cutover_approve(cli->cfg, &req, &result, &err))
        return cli_error(cli, &err);
    if (cli_flag(cli, "json") != NULL)
        cli_print_json(result_json(&result));
    else
        print_result(&result);
    return CLI_EXIT_OK;
}

static void print_states(const char *plan, const struct approvals *all)
{
    printf("plan %s\n", plan);
    for (int kind = APPROVAL_CONFIRM + 1; kind < APPROVAL_KINDS; kind++) {
        const struct approval_state *s = &all->of[kind];
        printf("  %-14s %-10s %s%s\n", approval_kind_name((enum approval_kind)kind),
               s->met      ? "approved"
               : s->wanted ? "MISSING"
                           : "not asked",
               s->met ? "by " : "", s->met ? s->by : s->why);
    }
}

static json_t *states_json(const char *plan, const struct approvals *all)
{
    json_t *states = json_array();
    for (int kind = APPROVAL_CONFIRM + 1; kind < APPROVAL_KINDS; kind++) {
        const struct approval_state *s = &all->of[kind];
        json_array_append_new(states, json_pack("{s:s, s:b, s:b, s:o, s:o}", "kind",
                                                approval_kind_name((enum approval_kind)kind), "wanted",
                                                s->wanted, "met", s->met, "by", json_text_or_null(s->by),
                                                "why", s->met ? json_null() : json_text(s->why)));
    }
    return json_pack("{s:s, s:o}", "plan_hash", plan, "approvals", states);
}

static int list(struct cli *cli)
{
    struct err err = ERR_INIT;
    struct approvals all;
    struct strbuf missing = STRBUF_INIT(65536);
    char plan[SHA256_HEX];
    if (!cutover_approvals(cli->cfg, plan, &all, &err))
        return cli_error(cli, &err);
    if (cli_flag(cli, "json") != NULL)
        cli_print_json(states_json(plan, &all));
    else
        print_states(plan, &all);
    size_t count = approvals_missing(&all, &missing);
    strbuf_release(&missing);
    return count == 0 ? CLI_EXIT_OK : CLI_EXIT_FAILED;
}

static int revoke(struct cli *cli)
{
    struct err err = ERR_INIT;
    struct audit_mark mark;
    if (cli->arg_count != 2)
        return cli_usage_error(cli, "revoke: one nonce is expected, as `crossfade approve` printed it");
    if (!cutover_revoke(cli->cfg, cli->args[1], &mark, &err))
        return cli_error(cli, &err);
    printf("taken back\naudit: seq %" PRId64 ", hash %s\n", mark.seq, mark.hash);
    return CLI_EXIT_OK;
}

int cmd_approve(struct cli *cli)
{
    if (strcmp(cli_arg(cli, 0), "list") == 0 && cli->arg_count == 1)
        return list(cli);
    if (strcmp(cli_arg(cli, 0), "revoke") == 0)
        return revoke(cli);
    return give(cli);
}
