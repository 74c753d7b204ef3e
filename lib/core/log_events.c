/* Owns: the names of the log's events. See log_events.h. Sorted by name; a name that was published stays. */
#include "core/log_events.h"

#include <string.h>

static const struct log_event_def events[] = {
    {"alert", "info, error", "all",
     "An alert was raised: `event`, `level`, `text`. The same goes to the webhook and to commands."},
    {"alert_failed", "error", "all",
     "The webhook or a command did not take an alert; `waiting` are tried again."},
    {"alert_lost", "error", "all", "So many (`count`) alerts were not taken by the webhook and are let go."},
    {"auto_cutover", "info", "cutover", "What the watch decides about a cutover that runs by itself."},
    {"batch_again", "info", "apply",
     "A batch was refused and is written again in another way (`from`, `to`): sets, then exact order, then "
     "row by row."},
    {"batch_in_file", "info", "apply",
     "A batch does not fit into memory and goes through a temporary file in `folder`."},
    {"batch_retry", "warn", "apply",
     "A batch failed with an error that may pass; the same session tries again."},
    {"batch_split", "info", "apply",
     "A table does not fit one of several fences: they are applied one by one, up to the one that needs it."},
    {"bug", "error", "all",
     "An invariant of Crossfade does not hold (`at`: file and line): the process ends, and starts from the "
     "durable position. Report it."},
    {"cascades_unseen", "warn", "apply",
     "What a source's foreign keys do by cascading is in no topic: rows of the tables that refer to `table` "
     "have to be compared."},
    {"claim_store_taken", "info", "capture", "A claim store without owner is this pipeline's from here on."},
    {"claims_removed", "info", "capture",
     "Files of large values that no record names any more were removed."},
    {"claims_unsettled", "warn", "capture",
     "Files of large values stay, since it cannot be told whether a record names them."},
    {"compare_failed", "error", "compare",
     "A comparison could not run; the window goes on with the next one."},
    {"compare_rests", "info", "compare",
     "A comparison waits so that the source gets the rest that compare.busy_share promises."},
    {"compared", "info, error", "compare", "A comparison of a window ended: `verdict`, numbers, `fence`."},
    {"conflict_waits", "warn", "apply",
     "A conflict of a dual write is not decided before apply has read what the source had committed."},
    {"control", "info", "capture, apply", "A command was carried out: `verb`, `who`, `from` where."},
    {"control_denied", "warn", "capture, apply",
     "A command, or a request to read where that takes a token, came with a wrong one, and was refused."},
    {"control_refused", "warn", "capture, apply", "A command was not carried out; `text` says why."},
    {"copy_anew", "warn", "capture",
     "A table is copied from its first row on: its shape, key or partitions have changed."},
    {"copy_dropped", "warn", "capture", "A copy that was asked for is not made (`text` says why)."},
    {"copy_failed", "error", "capture", "A copy that was asked for was given up; ask again."},
    {"copy_refused", "warn", "capture",
     "A request for a copy was not taken up: it is there already, or too many wait."},
    {"cut", "info", "capture", "A comparison's cut: a fence stands exactly there."},
    {"cut_refused", "warn", "capture",
     "A comparison's cut came too late; the comparison will be INCONCLUSIVE."},
    {"cutover", "info", "cutover",
     "What a cutover says that runs without a person: the watch's, or one that was taken over."},
    {"cutover_orphaned", "warn", "cutover",
     "The process of a rollback, or of a cutover behind one, is gone at its decision; its successor looks "
     "whether that was taken."},
    {"cutover_taken_over", "info, error", "cutover",
     "The successor has led it to its end, or found nothing left to do (`text`); as an error: a person is "
     "needed."},
    {"dead_letter", "info, warn", "apply",
     "A row that the target refused is held (or one behind it): `table`, `lsn`, `topic`, `partition`, "
     "`offset`, `sqlstate`. No values."},
    {"dead_letters_applied", "info", "apply", "A retry of dead letters succeeded."},
    {"dead_letters_discarded", "warn", "apply", "A person had dead letters discarded."},
    {"dead_letters_refused", "warn", "apply", "A retry of dead letters was refused again; they stay."},
    {"direct_anew", "info", "capture", "A table's direct load starts over."},
    {"direct_begin", "info", "capture", "The direct load of the first copy begins."},
    {"direct_given_up", "info", "apply", "A later copy has begun: the direct load is not waited for."},
    {"direct_held", "warn", "capture",
     "A row of a direct load was refused by the target and is held: where it stands, never what it is."},
    {"direct_loaded", "info", "apply", "All rows of a direct load are there; changes behind it are applied."},
    {"direct_narrows", "info", "capture", "A direct load was refused and is narrowed down to the row."},
    {"direct_planned", "info", "capture", "The direct load knows its chunks."},
    {"direct_refused", "warn", "apply",
     "Rows that a direct load had left were taken up: applied or held as dead letters."},
    {"direct_retry", "warn", "capture", "The direct load met an error that may pass, and tries again."},
    {"direct_snapshot", "info", "capture", "The snapshot that a direct load reads is open."},
    {"direct_waits", "info", "capture, apply", "The direct load waits for the other role."},
    {"drained", "info", "capture",
     "All that the source had committed when it was asked to drain is in the journal: `lsn`."},
    {"dual_write", "info", "apply", "Tables that are written on both sides are looked at from here on."},
    {"dual_write_ends", "warn", "apply", "The time limit of a dual write comes near: apply halts there."},
    {"dual_write_shape", "warn", "apply",
     "A table that is written on both sides has another shape: what was known of its rows was moved."},
    {"duplicates_dropped", "info", "apply",
     "Records that were delivered twice were dropped (delivery: idempotent, or a restart)."},
    {"end_given_up", "error", "capture, apply",
     "A step of the role's end (alerts, status_page, commands) takes too long: the process ends without "
     "waiting for it, with the exit code "
     "that it has."},
    {"end_unbounded", "warn", "capture, apply",
     "No thread can be started at the role's end (`errno`): it may take as long as its steps do."},
    {"fence_spooled", "info", "apply", "A fence is larger than a batch and goes through a temporary file."},
    {"filters_changed", "warn", "capture", "Filters are others than those of the copy, and were accepted."},
    {"from_crossfade", "info", "capture", "Changes that an apply wrote are captured, too."},
    {"generated_columns_left_out", "info", "capture",
     "The server does not send generated columns: the target computes them."},
    {"group_offsets", "info, warn", "apply",
     "Offsets for Kafka's own lag tools could not be committed (apply goes on), or can again."},
    {"halted", "error", "capture, apply",
     "The role has ended with `exit_code`: `text` says what a person has to do."},
    {"heartbeat_refused", "warn", "capture",
     "The source refuses heartbeats: an idle one keeps WAL that it need not."},
    {"hold", "info", "capture", "A comparison's hold: no fence is written until its cut."},
    {"hold_lapsed", "warn", "capture", "A comparison's hold ended by its deadline."},
    {"kafka", "debug", "capture, apply", "What the Kafka library says."},
    {"kafka_answers", "info", "capture, apply", "The brokers answer again."},
    {"kafka_no_answer", "warn", "capture, apply",
     "The brokers do not answer; the journal goes on trying. `waits_for`, `reason`."},
    {"key_not_unique", "warn", "capture", "The key of source.filters is not unique on the source."},
    {"lag_alarm", "warn", "apply", "The lag is over apply.max_lag_ms. Once per crossing."},
    {"lag_alarm_over", "info", "apply", "The lag is below apply.max_lag_ms again."},
    {"line_silent", "warn", "capture, apply",
     "The network has acknowledged nothing of what was sent to `server` for `ms`: the connection is ended, "
     "and opened anew."},
    {"listens_openly", "warn", "capture, apply",
     "Status and metrics can be read from other machines without credentials."},
    {"looking_back", "info", "apply", "A topic of Debezium is read again from `offset`."},
    {"marker_ignored", "warn", "capture", "A marker in the source's log is not answered; `text` says why."},
    {"marker_table", "warn", "capture",
     "crossfade_marker cannot be made on the source: neither cutover nor ping can reach capture."},
    {"no_origin", "warn", "apply", "What apply writes carries no replication origin."},
    {"no_snapshot", "warn", "capture",
     "A table's engine has no snapshots: its rows are of different moments until the stream has caught up."},
    {"not_audited", "warn", "capture, apply",
     "A command is not in the audit chain: this role has no target.url."},
    {"notify_failed", "warn", "all", "systemd could not be told how the process is."},
    {"prepared_left", "warn", "apply",
     "Transactions may be left prepared on the target; the next start settles them."},
    {"prepared_settled", "info", "apply",
     "A prepared transaction of an earlier process was committed or rolled back."},
    {"reading_ahead", "info", "apply", "The next batch is read while this one is written. Once per process."},
    {"release_deadline", "info", "apply", "A comparison did not release apply in time; apply goes on."},
    {"released", "info", "apply", "A comparison released apply."},
    {"retry", "warn", "capture",
     "Capture met an error that may pass, closes everything and starts again after `wait_ms`."},
    {"rollback", "info", "cutover", "What the rollback that the watch runs says."},
    {"rollback_failed", "warn", "apply, cutover",
     "A transaction of the target could not be rolled back; the connection is opened anew."},
    {"schema_changed", "warn", "capture", "A table has another shape from `lsn` on."},
    {"schema_not_noted", "warn", "compare", "The schema's fingerprint is not in the verdict."},
    {"schema_statement", "warn", "capture", "A statement changed a table on a MariaDB source."},
    {"server_notice", "debug", "all", "A notice of a PostgreSQL server."},
    {"session_lost", "warn", "apply", "Apply met an error that may pass, and opens everything anew."},
    {"session_opened", "info", "apply", "Apply has a session: where it goes on."},
    {"shards_changed", "info", "apply", "The number of shards was changed, at a fence."},
    {"shards_connected", "info", "apply", "Tables that foreign keys connect are of one shard."},
    {"shards_torn", "info", "apply",
     "A foreign key connects tables of two shards: tables are shared out anew."},
    {"silent_session_ended", "warn", "apply, cutover",
     "A session that held the pipeline's lock on MariaDB and had been silent for too long was ended."},
    {"slot_create", "info", "capture", "The slot is being made: it waits for the transactions that run now."},
    {"slot_watched", "info", "capture",
     "The stream does not run (the journal is away, say): the slot is looked at by another connection."},
    {"snapshot_again", "warn", "apply", "Debezium's connector makes its first snapshot anew."},
    {"snapshot_anew", "warn", "capture", "The copy starts over; `text` says why."},
    {"snapshot_begin", "info", "capture", "A copy begins."},
    {"snapshot_end", "info", "capture", "A copy is done."},
    {"snapshot_resume", "info", "capture", "A copy goes on where it stood."},
    {"snapshot_slowed", "warn", "capture",
     "The source answers slowly: the copy reads less (capture.max_source_latency_ms)."},
    {"snapshot_table", "info", "capture", "A table is copied (MariaDB)."},
    {"snapshot_waits", "info", "capture", "A copy waits for transactions that ran when it was taken up."},
    {"source_setting", "warn", "capture", "A setting of the MariaDB source is not as it should be."},
    {"standby_alone", "info", "capture", "source.url is a standby: no heartbeats."},
    {"standby_feedback_off", "warn", "capture",
     "hot_standby_feedback is off on the standby: its slot may be invalidated."},
    {"started", "info", "all", "The process is up: `version`, `pipeline`, where it listens."},
    {"stop_asked", "info", "all", "A signal asks for a stop."},
    {"stop_at_once", "warn", "all", "The stop does not wait any longer."},
    {"stop_waits", "warn", "all", "The step at hand is finished or undone before the stop."},
    {"stopped", "info", "all", "An orderly end."},
    {"stream_begin", "info", "capture", "The stream is read from `lsn` on."},
    {"streamed_commit", "debug", "capture", "A transaction that was streamed while it ran has committed."},
    {"table_not_published", "warn", "capture", "A table is not in the publication, so it is not captured."},
    {"table_parked", "warn", "apply",
     "A table's key has changed while dead letters of it are held: all its changes wait behind them."},
    {"table_version", "debug", "capture", "A table's schema was registered."},
    {"throttle", "info", "apply",
     "What apply waits for before the next batch: a schedule, a limit, a pause, or nothing any more."},
    {"topic_taken_up", "info", "apply", "A topic of Debezium is read."},
    {"transaction_incomplete", "warn", "apply", "A transaction of Debezium's topics is not whole."},
    {"transaction_open", "warn", "apply", "A transaction of Debezium's topics has not ended for long."},
    {"transaction_spills", "info", "capture",
     "A running transaction is too large for memory and goes to capture.spill_dir."},
    {"triggers_fire", "warn", "apply",
     "Triggers and foreign keys fire on the target while rows are applied."},
    {"value_changed", "warn", "apply, capture",
     "target.unfit changed a value that a column cannot hold: which column, never the value."},
    {"verdict_unknown", "warn", "apply",
     "The verdicts of comparisons cannot be read on the target: their metrics are left out. Nothing else "
     "depends on them."},
    {"waiting_for_release", "info", "apply", "Apply stands at a comparison's fence."},
    {"wal_guard", "info, warn, error", "capture",
     "The slot comes nearer to what the source keeps for it, or lets go again: `level`, `retained_bytes`, "
     "`limit_bytes`, `wal_status`."},
    {"watch", "warn", "cutover", "The watch runs without --execute: alerts only."},
    {"watch_failed", "error", "compare, cutover",
     "The watch could not look, or could not note what it found; it goes on."},
    {"writers_alone", "warn", "apply", "Several writers could not work together: one writes all."},
    {"writers_idle", "warn", "apply", "Several writers were asked for, and triggers fire: one writes all."},
};
_Static_assert(ARRAY_LEN(events) < LOG_EVENTS_MAX, "room for each event's limit (log.c)");

