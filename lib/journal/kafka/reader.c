/* The Kafka journal's reader: opening, looking, and handing out the records of all assigned partitions. See
 * kafka.h and reader.h. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "journal/kafka/reader.h"
#include "journal/kafka/stamp.h"

#define DOWN_US      10000000
#define WAIT_MS      1000
#define LOOKUP_MS    300
#define DATA_WAIT_MS "25"
/* Partitions are not counted exactly before the first handle is there to ask. */
#define PARTITIONS_GUESS 16

static struct kafka_reader *reader_of(struct journal_reader *jr)
{
    return (struct kafka_reader *)jr;
}

/* --- life --- */

static void release_held(struct kafka_reader *r)
{
    if (r->held != NULL)
        rd_kafka_message_destroy(r->held);
    r->held = NULL;
}

static void kafka_reader_close(struct journal_reader *jr)
{
    struct kafka_reader *r = reader_of(jr);
    release_held(r);
    kafka_group_stop(r->group);
    for (size_t i = 0; i < r->part_count; i++) {
        struct kafka_part *p = &r->parts[i];
        kafka_part_stop(p);
        rd_kafka_queue_destroy(p->queue);
        rd_kafka_topic_destroy(p->rkt);
        free(p->stream);
        free(p->spans);
    }
    kafka_client_close(&r->follow);
    kafka_client_close(&r->data);
    if (r->event_fd >= 0)
        close(r->event_fd);
    free(r->parts);
    free(r->active);
    free(r->fence_stream);
    name_map_free(r->index);
    journal_config_free(&r->config);
    free(r);
}

/* librdkafka bounds prefetching per partition: each gets its share of what all together may take. */
static void size_prefetch(struct kafka_reader *r, size_t partitions)
{
    size_t n = MAX_OF(partitions, (size_t)1);
    r->prefetch_bytes = MIN_OF(MAX_OF(KAFKA_PREFETCH_BYTES / n, (size_t)64 << 10), (size_t)8 << 20);
    r->prefetch_count = MIN_OF(MAX_OF(KAFKA_PREFETCH_COUNT / n, (size_t)200), (size_t)20000);
}

bool kafka_reader_open_handle(struct kafka_reader *r, struct kafka_client *client, const char *wait_ms,
                              struct err *err)
{
    char kbytes[24], count[24], fetch[24];
    (void)snprintf(kbytes, sizeof kbytes, "%zu", r->prefetch_bytes / 1024);
    (void)snprintf(count, sizeof count, "%zu", r->prefetch_count);
    (void)snprintf(fetch, sizeof fetch, "%zu", MIN_OF(r->prefetch_bytes / 2, (size_t)1 << 20));
    const struct kafka_property properties[] = {
        {"isolation.level", "read_committed"},
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
        {"auto.offset.reset", "error"},
        {"enable.partition.eof", "true"},
        {"allow.auto.create.topics", "false"},
        {"fetch.wait.max.ms", wait_ms},
        {"fetch.error.backoff.ms", "50"},
        {"queued.max.messages.kbytes", kbytes},
        {"queued.min.messages", count},
        {"fetch.message.max.bytes", fetch},
        {"fetch.max.bytes", "16777216"},
        {"receive.message.max.bytes", "1000000000"},
    };
    return kafka_client_open(client, &r->config, RD_KAFKA_CONSUMER, properties, ARRAY_LEN(properties), NULL,
                             err);
}

static void add_partitions(void *ctx, const struct journal_stream_info *info)
{
    *(size_t *)ctx += (size_t)info->partition_count;
}

static bool count_partitions(struct kafka_reader *r, size_t *ret, struct err *err)
{
    struct kafka_topics topics;
    *ret = 0;
    if (r->config.foreign_topics != NULL)
        return kafka_foreign_list(&r->data, r->config.foreign_topics, add_partitions, ret, err);
    if (!kafka_topics_load(&r->data, r->config.topic_prefix, &topics, err))
        return false;
    for (size_t i = 0; i < topics.count; i++)
        *ret += (size_t)topics.all[i].partition_count;
    kafka_topics_release(&topics);
    return true;
}

static bool open_sized(struct kafka_reader *r, struct err *err)
{
    size_t partitions = 0;
    size_prefetch(r, PARTITIONS_GUESS);
    if (!kafka_reader_open_handle(r, &r->data, DATA_WAIT_MS, err) || !count_partitions(r, &partitions, err))
        return false;
    if (partitions <= PARTITIONS_GUESS)
        return true;
    kafka_client_close(&r->data);
    size_prefetch(r, partitions);
    return kafka_reader_open_handle(r, &r->data, DATA_WAIT_MS, err);
}

