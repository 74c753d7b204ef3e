/* crossfade status: both roles at a glance, as JSON, again and again, or waiting until apply has caught up.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "core/clock.h"
#include "fleet.h"
#include "pg/conn.h"
#include "status_watch.h"
#include "terminal.h"

#define TEXT_BYTES_MAX ((size_t)256 << 10)
#define BAR_CELLS      30
#define LOOK_AGAIN_MS  200

const struct cli_flag status_flags[] = {
    {"json", NULL,
     "one JSON object: phase, source_lsn, journaled_lsn, applied_lsn, lag_bytes, lag_seconds, capture, "
     "apply"},
    {"watch", NULL,
     "redraw every second until interrupted; where stdout is no terminal: a line every second"},
    {"wait", "caught-up",
     "end once the target holds everything that the source had committed when the wait began"},
    {"timeout", "S", "give up the wait after so many seconds (exit code 1); default: never"},
    {NULL, NULL, NULL},
};

static enum color phase_color(const char *phase)
{
    if (strcmp(phase, "down") == 0 || strcmp(phase, "halted") == 0)
        return COLOR_RED;
    if (strcmp(phase, "streaming") == 0)
        return COLOR_GREEN;
    return COLOR_YELLOW;
}

/* Pads what was written since `start` to a number of columns (plain ASCII there). */
static void pad(struct strbuf *out, size_t start, size_t columns)
{
    while (out->len - start < columns && !out->failed)
        strbuf_addc(out, ' ');
}

static void add_stage(struct strbuf *out, const char *name, const json_t *all, const char *lsn_key,
                      const char *bytes_key, const char *seconds_key, const json_t *role)
{
    const json_t *lag = json_object_get(all, "lag");
    const char *lsn = fleet_text(all, lsn_key);
    double bytes = fleet_number(lag, bytes_key), seconds = fleet_number(lag, seconds_key);
    double rate = fleet_number(role, "changes_per_second");
    size_t start = out->len;
    strbuf_addf(out, "  %-10s %-18s", name, *lsn != '\0' ? lsn : "-");
    if (bytes >= 0) {
        human_bytes(out, bytes);
        strbuf_adds(out, " behind");
    }
    pad(out, start, 50);
    if (seconds >= 0)
        human_seconds(out, seconds);
    pad(out, start, 62);
    if (rate >= 0) {
        human_count(out, rate);
        strbuf_adds(out, " changes/s");
    }
    while (out->len > start && out->data[out->len - 1] == ' ')
        out->data[--out->len] = '\0';
    strbuf_addc(out, '\n');
}

static void add_snapshot(struct strbuf *out, const json_t *snapshot)
{
    double percent = fleet_number(snapshot, "percent"), eta_s = fleet_number(snapshot, "eta_seconds");
    double estimate = fleet_number(snapshot, "estimate");
    if (!json_is_object(snapshot))
        return;
    bool finished = json_is_string(json_object_get(snapshot, "finished"));
    strbuf_adds(out, "  snapshot   ");
    if (percent >= 0) {
        int filled = percent >= 100 ? BAR_CELLS : (int)(percent * BAR_CELLS / 100);
        strbuf_addc(out, '[');
        for (int i = 0; i < BAR_CELLS; i++)
            strbuf_addc(out, i < filled ? '#' : '.');
        strbuf_addf(out, "] %5.1f %%  ", percent);
    }
    human_count(out, fleet_number(snapshot, "rows"));
    if (estimate >= 0 && !finished) {
        strbuf_adds(out, " of about ");
        human_count(out, estimate);
    }
    strbuf_adds(out, " rows  ");
    if (finished) {
        strbuf_adds(out, "in ");
        human_seconds(out, fleet_number(snapshot, "seconds"));
    } else {
        human_count(out, fleet_number(snapshot, "rows_per_second"));
        strbuf_adds(out, " rows/s  ETA ");
        if (eta_s >= 0)
            human_seconds(out, eta_s);
        else
            strbuf_adds(out, "not known yet");
    }
    strbuf_addc(out, '\n');
}

