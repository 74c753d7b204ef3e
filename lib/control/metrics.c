/* /metrics: a board and its tally in Prometheus' text format (version 0.0.4). Names and meanings: metric_table.c. What is not known is left
 * out. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "control/board.h"
#include "control/metric_table.h"
#include "control/process.h"
#include "control/tally.h"
#include "core/memory.h"
#include "core/strbuf.h"
#include "core/utf8.h"

/* Some 2000 series (metric_table.c), of names that PostgreSQL and MariaDB allow. */
#define METRICS_BYTES_MAX ((size_t)4 << 20)

struct metrics {
    struct strbuf out;
    struct strbuf labels;  /* role="…",pipeline="…" */
    enum metric_id family; /* at hand: its samples stand together */
};

/* Prometheus takes any valid text. What would lead a terminal that looks at /metrics, or read otherwise than it is, is spelled out (\x1b), so
 * that two names stay two. */
static void add_label_value(struct strbuf *out, const char *text)
{
    for (size_t n; *text != '\0'; text += n) {
        unsigned char c = (unsigned char)*text;
        n = utf8_char_len(text, strnlen(text, 4));
        if (n == 0) {
            strbuf_addc(out, '?');
            n = 1;
        } else if (c == '\n') {
            strbuf_adds(out, "\\n");
        } else if (c == '"' || c == '\\') {
            strbuf_addf(out, "\\%c", c);
        } else if (c < 0x20 || c == 0x7f) {
            strbuf_addf(out, "\\\\x%02x", c);
        } else if (n > 1 && utf8_is_sly(utf8_code_point(text, n))) {
            strbuf_addf(out, "\\\\u%04lx", utf8_code_point(text, n));
        } else {
            strbuf_add(out, text, n);
        }
    }
}

static void add_label(struct strbuf *out, const char *label, const char *value)
{
    strbuf_addf(out, ",%s=\"", label);
    add_label_value(out, value);
    strbuf_addc(out, '"');
}

static void family(struct metrics *m, enum metric_id id)
{
    const struct metric_def *def = metric_def(id);
    m->family = id;
    strbuf_addf(&m->out, "# HELP %s %s\n# TYPE %s %s\n", def->name, def->help, def->name,
                metric_type_name(def->type));
}

static void add_value(struct metrics *m, double value)
{
    strbuf_addf(&m->out, "} %.17g\n", value);
}

/* A sample of the family at hand; labels that are NULL are left out. */
static void sample2(struct metrics *m, const char *label, const char *label_value, const char *other,
                    const char *other_value, double value)
{
    strbuf_addf(&m->out, "%s{%s", metric_def(m->family)->name, m->labels.data);
    if (label != NULL)
        add_label(&m->out, label, label_value);
    if (other != NULL)
        add_label(&m->out, other, other_value);
    add_value(m, value);
}

static void sample(struct metrics *m, const char *label, const char *label_value, double value)
{
    sample2(m, label, label_value, NULL, NULL, value);
}

static void one(struct metrics *m, enum metric_id id, double value)
{
    family(m, id);
    sample(m, NULL, NULL, value);
}

static void one_if(struct metrics *m, enum metric_id id, bool known, double value)
{
    if (known)
        one(m, id, value);
}

/* 1 for the word at hand, 0 for all others. */
static void one_of(struct metrics *m, enum metric_id id, const char *label, const char *const *words,
                   size_t count, const char *now)
{
    family(m, id);
    for (size_t i = 0; i < count; i++)
        sample(m, label, words[i], strcmp(words[i], now) == 0);
}

