/* Owns: the layout of batches and the cut of one at a point of the history. See batch.h. */
#include "capture/publish/batch.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

/* One encoded record: PostgreSQL's values end at 1 GiB, offsets are 32 bits. */
#define BATCH_BYTES_MAX ((size_t)3 << 30)
/* A buffer that grew beyond this is given back when the batch is emptied. */
#define KEEP_BYTES ((size_t)12 << 20)

struct cap_batch *cap_batch_new(void)
{
    struct cap_batch *b = xcalloc(1, sizeof *b);
    strbuf_init(&b->bytes, BATCH_BYTES_MAX);
    return b;
}

void cap_batch_free(struct cap_batch *b)
{
    if (b == NULL)
        return;
    strbuf_release(&b->bytes);
    free(b->records);
    free(b->bounds);
    free(b->markers);
    fence_copy_release(&b->copy_fence.place);
    free(b);
}

void cap_batch_clear(struct cap_batch *b)
{
    if (b->bytes.cap > KEEP_BYTES)
        strbuf_release(&b->bytes);
    strbuf_clear(&b->bytes);
    b->record_count = b->bound_count = b->marker_count = 0;
    b->changes = 0;
    b->tail_commit_lsn = 0;
    b->snapshot = b->fence_first = false;
    fence_copy_release(&b->copy_fence.place);
    b->copy_fence = (struct cap_copy_fence){0};
}

size_t cap_batch_size(const struct cap_batch *b)
{
    return b->bytes.len + b->record_count * sizeof *b->records + b->bound_count * sizeof *b->bounds;
}

struct cap_record *cap_batch_add(struct cap_batch *b, uint32_t stream)
{
    if (b->record_count == b->record_cap) {
        b->record_cap = b->record_cap ? b->record_cap * 2 : 1024;
        b->records = xrealloc(b->records, b->record_cap * sizeof *b->records);
    }
    struct cap_record *rec = &b->records[b->record_count++];
    *rec = (struct cap_record){
        .stream = stream, .key_len = CAP_NONE, .value_len = CAP_NONE, .header_len = CAP_NONE};
    return rec;
}

static uint32_t add_marker(struct cap_batch *b, const struct fence_marker *marker)
{
    if (marker == NULL || marker->kind == MARKER_NONE)
        return 0;
    b->markers = xrealloc(b->markers, (b->marker_count + 1) * sizeof *b->markers);
    b->markers[b->marker_count++] = *marker;
    return (uint32_t)b->marker_count;
}

static void grow_bounds(struct cap_batch *b)
{
    if (b->bound_count == b->bound_cap) {
        b->bound_cap = b->bound_cap ? b->bound_cap * 2 : 256;
        b->bounds = xrealloc(b->bounds, b->bound_cap * sizeof *b->bounds);
    }
}

void cap_batch_end_transaction(struct cap_batch *b, lsn_t commit_lsn, lsn_t commit_end_lsn,
                               int64_t commit_time_us, const struct fence_marker *marker)
{
    grow_bounds(b);
    b->bounds[b->bound_count++] = (struct cap_boundary){
        .record_end = (uint32_t)b->record_count,
        .marker = add_marker(b, marker),
        .commit_lsn = commit_lsn,
        .commit_end_lsn = commit_end_lsn,
        .commit_time_us = commit_time_us,
    };
    b->tail_commit_lsn = 0;
}

bool cap_batch_note_gtid(struct cap_batch *b, const char *gtid, const char *from, bool synthetic,
                         struct err *err)
{
    struct cap_boundary *bound = &b->bounds[b->bound_count - 1];
    bound->synthetic = synthetic;
    bound->gtid_at = (uint32_t)b->bytes.len;
    bound->gtid_len = (uint32_t)strlen(gtid);
    strbuf_adds(&b->bytes, gtid);
    bound->from_at = (uint32_t)b->bytes.len;
    bound->from_len = (uint32_t)strlen(from);
    strbuf_adds(&b->bytes, from);
    return strbuf_ok(&b->bytes, "batch of records", err);
}

void cap_batch_part_here(struct cap_batch *b)
{
    if (b->bound_count > 0)
        b->bounds[b->bound_count - 1].fence = true;
    else
        b->fence_first = true;
}

bool cap_batch_add_shape(struct cap_batch *b, const char *text, struct err *err)
{
    size_t at = b->bytes.len;
    struct cap_record *rec = cap_batch_add(b, CAP_STREAM_SHAPES);
    strbuf_adds(&b->bytes, text);
    if (!strbuf_ok(&b->bytes, "batch of records", err))
        return false;
    rec->value_at = (uint32_t)at;
    rec->value_len = (uint32_t)(b->bytes.len - at);
    b->changes++;
    return true;
}

static size_t last_end(const struct cap_batch *b)
{
    return b->bound_count > 0 ? b->bounds[b->bound_count - 1].record_end : 0;
}

size_t cap_batch_tail(const struct cap_batch *b)
{
    return b->record_count - last_end(b);
}

void cap_batch_drop_tail(struct cap_batch *b)
{
    while (b->record_count > last_end(b)) {
        b->record_count--;
        b->changes -= b->records[b->record_count].value_len != CAP_NONE && !b->records[b->record_count].meta;
    }
    b->tail_commit_lsn = 0;
}

/* Index of the first boundary that is not before the cut. */
static size_t find_cut(const struct cap_batch *b, lsn_t cut_lsn)
{
    size_t i = 0;
    while (i < b->bound_count && b->bounds[i].commit_lsn < cut_lsn)
        i++;
    return i;
}

bool cap_batch_cut(struct cap_batch *b, lsn_t cut_lsn, const struct fence_marker *marker,
                   int64_t previous_commit_us, bool last)
{
    size_t at = find_cut(b, cut_lsn);
    bool tail_is_behind = b->tail_commit_lsn >= cut_lsn;
    if (at == b->bound_count && !tail_is_behind && !last)
        return false;
    struct cap_boundary cut = {
        .record_end = at > 0 ? b->bounds[at - 1].record_end : 0,
        .commit_lsn = cut_lsn,
        .commit_end_lsn = cut_lsn,
        .commit_time_us = at > 0 ? b->bounds[at - 1].commit_time_us : previous_commit_us,
        .synthetic = true,
    };
    /* Last batch, and its tail belongs to a transaction that committed before the cut: cannot be, its end
     * would be here. */
    BUG_UNLESS(at < b->bound_count || tail_is_behind || cap_batch_tail(b) == 0);
    cut.marker = add_marker(b, marker);
    grow_bounds(b);
    memmove(&b->bounds[at + 1], &b->bounds[at], (b->bound_count - at) * sizeof *b->bounds);
    b->bounds[at] = cut;
    b->bound_count++;
    return true;
}
