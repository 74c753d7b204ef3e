/* Owns: the page of `crossfade compare history`: where the pipeline stands, without a comparison of its own. */
#include <stdlib.h>

#include "control.h"
#include "core/clock.h"
#include "core/html.h"
#include "report/page.h"
#include "report/report.h"

#define RUNS_LISTED 200

static void add_run(struct strbuf *out, const struct watch_run *run)
{
    strbuf_addf(out, "<tr class=\"%s\" data-verdict=\"%s\" data-name=\"", run->verdict, run->verdict);
    html_add_text(out, run->level);
    strbuf_addf(out, "\"><td><span class=\"chip\">%s</span></td><td class=\"name\">", run->verdict);
    html_add_text(out, run->level);
    if (run->reason != NULL) {
        strbuf_adds(out, "<span class=\"why\">");
        html_add_text(out, run->reason);
        strbuf_adds(out, "</span>");
    }
    strbuf_adds(out, "</td><td>");
    page_time(out, run->started_us);
    strbuf_adds(out, "</td><td class=\"num\">");
    page_count(out, run->rows);
    strbuf_adds(out, "</td><td class=\"num\">");
    page_count(out, run->differences);
    strbuf_adds(out, "</td><td class=\"num soft\">");
    page_duration(out, run->finished_us - run->started_us);
    strbuf_adds(out, "</td><td class=\"num soft\">");
    if (run->lag_us > 0)
        page_duration(out, run->lag_us);
    strbuf_adds(out, "</td></tr>\n");
}

static void add_runs(struct strbuf *out, const struct watch_history *h)
{
    if (h->run_count == 0)
        return;
    strbuf_adds(
        out,
        "<h2 id=\"runs\">Newest runs</h2>\n<div "
        "class=\"scroll\"><table><thead><tr><th>Verdict</th><th>Level</th>"
        "<th>Begun</th><th class=\"num\">Rows</th><th class=\"num\">Differ</th><th class=\"num\">Time</th>"
        "<th class=\"num\">Lag</th></tr></thead><tbody>\n");
    for (size_t i = 0; i < h->run_count && i < RUNS_LISTED; i++)
        add_run(out, &h->runs[i]);
    strbuf_adds(out, "</tbody></table></div>\n");
}

/* The worst of the levels: what is not clean is not proven. */
static const char *state_of(const struct standing *s)
{
    bool clean = s->history.window_count > 0, failed = false;
    for (size_t i = 0; i < s->history.window_count; i++) {
        clean = clean && s->history.windows[i].clean_since_us > 0;
        failed = failed || strcmp(s->history.windows[i].last_verdict, "FAIL") == 0;
    }
    return failed ? "FAIL" : clean ? "PASS" : "INCONCLUSIVE";
}

static void add_hero(struct strbuf *out, const struct standing *s, const char *pipeline, const char *server)
{
    const char *state = state_of(s);
    strbuf_addf(out, "<main>\n<header class=\"hero %s\">\n<h1>Crossfade window · ", state);
    html_add_text(out, pipeline);
    strbuf_addf(
        out, "</h1>\n<p class=\"verdict\">%s</p>\n<p class=\"meaning\">%s</p>\n<div class=\"sides\">",
        s->history.window_count == 0 ? "No history"
        : strcmp(state, "PASS") == 0 ? "Clean"
        : strcmp(state, "FAIL") == 0 ? "Differs"
                                     : "Not clean",
        strcmp(state, "PASS") == 0   ? "Every level of the window has passed since its last FAIL or gap."
        : strcmp(state, "FAIL") == 0 ? "The last run of a level found differences."
                                     : "A level has not passed lately, or not yet: nothing is proven by it.");
    strbuf_adds(out, "<span><b>Target</b> ");
    html_add_text(out, server);
    strbuf_adds(out, "</span><span><b>Written</b> ");
    page_time(out, s->at_us);
    strbuf_adds(out, "</span></div>\n</header>\n");
}

static bool write_page(const struct standing *s, const char *pipeline, const char *server, const char *path,
                       struct err *err)
{
    struct strbuf out = STRBUF_INIT(REPORT_BYTES_MAX);
    page_head(&out, state_of(s), "window of", pipeline);
    add_hero(&out, s, pipeline, server);
    page_window(&out, s);
    page_readiness(&out, s);
    add_runs(&out, &s->history);
    page_tail(&out, NULL);
    bool ok = strbuf_ok(&out, "the page", err) && report_write_file(path, out.data, out.len, err);
    strbuf_release(&out);
    return ok;
}

bool watch_history_page(const struct config *cfg, const char *path, struct err *err)
{
    struct session *target = NULL;
    const char *pipeline = config_text(cfg, "pipeline");
    if (!session_open(config_text(cfg, "target.url"), "target", pipeline, &target, err))
        return false;
    struct standing *s = NULL;
    bool ok = control_of(target)->ensure(target, err);
    if (ok) {
        s = standing_read(cfg, target, NULL, STANDING_RUNS);
        ok = s->unread == NULL || err_set(err, ERR_DATA, "%s", s->unread);
        ok = ok && write_page(s, pipeline, session_server(target), path, err);
    }
    standing_free(s);
    session_close(target);
    return ok;
}