static void add_phase(struct metrics *m, enum role_phase now)
{
    const char *names[PHASE_MAX_];
    for (int phase = PHASE_STARTING; phase < PHASE_MAX_; phase++)
        names[phase] = role_phase_name((enum role_phase)phase);
    one_of(m, METRIC_PHASE, "phase", names + PHASE_STARTING, PHASE_MAX_ - PHASE_STARTING,
           role_phase_name(now));
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
    family(m, METRIC_POSITION);
    for (size_t i = 0; i < ARRAY_LEN(positions); i++) {
        if (positions[i].lsn != 0)
            sample(m, "position", positions[i].name, (double)positions[i].lsn);
    }
}

static void stage_bytes(struct metrics *m, const char *stage, lsn_t ahead, lsn_t own)
{
    if (ahead != 0 && own != 0)
        sample(m, "stage", stage, ahead > own ? (double)(ahead - own) : 0);
}

static void add_lag(struct metrics *m, const struct board_view *view, bool capture)
{
    const struct role_status *st = &view->status;
    double lag_s;
    family(m, METRIC_LAG_BYTES);
    if (capture) {
        stage_bytes(m, "received", st->source_lsn, st->received_lsn);
        stage_bytes(m, "journaled", st->source_lsn, st->journaled_lsn);
        stage_bytes(m, "confirmed", st->source_lsn, st->confirmed_lsn);
    } else {
        stage_bytes(m, "applied", st->journaled_lsn, st->applied_lsn);
    }
    int64_t received_us = MAX_OF(st->received_commit_us, st->received_all_us);
    bool known = board_view_lag_seconds(view, &lag_s);
    if (known || received_us != 0)
        family(m, METRIC_LAG_SECONDS);
    if (received_us != 0)
        sample(m, "stage", "received", (double)MAX_OF(view->now_us - received_us, 0) / 1e6);
    if (known)
        sample(m, "stage", capture ? "journaled" : "applied", lag_s);
    one_if(m, METRIC_CAUGHT_UP, st->caught_up_us != 0, (double)st->caught_up_us / 1e6);
}

static void add_slot(struct metrics *m, const struct role_status *st)
{
    static const char *const states[] = {"reserved", "extended", "unreserved", "lost"};
    if (st->wal_status[0] != '\0')
        one_of(m, METRIC_SLOT_WAL_STATUS, "wal_status", states, ARRAY_LEN(states), st->wal_status);
    one_if(m, METRIC_RETAINED_WAL, st->retained_wal_bytes >= 0, (double)st->retained_wal_bytes);
    one_if(m, METRIC_RETAINED_WAL_LIMIT, st->max_retained_wal_bytes > 0, (double)st->max_retained_wal_bytes);
    one_if(m, METRIC_SAFE_WAL, st->safe_wal_bytes >= 0, (double)st->safe_wal_bytes);
    one(m, METRIC_WAL_GUARD, (double)st->wal_guard);
}

static void add_queues(struct metrics *m, const struct role_status *st, bool capture)
{
    if (capture) {
        one_if(m, METRIC_JOURNAL_BYTES, st->journal_known && st->journal_bytes >= 0,
               (double)st->journal_bytes);
        one_if(m, METRIC_JOURNAL_RECORDS, st->journal_known && st->journal_records >= 0,
               (double)st->journal_records);
        one(m, METRIC_SPILLED, (double)st->spilled_bytes);
    }
    family(m, METRIC_QUEUE);
    if (capture)
        sample(m, "queue", "batches", (double)st->queued_batches);
    if (capture && st->journal_known && st->journal_queued >= 0)
        sample(m, "queue", "journal_records", (double)st->journal_queued);
    if (!capture)
        sample(m, "queue", "fences", (double)st->unapplied_fences);
}

static void add_copied_tables(struct metrics *m, const struct role_status *st)
{
    size_t done = 0;
    if (st->tables == NULL)
        return;
    for (size_t i = 0; i < st->table_count; i++)
        done += st->tables[i].done;
    family(m, METRIC_SNAPSHOT_TABLES);
    sample(m, "state", "done", (double)done);
    sample(m, "state", "pending", (double)(st->table_count - done));
}

