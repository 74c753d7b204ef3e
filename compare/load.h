/*
 * How busy the servers are with others' work: what a comparison goes by when it waits (pace.h). Asked on connections of its own, outside
 * of the snapshots, at most a few times a second. Private to this module.
 */
#ifndef COMPARE_LOAD_H
#define COMPARE_LOAD_H

#include "core/standby_lag.h"
#include "session.h"

#define LOAD_SAMPLES 16
#define LOAD_RECENT  8 /* of them make the average where all backends are seen: two seconds */

/* One look at the source. */
struct load_sample {
    int64_t at_us;  /* mono */
    int64_t active; /* backends other than Crossfade's that work at this moment */
    int64_t
        worked_ms; /* what all backends have worked since ever; each tells it at the end of its statements */
    bool all_seen; /* else `active` is of our own role alone */
};

struct load_figures {
    double active;      /* others' backends that work, on average over the last seconds */
    int64_t latency_us; /* of a probe; 0 = not asked for */
    bool replica_late;  /* a standby of either side is later than it may be */
};

struct load {
    bool probe_latency;
    struct session *session[SIDE_COUNT]; /* the target: for its standbys alone, else NULL */
    struct standby_lag standbys[SIDE_COUNT];
    struct load_sample samples[LOAD_SAMPLES]; /* the oldest first */
    size_t sample_count;
    int64_t looked_us; /* mono */
    struct load_figures figures;
};

struct load_request {
    const char *url[SIDE_COUNT], *pipeline;
    bool probe_latency;
    int64_t max_replica_lag_us; /* 0 = standbys are not looked at; a MariaDB target has none that could be */
};

/* Connects, and looks for the first time. *ret is the caller's to close. */
bool load_open(const struct load_request *req, struct load **ret, struct err *err) MUST_CHECK;
void load_close(struct load *load); /* NULL allowed */
/* Looks again if the last look is old; load->figures are what it came to. @thread any, one at a time */
bool load_look(struct load *load, struct err *err) MUST_CHECK;
/* Adds a look to the samples, and says how many backends work by all of them. No I/O. */
double load_add(struct load *load, const struct load_sample *sample);
/* Whether the samples are more than a moment's: one look may find all backends between two statements. What a database's backends have worked is told
 * about once in a second (PGSTAT_MIN_INTERVAL in the server's pgstat.c), and wants all samples, four seconds. No I/O. */
bool load_settled(const struct load *load);

#endif
