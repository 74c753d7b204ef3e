/* Owns: reading back the fence stream from a fence to the last one that lists all partitions. See journal_reach.h. */
#include "journal_reach.h"

#include <stdlib.h>
#include <string.h>

#include "change/fence.h"
#include "core/alloc.h"
#include "journal/journal_settings.h"

#define TAKE_MS        10000
#define OFFSETS_FIRST  UINT64_C(256) /* on Kafka a commit takes an offset, too */
#define OFFSETS_GROWTH 4
#define COMPACT_LEAST  4096

static int by_partition(const struct reach_part *a, const struct reach_part *b)
{
    int c = strcmp(a->topic, b->topic);
    return c != 0 ? c : (a->partition > b->partition) - (a->partition < b->partition);
}

/* Offsets of a partition only grow. */
static int by_partition_and_offset(const void *a, const void *b)
{
    const struct reach_part *x = a, *y = b;
    int c = by_partition(x, y);
    return c != 0 ? c : (x->next_offset > y->next_offset) - (x->next_offset < y->next_offset);
}

static int by_offset(const void *a, const void *b)
{
    const struct reach_part *x = a, *y = b;
    int c = (x->next_offset < y->next_offset) - (x->next_offset > y->next_offset);
    return c != 0 ? c : by_partition(x, y);
}

/* Of each partition only the last. */
static void compact(struct reach_walk *walk)
{
    size_t kept = 0;
    if (walk->count > 1)
        qsort(walk->parts, walk->count, sizeof *walk->parts, by_partition_and_offset);
    for (size_t i = 0; i < walk->count; i++) {
        if (i + 1 < walk->count && by_partition(&walk->parts[i], &walk->parts[i + 1]) == 0)
            free(walk->parts[i].topic);
        else
            walk->parts[kept++] = walk->parts[i];
    }
    walk->count = kept;
}

/* So that a hundred fences which name thousands of partitions each take no more room than two of them. */
static void make_room(struct reach_walk *walk)
{
    if (walk->count < walk->room)
        return;
    compact(walk);
    if (walk->count >= walk->room / 2)
        walk->room = MAX_OF((size_t)COMPACT_LEAST, 2 * walk->count);
    walk->parts = xrealloc(walk->parts, walk->room * sizeof *walk->parts);
}

static void clear(struct reach_walk *walk)
{
    for (size_t i = 0; i < walk->count; i++)
        free(walk->parts[i].topic);
    walk->count = 0;
}

void reach_walk_add(struct reach_walk *walk, struct fence *fence)
{
    if (fence->full) {
        clear(walk);
        walk->whole = true;
    }
    walk->last_id = fence->id;
    for (size_t i = 0; walk->whole && i < fence->range_count; i++) {
        struct fence_range *range = &fence->ranges[i];
        make_room(walk);
        walk->parts[walk->count++] = (struct reach_part){range->stream, range->partition, range->next_offset};
        range->stream = NULL;
    }
}

void reach_walk_end(struct reach_walk *walk, struct journal_reach *ret)
{
    compact(walk); /* by topic */
    for (size_t i = 0; i < walk->count; i++)
        ret->topic_count += i == 0 || strcmp(walk->parts[i].topic, walk->parts[i - 1].topic) != 0;
    if (walk->count > 1)
        qsort(walk->parts, walk->count, sizeof *walk->parts, by_offset);
    ret->parts = walk->parts;
    ret->part_count = walk->count;
    *walk = (struct reach_walk){0};
}

void reach_walk_release(struct reach_walk *walk)
{
    clear(walk);
    free(walk->parts);
    *walk = (struct reach_walk){0};
}

static bool read_fences(struct journal_reader *jr, const struct journal_range *range, struct reach_walk *walk,
                        struct err *err)
{
    if (!journal_assign(jr, range, 1, err))
        return false;
    for (;;) {
        struct journal_record rec;
        struct fence fence = {0};
        bool end = false;
        if (!journal_take(jr, TAKE_MS, &rec, &end, err))
            return false;
        if (end)
            return true;
        if (!fence_decode(rec.value, rec.value_len, &fence, err))
            return err_wrap(err, "offset=%llu", (unsigned long long)rec.offset);
        reach_walk_add(walk, &fence);
        fence_release(&fence);
    }
}

/* Back from the fence in growing steps, until a full one is among them. */
static bool read_back(struct journal_reader *jr, const char *stream, uint64_t fence_offset,
                      struct reach_walk *walk, struct err *err)
{
    uint64_t kept = 0, end = 0;
    if (!journal_bounds(jr, stream, 0, &kept, &end, err))
        return false;
    if (fence_offset < kept || fence_offset >= end)
        return err_set(err, ERR_GAP, "it holds offsets %llu to %llu", (unsigned long long)kept,
                       (unsigned long long)end);
    struct journal_range range = {.stream = stream, .next_offset = fence_offset + 1};
    for (uint64_t back = OFFSETS_FIRST;; back *= OFFSETS_GROWTH) {
        range.first_offset = range.next_offset - kept > back ? range.next_offset - back : kept;
        reach_walk_release(walk);
        if (!read_fences(jr, &range, walk, err))
            return false;
        if (walk->whole || range.first_offset == kept)
            return true;
    }
}

static bool read_reach(const struct journal_config *config, const char *stream, uint64_t fence_id,
                       uint64_t fence_offset, struct reach_walk *walk, struct err *err)
{
    struct journal_reader *jr = NULL;
    bool ok = journal_reader_open(config, NULL, &jr, err) &&
              (read_back(jr, stream, fence_offset, walk, err) ||
               err_wrap(err, "topic=%s offset=%llu", stream, (unsigned long long)fence_offset));
    journal_reader_close(jr);
    if (!ok)
        return false;
    if (walk->last_id != fence_id)
        return err_set(err, ERR_GAP, "topic=%s offset=%llu holds fence %llu, not %llu: it is another journal",
                       stream, (unsigned long long)fence_offset, (unsigned long long)walk->last_id,
                       (unsigned long long)fence_id);
    return walk->whole || err_set(err, ERR_GAP, "topic=%s: no fence in it lists all partitions", stream);
}

/* Of the URL. */
static const char *kind_of(const char *url)
{
    static const char *const kinds[] = {"kafka", "lmdb"};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        size_t len = strlen(kinds[i]);
        if (strncmp(url, kinds[i], len) == 0 && url[len] == ':')
            return kinds[i];
    }
    return "";
}

struct journal_reach *journal_reach_read(const struct config *cfg, uint64_t fence_id, uint64_t fence_offset)
{
    struct journal_reach *reach = xcalloc(1, sizeof *reach);
    struct journal_config config;
    struct reach_walk walk = {0};
    struct err err = ERR_INIT;
    journal_settings(cfg, &config);
    reach->kind = kind_of(config.url);
    char *stream CLEANUP(free_ptr) = journal_fence_stream(config.topic_prefix);
    if (read_reach(&config, stream, fence_id, fence_offset, &walk, &err))
        reach_walk_end(&walk, reach);
    else
        reach->unread = xasprintf("the journal cannot be read from here: %s", err.text);
    reach_walk_release(&walk);
    return reach;
}

void journal_reach_free(struct journal_reach *reach)
{
    if (reach == NULL)
        return;
    for (size_t i = 0; i < reach->part_count; i++)
        free(reach->parts[i].topic);
    free(reach->parts);
    free(reach->unread);
    free(reach);
}
