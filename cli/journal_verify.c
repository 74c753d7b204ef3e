/* crossfade journal verify: what the walk finds, as lines or JSON, with progress on a terminal. Exit code 0: good. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "inspect/verify.h"
#include "journal_look.h"
#include "terminal.h"

#define FINDINGS_SHOWN 100
#define MEMORY_MB      64
#define TEXT_MAX       ((size_t)1 << 20)

struct verifying {
    const struct look *look;
    bool json, progress;
    int64_t shown_left;
    int64_t start_us;
    bool line_open; /* a progress line stands on the terminal */
};

static void end_line(struct verifying *vf)
{
    if (vf->line_open)
        (void)fputs("\r\033[K", stderr);
    vf->line_open = false;
}

static void print_json(json_t *owned)
{
    char *text = json_dumps(owned, JSON_COMPACT);
    (void)puts(text != NULL ? text : "{}");
    free(text);
    json_decref(owned);
}

static void print_finding(void *ctx, const struct verify_finding *f)
{
    struct verifying *vf = ctx;
    char lsn[LSN_TEXT_MAX];
    if (vf->shown_left == 0)
        return;
    vf->shown_left--;
    end_line(vf);
    (void)lsn_format(f->lsn, lsn);
    if (vf->json) {
        print_json(json_pack("{s:s, s:s, s:i, s:I, s:o, s:o, s:s}", "finding", verify_kind_name(f->kind),
                             "topic", f->stream, "partition", (int)f->partition, "offset",
                             (json_int_t)f->offset, "lsn", f->lsn != 0 ? json_string(lsn) : json_null(),
                             "fence", f->fence_id != 0 ? json_integer((json_int_t)f->fence_id) : json_null(),
                             "text", f->text));
        return;
    }
    (void)printf("%-16s topic=%s partition=%d offset=%llu lsn=%s", verify_kind_name(f->kind), f->stream,
                 (int)f->partition, (unsigned long long)f->offset, f->lsn != 0 ? lsn : "-");
    if (f->fence_id != 0)
        (void)printf(" fence=%llu", (unsigned long long)f->fence_id);
    (void)printf(": %s\n", f->text);
}

static bool ask_applied(void *ctx, uint64_t *ret_fence_id)
{
    const struct verifying *vf = ctx;
    struct applied applied;
    struct err newer = ERR_INIT; /* the walk is of the journal alone, whatever the target is */
    bool ok = look_applied(vf->look, &applied, &newer);
    *ret_fence_id = applied.fence_id;
    return ok && applied.known;
}

static bool show_progress(void *ctx, const struct verify_progress *p)
{
    struct verifying *vf = ctx;
    struct strbuf line = STRBUF_INIT(500);
    double passed_s = (double)(clock_mono_us() - vf->start_us) / 1e6;
    double share = p->total > 0 ? (double)p->done / (double)p->total : 1;
    strbuf_addf(&line, "%3.0f %%  ", share * 100);
    human_count(&line, (double)p->done);
    strbuf_adds(&line, " of ");
    human_count(&line, (double)p->total);
    strbuf_adds(&line, " offsets");
    if (share > 0.01) {
        strbuf_adds(&line, ", ");
        human_seconds(&line, passed_s / share - passed_s);
        strbuf_adds(&line, " left");
    }
    (void)fprintf(stderr, "\r\033[K%s", line.data);
    (void)fflush(stderr);
    vf->line_open = true;
    strbuf_release(&line);
    return true;
}

static json_t *counts_json(const struct verify_totals *t)
{
    json_t *counts = json_object();
    for (int kind = 0; kind < VERIFY_KIND_COUNT_; kind++) {
        if (t->by_kind[kind] > 0)
            json_object_set_new(counts, verify_kind_name((enum verify_kind)kind),
                                json_integer((json_int_t)t->by_kind[kind]));
    }
    return counts;
}

static void print_totals_json(const struct verify_totals *t, double seconds)
{
    char first[LSN_TEXT_MAX], last[LSN_TEXT_MAX];
    json_t *totals = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:I, s:I, s:s, s:s, s:f}", "fences",
        (json_int_t)t->fences, "streams", (json_int_t)t->streams, "partitions", (json_int_t)t->partitions,
        "records", (json_int_t)t->records, "changes", (json_int_t)t->changes, "copied", (json_int_t)t->copied,
        "tombstones", (json_int_t)t->tombstones, "transactions", (json_int_t)t->transactions,
        "expired_fences", (json_int_t)t->expired_fences, "unchecked_transactions",
        (json_int_t)t->unchecked_transactions, "copied_keys", (json_int_t)t->copied_keys, "copied_share",
        (int)t->copied_share, "stray_records", (json_int_t)t->stray_records, "stray_fences",
        (json_int_t)t->stray_fences, "first_lsn", lsn_format(t->first_lsn, first), "last_lsn",
        lsn_format(t->last_lsn, last), "seconds", seconds);
    print_json(json_pack("{s:s, s:o, s:o}", "verdict", t->findings == 0 ? "good" : "findings", "totals",
                         totals, "findings", counts_json(t)));
}

