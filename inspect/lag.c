/* Owns: reading the fences behind a position. See lag.h. */
#include "inspect/lag.h"

#include <stdlib.h>
#include <string.h>

#include "change/fence.h"
#include "core/alloc.h"

static size_t place(const struct lag *lag, const char *name)
{
    size_t low = 0, high = lag->stream_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(lag->streams[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void add(struct lag *lag, const char *name, uint64_t records)
{
    size_t at = place(lag, name);
    if (at < lag->stream_count && strcmp(lag->streams[at].name, name) == 0) {
        lag->streams[at].records += records;
        return;
    }
    if (lag->stream_count == lag->stream_cap) {
        lag->stream_cap = lag->stream_cap != 0 ? lag->stream_cap * 2 : 64;
        lag->streams = xrealloc(lag->streams, lag->stream_cap * sizeof *lag->streams);
    }
    memmove(lag->streams + at + 1, lag->streams + at, (lag->stream_count++ - at) * sizeof *lag->streams);
    lag->streams[at] = (struct lag_stream){.name = xstrdup(name), .records = records};
}

static bool take(struct lag *lag, const struct journal_record *rec, uint64_t next_offset, struct err *err)
{
    struct fence fence;
    if (!fence_decode(rec->value, rec->value_len, &fence, err))
        return err_wrap(err, "topic=%s offset=%llu", rec->stream, (unsigned long long)rec->offset);
    lag->last_id = fence.id;
    lag->last_lsn = fence.lsn;
    if (rec->offset >= next_offset) {
        lag->fences++;
        lag->changes += fence.changes;
        for (size_t i = 0; i < fence.range_count; i++)
            add(lag, fence.ranges[i].stream, fence.ranges[i].next_offset - fence.ranges[i].first_offset);
    }
    fence_release(&fence);
    return true;
}

bool lag_read(struct journal_reader *jr, const char *fence_stream, uint64_t next_offset, struct lag *ret,
              struct err *err)
{
    struct journal_range range = {.stream = fence_stream};
    *ret = (struct lag){0};
    if (!journal_bounds(jr, fence_stream, 0, &range.first_offset, &range.next_offset, err))
        return false;
    if (next_offset >
        range.first_offset + 1) /* the last one that is applied is read as well: it may be the newest */
        range.first_offset = MIN_OF(next_offset - 1, range.next_offset);
    if (!journal_assign(jr, &range, 1, err))
        return false;
    for (;;) {
        struct journal_record rec;
        bool end = false;
        if (!journal_take(jr, JOURNAL_TAKE_MS, &rec, &end, err))
            return false;
        if (end)
            return true;
        if (!take(ret, &rec, next_offset, err))
            return false;
    }
}

uint64_t lag_of_stream(const struct lag *lag, const char *stream)
{
    size_t at = place(lag, stream);
    return at < lag->stream_count && strcmp(lag->streams[at].name, stream) == 0 ? lag->streams[at].records
                                                                                : 0;
}

void lag_release(struct lag *lag)
{
    for (size_t i = 0; i < lag->stream_count; i++)
        free(lag->streams[i].name);
    free(lag->streams);
    *lag = (struct lag){0};
}
