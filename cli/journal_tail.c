/* Reads back from the end, further each time, until enough records were met. */
#include "journal_tail.h"

#include <stdlib.h>

#include "core/alloc.h"

#define READ_TIMEOUT_MS 15000

/* Counts the records of the assigned range and keeps the offsets of the last n in a ring. */
static bool collect(struct journal_reader *jr, uint64_t *ring, uint64_t n, uint64_t *ret_count,
                    struct err *err)
{
    struct journal_record rec;
    uint64_t count = 0;
    for (;;) {
        bool end = false;
        if (!journal_take(jr, JOURNAL_TAKE_MS, &rec, &end, err))
            return false;
        if (end)
            break;
        ring[count++ % n] = rec.offset;
    }
    *ret_count = count;
    return true;
}

bool journal_tail(struct journal_reader *jr, const char *stream, int32_t partition, uint64_t first,
                  uint64_t next, uint64_t n, uint64_t *ret_start, struct err *err)
{
    uint64_t *ring = xcalloc(n, sizeof *ring);
    uint64_t back = 2 * n + 16, count = 0, begin = next;
    bool good = true;
    while (good && begin > first && count < n) {
        begin = next - MIN_OF(back, next - first);
        struct journal_range range = {
            .stream = stream, .partition = partition, .first_offset = begin, .next_offset = next};
        good = journal_assign(jr, &range, 1, err) && collect(jr, ring, n, &count, err);
        back *= 4;
    }
    if (good)
        *ret_start = count == 0 ? next : ring[count >= n ? count % n : 0];
    free(ring);
    return good;
}

bool journal_last(struct journal_reader *jr, const char *stream, struct journal_record *ret, bool *ret_found,
                  struct err *err)
{
    uint64_t first = 0, next = 0;
    *ret_found = false;
    if (!journal_bounds(jr, stream, 0, &first, &next, err))
        return false;
    uint64_t start = next;
    if (next > first && !journal_tail(jr, stream, 0, first, next, 1, &start, err))
        return false;
    if (start == next)
        return true;
    struct journal_range range = {.stream = stream, .first_offset = start, .next_offset = next};
    if (!journal_assign(jr, &range, 1, err))
        return false;
    enum journal_next got = journal_next(jr, READ_TIMEOUT_MS, ret, err);
    if (got == JOURNAL_ERROR)
        return false;
    *ret_found = got == JOURNAL_RECORD;
    return *ret_found || err_set(err, ERR_TIMEOUT, "topic=%s: its last record did not come", stream);
}
