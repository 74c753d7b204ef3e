/* Owns: how the pipeline looks in a terminal, from 40 columns on. What is most important stands on top: what does not fit below is left out. */
#include "status_picture.h"

#include <langinfo.h>
#include <string.h>

#include "core/alloc.h"
#include "fleet.h"

#define LABEL      10
#define WIDE       100 /* columns from which on the path is one line */
#define NARROW     60
#define TABLES_MAX 8

static enum color phase_color(const char *phase)
{
    if (strcmp(phase, "down") == 0 || strcmp(phase, "halted") == 0)
        return COLOR_RED;
    return strcmp(phase, "streaming") == 0 ? COLOR_GREEN : COLOR_YELLOW;
}

static int width_of(const struct terminal *term)
{
    return term->width > 0 ? term->width : 80;
}

static const char *or_dash(const char *text)
{
    return *text != '\0' ? text : "-";
}

static void label(struct strbuf *out, const char *text)
{
    terminal_add_cell(out, text, LABEL);
}

/* The text behind its label, in as many lines as it takes. */
static void add_wrapped(const struct terminal *term, struct strbuf *out, const char *name, const char *text)
{
    struct strbuf lines = STRBUF_INIT((size_t)16 << 10);
    terminal_wrap(term, &lines, LABEL, text);
    if (lines.len >= LABEL)
        memcpy(lines.data, name, MIN_OF(strlen(name), (size_t)LABEL));
    strbuf_adds(out, lines.data);
    strbuf_release(&lines);
}

static void add_behind(struct strbuf *out, double bytes, double seconds)
{
    if (bytes < 0)
        return;
    human_bytes(out, bytes);
    strbuf_adds(out, " behind");
    if (seconds >= 0) {
        strbuf_adds(out, ", ");
        human_seconds(out, seconds);
    }
}

static void add_stop(struct strbuf *out, bool wide, const char *name, const char *lsn, double bytes,
                     double seconds)
{
    if (!wide) {
        label(out, name);
        strbuf_adds(out, or_dash(lsn));
        strbuf_adds(out, bytes >= 0 ? "  " : "");
        add_behind(out, bytes, seconds);
        strbuf_addc(out, '\n');
        return;
    }
    strbuf_addf(out, "%s%s %s", bytes >= 0 ? " --> " : "", name, or_dash(lsn));
    if (bytes >= 0) {
        strbuf_adds(out, " (");
        add_behind(out, bytes, seconds);
        strbuf_addc(out, ')');
    }
}

static void add_path(const struct terminal *term, const struct status_picture *p, struct strbuf *out)
{
    const json_t *lag = json_object_get(p->all, "lag");
    bool wide = width_of(term) >= WIDE;
    if (*fleet_text(p->all, "promise") != '\0') {
        label(out, "source");
        strbuf_addf(out, "topics of Debezium, applied to fence %.0f\n",
                    fleet_number(json_object_get(p->all, "apply"), "fence_id"));
        return;
    }
    add_stop(out, wide, "source", fleet_text(p->all, "source_lsn"), -1, -1);
    add_stop(out, wide, "journal", fleet_text(p->all, "journaled_lsn"), fleet_number(lag, "capture_bytes"),
             fleet_number(lag, "capture_seconds"));
    add_stop(out, wide, "target", fleet_text(p->all, "applied_lsn"), fleet_number(lag, "apply_bytes"),
             fleet_number(lag, "apply_seconds"));
    if (wide)
        strbuf_addc(out, '\n');
}

/* The last minutes, a column a second. Only where the terminal has such characters. */
static void add_lag(const struct terminal *term, const struct status_picture *p, struct strbuf *out)
{
    static const char *const steps[] = {"\u2581", "\u2582", "\u2583", "\u2584",
                                        "\u2585", "\u2586", "\u2587", "\u2588"};
    double now = fleet_number(p->all, "lag_seconds"), highest = 0;
    size_t columns = (size_t)MAX_OF(width_of(term) - LABEL - 14, 0);
    size_t shown = MIN_OF(MIN_OF(p->lag_count, (size_t)PICTURE_LAGS), columns);
    struct strbuf text = STRBUF_INIT(100);
    label(out, "lag");
    if (now >= 0)
        human_seconds(&text, now);
    else
        strbuf_adds(&text, "not known");
    terminal_add_cell(out, text.data, 12);
    strbuf_release(&text);
    for (size_t i = p->lag_count - shown; i < p->lag_count; i++)
        highest = MAX_OF(highest, p->lags[i % PICTURE_LAGS]);
    for (size_t i = p->lag_count - shown; i < p->lag_count && strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
         i++) {
        double lag = p->lags[i % PICTURE_LAGS];
        strbuf_adds(out, lag < 0 ? " " : steps[highest > 0 ? (size_t)(lag / highest * 7.0) : 0]);
    }
    strbuf_addc(out, '\n');
}

