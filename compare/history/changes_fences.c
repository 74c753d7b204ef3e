/* Owns: the walk along the fences. Each names the ranges that it added; here they are joined for each partition. */
#include <stdlib.h>
#include <string.h>

#include "change/fence.h"
#include "core/alloc.h"
#include "history/changes_internal.h"

/* A fence that tables were proven equal at: few, however many tables. */
struct origin {
    struct fence_place place;
    bool seen;
};

struct origins {
    struct origin *list;
    size_t count;
    uint64_t first_offset; /* the earliest */
    uint64_t broken_id;    /* the last fence under which rows came by another way than as changes; 0 = none */
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct topic *)a)->name, ((const struct topic *)b)->name);
}

struct topic *changes_topic(struct walk *walk, const char *name)
{
    const struct topic wanted = {.name = name};
    return walk->topic_count == 0
               ? NULL
               : bsearch(&wanted, walk->topics, walk->topic_count, sizeof *walk->topics, by_name);
}

static bool same_place(const struct fence_place *a, const struct fence_place *b)
{
    return a->id == b->id && a->offset == b->offset && a->lsn == b->lsn && a->attempt == b->attempt;
}

static void add_origin(struct origins *origins, const struct fence_place *place)
{
    for (size_t i = 0; i < origins->count; i++) {
        if (same_place(&origins->list[i].place, place))
            return;
    }
    origins->list = xrealloc(origins->list, (origins->count + 1) * sizeof *origins->list);
    origins->list[origins->count++] = (struct origin){.place = *place};
    origins->first_offset = MIN_OF(origins->first_offset, place->offset);
}

static void mark_seen(struct origins *origins, const struct fence *fence, uint64_t offset)
{
    for (size_t i = 0; i < origins->count; i++) {
        const struct fence_place *p = &origins->list[i].place;
        if (p->offset == offset && p->id == fence->id && p->lsn == fence->lsn && p->attempt == fence->attempt)
            origins->list[i].seen = true;
    }
}

static void add_range(struct topic *topic, const struct fence_range *range)
{
    size_t p = (size_t)range->partition;
    if (p >= topic->part_count) {
        topic->parts = xrealloc(topic->parts, (p + 1) * sizeof *topic->parts);
        memset(topic->parts + topic->part_count, 0, (p + 1 - topic->part_count) * sizeof *topic->parts);
        topic->part_count = p + 1;
    }
    struct part_range *part = &topic->parts[p];
    if (!part->there)
        *part = (struct part_range){.there = true, .first = range->first_offset};
    part->next = range->next_offset;
}

static bool take_fence(struct walk *walk, struct origins *origins, const struct journal_record *rec,
                       struct err *err)
{
    struct fence fence = {0};
    if (!fence_decode(rec->value, rec->value_len, &fence, err))
        return err_wrap(err, "topic=%s offset=%llu", rec->stream, (unsigned long long)rec->offset);
    mark_seen(origins, &fence, rec->offset);
    if (fence.kind != FENCE_STREAM || !fence.complete || fence.copy.direct)
        origins->broken_id = fence.id;
    for (size_t i = 0; i < fence.range_count && fence.id <= walk->changes->until.id; i++) {
        const struct fence_range *range = &fence.ranges[i];
        if (range->next_offset <= range->first_offset || range->partition < 0)
            continue;
        struct topic *topic = changes_topic(walk, range->stream);
        if (topic != NULL && fence.id > topic->since_id)
            add_range(topic, range);
    }
    fence_release(&fence);
    return true;
}

static bool walk_range(struct walk *walk, struct origins *origins, const char *stream, uint64_t kept,
                       struct err *err)
{
    uint64_t first = MAX_OF(origins->first_offset, kept); /* whoever stands before it is not seen, and lost */
    struct journal_range range = {
        .stream = stream, .first_offset = first, .next_offset = walk->changes->until.offset + 1};
    if (first >= range.next_offset)
        return true;
    if (!journal_assign(walk->reader, &range, 1, err))
        return false;
    for (;;) {
        struct journal_record rec;
        bool end = false;
        if (!journal_take(walk->reader, JOURNAL_TAKE_MS, &rec, &end, err))
            return err_wrap(err, "topic=%s", stream);
        if (end)
            return true;
        if (!take_fence(walk, origins, &rec, err))
            return false;
    }
}

static void judge(struct changed_table *t, const struct origins *origins, bool whole_walk)
{
    bool seen = false;
    for (size_t i = 0; i < origins->count; i++)
        seen = seen || (origins->list[i].seen && same_place(&origins->list[i].place, &t->since));
    if (!seen)
        changed_table_lose(t, "the journal %s fence %llu, at which it was proven equal",
                           whole_walk ? "is another one than that of" : "no longer holds",
                           (unsigned long long)t->since.id);
    else if (origins->broken_id > t->since.id)
        changed_table_lose(t, "rows were copied anew since fence %llu", (unsigned long long)t->since.id);
}

bool changes_walk_fences(struct walk *walk, const char *stream, struct err *err)
{
    struct changes *changes = walk->changes;
    struct origins origins = {.first_offset = UINT64_MAX};
    uint64_t kept = 0, next = 0;
    for (size_t i = 0; i < changes->table_count; i++)
        add_origin(&origins, &changes->tables[i].since);
    add_origin(&origins, &changes->until);
    bool ok = journal_bounds(walk->reader, stream, 0, &kept, &next, err) &&
              walk_range(walk, &origins, stream, kept, err);
    bool until_seen = false;
    for (size_t i = 0; i < origins.count; i++)
        until_seen =
            until_seen || (origins.list[i].seen && same_place(&origins.list[i].place, &changes->until));
    if (ok && !until_seen)
        ok = err_set(err, ERR_GAP, "the journal does not hold fence %llu, at which both sides stand",
                     (unsigned long long)changes->until.id);
    for (size_t i = 0; ok && i < changes->table_count; i++)
        judge(&changes->tables[i], &origins, kept <= changes->tables[i].since.offset);
    free(origins.list);
    return ok;
}
