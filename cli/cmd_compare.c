/* crossfade compare: the command, and `run`: both sides at one fence; a table of verdicts for people, or the report as JSON. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "compare/compare.h"
#include "compare_progress.h"
#include "compare_repair.h"
#include "compare_selftest.h"
#include "compare_shadow.h"
#include "compare_watch.h"
#include "core/alloc.h"
#include "terminal.h"

#define TEXT_BYTES_MAX    ((size_t)4 << 20)
#define DIFFERENCES_SHOWN 10
#define OFFENDERS_SHOWN   3
#define SECOND_US         INT64_C(1000000)

const struct cli_flag compare_flags[] = {
    {"table", "PATTERN", "only tables that fit, as in source.tables; may be repeated"},
    {"changed", NULL, "read what the source changed since rows were last proven equal, and what never was"},
    {"resume", NULL, "the same, but build only on comparisons that were ended before they were done"},
    {"where", "SQL", "only rows of which this is true: one table's, with --table"},
    {"target-where", "SQL", "the same in the target's SQL, where it differs"},
    {"since", "TIME", "only rows from then on (\"2026-01-31 12:00:00\", UTC, or with a zone)"},
    {"until", "TIME", "only rows before"},
    {"time-column", "NAME", "by which --since and --until go, instead of compare.time_columns"},
    {"partition", "PATTERN",
     "only partitions of the source that fit, each with a result of its own; may be repeated"},
    {"at-once", NULL, "run: do not rest first for what earlier comparisons read on a busy source"},
    {"all-rows", NULL, "leave compare.where out"},
    {"json", NULL, "print the report as JSON"},
    {"level", "LEVEL", "counts, digests or full, instead of compare.level"},
    {"verbose", NULL, "list the tables and checks that are well, too"},
    {"report-dir", "FOLDER", "instead of compare.report_dir"},
    {"junit", "FILE", "run, shadow: also writes the result there as JUnit's XML"},
    {"html", "FILE", "history: writes the window there as a page"},
    {"live", NULL, "shadow: without a fence; differences are looked at again"},
    {"seed", "N", "shadow: repeat the order and the draws of another run"},
    {"once", NULL, "watch: each level runs once, now"},
    {"limit", "N", "history: so many runs (default: 20, at most 1000)"},
    {"sql", "FILE", "repair: write statements there that make the target's rows equal; - is stdout"},
    {"through-journal", NULL,
     "repair: have capture publish the source's rows once more, and apply heal them"},
    {"execute", NULL, "repair: carry it out; without it nothing is changed"},
    {"delete-extra", NULL, "repair: delete rows that the target alone has"},
    {"rounds", "N", "repair: compare and repair up to N times (default: 1)"},
    {NULL, NULL, NULL},
};

static enum color verdict_color(enum compare_verdict verdict)
{
    return verdict == VERDICT_PASS ? COLOR_GREEN : verdict == VERDICT_FAIL ? COLOR_RED : COLOR_YELLOW;
}

static void add_table(const struct terminal *term, struct strbuf *out, const struct compare_table *t)
{
    struct strbuf name = STRBUF_INIT(1024);
    strbuf_addf(&name, "%s.%s%s%s", t->schema, t->table, t->partition != NULL ? " " : "",
                t->partition != NULL ? t->partition : "");
    strbuf_adds(out, "  ");
    terminal_paint(term, out, verdict_color(t->verdict), compare_verdict_name(t->verdict));
    strbuf_addf(out, "%*s %-36s ", 12 - (int)strlen(compare_verdict_name(t->verdict)), "", name.data);
    human_count(out, (double)t->rows_source);
    if (t->rows_source != t->rows_target) {
        strbuf_adds(out, " / ");
        human_count(out, (double)t->rows_target);
    }
    strbuf_adds(out, " rows");
    if (t->reason[0] != '\0')
        strbuf_addf(out, ": %s", t->reason);
    strbuf_addc(out, '\n');
    strbuf_release(&name);
}

static void add_value(struct strbuf *out, const char *value)
{
    strbuf_adds(out, value != NULL ? value : "null");
}

static void add_difference(struct strbuf *out, const struct compare_difference *d)
{
    strbuf_addf(out, "      %-8s", compare_kind_name(d->kind));
    for (size_t i = 0; i < d->key_count; i++) {
        strbuf_addf(out, " %s=", d->keys[i].name);
        add_value(out, d->kind == DIFF_EXTRA ? d->keys[i].target : d->keys[i].source);
    }
    for (size_t i = 0; d->kind == DIFF_CHANGED && i < d->column_count; i++) {
        strbuf_addf(out, "%s %s: ", i > 0 ? "," : " :", d->columns[i].name);
        add_value(out, d->columns[i].source);
        strbuf_adds(out, " -> ");
        add_value(out, d->columns[i].target);
    }
    if (d->key_count == 0)
        strbuf_addf(out, " %" PRIu64 " copies on the source, %" PRIu64 " on the target", d->copies_source,
                    d->copies_target);
    strbuf_addc(out, '\n');
    if (d->cause.evidence != NULL)
        strbuf_addf(out, "               %s: %s\n", cause_kind_name(d->cause.kind), d->cause.evidence);
}

/* "      causes: rogue_writer 3, toast 1" */
static void add_causes(struct strbuf *out, const struct compare_table *t)
{
    const char *before = "      causes: ";
    for (enum cause_kind kind = CAUSE_UNKNOWN; kind < CAUSE_KIND_COUNT; kind++) {
        if (t->causes[kind] == 0)
            continue;
        strbuf_addf(out, "%s%s %zu", before, cause_kind_name(kind), t->causes[kind]);
        before = ", ";
    }
    if (before[0] == ',')
        strbuf_addc(out, '\n');
}