/* Then the estimate is of the others alone. */
static bool lacks_estimate(const json_t *snapshot)
{
    size_t i;
    const json_t *table;
    json_array_foreach(json_object_get(snapshot, "tables"), i, table)
    {
        if (!fleet_bool(table, "done") && fleet_number(table, "estimate") <= 0)
            return true;
    }
    return false;
}

static void add_rows(struct strbuf *out, const json_t *snapshot)
{
    double estimate = fleet_number(snapshot, "estimate"), eta_s = fleet_number(snapshot, "eta_seconds");
    human_count(out, fleet_number(snapshot, "rows"));
    if (json_is_string(json_object_get(snapshot, "finished"))) {
        strbuf_adds(out, " rows in ");
        human_seconds(out, fleet_number(snapshot, "seconds"));
        return;
    }
    if (estimate >= 0) {
        strbuf_adds(out, " of about ");
        human_count(out, estimate);
    }
    strbuf_adds(out, " rows, ");
    human_count(out, fleet_number(snapshot, "rows_per_second"));
    strbuf_adds(out, " rows/s, ");
    if (eta_s >= 0)
        human_seconds(out, eta_s);
    strbuf_adds(out, eta_s < 0                  ? "time left not known yet"
                     : lacks_estimate(snapshot) ? " left for tables with an estimate"
                                                : " left");
}

static void add_table(const struct terminal *term, struct strbuf *out, const json_t *table)
{
    int width = width_of(term), bar = width >= NARROW ? width / 4 : 10;
    double rows = fleet_number(table, "rows"), estimate = fleet_number(table, "estimate");
    strbuf_adds(out, "  ");
    terminal_add_cell(out, fleet_text(table, "name"), width - bar - 18);
    strbuf_addc(out, ' ');
    if (estimate > 0)
        terminal_add_bar(out, MIN_OF(rows / estimate, 1.0), bar);
    else
        strbuf_addf(out, "%*s", bar, "");
    strbuf_addc(out, ' ');
    human_count(out, rows);
    strbuf_addc(out, '\n');
}

static void add_tables(const struct terminal *term, struct strbuf *out, const json_t *snapshot)
{
    const json_t *tables = json_object_get(snapshot, "tables"), *table;
    size_t i, shown = 0, done = 0;
    json_array_foreach(tables, i, table)
    {
        if (fleet_bool(table, "done"))
            done++;
        else if (fleet_number(table, "rows") > 0 && shown++ < TABLES_MAX)
            add_table(term, out, table);
    }
    if (json_array_size(tables) > 0)
        strbuf_addf(out, "  %zu of %zu tables done\n", done, json_array_size(tables));
}

static void add_copy(const struct terminal *term, const struct status_picture *p, struct strbuf *out)
{
    const json_t *snapshot = json_object_get(p->all, "snapshot");
    double percent = fleet_number(snapshot, "percent");
    bool finished = json_is_string(json_object_get(snapshot, "finished"));
    if (!json_is_object(snapshot))
        return;
    if (!finished && percent >= 0) {
        label(out, "copy");
        terminal_add_bar(out, percent / 100, MAX_OF(width_of(term) - LABEL - 10, 10));
        strbuf_addf(out, " %5.1f %%\n", percent);
    }
    struct strbuf text = STRBUF_INIT(1000);
    add_rows(&text, snapshot);
    add_wrapped(term, out, !finished && percent >= 0 ? "" : "copy", text.data);
    strbuf_release(&text);
    if (!finished)
        add_tables(term, out, snapshot);
}

