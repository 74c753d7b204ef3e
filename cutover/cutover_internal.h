/* What the files of cutover/ share. */
#ifndef CUTOVER_INTERNAL_H
#define CUTOVER_INTERNAL_H

#include "core/lsn.h"
#include "core/nonce.h"
#include "cutover/cutover.h"
#include "cutover/notes.h"
#include "cutover/store/store.h"
#include "cutover/trail.h"
#include "deadline.h"
#include "pg/conn.h"
#include "states.h"
#include "successor.h"

struct readiness;
struct from_maria;

struct cutover_table {
    char *schema, *table; /* as published (roots of partitioned tables) */
    char *topic;          /* its stream in the journal; NULL until verify_prepare() */
    bool changed;         /* since the last full PASS, as far as fences were walked */
};

struct cutover {
    const struct config *cfg;
    const struct cutover_talk *talk;
    const char *pipeline;
    const struct store *store;     /* the control tables on the target: by its dialect */
    int64_t touched_us;            /* monotonic: when store_keep_in_touch() last asked it */
    struct pg_conn *source;        /* NULL: it is no PostgreSQL */
    struct from_maria *from_maria; /* the same for MariaDB: of a rollback (from_maria/) */
    struct pg_conn *target;        /* NULL: it is no PostgreSQL */
    struct session *maria;         /* the same for MariaDB */
    struct session *maria_watch;   /* second session there, while one is needed (from_maria/sessions.c) */
    struct pg_conn *watch;         /* second session on the source: sees who blocks the first */
    char id[40];
    int seq;
    enum cutover_state state;
    struct cutover_table *tables;
    size_t table_count;
    int64_t pause_started_us;    /* monotonic; 0 = writers are served */
    int64_t pause_began_wall_us; /* wall, survives a crash by the step record */
    lsn_t final_lsn;             /* end of WAL right after the final marker's commit */
    char nonce[40];              /* of the final marker */
    bool baseline;               /* there is a full PASS to start from */
    bool baseline_seen;          /* its fence is in this journal */
    uint64_t baseline_fence_id;
    lsn_t baseline_lsn;
    char baseline_verdict[24]; /* id in crossfade.verdict */
    uint64_t scanned_fence_id; /* fences up to here are in tables[].changed (at first: the PASS's own) */
    uint64_t scanned_offset;   /* where the walk goes on; 0 = not begun */
    char straggler_why[300];   /* why a straggler could not be ended */
    int64_t
        vacuum_yields_ms;  /* to wait for a table's lock until an autovacuum gives way; 0 = none is there */
    char catalog[40];      /* digest of the closed tables, as compared; "" = not by this process */
    char closed_until[40]; /* the source's clock, seconds since the epoch (refuse.c) */
    struct trail trail;    /* trail.c */
    struct successor successor; /* successor.c */
    bool takes_over;            /* we are one (take_over.c) */
    struct alerts *alerts;      /* tell.c; NULL = nobody is told */
    json_t *notes;              /* notes.c; NULL = none since the last record */
    int64_t attempt;         /* of this cutover: 1, and one more each time that somebody takes it up again */
    const char *ended;       /* how the last step ended, as an event's name; NULL = none was taken */
    int64_t spent_us;        /* in it, whether it succeeded or not */
    struct poolers *poolers; /* poolers/; NULL until they are first needed */
    int64_t
        deadline_us; /* monotonic, of the step at hand; 0 = none (deadline.c owns this and the next four) */
    const char *deadline_key; /* the option that it comes from; NULL = none, or it is told already */
    int timer_fd, deadline_fd;
    struct deadline_watch deadline_watch;
    enum cutover_state
        from;        /* whose action was taken last, and how long it took: recorded with the next state */
    int64_t took_us; /* 0 = it did not succeed */
    int64_t slowest_trip_us; /* of the markers that the gates sent there and back; 0 = none */
    int trips;
    struct {
        bool none_can; /* the target is closed (known from the first look on) */
        int looks;
        int64_t most;      /* at one look */
        int64_t elsewhere; /* … of those of whom nobody can tell where they write */
        char names[160];
    } writers;                         /* others that write to the target, while the gates are asked */
    int read_share;                    /* percent of reads on the target, as last recorded (reads.c) */
    size_t sequence_count;             /* as the gates have found */
    const struct readiness *readiness; /* while the gates are asked */
    struct cutover_report *report;
};

