/* Reads back from the end, further each time, until enough records were met. */
#include "journal_tail.h"

#include <stdlib.h>

#include "core/alloc.h"

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
