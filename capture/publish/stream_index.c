/* Owns: the places of streams' partitions. See stream_index.h. */
#include "capture/publish/stream_index.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

#define uthash_malloc(size) xmalloc(size)
#include <uthash.h>

struct entry {
    char *stream;
    size_t *places; /* by partition, plus 1; 0 = not met */
    size_t place_count;
    UT_hash_handle hh;
};

struct stream_index {
    struct entry *entries;
    size_t next;
};

struct stream_index *stream_index_new(void)
{
    return xcalloc(1, sizeof(struct stream_index));
}

void stream_index_free(struct stream_index *index)
{
    if (index == NULL)
        return;
    struct entry *e, *next;
    HASH_ITER(hh, index->entries, e, next)
    {
        HASH_DEL(index->entries, e);
        free(e->stream);
        free(e->places);
        free(e);
    }
    free(index);
}

static struct entry *entry_of(struct stream_index *index, const char *stream)
{
    struct entry *e = NULL;
    HASH_FIND_STR(index->entries, stream, e);
    if (e != NULL)
        return e;
    e = xcalloc(1, sizeof *e);
    e->stream = xstrdup(stream);
    HASH_ADD_KEYPTR(hh, index->entries, e->stream, strlen(e->stream), e);
    return e;
}

size_t stream_index_at(struct stream_index *index, const char *stream, int32_t partition, bool *ret_new)
{
    struct entry *e = entry_of(index, stream);
    size_t at = partition < 0 ? 0 : (size_t)partition;
    if (at >= e->place_count) {
        e->places = xrealloc(e->places, (at + 1) * sizeof *e->places);
        memset(e->places + e->place_count, 0, (at + 1 - e->place_count) * sizeof *e->places);
        e->place_count = at + 1;
    }
    *ret_new = e->places[at] == 0;
    if (*ret_new)
        e->places[at] = ++index->next;
    return e->places[at] - 1;
}
