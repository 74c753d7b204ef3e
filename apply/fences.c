/* Owns: following the fence stream. See fences.h. */
#include "apply/fences.h"

#include <stdlib.h>
#include <string.h>

#include "apply/hash.h"
#include "core/alloc.h"

#define PARTITION      0     /* of the fence stream: it has one */
#define READ_AHEAD_MAX 20000 /* fences */
#define SCAN_WAIT_MS   10000

struct queued_fence {
    struct fence fence;
    uint64_t offset;
};

/* The latest range of one partition in the batch that is being picked. */
struct merged_slot {
    uint64_t hash;
    uint32_t index; /* in ranges, plus 1; 0 = empty */
};

/* Ranges of a batch. */
struct range_list {
    struct journal_range *items;
    size_t cap;
};

struct fence_feed {
    struct foreign_feed *foreign; /* fences are made of Debezium's topics; reader is NULL then */
    struct journal_reader *reader;
    char *stream;
    char *pipeline;
    struct queued_fence *items; /* [head, head + count) */
    size_t head, count, cap;
    uint64_t queued_changes;
    uint64_t last_id;   /* of the last fence read; 0 = any may come */
    uint64_t system_id; /* 0 = not known yet */
    lsn_t newest_lsn;
    uint64_t looked_next; /* fence_feed_skip_to_copy() has seen what is below this offset */
    struct range_list picked, picked_behind;
    struct merged_slot *slots;
    size_t slot_count; /* power of two */
};

void fence_feed_close(struct fence_feed *feed)
{
    if (feed == NULL)
        return;
    for (size_t i = 0; i < feed->count; i++)
        fence_release(&feed->items[feed->head + i].fence);
    journal_reader_close(feed->reader);
    foreign_feed_close(feed->foreign);
    free(feed->items);
    free(feed->picked.items);
    free(feed->picked_behind.items);
    free(feed->slots);
    free(feed->stream);
    free(feed->pipeline);
    free(feed);
}

static bool check_fence(struct fence_feed *feed, const struct fence *fence, uint64_t offset, struct err *err)
{
    if (strcmp(fence->pipeline, feed->pipeline) != 0)
        return err_set(err, ERR_IDENTITY, "topic=%s offset=%llu: the journal belongs to pipeline %s, not %s",
                       feed->stream, (unsigned long long)offset, fence->pipeline, feed->pipeline);
    if (feed->system_id != 0 && fence->source_system_id != feed->system_id)
        return err_set(err, ERR_IDENTITY,
                       "topic=%s offset=%llu: the journal comes from source system %llu, the target was "
                       "filled from %llu: "
                       "use the right journal, or an empty target with a new pipeline name",
                       feed->stream, (unsigned long long)offset, (unsigned long long)fence->source_system_id,
                       (unsigned long long)feed->system_id);
    if (feed->last_id != 0 && fence->id != feed->last_id + 1)
        return err_set(err, ERR_GAP,
                       "topic=%s offset=%llu: fence %llu follows %llu: fences are missing, start a new copy",
                       feed->stream, (unsigned long long)offset, (unsigned long long)fence->id,
                       (unsigned long long)feed->last_id);
    return true;
}

static void push_fence(struct fence_feed *feed, const struct fence *fence, uint64_t offset)
{
    if (feed->head + feed->count == feed->cap) {
        if (feed->head > feed->cap / 2) {
            memmove(feed->items, feed->items + feed->head, feed->count * sizeof *feed->items);
            feed->head = 0;
        } else {
            feed->cap = feed->cap == 0 ? 64 : 2 * feed->cap;
            feed->items = xrealloc(feed->items, feed->cap * sizeof *feed->items);
        }
    }
    feed->items[feed->head + feed->count++] = (struct queued_fence){.fence = *fence, .offset = offset};
    feed->queued_changes += fence->changes;
    feed->last_id = fence->id;
    feed->system_id = fence->source_system_id;
    feed->newest_lsn = fence->lsn;
}

static bool decode(struct fence_feed *feed, const struct journal_record *rec, struct fence *ret,
                   struct err *err)
{
    return fence_decode(rec->value, rec->value_len, ret, err) ||
           err_wrap(err, "topic=%s offset=%llu", feed->stream, (unsigned long long)rec->offset);
}

