/* One partition of the Kafka journal's reader: fetching from an offset, and taking records up to its range's
 * end. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "journal/kafka/reader.h"
#include "journal/kafka/stamp.h"

#define FOLLOW_WAIT_MS "500"

struct kafka_client *kafka_part_client(struct kafka_reader *r, const struct kafka_part *p)
{
    return p->follow ? &r->follow : &r->data;
}

static struct kafka_part *add_part(struct kafka_reader *r, const char *name)
{
    if (r->part_count == r->part_cap) {
        r->part_cap = r->part_cap != 0 ? r->part_cap * 2 : 16;
        r->parts = xrealloc(r->parts, r->part_cap * sizeof *r->parts);
    }
    name_map_put(r->index, name, (int)r->part_count);
    return &r->parts[r->part_count++];
}

struct kafka_part *kafka_part_find(struct kafka_reader *r, const char *stream, int32_t partition, bool follow,
                                   struct err *err)
{
    char name[300];
    (void)snprintf(name, sizeof name, "%s/%d%s", stream, (int)partition, follow ? "+" : "");
    int at = name_map_get(r->index, name);
    if (at >= 0)
        return &r->parts[at];
    if (follow && r->follow.rk == NULL && !kafka_reader_open_handle(r, &r->follow, FOLLOW_WAIT_MS, err))
        return NULL;
    struct kafka_part *p = add_part(r, name);
    *p = (struct kafka_part){.stream = xstrdup(stream),
                             .partition = partition,
                             .follow = follow,
                             .kind = kafka_kind_of(r->config.topic_prefix, stream)};
    rd_kafka_t *rk = kafka_part_client(r, p)->rk;
    p->rkt = rd_kafka_topic_new(rk, stream, NULL);
    p->queue = rd_kafka_queue_new(rk);
    static const uint64_t one = 1;
    rd_kafka_queue_io_event_enable(p->queue, r->event_fd, &one, sizeof one);
    return p;
}

/* --- errors --- */

bool kafka_part_fail(struct kafka_reader *r, const struct kafka_part *p, rd_kafka_resp_err_t code,
                     const char *text, struct err *err)
{
    char what[340];
    struct kafka_client *client = kafka_part_client(r, p);
    (void)snprintf(what, sizeof what, "topic=%s partition=%d offset=%llu", p->stream, (int)p->partition,
                   (unsigned long long)p->position);
    if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
        code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION)
        return err_set(err, ERR_IDENTITY,
                       "kafka journal %s: %s: the topic was deleted; restore it, or make a new snapshot",
                       client->brokers, what);
    return kafka_fail(client, code, what, text, err);
}

bool kafka_part_within(const struct kafka_reader *r, const struct kafka_part *p, uint64_t offset,
                       uint64_t low, uint64_t high, struct err *err)
{
    if (offset < low)
        return err_set(
            err, ERR_GAP,
            "kafka journal %s no longer holds topic=%s partition=%d offset=%llu (kept from %llu): make a "
            "new snapshot, and raise the topic's retention (journal.keep)",
            r->data.brokers, p->stream, (int)p->partition, (unsigned long long)offset,
            (unsigned long long)low);
    if (offset > high)
        return err_set(
            err, ERR_IDENTITY,
            "kafka journal %s ends at offset=%llu of topic=%s partition=%d, before the reader's position "
            "%llu: the topic was recreated or is another one; restore it, or make a new snapshot",
            r->data.brokers, (unsigned long long)high, p->stream, (int)p->partition,
            (unsigned long long)offset);
    return true;
}

/* The broker says that the offset is out of range: on which side? One that leads since just now may answer wrongly for a
 * moment: asked again. */
static bool out_of_range(struct kafka_reader *r, const struct kafka_part *p, struct err *err)
{
    int64_t low = 0, high = 0;
    bool within = false;
    for (int tries = 0; !within && tries <= ASK_AGAIN_MAX; tries++) {
        if (tries > 0)
            (void)poll(NULL, 0, ASK_AGAIN_MS);
        rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(r->data.rk, p->stream, p->partition, &low,
                                                                    &high, KAFKA_REQUEST_MS);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
            return kafka_part_fail(r, p, code, NULL, err);
        within = p->position >= (uint64_t)low && p->position <= (uint64_t)high;
    }
    return kafka_part_within(r, p, p->position, (uint64_t)low, (uint64_t)high, err) &&
           kafka_part_fail(r, p, RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE, NULL, err);
}

/* --- fetching --- */

void kafka_part_stop(struct kafka_part *p)
{
    if (p->peeked != NULL)
        rd_kafka_message_destroy(p->peeked);
    p->peeked = NULL;
    if (p->started)
        (void)rd_kafka_consume_stop(p->rkt, p->partition);
    p->started = false;
}

