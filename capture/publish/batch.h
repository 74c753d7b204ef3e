/*
 * A batch: encoded records on their way to the publisher, and where transactions end among them. Bytes live
 * in one buffer and everything refers to it by offset, so a batch can be written to a spill file and read
 * back as it is.
 * @thread: one owner at a time; ownership moves with the queue.
 */
#ifndef CAPTURE_BATCH_H
#define CAPTURE_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "change/fence.h"
#include "control/tally.h"
#include "core/err.h"
#include "core/lsn.h"
#include "core/strbuf.h"

#define CAP_NONE UINT32_MAX
/* In place of a stream's number: the record is a table's shape (shapes.h), not a change. */
#define CAP_STREAM_SHAPES UINT32_MAX

enum cap_header { CAP_HEADER_NONE = 0, CAP_HEADER_NEW_KEY, CAP_HEADER_OLD_KEY, CAP_HEADER_COPYING };

/* Offsets into the batch's bytes; CAP_NONE as length = absent. */
struct cap_record {
    uint32_t stream;    /* the publisher's number of the data stream */
    uint32_t schema_id; /* of the value, for the header of json records; 0 = no header */
    uint32_t key_at, key_len;
    uint32_t value_at, value_len; /* absent = tombstone */
    uint32_t header_at, header_len;
    enum cap_header header;
    uint32_t table;       /* tally_table() of the change's */
    enum tally_kind kind; /* of change; a tombstone has none */
    bool meta;            /* no change of a row: no fence counts it (change/meta.h) */
};

/* A transaction ends behind record_end - 1. */
struct cap_boundary {
    uint32_t record_end;
    uint32_t marker; /* 1 + index into markers; 0 = none. With a marker a fence is due exactly here */
    lsn_t commit_lsn, commit_end_lsn; /* the fence's lsn is commit_end_lsn */
    int64_t commit_time_us;
    uint32_t gtid_at,
        gtid_len; /* in the batch's bytes: the source's position here in its own words; length 0 = it has none (PostgreSQL) */
    uint32_t from_at, from_len; /* likewise: where reading has to begin again; length 0 = at the position */
    bool synthetic;             /* not a transaction: a cut between two */
    bool fence; /* a fence is due exactly here: the next transaction has a table's new shape */
};

/* A fence of a running copy, behind the batch's last record. */
struct cap_copy_fence {
    bool wanted, complete;
    lsn_t lsn;
    int64_t commit_time_us;
    struct fence_copy place; /* the batch's */
};

struct cap_batch {
    struct strbuf bytes;
    struct cap_record *records;
    size_t record_count, record_cap;
    struct cap_boundary *bounds;
    size_t bound_count, bound_cap;
    struct fence_marker *markers;
    size_t marker_count;
    uint64_t changes;      /* records that are not tombstones */
    lsn_t tail_commit_lsn; /* of the transaction whose records follow the last boundary; 0 = none follow */
    struct cap_copy_fence copy_fence;
    bool fence_first; /* as cap_boundary.fence, of a transaction that ended in an earlier batch */
    bool snapshot;    /* rows of a running copy: any point between two batches may get a fence */
};

struct cap_batch *cap_batch_new(void);
void cap_batch_free(struct cap_batch *b); /* NULL allowed */
/* Empties; memory is kept unless it grew far beyond the usual. */
void cap_batch_clear(struct cap_batch *b);
/* Bytes held by it. */
size_t cap_batch_size(const struct cap_batch *b);
/* Makes room for one more record and returns it zeroed (lengths absent); the caller fills in offsets. */
struct cap_record *cap_batch_add(struct cap_batch *b, uint32_t stream);
/* A transaction ends here. marker NULL or kind MARKER_NONE = no marker. */
void cap_batch_end_transaction(struct cap_batch *b, lsn_t commit_lsn, lsn_t commit_end_lsn,
                               int64_t commit_time_us, const struct fence_marker *marker);
/* Of the last boundary: the source's position there, and where reading begins again ("" = there). synthetic: no transaction ended. */
bool cap_batch_note_gtid(struct cap_batch *b, const char *gtid, const char *from, bool synthetic,
                         struct err *err) MUST_CHECK;
/* What ended before the transaction at hand gets a fence of its own. */
void cap_batch_part_here(struct cap_batch *b);
/* A record of stream CAP_STREAM_SHAPES, in the order of the others. */
bool cap_batch_add_shape(struct cap_batch *b, const char *text, struct err *err) MUST_CHECK;
/* Records behind the last transaction's end. */
size_t cap_batch_tail(const struct cap_batch *b);
/* Forgets them. */
void cap_batch_drop_tail(struct cap_batch *b);
/* If the history's point cut_lsn lies inside or at the end of this batch (`last`: there is no later batch), a
 * fence with that lsn and marker is put between what committed before it and the rest. True if done.
 * previous_commit_us: commit time of the last transaction that ended in earlier batches. */
bool cap_batch_cut(struct cap_batch *b, lsn_t cut_lsn, const struct fence_marker *marker,
                   int64_t previous_commit_us, bool last);

#endif