static void add_snapshot(struct metrics *m, const struct board_view *view)
{
    const struct role_status *st = &view->status;
    double percent, eta_s;
    one(m, METRIC_SNAPSHOT_ROWS, (double)st->snapshot_rows);
    one_if(m, METRIC_SNAPSHOT_ESTIMATE, st->snapshot_rows_estimate != 0, (double)st->snapshot_rows_estimate);
    add_copied_tables(m, st);
    if (st->snapshot_started_us == 0 || !board_view_eta(view, &percent, &eta_s))
        return;
    one(m, METRIC_SNAPSHOT_PROGRESS, percent / 100.0);
    one_if(m, METRIC_SNAPSHOT_REMAINING, eta_s >= 0, eta_s);
}

static void add_counters(struct metrics *m, const struct role_status *st)
{
    one(m, METRIC_CHANGES, (double)st->changes);
    one(m, METRIC_TRANSACTIONS, (double)st->transactions);
    one(m, METRIC_FENCES, (double)st->fences);
    one(m, METRIC_BYTES, (double)st->bytes);
    one(m, METRIC_FENCE_ID, (double)st->fence_id);
    one(m, METRIC_UP_TO_DATE, st->complete ? 1 : 0);
}

static void add_verdict(struct metrics *m, const struct role_status *st)
{
    static const char *const verdicts[] = {"PASS", "FAIL", "INCONCLUSIVE"};
    if (st->verdict[0] == '\0')
        return;
    one_of(m, METRIC_VERDICT, "verdict", verdicts, ARRAY_LEN(verdicts), st->verdict);
    one(m, METRIC_VERDICT_TIME, (double)st->verdict_us / 1e6);
    one_if(m, METRIC_FULL_PASS_TIME, st->full_pass_us != 0, (double)st->full_pass_us / 1e6);
}

static void add_apply(struct metrics *m, const struct role_status *st)
{
    one(m, METRIC_DEAD_LETTERS, (double)st->dead_letters);
    if (st->dual_written[0] != '\0') {
        family(m, METRIC_CONFLICTS);
        sample(m, "winner", "source", (double)st->conflicts_source);
        sample(m, "winner", "target", (double)st->conflicts_target);
        one(m, METRIC_CONFLICTS_OPEN, (double)st->conflicts_open);
    }
    one(m, METRIC_THROTTLED, st->throttle != NULL);
    one(m, METRIC_BATCH_LIMIT, (double)st->batch_changes);
    one(m, METRIC_FAILED_BATCHES, (double)st->failed_batches);
    one(m, METRIC_LAG_ALARM, st->lag_alarm);
    add_verdict(m, st);
}

static void add_histogram(struct metrics *m, enum metric_id id, const struct tally_histogram *h,
                          enum tally_histogram_id which)
{
    const char *name = metric_def(id)->name;
    const double *bounds;
    size_t count = tally_bounds(which, &bounds);
    uint64_t below = 0;
    family(m, id);
    for (size_t i = 0; i <= count; i++) {
        below += h->buckets[i];
        strbuf_addf(&m->out, "%s_bucket{%s,le=\"", name, m->labels.data);
        if (i < count)
            strbuf_addf(&m->out, "%.15g\"", bounds[i]);
        else
            strbuf_adds(&m->out, "+Inf\"");
        add_value(m, (double)below);
    }
    strbuf_addf(&m->out, "%s_sum{%s", name, m->labels.data);
    add_value(m, h->sum);
    strbuf_addf(&m->out, "%s_count{%s", name, m->labels.data);
    add_value(m, (double)h->count);
}