static void add_trouble(const struct terminal *term, struct strbuf *out, enum color color, const char *text)
{
    if (*text == '\0')
        return;
    struct strbuf wrapped = STRBUF_INIT(8000);
    terminal_wrap(term, &wrapped, 2, text);
    while (wrapped.len > 0 && wrapped.data[wrapped.len - 1] == '\n')
        wrapped.data[--wrapped.len] = '\0';
    terminal_paint(term, out, color, wrapped.data);
    strbuf_addc(out, '\n');
    strbuf_release(&wrapped);
}

static void add_role(const struct terminal *term, struct strbuf *out, const char *name, const json_t *role)
{
    const char *phase = fleet_text(role, "phase"), *guard = fleet_text(role, "wal_guard");
    double retained = fleet_number(role, "retained_wal_bytes"), letters = fleet_number(role, "dead_letters");
    if (!json_is_object(role))
        return;
    struct strbuf text = STRBUF_INIT(4000);
    terminal_paint(term, &text, phase_color(phase), phase);
    if (fleet_is_down(role)) {
        strbuf_addf(&text, " at %s", fleet_text(role, "address"));
        add_wrapped(term, out, name, text.data);
        add_trouble(term, out, COLOR_RED, fleet_text(role, "error"));
        strbuf_release(&text);
        return;
    }
    strbuf_adds(&text, "  ");
    human_count(&text, fleet_number(role, "changes_per_second"));
    strbuf_adds(&text, " changes/s  ");
    human_bytes(&text, fleet_number(role, "memory_bytes"));
    if (retained >= 0) {
        strbuf_adds(&text, "  slot ");
        human_bytes(&text, retained);
    }
    if (*guard != '\0' && strcmp(guard, "ok") != 0) {
        strbuf_addc(&text, ' ');
        terminal_paint(term, &text, strcmp(guard, "alert") == 0 ? COLOR_RED : COLOR_YELLOW, guard);
    }
    add_wrapped(term, out, name, text.data);
    strbuf_release(&text);
    if (letters > 0)
        strbuf_addf(out, "  %.0f dead letters held: crossfade apply dlq list\n", letters);
    add_trouble(term, out, COLOR_YELLOW, fleet_text(role, "trouble"));
    if (strcmp(phase, "retrying") == 0 || strcmp(phase, "halted") == 0)
        add_trouble(term, out, COLOR_RED, fleet_text(role, "last_error"));
}

static void count_gates(const json_t *gates, size_t *all, size_t *open, struct strbuf *names)
{
    size_t i;
    const json_t *gate;
    json_array_foreach(gates, i, gate)
    {
        (*all)++;
        if (fleet_bool(gate, "met"))
            continue;
        strbuf_addf(names, "%s%s", (*open)++ > 0 ? ", " : "", fleet_text(gate, "gate"));
    }
}

static void add_gates(const struct terminal *term, const struct status_picture *p, struct strbuf *out)
{
    struct strbuf names = STRBUF_INIT(4000), text = STRBUF_INIT(5000);
    size_t all = 0, open = 0;
    count_gates(p->gates, &all, &open, &names);
    count_gates(json_object_get(p->facts, "gates"), &all, &open, &names);
    if (open == 0) {
        strbuf_addf(&text, "%zu gates met", all);
        label(out, "cutover");
        terminal_paint(term, out, COLOR_GREEN, text.data);
        strbuf_addc(out, '\n');
    } else {
        strbuf_addf(&text, "%zu of %zu gates open: %s", open, all, names.data);
        add_wrapped(term, out, "cutover", text.data);
    }
    strbuf_release(&names);
    strbuf_release(&text);
}

/* A part of a time, of which only its place in the text says what it is: no characters are cut through, whatever stands there. */
static void add_time(struct strbuf *out, const char *at, size_t from, size_t count)
{
    for (const char *c = at + from; *c != '\0' && count-- > 0; c++)
        strbuf_addc(out, (unsigned char)*c >= ' ' && (unsigned char)*c < 0x7f ? *c : '?');
}

