/* The partitions of the walk, in order of (stream, partition). */
#include <stdlib.h>
#include <string.h>

#include "change/meta.h"
#include "core/alloc.h"
#include "verify_internal.h"

static int compare(const struct part *part, const char *stream, int32_t partition)
{
    int order = strcmp(part->stream, stream);
    return order != 0 ? order : (part->partition > partition) - (part->partition < partition);
}

/* Index of the part, or of the place where it belongs. */
static size_t place(const struct verify *v, const char *stream, int32_t partition)
{
    size_t low = 0, high = v->part_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (compare(v->parts[middle], stream, partition) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const struct verify *v, size_t at, const char *stream, int32_t partition)
{
    return at < v->part_count && compare(v->parts[at], stream, partition) == 0;
}

static struct part *insert(struct verify *v, size_t at, const char *stream, int32_t partition)
{
    if (v->part_count == v->part_cap) {
        v->part_cap = v->part_cap != 0 ? v->part_cap * 2 : 64;
        v->parts = xrealloc(v->parts, v->part_cap * sizeof(*v->parts));
    }
    memmove(v->parts + at + 1, v->parts + at, (v->part_count - at) * sizeof(*v->parts));
    struct part *part = xcalloc(1, sizeof *part);
    *part = (struct part){.stream = xstrdup(stream), .partition = partition};
    v->parts[at] = part;
    v->part_count++;
    v->totals.partitions++;
    return part;
}

bool verify_part_refresh(struct verify *v, struct part *part, struct err *err)
{
    if (!journal_bounds(v->data, part->stream, part->partition, &part->first, &part->next, err))
        return false;
    if (part->at < part->first)
        part->at = part->first;
    return true;
}

bool verify_parts_find(struct verify *v, const char *stream, int32_t partition, struct part **ret,
                       struct err *err)
{
    if (v->last_part == NULL || compare(v->last_part, stream, partition) != 0) {
        size_t at = place(v, stream, partition);
        if (!is_at(v, at, stream, partition) &&
            !verify_part_refresh(v, insert(v, at, stream, partition), err))
            return false;
        v->last_part = v->parts[at];
    }
    *ret = v->last_part;
    return true;
}

struct listing {
    struct verify *v;
    size_t stream_count;
};

static void take_stream(void *ctx, const struct journal_stream_info *info)
{
    struct listing *list = ctx;
    struct verify *v = list->v;
    if (strcmp(info->name, v->fence_stream) == 0 || strcmp(info->name, v->schema_stream) == 0 ||
        meta_kind_of(v->options->journal->topic_prefix, info->name) != META_KINDS_) /* no fence names them */
        return;
    list->stream_count++;
    for (int32_t p = 0; p < info->partition_count; p++) {
        size_t at = place(v, info->name, p);
        if (!is_at(v, at, info->name, p))
            insert(v, at, info->name, p)->partition_count = info->partition_count;
    }
}

bool verify_parts_load(struct verify *v, struct err *err)
{
    struct listing list = {.v = v};
    if (!journal_list(v->data, take_stream, &list, err))
        return false;
    v->totals.streams = list.stream_count;
    for (size_t i = 0; i < v->part_count; i++) {
        struct part *part = v->parts[i];
        if (!verify_part_refresh(v, part, err))
            return false;
        part->tail = part->next;
        v->walk_total += part->next - part->first;
    }
    return true;
}

void verify_parts_free(struct verify *v)
{
    for (size_t i = 0; i < v->part_count; i++) {
        free(v->parts[i]->stream);
        free(v->parts[i]);
    }
    free(v->parts);
}
