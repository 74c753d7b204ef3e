/*
 * Walks all of a journal and judges it: fences in order, records against fences, order, gaps, duplicates. Reads as an
 * unregistered reader and changes nothing; the pipeline may run. See docs/OPERATIONS.md for what a good verdict proves.
 *
 * Memory is bounded whatever the journal's length: some 150 bytes for each partition, a batch of fences, the transactions
 * that a batch touches (VERIFY_TRANSACTIONS_MAX), and memory_bytes for the keys of copied rows.
 */
#ifndef INSPECT_VERIFY_H
#define INSPECT_VERIFY_H

#include "core/lsn.h"
#include "journal/journal.h"

enum verify_kind {
    VERIFY_FENCE_UNREADABLE = 0, /* does not parse */
    VERIFY_FENCE_MISSING,        /* ids or offsets of the fence stream have a gap */
    VERIFY_FENCE_TWICE,          /* an id that was there already */
    VERIFY_FENCE_BACKWARDS,      /* LSN, attempt or completeness go back */
    VERIFY_FENCE_IDENTITY,       /* another pipeline's or another source's */
    VERIFY_FENCE_OFFSETS,        /* ranges overlap, leave a hole, or pass the partition's end */
    VERIFY_GAP,                  /* a record inside of a fence's range is missing */
    VERIFY_UNFENCED,             /* a record that lies in no fence's range */
    VERIFY_UNREADABLE,           /* a value that does not decode */
    VERIFY_DUPLICATE,            /* a change that was there already */
    VERIFY_ORDER,                /* a change that is older than the one before it */
    VERIFY_LATE,                 /* a change at or behind the LSN of its fence */
    VERIFY_PARTITION,            /* a key in another partition than its hash says */
    VERIFY_TOMBSTONE,            /* a null value that does not follow its delete */
    VERIFY_COUNT,                /* a fence that counts another number of changes than came */
    VERIFY_TRANSACTION,          /* a transaction whose ordinals are not 1 … n, each once */
    VERIFY_COPIED_TWICE,         /* a row that one copy has twice */
    VERIFY_KIND_COUNT_
};
/* "gap", "unfenced", … */
const char *verify_kind_name(enum verify_kind kind);

struct verify_finding {
    enum verify_kind kind;
    const char *stream;
    int32_t partition;
    uint64_t offset;
    lsn_t lsn;         /* of the change or fence; 0 = not known */
    uint64_t fence_id; /* 0 = none */
    const char *text;  /* what is wrong */
};

struct verify_totals {
    uint64_t fences, streams, partitions;
    uint64_t records, tombstones, changes,
        copied; /* records: all; changes: with a position; copied: rows of copies */
    uint64_t transactions;
    uint64_t expired_fences; /* part of their ranges is no longer kept: not counted against the records */
    /* More at once than VERIFY_TRANSACTIONS_MAX: their ordinals were not looked at. */
    uint64_t unchecked_transactions;
    uint64_t copied_keys;  /* copied rows with a key … */
    unsigned copied_share; /* … of which one of this many was looked for twice (1 = all) */
    /* Written without transactions (journal_config.idempotent), and under no fence of their writer: every reader passes over them. */
    uint64_t stray_records, stray_fences;
    lsn_t first_lsn, last_lsn; /* of the fences */
    uint64_t findings, by_kind[VERIFY_KIND_COUNT_];
};

struct verify_progress {
    uint64_t done, total; /* offsets */
};

struct verify_options {
    const struct journal_config *journal;
    const char *format; /* "avro", "json" */
    bool dense;         /* offsets of a stream have no holes by nature (lmdb) */
    size_t memory_bytes;
    void *ctx;
    void (*finding)(void *ctx, const struct verify_finding *finding);
    /* The fence that the target has, asked when records of a fence are no longer kept. False: it cannot be asked. */
    bool (*applied)(void *ctx, uint64_t *ret_fence_id);
    /* Now and then. False: stop (ERR_INTERRUPTED). NULL allowed, as above. */
    bool (*progress)(void *ctx, const struct verify_progress *progress);
};

#define VERIFY_TRANSACTIONS_MAX ((size_t)1 << 18)

/* False: could not be walked to its end (findings that were told stay true). Blocks; @thread any */
bool verify_run(const struct verify_options *options, struct verify_totals *ret, struct err *err) MUST_CHECK;

#endif