/* --- reading --- */

static void fill_headers(rd_kafka_message_t *msg, struct journal_record *ret)
{
    rd_kafka_headers_t *headers;
    ret->header_count = 0;
    if (rd_kafka_message_headers(msg, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    struct journal_header *h = ret->headers;
    for (size_t i = 0; h < ret->headers + JOURNAL_HEADERS_MAX &&
                       rd_kafka_header_get_all(headers, i, &h->name, &h->value, &h->value_len) ==
                           RD_KAFKA_RESP_ERR_NO_ERROR;
         i++)
        h += !kafka_stamp_is(h->name);
    ret->header_count = (size_t)(h - ret->headers);
}

static void fill_record(const struct kafka_reader *r, const struct kafka_part *p, struct journal_record *ret)
{
    rd_kafka_message_t *msg = r->held;
    ret->writer = r->held_writer;
    ret->stray = r->held_stray;
    ret->stream = p->stream;
    ret->partition = p->partition;
    ret->offset = (uint64_t)msg->offset;
    ret->timestamp_ms = rd_kafka_message_timestamp(msg, NULL);
    ret->key = msg->key;
    ret->key_len = msg->key_len;
    ret->value = msg->payload;
    ret->value_len = msg->len;
    fill_headers(msg, ret);
}

/* librdkafka goes on by itself when brokers are away; after a while the owner is told. */
static bool brokers_there(struct kafka_client *client, struct err *err)
{
    kafka_client_poll(client);
    int64_t down_us = client->down_since_us != 0 ? clock_mono_us() - client->down_since_us : 0;
    bool tell = !client->told && down_us >= (int64_t)KAFKA_TELL_MS * 1000;
    if (!tell && down_us < DOWN_US)
        return true;
    const struct rd_kafka_metadata *md;
    rd_kafka_resp_err_t code =
        rd_kafka_metadata(client->rk, 0, NULL, &md, tell ? KAFKA_TELL_MS / 4 : KAFKA_REQUEST_MS / 3);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_metadata_destroy(md);
        client->down_since_us = 0;
        kafka_client_answered(client);
        return true;
    }
    kafka_client_waits(client, client->down_since_us, "reading", NULL);
    return down_us < DOWN_US || kafka_fail(client, code, "no broker answers", NULL, err);
}

/* Waits until any queue got something. */
static bool wait_queues(struct kafka_reader *r, int64_t left_us, struct err *err)
{
    for (size_t i = 0; i < r->active_count; i++)
        kafka_part_dry(r, &r->parts[r->active[i]]);
    kafka_reader_stop_quiet(r);
    int64_t ms = MIN_OF((left_us + 999) / 1000, r->waiting_topics > 0 ? LOOKUP_MS : WAIT_MS);
    struct pollfd pfd = {.fd = r->event_fd, .events = POLLIN};
    int n = poll(&pfd, 1, (int)ms);
    if (n < 0 && errno != EINTR)
        return err_set_errno(err, errno, "kafka journal: waiting");
    uint64_t count;
    if (n > 0)
        (void)!read(r->event_fd, &count, sizeof count);
    return brokers_there(&r->data, err) && brokers_there(&r->follow, err) &&
           kafka_reader_start_waiting(r, err);
}

static void finish(struct kafka_reader *r, size_t slot)
{
    r->parts[r->active[slot]].active = false;
    r->active[slot] = r->active[--r->active_count];
}

/* Looks once at each active partition, from `turn` on; LOOK_EMPTY: none has anything now. */
static enum kafka_look look_around(struct kafka_reader *r, struct journal_record *ret, struct err *err)
{
    size_t tries = 0;
    while (tries < r->active_count) {
        r->turn = r->turn < r->active_count ? r->turn : 0;
        struct kafka_part *p = &r->parts[r->active[r->turn]];
        enum kafka_look got = kafka_part_look(r, p, err);
        if (got == LOOK_RECORD)
            fill_record(r, p, ret);
        if (got == LOOK_RECORD || got == LOOK_ERROR)
            return got;
        if (got == LOOK_FINISHED) {
            finish(r, r->turn); /* another one is in its place */
        } else {
            r->turn++;
            tries++;
        }
    }
    return LOOK_EMPTY;
}

static enum journal_next kafka_next(struct journal_reader *jr, int timeout_ms, struct journal_record *ret,
                                    struct err *err)
{
    struct kafka_reader *r = reader_of(jr);
    int64_t until_us = 0;
    release_held(r);
    for (;;) {
        enum kafka_look got = look_around(r, ret, err);
        if (got == LOOK_RECORD || got == LOOK_ERROR)
            return got == LOOK_RECORD ? JOURNAL_RECORD : JOURNAL_ERROR;
        if (r->active_count == 0)
            return JOURNAL_END;
        int64_t now_us = clock_mono_us();
        if (until_us == 0)
            until_us = timeout_ms < 0 ? INT64_MAX : now_us + (int64_t)timeout_ms * 1000;
        if (now_us >= until_us)
            return JOURNAL_IDLE;
        if (!wait_queues(r, until_us - now_us, err))
            return JOURNAL_ERROR;
    }
}

/* --- looking --- */

/* Brokers have had one since 0.10.1: KRaft's or ZooKeeper's, made when the cluster was. */
bool kafka_identity(struct journal_reader *jr, char **ret, struct err *err)
{
    struct kafka_reader *r = reader_of(jr);
    char *id = rd_kafka_clusterid(r->data.rk, KAFKA_REQUEST_MS);
    if (id == NULL)
        return kafka_stalled(&r->data, "asking for the cluster's id", KAFKA_REQUEST_MS, err);
    *ret = xstrdup(id);
    rd_kafka_mem_free(r->data.rk, id);
    return true;
}

/* (A record that was looked at and not taken yet is not below.) */
static bool kafka_position(struct journal_reader *jr, const char *stream, int32_t partition, uint64_t *ret)
{
    struct kafka_reader *r = reader_of(jr);
    char name[300];
    (void)snprintf(name, sizeof name, "%s/%d", stream, (int)partition);
    int at = name_map_get(r->index, name);
    if (at < 0 || !r->parts[at].active || !r->parts[at].started || r->parts[at].position < r->parts[at].first)
        return false;
    *ret = r->parts[at].position;
    return true;
}

static bool kafka_bounds(struct journal_reader *jr, const char *stream, int32_t partition,
                         uint64_t *ret_first, uint64_t *ret_next, struct err *err)
{
    struct kafka_reader *r = reader_of(jr);
    int32_t count = 0;
    int64_t low = 0, high = 0;
    if (!kafka_topic_lookup(&r->data, stream, &count, err))
        return false;
    if (r->config.foreign_topics != NULL && partition == 0 && count > 0 &&
        !kafka_foreign_kept(&r->data, stream, err))
        return false;
    if (partition < count) {
        rd_kafka_resp_err_t code;
        int64_t until_us = clock_mono_us() + KAFKA_LEADER_WAIT_US;
        do
            code = rd_kafka_query_watermark_offsets(r->data.rk, stream, partition, &low, &high,
                                                    KAFKA_REQUEST_MS);
        while (kafka_leader_awaited(code, until_us));
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
            char what[320];
            (void)snprintf(what, sizeof what, "asking for offsets: topic=%s partition=%d", stream,
                           (int)partition);
            return kafka_fail(&r->data, code, what, NULL, err);
        }
    }
    *ret_first = (uint64_t)low;
    *ret_next = (uint64_t)high;
    return true;
}

