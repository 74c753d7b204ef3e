/* Owns: batches in memory and in the file, in one order. See spill.h. */
#include "capture/spill/spill.h"

#include <stdlib.h>
#include <string.h>

#include "capture/spill/spill_file.h"
#include "core/alloc.h"

enum part { PART_BYTES = 0, PART_RECORDS, PART_BOUNDS, PART_MARKERS, PART_MAX };

/* A batch in the file. */
struct spilled {
    struct cap_spill_block parts[PART_MAX];
    uint64_t changes;
    lsn_t tail_commit_lsn;
    bool fence_first;
};

struct cap_spill {
    size_t max_memory_bytes, memory_bytes;
    struct cap_batch **held; /* in memory: all before those in the file */
    size_t held_count, held_first, held_cap;
    struct cap_spill_file *file;
    struct spilled *spilled;
    size_t spilled_count, spilled_first, spilled_cap;
};

struct cap_spill *cap_spill_new(const char *dir, bool encrypt, size_t max_memory_bytes)
{
    struct cap_spill *s = xcalloc(1, sizeof *s);
    s->file = cap_spill_file_new(dir, encrypt);
    s->max_memory_bytes = max_memory_bytes;
    return s;
}

void cap_spill_free(struct cap_spill *s)
{
    if (s == NULL)
        return;
    for (size_t i = s->held_first; i < s->held_count; i++)
        cap_batch_free(s->held[i]);
    free(s->held);
    free(s->spilled);
    cap_spill_file_free(s->file);
    free(s);
}

static size_t in_file(const struct cap_spill *s)
{
    return s->spilled_count - s->spilled_first;
}

size_t cap_spill_count(const struct cap_spill *s)
{
    return s->held_count - s->held_first + in_file(s);
}

static bool write_part(struct cap_spill *s, const void *bytes, size_t len, struct cap_spill_block *ret,
                       struct err *err)
{
    return len == 0 || cap_spill_file_write(s->file, bytes, len, ret, err);
}

static bool spill_batch(struct cap_spill *s, const struct cap_batch *b, struct err *err)
{
    struct spilled sp = {
        .changes = b->changes, .tail_commit_lsn = b->tail_commit_lsn, .fence_first = b->fence_first};
    if (!write_part(s, b->bytes.data, b->bytes.len, &sp.parts[PART_BYTES], err) ||
        !write_part(s, b->records, b->record_count * sizeof *b->records, &sp.parts[PART_RECORDS], err) ||
        !write_part(s, b->bounds, b->bound_count * sizeof *b->bounds, &sp.parts[PART_BOUNDS], err) ||
        !write_part(s, b->markers, b->marker_count * sizeof *b->markers, &sp.parts[PART_MARKERS], err))
        return false;
    if (s->spilled_count == s->spilled_cap) {
        s->spilled_cap = s->spilled_cap ? s->spilled_cap * 2 : 16;
        s->spilled = xrealloc(s->spilled, s->spilled_cap * sizeof *s->spilled);
    }
    s->spilled[s->spilled_count++] = sp;
    return true;
}

static bool keep_in_memory(struct cap_spill *s, struct cap_batch *batch)
{
    size_t size = cap_batch_size(batch);
    if (in_file(s) > 0 || s->memory_bytes + size > s->max_memory_bytes)
        return false;
    if (s->held_count == s->held_cap) {
        s->held_cap = s->held_cap ? s->held_cap * 2 : 16;
        s->held = xrealloc(s->held, s->held_cap * sizeof *s->held);
    }
    s->held[s->held_count++] = batch;
    s->memory_bytes += size;
    return true;
}

bool cap_spill_push(struct cap_spill *s, struct cap_batch *batch, struct cap_batch **ret_free,
                    struct err *err)
{
    *ret_free = NULL;
    if (keep_in_memory(s, batch))
        return true;
    if (!spill_batch(s, batch, err))
        return false;
    cap_batch_clear(batch);
    *ret_free = batch;
    return true;
}

static bool read_part(struct cap_spill *s, const struct cap_spill_block *part, void *out, struct err *err)
{
    return part->len == 0 || cap_spill_file_read(s->file, part, out, err);
}

static bool load_batch(struct cap_spill *s, struct cap_batch *b, struct err *err)
{
    const struct spilled *sp = &s->spilled[s->spilled_first];
    size_t len = sp->parts[PART_BYTES].len;
    char *bytes = strbuf_reserve(&b->bytes, len);
    if (bytes == NULL)
        return err_set(err, ERR_NO_MEMORY, "a batch of %zu bytes in the spill file", len);
    b->records = xrealloc(b->records, sp->parts[PART_RECORDS].len + sizeof *b->records);
    b->bounds = xrealloc(b->bounds, sp->parts[PART_BOUNDS].len + sizeof *b->bounds);
    b->markers = xrealloc(b->markers, sp->parts[PART_MARKERS].len + sizeof *b->markers);
    if (!read_part(s, &sp->parts[PART_BYTES], bytes, err) ||
        !read_part(s, &sp->parts[PART_RECORDS], b->records, err) ||
        !read_part(s, &sp->parts[PART_BOUNDS], b->bounds, err) ||
        !read_part(s, &sp->parts[PART_MARKERS], b->markers, err))
        return false;
    b->bytes.len += len;
    b->record_count = sp->parts[PART_RECORDS].len / sizeof *b->records;
    b->bound_count = sp->parts[PART_BOUNDS].len / sizeof *b->bounds;
    b->marker_count = sp->parts[PART_MARKERS].len / sizeof *b->markers;
    b->record_cap = b->record_count + 1;
    b->bound_cap = b->bound_count + 1;
    b->changes = sp->changes;
    b->tail_commit_lsn = sp->tail_commit_lsn;
    b->fence_first = sp->fence_first;
    return true;
}

/* Behind the last one the space goes back. */
static bool pass(struct cap_spill *s, struct err *err)
{
    if (++s->spilled_first < s->spilled_count)
        return true;
    s->spilled_first = s->spilled_count = 0;
    return cap_spill_file_cut(s->file, 0, err);
}

bool cap_spill_pop(struct cap_spill *s, struct cap_batch **ret, struct err *err)
{
    *ret = NULL;
    if (s->held_first < s->held_count) {
        *ret = s->held[s->held_first++];
        s->memory_bytes -= cap_batch_size(*ret);
        if (s->held_first == s->held_count)
            s->held_first = s->held_count = 0;
        return true;
    }
    if (in_file(s) == 0)
        return true;
    struct cap_batch *b = cap_batch_new();
    if (!load_batch(s, b, err) || !pass(s, err)) {
        cap_batch_free(b);
        return false;
    }
    *ret = b;
    return true;
}
