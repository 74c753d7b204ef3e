/* crossfade compare watch: the window of a parallel run; crossfade compare history: what it came to so far. */
#include "compare_watch.h"

#include <inttypes.h>
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

static bool print_json(const struct watch_history *h, struct err *err)
{
    char *text = NULL;
    if (!watch_history_json(h, &text, err))
        return false;
    fputs(text, stdout);
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
    const char *page = cli_flag(cli, "html");
    bool ok = page != NULL ? watch_history_page(cli->cfg, page, &err)
                           : watch_history_read(cli->cfg, (size_t)limit, &history, &err);
    if (ok && page != NULL)
        printf("written: %s\n", page);
    else if (ok && cli_flag(cli, "json") != NULL)
        ok = print_json(&history, &err);
    else if (ok)
        print_history(&history);
    watch_history_release(&history);
    return ok ? CLI_EXIT_OK : cli_error(cli, &err) == CLI_EXIT_USAGE ? CLI_EXIT_USAGE : CLI_EXIT_NOT_RUN;
}