static bool fill_info(struct kafka_reader *r, const struct kafka_topic *topic,
                      struct journal_stream_info *ret, struct err *err)
{
    *ret = (struct journal_stream_info){.partition_count = topic->partition_count,
                                        .kind = kafka_kind_of(r->config.topic_prefix, topic->name)};
    (void)snprintf(ret->name, sizeof ret->name, "%s", topic->name);
    for (int32_t p = 0; p < topic->partition_count; p++) {
        uint64_t first, next;
        if (!kafka_bounds(&r->base, topic->name, p, &first, &next, err))
            return false;
        ret->records += next - first;
    }
    return true;
}

static bool kafka_list(struct journal_reader *jr,
                       void (*each)(void *ctx, const struct journal_stream_info *info), void *ctx,
                       struct err *err)
{
    struct kafka_reader *r = reader_of(jr);
    struct kafka_topics topics;
    if (r->config.foreign_topics != NULL)
        return kafka_foreign_list(&r->data, r->config.foreign_topics, each, ctx, err);
    if (!kafka_topics_load(&r->data, r->config.topic_prefix, &topics, err))
        return false;
    bool ok = true;
    for (size_t i = 0; ok && i < topics.count; i++) {
        struct journal_stream_info info;
        ok = fill_info(r, &topics.all[i], &info, err);
        if (ok)
            each(ctx, &info);
    }
    kafka_topics_release(&topics);
    return ok;
}

