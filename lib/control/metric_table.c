/* Owns: names, units and meanings of all metrics. See metric_table.h. Names by Prometheus' conventions: base units, _total for what only
 * counts up. A name that changes goes into CHANGELOG.md. */
#include "control/metric_table.h"

#include "control/tally.h"

static const struct metric_def defs[METRICS_MAX_] = {
    [METRIC_BUILD_INFO] = {"crossfade_build_info", METRIC_GAUGE, "both", "version",
                           "Always 1; the version of the executable is its label."},
    [METRIC_PHASE] = {"crossfade_phase", METRIC_GAUGE, "both", "phase",
                      "1 for the phase that the role is in, 0 for the others."},
    [METRIC_UP_TO_DATE] = {"crossfade_complete", METRIC_GAUGE, "both", "", "1 once the first copy is done."},
    [METRIC_POSITION] = {"crossfade_position_bytes", METRIC_GAUGE, "both", "position",
                         "Positions in the source's log as byte offsets: source (its end), received, "
                         "journaled, confirmed (to the slot), applied."},
    [METRIC_LAG_BYTES] = {"crossfade_lag_bytes", METRIC_GAUGE, "both", "stage",
                          "Log of the source that a stage has not done yet: received, journaled and "
                          "confirmed count from the source's end, applied from the journal's."},
    [METRIC_LAG_SECONDS] =
        {"crossfade_lag_seconds", METRIC_GAUGE, "both", "stage",
         "Age of the stage's position (received, journaled, applied) while there is work to do; about 0 when "
         "idle."},
    [METRIC_LAG_ALARM] = {"crossfade_lag_alarm", METRIC_GAUGE, "apply", "",
                          "1 while the lag is over apply.max_lag_ms."},
    [METRIC_CAUGHT_UP] = {"crossfade_caught_up_timestamp_seconds", METRIC_GAUGE, "both", "",
                          "When the role last had nothing left to do."},
    [METRIC_SLOT_WAL_STATUS] = {"crossfade_slot_wal_status", METRIC_GAUGE, "capture", "wal_status",
                                "1 for the slot's wal_status on the source, 0 for the others; none while it "
                                "is not known (MariaDB has no slot)."},
    [METRIC_RETAINED_WAL] = {"crossfade_retained_wal_bytes", METRIC_GAUGE, "capture", "",
                             "WAL that the slot holds back on the source."},
    [METRIC_RETAINED_WAL_LIMIT] =
        {"crossfade_retained_wal_limit_bytes", METRIC_GAUGE, "capture", "",
         "Smaller one of capture.max_retained_wal and the server's own limit, if there is any."},
    [METRIC_SAFE_WAL] = {"crossfade_safe_wal_bytes", METRIC_GAUGE, "capture", "",
                         "WAL that may still be written until the server drops the slot (safe_wal_size), if "
                         "there is a limit."},
    [METRIC_WAL_GUARD] = {"crossfade_wal_guard_level", METRIC_GAUGE, "capture", "",
                          "0 ok, 1 half of the limit, 2 copies pause, 3 at the limit."},
    [METRIC_JOURNAL_BYTES] = {"crossfade_journal_bytes", METRIC_GAUGE, "capture", "",
                              "Disk that the embedded journal takes, with room that is used again. Kafka's "
                              "own exporters know that of its topics."},
    [METRIC_JOURNAL_RECORDS] = {"crossfade_journal_records", METRIC_GAUGE, "capture", "",
                                "Records of data that the embedded journal keeps."},
    [METRIC_QUEUE] = {"crossfade_queue_depth", METRIC_GAUGE, "both", "queue",
                      "What waits: batches (capture: for the publisher), journal_records (capture: for the "
                      "broker), fences (apply: known and not applied)."},
    [METRIC_SPILLED] = {"crossfade_spilled_bytes_total", METRIC_COUNTER, "capture", "",
                        "Bytes of running transactions that were written to capture.spill_dir."},
    [METRIC_SNAPSHOT_ROWS] =
        {"crossfade_snapshot_rows", METRIC_GAUGE, "both", "",
         "Rows copied by the copy at hand, or by the last one. A copy that starts anew starts at 0."},
    [METRIC_SNAPSHOT_ESTIMATE] = {"crossfade_snapshot_estimated_rows", METRIC_GAUGE, "capture", "",
                                  "Rows to copy, by the server's estimate."},
    [METRIC_SNAPSHOT_PROGRESS] = {"crossfade_snapshot_progress_ratio", METRIC_GAUGE, "both", "",
                                  "Part of the copy that is done, 0 to 1."},
    [METRIC_SNAPSHOT_REMAINING] = {"crossfade_snapshot_remaining_seconds", METRIC_GAUGE, "both", "",
                                   "Time that the copy still takes at the present rate."},
    [METRIC_SNAPSHOT_TABLES] = {"crossfade_snapshot_tables", METRIC_GAUGE, "capture", "state",
                                "Tables of the copy at hand, done and pending."},
    [METRIC_ROWS] = {"crossfade_rows_total", METRIC_COUNTER, "both", "table, kind",
                     "Rows by table and kind (copy, insert, update, delete, truncate), when they are "
                     "durable. A change of key is a delete and an insert."},
    [METRIC_TABLES] = {"crossfade_tables", METRIC_GAUGE, "both", "",
                       "Tables that had rows or a stream since the role started."},
    [METRIC_CHANGES] = {"crossfade_changes_total", METRIC_COUNTER, "both", "",
                        "Changes that passed this role."},
    [METRIC_TRANSACTIONS] = {"crossfade_transactions_total", METRIC_COUNTER, "both", "",
                             "Source transactions that passed this role."},
    [METRIC_FENCES] = {"crossfade_fences_total", METRIC_COUNTER, "both", "",
                       "Fences written (capture) or committed (apply)."},
    [METRIC_BYTES] = {"crossfade_processed_bytes_total", METRIC_COUNTER, "both", "",
                      "Bytes of records that passed this role."},
    [METRIC_FENCE_ID] = {"crossfade_fence_id", METRIC_GAUGE, "both", "", "Last fence at this role."},
    [METRIC_BATCH_ROWS] =
        {"crossfade_batch_rows", METRIC_HISTOGRAM, "both", "",
         "Changes per unit: up to a fence (capture), in a transaction of the target (apply)."},
    [METRIC_BATCH_SECONDS] = {"crossfade_batch_duration_seconds", METRIC_HISTOGRAM, "both", "",
                              "Time to make a unit durable (capture: its fence and commit; apply: from "
                              "reading it to its commit)."},
    [METRIC_COMMIT_JOURNALED] = {"crossfade_commit_journaled_seconds", METRIC_HISTOGRAM, "capture", "",
                                 "From the commit on the source to its durability in the journal, per fence. "
                                 "Clocks of two machines."},
    [METRIC_COMMIT_VISIBLE] = {"crossfade_commit_visible_seconds", METRIC_HISTOGRAM, "apply", "",
                               "From the commit on the source to its visibility on the target, per batch, of "
                               "the batch's last transaction. Clocks of two machines."},
    [METRIC_BATCH_LIMIT] = {"crossfade_batch_limit_changes", METRIC_GAUGE, "apply", "",
                            "Most changes of a batch at present."},
    [METRIC_ERRORS] =
        {"crossfade_errors_total", METRIC_COUNTER, "both", "class, sqlstate_class",
         "Errors by class, and by the first two characters of their SQLSTATE where a server gave one."},
    [METRIC_RETRIES] = {"crossfade_retries_total", METRIC_COUNTER, "both", "class, sqlstate_class",
                        "Times that work was tried again, by the error that made it so."},
    [METRIC_FAILED_BATCHES] = {"crossfade_failed_batches", METRIC_GAUGE, "apply", "",
                               "Tries in a row that have failed; 0: the last one did not."},
    [METRIC_THROTTLED] = {"crossfade_throttled", METRIC_GAUGE, "apply", "",
                          "1 while apply waits for its schedule, a pause or a limit."},
    [METRIC_DEAD_LETTERS] = {"crossfade_dead_letters", METRIC_GAUGE, "apply", "",
                             "Records that the target refused, and those behind them."},
    [METRIC_CONFLICTS] = {"crossfade_conflicts_total", METRIC_COUNTER, "apply", "winner",
                          "Rows that both sides had changed, by who won (dual write)."},
    [METRIC_CONFLICTS_OPEN] = {"crossfade_conflicts_open", METRIC_GAUGE, "apply", "",
                               "Conflicts that need a person (dual write)."},
    [METRIC_VERDICT] =
        {"crossfade_verdict", METRIC_GAUGE, "apply", "verdict",
         "1 for the verdict of the last comparison, 0 for the others; none before there is one."},
    [METRIC_VERDICT_TIME] = {"crossfade_verdict_timestamp_seconds", METRIC_GAUGE, "apply", "",
                             "When the last comparison ended."},
    [METRIC_FULL_PASS_TIME] = {"crossfade_full_pass_timestamp_seconds", METRIC_GAUGE, "apply", "",
                               "When a comparison of all tables last ended with PASS."},
    [METRIC_MEMORY] = {"crossfade_memory_bytes", METRIC_GAUGE, "both", "",
                       "Anonymous resident memory of the process: without mapped files."},
    [METRIC_PROCESS_RSS] = {"process_resident_memory_bytes", METRIC_GAUGE, "both", "",
                            "Resident memory size in bytes."},
    [METRIC_PROCESS_CPU] = {"process_cpu_seconds_total", METRIC_COUNTER, "both", "",
                            "Total user and system CPU time spent in seconds."},
    [METRIC_PROCESS_FDS] = {"process_open_fds", METRIC_GAUGE, "both", "", "Number of open file descriptors."},
    [METRIC_PROCESS_FDS_MAX] = {"process_max_fds", METRIC_GAUGE, "both", "",
                                "Maximum number of open file descriptors."},
    [METRIC_PROCESS_START] = {"process_start_time_seconds", METRIC_GAUGE, "both", "",
                              "Start time of the process since unix epoch in seconds."},
};

