/* crossfade compare watch: the window of a parallel run; crossfade compare history: what it came to so far. */
#include "compare_watch.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compare/watch.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"
#include "terminal.h"

#define HISTORY_SHOWN 20
#define HISTORY_MAX   1000
#define TEXT_BYTES    ((size_t)4 << 20)

int compare_watch_command(struct cli *cli)
{
    struct err err = ERR_INIT;
    enum compare_verdict verdict = VERDICT_UNKNOWN;
    cli_log_as_role(cli); /* it runs for days: its log is that of a role */
    log_event(LOG_LEVEL_INFO, "started", "version=%s pipeline=%s", CF_VERSION,
              config_text(cli->cfg, "pipeline"));
    if (!compare_watch(cli->cfg, cli_flag(cli, "once") != NULL, cli->stop_fd, &verdict, &err))
        return cli_error(cli, &err) == CLI_EXIT_USAGE ? CLI_EXIT_USAGE : CLI_EXIT_NOT_RUN;
    int code = compare_exit_code(verdict);
    log_event(LOG_LEVEL_INFO, "stopped", "verdict=%s exit_code=%d", compare_verdict_name(verdict), code);
    return code;
}

static enum color color_of(const char *verdict)
{
    return strcmp(verdict, "PASS") == 0   ? COLOR_GREEN
           : strcmp(verdict, "FAIL") == 0 ? COLOR_RED
                                          : COLOR_YELLOW;
}

static void add_age(struct strbuf *out, int64_t since_us)
{
    human_seconds(out, (double)MAX_OF(0, clock_wall_us() - since_us) / 1e6);
}

static void add_window(const struct terminal *term, struct strbuf *out, const struct watch_window *w)
{
    strbuf_addf(out, "%s, every ", w->level);
    human_seconds(out, (double)w->every_s);
    strbuf_adds(out, ": ");
    if (w->clean_since_us > 0) {
        terminal_paint(term, out, COLOR_GREEN, "clean");
        strbuf_adds(out, " for ");
        add_age(out, w->clean_since_us);
        strbuf_addf(out, " (%" PRIu64 " runs)", w->clean_runs);
    } else {
        terminal_paint(term, out, w->failed > 0 && !w->stale ? COLOR_RED : COLOR_YELLOW, "not clean");
        if (w->stale)
            strbuf_adds(out, ": nothing has passed for three intervals. Does `crossfade compare watch` run?");
    }
    if (w->passed_us > 0) {
        strbuf_adds(out, ", last PASS ");
        add_age(out, w->passed_us);
        strbuf_adds(out, " old");
    }
    strbuf_addf(out, "; kept: %" PRIu64 " PASS, %" PRIu64 " FAIL, %" PRIu64 " INCONCLUSIVE\n", w->passed,
                w->failed, w->inconclusive);
}

static void add_run(const struct terminal *term, struct strbuf *out, const struct watch_run *r)
{
    char at[ISO_TIME_MAX];
    clock_iso(r->started_us, at);
    at[19] = 'Z'; /* whole seconds are enough for a person */
    at[20] = '\0';
    strbuf_addf(out, "  %s  %-8s ", at, r->level);
    terminal_paint(term, out, color_of(r->verdict), r->verdict);
    strbuf_addf(out, "%*s ", 12 - (int)strlen(r->verdict), "");
    bool shadow = strcmp(r->level, "shadow") == 0;
    human_count(out, (double)(shadow ? r->tables : r->rows));
    strbuf_addf(out, " %s, %" PRIu64 " differences, ", shadow ? "queries" : "rows", r->differences);
    human_seconds(out, (double)(r->finished_us - r->started_us) / 1e6);
    if (r->timed)
        strbuf_addf(out, ", p95 %.1f -> %.1f ms", (double)r->p95_us[0] / 1000.0,
                    (double)r->p95_us[1] / 1000.0);
    if (r->reason != NULL)
        strbuf_addf(out, ": %s", r->reason);
    strbuf_addc(out, '\n');
}