static bool assign(struct fence_feed *feed, uint64_t first, uint64_t next, struct err *err)
{
    struct journal_range range = {
        .stream = feed->stream, .partition = PARTITION, .first_offset = first, .next_offset = next};
    return journal_assign(feed->reader, &range, 1, err);
}

/* The fence that the target stands at must still be what it was. */
static bool check_position(struct fence_feed *feed, const struct target_position *pos,
                           int64_t *ret_deadline_ms, struct err *err)
{
    struct journal_record rec;
    struct fence fence = {0};
    uint64_t first = 0, next = 0;
    if (!journal_bounds_around(feed->reader, feed->stream, PARTITION, pos->fence_offset + 1, &first, &next,
                               err))
        return false;
    if (pos->fence_offset < first)
        return err_set(
            err, ERR_GAP,
            "topic=%s: the target's position is fence %llu at offset=%llu, the journal starts at %llu: "
            "start a new copy",
            feed->stream, (unsigned long long)pos->fence_id, (unsigned long long)pos->fence_offset,
            (unsigned long long)first);
    if (pos->fence_offset >= next)
        return err_set(err, ERR_IDENTITY,
                       "topic=%s: the target's position is fence %llu at offset=%llu, the journal ends at "
                       "%llu: it is not the journal that filled this target",
                       feed->stream, (unsigned long long)pos->fence_id, (unsigned long long)pos->fence_offset,
                       (unsigned long long)next);
    if (!assign(feed, pos->fence_offset, pos->fence_offset + 1, err))
        return false;
    enum journal_next got = journal_next(feed->reader, SCAN_WAIT_MS, &rec, err);
    if (got != JOURNAL_RECORD)
        return got == JOURNAL_ERROR
                   ? false
                   : err_set(err, ERR_CONNECT, "topic=%s: the journal does not answer", feed->stream);
    feed->system_id = pos->source_system_id;
    if (!decode(feed, &rec, &fence, err))
        return false;
    bool ok = check_fence(feed, &fence, rec.offset, err);
    if (ok && (fence.id != pos->fence_id || fence.lsn != pos->lsn))
        ok = err_set(err, ERR_IDENTITY,
                     "topic=%s offset=%llu: fence %llu stands where the target has applied fence %llu: it is "
                     "not the journal that filled this target",
                     feed->stream, (unsigned long long)rec.offset, (unsigned long long)fence.id,
                     (unsigned long long)pos->fence_id);
    *ret_deadline_ms = fence.marker.deadline_ms;
    fence_release(&fence);
    feed->last_id = pos->fence_id;
    feed->newest_lsn = pos->lsn;
    return ok && assign(feed, pos->fence_offset + 1, JOURNAL_FOLLOW, err);
}

/* Offset of the newest SNAPSHOT_BEGIN in [first, next): what came before would be removed again anyway. */
static bool find_newest_copy(struct fence_feed *feed, uint64_t first, uint64_t next, uint64_t *ret_offset,
                             bool *ret_found, struct err *err)
{
    struct journal_record rec;
    enum journal_next got = JOURNAL_END;
    *ret_found = false;
    if (next > first && !assign(feed, first, next, err))
        return false;
    while (next > first && (got = journal_next(feed->reader, SCAN_WAIT_MS, &rec, err)) == JOURNAL_RECORD) {
        struct fence fence = {0};
        if (!decode(feed, &rec, &fence, err))
            return false;
        if (fence.kind == FENCE_SNAPSHOT_BEGIN) {
            *ret_offset = rec.offset;
            *ret_found = true;
        }
        fence_release(&fence);
    }
    if (got == JOURNAL_ERROR)
        return false;
    if (got == JOURNAL_IDLE)
        return err_set(err, ERR_CONNECT, "topic=%s: the journal does not answer", feed->stream);
    return true;
}

static bool start_fresh(struct fence_feed *feed, struct err *err)
{
    uint64_t first = 0, next = 0, offset = 0;
    bool found = false;
    if (!journal_bounds(feed->reader, feed->stream, PARTITION, &first, &next, err) ||
        !find_newest_copy(feed, first, next, &offset, &found, err))
        return false;
    if (!found && next > first)
        return err_set(err, ERR_GAP,
                       "topic=%s: the journal holds no beginning of a copy: a new target needs one",
                       feed->stream);
    return assign(feed, offset, JOURNAL_FOLLOW, err);
}