const struct metric_def *metric_def(enum metric_id id)
{
    return &defs[id];
}

const char *metric_type_name(enum metric_type type)
{
    static const char *const names[] = {"gauge", "counter", "histogram"};
    return names[type];
}

void metrics_markdown(struct strbuf *out)
{
    strbuf_addf(
        out,
        "# Metrics\n\n*Written by `tools/docs` from the one table in the code "
        "(lib/control/metric_table.c).*\n\n"
        "Each role serves them at `/metrics` of its address (`capture.listen`, `apply.listen`), in "
        "Prometheus' text format. "
        "Every series has the labels `role` and `pipeline`, those of a sharded apply `shard` besides. What "
        "is not known is left out, "
        "never 0.\n\n"
        "Alert rules and their tests: `deploy/prometheus/`; a dashboard: `deploy/grafana/crossfade.json`.\n\n"
        "**Number of series.** Only `crossfade_rows_total` goes by table, and at most %d tables have series "
        "of their own: the first "
        "ones that had rows. The others are counted together as `table=\"other\"` (tables are "
        "`schema.table`, so none can be called so). "
        "Once a minute a table among the others takes the place of the one with the fewest rows of those "
        "shown, if it has had more than "
        "twice as many. A row is counted in one series, the one that its table had when it came, and nothing "
        "is moved between them: every "
        "series only counts up, and their sum's rate is right whatever the number of tables. So a role "
        "serves less than %d series, "
        "with 10 tables or 10,000.\n\n"
        "| metric | type | role | labels | meaning |\n|---|---|---|---|---|\n",
        TALLY_TABLES_SHOWN, (TALLY_TABLES_SHOWN + 1) * TALLY_KINDS + 2 * TALLY_CLASSES_MAX + 300);
    for (size_t i = 0; i < METRICS_MAX_; i++)
        strbuf_addf(out, "| `%s` | %s | %s | %s | %s |\n", defs[i].name, metric_type_name(defs[i].type),
                    defs[i].roles, defs[i].labels, defs[i].help);
}