const struct log_event_def *log_events(size_t *ret_count)
{
    *ret_count = ARRAY_LEN(events);
    return events;
}

int log_event_index(const char *name)
{
    size_t low = 0, high = ARRAY_LEN(events);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, events[middle].name);
        if (order == 0)
            return (int)middle;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -1;
}

void log_events_markdown(struct strbuf *out)
{
    strbuf_adds(out, "# Events of the log\n\n*Written by `tools/docs` from the one table in the code "
                     "(lib/core/log_events.c).*\n\n"
                     "Each event is one line on stderr: time (UTC), level, role, name, details. With "
                     "`log.format: json` it is one JSON object:\n\n"
                     "    "
                     "{\"time\":\"2026-01-31T12:34:56.123456Z\",\"level\":\"warn\",\"role\":\"apply\","
                     "\"event\":\"lag_alarm\",\"detail\":\"lag_ms=31000 max_lag_ms=30000\"}\n\n"
                     "`detail` has `key=value` pairs; texts are in quotes and come last. Names stay: a "
                     "program may look for them. What is logged has no values of "
                     "rows and no secrets; dead letters, which need the values, are kept in the target "
                     "(docs/OPERATIONS.md).\n\n"
                     "**Rate.** Of each event 100 lines may come at once, and 10 a second after that. What "
                     "is left out is counted: "
                     "the event's next line says `suppressed=N` (in JSON a member `suppressed`). Debug lines "
                     "are not limited.\n\n"
                     "| event | level | who | meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < ARRAY_LEN(events); i++)
        strbuf_addf(out, "| `%s` | %s | %s | %s |\n", events[i].name, events[i].levels, events[i].who,
                    events[i].meaning);
}
