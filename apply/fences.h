/*
 * The fence stream as apply follows it: fences are read ahead, checked (same pipeline, same source, ids
 * without gap) and handed out in batches. Nothing behind the last fence exists.
 * @thread owner
 */
#ifndef APPLY_FENCES_H
#define APPLY_FENCES_H

#include "apply/foreign.h"
#include "change/fence.h"
#include "journal/journal.h"
#include "target/target.h"

struct fence_feed;

/* Fences that become one transaction of the target. */
struct fence_batch {
    const struct fence *last; /* valid until the batch is taken off */
    uint64_t last_offset;
    size_t count;
    uint64_t changes; /* as the fences say */
    uint64_t transactions;
    bool begins_copy;                   /* one fence, SNAPSHOT_BEGIN */
    bool complete;                      /* no copy is under way at any of them */
    bool direct;                        /* beside a direct load: its rows come first */
    const struct journal_range *ranges; /* merged; valid until the same way of picking is taken next */
    size_t range_count;
    bool many_partitions; /* some stream comes from more than one partition */
};

/*
 * Starts behind `position` (NULL: nothing applied yet; then at the newest beginning of a copy). The fence at
 * the position is read and must be the one that was applied: *ret_deadline_ms is its marker's. ERR_IDENTITY:
 * other journal, other source; ERR_GAP: the journal lacks what the position needs.
 */
bool fence_feed_open(const struct journal_config *config, const struct target_position *position,
                     struct fence_feed **ret, int64_t *ret_deadline_ms, struct err *err) MUST_CHECK;
/* As above, over Debezium's topics (foreign.h): fences are made here. `dec` must outlive it. */
bool fence_feed_open_foreign(const struct foreign_settings *set, struct foreign_decoder *dec,
                             const struct target_position *position, struct fence_feed **ret,
                             struct err *err) MUST_CHECK;
/* What the target has to keep beside the position of the batch's last fence; NULL = nothing. Valid until the next call. */
bool fence_feed_offsets(struct fence_feed *feed, const struct fence_batch *batch, const char **ret,
                        struct err *err) MUST_CHECK;
/* The same at this fence, which the target has committed. */
bool fence_feed_offsets_at(struct fence_feed *feed, uint64_t fence_id, const char **ret,
                           struct err *err) MUST_CHECK;
/* Is this record of a batch one that is not counted: delivered before? */
bool fence_feed_skips(const struct fence_feed *feed, const struct journal_record *rec);
/* What keeps the feed waiting, in words; "" = nothing. */
const char *fence_feed_notice(const struct fence_feed *feed);
void fence_feed_close(struct fence_feed *feed); /* NULL allowed */
/* Waits up to timeout_ms for a fence, then reads on while there are more, up to max_changes. *ret_ready:
 * there is one. */
bool fence_feed_read(struct fence_feed *feed, int timeout_ms, uint64_t max_changes, bool *ret_ready,
                     struct err *err) MUST_CHECK;
/* The longest batch that starts with the next fence: at most max_changes (but at least one fence; 0: one that has changes comes alone), never over
 * a marker that apply stops at, never over the beginning of a copy. ERR_IDENTITY: their ranges do not follow
 * each other. */
bool fence_feed_pick(struct fence_feed *feed, uint64_t max_changes, struct fence_batch *ret,
                     struct err *err) MUST_CHECK;
/* The same of the fences behind `before`, which stays as it is; there are some. */
bool fence_feed_pick_behind(struct fence_feed *feed, const struct fence_batch *before, uint64_t max_changes,
                            struct fence_batch *ret, struct err *err) MUST_CHECK;
/* What was picked behind a batch that is taken off now, once more. */
bool fence_feed_pick_same(struct fence_feed *feed, const struct fence_batch *was, struct fence_batch *ret,
                          struct err *err) MUST_CHECK;
/* The picked batch is committed. */
void fence_feed_take(struct fence_feed *feed, const struct fence_batch *batch);
/* Is there, behind the next fence, a beginning of a copy? Then the next fence is that one (the last one's): it empties the target, so that
 * what comes before it need not be applied. What was picked is no longer valid. */
bool fence_feed_skip_to_copy(struct fence_feed *feed, bool *ret_skipped, struct err *err) MUST_CHECK;
/* Is there, behind the picked batch, a fence that could not go into it? */
bool fence_feed_is_behind(const struct fence_feed *feed, const struct fence_batch *batch);
/* Offset behind the last fence of the stream. */
bool fence_feed_end(struct fence_feed *feed, uint64_t *ret_next_offset, struct err *err) MUST_CHECK;
/* LSN of the newest fence read; 0 = none. */
lsn_t fence_feed_newest_lsn(const struct fence_feed *feed);

#endif
