/*
 * What a role tells about itself: one struct of numbers, copied under a lock; HTTP threads only read copies.
 * @thread any (status_board_*)
 */
#ifndef CONTROL_STATUS_H
#define CONTROL_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/lsn.h"

enum role_phase {
    PHASE_UNKNOWN = 0,
    PHASE_STARTING,
    PHASE_SNAPSHOT,  /* copying */
    PHASE_STREAMING, /* following the WAL or the journal */
    PHASE_HOLDING,   /* capture: a comparison's hold is on; apply: waits at a comparison's fence */
    PHASE_PAUSED,    /* apply: by request, or outside of its schedule */
    PHASE_RETRYING,  /* a server is away; last_error says which */
    PHASE_STOPPING,
    PHASE_HALTED, /* needs a person; last_error says why */
    PHASE_MAX_
};

struct table_status {
    char name[132];         /* schema.table, shortened if need be */
    uint64_t rows;          /* copied so far */
    uint64_t rows_estimate; /* 0 = not known */
    bool done;
};

/* How near a slot is to the WAL that the source will keep for it. */
enum wal_guard_level { WAL_GUARD_OK = 0, WAL_GUARD_WARN, WAL_GUARD_THROTTLE, WAL_GUARD_ALERT };

struct role_status {
    const char *role; /* "capture" or "apply" */
    char pipeline[32];
    char shard[12]; /* "2/3" (apply); "" = there is one */
    enum role_phase phase;
    int64_t phase_since_us;     /* wall */
    lsn_t source_lsn;           /* where the source's WAL ends, as last heard (capture) */
    lsn_t received_lsn;         /* decoded so far (capture) */
    lsn_t journaled_lsn;        /* durable in the journal (capture); last fence seen there (apply) */
    lsn_t applied_lsn;          /* committed in the target (apply) */
    lsn_t confirmed_lsn;        /* told to the slot (capture) */
    int64_t position_commit_us; /* commit time of the last transaction at this role's own position; wall, 0 =
                                   none */
    int64_t
        received_commit_us; /* capture: commit time of the last transaction that was decoded; wall, 0 = none */
    int64_t received_all_us; /* capture: when the source last had nothing more to send; wall, 0 = never */
    int64_t caught_up_us;    /* wall time at which the role last had nothing left to do; 0 = never */
    uint64_t fence_id, attempt;
    bool complete;
    char marker_nonce[40]; /* apply: waits for this comparison's release; "" = does not wait */
    uint64_t changes, transactions, fences, snapshot_rows, snapshot_rows_estimate, bytes, errors, retries;
    uint64_t unapplied_fences; /* apply: known in the journal, not applied yet */
    uint64_t dead_letters;     /* apply: held in the target */
    uint64_t conflicts_source,
        conflicts_target;      /* apply, dual write: conflicts by who won, since the start */
    uint64_t conflicts_open;   /* … that need a person */
    char dual_written[200];    /* apply: patterns of tables that are written on both sides; "" = none */
    char dual_write_until[32]; /* as configured */
    char no_origin
        [240]; /* apply: why its changes carry no replication origin; "" = they do, or the target has none */
    const char *throttle;    /* apply: what it waits for before the next batch (throttle.h), NULL = nothing */
    uint64_t batch_changes;  /* apply: most changes of a batch at present */
    bool lag_alarm;          /* apply: the lag is over apply.max_lag_ms */
    int64_t lag_limit_us;    /* apply.max_lag_ms; 0 = none */
    uint64_t failed_batches; /* apply: tries in a row that have failed; 0 = the last one did not */
    char last_sqlstate[6];   /* of last_error; "" = it has none */
    uint64_t narrowing_attempts; /* apply: tries made to find rows that the target refuses */
    int64_t snapshot_started_us, snapshot_finished_us; /* wall; 0 = not */
    int64_t retained_wal_bytes;                        /* what the slot holds back; -1 = not known */
    int64_t safe_wal_bytes;         /* so much more until the server drops it; -1 = no limit, or not known */
    int64_t max_retained_wal_bytes; /* the limit that wal_guard goes by; 0 = none */
    char wal_status[16];            /* pg_replication_slots.wal_status; "" = not known */
    enum wal_guard_level wal_guard;
    char promise
        [40]; /* apply, over others' topics: what the target always is; "" = a state that the source was in */
    char notice[600]; /* something that a person should look at, though work goes on; "" = nothing */
    char last_error[600];
    int64_t last_error_us;
    bool journal_known; /* the next three; each -1 = not known (journal.h: struct journal_numbers) */
    int64_t journal_bytes, journal_records, journal_queued;
    uint64_t queued_batches; /* capture: for the publisher */
    uint64_t spilled_bytes;  /* capture: of running transactions, since the start */
    char verdict[16];        /* apply: of the last comparison; "" = there is none, or it is not known */
    int64_t verdict_us, full_pass_us; /* … when it ended, and the last PASS over all tables; wall, 0 = none */
    size_t table_count;
    const struct table_status *tables; /* NULL unless a snapshot runs; copied by publish */
};

const char *wal_guard_level_name(enum wal_guard_level level);

struct status_board;
struct tally;

struct status_board *status_board_new(void);
void status_board_free(struct status_board *board);
/* What only /metrics shows is counted there (tally.h); lives as long as the board. */
struct tally *status_board_tally(struct status_board *board);
/* Replaces what readers see (deep copy). Cheap: call it a few times a second, not per change. */
void status_board_publish(struct status_board *board, const struct role_status *status);
/* What a server that is waited for does wrong, shown by /status until the next call; NULL = nothing any more.
 * Apart from publish: comes while the role cannot. `board` is a struct status_board. */
void status_board_trouble(void *board, const char *text);
/* What was found of the slot (retained_wal_bytes, safe_wal_bytes, max_retained_wal_bytes, wal_status, wal_guard, source_lsn) beside what the
 * role publishes, which it goes before until the next call; NULL = what the role publishes next holds again. */
void status_board_slot(struct status_board *board, const struct role_status *found);
/* JSON object for /status: phase, *_lsn as text, lag_bytes, lag_seconds, rates per second over the last 10 s,
 * snapshot {rows, estimate, percent, eta_seconds, tables: […]}, errors. malloc'd. */
char *status_board_json(struct status_board *board);
/* Prometheus text format for /metrics. malloc'd. */
char *status_board_metrics(struct status_board *board);
/* False (HTTP 503) when halted or retrying. */
bool status_board_healthy(struct status_board *board);
/* The role has what it needs and works for the first time: journal and servers are open, the copy or the stream has begun.
 * It stays so. */
void status_board_set_ready(struct status_board *board);
bool status_board_ready(struct status_board *board);

/* What people ask of the role (desk.h). Owned by the board. */
struct desk;
struct desk *status_board_desk(struct status_board *board);

const char *role_phase_name(enum role_phase phase);

#endif
