/* See journal_from.h: the fences are read from the first one on. */
#include "journal_from.h"

#include <string.h>

#include "change/fence.h"

struct search {
    const struct journal_stream_info *info;
    lsn_t lsn;
    bool found;
    uint64_t fence_offset;
    uint64_t *starts;
    int32_t starts_left;
};

static void take_ranges(struct search *s, const struct fence *fence)
{
    for (size_t i = 0; i < fence->range_count; i++) {
        const struct fence_range *r = &fence->ranges[i];
        if (r->partition >= s->info->partition_count || s->starts[r->partition] != UINT64_MAX ||
            strcmp(r->stream, s->info->name) != 0)
            continue;
        s->starts[r->partition] = r->first_offset;
        s->starts_left--;
    }
}

static bool take(struct search *s, const struct journal_record *rec, struct err *err)
{
    struct fence fence;
    if (!fence_decode(rec->value, rec->value_len, &fence, err))
        return err_wrap(err, "topic=%s offset=%llu", rec->stream, (unsigned long long)rec->offset);
    if (!s->found && fence.lsn > s->lsn) {
        s->found = true;
        s->fence_offset = rec->offset;
    }
    if (s->found)
        take_ranges(s, &fence);
    fence_release(&fence);
    return true;
}

static bool search(struct search *s, struct journal_reader *jr, struct err *err)
{
    while (s->starts_left > 0) {
        struct journal_record rec;
        bool end = false;
        if (!journal_take(jr, JOURNAL_TAKE_MS, &rec, &end, err))
            return false;
        if (end)
            return true;
        if (!take(s, &rec, err))
            return false;
    }
    return true;
}

bool journal_from_lsn(struct journal_reader *jr, const char *fence_stream, lsn_t lsn,
                      const struct journal_stream_info *info, uint64_t *ret_fence_offset, uint64_t *starts,
                      struct err *err)
{
    struct journal_range range = {.stream = fence_stream};
    struct search s = {.info = info, .lsn = lsn, .starts = starts, .starts_left = info->partition_count};
    for (int32_t p = 0; p < info->partition_count; p++)
        starts[p] = UINT64_MAX;
    if (!journal_bounds(jr, fence_stream, 0, &range.first_offset, &range.next_offset, err))
        return false;
    s.fence_offset = range.next_offset;
    if (!journal_assign(jr, &range, 1, err) || !search(&s, jr, err))
        return false;
    *ret_fence_offset = s.fence_offset;
    return true;
}
