/* Owns: what a fence record says of the journal's side. See fence_writer.h. */
#include "capture/publish/fence_writer.h"

#include <stdlib.h>
#include <string.h>

#include "capture/publish/stream_index.h"
#include "change/meta.h"
#include "core/alloc.h"
#include "core/clock.h"

/* Some 100 bytes a range; a full fence over thousands of partitions still fits. */
#define FENCE_BYTES_MAX ((size_t)8 << 20)

struct known {
    char *stream;
    int32_t partition;
    uint64_t next_offset;
    uint64_t listed_in; /* id of the last fence that listed it */
};

struct cap_fence_writer {
    struct journal_writer *jw;
    char *pipeline, *topic_prefix, *fence_stream, *schema_stream;
    uint64_t system_id, attempt, last_id, pending_id;
    uint64_t schemas_next;
    uint32_t timeline;
    int fence_stream_id; /* -1 = not opened yet */
    struct known *known; /* all partitions, by the index */
    size_t known_count, known_cap;
    struct stream_index *index;
    struct fence_range *listed; /* of the fence at hand; streams are borrowed */
    size_t listed_cap;
    char *gtid,
        *gtid_from; /* where the next fence stands on MariaDB, and where reading begins again; NULL = none */
    struct strbuf text;
};

static struct known *note_known(struct cap_fence_writer *fw, const char *stream, int32_t partition,
                                uint64_t next_offset)
{
    bool is_new = false;
    size_t at = stream_index_at(fw->index, stream, partition, &is_new);
    if (is_new) {
        BUG_UNLESS(at == fw->known_count);
        if (fw->known_count == fw->known_cap) {
            fw->known_cap = fw->known_cap != 0 ? fw->known_cap * 2 : 64;
            fw->known = xrealloc(fw->known, fw->known_cap * sizeof *fw->known);
        }
        fw->known[fw->known_count++] = (struct known){.stream = xstrdup(stream), .partition = partition};
    }
    fw->known[at].next_offset = next_offset;
    return &fw->known[at];
}

struct cap_fence_writer *cap_fence_writer_new(struct journal_writer *jw, const char *topic_prefix,
                                              const struct cap_fence_base *base)
{
    struct cap_fence_writer *fw = xcalloc(1, sizeof *fw);
    fw->jw = jw;
    fw->pipeline = xstrdup(base->pipeline);
    fw->topic_prefix = xstrdup(topic_prefix);
    fw->fence_stream = journal_fence_stream(topic_prefix);
    fw->schema_stream = journal_schema_stream(topic_prefix);
    fw->system_id = base->system_id;
    fw->timeline = base->timeline;
    fw->attempt = base->attempt;
    fw->last_id = base->last_id;
    fw->schemas_next = base->schemas_next;
    fw->fence_stream_id = -1;
    fw->index = stream_index_new();
    strbuf_init(&fw->text, FENCE_BYTES_MAX);
    fw->gtid = base->gtid != NULL ? xstrdup(base->gtid) : NULL;
    fw->gtid_from = base->gtid_from != NULL ? xstrdup(base->gtid_from) : NULL;
    for (size_t i = 0; i < base->range_count; i++)
        (void)note_known(fw, base->ranges[i].stream, base->ranges[i].partition, base->ranges[i].next_offset);
    return fw;
}

void cap_fence_writer_free(struct cap_fence_writer *fw)
{
    if (fw == NULL)
        return;
    for (size_t i = 0; i < fw->known_count; i++)
        free(fw->known[i].stream);
    free(fw->known);
    stream_index_free(fw->index);
    free(fw->listed);
    strbuf_release(&fw->text);
    free(fw->topic_prefix);
    free(fw->schema_stream);
    free(fw->fence_stream);
    free(fw->pipeline);
    free(fw->gtid);
    free(fw->gtid_from);
    free(fw);
}

static void set_text(char **text, const char *p, size_t len)
{
    free(*text);
    *text = len > 0 ? xstrndup(p, len) : NULL;
}

