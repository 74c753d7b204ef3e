/* What the files of the walk share. */
#ifndef INSPECT_VERIFY_INTERNAL_H
#define INSPECT_VERIFY_INTERNAL_H

#include "change/codec.h"
#include "change/fence.h"
#include "inspect/key_sample.h"
#include "inspect/verify.h"
#include "journal/schema_store.h"

/* One partition, as far as it was walked. */
struct part {
    char *stream;
    int32_t partition, partition_count;
    bool known;           /* a fence has named it */
    uint64_t fenced;      /* where the last fence that named it ends */
    uint64_t first, next; /* what the journal keeps */
    uint64_t tail;        /* next as it was before the fences were read: all below must be fenced */
    uint64_t at;          /* next offset to be read */
    size_t slice_at, slice_end;
    /* The order so far. */
    uint64_t attempt, order;
    lsn_t lsn;
    enum change_op op;
    uint64_t key_hash; /* of the last record; 0 = none */
};

/* What one fence of the batch says of one partition. */
struct slice {
    struct part *part;
    size_t fence; /* index in the batch */
    uint64_t first, next;
    uint64_t expect; /* next offset that should come */
};

/* How far a copy has come (change/fence.h). */
struct copy_place {
    bool there;
    uint64_t plan, part;
    size_t key_count;
    char request[40]; /* nonce; "" = the first copy, of all tables */
};

struct batch_fence {
    struct fence fence; /* without its ranges once these are slices */
    uint64_t offset, came;
    bool expired;
    bool copies; /* of a copy, or the first one after it: each row is there once */
};

struct txn {
    lsn_t lsn; /* 0 = free slot */
    uint64_t count, sum, mixed, last_order;
    const struct part *part; /* of the last change */
    uint64_t offset;
};

struct txns {
    struct txn *slots;
    size_t slot_count, used;
};

struct verify {
    const struct verify_options *options;
    struct verify_totals totals;
    const struct codec_ops *codec;
    struct journal_reader *fences, *data;
    struct schema_store *schemas;
    struct decoder *decoder;
    struct arena arena;
    char *fence_stream, *schema_stream;
    struct part **parts; /* sorted by stream, partition */
    size_t part_count, part_cap;
    struct part *last_part;
    struct batch_fence *batch;
    size_t batch_count, batch_cap;
    struct slice *slices;
    size_t slice_count, slice_cap;
    uint64_t batch_changes;
    struct fence last; /* without ranges; id 0 = none yet */
    uint64_t next_fence_offset;
    struct txns txns;
    struct copy_place copy; /* of the last fence */
    struct key_sample copied, recent;
    lsn_t expired_lsn; /* transactions before it may have lost records to retention */
    uint64_t walked, walk_total;
    int64_t told_us;
    bool tail_found;
    int patience; /* how often it is still waited for a partition's end */
};

/* --- verify.c --- */
void verify_find(struct verify *v, const struct verify_finding *finding, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* --- verify_parts.c --- */
/* All data streams with their bounds. */
bool verify_parts_load(struct verify *v, struct err *err) MUST_CHECK;
/* The part, made when it is new (its bounds are asked for then). */
bool verify_parts_find(struct verify *v, const char *stream, int32_t partition, struct part **ret,
                       struct err *err) MUST_CHECK;
/* Asks for the bounds again (what is kept may have moved on). */
bool verify_part_refresh(struct verify *v, struct part *part, struct err *err) MUST_CHECK;
void verify_parts_free(struct verify *v);

/* --- verify_fence.c --- */
/* Judges a record of the fence stream against the ones before it. *ret_usable false: nothing in it can be relied on; true: *ret
 * is the fence, for the caller to release. */
bool verify_fence_take(struct verify *v, const struct journal_record *rec, struct fence *ret,
                       bool *ret_usable, struct err *err) MUST_CHECK;
void verify_batch_clear(struct verify *v);

/* --- verify_record.c --- */
bool verify_record(struct verify *v, const struct journal_record *rec, struct err *err) MUST_CHECK;
/* What did not come up to the end of each slice and of each fence's count. */
void verify_batch_end(struct verify *v);

/* --- verify_txn.c --- */
void txns_init(struct txns *t);
void txns_release(struct txns *t);
void verify_txn_add(struct verify *v, lsn_t lsn, uint64_t order, const struct part *part, uint64_t offset);
/* Forgets the transactions that are whole. */
void verify_txn_sweep(struct verify *v);
/* Those that never became whole are findings. */
void verify_txn_end(struct verify *v);

#endif
