/* What the parts of a comparison's course share (run.c, run_begin.c). Private to this module. */
#ifndef COMPARE_RUN_INTERNAL_H
#define COMPARE_RUN_INTERNAL_H

#include "aside.h"
#include "config/table_filter.h"
#include "config/table_rules.h"
#include "engine.h"
#include "fence.h"
#include "history/history.h"
#include "report/redact.h"
#include "scope.h"
#include "semantic/semantic.h"

struct run {
    const struct config *cfg;
    const struct compare_request *req;
    struct compare_result *out;
    struct fence_run fence;
    struct engine engine;
    struct plan plan, leaves; /* leaves: their partitions, if they are asked for */
    struct catalog cats[SIDE_COUNT];
    struct table_filter *pipeline_filter, *wanted;
    struct table_rules *rules;
    struct semantic_rules checks;
    struct target_unfit_rules unfit;
    struct redaction redaction;
    struct scope scope;
    char *shapes; /* compare_shapes() before the snapshot; NULL in frozen mode */
    char *schema; /* verdict_schema() at the same time */
    struct history history;
    struct aside opening[SIDE_COUNT]; /* the sessions of a side */
    struct aside reading;             /* the source's catalog */
    struct aside reaching;            /* how far the journal reached */
    bool published;                   /* there is a publication */
    struct session *recorder;         /* for the verdict; NULL = to be opened */
};

const char *run_url(const struct run *run, enum side side);
/* All sessions open and in their snapshots, at one fence; false without err set: INCONCLUSIVE, and the result says why. @thread owner, as all of these */
bool run_begin_at_fence(struct run *run, struct err *err) MUST_CHECK;
/* The same where nothing writes to either side (--frozen): no fence, no marker. */
bool run_begin_frozen(struct run *run, struct err *err) MUST_CHECK;
/* Where the target stands, for a frozen comparison: told, not relied upon. */
void run_note_position(struct run *run);
/* A statement that fails shall not end the transaction that holds the snapshot. */
bool run_set_savepoints(struct run *run, enum side side, struct err *err) MUST_CHECK;
bool run_read_catalog(struct run *run, enum side side, struct err *err) MUST_CHECK;

#endif
