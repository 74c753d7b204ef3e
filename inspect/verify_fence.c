/* The fence stream: each fence against those before it, and what it says of the partitions. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "verify_internal.h"

#define PATIENCE_MS 100

struct place {
    struct verify *v;
    const struct journal_record *rec;
    const struct fence *fence;
};

static struct verify_finding at(const struct place *p, enum verify_kind kind)
{
    return (struct verify_finding){.kind = kind,
                                   .stream = p->rec->stream,
                                   .partition = p->rec->partition,
                                   .offset = p->rec->offset,
                                   .lsn = p->fence != NULL ? p->fence->lsn : 0,
                                   .fence_id = p->fence != NULL ? p->fence->id : 0};
}

#define FENCE_FINDING(p, kind, ...)                                                                          \
    do {                                                                                                     \
        struct verify_finding finding_ = at(p, kind);                                                        \
        verify_find((p)->v, &finding_, __VA_ARGS__);                                                         \
    } while (0)

static void check_identity(const struct place *p, const struct fence *last)
{
    const struct fence *f = p->fence;
    if (strcmp(f->pipeline, p->v->options->journal->pipeline) != 0)
        FENCE_FINDING(p, VERIFY_FENCE_IDENTITY, "belongs to pipeline %s", f->pipeline);
    if (last->id != 0 && f->source_system_id != last->source_system_id)
        FENCE_FINDING(p, VERIFY_FENCE_IDENTITY,
                      "comes from source system %llu, the fences before it from %llu",
                      (unsigned long long)f->source_system_id, (unsigned long long)last->source_system_id);
}

static void check_progress(const struct place *p, const struct fence *last)
{
    const struct fence *f = p->fence;
    char now[LSN_TEXT_MAX], before[LSN_TEXT_MAX];
    if (f->attempt < last->attempt)
        FENCE_FINDING(p, VERIFY_FENCE_BACKWARDS, "belongs to copy %llu, the fence before it to copy %llu",
                      (unsigned long long)f->attempt, (unsigned long long)last->attempt);
    if (f->kind == FENCE_SNAPSHOT_BEGIN || f->attempt != last->attempt)
        return;
    if (f->lsn < last->lsn)
        FENCE_FINDING(p, VERIFY_FENCE_BACKWARDS, "stands at lsn=%s, the fence before it at lsn=%s",
                      lsn_format(f->lsn, now), lsn_format(last->lsn, before));
    if (last->complete && !f->complete && !f->copy.requested)
        FENCE_FINDING(p, VERIFY_FENCE_BACKWARDS,
                      "says that the copy is not complete, the fence before it that it is");
}

/* The embedded journal trims old fences behind the changes that they stand for, perhaps under the walk: all that is missing in front
 * of this one is no finding, and the next range of each part may begin anywhere. */
static bool look_trimmed(struct verify *v, const struct journal_record *rec, bool *ret, struct err *err)
{
    uint64_t first = 0, next = 0;
    *ret = false;
    if (!v->options->dense)
        return true;
    if (!journal_bounds(v->fences, v->fence_stream, 0, &first, &next, err))
        return false;
    *ret = rec->offset <= first && rec->offset > 0;
    for (size_t i = 0; *ret && i < v->part_count; i++) {
        v->parts[i]->known = false;
        if (!verify_part_refresh(v, v->parts[i], err))
            return false;
    }
    return true;
}

/* False: this fence is a repetition; what it names was looked at already. */
static bool check_id(const struct place *p, const struct fence *last, bool trimmed)
{
    const struct fence *f = p->fence;
    if (f->id == last->id + 1 || (f->id > last->id && trimmed))
        return true;
    if (f->id > last->id) {
        FENCE_FINDING(p, VERIFY_FENCE_MISSING, "fence %llu follows fence %llu: %llu missing",
                      (unsigned long long)f->id, (unsigned long long)last->id,
                      (unsigned long long)(f->id - last->id - 1));
        return true;
    }
    FENCE_FINDING(p, VERIFY_FENCE_TWICE, "fence %llu follows fence %llu", (unsigned long long)f->id,
                  (unsigned long long)last->id);
    return false;
}

static void add_slice(struct verify *v, struct part *part, uint64_t first, uint64_t next)
{
    if (v->slice_count == v->slice_cap) {
        v->slice_cap = v->slice_cap != 0 ? v->slice_cap * 2 : 1024;
        v->slices = xrealloc(v->slices, v->slice_cap * sizeof *v->slices);
    }
    v->slices[v->slice_count++] =
        (struct slice){.part = part, .fence = v->batch_count, .first = first, .next = next, .expect = first};
}

/* A fence may be younger than the bounds; and Kafka ends a transaction partition by partition, so that its records may come a
 * moment after it. All waiting together is bounded: a partition that is really too short must not cost that for each fence. */
