/*
 * A batch: the changes of some fences, decoded and kept per table until they are written. Bounded by
 * max_bytes: when batch_is_full() says so, what is there is written as one part of the target's transaction,
 * or spooled when the order over all partitions matters.
 *
 * Order. Within a partition records come in commit order. A table with several partitions, and replay in
 * exact order, are sorted by (commit LSN, ordinal). Rows of a snapshot have no ordinal: they keep their place
 * behind what came before them in their partition.
 * @thread owner
 */
#ifndef APPLY_BATCH_H
#define APPLY_BATCH_H

#include "apply/collapse.h"
#include "apply/letters.h"
#include "apply/shard.h"
#include "apply/tables.h"
#include "change/codec.h"
#include "change/foreign.h"
#include "journal/journal.h"
#include "target/conflicts.h"
#include "target/target.h"

struct batch;
struct tally;

struct batch_counts {
    uint64_t changes; /* taken */
    uint64_t reads;   /* of these, snapshot rows */
    uint64_t inserts; /* … and rows that were new on the source */
    uint64_t truncates;
    uint64_t duplicates;              /* dropped: delivered before */
    uint64_t value_bytes;             /* of all records */
    lsn_t newest_lsn;                 /* largest commit LSN taken */
    struct conflict_counts conflicts; /* of tables that are written on both sides */
};

struct batch *batch_new(size_t max_bytes);
void batch_free(struct batch *b); /* NULL allowed */
/* Records are of Debezium: batch_add takes this decoder, and its codec and dec are not looked at. NULL = no more. */
void batch_decode_foreign(struct batch *b, struct foreign_decoder *foreign);
/* Forgets items and counts. */
void batch_clear(struct batch *b);
/* Forgets items only; counts, and what each partition delivered last, stay. */
void batch_forget_items(struct batch *b);
/* Rows of a copy are not written in small parts as they come: foreign keys fire, and a child's part could come before its
 * parent's. */
void batch_large_parts(struct batch *b, bool large);
/* From now on items have their whole records with them, as dead letters need them. */
void batch_keep_records(struct batch *b, bool keep);
/* From now on nothing is dropped for coming behind what its partition delivered last: dead letters come in the order in which they were
 * held. */
void batch_take_repeats(struct batch *b, bool take);
/* Records of tables that another shard has are counted, not kept. Nothing is in the batch; `layout` (NULL: none) is the caller's, and is
 * looked at until the next call. */
void batch_of_shard(struct batch *b, struct shard shard, const struct target_layout *layout);
/* Decodes and keeps one record; tombstones are passed over. drop_below: streamed changes with a lower commit
 * LSN were applied before (0 = none). */
bool batch_add(struct batch *b, const struct codec_ops *codec, struct decoder *dec,
               const struct journal_record *rec, lsn_t drop_below, struct err *err) MUST_CHECK;
/* From now on each table has a position of its own besides: streamed changes with a lower commit LSN are dropped, too. NULL = none has. */
void batch_drop_by_table(struct batch *b, lsn_t (*drop_below)(void *ctx, const struct table_schema *schema),
                         void *ctx);
/* Time to write a part. Never between the two halves of a key change. */
bool batch_is_full(const struct batch *b);
/* Far too much is there, though a key change may be open. */
bool batch_is_over(const struct batch *b);
/* What comes until batch_clear() goes to a temporary file (arena_overflow): the batch is never full, and written as a whole. */
bool batch_overflow(struct batch *b, struct err *err) MUST_CHECK;
/* True if a part may be written although rows of other partitions are still to come. */
bool batch_only_reads(const struct batch *b);
size_t batch_bytes(const struct batch *b);
/* The item that batch_add kept last, NULL if it kept nothing (a tombstone, a duplicate). */
const struct item *batch_last_item(const struct batch *b);
const struct batch_counts *batch_counts(const struct batch *b);
/* What was kept since batch_clear() is committed: it counts (control/tally.h). */
void batch_tally(struct batch *b, struct tally *t);
/* Collapses (SET, REPLACE) or sequences (ORDERED) what is there, hands it to the target and forgets it; the
 * counts stay. */
bool batch_write(struct batch *b, struct table_map *tables, struct target *tgt, enum target_mode mode,
                 enum rows_new rows_new, struct err *err) MUST_CHECK;
/* Changes of parked keys leave the batch and are held behind those that are held already. */
bool batch_divert(struct batch *b, struct letters *letters, struct err *err) MUST_CHECK;
/* isolate.c: as batch_write, with the target's transaction narrowed down to the rows that it refuses, which are held
 * as dead letters (halts: the first of them is the error). *ret_attempts counts what was tried. */
bool batch_write_isolating(struct batch *b, struct table_map *tables, struct target *tgt,
                           struct letters *letters, bool halts, uint64_t *ret_attempts,
                           struct err *err) MUST_CHECK;

#endif