static void print_history(const struct watch_history *h)
{
    struct terminal term;
    struct strbuf out = STRBUF_INIT(TEXT_BYTES);
    terminal_look(&term);
    if (h->window_count == 0)
        strbuf_adds(&out, "nothing yet: `crossfade compare watch` keeps its results here\n");
    for (size_t i = 0; i < h->window_count; i++)
        add_window(&term, &out, &h->windows[i]);
    for (size_t i = 0; i < h->run_count; i++)
        add_run(&term, &out, &h->runs[i]);
    terminal_write(&term, out.data);
    strbuf_release(&out);
}

static json_t *time_json(int64_t us)
{
    char at[ISO_TIME_MAX];
    return us > 0 ? json_string(clock_iso(us, at)) : json_null();
}

static json_t *window_json(const struct watch_window *w)
{
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:s, s:b}", "level", w->level,
                     "every_s", (json_int_t)w->every_s, "runs", (json_int_t)w->runs, "passed",
                     (json_int_t)w->passed, "failed", (json_int_t)w->failed, "inconclusive",
                     (json_int_t)w->inconclusive, "clean_runs", (json_int_t)w->clean_runs, "clean_since",
                     time_json(w->clean_since_us), "last_at", time_json(w->last_us), "passed_at",
                     time_json(w->passed_us), "last_verdict", w->last_verdict, "stale", w->stale);
}

/* null: no answers were timed. */
static json_t *p95_json(const struct watch_run *r)
{
    return r->timed ? json_pack("{s:f, s:f}", "source", (double)r->p95_us[0] / 1000.0, "target",
                                (double)r->p95_us[1] / 1000.0)
                    : json_null();
}

static json_t *run_json(const struct watch_run *r)
{
    return json_pack("{s:s, s:s, s:s?, s:o, s:o, s:I, s:I, s:I, s:I, s:b, s:o}", "level", r->level, "verdict",
                     r->verdict, "reason", r->reason, "started_at", time_json(r->started_us), "finished_at",
                     time_json(r->finished_us), "fence_id", (json_int_t)r->fence_id, "tables",
                     (json_int_t)r->tables, "rows", (json_int_t)r->rows, "differences",
                     (json_int_t)r->differences, "whole", r->full, "p95_ms", p95_json(r));
}

static bool print_json(const struct watch_history *h, struct err *err)
{
    json_t *windows = json_array(), *runs = json_array();
    for (size_t i = 0; i < h->window_count; i++)
        json_array_append_new(windows, window_json(&h->windows[i]));
    for (size_t i = 0; i < h->run_count; i++)
        json_array_append_new(runs, run_json(&h->runs[i]));
    json_t *all = json_pack("{s:o, s:o}", "windows", windows, "runs", runs);
    char *text = all != NULL ? json_dumps(all, JSON_INDENT(2)) : NULL;
    json_decref(all);
    if (text == NULL)
        return err_set(err, ERR_NO_MEMORY, "the history cannot be said in JSON");
    printf("%s\n", text);
    free(text);
    return true;
}

int compare_history_command(struct cli *cli)
{
    struct err err = ERR_INIT;
    struct watch_history history = {0};
    int64_t limit = HISTORY_SHOWN;
    if (!cli_flag_int(cli, "limit", 0, HISTORY_MAX, HISTORY_SHOWN, &limit))
        return CLI_EXIT_USAGE;
    bool ok = watch_history_read(cli->cfg, (size_t)limit, &history, &err);
    if (ok && cli_flag(cli, "json") != NULL)
        ok = print_json(&history, &err);
    else if (ok)
        print_history(&history);
    watch_history_release(&history);
    return ok ? CLI_EXIT_OK : cli_error(cli, &err) == CLI_EXIT_USAGE ? CLI_EXIT_USAGE : CLI_EXIT_NOT_RUN;
}
