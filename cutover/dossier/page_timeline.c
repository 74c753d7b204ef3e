/* Owns: the course of a cutover in its page: a strip for each step and for what happened inside it, on one axis. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/html.h"
#include "cutover/dossier/dossier_internal.h"
#include "cutover/dossier/strip.h"
#include "page/page.h"

static double begin_of(const json_t *step)
{
    return dossier_number(step, "offset_ms");
}

/* One that has not ended is as long as what is known of it. */
static double end_of(const json_t *step)
{
    const json_t *resumed = json_object_get(step, "resumed");
    double elapsed = dossier_number(step, "elapsed_ms"), end = begin_of(step) + (elapsed < 0 ? 0 : elapsed);
    size_t i;
    json_t *one;
    json_array_foreach(resumed, i, one) end =
        dossier_number(one, "offset_ms") > end ? dossier_number(one, "offset_ms") : end;
    return end;
}

/* Until somebody took it up again for the last time, nobody was at it for a part that is not known. */
static double alive_from(const json_t *step)
{
    const json_t *resumed = json_object_get(step, "resumed");
    size_t n = json_array_size(resumed);
    return n == 0 ? begin_of(step) : dossier_number(json_array_get(resumed, n - 1), "offset_ms");
}

static bool waits(const json_t *step)
{
    return json_is_true(json_object_get(step, "clients_wait"));
}

static void measure(const json_t *steps, struct axis *axis, struct strip *strip)
{
    size_t i;
    json_t *step;
    *strip = (struct strip){.axis = axis, .pause_from = 0, .pause_to = -1};
    json_array_foreach(steps, i, step)
    {
        axis_add(axis, begin_of(step), true);
        axis_add(axis, alive_from(step), true);
        axis_add(axis, end_of(step), !waits(step));
        if (!waits(step))
            continue;
        if (strip->pause_to < strip->pause_from)
            strip->pause_from = begin_of(step);
        strip->pause_to = end_of(step);
    }
    axis_end(axis);
}

static void add_text(struct strbuf *out, const char *before, const char *text)
{
    if (*text == '\0')
        return;
    strbuf_adds(out, before);
    html_add_text(out, text);
}

static const char *tone_of(const json_t *step)
{
    const json_t *ok = json_object_get(step, "ok");
    return json_is_null(ok) ? "INCONCLUSIVE" : json_is_true(ok) ? "PASS" : "FAIL";
}

static void add_resumed(struct strbuf *out, const json_t *step)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(step, "resumed"), i, one)
    {
        strbuf_addf(out, "<span class=\"note resumed\">↻ attempt %" PRId64 ", ",
                    (int64_t)dossier_number(one, "attempt"));
        dossier_page_time(out, dossier_text(one, "at"));
        add_text(out, ", ", dossier_text(one, "by"));
        strbuf_adds(out, "</span>");
    }
}

static void add_step_name(struct strbuf *out, const json_t *step)
{
    const char *ended = dossier_text(step, "ended");
    strbuf_adds(out, "<th scope=\"row\" class=\"name\"><b>");
    html_add_text(out, dossier_text(step, "state"));
    strbuf_adds(out, "</b>");
    if (waits(step))
        strbuf_adds(out, " <span class=\"waits\">clients wait</span>");
    if (strcmp(tone_of(step), "PASS") != 0) {
        strbuf_adds(out, " <span class=\"chip\">");
        html_add_text(out, *ended != '\0' ? ended : "not ended");
        strbuf_adds(out, "</span>");
    }
    strbuf_adds(out, "<span class=\"note\">");
    html_add_text(out, dossier_text(step, "action"));
    strbuf_adds(out, "</span>");
    add_resumed(out, step);
    strbuf_adds(out, "</th>");
}

static void add_step_strip(struct strbuf *out, const struct strip *strip, const json_t *step)
{
    size_t i;
    json_t *one;
    strip_begin(out, strip);
    if (alive_from(step) > begin_of(step))
        strip_bar(out, strip, "dead", begin_of(step), alive_from(step));
    strip_bar(out, strip, waits(step) ? "wait" : "work", alive_from(step), end_of(step));
    json_array_foreach(json_object_get(step, "resumed"), i, one)
        strip_mark(out, strip, dossier_number(one, "offset_ms"));
    strip_end(out);
}

