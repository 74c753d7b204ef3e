/*
 * When and how fast the workers may read: rows in a second, the source's load and latency, its standbys' and the target's, and a share of
 * the time where the source is busy with others' work (docs/COMPARE.md, "Sparing the servers"). Asked between chunks: what runs is
 * not held up. Private to this module. @thread any
 */
#ifndef COMPARE_PACE_H
#define COMPARE_PACE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "compare/compare.h"
#include "load.h"

struct pace_limits {
    int64_t rows_per_s; /* 0 = as fast as it goes; so with all that follow */
    int64_t
        busy_percent; /* of the time, for all workers together, while the source is busy; 100 = all of it */
    int64_t burst_us; /* … of so much reading it rests when the run is over, and its snapshots are (rest.h) */
    int64_t max_load;           /* others' backends that work */
    int64_t max_latency_us;     /* of a probe */
    int64_t max_replica_lag_us; /* of standbys */
};

struct pace {
    pthread_mutex_t lock; /* guards limits' state and the load */
    struct pace_limits limits;
    struct load *load; /* NULL = not looked at; the pace's */
    int64_t free_us;   /* mono: what was read so far has been paid for by then, by the rate */
    int64_t rest_us;   /* mono: …, by the share of a busy source */
    int64_t read_us;   /* spent reading by all workers */
    int64_t burst_us;  /* … while the source was busy, up to limits.burst_us */
    int64_t owed_us;   /* rest for that */
    atomic_llong waited_us[WAIT_KINDS]; /* by all workers */
    atomic_int waits_for;               /* enum compare_wait: the last worker's that looked */
};

/* Whether reading gives way to others of a busy source (compare.busy_percent: 0 and 100 are never). */
bool pace_shares(const struct pace_limits *limits);
/* Connects where a limit needs it. False: nothing is left to destroy. */
bool pace_init(struct pace *pace, const struct pace_limits *limits, const struct load_request *servers,
               struct err *err) MUST_CHECK;
void pace_destroy(struct pace *pace); /* of zeros: fine */
/* Waits until more may be read, or *stop. False: a server could not be asked. */
bool pace_wait(struct pace *pace, const atomic_bool *stop, struct err *err) MUST_CHECK;
/* Why nothing may be read now. False: a server could not be asked. */
bool pace_look(struct pace *pace, enum compare_wait *ret, struct err *err) MUST_CHECK;
/* Whether pace_look has looked often enough for its answer to be more than one moment's. */
bool pace_settled(struct pace *pace);
/* So many rows were read. */
void pace_spend(struct pace *pace, uint64_t rows);
/* So long was read for. */
void pace_took(struct pace *pace, int64_t took_us);

/* Why nothing may be read now, by what is known; no I/O. */
enum compare_wait pace_reason(const struct pace *pace, const struct load_figures *figures, int64_t now_us);
/* pace_took at a time. */
void pace_took_at(struct pace *pace, double others_active, int64_t took_us, int64_t now_us);

#endif
