/*
 * The comparing itself: a planner walks the source's keys and queues jobs (a key range, or a whole table by
 * buckets); workers take them, each with a connection to either side. Private to this module.
 */
#ifndef COMPARE_ENGINE_H
#define COMPARE_ENGINE_H

#include <stdatomic.h>

#include "core/queue.h"
#include "session.h"

#define DIFFERENCES_PER_TABLE 1000
#define DIFFERENCES_PER_RUN   20000

/* [lower, upper): key columns as text, NULL behind the last; NULL = open end. */
struct key_range {
    char **lower, **upper;
};

struct engine {
    struct plan *plan;
    int64_t chunk_rows;
    size_t worker_count;
    struct pair *pairs;     /* one per worker */
    struct pg_conn *walker; /* source */
    struct queue *jobs;
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

void key_range_release(struct key_range *range);

#endif
