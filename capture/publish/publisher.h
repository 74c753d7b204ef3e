/*
 * The publisher: the thread that owns the journal's writer. It takes batches in order, appends their records,
 * and ends each unit with a fence at a transaction's end. Everything that touches the writer happens here.
 *
 *   submitted (owner moved, nothing may be confirmed)  →  durable (cap_progress.durable_lsn: may be confirmed)
 *
 * After a failure it takes nothing more: cap_publisher_stop() tells why, and everything is opened anew.
 */
#ifndef CAPTURE_PUBLISHER_H
#define CAPTURE_PUBLISHER_H

#include "capture/publish/batch.h"
#include "change/codec.h"
#include "control/tally.h"
#include "journal/journal.h"
#include "journal/schema_store.h"

struct cap_publisher;

/* Who the fences speak of, and where the numbering goes on. */
struct cap_fence_base {
    const char *pipeline;
    uint64_t system_id;
    uint32_t timeline;
    uint64_t attempt;
    uint64_t last_id;             /* of the last fence in the journal; 0 = none */
    uint64_t schemas_next;        /* as the last fence has it */
    const char *gtid, *gtid_from; /* where it begins, of MariaDB; NULL = PostgreSQL */
    /* Next offsets of all partitions that fences named so far (first_offset not used). */
    struct fence_range *ranges;
    size_t range_count;
};

struct cap_publisher_config {
    const char *topic_prefix;
    const struct codec_ops *codec;
    int64_t fence_interval_us;
    uint64_t fence_max_changes;
    struct cap_fence_base base; /* copied */
    struct tally *tally;        /* NULL = nothing is counted */
    bool complete; /* false: a copy runs; fences are written where batches ask for them, and nowhere else */
};

struct cap_progress {
    lsn_t durable_lsn; /* of the last durable fence; starts at what cap_publisher_start() was given */
    int64_t durable_commit_us;
    uint64_t fence_id, attempt, changes, transactions, fences, bytes;
    bool complete;
    bool failed;
    int queued;                     /* batches and calls that it has not done */
    struct journal_numbers journal; /* at the last fence, if there was one */
};

struct cap_stream_ids {
    uint32_t stream, key_schema_id, value_schema_id;
};

/* Takes jw and schemas over (closes them at the end). */
struct cap_publisher *cap_publisher_start(const struct cap_publisher_config *config,
                                          struct journal_writer *jw, struct schema_store *schemas,
                                          lsn_t durable_lsn);
/* Readable when something changed: progress, room, failure. cap_publisher_progress() clears it. */
int cap_publisher_fd(const struct cap_publisher *pub);
/* @thread any */
void cap_publisher_progress(struct cap_publisher *pub, struct cap_progress *ret);
/* Fences that are durable: more than before, and what was registered then is, too. @thread any */
uint64_t cap_publisher_fences(struct cap_publisher *pub);
/* Nothing is in its hands. @thread any */
bool cap_publisher_idle(struct cap_publisher *pub);
/* More comes than one fence after the other keeps up with (a backlog): fences are spaced so that most of the thread's time goes into
 * records. @thread any */
void cap_publisher_hurry(struct cap_publisher *pub, bool hurried);
/* False if there is no room now, or after a failure: the batch stays the caller's. @thread any */
bool cap_publisher_try_submit(struct cap_publisher *pub, struct cap_batch *batch);
/* Waits for room. False after a failure. @thread any */
bool cap_publisher_submit(struct cap_publisher *pub, struct cap_batch *batch);
/* An empty batch, from those that came back. @thread any */
struct cap_batch *cap_publisher_batch(struct cap_publisher *pub);
void cap_publisher_return(struct cap_publisher *pub, struct cap_batch *batch);

/* The following wait until the publisher has done it (behind everything submitted before). */
/* Registers a table's schemas and its data stream. subject: what the schemas' names begin with; NULL = as the topic. */
bool cap_publisher_register(struct cap_publisher *pub, const char *topic, const char *subject,
                            const char *key_json, const char *value_json, struct cap_stream_ids *ret,
                            struct err *err) MUST_CHECK;
/* A table's shape (shapes.h) goes into the unit. */
bool cap_publisher_note_shape(struct cap_publisher *pub, const char *text, struct err *err) MUST_CHECK;
/* The fence with which a copy begins, and in its unit that the tables' shapes are forgotten; durable on return. `place` may be
 * changed after it. */
bool cap_publisher_begin_copy(struct cap_publisher *pub, lsn_t lsn, const struct fence_copy *place,
                              struct err *err) MUST_CHECK;
/* Whatever can be fenced is durable on return. */
bool cap_publisher_drain(struct cap_publisher *pub, struct err *err) MUST_CHECK;

/* Ends the thread (what was submitted and is not durable is gone) and closes the writer. *ret_last: what it had done, in either case. False if
 * it had failed: *err says why. NULL allowed. */
bool cap_publisher_stop(struct cap_publisher *pub, struct cap_progress *ret_last, struct err *err);

#endif
