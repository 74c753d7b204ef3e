/* See cutover_text.h. */
#include "cutover_text.h"

#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/utf8.h"
#include "cutover/dossier/dossier.h"

#define NAME_WIDTH 12
#define TIME_WIDTH 9
#define BAR_LEAST  8
#define BAR_MOST   28
#define WIDE       100 /* where the width is not known */

static int width_of(const struct terminal *term)
{
    return term->width > 0 ? term->width : WIDE;
}

void cutover_text_ms(struct strbuf *out, double ms)
{
    if (ms < 0)
        strbuf_adds(out, "?");
    else if (ms < 10)
        strbuf_addf(out, "%.1f ms", ms);
    else if (ms < 1000)
        strbuf_addf(out, "%.0f ms", ms);
    else
        human_seconds(out, ms / 1000);
}

/* Padded on the left (TIME_WIDTH) so that figures stand under each other; nothing below 0. */
static void add_ms_column(struct strbuf *out, const char *before, double ms)
{
    struct strbuf text = STRBUF_INIT(64);
    if (ms >= 0) {
        strbuf_adds(&text, before);
        cutover_text_ms(&text, ms);
    }
    strbuf_addf(out, "%*s", TIME_WIDTH, text.data);
    strbuf_release(&text);
}

/* share of `cells`, to an eighth of a cell. */
static void add_bar(const struct terminal *term, struct strbuf *out, double share, int cells,
                    enum color color)
{
    static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    struct strbuf full = STRBUF_INIT(1024);
    double wanted = share < 0 ? 0 : share > 1 ? cells : share * cells;
    int whole = (int)wanted, part = (int)((wanted - whole) * 8);
    if (whole == 0 && part == 0 && share > 0)
        part = 1;
    for (int i = 0; i < whole; i++)
        strbuf_adds(&full, "█");
    strbuf_adds(&full, eighths[part]);
    terminal_paint(term, out, color, full.data);
    for (int i = whole + (part > 0); i < cells; i++)
        strbuf_adds(out, " ");
    strbuf_release(&full);
}

static void add_iso(struct strbuf *out, const char *iso)
{
    if (strlen(iso) >= 19)
        strbuf_addf(out, "%.10s %.8s UTC", iso, iso + 11);
    else
        strbuf_adds(out, "–");
}

/* --- steps --- */

struct steps {
    const json_t *done, *expected; /* timeline.steps, estimates */
    double longest_ms;             /* of any of them */
    double now_ms;                 /* of the one at hand, so far */
    int bar;                       /* cells; 0 = no room */
};

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static const json_t *expected_of(const struct steps *s, const char *state)
{
    size_t i;
    json_t *one;
    json_array_foreach(s->expected, i, one)
    {
        if (strcmp(dossier_text(one, "state"), state) == 0)
            return one;
    }
    return NULL;
}

static const json_t *at_hand(const struct steps *s)
{
    const json_t *last = json_array_get(s->done, json_array_size(s->done) - 1);
    return last != NULL && json_is_null(json_object_get(last, "ended")) ? last : NULL;
}

/* By two clocks, this machine's and the target's: good enough for a bar. */
static double since(const json_t *doc, const json_t *step)
{
    const char *from = dossier_text(step, "began_at"), *now = dossier_text(doc, "written_at");
    int fh, fm, nh, nm;
    double fs, ns;
    if (strlen(from) < 20 || strlen(now) < 20 || sscanf(from + 11, "%2d:%2d:%lf", &fh, &fm, &fs) != 3 ||
        sscanf(now + 11, "%2d:%2d:%lf", &nh, &nm, &ns) != 3)
        return 0;
    double ms = ((nh - fh) * 3600.0 + (nm - fm) * 60.0 + ns - fs) * 1000;
    return ms < 0 && strncmp(from, now, 10) < 0 ? ms + 86400000.0 : larger(ms, 0);
}

static void measure(const struct terminal *term, const json_t *doc, struct steps *s)
{
    size_t i;
    json_t *one;
    *s = (struct steps){.done = json_object_get(json_object_get(doc, "timeline"), "steps"),
                        .expected = json_object_get(doc, "estimates")};
    s->now_ms = at_hand(s) != NULL ? since(doc, at_hand(s)) : 0;
    json_array_foreach(s->done, i, one) s->longest_ms = larger(s->longest_ms, dossier_number(one, "ms"));
    if (at_hand(s) != NULL || s->done == NULL) {
        json_array_foreach(s->expected, i, one) s->longest_ms =
            larger(s->longest_ms, dossier_number(one, "ms"));
    }
    int room = width_of(term) - NAME_WIDTH - TIME_WIDTH - 8 - 16;
    s->bar = room < BAR_LEAST ? 0 : room > BAR_MOST ? BAR_MOST : room;
}