static bool wait_for_end(struct verify *v, struct part *part, uint64_t next, struct err *err)
{
    if (next <= part->next)
        return true;
    if (!verify_part_refresh(v, part, err))
        return false;
    for (; next > part->next && v->patience > 0; v->patience--) {
        (void)poll(NULL, 0, PATIENCE_MS);
        if (!verify_part_refresh(v, part, err))
            return false;
    }
    return true;
}

static bool take_range(const struct place *p, const struct fence_range *range, struct batch_fence *bf,
                       struct err *err)
{
    struct verify *v = p->v;
    struct part *part;
    if (!verify_parts_find(v, range->stream, range->partition, &part, err))
        return false;
    uint64_t first = range->first_offset, next = range->next_offset;
    if (!wait_for_end(v, part, next, err))
        return false;
    struct verify_finding finding = at(p, VERIFY_FENCE_OFFSETS);
    finding.stream = range->stream;
    finding.partition = range->partition;
    finding.offset = first;
    if (next > part->next)
        verify_find(v, &finding, "the fence's range ends at %llu, the partition at %llu",
                    (unsigned long long)next, (unsigned long long)part->next);
    if (part->known && first < part->fenced)
        verify_find(v, &finding, "the fence's range begins inside of an earlier one, which ends at %llu",
                    (unsigned long long)part->fenced);
    else if (part->known && first > part->fenced && (v->options->dense || first == next))
        verify_find(v, &finding, "the fence's range does not follow the one before, which ends at %llu",
                    (unsigned long long)part->fenced);
    if (part->known && first < part->fenced)
        first = next < part->fenced ? next : part->fenced;
    part->known = true;
    part->fenced = next > part->fenced ? next : part->fenced;
    next = next < part->next ? next : part->next;
    bf->expired = bf->expired || (first < next && first < part->first);
    first = first > part->first ? first : part->first;
    if (first < next)
        add_slice(v, part, first, next);
    return true;
}

static bool take_ranges(const struct place *p, struct fence *fence, uint64_t offset, struct err *err)
{
    struct verify *v = p->v;
    struct batch_fence bf = {
        .offset = offset, .copies = fence->kind == FENCE_SNAPSHOT || (fence->complete && !v->last.complete)};
    for (size_t i = 0; i < fence->range_count; i++) {
        if (!take_range(p, &fence->ranges[i], &bf, err))
            return false;
    }
    if (v->batch_count == v->batch_cap) {
        v->batch_cap = v->batch_cap != 0 ? v->batch_cap * 2 : 256;
        v->batch = xrealloc(v->batch, v->batch_cap * sizeof *v->batch);
    }
    bf.fence = *fence;
    bf.fence.ranges = NULL;
    bf.fence.range_count = 0;
    bf.fence.pipeline = NULL;
    if (bf.expired) {
        v->totals.expired_fences++;
        v->expired_lsn = fence->lsn;
    }
    v->batch[v->batch_count++] = bf;
    v->batch_changes += fence->changes;
    return true;
}

static bool judge(const struct place *p, struct fence *fence, struct err *err)
{
    struct verify *v = p->v;
    if (v->totals.fences++ == 0)
        v->totals.first_lsn = fence->lsn;
    check_identity(p, &v->last);
    bool trimmed = false;
    if (fence->id > v->last.id + 1 && !look_trimmed(v, p->rec, &trimmed, err))
        return false;
    if (!check_id(p, &v->last, trimmed))
        return true;
    check_progress(p, &v->last);
    if (!take_ranges(p, fence, p->rec->offset, err))
        return false;
    v->totals.last_lsn = fence->lsn;
    v->last = v->batch[v->batch_count - 1].fence;
    return true;
}

bool verify_fence_take(struct verify *v, const struct journal_record *rec, struct fence *ret,
                       bool *ret_usable, struct err *err)
{
    struct place p = {.v = v, .rec = rec};
    struct err why = ERR_INIT;
    v->next_fence_offset = rec->offset + 1;
    if (rec->stray) { /* a seal has no value */
        v->totals.stray_fences += rec->value != NULL;
        *ret_usable = false;
        return true;
    }
    if (rec->value == NULL || !fence_decode(rec->value, rec->value_len, ret, &why)) {
        FENCE_FINDING(&p, VERIFY_FENCE_UNREADABLE, "%s", rec->value == NULL ? "has no value" : why.text);
        *ret_usable = false;
        return true;
    }
    p.fence = ret;
    *ret_usable = judge(&p, ret, err);
    if (!*ret_usable)
        fence_release(ret);
    return *ret_usable;
}

void verify_batch_clear(struct verify *v)
{
    v->batch_count = v->slice_count = 0;
    v->batch_changes = 0;
}