/* --- opening --- */

static bool is_ours(struct kafka_reader *r, const char *fence, const struct journal_record *rec,
                    struct err *err)
{
    const char *pipeline = r->config.pipeline;
    size_t len = strlen(pipeline);
    if (rec->key == NULL || (rec->key_len == len && memcmp(rec->key, pipeline, len) == 0))
        return true;
    return err_set(
        err, ERR_IDENTITY,
        "kafka journal %s: topic=%s belongs to pipeline \"%.*s\", not to \"%s\": correct journal.url, "
        "pipeline or journal.topic_prefix",
        r->data.brokers, fence, (int)MIN_OF(rec->key_len, (size_t)64), (const char *)rec->key, pipeline);
}

/* The first fence there is names its pipeline by its key. */
static bool check_pipeline(struct kafka_reader *r, struct err *err)
{
    char *fence CLEANUP(free_ptr) = journal_fence_stream(r->config.topic_prefix);
    struct journal_range range = {.stream = fence};
    struct journal_record rec;
    if (!kafka_bounds(&r->base, fence, 0, &range.first_offset, &range.next_offset, err))
        return false;
    if (range.first_offset == range.next_offset)
        return true;
    if (!kafka_reader_assign(&r->base, &range, 1, err))
        return false;
    enum journal_next got = kafka_next(&r->base, KAFKA_REQUEST_MS, &rec, err);
    if (got == JOURNAL_ERROR || (got == JOURNAL_RECORD && !is_ours(r, fence, &rec, err)))
        return false;
    if (!kafka_reader_assign(&r->base, NULL, 0, err))
        return false;
    kafka_part_stop(&r->parts[0]);
    r->parts[0].known = false;
    return true;
}

static bool kafka_reader_open(const struct journal_config *config, const char *reader_name,
                              struct journal_reader **ret, struct err *err)
{
    struct kafka_reader *r = xcalloc(1, sizeof *r);
    r->base.ops = &kafka_reader_ops;
    r->index = name_map_new();
    journal_config_copy(&r->config, config);
    r->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r->fence_stream = journal_fence_stream(config->topic_prefix);
    bool ok = r->event_fd >= 0 || err_set_errno(err, errno, "kafka journal: eventfd");
    ok = ok && open_sized(r, err) && (config->foreign_topics != NULL || check_pipeline(r, err));
    if (!ok || (reader_name != NULL && !kafka_group_start(&r->config, &r->group, err))) {
        kafka_reader_close(&r->base);
        return false;
    }
    *ret = &r->base;
    return true;
}

/* Retention is the topics' own: only lag tools are told. A unit's commit marker takes the offset behind its
 * last record of each partition, and the fence is the last record of its own. */
static bool kafka_confirm(struct journal_reader *jr, const struct journal_range *ranges, size_t count,
                          uint64_t fence_offset, struct err *err)
{
    struct kafka_reader *r = reader_of(jr);
    if (r->group == NULL)
        return true;
    for (size_t i = 0; i < count; i++) {
        const struct journal_range *range = &ranges[i];
        const struct kafka_part *p = kafka_part_find(r, range->stream, range->partition, false, err);
        if (p == NULL)
            return false;
        r->unmarked = range->own && range->writer != 0;
        if (range->first_offset < range->next_offset)
            kafka_group_note(r->group, (size_t)(p - r->parts) + 1, p->stream, p->partition,
                             range->next_offset + (r->unmarked ? 0 : 1));
    }
    kafka_group_note(r->group, 0, r->fence_stream, 0, fence_offset + (r->unmarked ? 1 : 2));
    return true;
}

const struct journal_reader_ops kafka_reader_ops = {
    .name = "kafka",
    .open = kafka_reader_open,
    .list = kafka_list,
    .bounds = kafka_bounds,
    .position = kafka_position,
    .assign = kafka_reader_assign,
    .next = kafka_next,
    .confirm = kafka_confirm,
    .close = kafka_reader_close,
};
