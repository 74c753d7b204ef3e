/* The Kafka journal's reader: partitions consumed one queue each, up to the ends of the assigned ranges. See
 * journal_kafka.h. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"
#include "journal_kafka.h"

/* A start this far behind a range is read through; further, the fetch is set up anew. */
#define NEAR_OFFSETS    1000
#define LOOKUP_US       300000
#define DOWN_US         10000000
#define KICK_MS         20
#define BEHIND_TRIES    30
#define BEHIND_PAUSE_MS 100

/* One partition that was ever assigned. */
struct part {
    char *stream;
    int32_t partition;
    rd_kafka_topic_t *rkt;
    rd_kafka_queue_t *queue;
    rd_kafka_message_t *peeked; /* taken from the queue, not wanted yet */
    bool started;
    bool eof;            /* the last thing heard was "end of partition" */
    uint64_t position;   /* next offset that the queue will give, or later */
    uint64_t first, end; /* the range; first == end: none */
    bool active;         /* in reader.active */
};

struct kafka_reader {
    struct journal_reader base;
    struct kafka_client client;
    char *prefix;
    struct part *parts;
    size_t part_count, part_cap;
    struct name_map *index; /* "topic/partition" → parts */
    size_t *active;         /* indexes of parts with something left of their range */
    size_t active_count, active_cap;
    size_t turn;
    rd_kafka_message_t *held; /* handed out by the last next() */
    int event_fd;
    size_t waiting_topics; /* active parts whose topic is not there yet */
    int64_t lookup_after_us;
};

static struct kafka_reader *reader_of(struct journal_reader *jr)
{
    return (struct kafka_reader *)jr;
}

/* --- partitions --- */

static struct part *find_part(struct kafka_reader *r, const char *stream, int32_t partition)
{
    char name[300];
    (void)snprintf(name, sizeof name, "%s/%d", stream, (int)partition);
    int at = name_map_get(r->index, name);
    if (at >= 0)
        return &r->parts[at];
    if (r->part_count == r->part_cap) {
        r->part_cap = r->part_cap != 0 ? r->part_cap * 2 : 16;
        r->parts = xrealloc(r->parts, r->part_cap * sizeof *r->parts);
    }
    name_map_put(r->index, name, (int)r->part_count);
    struct part *p = &r->parts[r->part_count++];
    *p = (struct part){.stream = xstrdup(stream), .partition = partition};
    p->queue = rd_kafka_queue_new(r->client.rk);
    static const uint64_t one = 1;
    rd_kafka_queue_io_event_enable(p->queue, r->event_fd, &one, sizeof one);
    return p;
}

static void drop_peeked(struct part *p)
{
    if (p->peeked != NULL)
        rd_kafka_message_destroy(p->peeked);
    p->peeked = NULL;
}

static void stop_part(struct part *p)
{
    drop_peeked(p);
    if (p->started)
        (void)rd_kafka_consume_stop(p->rkt, p->partition);
    p->started = false;
}

static bool part_fail(struct kafka_reader *r, const struct part *p, rd_kafka_resp_err_t code,
                      const char *text, struct err *err)
{
    char what[340];
    (void)snprintf(what, sizeof what, "topic=%s partition=%d offset=%llu", p->stream, (int)p->partition,
                   (unsigned long long)p->position);
    if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
        code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION)
        return err_set(err, ERR_IDENTITY,
                       "kafka journal %s: %s: the topic was deleted; restore it, or make a new snapshot",
                       r->client.brokers, what);
    return kafka_fail(&r->client, code, what, text, err);
}

static bool start_part(struct kafka_reader *r, struct part *p, struct err *err)
{
    stop_part(p);
    if (p->rkt == NULL)
        p->rkt = rd_kafka_topic_new(r->client.rk, p->stream, NULL);
    p->position = p->first;
    p->eof = false;
    if (rd_kafka_consume_start_queue(p->rkt, p->partition, (int64_t)p->first, p->queue) != 0)
        return part_fail(r, p, rd_kafka_last_error(), NULL, err);
    p->started = true;
    return true;
}

