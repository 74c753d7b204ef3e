/* What batch.c (filling) and batch_write.c (emptying) share. */
#ifndef APPLY_BATCH_INTERNAL_H
#define APPLY_BATCH_INTERNAL_H

#include "apply/batch.h"
#include "control/tally.h"

/* The last streamed change that a partition delivered in this batch. */
struct partition_place {
    uint64_t generation; /* of the batch, plus 1 */
    lsn_t commit_lsn;
    uint64_t total_order;
    enum change_op op;
    bool any;
};

/* Of one table: its stream may hold others as well. */
struct batch_table {
    char *stream;
    char *schema, *table; /* names: schemas come and go with the decoder */
    uint64_t hash;
    struct item *items;
    size_t count, cap;
    bool in_arena; /* the array is the batch's arena's */
    bool unsorted;
    bool
        elsewhere; /* another shard's: its items are not kept. Names empty: so are all tables of the stream */
    bool touched;  /* it is in the batch's list of those */
    uint32_t tally;             /* tally_table() plus 1; 0 = not asked for yet */
    uint64_t rows[TALLY_KINDS]; /* kept since batch_clear() */
    size_t departures;          /* first halves of key changes whose second half is still to come */
    struct partition_place *partitions;
    size_t partition_count;
};

struct batch {
    struct arena arena;
    size_t max_bytes;
    int overflow_fd; /* -1: all is in memory */
    struct batch_table *tables;
    size_t table_count, table_cap, last_table;
    uint32_t *
        touched; /* tables with anything since batch_clear(): all that a small batch out of many tables has to look at */
    size_t touched_count, touched_cap;
    const struct table_schema *last_schema; /* of last_table; NULL = any lookup is due */
    uint32_t *slots;                        /* open addressing by hash: index into tables plus 1, 0 = empty */
    size_t slot_count;                      /* a power of two; more than half of them are empty */
    size_t item_count, part_reads, departures;
    uint64_t generation;
    uint32_t next_seq;
    struct item last_item; /* that batch_add kept */
    bool kept;
    bool keep_records, large_parts, take_repeats;
    struct partition_place replayed; /* of Debezium's records, with take_repeats */
    struct batch_counts counts;
    struct shard shard;
    const struct target_layout *layout; /* the caller's */
    struct foreign_decoder *foreign;    /* the caller's; NULL: records are ours */
    lsn_t (*table_drop_below)(void *ctx, const struct table_schema *schema);
    void *table_drop_ctx;
};

/* batch_touched.c: it has something from now on. */
void batch_touch(struct batch *b, struct batch_table *bt);
/* The list in the order of the tables, which is the same in all batches. */
void batch_sort_touched(struct batch *b);

/* batch_write.c */
void batch_sort_table(struct batch_table *bt);
/* What is there, without forgetting it. */
bool batch_write_items(struct batch *b, struct table_map *tables, struct target *tgt, enum target_mode mode,
                       enum rows_new rows_new, struct err *err) MUST_CHECK;

int item_order(const struct item *a, const struct item *b);

#endif
