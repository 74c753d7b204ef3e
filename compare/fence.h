/*
 * Bringing both sides to one fence (docs/COMPARE.md, "Why timing makes no difference"):
 *   open   pipeline's advisory lock on the source; control tables
 *   hold   marker 'hold'; temporary slot with an exported snapshot: consistent point C
 *   (the caller imports the snapshot into its source sessions)
 *   cut    marker 'cut' at C; the slot goes
 *   wait   until apply stands at the fence C
 *   check  inside each of the caller's target snapshots: exactly that fence, on every shard
 *   release apply goes on
 *   close  at any time: takes back whatever was begun
 * Every wait ends at compare.deadline_ms; a comparator that dies leaves nothing that its deadline does not
 * end. Private to this module. @thread owner; fence_hold starts and joins one thread.
 */
#ifndef COMPARE_FENCE_H
#define COMPARE_FENCE_H

#include "aside.h"
#include "compare/compare.h"
#include "pg/conn.h"
#include "pg/replication.h"
#include "session.h"

enum fence_outcome {
    FENCE_ERROR = 0, /* could not run: *err */
    FENCE_REACHED,
    FENCE_INCONCLUSIVE, /* *ret_reason (malloc'd) says why */
};

struct control;

struct fence_run {
    const struct compare_request *req;
    const char *pipeline, *source_url;
    int64_t deadline_us;                     /* length of one wait */
    int64_t started_us;                      /* mono */
    struct session *source_session, *target; /* of the protocol itself; open until fence_close */
    struct pg_conn *source;                  /* the source session's */
    const struct control *control;           /* the target's tables */
    struct aside opening;                    /* the source session, then slot_conn */
    struct pg_conn *slot_conn;               /* its snapshot lives until the next command there */
    struct repl_slot slot;
    char nonce[40];
    uint64_t fence_id;
    uint64_t fence_offset; /* in the fence stream */
    int64_t commit_us;     /* wall; of the source's last commit at the fence; 0 = it had none to tell */
    int64_t cut_us,
        lag_us; /* mono: the cut was about to be written; from there until the target stood at it */
    bool locked, held, cut, released;
};

bool fence_open(struct fence_run *run, const struct config *cfg, const struct compare_request *req,
                struct err *err) MUST_CHECK;
enum fence_outcome fence_hold(struct fence_run *run, char **ret_reason, struct err *err);
bool fence_cut(struct fence_run *run, struct err *err) MUST_CHECK;
enum fence_outcome fence_wait(struct fence_run *run, char **ret_reason, struct err *err);
enum fence_outcome fence_check(const struct fence_run *run, struct session *target_session, char **ret_reason,
                               struct err *err);
bool fence_release_apply(struct fence_run *run, struct err *err) MUST_CHECK;
void fence_close(struct fence_run *run);

#endif