static bool waits(const json_t *step)
{
    return json_is_true(json_object_get(step, "clients_wait"));
}

/* about: it is still to come, so that its time is an estimate. */
struct line {
    const json_t *step;
    const char *sign;
    enum color color;
    double ms, share;
    bool about;
};

static void add_line(const struct terminal *term, struct strbuf *out, const struct steps *s,
                     const struct line *line)
{
    strbuf_adds(out, " ");
    terminal_paint(term, out, line->color, line->sign);
    strbuf_addf(out, " %-*s", NAME_WIDTH, dossier_text(line->step, "state"));
    add_ms_column(out, line->about ? "~" : "", line->ms);
    if (s->bar > 0) {
        strbuf_adds(out, "  ");
        add_bar(term, out, line->share, s->bar, waits(line->step) ? COLOR_YELLOW : COLOR_GREEN);
    }
    strbuf_adds(out, "  ");
}

static double share_of(double ms, double whole)
{
    return ms > 0 && whole > 0 ? ms / whole : 0;
}

static void add_done(const struct terminal *term, struct strbuf *out, const struct steps *s,
                     const json_t *step)
{
    bool ok = json_is_true(json_object_get(step, "ok"));
    double ms = dossier_number(step, "ms");
    const struct line line = {.step = step,
                              .sign = ok ? "✓" : "✗",
                              .color = ok ? COLOR_GREEN : COLOR_RED,
                              .ms = ms,
                              .share = share_of(ms, s->longest_ms)};
    add_line(term, out, s, &line);
    if (!ok)
        terminal_paint(term, out, COLOR_RED, dossier_text(step, "ended"));
    else if (waits(step))
        strbuf_adds(out, "clients wait");
    size_t again = json_array_size(json_object_get(step, "resumed"));
    if (again > 0)
        strbuf_addf(out, "  resumed %zu×", again);
    strbuf_addc(out, '\n');
}

/* One that takes longer than was expected is told by what it may take at most. */
static void add_expected(struct strbuf *out, const struct steps *s, const json_t *expected)
{
    double about = dossier_number(expected, "ms"), most = dossier_number(expected, "deadline_ms");
    if (about >= s->now_ms) {
        strbuf_adds(out, "of about ");
        cutover_text_ms(out, about);
    } else if (most >= 0) {
        strbuf_adds(out, "of at most ");
        cutover_text_ms(out, most);
    }
}

static void add_at_hand(const struct terminal *term, struct strbuf *out, const struct steps *s, bool runs)
{
    const json_t *step = at_hand(s), *expected = expected_of(s, dossier_text(step, "state"));
    double about = dossier_number(expected, "ms"), most = dossier_number(expected, "deadline_ms");
    double whole = about >= s->now_ms ? about : larger(most, s->now_ms);
    const struct line line = {.step = step,
                              .sign = runs ? "▶" : "‖",
                              .color = runs ? COLOR_BOLD : COLOR_RED,
                              .ms = runs ? s->now_ms : -1,
                              .share = runs ? share_of(s->now_ms, whole) : 0};
    add_line(term, out, s, &line);
    if (runs)
        add_expected(out, s, expected);
    else
        terminal_paint(term, out, COLOR_RED, "cut short");
    strbuf_addc(out, '\n');
}

static void add_to_come(const struct terminal *term, struct strbuf *out, const struct steps *s, size_t from)
{
    for (size_t i = from; i < json_array_size(s->expected); i++) {
        const json_t *step = json_array_get(s->expected, i);
        const struct line line = {.step = step, .sign = "·", .ms = dossier_number(step, "ms"), .about = true};
        add_line(term, out, s, &line);
        strbuf_adds(out, waits(step) ? "clients wait\n" : "\n");
    }
}

/* The number of the first step that is still to come; of a cutover that goes back, none is. */
static size_t first_to_come(const struct steps *s)
{
    const json_t *step = at_hand(s);
    for (size_t i = 0; i < json_array_size(s->expected); i++) {
        if (step != NULL &&
            strcmp(dossier_text(json_array_get(s->expected, i), "state"), dossier_text(step, "state")) == 0)
            return i + 1;
    }
    return s->done == NULL ? 0 : json_array_size(s->expected);
}

