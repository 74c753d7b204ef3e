/*
 * The walk: the bounds of all partitions first, then the fence stream's end (so that everything that was committed up to the
 * bounds is under a fence that is read), then fences in batches, the records up to each batch's end, and at last what lies
 * behind the last fence.
 */
#include "inspect/verify.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "verify_internal.h"

#define BATCH_CHANGES ((uint64_t)400000)
#define BATCH_FENCES  ((size_t)2000)
#define BATCH_SLICES  ((size_t)200000)
#define RECENT_BYTES  ((size_t)16 << 20)
#define ROW_BYTES_MAX ((size_t)2 << 30)
#define TELL_US       200000
#define TELL_EVERY    1024
#define TRIMMED_TRIES 5
#define PATIENCE      50 /* times 100 ms */
#define TAIL_TRIES    10
#define TAIL_PAUSE_MS 200

static const char *const kind_names[VERIFY_KIND_COUNT_] = {
    [VERIFY_FENCE_UNREADABLE] = "fence_unreadable",
    [VERIFY_FENCE_MISSING] = "fence_missing",
    [VERIFY_FENCE_TWICE] = "fence_twice",
    [VERIFY_FENCE_BACKWARDS] = "fence_backwards",
    [VERIFY_FENCE_IDENTITY] = "fence_identity",
    [VERIFY_FENCE_OFFSETS] = "fence_offsets",
    [VERIFY_GAP] = "gap",
    [VERIFY_UNFENCED] = "unfenced",
    [VERIFY_UNREADABLE] = "unreadable",
    [VERIFY_DUPLICATE] = "duplicate",
    [VERIFY_ORDER] = "order",
    [VERIFY_LATE] = "late",
    [VERIFY_PARTITION] = "partition",
    [VERIFY_TOMBSTONE] = "tombstone",
    [VERIFY_COUNT] = "count",
    [VERIFY_TRANSACTION] = "transaction",
    [VERIFY_COPIED_TWICE] = "copied_twice",
};

const char *verify_kind_name(enum verify_kind kind)
{
    return kind_names[kind];
}

void verify_find(struct verify *v, const struct verify_finding *finding, const char *fmt, ...)
{
    struct verify_finding told = *finding;
    struct err text = ERR_INIT;
    char buffer[sizeof text.text];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(buffer, sizeof buffer, fmt, ap);
    va_end(ap);
    told.text = buffer;
    v->totals.findings++;
    v->totals.by_kind[told.kind]++;
    v->options->finding(v->options->ctx, &told);
}

/* --- progress --- */

static bool tell(struct verify *v, struct err *err)
{
    if (v->options->progress == NULL)
        return true;
    int64_t now_us = clock_mono_us();
    if (now_us - v->told_us < TELL_US)
        return true;
    v->told_us = now_us;
    struct verify_progress progress = {.done = v->walked < v->walk_total ? v->walked : v->walk_total,
                                       .total = v->walk_total};
    return v->options->progress(v->options->ctx, &progress) || err_set(err, ERR_INTERRUPTED, "stopped");
}

/* --- reading --- */

/* *ret_more = false ends the reading. */
typedef bool take_fn(struct verify *v, const struct journal_record *rec, bool *ret_more, struct err *err);

/* Hands the assigned records to take() until the end. */
static bool read_all(struct verify *v, struct journal_reader *jr, take_fn *take, struct err *err)
{
    bool more = true;
    for (uint64_t n = 1; more; n++) {
        struct journal_record rec;
        bool end = false;
        if (!journal_take(jr, JOURNAL_TAKE_MS, &rec, &end, err))
            return false;
        if (end)
            return true;
        if (!take(v, &rec, &more, err))
            return false;
        if (n % TELL_EVERY == 0 && !tell(v, err))
            return false;
    }
    return true;
}

static bool take_record(struct verify *v, const struct journal_record *rec, bool *ret_more, struct err *err)
{
    return verify_record(v, rec, err);
}

/* Up to where a part is read now: the end of its last slice, or, behind the last fence, all there was at the beginning. */
static uint64_t read_until(const struct verify *v, const struct part *part, bool tail)
{
    if (tail)
        return part->tail;
    return part->slice_end > 0 ? v->slices[part->slice_end - 1].next : 0;
}

static bool assign(struct verify *v, bool tail, struct err *err)
{
    struct journal_range *ranges CLEANUP(free_ptr) = xcalloc(v->part_count + 1, sizeof *ranges);
    size_t count = 0;
    for (size_t i = 0; i < v->part_count; i++) {
        const struct part *part = v->parts[i];
        uint64_t until = read_until(v, part, tail);
        if (part->at < until)
            ranges[count++] = (struct journal_range){.stream = part->stream,
                                                     .partition = part->partition,
                                                     .first_offset = part->at,
                                                     .next_offset = until};
    }
    return journal_assign(v->data, ranges, count, err);
}

