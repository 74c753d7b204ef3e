/* crossfade compare repair: what it would do, or has done, as a table for people or as JSON. */
#include "compare_repair.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit_note.h"
#include "compare/repair/repair.h"
#include "compare_progress.h"
#include "core/alloc.h"
#include "terminal.h"
#include "json/text.h"

#define TEXT_BYTES     ((size_t)4 << 20)
#define ROUNDS_MAX     1000
#define AUDITED_TABLES 500

static uint64_t all_of(const uint64_t counts[DIFF_CHANGED + 1])
{
    return counts[DIFF_MISSING] + counts[DIFF_EXTRA] + counts[DIFF_CHANGED];
}

static void add_counts(struct strbuf *out, const uint64_t counts[DIFF_CHANGED + 1])
{
    strbuf_addf(out, "%" PRIu64 " missing, %" PRIu64 " changed, %" PRIu64 " extra", counts[DIFF_MISSING],
                counts[DIFF_CHANGED], counts[DIFF_EXTRA]);
}

static void add_table(const struct terminal *term, struct strbuf *out, const struct repair_request *req,
                      const struct repair_table *t)
{
    strbuf_addf(out, "  %s.%s: ", t->schema, t->table);
    add_counts(out, t->found);
    strbuf_adds(out, t->more ? ", and more that are not listed" : "");
    if (t->found[DIFF_EXTRA] > 0 && !req->delete_extra)
        strbuf_adds(out, " (extra rows stay: --delete-extra)");
    if (t->refused != NULL) {
        strbuf_adds(out, "\n    ");
        terminal_paint(term, out, COLOR_YELLOW, "not repaired");
        strbuf_addf(out, ": %s", t->refused);
    } else if (req->execute) {
        strbuf_adds(out, "\n    repaired: ");
        add_counts(out, t->repaired);
        if (t->left_alone > 0)
            strbuf_addf(out, "; %" PRIu64 " were equal by then", t->left_alone);
    }
    if (t->note != NULL)
        strbuf_addf(out, "\n    note: %s", t->note);
    strbuf_addc(out, '\n');
}

static void add_end(const struct terminal *term, struct strbuf *out, const struct repair_request *req,
                    const struct repair_result *r)
{
    enum compare_verdict last = r->after != VERDICT_UNKNOWN ? r->after : r->before;
    uint64_t rows = 0;
    for (size_t i = 0; i < r->table_count; i++)
        rows += all_of(r->tables[i].found);
    terminal_paint(term, out,
                   last == VERDICT_PASS   ? COLOR_GREEN
                   : last == VERDICT_FAIL ? COLOR_RED
                                          : COLOR_YELLOW,
                   compare_verdict_name(last));
    if (last == VERDICT_INCONCLUSIVE && r->reason[0] != '\0')
        strbuf_addf(out, "  %s", r->reason);
    else if (r->before == VERDICT_PASS)
        strbuf_adds(out, "  nothing to repair");
    else if (!req->execute)
        strbuf_addf(out, "  %" PRIu64 " rows of %zu tables differ; nothing was changed (--execute)", rows,
                    r->table_count);
    else
        strbuf_addf(out, "  after %" PRId64 " round%s, of the tables that differed", r->rounds,
                    r->rounds == 1 ? "" : "s");
    if (r->fence_id > 0)
        strbuf_addf(out, ", at fence %" PRIu64 " (" LSN_FMT ")", r->fence_id, LSN_ARGS(r->lsn));
    strbuf_addc(out, '\n');
}

static void print_text(const struct repair_request *req, const struct repair_result *r, FILE *to)
{
    struct terminal term;
    struct strbuf out = STRBUF_INIT(TEXT_BYTES);
    terminal_look(&term);
    for (size_t i = 0; i < r->table_count; i++)
        add_table(&term, &out, req, &r->tables[i]);
    add_end(&term, &out, req, r);
    if (to == stdout)
        terminal_write(&term, out.data);
    else
        fputs(out.data, to);
    strbuf_release(&out);
}

/* Where statements go to stdout, all else goes to stderr. */
static void print_result(const struct repair_request *req, const struct repair_result *r, bool json)
{
    FILE *to = req->file != NULL && strcmp(req->file, "-") == 0 ? stderr : stdout;
    if (!json) {
        print_text(req, r, to);
        return;
    }
    char *text = repair_json(req, r);
    fprintf(to, "%s\n", text);
    free(text);
}

