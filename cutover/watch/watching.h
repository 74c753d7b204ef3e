/* What the files of cutover/watch share. Private to this module. */
#ifndef CUTOVER_WATCH_WATCHING_H
#define CUTOVER_WATCH_WATCHING_H

#include <jansson.h>

#include "config/trigger_rules.h"
#include "control/alerts.h"
#include "cutover/cutover_internal.h"
#include "cutover/watch.h"
#include "hysteresis.h"
#include "maintenance.h"
#include "sides.h"

#define SIGNAL_TEXT_MAX 300
#define WATCH_TEXT_MAX  600

/* Where the pipeline stands, by what cutovers have recorded. */
enum watch_stage {
    STAGE_UNKNOWN = 0, /* the target does not say */
    STAGE_BEFORE,
    STAGE_CUTTING, /* a cutover is neither done nor aborted, or a rollback is not decided */
    STAGE_AFTER,
    STAGE_BACK /* this watch, or somebody, has moved the application back */
};

struct signal {
    bool known;
    double value;
    char text[SIGNAL_TEXT_MAX]; /* what it is made of, or why it is not known */
};

struct watch_level_state {
    struct trigger_rule rule;
    char id[64]; /* "lag above 30": in the state, in alerts */
    struct trigger_state state;
    bool acted;               /* what its action asks for is done, or nothing can be done any more */
    char why[WATCH_TEXT_MAX]; /* why it is not done yet, as it was last told; "" = nothing was */
};

struct watch_trigger {
    struct signal signal;
    struct watch_level_state levels[TRIGGER_LEVELS_MAX];
    size_t level_count;
};

/* Of one pooler: its mean query time before the cutover. */
struct pooler_baseline {
    double us;       /* a mean that follows slowly; 0 = none yet */
    int64_t samples; /* that it is made of */
};

#define WATCH_POOLERS_MAX 32

/* The rollback that this watch has begun: at most one for a cutover. */
struct watch_rollback {
    char cutover_id[40]; /* "" = none */
    int64_t begun_us;
    char outcome[80]; /* "": it has not ended, as far as is known */
    bool well;
};

/* Cutovers that have run by themselves. */
struct watch_auto {
    int64_t window_us; /* when the maintenance window of these attempts began */
    int64_t attempts, not_before_us;
    char waits[WATCH_TEXT_MAX]; /* for what, as it was last told */
    int64_t looked_us;          /* mono; when the gates were last asked */
};

/* A question under way from one end of the pipeline to the other, while a role does not answer. */
struct watch_probe {
    lsn_t lsn; /* 0 = none is; LSN_UNKNOWN: told by its nonce, or by commits behind it */
    char nonce[40];
    int64_t sent_us;  /* wall */
    int64_t there_us; /* by the clock of the server where it was written; 0 = not asked */
    bool reverse;
};
#define LSN_UNKNOWN UINT64_MAX

struct watching {
    const struct config *cfg;
    const struct cutover_watch_request *request;
    const char *pipeline;
    struct config *
        reverse; /* cutover.watch.reverse_config, else the configuration turned round; NULL = there is no way back */
    bool turned;            /* the latter; whether it was ever set up is asked after the cutover */
    bool back_there;        /* AFTER: the way back is set up; asked anew each time */
    struct cutover co;      /* its session on the target, and what cutover_execute() does not share */
    struct pg_conn *source; /* NULL = away */
    struct cutover back;    /* watch_back(): the reverse pipeline's target, asked alone */
    struct cutover_talk talk;
    struct alerts *alerts;
    struct maintenance *maintenance; /* NULL: no cutover runs by itself */
    struct watch_trigger triggers[TRIGGER_KINDS];
    enum watch_stage stage;
    char cutover_id[40], cutover_state[16]; /* the newest; "" = there is none */
    int64_t switched_us;                    /* AFTER: when it was done (wall) */
    struct pooler_baseline poolers[WATCH_POOLERS_MAX];
    struct watch_rollback rollback;
    struct watch_auto automatic;
    struct watch_probe probe;
    json_t *unsaved;       /* events that the audit chain does not have yet */
    bool away;             /* the target, as it was last told */
    int64_t auto_until_us; /* wall; a cutover of ours must be decided by then */
};

/* --- signals*.c: each reads one signal --- */
void signals_read(struct watching *w);
void signal_set(struct signal *s, double value, const char *fmt, ...) PRINTF_LIKE(3, 4);
void signal_unknown(struct signal *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The configuration of the pipeline that runs now: before the cutover ours, after it the reverse one's (NULL: not known). */
const struct config *watch_running(const struct watching *w);
void signals_of_roles(struct watching *w);    /* lag, failed_batches, roles; true parts of corruption */
void signals_of_verdicts(struct watching *w); /* reconciliation, latency_p95, error_rate */
void signal_of_poolers(struct watching *w);
void signal_of_disks(struct watching *w);
void signal_of_corruption(struct watching *w);

/* --- store.c: the row of crossfade.cutover_watch --- */
bool store_load(struct watching *w, struct err *err) MUST_CHECK;
/* State and events in one transaction. */
bool store_save(struct watching *w, struct err *err) MUST_CHECK;
/* To be in the audit chain with the next save. detail: stolen. */
void store_event(struct watching *w, const char *event, json_t *detail);
/* ret: fills stage, cutover_id, cutover_state, switched_us. */
bool store_stage(struct watching *w, struct err *err) MUST_CHECK;

/* --- triggers.c --- */
bool triggers_open(struct watching *w, struct err *err) MUST_CHECK;
/* A step of each level; raises alerts and notes events. */
void triggers_step(struct watching *w, int64_t now_us);
bool triggers_firing(const struct watching *w);

/* --- actions.c --- */
/* What levels that fire ask for and is not done yet. */
void actions_take(struct watching *w);

/* --- automatic.c --- */
void automatic_look(struct watching *w);

/* --- report.c --- */
json_t *watch_report(const struct watching *w, int64_t now_us);

#endif
