/*
 * The copy's work: chunks of tables under one exported snapshot, and the threads that copy them. A chunk is a
 * range of blocks (ctid), valid because all workers read under one snapshot and the tables are locked against
 * rewriting.
 */
#ifndef CAPTURE_COPY_WORK_H
#define CAPTURE_COPY_WORK_H

#include <pthread.h>
#include <stdatomic.h>

#include "capture/capture_internal.h"

struct cap_chunk {
    size_t table, part;
    int64_t first_block, end_block; /* end_block -1 = to the end */
};

struct cap_copy {
    const struct cap_session *session; /* read only for workers */
    const char *snapshot;
    lsn_t consistent_lsn;
    int64_t started_us; /* wall */
    struct cap_chunk *chunks;
    size_t chunk_count;
    atomic_size_t next_chunk;
    _Atomic uint64_t *rows;     /* per table */
    atomic_size_t *chunks_left; /* per table */
    atomic_bool abort;
    atomic_int running;
    pthread_mutex_t lock; /* first_err, conns */
    struct err first_err;
    struct pg_conn **conns; /* of the workers, to cancel; NULL = none */
};

struct cap_copy_worker {
    struct cap_copy *copy;
    int index;
    pthread_t thread;
};

/*
 * Locks all tables for reading until the transaction's end: holds off whatever would move rows (VACUUM FULL,
 * CLUSTER, a rewriting ALTER) or drop them unseen by the snapshot (TRUNCATE). Every worker does so too, at
 * its start: a worker that asked for a lock later would queue behind an ALTER that waits for us.
 * ERR_TRANSIENT when a lock does not come in time.
 */
bool cap_copy_lock(const struct cap_session *s, struct pg_conn *conn, struct err *err) MUST_CHECK;
/* Thread: takes chunks until there are none, an error comes or abort is set. arg: struct cap_copy_worker */
void *cap_copy_worker_main(void *arg);
/* Ends all workers soon: sets abort, cancels their statements. @thread any */
void cap_copy_abort(struct cap_copy *copy, int workers);

#endif