static void add_inside_name(struct strbuf *out, const json_t *one)
{
    strbuf_adds(out, "<tr class=\"part\"><th scope=\"row\" class=\"name\"><span>");
    html_add_text(out, dossier_text(one, "kind"));
    add_text(out, " ", dossier_text(one, "what"));
    if (dossier_number(one, "number") > 0)
        strbuf_addf(out, " %.0f", dossier_number(one, "number"));
    add_text(out, " ", dossier_text(one, "name"));
    add_text(out, " ", dossier_text(one, "role"));
    add_text(out, " ", dossier_text(one, "application"));
    if (json_is_false(json_object_get(one, "ok")))
        strbuf_adds(out, " <span class=\"bad\">failed</span>");
    strbuf_adds(out, "</span></th>");
}

static void add_inside(struct strbuf *out, const struct strip *strip, const json_t *step)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(step, "inside"), i, one)
    {
        double from = dossier_number(one, "offset_ms"), took = dossier_number(one, "ms");
        add_inside_name(out, one);
        strbuf_adds(out, "<td class=\"of-time\">");
        strip_begin(out, strip);
        strip_bar(out, strip, "inside", from, from + (took < 0 ? 0 : took));
        strip_end(out);
        strbuf_adds(out, "</td>");
        dossier_page_td(out, "num soft", "Took");
        dossier_page_ms(out, one, "ms");
        strbuf_adds(out, "</td><td class=\"num\"></td></tr>\n");
    }
}

static const json_t *estimate_named(const json_t *doc, const char *state)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(doc, "estimates"), i, one)
    {
        if (strcmp(dossier_text(one, "state"), state) == 0)
            return one;
    }
    return NULL;
}

static void add_step(struct strbuf *out, const struct strip *strip, const json_t *doc, const json_t *step)
{
    strbuf_addf(out, "<tr class=\"%s\">", tone_of(step));
    add_step_name(out, step);
    strbuf_adds(out, "<td class=\"of-time\">");
    add_step_strip(out, strip, step);
    strbuf_adds(out, "</td>");
    dossier_page_td(out, "num", "Took");
    dossier_page_ms(out, step, "ms");
    strbuf_adds(out, "</td>");
    dossier_page_td(out, "num soft", "Expected");
    dossier_page_ms(out, estimate_named(doc, dossier_text(step, "state")), "ms");
    strbuf_adds(out, "</td></tr>\n");
    add_inside(out, strip, step);
}

static void add_legend(struct strbuf *out, const json_t *timeline, const struct axis *axis)
{
    bool shrunk = false;
    for (size_t i = 0; i < axis->count; i++)
        shrunk = shrunk || axis->shrunk[i];
    strbuf_adds(out, "<p class=\"soft gap legend\">From ");
    dossier_page_time(out, dossier_text(timeline, "began_at"));
    if (dossier_text(timeline, "ended_at")[0] != '\0') {
        strbuf_adds(out, " to ");
        dossier_page_time(out, dossier_text(timeline, "ended_at"));
    }
    if (json_array_size(json_object_get(timeline, "attempts")) > 1)
        strbuf_addf(out, ", in %zu attempts", json_array_size(json_object_get(timeline, "attempts")));
    strbuf_adds(out, ". <span class=\"key-of\"><i class=\"wait\"></i> clients wait</span> <span "
                     "class=\"key-of\"><i class=\"work\"></i> nobody waits</span>");
    if (json_array_size(json_object_get(timeline, "attempts")) > 1)
        strbuf_adds(out,
                    " <span class=\"key-of\"><i class=\"dead\"></i> begun, and cut short: taken again by the "
                    "next attempt</span>");
    if (shrunk)
        strbuf_adds(
            out,
            " <span class=\"key-of\"><i class=\"break\"></i> a stretch drawn shorter than it was</span>");
    strbuf_adds(out, "</p>\n");
}

void dossier_page_timeline(struct strbuf *out, const json_t *doc)
{
    const json_t *timeline = json_object_get(doc, "timeline"), *steps = json_object_get(timeline, "steps");
    struct axis *axis = xcalloc(1, sizeof *axis);
    struct strip strip;
    size_t i;
    json_t *step;
    measure(steps, axis, &strip);
    strbuf_adds(out, "<h2 id=\"timeline\">Timeline</h2>\n");
    add_legend(out, timeline, axis);
    strbuf_adds(
        out, "<div class=\"scroll\"><table class=\"lanes stack\"><thead><tr><th scope=\"col\">Step</th><th "
             "scope=\"col\" class=\"of-time\">When</th><th scope=\"col\" class=\"num\">Took</th><th "
             "scope=\"col\" class=\"num\">Expected</th></tr></thead><tbody>\n");
    json_array_foreach(steps, i, step) add_step(out, &strip, doc, step);
    strbuf_adds(out, "</tbody></table></div>\n");
    free(axis);
}