/* --- offsets --- */

/* earliest and latest (last stable) offsets of some parts, by two requests for all. */
static bool query(struct kafka_reader *r, const size_t *which, size_t count, int64_t logical, uint64_t *ret,
                  struct err *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, r->parts[which[i]].stream, r->parts[which[i]].partition)
            ->offset = logical;
    rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(r->client.rk, list, KAFKA_REQUEST_MS);
    bool ok =
        code == RD_KAFKA_RESP_ERR_NO_ERROR || kafka_fail(&r->client, code, "asking for offsets", NULL, err);
    for (size_t i = 0; ok && i < count; i++) {
        const rd_kafka_topic_partition_t *tp = &list->elems[i];
        if (tp->err != RD_KAFKA_RESP_ERR_NO_ERROR)
            ok = part_fail(r, &r->parts[which[i]], tp->err, NULL, err);
        else
            ret[i] = tp->offset < 0 ? 0 : (uint64_t)tp->offset;
    }
    rd_kafka_topic_partition_list_destroy(list);
    return ok;
}

static bool known_partition(struct kafka_reader *r, const char *stream, int32_t partition, bool *ret,
                            struct err *err)
{
    int32_t count = 0;
    if (!kafka_topic_lookup(&r->client, stream, &count, err))
        return false;
    *ret = partition < count;
    return true;
}

static bool kafka_bounds(struct journal_reader *jr, const char *stream, int32_t partition,
                         uint64_t *ret_first, uint64_t *ret_next, struct err *err)
{
    struct kafka_reader *r = reader_of(jr);
    bool known = false;
    if (!known_partition(r, stream, partition, &known, err))
        return false;
    if (!known) {
        *ret_first = *ret_next = 0;
        return true;
    }
    int64_t low, high;
    rd_kafka_resp_err_t code =
        rd_kafka_query_watermark_offsets(r->client.rk, stream, partition, &low, &high, KAFKA_REQUEST_MS);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        char what[320];
        (void)snprintf(what, sizeof what, "asking for offsets: topic=%s partition=%d", stream,
                       (int)partition);
        return kafka_fail(&r->client, code, what, NULL, err);
    }
    *ret_first = (uint64_t)low;
    *ret_next = (uint64_t)high;
    return true;
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
    for (size_t i = 0; i < r->part_count; i++) {
        struct part *p = &r->parts[i];
        stop_part(p);
        rd_kafka_queue_destroy(p->queue);
        if (p->rkt != NULL)
            rd_kafka_topic_destroy(p->rkt);
        free(p->stream);
    }
    kafka_client_close(&r->client);
    if (r->event_fd >= 0)
        close(r->event_fd);
    free(r->parts);
    free(r->active);
    free(r->prefix);
    name_map_free(r->index);
    free(r);
}

/* Prefetching is bounded per partition by librdkafka: its share of what all together may take. */
static bool open_client(struct kafka_reader *r, const struct journal_config *config, size_t partitions,
                        struct err *err)
{
    char kbytes[24], count[24], fetch[24];
    size_t share = KAFKA_PREFETCH_BYTES / MAX_OF(partitions, 1);
    size_t records = KAFKA_PREFETCH_COUNT / MAX_OF(partitions, 1);
    share = MIN_OF(MAX_OF(share, (size_t)64 << 10), (size_t)16 << 20);
    (void)snprintf(kbytes, sizeof kbytes, "%zu", share / 1024);
    (void)snprintf(count, sizeof count, "%zu", MAX_OF(records, (size_t)500));
    (void)snprintf(fetch, sizeof fetch, "%zu", MIN_OF(share / 2, (size_t)2 << 20));
    const struct kafka_property properties[] = {
        {"isolation.level", "read_committed"},
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
        {"auto.offset.reset", "error"},
        {"enable.partition.eof", "true"},
        {"allow.auto.create.topics", "false"},
        {"fetch.wait.max.ms", "500"},
        {"fetch.error.backoff.ms", "50"},
        {"queued.max.messages.kbytes", kbytes},
        {"queued.min.messages", count},
        {"fetch.message.max.bytes", fetch},
        {"fetch.max.bytes", "16777216"},
        {"receive.message.max.bytes", "1000000000"},
    };
    return kafka_client_open(&r->client, config, RD_KAFKA_CONSUMER, properties, ARRAY_LEN(properties), NULL,
                             err);
}