bool fence_feed_open(const struct journal_config *config, const struct target_position *position,
                     struct fence_feed **ret, int64_t *ret_deadline_ms, struct err *err)
{
    struct fence_feed *feed = xcalloc(1, sizeof *feed);
    feed->stream = journal_fence_stream(config->topic_prefix);
    feed->pipeline = xstrdup(config->pipeline);
    int64_t deadline_ms = 0;
    bool ok = journal_reader_open(config, NULL, &feed->reader, err);
    ok =
        ok && (position != NULL ? check_position(feed, position, &deadline_ms, err) : start_fresh(feed, err));
    if (!ok) {
        fence_feed_close(feed);
        return false;
    }
    *ret = feed;
    *ret_deadline_ms = deadline_ms;
    return true;
}

bool fence_feed_open_foreign(const struct foreign_settings *set, struct foreign_decoder *dec,
                             const struct target_position *position, struct fence_feed **ret, struct err *err)
{
    if (position != NULL && position->offsets == NULL)
        return err_set(err, ERR_IDENTITY,
                       "the target was filled by pipeline %s from a journal of its own, not from Debezium's "
                       "topics: take "
                       "another pipeline name",
                       set->journal.pipeline);
    struct fence_feed *feed = xcalloc(1, sizeof *feed);
    feed->stream = xstrdup("source.debezium");
    feed->pipeline = xstrdup(set->journal.pipeline);
    uint64_t id = position != NULL ? position->fence_id : 0;
    if (!foreign_feed_open(set, dec, id, position != NULL ? position->offsets : NULL, &feed->foreign, err)) {
        fence_feed_close(feed);
        return false;
    }
    feed->last_id = id;
    feed->newest_lsn = position != NULL ? position->lsn : 0;
    *ret = feed;
    return true;
}

bool fence_feed_offsets_at(struct fence_feed *feed, uint64_t fence_id, const char **ret, struct err *err)
{
    *ret = NULL;
    return feed->foreign == NULL || foreign_feed_state(feed->foreign, fence_id, ret, err);
}

bool fence_feed_offsets(struct fence_feed *feed, const struct fence_batch *batch, const char **ret,
                        struct err *err)
{
    return fence_feed_offsets_at(feed, batch->last->id, ret, err);
}

bool fence_feed_skips(const struct fence_feed *feed, const struct journal_record *rec)
{
    return feed->foreign != NULL && foreign_feed_skips(feed->foreign, rec);
}

const char *fence_feed_notice(const struct fence_feed *feed)
{
    return feed->foreign != NULL ? foreign_feed_notice(feed->foreign) : "";
}

static bool read_foreign(struct fence_feed *feed, int timeout_ms, uint64_t max_changes, bool *ret_ready,
                         struct err *err)
{
    int wait_ms = feed->count == 0 ? timeout_ms : 0;
    bool more = true;
    while (more &&
           (feed->count == 0 || (feed->queued_changes < max_changes && feed->count < READ_AHEAD_MAX))) {
        struct fence fence = {0};
        if (!foreign_feed_next(feed->foreign, wait_ms, &fence, &more, err))
            return false;
        if (more)
            push_fence(feed, &fence, fence.id);
        wait_ms = 0;
    }
    *ret_ready = feed->count > 0;
    return true;
}

bool fence_feed_read(struct fence_feed *feed, int timeout_ms, uint64_t max_changes, bool *ret_ready,
                     struct err *err)
{
    struct journal_record rec;
    if (feed->foreign != NULL)
        return read_foreign(feed, timeout_ms, max_changes, ret_ready, err);
    int wait_ms = feed->count == 0 ? timeout_ms : 0;
    while (feed->count == 0 || (feed->queued_changes < max_changes && feed->count < READ_AHEAD_MAX)) {
        enum journal_next got = journal_next(feed->reader, wait_ms, &rec, err);
        if (got == JOURNAL_ERROR)
            return false;
        if (got != JOURNAL_RECORD)
            break;
        struct fence fence = {0};
        if (!decode(feed, &rec, &fence, err))
            return false;
        if (!check_fence(feed, &fence, rec.offset, err)) {
            fence_release(&fence);
            return false;
        }
        push_fence(feed, &fence, rec.offset);
        wait_ms = 0;
    }
    *ret_ready = feed->count > 0;
    return true;
}

