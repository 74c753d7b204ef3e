/*
 * Comparisons' holds (docs/COMPARE.md): what a transaction's end means for what capture holds back. Pure: decided by
 * the log alone (commit positions and commit times), so a restart decides the same.
 *
 *   hold   from its transaction on nothing is handed to the publisher; the last fence stays before it
 *   cut    what committed before cut_lsn is handed over, a fence exactly there, then the rest
 *   lapse  the first commit whose own time is later than the hold's plus its deadline lets everything go
 *   A new hold replaces an older one (whose comparator is gone: they take an advisory lock). A cut without
 * its hold is answered by a fence marked refused.
 */
#ifndef CAPTURE_HOLD_H
#define CAPTURE_HOLD_H

#include <stdbool.h>
#include <stdint.h>

#include "change/fence.h"
#include "core/lsn.h"

/* A row of crossfade.marker; kind MARKER_COMPARE stands for 'cut'. */
struct cap_marker {
    enum marker_kind kind;
    char nonce[40];
    lsn_t cut_lsn;
    int64_t deadline_ms;
};

struct cap_commit {
    lsn_t commit_lsn, commit_end_lsn;
    int64_t commit_time_us;
    struct cap_marker marker; /* kind MARKER_NONE: none */
};

#define CAP_ANSWERED_MAX 32

struct cap_hold {
    bool active;
    struct cap_marker marker;
    lsn_t commit_end_lsn;
    int64_t expires_us;                  /* commit time behind which it has lapsed; wall */
    char answered[CAP_ANSWERED_MAX][40]; /* nonces of cuts whose fence is in the journal already (recovery) */
    unsigned answered_count;
};

struct cap_hold_step {
    bool release; /* hand over what is held so far, before this transaction's end */
    bool cut;     /* with it: a fence exactly at cut_lsn */
    lsn_t cut_lsn;
    struct fence_marker cut_marker;
    bool hold;                  /* this transaction's end is the first thing held */
    bool lapsed;                /* for the log: a hold ended by its deadline */
    struct fence_marker marker; /* goes with the fence at this transaction's end */
};

/* Recovery: this cut was answered before. */
void cap_hold_note_answered(struct cap_hold *hold, const char *nonce);
/* A transaction ends. */
struct cap_hold_step cap_hold_commit(struct cap_hold *hold, const struct cap_commit *commit);

#endif