/* Tables under way, so that a long copy shows what it is at. */
static void add_tables(struct strbuf *out, const json_t *snapshot)
{
    size_t i, shown = 0, done = 0;
    const json_t *table;
    const json_t *tables = json_object_get(snapshot, "tables");
    json_array_foreach(tables, i, table)
    {
        done += fleet_bool(table, "done");
        if (fleet_bool(table, "done") || fleet_number(table, "rows") <= 0 || shown >= 8)
            continue;
        strbuf_adds(out, "    ");
        terminal_add_cell(out, fleet_text(table, "name"), 38);
        strbuf_addc(out, ' ');
        human_count(out, fleet_number(table, "rows"));
        strbuf_adds(out, " rows\n");
        shown++;
    }
    if (json_array_size(tables) > 0)
        strbuf_addf(out, "    %zu of %zu tables done\n", done, json_array_size(tables));
}

static void add_guard(const struct terminal *term, struct strbuf *out, const json_t *role)
{
    const char *guard = fleet_text(role, "wal_guard");
    double limit = fleet_number(role, "max_retained_wal_bytes");
    if (limit > 0) {
        strbuf_adds(out, " of ");
        human_bytes(out, limit);
    }
    if (guard[0] == '\0' || strcmp(guard, "ok") == 0)
        return;
    strbuf_adds(out, " (");
    terminal_paint(term, out, strcmp(guard, "alert") == 0 ? COLOR_RED : COLOR_YELLOW, guard);
    strbuf_adds(out, ")");
}

static void add_role(const struct terminal *term, struct strbuf *out, const char *name, const json_t *role)
{
    const char *phase = fleet_text(role, "phase");
    double retained = fleet_number(role, "retained_wal_bytes"), memory = fleet_number(role, "memory_bytes");
    strbuf_addf(out, "  %-10s ", name);
    terminal_paint(term, out, phase_color(phase), phase);
    strbuf_addf(out, " at %s", fleet_text(role, "address"));
    if (fleet_is_down(role))
        strbuf_addf(out, ": %s", fleet_text(role, "error"));
    if (retained >= 0) {
        strbuf_adds(out, ", slot keeps ");
        human_bytes(out, retained);
        strbuf_adds(out, " of WAL");
        add_guard(term, out, role);
    }
    if (memory > 0) {
        strbuf_adds(out, ", memory ");
        human_bytes(out, memory);
    }
    if (fleet_number(role, "errors") > 0)
        strbuf_addf(out, ", %.0f errors, %.0f retries", fleet_number(role, "errors"),
                    fleet_number(role, "retries"));
    strbuf_addc(out, '\n');
    if (fleet_number(role, "dead_letters") > 0) {
        strbuf_adds(out, "    ");
        terminal_paint(term, out, COLOR_RED, "dead letters");
        strbuf_addf(out, ": %.0f held, no comparison passes: crossfade apply dlq list\n",
                    fleet_number(role, "dead_letters"));
    }
    if (*fleet_text(role, "dual_written") != '\0')
        strbuf_addf(
            out,
            "    written on both sides until %s: %s; there the target need not be a state of the source "
            "(conflicts: %.0f source, %.0f target, %.0f open)\n",
            fleet_text(role, "dual_write_until"), fleet_text(role, "dual_written"),
            fleet_number(role, "conflicts_source"), fleet_number(role, "conflicts_target"),
            fleet_number(role, "conflicts_open"));
    if (*fleet_text(role, "no_origin") != '\0')
        strbuf_addf(out, "    writes without a replication origin: %s\n", fleet_text(role, "no_origin"));
    const char *trouble = fleet_text(role, "trouble"), *error = fleet_text(role, "last_error");
    if (*trouble != '\0')
        strbuf_addf(out, "    now: %s\n", trouble);
    if (*error != '\0')
        strbuf_addf(out, "    %s\n", error);
}