/* --- assigning --- */

static void activate(struct kafka_reader *r, size_t index)
{
    if (r->active_count == r->active_cap) {
        r->active_cap = r->active_cap != 0 ? r->active_cap * 2 : 16;
        r->active = xrealloc(r->active, r->active_cap * sizeof *r->active);
    }
    r->active[r->active_count++] = index;
    r->parts[index].active = true;
}

static void forget_ranges(struct kafka_reader *r)
{
    for (size_t i = 0; i < r->active_count; i++)
        r->parts[r->active[i]].active = false;
    for (size_t i = 0; i < r->part_count; i++)
        r->parts[i].first = r->parts[i].end = 0;
    r->active_count = r->turn = r->waiting_topics = 0;
}

static bool add_range(struct kafka_reader *r, const struct journal_range *range, struct err *err)
{
    if (range->first_offset == range->next_offset)
        return true;
    struct part *p = find_part(r, range->stream, range->partition);
    if (!p->active) {
        p->first = range->first_offset;
        p->end = range->next_offset;
        activate(r, (size_t)(p - r->parts));
        return true;
    }
    /* Between units control records take offsets: the next one begins a little later. */
    if (range->first_offset < p->end)
        return err_set(err, ERR_BUG,
                       "kafka journal: two ranges of topic=%s partition=%d overlap or are out of order",
                       range->stream, (int)range->partition);
    p->end = range->next_offset;
    return true;
}

/* Whether the queue goes on into the range with nothing lost and not too much to skip. */
static bool flows_into(const struct part *p)
{
    return p->started && p->position <= p->first && p->first - p->position <= NEAR_OFFSETS;
}

static bool position_ok(const struct kafka_reader *r, const struct part *p, uint64_t low, uint64_t high,
                        bool *ret_behind, struct err *err)
{
    *ret_behind = p->first > high;
    if (p->first >= low)
        return true;
    return err_set(
        err, ERR_GAP,
        "kafka journal %s no longer holds topic=%s partition=%d offset=%llu (kept from %llu): make a new "
        "snapshot, and raise the topic's retention (journal.keep)",
        r->client.brokers, p->stream, (int)p->partition, (unsigned long long)p->first,
        (unsigned long long)low);
}

static bool beyond(const struct kafka_reader *r, const struct part *p, uint64_t high, struct err *err)
{
    return err_set(err, ERR_IDENTITY,
                   "kafka journal %s ends at offset=%llu of topic=%s partition=%d, before the reader's "
                   "position %llu: the "
                   "topic was recreated or is another one; restore it, or make a new snapshot",
                   r->client.brokers, (unsigned long long)high, p->stream, (int)p->partition,
                   (unsigned long long)p->first);
}

/* A leader that changed just now may know less for a moment: asked again for a few seconds. */
static bool check_positions(struct kafka_reader *r, const size_t *which, size_t count, struct err *err)
{
    uint64_t *low = xcalloc(count, sizeof *low), *high = xcalloc(count, sizeof *high);
    bool ok = true, behind = true;
    for (int attempt = 0; ok && behind && count > 0; attempt++) {
        if (attempt > 0)
            (void)poll(NULL, 0, BEHIND_PAUSE_MS);
        ok = query(r, which, count, RD_KAFKA_OFFSET_BEGINNING, low, err) &&
             query(r, which, count, RD_KAFKA_OFFSET_END, high, err);
        behind = false;
        for (size_t i = 0; ok && i < count; i++) {
            bool this_behind;
            const struct part *p = &r->parts[which[i]];
            ok = position_ok(r, p, low[i], high[i], &this_behind, err);
            if (ok && this_behind && attempt == BEHIND_TRIES)
                ok = beyond(r, p, high[i], err);
            behind = behind || this_behind;
        }
    }
    free(low);
    free(high);
    return ok;
}

