/* /metrics: a board in Prometheus' text format (version 0.0.4). Names by its conventions: base units, _total
 * for what only counts up. What is not known is left out. */
#include <string.h>

#include "control/board.h"
#include "core/strbuf.h"

#define METRICS_BYTES_MAX ((size_t)1 << 20)

struct metrics {
    struct strbuf out;
    struct strbuf labels; /* role="…",pipeline="…" */
};

static void add_label_value(struct strbuf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n')
            strbuf_adds(out, "\\n");
        else if (*text == '"' || *text == '\\')
            strbuf_addf(out, "\\%c", *text);
        else
            strbuf_addc(out, *text);
    }
}

static void head(struct metrics *m, const char *name, const char *type, const char *help)
{
    strbuf_addf(&m->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void sample(struct metrics *m, const char *name, const char *label, const char *label_value,
                   double value)
{
    strbuf_addf(&m->out, "%s{%s", name, m->labels.data);
    if (label != NULL) {
        strbuf_addf(&m->out, ",%s=\"", label);
        add_label_value(&m->out, label_value);
        strbuf_addc(&m->out, '"');
    }
    strbuf_addf(&m->out, "} %.17g\n", value);
}

static void counter(struct metrics *m, const char *name, const char *help, uint64_t value)
{
    head(m, name, "counter", help);
    sample(m, name, NULL, NULL, (double)value);
}

static void gauge(struct metrics *m, const char *name, const char *help, double value)
{
    head(m, name, "gauge", help);
    sample(m, name, NULL, NULL, value);
}

static void add_phase(struct metrics *m, enum role_phase now)
{
    head(m, "crossfade_phase", "gauge", "1 for the phase the role is in.");
    for (int phase = PHASE_STARTING; phase < PHASE_MAX_; phase++)
        sample(m, "crossfade_phase", "phase", role_phase_name((enum role_phase)phase), (int)now == phase);
}

static void add_positions(struct metrics *m, const struct role_status *st)
{
    const struct {
        const char *name;
        lsn_t lsn;
    } positions[] = {{"source", st->source_lsn},
                     {"received", st->received_lsn},
                     {"journaled", st->journaled_lsn},
                     {"applied", st->applied_lsn},
                     {"confirmed", st->confirmed_lsn}};
    head(m, "crossfade_position_bytes", "gauge", "Positions in the source's WAL, as byte offsets.");
    for (size_t i = 0; i < ARRAY_LEN(positions); i++) {
        if (positions[i].lsn != 0)
            sample(m, "crossfade_position_bytes", "position", positions[i].name, (double)positions[i].lsn);
    }
}

static void add_lag(struct metrics *m, const struct board_view *view)
{
    uint64_t lag_bytes;
    double lag_s;
    if (board_view_lag_bytes(view, &lag_bytes))
        gauge(m, "crossfade_lag_bytes", "WAL between the stage before and this one.", (double)lag_bytes);
    if (board_view_lag_seconds(view, &lag_s))
        gauge(m, "crossfade_lag_seconds", "Age of this role's position while there is work to do.", lag_s);
    if (view->status.retained_wal_bytes >= 0)
        gauge(m, "crossfade_retained_wal_bytes", "WAL that the slot holds back on the source.",
              (double)view->status.retained_wal_bytes);
    if (view->status.safe_wal_bytes >= 0)
        gauge(m, "crossfade_safe_wal_bytes", "WAL that may be written until the server drops the slot.",
              (double)view->status.safe_wal_bytes);
    if (strcmp(view->status.role, "capture") == 0)
        gauge(m, "crossfade_wal_guard_level", "0 ok, 1 half of the limit, 2 copies pause, 3 at the limit.",
              (double)view->status.wal_guard);
}

static void add_snapshot(struct metrics *m, const struct board_view *view)
{
    const struct role_status *st = &view->status;
    double percent, eta_s;
    counter(m, "crossfade_snapshot_rows_total", "Rows copied.", st->snapshot_rows);
    if (st->snapshot_rows_estimate != 0)
        gauge(m, "crossfade_snapshot_estimated_rows", "Rows to copy, by the server's estimate.",
              (double)st->snapshot_rows_estimate);
    if (st->snapshot_started_us == 0 || !board_view_eta(view, &percent, &eta_s))
        return;
    gauge(m, "crossfade_snapshot_progress_ratio", "Part of the copy that is done, 0 to 1.", percent / 100.0);
    if (eta_s >= 0)
        gauge(m, "crossfade_snapshot_remaining_seconds",
              "Time that the copy still takes at the present rate.", eta_s);
}

static void add_counters(struct metrics *m, const struct role_status *st)
{
    counter(m, "crossfade_changes_total", "Changes that passed this role.", st->changes);
    counter(m, "crossfade_transactions_total", "Source transactions that passed this role.",
            st->transactions);
    counter(m, "crossfade_fences_total", "Fences written (capture) or committed (apply).", st->fences);
    counter(m, "crossfade_processed_bytes_total", "Bytes of records that passed this role.", st->bytes);
    counter(m, "crossfade_errors_total", "Errors met.", st->errors);
    counter(m, "crossfade_retries_total", "Times that work was tried again.", st->retries);
    gauge(m, "crossfade_fence_id", "Last fence at this role.", (double)st->fence_id);
    gauge(m, "crossfade_unapplied_fences", "Fences known in the journal and not applied yet.",
          (double)st->unapplied_fences);
    if (strcmp(st->role, "apply") == 0) {
        gauge(m, "crossfade_dead_letters", "Records that the target refused, and those behind them.",
              (double)st->dead_letters);
        if (st->dual_written[0] != '\0') {
            counter(m, "crossfade_conflicts_source_total",
                    "Rows that both sides had changed, decided for the source.", st->conflicts_source);
            counter(m, "crossfade_conflicts_target_total", "… decided for the target.", st->conflicts_target);
            gauge(m, "crossfade_conflicts_open", "… that need a person.", (double)st->conflicts_open);
        }
        gauge(m, "crossfade_throttled", "1 while apply waits for its schedule, a pause or a limit.",
              st->throttle != NULL);
        gauge(m, "crossfade_batch_changes", "Most changes of a batch at present.", (double)st->batch_changes);
        gauge(m, "crossfade_lag_alarm", "1 while the lag is over apply.max_lag_ms.", st->lag_alarm);
    }
    gauge(m, "crossfade_complete", "1 once the first copy is done.", st->complete ? 1 : 0);
    if (st->caught_up_us != 0)
        gauge(m, "crossfade_caught_up_timestamp_seconds", "When the role last had nothing left to do.",
              (double)st->caught_up_us / 1e6);
}

char *status_board_metrics(struct status_board *board)
{
    struct board_view view;
    board_look(board, &view);
    struct metrics m = {.out = STRBUF_INIT(METRICS_BYTES_MAX), .labels = STRBUF_INIT(1000)};
    strbuf_adds(&m.labels, "role=\"");
    add_label_value(&m.labels, view.status.role);
    strbuf_adds(&m.labels, "\",pipeline=\"");
    add_label_value(&m.labels, view.status.pipeline);
    if (view.status.shard[0] != '\0') {
        strbuf_adds(&m.labels, "\",shard=\"");
        add_label_value(&m.labels, view.status.shard);
    }
    strbuf_addc(&m.labels, '"');
    head(&m, "crossfade_build_info", "gauge", "Version of the executable.");
    sample(&m, "crossfade_build_info", "version", CF_VERSION, 1);
    add_phase(&m, view.status.phase);
    add_positions(&m, &view.status);
    add_lag(&m, &view);
    add_snapshot(&m, &view);
    add_counters(&m, &view.status);
    gauge(&m, "crossfade_memory_bytes", "Anonymous resident memory of the process.",
          (double)process_anon_bytes());
    board_view_release(&view);
    strbuf_release(&m.labels);
    return strbuf_detach(&m.out);
}
