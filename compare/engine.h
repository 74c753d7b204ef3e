/*
 * The comparing itself: a planner walks the source's keys and queues jobs (a key range, or a whole table by
 * buckets); workers take them, each with a connection to either side. Private to this module.
 */
#ifndef COMPARE_ENGINE_H
#define COMPARE_ENGINE_H

#include <stdatomic.h>

#include "core/queue.h"
#include "pace.h"
#include "plan.h"
#include "session.h"

#define DIFFERENCES_PER_TABLE 1000
#define DIFFERENCES_PER_RUN   20000

/* [lower, upper): key columns as text, NULL behind the last; NULL = open end. */
struct key_range {
    char **lower, **upper;
};

struct history;
struct key_batch;

struct engine {
    struct plan *plan;
    struct history *history; /* NULL: none */
    int64_t chunk_rows;
    bool counts_only; /* LEVEL_COUNTS */
    int64_t end_us;   /* mono: the snapshots are too old then; 0 = never */
    bool aged;        /* that is how the run ended */
    size_t worker_count;
    struct pair *pairs;     /* one per worker */
    struct session *walker; /* source */
    struct queue *jobs;
    struct pace pace;       /* made by the one who made the engine */
    atomic_bool stop;       /* asked for, or a connection broke */
    atomic_llong rows_done; /* of the source */
    atomic_size_t tables_done, tables_failed;
    atomic_llong differences; /* found in all tables */
    pthread_mutex_t lock;     /* guards what follows */
    pthread_cond_t changed;
    size_t threads_running;
    struct err broken; /* what ended the run before its time */
};

/* Compares all tables of the plan. Every table has a verdict afterwards. stop_fd, progress: see
 * compare_request. False if the run was asked to stop. */
bool engine_run(struct engine *engine, const struct compare_request *req, struct err *err) MUST_CHECK;

/* For the parts: */

/* True while another difference may be added; else notes that there are more. */
bool engine_has_room(struct engine *engine, struct plan_table *pt);
void engine_add_difference(struct engine *engine, struct plan_table *pt, struct compare_difference *diff);
/* False for an error that ends the run (connection, stop): *err stays. Otherwise the table is concluded with
 * it. */
bool engine_table_error(struct engine *engine, struct plan_table *pt, struct err *err);

/* Queues changed keys of a table for the workers; takes what the batch owns. False: the run has ended. @thread planner */
bool engine_push_keys(struct engine *engine, struct plan_table *pt, struct key_batch *batch);

void key_range_release(struct key_range *range);

#endif
