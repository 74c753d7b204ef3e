/* What the files of this role share: settings, the run, and the session (everything opened anew after an
 * error). */
#ifndef APPLY_APPLY_INTERNAL_H
#define APPLY_APPLY_INTERNAL_H

#include <stdatomic.h>

#include "apply/ahead.h"
#include "apply/batch.h"
#include "apply/fences.h"
#include "apply/source_clock.h"
#include "apply/stopper.h"
#include "apply/tables.h"
#include "apply/throttle.h"
#include "control/desk.h"
#include "control/status.h"
#include "journal/schema_store.h"
#include "target/conflicts.h"
#include "target/loader.h"

struct apply_settings {
    struct journal_config journal;
    struct target_options target;
    struct shard shard;
    const struct codec_ops *codec;
    struct foreign_settings foreign; /* topics that Debezium wrote, in place of our journal */
    bool accept_lossy;               /* columns whose form does not give back every value */
    bool dead_letters;               /* a row that the target refuses is held there, and the rest goes on */
    uint64_t max_dead_letters;
    size_t batch_max_bytes;
    struct conflict_rules *conflicts; /* tables that are written on both sides; NULL = none */
    int64_t dual_write_until_us;      /* wall; 0 = no limit was needed */
};

struct apply_run {
    struct apply_settings settings;
    struct status_board *board;
    struct desk *desk; /* the board's */
    unsigned config_seen;
    uint64_t drain_end; /* a drain ends in front of this fence; 0 = not known yet, or none was asked for */
    struct role_status status;
    int64_t published_us; /* mono */
    struct stopper *stopper;
    struct batch *batch;
    struct ahead *ahead; /* … and the one behind it */
    struct throttle throttle;
    struct source_clock source_clock;
    int64_t dual_write_left_us; /* at the last warning; 0 = none was given */
    uint64_t bytes_per_change;  /* of late, for sizing batches; 0 = not known */
};

struct session {
    struct apply_run *run;
    struct target *tgt;
    struct target_position position;
    bool position_found;
    struct fence_feed *feed;
    struct journal_reader *data;
    struct schema_store *schemas;
    struct schema_source source;
    struct decoder *dec;
    struct foreign_decoder *foreign; /* in place of dec; the feed has one of its own */
    struct foreign_decoder *foreign_ahead;
    struct table_map *tables;
    struct letters *letters;
    int64_t look_at_requests_us; /* mono */
    int64_t spoken_us;           /* mono: the target was last asked or written then */
    bool watching;               /* all tables that are written on both sides are looked at */
    bool watch_looked;           /* those that were taken up before are */
    bool look_whole;             /* the batch met a conflict: it is taken as large as it can be */
    int64_t conflict_since_us;   /* wall; a conflict that needs a person is met again and again; 0 = none */
    char conflict_rows[CONFLICT_HALTED_MAX][CONFLICT_HALTED_LEN]; /* … first with these rows */
    bool conflict_told;          /* … and it is open in crossfade.conflict */
    uint64_t most;               /* changes of a batch, at this turn */
    size_t single_fences;        /* so many are applied one by one: a table does not fit one of them */
    struct target_direct direct; /* the copy's rows that did not come by the journal */
    bool direct_looked, direct_told;
    int64_t direct_skip_us;    /* mono; a later copy was looked for */
    int64_t verdict_looked_us; /* mono; 0 = not yet */
    bool verdict_unknown;      /* it may not be read */
    int64_t wait_until_us;     /* mono: the marker at the position is waited for until then; 0 = not */
};

/* session.c */
bool apply_session_open(struct apply_run *run, struct session **ret, struct err *err) MUST_CHECK;
void apply_session_close(struct session *s); /* NULL allowed */

/* step.c: one batch, from the journal into the target; escalates from sets to exact order where that is
 * needed. */
bool apply_session_apply(struct session *s, const struct fence_batch *fences, struct err *err) MUST_CHECK;

/* direct.c: rows of a direct load come before what the journal has of its time. *ret_wait: not all are there yet. */
bool apply_session_direct(struct session *s, const struct fence_batch *fences, bool *ret_wait,
                          struct err *err) MUST_CHECK;
/* Changes of the table below this position are in its rows already; 0 = none. ctx: the session. */
lsn_t apply_session_direct_from(void *ctx, const struct table_schema *schema);

/* retry.c: what a person has asked for about dead letters. Between batches. */
bool apply_session_requests(struct session *s, struct err *err) MUST_CHECK;
/* Behind a direct load, before anything else: rows that it could not put in (loader_hold) become dead letters, are taken after all, or halt. */
bool apply_session_take_refused(struct session *s, struct err *err) MUST_CHECK;

/* progress.c */
void progress_phase(struct apply_run *run, enum role_phase phase);
void progress_publish(struct apply_run *run, bool now);
void progress_applied(struct session *s, const struct fence_batch *fences);
void progress_seen(struct session *s, uint64_t fences_end);
void progress_alarm(struct apply_run *run);
/* Streaming, copying, or paused. */
void progress_working(struct session *s);
void progress_error(struct apply_run *run, const struct err *err);
void progress_retry(struct apply_run *run, const struct err *err);
void progress_batch(struct session *s, int64_t took_us);
/* Between two batches; a look now and then. */
bool progress_verdict(struct session *s, struct err *err) MUST_CHECK;

/* dual_session.c */
bool dual_write_settings(const struct config *cfg, struct apply_settings *ret, struct err *err) MUST_CHECK;
/* Between two batches: tables are taken up once the copy is complete; the time limit holds. */
bool dual_write_turn(struct session *s, struct err *err) MUST_CHECK;
/* A batch has failed. True: a conflict is not decided yet, since the source's own change may still come: go on, *err is cleared. */
bool dual_write_may_wait(struct session *s, const struct fence_batch *fences, struct err *err);
/* A dead letter's retry is over, refused or not: a conflict that it met is of it alone. keep: it is open from now on. */
bool dual_write_after_letter(struct session *s, bool keep, struct err *err) MUST_CHECK;
/* A copy begins: its rows are nobody else's until it is complete. */
void dual_write_pause(struct session *s);
void dual_write_applied(struct session *s);

#endif