#define FREEZE_TRIGGER "crossfade_freeze"

/* record.c: what is persisted. */
bool cutover_open(struct cutover *co, const struct config *cfg, const struct cutover_talk *talk,
                  struct cutover_report *report, struct err *err) MUST_CHECK;
/* For who only looks: one side each. */
bool cutover_open_target(struct cutover *co, const struct config *cfg, struct err *err) MUST_CHECK;
bool cutover_open_source(struct cutover *co, struct err *err) MUST_CHECK;
void cutover_close(struct cutover *co);
/* One more session on a side ("target.url"), with the settings of the others; the caller's to close. */
bool cutover_connect(struct cutover *co, const char *key, struct pg_conn **ret, struct err *err) MUST_CHECK;
/* A session that is usable and outside of a transaction: the one that is there, or a new one in its place. */
bool cutover_renew(struct cutover *co, const char *key, struct pg_conn **conn, struct err *err) MUST_CHECK;
/* Makes both source sessions usable again, whatever state they were left in; waits for a server that is away.
 */
bool cutover_reconnect_source(struct cutover *co, struct err *err) MUST_CHECK;
/* The same for the target's session, with the lock; gives up after some seconds. */
bool cutover_reconnect_target(struct cutover *co, struct err *err) MUST_CHECK;
/* cutover.c: one cutover at a time: held as long as the session on the target lives. */
bool cutover_lock(struct cutover *co, struct err *err) MUST_CHECK;
/* Writes the state to crossfade.cutover before its action is taken. */
bool record_state(struct cutover *co, enum cutover_state state, struct err *err) MUST_CHECK;
/* The same once more, when that has failed: if only the commit's answer was lost, the record is there, and is not made twice. ERR_FENCED: it is
 * another one's. */
bool record_state_again(struct cutover *co, enum cutover_state state, struct err *err) MUST_CHECK;
/* Finds the newest cutover of the pipeline that is neither done nor aborted; *ret_found. Fills id, seq,
 * state. */
bool record_find_open(struct cutover *co, bool *ret_found, struct err *err) MUST_CHECK;
/* Where the target knows of none: the one that the source's decision row names, unless it has ended. The steps were lost with a target that
 * was put back to an earlier state, so an open one is aborted, a decided one switched. */
bool record_adopt(struct cutover *co, bool *ret_found, struct err *err) MUST_CHECK;
bool record_done_before(struct cutover *co, bool *ret_done, struct err *err) MUST_CHECK;
/* The decision row on the source. begin: none/aborted → open. switch: open → switched by compare-and-set, unless the freeze has ended
 * (ERR_TIMEOUT), and with it the freeze gets no end any more; *ret_state is what stands there afterwards. */
bool decision_begin(struct cutover *co, struct err *err) MUST_CHECK;
bool decision_switch(struct cutover *co, char ret_state[16], struct err *err) MUST_CHECK;
bool decision_get(struct cutover *co, char ret_state[16], struct err *err) MUST_CHECK;
/* And whether it is this cutover's ("none" counts as such). */
bool decision_stands(struct cutover *co, char ret_state[16], bool *ret_ours, struct err *err) MUST_CHECK;
/* The same behind all that may still be under way to the row, from sessions whose process has gone as well. */
bool decision_settled(struct cutover *co, char ret_state[16], bool *ret_ours, struct err *err) MUST_CHECK;
/* open → aborted; also where this cutover has not opened it yet, so that it cannot. */
bool decision_abort(struct cutover *co, struct err *err) MUST_CHECK;

/* gates.c */
bool gates_run(struct cutover *co, bool *ret_all_ok, struct err *err) MUST_CHECK;

/* freeze.c: one trigger on every published table, partition and ancestor, and the function that they call. */
bool freeze_arm(struct cutover *co, struct err *err) MUST_CHECK;
/* Closes it until the pause budget ends, so that a cutover that dies does not leave it closed, and waits for those who came in before. again:
 * right before the decision, with nobody left who deserves a grace. ERR_FENCED: the decision is not open. */