/* Equal tables are only counted unless all are wanted: what is left is what somebody must look at. */
static void add_tables(const struct terminal *term, struct strbuf *out, const struct compare_result *r,
                       bool all)
{
    for (size_t i = 0; i < r->table_count; i++) {
        const struct compare_table *t = &r->tables[i];
        if (!all && t->verdict == VERDICT_PASS && t->reason[0] == '\0')
            continue;
        add_table(term, out, t);
        add_causes(out, t);
        for (size_t d = 0; d < t->difference_count && d < DIFFERENCES_SHOWN; d++)
            add_difference(out, &t->differences[d]);
        if (t->difference_count > DIFFERENCES_SHOWN)
            strbuf_addf(out, "      … %zu more in the report\n", t->difference_count - DIFFERENCES_SHOWN);
    }
}

static enum color state_color(enum check_state state)
{
    return state == STATE_PASS ? COLOR_GREEN : state == STATE_FAIL ? COLOR_RED : COLOR_YELLOW;
}

static void add_offenders(struct strbuf *out, const struct compare_check *c, int side)
{
    for (size_t i = 0; i < c->offender_count[side] && i < OFFENDERS_SHOWN; i++) {
        const struct compare_difference *row = &c->offenders[side][i];
        strbuf_addf(out, "      %s", side == 0 ? "source:" : "target:");
        for (size_t k = 0; k < row->key_count; k++) {
            strbuf_addf(out, " %s=", row->keys[k].name);
            add_value(out, row->keys[k].source);
        }
        strbuf_addc(out, '\n');
    }
}

static void add_check(const struct terminal *term, struct strbuf *out, const struct compare_check *c)
{
    const char *state = check_state_name(c->state);
    strbuf_adds(out, "  ");
    terminal_paint(term, out, state_color(c->state), state);
    strbuf_addf(out, "%*s %s %s", 12 - (int)strlen(state), "", check_kind_name(c->kind), c->name);
    strbuf_addf(out, "%s%s\n", c->reason[0] != '\0' ? ": " : "", c->reason);
    for (size_t i = 0; i < c->difference_count && i < DIFFERENCES_SHOWN; i++)
        add_difference(out, &c->differences[i]);
    if (c->difference_total > DIFFERENCES_SHOWN)
        strbuf_addf(out, "      … %" PRIu64 " more\n", c->difference_total - DIFFERENCES_SHOWN);
    if (c->broken_target > 0)
        add_offenders(out, c, 1);
    else
        add_offenders(out, c, 0);
}