bool kafka_part_start(struct kafka_reader *r, struct kafka_part *p, struct err *err)
{
    kafka_part_stop(p);
    p->position = p->first;
    p->eof = false;
    p->burst_count = p->burst_bytes = 0;
    if (rd_kafka_consume_start_queue(p->rkt, p->partition, (int64_t)p->first, p->queue) != 0)
        return kafka_part_fail(r, p, rd_kafka_last_error(), NULL, err);
    p->started = p->known = true;
    return true;
}

/* A partition whose queue was full is not fetched again until librdkafka's broker thread next wakes, which
 * can take a second: any request to that broker wakes it. */
void kafka_part_dry(struct kafka_reader *r, struct kafka_part *p)
{
    if (p->burst_count < r->prefetch_count / 2 && p->burst_bytes < r->prefetch_bytes / 2)
        return;
    p->burst_count = p->burst_bytes = 0;
    int64_t low, high;
    (void)rd_kafka_query_watermark_offsets(kafka_part_client(r, p)->rk, p->stream, p->partition, &low, &high,
                                           1000);
}

/* --- taking --- */

static enum kafka_look look_at_event(struct kafka_reader *r, struct kafka_part *p, rd_kafka_message_t *msg,
                                     struct err *err)
{
    enum kafka_look got = LOOK_ERROR;
    if (msg->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        kafka_part_client(r, p)->down_since_us = 0;
        kafka_client_answered(kafka_part_client(r, p));
        p->position = MAX_OF(p->position, (uint64_t)msg->offset);
        p->eof = true;
        p->burst_count = p->burst_bytes = 0;
        got = p->position >= p->end ? LOOK_FINISHED : LOOK_EMPTY;
    } else if (msg->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
               msg->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE) {
        (void)out_of_range(r, p, err);
    } else {
        kafka_part_fail(r, p, msg->err, rd_kafka_message_errstr(msg), err);
    }
    rd_kafka_message_destroy(msg);
    if (got == LOOK_ERROR)
        p->known = false; /* an assign after this sets all up anew */
    return got;
}

static rd_kafka_message_t *take(struct kafka_part *p)
{
    rd_kafka_message_t *msg = p->peeked;
    p->peeked = NULL;
    if (msg != NULL || !p->started)
        return msg;
    msg = rd_kafka_consume_queue(p->queue, 0);
    if (msg != NULL) {
        p->burst_count++;
        p->burst_bytes += msg->len + msg->key_len;
    }
    return msg;
}

void kafka_part_add_span(struct kafka_part *p, const struct journal_range *range)
{
    struct kafka_span *last = p->span_count > 0 ? &p->spans[p->span_count - 1] : NULL;
    if (last != NULL && last->own == range->own && last->writer == range->writer) {
        last->end = range->next_offset; /* what lies between is not that writer's */
        return;
    }
    if (p->span_count == p->span_cap) {
        p->span_cap = p->span_cap != 0 ? p->span_cap * 2 : 1;
        p->spans = xrealloc(p->spans, p->span_cap * sizeof *p->spans);
    }
    p->spans[p->span_count++] = (struct kafka_span){
        .first = range->first_offset, .end = range->next_offset, .own = range->own, .writer = range->writer};
}

/* A record of a forever stream that does not stand where it was meant to. */
static bool is_misplaced(const struct kafka_part *p, uint64_t offset, struct kafka_stamp stamp)
{
    return p->kind == STREAM_FOREVER && stamp.writer != 0 && stamp.number != offset;
}

static bool is_wanted(const struct kafka_reader *r, struct kafka_part *p, uint64_t offset,
                      struct kafka_stamp stamp)
{
    if (p->kind == STREAM_FOREVER)
        return r->config.audit || !is_misplaced(p, offset, stamp);
    while (p->span_at + 1 < p->span_count && offset >= p->spans[p->span_at].end)
        p->span_at++;
    struct kafka_span *span = &p->spans[p->span_at];
    if (!span->own)
        return true;
    if (offset < span->first || stamp.writer != span->writer ||
        (stamp.writer != 0 && stamp.number <= span->number))
        return false;
    span->number = stamp.number;
    return true;
}

enum kafka_look kafka_part_look(struct kafka_reader *r, struct kafka_part *p, struct err *err)
{
    if (p->position >= p->end)
        return LOOK_FINISHED;
    for (;;) {
        rd_kafka_message_t *msg = take(p);
        if (msg == NULL)
            return LOOK_EMPTY;
        if (msg->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            enum kafka_look got = look_at_event(r, p, msg, err);
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
        struct kafka_stamp stamp = kafka_stamp_of(msg, p->kind);
        if (offset >= p->first && is_wanted(r, p, offset, stamp)) {
            r->held = msg;
            r->held_writer = stamp.writer;
            r->held_stray = is_misplaced(p, offset, stamp);
            return LOOK_RECORD;
        }
        rd_kafka_message_destroy(msg);
    }
}