static void clear_slots(struct fence_feed *feed, size_t ranges)
{
    size_t want = 64;
    while (want < 2 * ranges)
        want *= 2;
    if (want > feed->slot_count) {
        free(feed->slots);
        feed->slots = xmalloc(want * sizeof *feed->slots);
        feed->slot_count = want;
    }
    memset(feed->slots, 0, feed->slot_count * sizeof *feed->slots);
}

static struct journal_range range_of(const struct fence *fence, const struct fence_range *range)
{
    return (struct journal_range){.stream = range->stream,
                                  .partition = range->partition,
                                  .first_offset = range->first_offset,
                                  .next_offset = range->next_offset,
                                  .own = true,
                                  .writer = fence->writer};
}

/* Ranges of one partition follow each other: first of the first to next of the last. One that does not was
 * written into another incarnation of the topic. */
static bool merge_range(struct fence_feed *feed, struct range_list *list, const struct fence *fence,
                        const struct fence_range *range, size_t *count, struct err *err)
{
    if (range->first_offset == range->next_offset)
        return true;
    uint64_t hash = hash_mix(hash_bytes(range->stream, strlen(range->stream)), (uint64_t)range->partition);
    size_t at = hash & (feed->slot_count - 1);
    for (; feed->slots[at].index != 0; at = (at + 1) & (feed->slot_count - 1)) {
        struct journal_range *known = &list->items[feed->slots[at].index - 1];
        if (feed->slots[at].hash == hash && known->partition == range->partition &&
            strcmp(known->stream, range->stream) == 0) {
            if (range->first_offset < known->next_offset)
                return err_set(
                    err, ERR_IDENTITY,
                    "topic=%s partition=%d: fence %llu begins at offset=%llu, the fences before it "
                    "end at %llu: the topic was recreated, and what it held is lost. Start a new "
                    "copy with a new journal",
                    range->stream, (int)range->partition, (unsigned long long)fence->id,
                    (unsigned long long)range->first_offset, (unsigned long long)known->next_offset);
            if (known->writer != fence->writer) /* between the two there may be what no fence covers */
                break;
            known->next_offset = range->next_offset;
            return true;
        }
    }
    list->items[*count] = range_of(fence, range);
    feed->slots[at] = (struct merged_slot){.hash = hash, .index = (uint32_t)(++*count)};
    return true;
}

/* Somebody looks for this very fence in crossfade.position. */
static bool ends_batch(const struct fence *fence)
{
    switch (fence->marker.kind) {
    case MARKER_COMPARE:
    case MARKER_REFUSED:
    case MARKER_FINAL:
        return true;
    case MARKER_NONE:
    case MARKER_HOLD:
    case MARKER_PING:
    case MARKER_COPY:
        break;
    }
    return fence->kind == FENCE_SNAPSHOT_BEGIN;
}

/* `first`: that many fences are in front of the batch. */
static bool merge_ranges(struct fence_feed *feed, size_t first, struct range_list *list,
                         struct fence_batch *batch, struct err *err)
{
    const struct queued_fence *items = feed->items + feed->head + first;
    size_t total = 0, count = 0;
    for (size_t i = 0; i < batch->count; i++)
        total += items[i].fence.range_count;
    if (total > list->cap) {
        list->cap = total;
        list->items = xrealloc(list->items, total * sizeof *list->items);
    }
    clear_slots(feed, total);
    for (size_t i = 0; i < batch->count; i++) {
        const struct fence *fence = &items[i].fence;
        for (size_t r = 0; r < fence->range_count; r++) {
            if (!merge_range(feed, list, fence, &fence->ranges[r], &count, err))
                return false;
        }
    }
    batch->ranges = list->items;
    batch->range_count = count;
    for (size_t i = 0; i < count; i++)
        batch->many_partitions = batch->many_partitions || list->items[i].partition > 0;
    return true;
}