static void add_checks(const struct terminal *term, struct strbuf *out, const struct compare_result *r,
                       bool all)
{
    for (size_t i = 0; i < r->check_count; i++) {
        if (all || r->checks[i].state != STATE_PASS)
            add_check(term, out, &r->checks[i]);
    }
}

/* What a second or more was waited for; workers wait side by side. */
static void add_waits(struct strbuf *out, const struct compare_result *r)
{
    for (enum compare_wait wait = WAIT_NONE + 1; wait < WAIT_KINDS; wait++) {
        if (r->waited_us[wait] < SECOND_US)
            continue;
        strbuf_addf(out, "  waited for %s: ", compare_wait_name(wait));
        human_seconds(out, (double)r->waited_us[wait] / 1e6);
        strbuf_adds(out, " (workers together)\n");
    }
}

static void add_verdict(const struct terminal *term, struct strbuf *out, const struct compare_result *r)
{
    terminal_paint(term, out, verdict_color(r->verdict), compare_verdict_name(r->verdict));
    strbuf_addf(out, "  %zu of %zu tables %s, ", r->passed, r->table_count,
                r->level == LEVEL_COUNTS ? "of equal count" : "equal");
    if (r->check_count > 0)
        strbuf_addf(out, "%zu of %zu checks hold, ", r->checks_by_state[STATE_PASS], r->check_count);
    if (r->checks_by_state[STATE_FINDING] > 0)
        strbuf_addf(out, "%zu finding%s about the data, ", r->checks_by_state[STATE_FINDING],
                    r->checks_by_state[STATE_FINDING] == 1 ? "" : "s");
    human_count(out, (double)r->rows_source);
    strbuf_adds(out, " rows, ");
    human_seconds(out, (double)(r->finished_us - r->started_us) / 1e6);
    if (r->fence_id > 0)
        strbuf_addf(out, ", at fence %" PRIu64 " (" LSN_FMT ")", r->fence_id, LSN_ARGS(r->lsn));
    strbuf_addc(out, '\n');
    if (r->reason[0] != '\0')
        strbuf_addf(out, "  %s\n", r->reason);
    add_waits(out, r);
    if (r->report_file != NULL)
        strbuf_addf(out, "  report: %s\n", r->report_file);
}

static void print_result(const struct compare_result *r, bool all)
{
    struct terminal term;
    struct strbuf out = STRBUF_INIT(TEXT_BYTES_MAX);
    terminal_look(&term);
    add_tables(&term, &out, r, all);
    add_checks(&term, &out, r, all);
    add_verdict(&term, &out, r);
    terminal_write(&term, out.data);
    strbuf_release(&out);
}

/* NULL, or what does not go together. */
static const char *conflict(const struct cli *cli, const struct compare_request *req)
{
    bool time = req->since != NULL || req->until != NULL;
    bool some = req->where != NULL || time || cli_flag(cli, "partition") != NULL;
    if (cli_flag(cli, "changed") != NULL && cli_flag(cli, "resume") != NULL)
        return "--changed and --resume exclude each other";
    if (some && (cli_flag(cli, "changed") != NULL || cli_flag(cli, "resume") != NULL))
        return "--changed and --resume build on what was proven of all rows: not with --where, --since, "
               "--until or "
               "--partition";
    if (some && req->all_rows)
        return "--all-rows and a condition exclude each other";
    if (some && req->level == LEVEL_FULL)
        return "--level full makes checks of whole tables: not with --where, --since, --until or --partition";
    if (req->where != NULL && cli_flag(cli, "table") == NULL)
        return "--where is a condition of one table: name it with --table, or put conditions into "
               "compare.where";
    if (req->target_where != NULL && req->where == NULL)
        return "--target-where says --where for the target, and there is none";
    if (req->time_column != NULL && !time)
        return "--time-column goes with --since or --until";
    return NULL;
}