/* Every class has a series from the start, so that its first error is an increase. */
static void add_classes(struct metrics *m, enum metric_id id, const struct tally_view *tally)
{
    bool retries = id == METRIC_RETRIES;
    bool plain[ERR_MAX_] = {false};
    family(m, id);
    for (size_t i = 0; i < tally->class_count; i++) {
        const struct tally_class *class = &tally->classes[i];
        plain[class->code] = plain[class->code] || class->sqlstate_class[0] == '\0';
        sample2(m, "class", err_code_name(class->code), "sqlstate_class", class->sqlstate_class,
                (double)(retries ? class->retries : class->errors));
    }
    for (int code = ERR_NONE + 1; code < ERR_MAX_; code++) {
        if (!plain[code])
            sample2(m, "class", err_code_name((enum err_code)code), "sqlstate_class", "", 0);
    }
}

static void add_tally(struct metrics *m, const struct tally_view *tally, bool capture)
{
    family(m, METRIC_ROWS);
    for (size_t i = 0; i < tally->table_count; i++) {
        for (int kind = 0; kind < TALLY_KINDS; kind++)
            sample2(m, "table", tally->tables[i].name, "kind", tally_kind_name((enum tally_kind)kind),
                    (double)tally->tables[i].rows[kind]);
    }
    one(m, METRIC_TABLES, (double)tally->tables_known);
    add_histogram(m, METRIC_BATCH_ROWS, &tally->histograms[TALLY_BATCH_ROWS], TALLY_BATCH_ROWS);
    add_histogram(m, METRIC_BATCH_SECONDS, &tally->histograms[TALLY_BATCH_SECONDS], TALLY_BATCH_SECONDS);
    add_histogram(m, capture ? METRIC_COMMIT_JOURNALED : METRIC_COMMIT_VISIBLE,
                  &tally->histograms[TALLY_COMMIT_SECONDS], TALLY_COMMIT_SECONDS);
    add_classes(m, METRIC_ERRORS, tally);
    add_classes(m, METRIC_RETRIES, tally);
}

static void add_process(struct metrics *m)
{
    struct process_numbers p;
    process_look(&p);
    one(m, METRIC_MEMORY, (double)memory_anon_bytes());
    one_if(m, METRIC_PROCESS_RSS, p.resident_bytes > 0, (double)p.resident_bytes);
    one_if(m, METRIC_PROCESS_CPU, p.cpu_s >= 0, p.cpu_s);
    one_if(m, METRIC_PROCESS_FDS, p.open_fds > 0, (double)p.open_fds);
    one_if(m, METRIC_PROCESS_FDS_MAX, p.max_fds > 0, (double)p.max_fds);
    one_if(m, METRIC_PROCESS_START, p.started_s > 0, p.started_s);
}

static void begin(struct metrics *m, const struct role_status *st)
{
    strbuf_adds(&m->labels, "role=\"");
    add_label_value(&m->labels, st->role);
    strbuf_addc(&m->labels, '"');
    add_label(&m->labels, "pipeline", st->pipeline);
    if (st->shard[0] != '\0')
        add_label(&m->labels, "shard", st->shard);
    family(m, METRIC_BUILD_INFO);
    sample(m, "version", CF_VERSION, 1);
}

char *status_board_metrics(struct status_board *board)
{
    struct board_view view;
    struct tally_view tally;
    board_look(board, &view);
    tally_look(status_board_tally(board), &tally);
    bool capture = strcmp(view.status.role, "capture") == 0;
    struct metrics m = {.out = STRBUF_INIT(METRICS_BYTES_MAX), .labels = STRBUF_INIT(1000)};
    begin(&m, &view.status);
    add_phase(&m, view.status.phase);
    add_positions(&m, &view.status);
    add_lag(&m, &view, capture);
    if (capture)
        add_slot(&m, &view.status);
    add_queues(&m, &view.status, capture);
    add_snapshot(&m, &view);
    add_counters(&m, &view.status);
    add_tally(&m, &tally, capture);
    if (!capture)
        add_apply(&m, &view.status);
    add_process(&m);
    tally_view_release(&tally);
    board_view_release(&view);
    strbuf_release(&m.labels);
    return strbuf_detach(&m.out);
}
