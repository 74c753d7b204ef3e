/* Owns: the window of comparisons in a page: a strip of runs for each level, since when it is clean, and how far the target is behind. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "core/clock.h"
#include "core/html.h"
#include "report/page.h"

#define STRIP_RUNS   120 /* the newest of a level; older ones are in crossfade.comparison */
#define CELL_STEP    8
#define CHART_WIDTH  960.0
#define CHART_HEIGHT 150.0
#define CHART_LEFT   56.0
#define CHART_BOTTOM 18.0

static void add_ago(struct strbuf *out, int64_t us)
{
    int64_t s = MAX_OF(0, us) / 1000000;
    if (s < 120)
        strbuf_addf(out, "%" PRId64 " s", s);
    else if (s < 7200)
        strbuf_addf(out, "%" PRId64 " min", s / 60);
    else if (s < 2 * 86400)
        strbuf_addf(out, "%" PRId64 " h", s / 3600);
    else
        strbuf_addf(out, "%" PRId64 " days", s / 86400);
}

static void add_run_title(struct strbuf *out, const struct watch_run *run)
{
    char at[ISO_TIME_MAX];
    strbuf_addf(out, "<title>%.19sZ %s", clock_iso(run->started_us, at), run->verdict);
    if (run->differences > 0)
        strbuf_addf(out, ", %" PRIu64 " differences", run->differences);
    if (run->lag_us > 0)
        strbuf_addf(out, ", lag %.0f ms", (double)run->lag_us / 1000.0);
    if (run->reason != NULL) {
        strbuf_adds(out, ": ");
        html_add_text(out, run->reason);
    }
    strbuf_adds(out, "</title>");
}

/* Oldest on the left. A PASS is low, so that what is none stands out without its colour, too. */
static void add_strip(struct strbuf *out, const struct watch_history *h, const char *level)
{
    size_t shown = 0;
    for (size_t i = 0; i < h->run_count && shown < STRIP_RUNS; i++)
        shown += strcmp(h->runs[i].level, level) == 0;
    strbuf_addf(
        out,
        "<svg class=\"strip\" viewBox=\"0 0 %d 26\" preserveAspectRatio=\"xMaxYMid meet\" role=\"img\" "
        "aria-label=\"the last %zu runs, oldest first\">",
        STRIP_RUNS * CELL_STEP, shown);
    size_t n = 0;
    for (size_t i = 0; i < h->run_count && n < shown; i++) {
        const struct watch_run *run = &h->runs[i];
        if (strcmp(run->level, level) != 0)
            continue;
        bool pass = strcmp(run->verdict, "PASS") == 0;
        strbuf_addf(out, "<rect class=\"%s\" x=\"%zu\" y=\"%d\" width=\"6\" height=\"%d\" rx=\"1.5\">",
                    run->verdict, (STRIP_RUNS - 1 - n) * CELL_STEP + 1, pass ? 8 : 1, pass ? 10 : 24);
        add_run_title(out, run);
        strbuf_adds(out, "</rect>");
        n++;
    }
    strbuf_adds(out, "</svg>");
}

static void add_window(struct strbuf *out, const struct standing *s, const struct watch_window *w)
{
    const char *tone = w->clean_since_us > 0 ? "PASS" : w->failed > 0 && !w->stale ? "FAIL" : "INCONCLUSIVE";
    char at[ISO_TIME_MAX];
    strbuf_addf(out, "<div class=\"window %s\"><div class=\"window-head\"><b>", tone);
    html_add_text(out, w->level);
    strbuf_adds(out, "</b> <span class=\"soft\">every ");
    add_ago(out, w->every_s * 1000000);
    strbuf_addf(out, "</span> <span class=\"chip\">%s</span> ",
                w->clean_since_us > 0 ? "clean" : "not clean");
    if (w->clean_since_us > 0) {
        strbuf_adds(out, "for ");
        add_ago(out, s->at_us - w->clean_since_us);
        strbuf_addf(out, ", since %.19sZ, %" PRIu64 " runs", clock_iso(w->clean_since_us, at), w->clean_runs);
    } else if (w->stale) {
        strbuf_adds(out, "nothing has passed for three intervals");
    }
    strbuf_addf(out,
                "<span class=\"soft window-sum\">%" PRIu64 " PASS · %" PRIu64 " FAIL · %" PRIu64
                " INCONCLUSIVE kept</span></div>",
                w->passed, w->failed, w->inconclusive);
    add_strip(out, &s->history, w->level);
    strbuf_adds(out, "</div>\n");
}