static json_t *begin_json(const struct repair_request *req)
{
    json_t *j = json_pack("{s:s, s:b, s:I}", "way", req->way == REPAIR_JOURNAL ? "journal" : "sql",
                          "delete_extra", req->delete_extra, "rounds", (json_int_t)req->rounds);
    json_t *tables = json_array();
    for (size_t i = 0; i < req->table_count; i++)
        json_array_append_new(tables, json_text(req->tables[i]));
    json_object_set_new(j, "tables", tables);
    return j;
}

/* How many rows; never which. */
static json_t *end_json(const struct repair_result *r, bool ok, const struct err *why)
{
    json_t *j = json_pack("{s:s, s:s, s:I}", "before", compare_verdict_name(r->before), "after",
                          compare_verdict_name(r->after), "rounds", (json_int_t)r->rounds);
    json_t *tables = json_array();
    for (size_t i = 0; i < r->table_count && i < AUDITED_TABLES; i++)
        json_array_append_new(
            tables, json_pack("{s:o, s:o, s:I, s:I}", "schema", json_text(r->tables[i].schema), "table",
                              json_text(r->tables[i].table), "found", (json_int_t)all_of(r->tables[i].found),
                              "repaired", (json_int_t)all_of(r->tables[i].repaired)));
    json_object_set_new(j, "tables", tables);
    json_object_set_new(j, "table_count", json_integer((json_int_t)r->table_count));
    if (!ok)
        json_object_set_new(j, "error", json_text(why->text));
    return j;
}

/* It is done: that its end cannot be written down is only told. */
static void note_end(struct cli *cli, const struct repair_result *r, bool ok, const struct err *why,
                     bool quiet)
{
    struct err failed = ERR_INIT;
    if (!audit_note(cli, "repair.end", end_json(r, ok, why), quiet, &failed))
        (void)cli_error(cli, &failed);
}

int compare_repair_command(struct cli *cli)
{
    struct err err = ERR_INIT;
    struct repair_result result;
    struct compare_talker talker;
    bool journal = cli_flag(cli, "through-journal") != NULL;
    if (config_is_reversed(
            cli->cfg)) /* before a cutover rows that lag would be written over those that serve */
        return cli_usage_error(cli, "repair does not work at the way back");
    struct repair_request req = {.way = journal ? REPAIR_JOURNAL : REPAIR_SQL,
                                 .file = cli_flag(cli, "sql"),
                                 .execute = cli_flag(cli, "execute") != NULL,
                                 .delete_extra = cli_flag(cli, "delete-extra") != NULL,
                                 .stop_fd = cli->stop_fd,
                                 .progress = compare_talker_show,
                                 .progress_ctx = &talker};
    if (journal == (req.file != NULL))
        return cli_usage_error(cli, "repair: expected one of --sql FILE and --through-journal");
    if (!cli_flag_int(cli, "rounds", 1, ROUNDS_MAX, 1, &req.rounds))
        return CLI_EXIT_USAGE;
    compare_talker_init(&talker);
    const char **tables = compare_given(cli, "table", &req.table_count);
    req.tables = tables;
    bool json = cli_flag(cli, "json") != NULL;
    if (req.execute && !audit_note(cli, "repair.begin", begin_json(&req), json, &err)) {
        free(tables);
        compare_talker_clear(&talker);
        return cli_error(cli, &err) == CLI_EXIT_USAGE ? CLI_EXIT_USAGE : CLI_EXIT_NOT_RUN;
    }
    bool ok = compare_repair(cli->cfg, &req, &result, &err);
    free(tables);
    compare_talker_clear(&talker);
    if (req.execute)
        note_end(cli, &result, ok, &err, json);
    if (ok || result.table_count > 0)
        print_result(&req, &result, json);
    int code = repair_exit_code(&req, &result);
    repair_result_release(&result);
    if (ok)
        return code;
    return cli_error(cli, &err) == CLI_EXIT_USAGE ? CLI_EXIT_USAGE : CLI_EXIT_NOT_RUN;
}