/* Starts the parts that are there; the others wait for their topic. */
static bool start_known(struct kafka_reader *r, const size_t *which, size_t count, struct err *err)
{
    size_t *known = xcalloc(count, sizeof *known), known_count = 0;
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++) {
        struct part *p = &r->parts[which[i]];
        bool there = p->rkt != NULL; /* was read before */
        ok = there || known_partition(r, p->stream, p->partition, &there, err);
        if (ok && there)
            known[known_count++] = which[i];
        else if (ok && p->first > 0)
            ok = beyond(r, p, 0, err);
        else
            r->waiting_topics += ok;
    }
    ok = ok && check_positions(r, known, known_count, err);
    for (size_t i = 0; ok && i < known_count; i++)
        ok = start_part(r, &r->parts[known[i]], err);
    free(known);
    r->lookup_after_us = clock_mono_us() + LOOKUP_US;
    return ok;
}

static bool start_all(struct kafka_reader *r, struct err *err)
{
    size_t *which = xcalloc(r->active_count, sizeof *which), count = 0;
    for (size_t i = 0; i < r->active_count; i++) {
        if (!flows_into(&r->parts[r->active[i]]))
            which[count++] = r->active[i];
    }
    bool ok = count == 0 || start_known(r, which, count, err);
    free(which);
    return ok;
}

static bool kafka_assign(struct journal_reader *jr, const struct journal_range *ranges, size_t count,
                         struct err *err)
{
    struct kafka_reader *r = reader_of(jr);
    release_held(r);
    forget_ranges(r);
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++)
        ok = add_range(r, &ranges[i], err);
    if (ok && start_all(r, err))
        return true;
    forget_ranges(r);
    return false;
}

/* --- reading --- */

static void finish(struct kafka_reader *r, size_t slot)
{
    r->parts[r->active[slot]].active = false;
    r->active[slot] = r->active[--r->active_count];
}

/* What one look at a partition gave. */
enum look { LOOK_ERROR, LOOK_RECORD, LOOK_EMPTY, LOOK_FINISHED };

static enum look look_at_event(struct kafka_reader *r, struct part *p, rd_kafka_message_t *msg,
                               struct err *err)
{
    enum look got = LOOK_EMPTY;
    if (msg->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        r->client.down_since_us = 0;
        p->position = MAX_OF(p->position, (uint64_t)msg->offset);
        p->eof = true;
        got = p->position >= p->end ? LOOK_FINISHED : LOOK_EMPTY;
    } else {
        part_fail(r, p, msg->err, rd_kafka_message_errstr(msg), err);
        got = LOOK_ERROR;
    }
    rd_kafka_message_destroy(msg);
    return got;
}

/* Takes the next wanted record of a partition into r->held. */
static enum look look(struct kafka_reader *r, struct part *p, struct err *err)
{
    if (p->position >= p->end && p->peeked == NULL)
        return LOOK_FINISHED;
    for (;;) {
        rd_kafka_message_t *msg = p->peeked;
        p->peeked = NULL;
        if (msg == NULL)
            msg = p->started ? rd_kafka_consume_queue(p->queue, 0) : NULL;
        if (msg == NULL)
            return LOOK_EMPTY;
        if (msg->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            enum look got = look_at_event(r, p, msg, err);
            if (got != LOOK_EMPTY)
                return got;
            continue;
        }
        p->eof = false;
        uint64_t offset = (uint64_t)msg->offset;
        if (offset >= p->end) {
            p->peeked = msg;
            p->position = offset;
            return LOOK_FINISHED;
        }
        p->position = offset + 1;
        if (offset >= p->first) {
            r->held = msg;
            return LOOK_RECORD;
        }
        rd_kafka_message_destroy(msg);
    }
}