/* Topics of Debezium: where its source stands nobody here knows. */
static void add_foreign(struct strbuf *out, const json_t *all, const json_t *apply)
{
    strbuf_addf(out, "  %-10s %s\n", "source", "topics of Debezium");
    strbuf_addf(out, "  %-10s fence %.0f", "applied", fleet_number(apply, "fence_id"));
    if (*fleet_text(apply, "position_commit_time") != '\0')
        strbuf_addf(out, ", committed on the source %s", fleet_text(apply, "position_commit_time"));
    strbuf_addf(out, "\n  %-10s %s\n", "snapshot",
                fleet_bool(all, "complete") ? "complete" : "its end was not seen yet");
    strbuf_addf(out, "  %-10s %s\n", "promise", fleet_text(all, "promise"));
}

static void add_status(const struct terminal *term, struct strbuf *out, const json_t *all)
{
    const char *phase = fleet_text(all, "phase");
    const json_t *capture = json_object_get(all, "capture"), *apply = json_object_get(all, "apply");
    const json_t *snapshot = json_object_get(all, "snapshot");
    terminal_paint(term, out, COLOR_BOLD, fleet_text(all, "pipeline"));
    strbuf_adds(out, "  ");
    terminal_paint(term, out, phase_color(phase), phase);
    strbuf_addc(out, '\n');
    if (*fleet_text(all, "promise") != '\0') {
        add_foreign(out, all, apply);
        add_role(term, out, "apply", apply);
        return;
    }
    strbuf_addf(out, "  %-10s %s\n", "source",
                *fleet_text(all, "source_lsn") ? fleet_text(all, "source_lsn") : "-");
    add_stage(out, "journaled", all, "journaled_lsn", "capture_bytes", "capture_seconds", capture);
    add_stage(out, "applied", all, "applied_lsn", "apply_bytes", "apply_seconds", apply);
    add_snapshot(out, snapshot);
    if (json_is_null(json_object_get(snapshot, "finished")))
        add_tables(out, snapshot);
    if (json_is_object(capture))
        add_role(term, out, "capture", capture);
    add_role(term, out, "apply", apply);
}

static int complain_down(const struct cli *cli, const json_t *all)
{
    static const char *const roles[] = {"capture", "apply"};
    int code = CLI_EXIT_OK;
    for (size_t i = 0; i < 2; i++) {
        const json_t *role = json_object_get(all, roles[i]);
        if (fleet_is_down(role)) {
            (void)fprintf(stderr, "crossfade %s: %s does not answer at %s: %s\n", cli->command->name,
                          roles[i], fleet_text(role, "address"), fleet_text(role, "error"));
            code = CLI_EXIT_FAILED;
        }
    }
    return code;
}

static void show(const struct terminal *term, const json_t *all)
{
    struct strbuf out = STRBUF_INIT(TEXT_BYTES_MAX);
    json_t *plain = fleet_plain(all);
    add_status(term, &out, plain);
    json_decref(plain);
    terminal_write(term, out.data);
    (void)fflush(stdout);
    strbuf_release(&out);
}

static void show_json(const json_t *all)
{
    char *text = json_dumps(all, JSON_INDENT(2) | JSON_REAL_PRECISION(14));
    (void)puts(text != NULL ? text : "{}");
    free(text);
}

static void pause_ms(long ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&ts, NULL);
}

/* Where the source's WAL is durable now: asked of the source itself when it is known, else as capture last
 * heard. 0: not known yet. */
static lsn_t wait_target(const struct cli *cli, const json_t *all)
{
    const char *url = config_text(cli->cfg, "source.url");
    struct pg_options options = {.application_name = "crossfade status", .connect_timeout_s = 5};
    struct pg_conn *conn = NULL;
    struct err err = ERR_INIT;
    char *text = NULL;
    lsn_t lsn = 0;
    if (url != NULL && pg_open(url, &options, &conn, &err) &&
        pg_query_text(conn, "SELECT pg_current_wal_flush_lsn()::text", 0, NULL, &text, &err) &&
        text != NULL && !lsn_parse(text, &lsn))
        lsn = 0;
    free(text);
    pg_close(conn);
    return lsn != 0 ? lsn : fleet_lsn(all, "source_lsn");
}

/*
 * The target position may stay just below the one waited for when the source is idle (WAL without commits).
 * So either apply is at that position, or capture has decoded up to it, then had nothing left to do, and
 * apply is at the fence that capture had then.
 */