/* --- lag --- */

struct lag_chart {
    int64_t first_us, last_us; /* of the time axis */
    double low, high;          /* of the other one: powers of ten, ms */
    size_t count;
};

static bool measure_lag(const struct watch_history *h, struct lag_chart *ret)
{
    double least = 0, most = 0;
    *ret = (struct lag_chart){.count = 0};
    for (size_t i = 0; i < h->run_count; i++) {
        const struct watch_run *run = &h->runs[i];
        double ms = (double)run->lag_us / 1000.0;
        if (run->lag_us <= 0)
            continue;
        ret->first_us = ret->count == 0 ? run->started_us : MIN_OF(ret->first_us, run->started_us);
        ret->last_us = MAX_OF(ret->last_us, run->started_us);
        least = ret->count == 0 ? ms : MIN_OF(least, ms);
        most = MAX_OF(most, ms);
        ret->count++;
    }
    if (ret->count < 2 || ret->last_us == ret->first_us)
        return false;
    ret->low = pow(10, floor(log10(MAX_OF(least, 0.1))));
    ret->high = pow(10, ceil(log10(MAX_OF(most, 1))));
    if (ret->high <= ret->low)
        ret->high = ret->low * 10;
    return true;
}

static double lag_x(const struct lag_chart *c, int64_t us)
{
    return CHART_LEFT +
           (CHART_WIDTH - CHART_LEFT - 4) * (double)(us - c->first_us) / (double)(c->last_us - c->first_us);
}

static double lag_y(const struct lag_chart *c, double ms)
{
    double share = log(MAX_OF(ms, c->low) / c->low) / log(c->high / c->low);
    return 6 + (CHART_HEIGHT - CHART_BOTTOM - 6) * (1 - share);
}

static void add_lag_axis(struct strbuf *out, const struct lag_chart *c)
{
    for (double ms = c->low; ms <= c->high * 1.001; ms *= 10) {
        double y = lag_y(c, ms);
        strbuf_addf(out,
                    "<line class=\"grid\" x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/><text x=\"%.0f\" "
                    "y=\"%.1f\" text-anchor=\"end\">",
                    CHART_LEFT, CHART_WIDTH, y, y, CHART_LEFT - 6, y + 4);
        strbuf_addf(out, ms < 1000 ? "%g ms</text>" : "%g s</text>", ms < 1000 ? ms : ms / 1000);
    }
    for (int i = 0; i <= 1; i++) {
        char at[ISO_TIME_MAX];
        clock_iso(i == 0 ? c->first_us : c->last_us, at);
        at[10] = ' ';
        strbuf_addf(out, "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"%s\">%.16s</text>",
                    i == 0 ? CHART_LEFT : CHART_WIDTH, CHART_HEIGHT - 3, i == 0 ? "start" : "end", at);
    }
}

static void add_lag(struct strbuf *out, const struct watch_history *h)
{
    struct lag_chart c;
    if (!measure_lag(h, &c))
        return;
    strbuf_adds(
        out, "<h3 class=\"sub\">Lag</h3><p class=\"soft\">From a comparison’s marker on the source until the "
             "target stood there, at each run.</p>\n<div "
             "class=\"card\"><svg class=\"chart\" viewBox=\"0 0 960 150\" "
             "role=\"img\" aria-label=\"lag over time\">");
    add_lag_axis(out, &c);
    strbuf_adds(out, "<polyline class=\"line\" points=\"");
    for (size_t i = h->run_count; i-- > 0;) {
        if (h->runs[i].lag_us > 0)
            strbuf_addf(out, "%.1f,%.1f ", lag_x(&c, h->runs[i].started_us),
                        lag_y(&c, (double)h->runs[i].lag_us / 1000.0));
    }
    strbuf_adds(out, "\"/></svg></div>\n");
}

void page_window(struct strbuf *out, const struct standing *s)
{
    if (s == NULL)
        return;
    strbuf_adds(out, "<h2 id=\"window\">Window</h2>\n");
    if (s->unread != NULL) {
        strbuf_adds(out, "<p class=\"soft\">The history could not be read: ");
        html_add_text(out, s->unread);
        strbuf_adds(out, "</p>\n");
    } else if (s->history.window_count == 0) {
        strbuf_adds(
            out,
            "<p class=\"soft\">No history yet: <code>crossfade compare watch</code> compares by schedule and "
            "keeps its results.</p>\n");
    }
    for (size_t i = 0; i < s->history.window_count; i++)
        add_window(out, s, &s->history.windows[i]);
    add_lag(out, &s->history);
}