/* Trimmed since the fence was read: not the journal's fault. */
static void clip_expired(struct verify *v)
{
    for (size_t i = 0; i < v->slice_count; i++) {
        struct slice *slice = &v->slices[i];
        if (slice->expect >= slice->part->first)
            continue;
        slice->expect = slice->part->first < slice->next ? slice->part->first : slice->next;
        if (!v->batch[slice->fence].expired) {
            v->batch[slice->fence].expired = true;
            v->totals.expired_fences++;
            v->expired_lsn = v->batch[slice->fence].fence.lsn;
        }
    }
}

/* What is kept may move on while it is read: then the bounds are asked for again, and reading goes on. */
static bool read_parts(struct verify *v, bool tail, take_fn *take, struct err *err)
{
    for (int tries = 1;; tries++) {
        struct err why = ERR_INIT;
        if (assign(v, tail, &why) && read_all(v, v->data, take, &why))
            return true;
        if (why.code != ERR_GAP || tries == TRIMMED_TRIES) {
            *err = why;
            return false;
        }
        for (size_t i = 0; i < v->part_count; i++) {
            if (!verify_part_refresh(v, v->parts[i], err))
                return false;
        }
        clip_expired(v);
    }
}

/* --- batches --- */

static int by_part(const void *a, const void *b)
{
    const struct slice *x = a, *y = b;
    if (x->part != y->part)
        return x->part < y->part ? -1 : 1;
    return (x->first > y->first) - (x->first < y->first);
}

/* Tells each part which slices are its own. */
static void spread_slices(struct verify *v)
{
    for (size_t i = 0; i < v->part_count; i++)
        v->parts[i]->slice_at = v->parts[i]->slice_end = 0;
    if (v->slice_count > 0)
        qsort(v->slices, v->slice_count, sizeof *v->slices, by_part);
    for (size_t i = 0; i < v->slice_count; i++) {
        struct part *part = v->slices[i].part;
        if (part->slice_end == 0)
            part->slice_at = i;
        part->slice_end = i + 1;
    }
}

static bool walk_batch(struct verify *v, struct err *err)
{
    if (v->batch_count == 0)
        return true;
    spread_slices(v);
    if (!read_parts(v, false, take_record, err))
        return false;
    verify_batch_end(v);
    verify_batch_clear(v);
    return true;
}

static bool batch_is_full(const struct verify *v)
{
    return v->batch_changes >= BATCH_CHANGES || v->batch_count >= BATCH_FENCES ||
           v->slice_count >= BATCH_SLICES;
}

/* A copy that goes back to a table's first row (it was altered meanwhile) has rows twice, and says so by its place. */
static bool goes_back(struct verify *v, const struct fence_copy *copy)
{
    bool follows = copy->there && v->copy.there && copy->plan == v->copy.plan && copy->plan != 0;
    bool back = follows && (copy->part < v->copy.part ||
                            (copy->part == v->copy.part && copy->key_count == 0 && v->copy.key_count > 0));
    return back;
}

/* Requests that wait for the first copy's end are listed with it, too. */
static const char *request_of(const struct fence_copy *copy)
{
    return copy->requested && copy->request_count > 0 ? copy->requests[0].nonce : "";
}

static void note_place(struct verify *v, const struct fence_copy *copy)
{
    v->copy = (struct copy_place){
        .there = copy->there, .plan = copy->plan, .part = copy->part, .key_count = copy->key_count};
    (void)snprintf(v->copy.request, sizeof v->copy.request, "%s", request_of(copy));
}

/* What comes behind this fence is of another copy (add-table, resnapshot), if of any: it may have the same rows. */
static bool ends_copy(const struct verify *v, const struct fence *fence, bool was_complete)
{
    return (fence->complete && !was_complete) ||
           (v->copy.there && strcmp(v->copy.request, request_of(&fence->copy)) != 0);
}

static bool take_fence(struct verify *v, const struct journal_record *rec, bool *ret_more, struct err *err)
{
    bool usable;
    size_t before = v->batch_count;
    bool was_complete = v->last.complete;
    struct fence fence;
    if (!verify_fence_take(v, rec, &fence, &usable, err))
        return false;
    bool counts = usable && v->batch_count > before;
    bool begins = counts && (goes_back(v, &fence.copy) || fence.kind == FENCE_SNAPSHOT_BEGIN ||
                             ends_copy(v, &fence, was_complete));
    if (counts)
        note_place(v, &fence.copy);
    if (usable)
        fence_release(&fence);
    if (!begins && !batch_is_full(v))
        return true;
    if (!walk_batch(v, err))
        return false;
    if (begins)
        key_sample_clear(&v->copied);
    return true;
}