static void add_count(struct strbuf *out, uint64_t n, const char *what)
{
    human_count(out, (double)n);
    strbuf_adds(out, what);
}

/* What the verdict does not cover, if anything. */
static void add_limits(struct strbuf *out, const struct verify_totals *t)
{
    if (t->expired_fences > 0)
        add_count(out, t->expired_fences,
                  " fences stand for records that are no longer kept: not counted against them\n");
    if (t->unchecked_transactions > 0)
        add_count(out, t->unchecked_transactions,
                  " changes belong to transactions whose ordinals were not looked at\n");
    if (t->stray_records > 0)
        add_count(out, t->stray_records,
                  " records are under no fence of their writer (journal.delivery: idempotent): apply passes "
                  "over them, other "
                  "readers see them\n");
    if (t->stray_fences > 0)
        add_count(out, t->stray_fences,
                  " fences came after another capture had taken over: no reader counts them\n");
    if (t->copied_share > 1)
        strbuf_addf(out, "copied rows: one key of %u was looked for twice (--memory raises the share)\n",
                    t->copied_share);
}

static void print_totals_text(const struct verify_totals *t, double seconds, uint64_t hidden)
{
    struct strbuf out = STRBUF_INIT(TEXT_MAX);
    char first[LSN_TEXT_MAX], last[LSN_TEXT_MAX];
    add_count(&out, t->records, " records in ");
    add_count(&out, t->partitions, " partitions of ");
    add_count(&out, t->streams, " streams: ");
    add_count(&out, t->changes, " changes of ");
    add_count(&out, t->transactions, " transactions, ");
    add_count(&out, t->copied, " copied rows, ");
    add_count(&out, t->tombstones, " tombstones\n");
    add_count(&out, t->fences, " fences from ");
    strbuf_addf(&out, "lsn=%s to lsn=%s, read in ", lsn_format(t->first_lsn, first),
                lsn_format(t->last_lsn, last));
    human_seconds(&out, seconds);
    strbuf_addc(&out, '\n');
    add_limits(&out, t);
    if (hidden > 0)
        add_count(&out, hidden, " further findings are not shown (--findings N)\n");
    for (int kind = 0; kind < VERIFY_KIND_COUNT_; kind++) {
        if (t->by_kind[kind] > 0)
            strbuf_addf(&out, "%-16s %llu\n", verify_kind_name((enum verify_kind)kind),
                        (unsigned long long)t->by_kind[kind]);
    }
    strbuf_adds(&out, t->findings == 0 ? "the journal is good\n" : "the journal is NOT good\n");
    (void)fputs(out.data, stdout);
    strbuf_release(&out);
}

int journal_run_verify(struct look *look)
{
    const struct cli *cli = look->cli;
    struct verifying vf = {.look = look, .json = cli_flag(cli, "json") != NULL, .start_us = clock_mono_us()};
    struct verify_totals totals = {0};
    struct err err = ERR_INIT;
    int64_t memory_mb;
    if (!cli_flag_int(cli, "findings", 0, INT64_MAX, FINDINGS_SHOWN, &vf.shown_left) ||
        !cli_flag_int(cli, "memory", 1, 1 << 20, MEMORY_MB, &memory_mb))
        return CLI_EXIT_USAGE;
    int64_t shown_max = vf.shown_left;
    vf.progress = isatty(STDERR_FILENO) == 1;
    const struct verify_options options = {.journal = &look->config,
                                           .format = config_text(cli->cfg, "journal.format"),
                                           .dense = strncmp(look->config.url, "lmdb:", 5) == 0,
                                           .memory_bytes = (size_t)memory_mb << 20,
                                           .ctx = &vf,
                                           .finding = print_finding,
                                           .applied = ask_applied,
                                           .progress = vf.progress ? show_progress : NULL};
    bool ok = verify_run(&options, &totals, &err);
    end_line(&vf);
    if (!ok)
        return cli_error(cli, &err);
    double seconds = (double)(clock_mono_us() - vf.start_us) / 1e6;
    uint64_t shown = (uint64_t)(shown_max - vf.shown_left);
    if (vf.json)
        print_totals_json(&totals, seconds);
    else
        print_totals_text(&totals, seconds, totals.findings - shown);
    return totals.findings == 0 ? CLI_EXIT_OK : CLI_EXIT_FAILED;
}