/* True if there is none, or it reads. */
static bool given_level(const struct cli *cli, enum compare_level *ret)
{
    const char *text = cli_flag(cli, "level");
    if (text != NULL)
        *ret = compare_level_named(text);
    return text == NULL || *ret != LEVEL_UNKNOWN;
}

static int compare_run_command(struct cli *cli)
{
    bool json = cli_flag(cli, "json") != NULL;
    struct compare_talker talker;
    compare_talker_init(&talker);
    struct compare_request req = {.report_dir = cli_flag(cli, "report-dir"),
                                  .stop_fd = cli->stop_fd,
                                  .where = cli_flag(cli, "where"),
                                  .target_where = cli_flag(cli, "target-where"),
                                  .since = cli_flag(cli, "since"),
                                  .until = cli_flag(cli, "until"),
                                  .time_column = cli_flag(cli, "time-column"),
                                  .all_rows = cli_flag(cli, "all-rows") != NULL,
                                  .at_once = cli_flag(cli, "at-once") != NULL,
                                  .progress = compare_talker_show,
                                  .progress_ctx = &talker};
    if (!given_level(cli, &req.level))
        return cli_usage_error(cli, "--level: found \"%s\", expected counts, digests or full",
                               cli_flag(cli, "level"));
    struct compare_result result;
    struct err err = ERR_INIT;
    if (conflict(cli, &req) != NULL)
        return cli_usage_error(cli, "%s", conflict(cli, &req));
    req.building = cli_flag(cli, "changed") != NULL  ? BUILD_CHANGED
                   : cli_flag(cli, "resume") != NULL ? BUILD_RESUME
                                                     : BUILD_NOTHING;
    const char **tables = compare_given(cli, "table", &req.table_count);
    const char **partitions = compare_given(cli, "partition", &req.partition_count);
    req.tables = tables;
    req.partitions = partitions;
    bool ok = compare_run(cli->cfg, &req, &result, &err);
    free(tables);
    free(partitions);
    compare_talker_clear(&talker);
    if (!ok) /* docs/COMPARE.md promises 2 and 4 here, whatever else the error would mean to a role */
        return cli_error(cli, &err) == CLI_EXIT_USAGE ? CLI_EXIT_USAGE : CLI_EXIT_NOT_RUN;
    if (json)
        fputs(result.json, stdout);
    else
        print_result(&result, cli_flag(cli, "verbose") != NULL);
    int code = compare_exit_code(result.verdict);
    if (cli_flag(cli, "junit") != NULL && !compare_write_junit(&result, cli_flag(cli, "junit"), &err))
        code = cli_error(cli, &err) == CLI_EXIT_USAGE ? CLI_EXIT_USAGE : CLI_EXIT_NOT_RUN;
    compare_result_release(&result);
    return code;
}

static const struct {
    const char *name;
    int (*run)(struct cli *cli);
} verbs[] = {
    {"run", compare_run_command},       {"shadow", compare_shadow},
    {"watch", compare_watch_command},   {"history", compare_history_command},
    {"selftest", cmd_compare_selftest}, {"repair", compare_repair_command},
};

int cmd_compare(struct cli *cli)
{
    for (size_t i = 0; cli->arg_count == 1 && i < ARRAY_LEN(verbs); i++) {
        if (strcmp(cli_arg(cli, 0), verbs[i].name) == 0)
            return verbs[i].run(cli);
    }
    return cli_usage_error(cli, "found \"%s\", expected run, repair, shadow, watch, history or selftest",
                           cli->arg_count > 0 ? cli->args[cli->arg_count - 1] : "nothing");
}