static void add_steps(const struct terminal *term, const json_t *doc, struct strbuf *out)
{
    bool runs = strcmp(dossier_text(doc, "outcome"), "running") == 0;
    struct steps s;
    size_t i;
    json_t *one;
    measure(term, doc, &s);
    json_array_foreach(s.done, i, one)
    {
        if (one != at_hand(&s))
            add_done(term, out, &s, one);
    }
    if (at_hand(&s) != NULL)
        add_at_hand(term, out, &s, runs);
    add_to_come(term, out, &s, first_to_come(&s));
}

/* --- how far, and how long still --- */

static void add_left(struct strbuf *out, const struct steps *s)
{
    const json_t *now = expected_of(s, dossier_text(at_hand(s), "state"));
    double left = larger(dossier_number(now, "ms") - s->now_ms, 0);
    bool all_known = dossier_number(now, "ms") >= 0;
    for (size_t i = first_to_come(s); i < json_array_size(s->expected); i++) {
        double ms = dossier_number(json_array_get(s->expected, i), "ms");
        left += larger(ms, 0);
        all_known = all_known && ms >= 0;
    }
    strbuf_adds(out, all_known ? ", about " : ", at least ");
    cutover_text_ms(out, left);
    strbuf_adds(out, " left");
}

static void add_progress(const struct terminal *term, const json_t *doc, struct strbuf *out)
{
    struct steps s;
    measure(term, doc, &s);
    size_t all = json_array_size(s.expected), done = first_to_come(&s);
    if (at_hand(&s) == NULL || all == 0)
        return;
    done = done > 0 ? done - 1 : 0;
    if (s.bar > 0) {
        strbuf_adds(out, " ");
        add_bar(term, out, share_of((double)done, (double)all), s.bar, COLOR_GREEN);
        strbuf_adds(out, "▏ ");
    }
    strbuf_addf(out, "%zu of %zu steps", done, all);
    if (strcmp(dossier_text(doc, "outcome"), "running") == 0)
        add_left(out, &s);
    strbuf_addc(out, '\n');
}

/* --- its head --- */

static enum color color_of(const char *outcome)
{
    static const struct {
        const char *outcome;
        enum color color;
    } colors[] = {
        {"done", COLOR_GREEN}, {"planned", COLOR_GREEN}, {"running", COLOR_BOLD}, {"aborted", COLOR_YELLOW}};
    for (size_t i = 0; i < ARRAY_LEN(colors); i++) {
        if (strcmp(colors[i].outcome, outcome) == 0)
            return colors[i].color;
    }
    return COLOR_RED;
}

static void add_head(const struct terminal *term, const json_t *doc, struct strbuf *out)
{
    const json_t *timeline = json_object_get(doc, "timeline");
    const char *outcome = dossier_text(doc, "outcome");
    terminal_paint(term, out, color_of(outcome), outcome);
    strbuf_addf(out, "  %s\n", dossier_text(doc, "id"));
    if (json_is_object(timeline)) {
        strbuf_adds(out, " began ");
        add_iso(out, dossier_text(timeline, "began_at"));
        if (dossier_number(timeline, "ms") >= 0) {
            strbuf_adds(out, ", took ");
            cutover_text_ms(out, dossier_number(timeline, "ms"));
        }
        if (dossier_text(doc, "decision")[0] != '\0')
            strbuf_addf(out, "; decision: %s", dossier_text(doc, "decision"));
        strbuf_addc(out, '\n');
    }
    terminal_wrap(term, out, 1, dossier_text(doc, "source_unread"));
    terminal_wrap(term, out, 1, dossier_text(doc, "reason"));
}

static void add_pause(const json_t *doc, struct strbuf *out)
{
    const json_t *pause = json_object_get(doc, "pause");
    double refused = dossier_number(pause, "refused_ms"),
           longest = dossier_number(pause, "clients_longest_ms");
    if (refused >= 0) {
        strbuf_adds(out, " writers were refused for ");
        cutover_text_ms(out, refused);
    } else {
        strbuf_adds(out, " clients will wait for about ");
        cutover_text_ms(out, dossier_number(pause, "estimate_ms"));
    }
    strbuf_adds(out, " of ");
    cutover_text_ms(out, dossier_number(pause, "budget_ms"));
    if (longest >= 0) {
        strbuf_addf(out, "; behind poolers %.0f waited, the longest for ",
                    dossier_number(pause, "clients_waiting"));
        cutover_text_ms(out, longest);
    }
    strbuf_addc(out, '\n');
}

