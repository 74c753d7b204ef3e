/*
 * What earlier comparisons have proven, and what of it this one builds on (docs/COMPARE.md, "Building on earlier comparisons").
 *
 * A proof says of a table: at this fence, all of its rows (or those whose key is below `upper`) were equal. With the keys that
 * changed since, which the journal knows, it holds at a later fence too; what others than apply wrote to the target is not in
 * the journal, so a proof is as old as its first reading. Proofs live in crossfade.compared on the target. Private to compare.
 */
#ifndef COMPARE_HISTORY_HISTORY_H
#define COMPARE_HISTORY_HISTORY_H

#include "core/seal.h"
#include "engine.h"
#include "history/changes.h"
#include "history/key_set.h"
#include "model.h"
#include "session.h"

struct proof {
    bool there;
    bool whole;
    char **upper; /* not whole: key columns as text, NULL behind the last */
    uint64_t rows;
    struct fence_place at;
    int64_t read_us; /* wall: when the run began that read its first rows */
    uint64_t links;  /* fences since, at which only what had changed was compared */
    char shape[SHA256_HEX];
};

/* A part of the table that was found equal before the one that stands before it. */
struct proven_part {
    uint64_t seq;
    bool range;
    char **upper; /* NULL: to the end */
    uint64_t rows;
};

struct table_history {
    char shape[SHA256_HEX];     /* as it was before the snapshot: what a proof of this run carries */
    char shape_now[SHA256_HEX]; /* after the snapshot; only with history.build */
    bool kept;                  /* there will be a proof */
    bool stale;                 /* one is kept that cannot be built upon: it gives way to any other */
    struct proof base;          /* built upon, if there */
    char *topic;
    const char **key_names;
    struct key_set keys; /* planner's, while it reads the journal */
    uint64_t key_count;  /* planner's: all that it met */
    uint64_t next_seq;   /* planner's: parts in their order, those of changed keys first */
    uint64_t key_parts;

    /* Guarded by the table's lock: */
    bool keys_planned;   /* key_parts is final */
    uint64_t proven_seq; /* all parts before it are equal */
    char **upper;        /* where the ranges among them end */
    bool any_range;
    uint64_t rows;
    struct proven_part *parts; /* equal, but behind one that is not done */
    size_t part_count;
    uint64_t saved_seq;
    bool forgotten; /* a part differs: what was proven does not count any more */
    bool saved_end;
};

struct history {
    const struct config *cfg;
    const char *pipeline, *target_url, *source_url;
    bool build;       /* on earlier proofs */
    bool resume;      /* on those alone that are younger than the last comparison that came to its end */
    int64_t floor_us; /* older ones do not count */
    int64_t read_us;  /* of this run */
    struct fence_place at;
    bool kept;               /* there is a place to keep proofs in */
    struct session *session; /* the target, for proofs alone; NULL: opened when it is needed */
    struct session *source;  /* the owner's, outside of the snapshot; NULL: one is opened for a while */
    int64_t saved_us;        /* mono */
    struct plan *plan;
    const char *pre_shapes; /* compare_shapes() before the snapshot; NULL: both sides stand still */
    bool progress;          /* something was proven that had not been */
};

/* Looks up what there is, once the plan is made: `session` stands inside the target's snapshot. */
bool history_open(struct history *history, struct session *session, struct err *err) MUST_CHECK;
/* For the planner: reads what changed and queues it in parts. False: the run was ended. */
bool history_plan_keys(struct history *history, struct engine *engine, struct err *err) MUST_CHECK;
/* From a worker: a part is done. upper: of a range, NULL = to the end. */
void history_part_done(struct plan_table *pt, uint64_t seq, bool same, bool range, char *const *upper,
                       uint64_t rows);
/* Keeps what was proven; now and then, or at once (`all`). A failure is only told for `all`. */
bool history_save(struct history *history, bool all, struct err *err) MUST_CHECK;
/* Keeps what was proven, and tells whether it is more than what was built upon. True where nothing is kept. */
bool history_has_come_further(struct history *history);
/* After the verdicts: what is no PASS proves nothing any more, nor does what failed in a comparison that keeps nothing. `tables`: in
 * the plan's order. */
bool history_conclude(struct history *history, const struct compare_table *tables,
                      struct err *err) MUST_CHECK;
void history_close(struct history *history);
void table_history_free(struct table_history *h); /* NULL allowed */

/* state.c: crossfade.compared. */
struct proof_row {
    const char *schema, *table;
    struct proof proof;
};
/* Calls each() for every proof of the pipeline; what it needs of the row it takes (and sets to NULL). */
bool state_load(struct session *conn, const char *pipeline,
                void (*each)(void *ctx, const char *schema, const char *table, struct proof *proof),
                void *ctx, struct err *err) MUST_CHECK;
bool state_save(struct session *conn, const char *pipeline, const struct proof_row *rows, size_t count,
                int64_t floor_us, struct err *err) MUST_CHECK;
bool state_forget(struct session *conn, const char *pipeline, const struct proof_row *rows, size_t count,
                  struct err *err) MUST_CHECK;
void proof_release(struct proof *proof);

/* When the last comparison of all tables began that came to its end (wall); 0 = none did. */
bool state_last_end(struct session *conn, const char *pipeline, int64_t *ret_us, struct err *err) MUST_CHECK;

/* table_shape.c: digests of what a proof rests on besides rows; tables of which there are none are not `kept`. */
bool table_shapes(struct history *history, struct err *err) MUST_CHECK;

/* keys_compare.c */
struct key_batch {
    char *bytes; /* keys, as in a set */
    size_t len, count;
};
bool keys_compare(struct engine *engine, struct pair *pair, struct plan_table *pt,
                  const struct key_batch *batch, bool *ret_same, uint64_t *ret_rows,
                  struct err *err) MUST_CHECK;

#endif