bool freeze_source(struct cutover *co, bool again, struct err *err) MUST_CHECK;
bool freeze_verify(struct cutover *co, struct err *err) MUST_CHECK;
bool freeze_undo(struct cutover *co, struct err *err) MUST_CHECK;
/* What it may leave until clients are let back: triggers that let everything pass. */
void freeze_clean(struct cutover *co);
/* A session that was ended, for the report. */
void freeze_note_straggler(struct cutover *co, const char *pid, const char *role, const char *application);

/* drain.c */
/* Writes a marker row; *ret_lsn = a WAL position at or behind its commit. */
bool marker_write(struct cutover *co, const char *kind, const char *nonce, lsn_t *ret_lsn,
                  struct err *err) MUST_CHECK;
/* Waits until the target has committed the fence of this marker (or one behind it). marker_lsn: a position at
 * or behind the end of the marker's commit, as marker_write() gives. */
bool drain_wait(struct cutover *co, lsn_t marker_lsn, const char *nonce, int64_t timeout_ms,
                struct err *err) MUST_CHECK;
bool position_read(struct cutover *co, lsn_t *ret_lsn, bool *ret_complete, char ret_nonce[40],
                   struct err *err) MUST_CHECK;

/* verify.c: the comparison after the drain, both sides frozen. prepare walks the fences since the last PASS,
 * before the freeze; changed walks the rest and compares the tables that they name. */
bool verify_prepare(struct cutover *co, struct err *err) MUST_CHECK;
bool verify_scan(struct cutover *co, struct err *err) MUST_CHECK;
bool verify_changed(struct cutover *co, struct err *err) MUST_CHECK;

/* What the tables are, as compare_shapes() has it, whichever server the source is. malloc'd. */
bool verify_shapes(struct cutover *co, char **ret, struct err *err) MUST_CHECK;

/* late.c: behind the final fence nothing was committed to a published table, by whatever way, nor was one altered. */
/* A digest of what the closed tables are. */
bool late_note_catalog(struct cutover *co, char ret[40], struct err *err) MUST_CHECK;
bool late_none(struct cutover *co, struct err *err) MUST_CHECK;

/* walk.c */
/* Walks the table from co->state (already recorded) to done or aborted. False: needs a person. */
bool cutover_walk(struct cutover *co, struct err *err) MUST_CHECK;

/* back.c: the other direction, that a cutover leaves open behind it or opens again. Both names: of the pipeline turned round (config_reversed()). */
/* Behind the final comparison: whether what is written on the target from now on finds its way to the source, and from where on: this is
 * where the way back begins to compare. ERR_REFUSED, ERR_TIMEOUT: it does not, and cutover.reverse wants it to. */
bool back_stands(struct cutover *co, struct err *err) MUST_CHECK;
/* The last switch that led away from this target, with which a baseline must have been made: *ret_id "", *ret_at "-infinity": none. */
bool back_last_switch(struct cutover *co, char ret_id[40], char ret_at[40], struct err *err) MUST_CHECK;
/* Behind the decision: opens the target, should an earlier switch have closed it. Idempotent. */
bool back_open_target(struct cutover *co, struct err *err) MUST_CHECK;
/* Drops the triggers that are left there, as far as that takes no waiting; what is left lets everything pass. */
void back_clean_target(struct cutover *co);

/* databases_maria.c: the literals of an IN (…): home, the URL's database, and what else the pipeline's tables are in. */
void cutover_add_databases(const struct cutover *co, const char *home, struct strbuf *sql);

/* ends.c: host, port, dbname or password as "source.url" or "target.url" says it; malloc'd, "" = it does not. */
char *cutover_url_part(const struct config *cfg, const char *key, const char *keyword);
/* The command that it is run by, for hints: "cutover" or "rollback". */
const char *cutover_command(const struct cutover *co);
/* A text with commands of ours (`crossfade …`) as they are for a rollback: roles and comparisons of one are those of the pipeline that is turned round. */
void commands_turn(const struct cutover *co, const char *from, char *ret, size_t size);
void cutover_say(struct cutover *co, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