void cutover_text_status(const struct terminal *term, const json_t *doc, struct strbuf *out)
{
    add_head(term, doc, out);
    add_progress(term, doc, out);
    strbuf_addc(out, '\n');
    add_steps(term, doc, out);
    strbuf_addc(out, '\n');
    add_pause(doc, out);
    if (strcmp(dossier_text(doc, "outcome"), "interrupted") == 0)
        terminal_wrap(term, out, 1, "go on with `resume`, or put back what served before with `abort`");
}

/* --- all of it --- */

static void add_gates(const struct terminal *term, const json_t *doc, struct strbuf *out)
{
    const json_t *list = json_object_get(json_object_get(doc, "gates"), "list");
    size_t i;
    json_t *gate;
    if (json_array_size(list) > 0)
        terminal_paint(term, out, COLOR_BOLD, "\nGates\n");
    json_array_foreach(list, i, gate)
    {
        bool ok = strcmp(dossier_text(gate, "verdict"), "ok") == 0;
        strbuf_adds(out, " ");
        terminal_paint(term, out, ok ? COLOR_GREEN : COLOR_RED, ok ? "✓" : "✗");
        strbuf_addf(out, " %-22s %s (%s)\n", dossier_text(gate, "name"), dossier_text(gate, "measured"),
                    dossier_text(gate, "limit"));
        terminal_wrap(term, out, 4, dossier_text(gate, "hint"));
    }
}

static void add_verdict(struct strbuf *out, const char *when, const json_t *v)
{
    if (dossier_text(v, "verdict")[0] == '\0')
        return;
    strbuf_addf(out, " %-18s %s (%s)", when, dossier_text(v, "verdict"), dossier_text(v, "scope"));
    if (dossier_text(v, "finished_at")[0] != '\0') {
        strbuf_adds(out, ", ");
        add_iso(out, dossier_text(v, "finished_at"));
    }
    strbuf_addc(out, '\n');
}

static void add_proof(const struct terminal *term, const json_t *doc, struct strbuf *out)
{
    const json_t *v = json_object_get(doc, "verdicts"), *audit = json_object_get(doc, "audit");
    size_t i;
    json_t *one;
    terminal_paint(term, out, COLOR_BOLD, "\nIt rests on\n");
    add_verdict(out, "last PASS before", json_object_get(v, "before"));
    add_verdict(out, "final comparison", json_object_get(doc, "final"));
    add_verdict(out, "compared after", json_object_get(v, "after"));
    json_array_foreach(json_object_get(doc, "approvals"), i, one)
        strbuf_addf(out, " %-18s approved by %s\n", dossier_text(one, "kind"), dossier_text(one, "approver"));
    strbuf_addf(out, " %-18s %s\n", "way back",
                json_is_true(json_object_get(json_object_get(doc, "rollback"), "there")) ? "there"
                                                                                         : "not there");
    if (dossier_number(audit, "seq") > 0)
        strbuf_addf(out, " %-18s %.0f:%s\n", "audit chain at", dossier_number(audit, "seq"),
                    dossier_text(audit, "hash"));
}

void cutover_text_report(const struct terminal *term, const json_t *doc, struct strbuf *out)
{
    const json_t *ready = json_object_get(doc, "ready");
    const char *answer = dossier_text(ready, "answer");
    strbuf_adds(out, "Ready for cutover: ");
    terminal_paint(term, out,
                   strcmp(answer, "yes") == 0  ? COLOR_GREEN
                   : strcmp(answer, "no") == 0 ? COLOR_RED
                                               : COLOR_BOLD,
                   answer);
    strbuf_addc(out, '\n');
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(ready, "reasons"), i, one)
    {
        strbuf_addf(out, " %s: %s\n", dossier_text(one, "what"), dossier_text(one, "why"));
        terminal_wrap(term, out, 4, dossier_text(one, "todo"));
    }
    strbuf_addc(out, '\n');
    cutover_text_status(term, doc, out);
    add_gates(term, doc, out);
    add_proof(term, doc, out);
}