static void add_verdict(const struct terminal *term, const struct status_picture *p, struct strbuf *out)
{
    const json_t *run = json_array_get(json_object_get(p->facts, "runs"), 0);
    const char *verdict = fleet_text(run, "verdict"), *error = fleet_text(p->facts, "error");
    if (*error != '\0') {
        label(out, "verdict");
        strbuf_addf(out, "not known: %s\n", error);
    }
    if (!json_is_object(run))
        return;
    label(out, "verdict");
    terminal_paint(term, out,
                   strcmp(verdict, "PASS") == 0   ? COLOR_GREEN
                   : strcmp(verdict, "FAIL") == 0 ? COLOR_RED
                                                  : COLOR_YELLOW,
                   verdict);
    strbuf_addf(out, "  %s  ", fleet_text(run, "level"));
    add_time(out, fleet_text(run, "finished_at"), 0, 19);
    strbuf_addf(out, "  %s\n", fleet_text(run, "reason"));
}

static void add_events(const struct terminal *term, const struct status_picture *p, struct strbuf *out,
                       size_t room)
{
    size_t count = json_array_size(p->events), shown = MIN_OF(count, room);
    for (size_t i = 0; i < shown; i++) { /* newest first */
        const json_t *event = json_array_get(p->events, count - 1 - i);
        const char *level = fleet_text(event, "level"), *at = fleet_text(event, "at");
        terminal_paint(term, out,
                       strcmp(level, "error") == 0  ? COLOR_RED
                       : strcmp(level, "warn") == 0 ? COLOR_YELLOW
                                                    : COLOR_PLAIN,
                       fleet_text(event, "event"));
        strbuf_addf(out, "  %s ", fleet_text(event, "role"));
        add_time(out, at, strlen(at) > 19 ? 11 : 0, 8);
        strbuf_adds(out, "  ");
        if (fleet_number(event, "times") > 1)
            strbuf_addf(out, "(%.0f times) ", fleet_number(event, "times"));
        strbuf_addf(out, "%s\n", fleet_text(event, "text"));
    }
}

static size_t lines_of(const struct strbuf *out)
{
    size_t lines = 0;
    for (const char *c = out->data; *c != '\0'; c++)
        lines += *c == '\n';
    return lines;
}

/* What would push the top of the picture out of the window. */
static void cut_lines(struct strbuf *out, size_t most)
{
    for (size_t i = 0; i < out->len; i++) {
        if (out->data[i] != '\n' || --most > 0)
            continue;
        out->len = i;
        out->data[i] = '\0';
    }
}

void status_picture_draw(const struct terminal *term, const struct status_picture *p, struct strbuf *out)
{
    const char *phase = fleet_text(p->all, "phase");
    terminal_paint(term, out, COLOR_BOLD, fleet_text(p->all, "pipeline"));
    strbuf_adds(out, "  ");
    terminal_paint(term, out, phase_color(phase), phase);
    strbuf_addf(out, "  %.8s UTC\n", p->now + 11);
    add_path(term, p, out);
    add_lag(term, p, out);
    add_copy(term, p, out);
    add_role(term, out, "capture", json_object_get(p->all, "capture"));
    add_role(term, out, "apply", json_object_get(p->all, "apply"));
    add_gates(term, p, out);
    add_verdict(term, p, out);
    size_t used = lines_of(out), height = term->height > 2 ? (size_t)term->height - 1 : 40;
    if (used < height)
        add_events(term, p, out, height - used);
    cut_lines(out, height);
}

void status_picture_line(const struct status_picture *p, struct strbuf *out)
{
    const json_t *snapshot = json_object_get(p->all, "snapshot");
    double bytes = fleet_number(p->all, "lag_bytes"), seconds = fleet_number(p->all, "lag_seconds");
    strbuf_addf(out, "%s phase=%s source=%s journal=%s target=%s", p->now, fleet_text(p->all, "phase"),
                or_dash(fleet_text(p->all, "source_lsn")), or_dash(fleet_text(p->all, "journaled_lsn")),
                or_dash(fleet_text(p->all, "applied_lsn")));
    if (bytes >= 0)
        strbuf_addf(out, " lag_bytes=%.0f", bytes);
    if (seconds >= 0)
        strbuf_addf(out, " lag_seconds=%.1f", seconds);
    if (fleet_number(snapshot, "percent") >= 0)
        strbuf_addf(out, " copied_percent=%.1f copied_rows=%.0f", fleet_number(snapshot, "percent"),
                    fleet_number(snapshot, "rows"));
    strbuf_addc(out, '\n');
}
