/* crossfade cleanup [--execute]: what a pipeline has left, for people or as one JSON object, and removing it. */
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup/cleanup.h"
#include "cli.h"
#include "core/alloc.h"
#include "cutover_confirm.h"
#include "print_json.h"
#include "terminal.h"
#include "json/text.h"

#define TEXT_BYTES_MAX ((size_t)64 << 20)

const struct cli_flag cleanup_flags[] = {
    {"execute", NULL, "really do it; without this it only tells"},
    {"journal", NULL,
     "the journal, too: topics and consumer group, or the folder; asks for the pipeline's name"},
    {"confirm", "NAME", "the pipeline's name, where it is asked for; else it is asked at the terminal"},
    {"discard-dead-letters", NULL, "also while changes are held that the target never got: they are lost"},
    {"open-source", NULL,
     "after a cutover: also the triggers that keep the old database closed to writers; asks for the "
     "pipeline's name"},
    {"without-source", NULL, "leave the source alone: it is gone, or cannot be reached"},
    {"json", NULL, "one JSON object: outcome, artefacts, confirm, audit_seq, audit_hash"},
    {NULL, NULL, NULL},
};

struct talker {
    struct cli *cli;
    bool quiet;
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
    struct pollfd fd = {.fd = talker->cli->stop_fd, .events = POLLIN};
    return talker->cli->stop_fd >= 0 && poll(&fd, 1, 0) > 0;
}

static bool confirm(void *ctx, const char *pipeline, const char *why)
{
    const struct talker *talker = ctx;
    char *question CLEANUP(free_ptr) = xasprintf("Pipeline \"%s\": %s.", pipeline, why);
    return name_confirmed(cli_flag(talker->cli, "confirm"), pipeline, question, talker->cli->stop_fd);
}

static json_t *number_or_null(int64_t n)
{
    return n < 0 ? json_null() : json_integer(n);
}

static json_t *item_json(const struct cleanup_item *item)
{
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:b}", "kind", item->kind, "side",
                     item->side, "name", json_text(item->name), "place", json_text_or_null(item->place),
                     "bytes", number_or_null(item->bytes), "rows", number_or_null(item->rows), "used_by",
                     json_text_or_null(item->used_by), "action", json_text_or_null(item->action), "fate",
                     cleanup_fate_name(item->fate), "why", json_text_or_null(item->why), "removed",
                     item->removed);
}

static void print_json(const struct cleanup_report *report, const struct err *err)
{
    json_t *items = json_array();
    for (size_t i = 0; i < report->count; i++)
        json_array_append_new(items, item_json(&report->items[i]));
    json_t *json = json_pack("{s:s, s:o, s:o, s:I, s:s, s:o}", "outcome", report->outcome, "artefacts", items,
                             "confirm", json_text_or_null(report->confirm_why), "audit_seq",
                             (json_int_t)report->audit.seq, "audit_hash", report->audit.hash, "error",
                             err_is_set(err) ? json_text(err->text) : json_null());
    cli_print_json(json);
}

static void add_size(struct strbuf *out, const struct cleanup_item *item)
{
    if (item->rows >= 0) {
        strbuf_adds(out, ", ");
        human_count(out, (double)item->rows);
        strbuf_adds(out, " rows");
    }
    if (item->bytes >= 0) {
        strbuf_adds(out, ", ");
        human_bytes(out, (double)item->bytes);
    }
}

static void add_item(const struct terminal *term, struct strbuf *out, const struct cleanup_item *item)
{
    enum color color = item->fate == CLEANUP_REFUSE  ? COLOR_RED
                       : item->fate == CLEANUP_LEAVE ? COLOR_YELLOW
                                                     : COLOR_GREEN;
    strbuf_adds(out, "  ");
    terminal_paint(term, out, color, item->removed ? "removed" : cleanup_fate_name(item->fate));
    strbuf_addf(out, "  %s: %s", item->kind, item->name);
    add_size(out, item);
    if (*item->used_by != '\0')
        strbuf_addf(out, ", in use by %s", item->used_by);
    strbuf_addc(out, '\n');
    if (item->fate == CLEANUP_REMOVE)
        strbuf_addf(out, "           %s\n", item->action);
    else
        strbuf_addf(out, "           %s\n", item->why);
}

static void add_side(const struct terminal *term, struct strbuf *out, const struct cleanup_report *report,
                     const char *side)
{
    bool headed = false;
    for (size_t i = 0; i < report->count; i++) {
        const struct cleanup_item *item = &report->items[i];
        if (strcmp(item->side, side) != 0)
            continue;
        if (!headed)
            strbuf_addf(out, "%s%s%s\n", side, *item->place != '\0' ? ": " : "", item->place);
        headed = true;
        add_item(term, out, item);
    }
}

static void print_text(const struct cleanup_report *report)
{
    static const char *const sides[] = {"source", "standby", "target", "journal"};
    struct terminal term;
    struct strbuf out = STRBUF_INIT(TEXT_BYTES_MAX);
    terminal_look(&term);
    for (size_t i = 0; i < ARRAY_LEN(sides); i++)
        add_side(&term, &out, report, sides[i]);
    if (*report->confirm_why != '\0')
        strbuf_addf(&out, "To be confirmed with the pipeline's name: %s.\n", report->confirm_why);
    terminal_paint(&term, &out, cleanup_exit_code(report) == 0 ? COLOR_GREEN : COLOR_RED, report->outcome);
    strbuf_addc(&out, '\n');
    if (report->audit.seq > 0)
        strbuf_addf(&out, "audit: seq %" PRId64 ", hash %s\n", report->audit.seq, report->audit.hash);
    terminal_write(&term, out.data);
    strbuf_release(&out);
}

int cmd_cleanup(struct cli *cli)
{
    bool json = cli_flag(cli, "json") != NULL;
    const struct cleanup_request request = {.execute = cli_flag(cli, "execute") != NULL,
                                            .journal = cli_flag(cli, "journal") != NULL,
                                            .discard_letters = cli_flag(cli, "discard-dead-letters") != NULL,
                                            .open_source = cli_flag(cli, "open-source") != NULL,
                                            .without_source = cli_flag(cli, "without-source") != NULL};
    struct talker talker = {.cli = cli, .quiet = json};
    const struct cleanup_talk talk = {
        .ctx = &talker, .say = say, .stop_asked = stop_asked, .confirm = confirm};
    struct cleanup_report report;
    struct err err = ERR_INIT;
    if (cli->arg_count > 0)
        return cli_usage_error(cli, "unexpected argument \"%s\"", cli->args[0]);
    bool ok = cleanup_run(cli->cfg, &request, &talk, &report, &err);
    if (json)
        print_json(&report, &err);
    else if (ok)
        print_text(&report);
    if (ok && !json && !request.execute && strcmp(report.outcome, "planned") == 0)
        puts("Nothing was changed. Add --execute to do it.");
    int code = ok ? cleanup_exit_code(&report) : cli_error(cli, &err);
    cleanup_report_release(&report);
    return code;
}