void cap_fence_writer_stand(struct cap_fence_writer *fw, const struct cap_batch *b,
                            const struct cap_boundary *bound)
{
    set_text(&fw->gtid, b->bytes.data + bound->gtid_at, bound->gtid_len);
    set_text(&fw->gtid_from, b->bytes.data + bound->from_at, bound->from_len);
}

/* Without transactions, what a unit wrote into the schema stream is there even if its fence never comes: the fence says up to where it
 * counts. Once that was said it goes on being said. */
static void note_schemas(struct cap_fence_writer *fw, const struct journal_range *r)
{
    if (fw->jw->id != 0 || fw->schemas_next != 0)
        fw->schemas_next = r->next_offset;
}

/* The unit's ranges of data streams become the list; a full fence adds those not touched, as empty ranges. */
static void list_ranges(struct cap_fence_writer *fw, const struct journal_range *ranges, size_t count,
                        struct fence *fence)
{
    if (fw->listed_cap < count + fw->known_count) {
        fw->listed_cap = count + fw->known_count + 64;
        fw->listed = xrealloc(fw->listed, fw->listed_cap * sizeof *fw->listed);
    }
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        const struct journal_range *r = &ranges[i];
        bool schemas = strcmp(r->stream, fw->schema_stream) == 0;
        if (schemas)
            note_schemas(fw, r);
        if (schemas || strcmp(r->stream, fw->fence_stream) == 0 ||
            meta_kind_of(fw->topic_prefix, r->stream) != META_KINDS_)
            continue;
        struct known *known = note_known(fw, r->stream, r->partition, r->next_offset);
        known->listed_in = fence->id;
        fw->listed[n++] = (struct fence_range){known->stream, r->partition, r->first_offset, r->next_offset};
    }
    for (size_t i = 0; fence->full && i < fw->known_count; i++) {
        const struct known *k = &fw->known[i];
        if (k->listed_in != fence->id)
            fw->listed[n++] = (struct fence_range){k->stream, k->partition, k->next_offset, k->next_offset};
    }
    fence->ranges = fw->listed;
    fence->range_count = n;
}

bool cap_fence_writer_append(struct cap_fence_writer *fw, struct fence *fence, struct err *err)
{
    const struct journal_range *ranges = NULL;
    size_t count = 0;
    if (fw->fence_stream_id < 0 &&
        !journal_stream(fw->jw, fw->fence_stream, STREAM_FOREVER, &fw->fence_stream_id, err))
        return false;
    if (!journal_flush(fw->jw, &ranges, &count, err))
        return false;
    fence->format = FENCE_FORMAT;
    fence->id = fw->pending_id = fw->last_id + 1;
    fence->attempt = fw->attempt;
    fence->pipeline = fw->pipeline;
    fence->source_system_id = fw->system_id;
    fence->timeline = fw->timeline;
    fence->written_us = clock_wall_us();
    fence->full = fence->id % FENCE_FULL_EVERY == 0 || fence->id == 1;
    fence->writer = fw->jw->id;
    fence->gtid = fw->gtid;
    fence->gtid_from = fw->gtid_from;
    list_ranges(fw, ranges, count, fence);
    fence->schemas_next = fw->schemas_next;
    strbuf_clear(&fw->text);
    if (!fence_encode(fence, &fw->text, err) || !strbuf_ok(&fw->text, "fence record", err))
        return false;
    struct journal_record rec = {
        .partition = 0,
        .key = fw->pipeline,
        .key_len = strlen(fw->pipeline),
        .value = fw->text.data,
        .value_len = fw->text.len,
    };
    return journal_append(fw->jw, fw->fence_stream_id, &rec, err);
}

void cap_fence_writer_committed(struct cap_fence_writer *fw)
{
    fw->last_id = fw->pending_id;
}

uint64_t cap_fence_writer_last_id(const struct cap_fence_writer *fw)
{
    return fw->last_id;
}