struct waiting {
    lsn_t target_lsn;
    char decoded_at[ISO_TIME_MAX]; /* capture's caught_up_time when it had first decoded up to the target; ""
                                      = not yet */
    bool decoded;
    double fence_id; /* that apply must reach; -1 = not known yet */
    bool reached;    /* has caught up; now only the figures of it are waited for */
};

static bool has_caught_up(struct waiting *wait, const json_t *all)
{
    const json_t *capture = json_object_get(all, "capture"), *apply = json_object_get(all, "apply");
    if (wait->target_lsn == 0 || !fleet_bool(apply, "complete"))
        return false;
    if (fleet_lsn(apply, "applied_lsn") >= wait->target_lsn)
        return true;
    const char *idle_at = fleet_text(capture, "caught_up_time");
    if (!wait->decoded && fleet_lsn(capture, "received_lsn") >= wait->target_lsn) {
        wait->decoded = true;
        (void)snprintf(wait->decoded_at, sizeof wait->decoded_at, "%s", idle_at);
    } else if (wait->decoded && wait->fence_id < 0 && strcmp(idle_at, wait->decoded_at) != 0) {
        wait->fence_id = fleet_number(capture, "fence_id");
    }
    return wait->fence_id >= 0 && fleet_number(apply, "fence_id") >= wait->fence_id;
}

/* Apply may be at the position before capture has told of its first commit: what is printed then knows the lag. */
static bool figures_known(const json_t *all)
{
    return json_is_number(json_object_get(all, "lag_bytes")) &&
           json_is_number(json_object_get(all, "lag_seconds"));
}

static int wait_caught_up(const struct cli *cli, int64_t timeout_s, bool as_json)
{
    int64_t deadline_us = timeout_s > 0 ? clock_mono_us() + timeout_s * 1000000 : INT64_MAX;
    struct waiting wait = {.fence_id = -1};
    struct terminal term;
    terminal_look(&term);
    for (;;) {
        json_t *all = fleet_status(cli->cfg);
        if (wait.target_lsn == 0)
            wait.target_lsn = wait_target(cli, all);
        wait.reached = wait.reached || has_caught_up(&wait, all);
        bool done = wait.reached && figures_known(all);
        bool late = !done && clock_mono_us() >= deadline_us;
        if (done || late) {
            if (as_json)
                show_json(all);
            else
                show(&term, all);
            if (late) {
                (void)fprintf(stderr,
                              "crossfade status: not caught up after %lld s: phase %s, waits for " LSN_FMT
                              "%s\n",
                              (long long)timeout_s, fleet_text(all, "phase"), LSN_ARGS(wait.target_lsn),
                              wait.target_lsn == 0 ? " (the source does not say where it is)" : "");
                (void)complain_down(cli, all);
            }
            json_decref(all);
            return done ? CLI_EXIT_OK : CLI_EXIT_FAILED;
        }
        json_decref(all);
        pause_ms(LOOK_AGAIN_MS);
    }
}

int cmd_status(struct cli *cli)
{
    int64_t timeout_s;
    bool as_json = cli_flag(cli, "json") != NULL;
    const char *wait = cli_flag(cli, "wait");
    if (cli->arg_count > 0)
        return cli_usage_error(cli, "unexpected argument \"%s\"", cli->args[0]);
    if (!cli_flag_int(cli, "timeout", 0, 31536000, 0, &timeout_s))
        return CLI_EXIT_USAGE;
    if (wait != NULL && strcmp(wait, "caught-up") != 0)
        return cli_usage_error(cli, "--wait: found \"%s\", expected caught-up", wait);
    if (wait != NULL && config_text(cli->cfg, "source.debezium.brokers") != NULL)
        return cli_usage_error(cli, "--wait: with source.debezium it is not known where the source stands");
    if (wait != NULL)
        return wait_caught_up(cli, timeout_s, as_json);
    if (cli_flag(cli, "watch") != NULL)
        return status_watch(cli, as_json);
    struct terminal term;
    terminal_look(&term);
    json_t *all = fleet_status(cli->cfg);
    if (as_json)
        show_json(all);
    else
        show(&term, all);
    int code = complain_down(cli, all);
    json_decref(all);
    return code;
}