/* The first ones may be trimmed between two looks. */
static bool assign_fences(struct verify *v, struct journal_range *ret, struct err *err)
{
    *ret = (struct journal_range){.stream = v->fence_stream};
    for (int tries = 1;; tries++) {
        struct err why = ERR_INIT;
        if (!journal_bounds(v->fences, v->fence_stream, 0, &ret->first_offset, &ret->next_offset, err))
            return false;
        v->next_fence_offset = MAX_OF(v->next_fence_offset, ret->first_offset);
        ret->first_offset = MIN_OF(v->next_fence_offset, ret->next_offset);
        if (ret->first_offset == ret->next_offset || journal_assign(v->fences, ret, 1, &why))
            return true;
        if (why.code != ERR_GAP || tries == TRIMMED_TRIES) {
            *err = why;
            return false;
        }
    }
}

/* The fences that are there now and were not read yet. */
static bool walk_fences(struct verify *v, struct err *err)
{
    struct journal_range range;
    if (!assign_fences(v, &range, err))
        return false;
    if (range.first_offset == range.next_offset)
        return true;
    if (!read_all(v, v->fences, take_fence, err) || !walk_batch(v, err))
        return false;
    if (v->options->dense && v->next_fence_offset < range.next_offset) {
        struct verify_finding finding = {
            .kind = VERIFY_FENCE_MISSING, .stream = v->fence_stream, .offset = v->next_fence_offset};
        verify_find(v, &finding, "%llu records are missing at the end of the fence stream",
                    (unsigned long long)(range.next_offset - v->next_fence_offset));
    }
    v->next_fence_offset = range.next_offset;
    return true;
}

/* --- behind the last fence --- */

/* Stops at the first record. */
static bool take_none(struct verify *v, const struct journal_record *rec, bool *ret_more, struct err *err)
{
    v->tail_found = true;
    *ret_more = false;
    return true;
}

/* Kafka ends a transaction partition by partition: the fence of records that are there already may come a moment later. */
static bool walk_tail(struct verify *v, struct err *err)
{
    for (int tries = 0;; tries++) {
        spread_slices(v);
        v->tail_found = false;
        if (!read_parts(v, true, take_none, err))
            return false;
        if (!v->tail_found)
            return true;
        if (tries == TAIL_TRIES)
            return read_parts(v, true, take_record, err);
        (void)poll(NULL, 0, TAIL_PAUSE_MS);
        if (!walk_fences(v, err))
            return false;
    }
}

/* --- life --- */

static void release(struct verify *v)
{
    if (v->decoder != NULL)
        v->codec->decoder_close(v->decoder);
    if (v->schemas != NULL)
        schema_store_close(v->schemas);
    journal_reader_close(v->fences);
    journal_reader_close(v->data);
    verify_parts_free(v);
    txns_release(&v->txns);
    key_sample_release(&v->copied);
    key_sample_release(&v->recent);
    arena_release(&v->arena);
    free(v->batch);
    free(v->slices);
    free(v->fence_stream);
    free(v->schema_stream);
}

static bool walk(struct verify *v, const struct journal_config *config, struct err *err)
{
    if (!journal_reader_open(config, NULL, &v->data, err) ||
        !journal_reader_open(config, NULL, &v->fences, err) || !verify_parts_load(v, err) ||
        !walk_fences(v, err))
        return false;
    if (!walk_tail(v, err))
        return false;
    verify_txn_end(v);
    return true;
}

bool verify_run(const struct verify_options *options, struct verify_totals *ret, struct err *err)
{
    struct journal_config config = *options->journal;
    struct verify v = {.options = options,
                       .codec = codec_by_name(options->format),
                       .totals = {.copied_share = 1},
                       .patience = options->dense ? 0 : PATIENCE};
    if (v.codec == NULL)
        return err_set(err, ERR_CONFIG, "journal.format \"%s\" is unknown", options->format);
    config.audit = true;
    v.fence_stream = journal_fence_stream(config.topic_prefix);
    v.schema_stream = journal_schema_stream(config.topic_prefix);
    arena_init(&v.arena, 64 << 10, ROW_BYTES_MAX);
    txns_init(&v.txns);
    key_sample_init(&v.copied, options->memory_bytes);
    key_sample_init(&v.recent, RECENT_BYTES);
    bool ok = walk(&v, &config, err);
    *ret = v.totals;
    release(&v);
    return ok;
}