static void fill_headers(rd_kafka_message_t *msg, struct journal_record *ret)
{
    rd_kafka_headers_t *headers;
    ret->header_count = 0;
    if (rd_kafka_message_headers(msg, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    size_t n = 0;
    while (n < JOURNAL_HEADERS_MAX &&
           rd_kafka_header_get_all(headers, n, &ret->headers[n].name, &ret->headers[n].value,
                                   &ret->headers[n].value_len) == RD_KAFKA_RESP_ERR_NO_ERROR)
        n++;
    ret->header_count = n;
}

static void fill_record(const struct part *p, rd_kafka_message_t *msg, struct journal_record *ret)
{
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

/* Topics that were not there at assign may have come. */
static bool look_for_topics(struct kafka_reader *r, struct err *err)
{
    if (r->waiting_topics == 0 || clock_mono_us() < r->lookup_after_us)
        return true;
    size_t *which = xcalloc(r->active_count, sizeof *which), count = 0;
    for (size_t i = 0; i < r->active_count; i++) {
        if (!r->parts[r->active[i]].started)
            which[count++] = r->active[i];
    }
    r->waiting_topics = 0;
    bool ok = start_known(r, which, count, err);
    free(which);
    return ok;
}

/* librdkafka goes on by itself when brokers are away; after a while the owner is told. */
static bool brokers_there(struct kafka_reader *r, struct err *err)
{
    kafka_client_poll(&r->client);
    if (r->client.down_since_us == 0 || clock_mono_us() - r->client.down_since_us < DOWN_US)
        return true;
    const struct rd_kafka_metadata *md;
    rd_kafka_resp_err_t code = rd_kafka_metadata(r->client.rk, 0, NULL, &md, KAFKA_REQUEST_MS / 3);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_fail(&r->client, code, "no broker answers", NULL, err);
    rd_kafka_metadata_destroy(md);
    r->client.down_since_us = 0;
    return true;
}

/* A partition whose queue was full is not fetched again until librdkafka's broker thread next wakes, which
 * can take a second: any request wakes it. */
static void kick(struct kafka_reader *r, const struct part *p)
{
    int64_t low, high;
    (void)rd_kafka_query_watermark_offsets(r->client.rk, p->stream, p->partition, &low, &high, 1000);
}

/* Waits for any queue; *ret_kick: a queue ran dry though there is more. */
static bool wait_queues(struct kafka_reader *r, int64_t left_us, struct err *err)
{
    const struct part *dry = NULL;
    for (size_t i = 0; i < r->active_count && dry == NULL; i++) {
        const struct part *p = &r->parts[r->active[i]];
        if (p->started && !p->eof)
            dry = p;
    }
    int64_t ms = MIN_OF((left_us + 999) / 1000, 1000);
    if (dry != NULL)
        ms = MIN_OF(ms, KICK_MS);
    if (r->waiting_topics > 0)
        ms = MIN_OF(ms, LOOKUP_US / 1000);
    struct pollfd pfd = {.fd = r->event_fd, .events = POLLIN};
    int n = poll(&pfd, 1, (int)ms);
    if (n < 0 && errno != EINTR)
        return err_set_errno(err, errno, "kafka journal: waiting");
    uint64_t count;
    if (n > 0)
        (void)!read(r->event_fd, &count, sizeof count);
    else if (n == 0 && dry != NULL)
        kick(r, dry);
    return brokers_there(r, err) && look_for_topics(r, err);
}

static enum journal_next kafka_next(struct journal_reader *jr, int timeout_ms, struct journal_record *ret,
                                    struct err *err)
{
    struct kafka_reader *r = reader_of(jr);
    int64_t until_us = 0;
    release_held(r);
    for (;;) {
        for (size_t tries = 0; tries < r->active_count; tries++) {
            r->turn = r->turn < r->active_count ? r->turn : 0;
            struct part *p = &r->parts[r->active[r->turn]];
            switch (look(r, p, err)) {
            case LOOK_ERROR:
                return JOURNAL_ERROR;
            case LOOK_RECORD:
                fill_record(p, r->held, ret);
                return JOURNAL_RECORD;
            case LOOK_FINISHED:
                finish(r, r->turn);
                tries = (size_t)-1; /* another one is in its place: begin anew */
                break;
            case LOOK_EMPTY:
                r->turn++;
                break;
            }
        }
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

/* --- opening, looking --- */

/* The first fence there is names its pipeline by its key. */
static bool check_pipeline(struct kafka_reader *r, struct err *err)
{
    char *fence CLEANUP(free_ptr) = journal_fence_stream(r->prefix);
    struct journal_range range = {.stream = fence, .next_offset = JOURNAL_FOLLOW};
    uint64_t next = 0;
    struct journal_record rec;
    if (!kafka_bounds(&r->base, fence, 0, &range.first_offset, &next, err))
        return false;
    if (range.first_offset == next)
        return true;
    range.next_offset = next;
    if (!kafka_assign(&r->base, &range, 1, err))
        return false;
    enum journal_next got = kafka_next(&r->base, KAFKA_REQUEST_MS, &rec, err);
    if (got == JOURNAL_ERROR)
        return false;
    size_t len = strlen(r->client.pipeline);
    if (got == JOURNAL_RECORD && rec.key != NULL &&
        (rec.key_len != len || memcmp(rec.key, r->client.pipeline, len) != 0))
        return err_set(err, ERR_IDENTITY,
                       "kafka journal %s: topic=%s belongs to pipeline \"%.*s\", not to \"%s\": correct "
                       "journal.url, pipeline "
                       "or journal.topic_prefix",
                       r->client.brokers, fence, (int)MIN_OF(rec.key_len, (size_t)64), (const char *)rec.key,
                       r->client.pipeline);
    return kafka_assign(&r->base, NULL, 0, err);
}

/* How many partitions there are decides how much each may prefetch: a first, short-lived handle asks. */
static bool count_partitions(struct kafka_reader *r, size_t *ret, struct err *err)
{
    struct kafka_topics topics;
    if (!kafka_topics_load(&r->client, r->prefix, &topics, err))
        return false;
    *ret = 0;
    for (size_t i = 0; i < topics.count; i++)
        *ret += (size_t)topics.all[i].partition_count;
    kafka_topics_release(&topics);
    return true;
}

static bool open_sized(struct kafka_reader *r, const struct journal_config *config, struct err *err)
{
    static const size_t guess = 8;
    size_t partitions = 0;
    if (!open_client(r, config, guess, err) || !count_partitions(r, &partitions, err))
        return false;
    if (partitions <= guess)
        return true;
    kafka_client_close(&r->client);
    r->client.rk = NULL;
    return open_client(r, config, partitions, err);
}

static bool kafka_reader_open(const struct journal_config *config, const char *reader_name,
                              struct journal_reader **ret, struct err *err)
{
    struct kafka_reader *r = xcalloc(1, sizeof *r);
    r->base.ops = &kafka_reader_ops;
    r->index = name_map_new();
    r->prefix = xstrdup(config->topic_prefix);
    r->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    bool ok = r->event_fd >= 0 || err_set_errno(err, errno, "kafka journal: eventfd");
    ok = ok && open_sized(r, config, err) && check_pipeline(r, err);
    if (!ok) {
        kafka_reader_close(&r->base);
        return false;
    }
    *ret = &r->base;
    return true;
}

static bool fill_info(struct kafka_reader *r, const struct kafka_topic *topic,
                      struct journal_stream_info *ret, struct err *err)
{
    *ret = (struct journal_stream_info){.partition_count = topic->partition_count,
                                        .kind = kafka_kind_of(r->prefix, topic->name)};
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
    if (!kafka_topics_load(&r->client, r->prefix, &topics, err))
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

/* Retention is the topics' own. */
static bool kafka_confirm(struct journal_reader *jr, uint64_t fence_offset, struct err *err)
{
    return true;
}

const struct journal_reader_ops kafka_reader_ops = {
    .name = "kafka",
    .open = kafka_reader_open,
    .list = kafka_list,
    .bounds = kafka_bounds,
    .assign = kafka_assign,
    .next = kafka_next,
    .confirm = kafka_confirm,
    .close = kafka_reader_close,
};
