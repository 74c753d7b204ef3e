/* The state table of a cutover (states.c). Private to this module. @thread any */
#ifndef CUTOVER_STATES_H
#define CUTOVER_STATES_H

#include <stdbool.h>

#include "core/err.h"
#include "core/strbuf.h"

struct cutover;

/* A state names the action that is about to be taken, or is being taken: it is recorded first, so after a
 * crash the same action is taken again (all are idempotent). */
enum cutover_state {
    CUT_UNKNOWN = 0,
    CUT_BEGINNING,  /* gates have passed: open the decision row */
    CUT_WAITING,    /* as long as the postpone file exists */
    CUT_PREPARING,  /* make the target ready for its first minute */
    CUT_READING,    /* lead reads to the target in steps, if any are configured */
    CUT_ARMING,     /* put up triggers that let everything pass; writers go on */
    CUT_PAUSING,    /* pause the poolers (none yet: the place for them) */
    CUT_FREEZING,   /* close the source to writers, verify that it is closed */
    CUT_MARKING,    /* write the final marker */
    CUT_DRAINING,   /* wait until the target holds the final fence */
    CUT_SEQUENCING, /* set the target's sequences */
    CUT_VERIFYING,  /* compare what changed since the last full PASS */
    CUT_DECIDING,   /* set the decision row: the point of no return */
    CUT_SWITCHING,  /* point the poolers to the target and resume them (none yet: the place for them) */
    CUT_FINISHING,  /* clients are on the target: what may still be done there without them waiting */
    CUT_DONE,
    CUT_ABORTING, /* put the source back */
    CUT_ABORTED,
    CUT_MAX_
};

enum cutover_event {
    EV_UNKNOWN = 0,
    EV_GO,       /* the state is recorded: ask its guard, take its action */
    EV_FAILED,   /* guard or action did not succeed */
    EV_LATE,     /* the deadline of the step, or the pause budget, has passed */
    EV_STOPPED,  /* a signal asked this process to end */
    EV_ABORTED,  /* the decision row says that this cutover was aborted */
    EV_SWITCHED, /* the decision row says switched: only the answer was lost */
    EV_MAX_
};

struct cutover_rule {
    enum cutover_state state;
    enum cutover_event event;
    const char *guard; /* what must hold before the action; NULL = nothing */
    bool (*holds)(struct cutover *co, struct err *err);
    const char *action;
    bool (*act)(struct cutover *co, struct err *err);
    const char *undo; /* what the abort takes back of it */
    enum cutover_state next;
    const char *deadline; /* option that bounds guard and action; NULL = none */
    bool in_pause;        /* clients wait: the pause budget bounds it, too */
};

const char *cutover_state_name(enum cutover_state state);
enum cutover_state cutover_state_parse(const char *name); /* CUT_UNKNOWN: none */
const char *cutover_event_name(enum cutover_event event);
/* NULL: no such row; then the cutover stays in its state. */
const struct cutover_rule *cutover_rule(enum cutover_state state, enum cutover_event event);
/* One state as a line of text; nothing for one without action. */
void cutover_describe_state(struct strbuf *out, enum cutover_state state);

#endif