/* From the fence on that has `first` in front of it. */
static bool pick(struct fence_feed *feed, size_t first, uint64_t max_changes, size_t max_fences,
                 struct range_list *list, struct fence_batch *ret, struct err *err)
{
    struct fence_batch batch = {.complete = true};
    BUG_UNLESS(feed->count > first);
    while (batch.count < MIN_OF(feed->count - first, max_fences)) {
        const struct queued_fence *next = &feed->items[feed->head + first + batch.count];
        bool too_many = batch.changes + next->fence.changes > max_changes;
        if (batch.count > 0 && (too_many || next->fence.kind == FENCE_SNAPSHOT_BEGIN))
            break;
        batch.count++;
        batch.changes += next->fence.changes;
        batch.transactions += next->fence.transactions;
        batch.complete = batch.complete && next->fence.complete;
        batch.direct = batch.direct || next->fence.copy.direct;
        batch.last = &next->fence;
        batch.last_offset = next->offset;
        if (ends_batch(&next->fence))
            break;
    }
    batch.begins_copy = batch.last->kind == FENCE_SNAPSHOT_BEGIN;
    if (!merge_ranges(feed, first, list, &batch, err))
        return false;
    *ret = batch;
    return true;
}

bool fence_feed_pick(struct fence_feed *feed, uint64_t max_changes, struct fence_batch *ret, struct err *err)
{
    return pick(feed, 0, max_changes, SIZE_MAX, &feed->picked, ret, err);
}

bool fence_feed_pick_behind(struct fence_feed *feed, const struct fence_batch *before, uint64_t max_changes,
                            struct fence_batch *ret, struct err *err)
{
    return pick(feed, before->count, max_changes, SIZE_MAX, &feed->picked_behind, ret, err);
}

bool fence_feed_pick_same(struct fence_feed *feed, const struct fence_batch *was, struct fence_batch *ret,
                          struct err *err)
{
    return pick(feed, 0, UINT64_MAX, was->count, &feed->picked, ret, err);
}

bool fence_feed_is_behind(const struct fence_feed *feed, const struct fence_batch *batch)
{
    return feed->count > batch->count;
}

static void forget_queued(struct fence_feed *feed, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        feed->queued_changes -= feed->items[feed->head + i].fence.changes;
        fence_release(&feed->items[feed->head + i].fence);
    }
    feed->head += count;
    feed->count -= count;
}

void fence_feed_take(struct fence_feed *feed, const struct fence_batch *batch)
{
    if (feed->foreign != NULL)
        foreign_feed_take(feed->foreign, batch->last->id);
    forget_queued(feed, batch->count);
}

static void skip_queued(struct fence_feed *feed, bool *ret_skipped)
{
    for (size_t i = feed->count; i-- > 1;) {
        if (feed->items[feed->head + i].fence.kind != FENCE_SNAPSHOT_BEGIN)
            continue;
        forget_queued(feed, i);
        *ret_skipped = true;
        return;
    }
}

bool fence_feed_skip_to_copy(struct fence_feed *feed, bool *ret_skipped, struct err *err)
{
    uint64_t first = 0, next = 0, offset = 0;
    bool found = false;
    *ret_skipped = false;
    if (feed->foreign != NULL || feed->count == 0)
        return true;
    uint64_t behind = feed->items[feed->head + feed->count - 1].offset + 1;
    uint64_t from = MAX_OF(feed->looked_next, behind);
    skip_queued(feed, ret_skipped);
    if (!journal_bounds(feed->reader, feed->stream, PARTITION, &first, &next, err))
        return false;
    if (next <= from)
        return true;
    if (!find_newest_copy(feed, from, next, &offset, &found, err))
        return false;
    feed->looked_next = next;
    if (!found)
        return assign(feed, behind, JOURNAL_FOLLOW, err);
    forget_queued(feed, feed->count);
    feed->last_id = 0; /* what stands between is not read */
    *ret_skipped = true;
    return assign(feed, offset, JOURNAL_FOLLOW, err);
}

bool fence_feed_end(struct fence_feed *feed, uint64_t *ret_next_offset, struct err *err)
{
    uint64_t first;
    if (feed->foreign != NULL) {
        *ret_next_offset = feed->last_id + 1;
        return true;
    }
    return journal_bounds(feed->reader, feed->stream, PARTITION, &first, ret_next_offset, err);
}

lsn_t fence_feed_newest_lsn(const struct fence_feed *feed)
{
    return feed->newest_lsn;
}
