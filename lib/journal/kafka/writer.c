/* The Kafka journal's writer: a transactional producer, a unit is a transaction; or, with journal_config.idempotent, one without
 * transactions, whose records are stamped. See kafka.h, stamp.h. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "journal/kafka/writer.h"

#define POLL_EVERY 512
#define SLICE_MS   1000
/* Behind a commit, see let_markers_pass(). */
#define PAUSE_MIN_US 300
#define PAUSE_MAX_US 10000
#define REFUSED_US   20000
#define SMALL_UNIT   ((size_t)256 << 10)

/* Where others write into our topics, offsets are foreseen so often in vain; then never again in this process. */
#define SURPRISES_MAX 3
static atomic_uint surprises;

/* Bytes that the library holds, one record more at most: its own limit (queue.buffering.max.kbytes) would never let a record pass that
 * is larger. */
#define QUEUE_BYTES ((size_t)16 << 20)

/* Topics that are looked at when nothing is taken. */
#define WHY_TOPICS 3

static struct kafka_writer *writer_of(struct journal_writer *jw)
{
    return (struct kafka_writer *)jw;
}

/* --- delivery reports --- */

static void report_failed(struct kafka_writer *w, const rd_kafka_message_t *msg)
{
    if (err_is_set(&w->report_err))
        return;
    char what[320];
    const struct stream *s = &w->streams[(intptr_t)msg->_private];
    if (msg->err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE && w->large_batches) {
        (void)kafka_writer_smaller_batches(w, s->name, &w->report_err);
        return;
    }
    if (msg->err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE &&
        kafka_writer_limit_lowered(w, s->name, s->record_max, msg->len + msg->key_len, &w->report_err))
        return;
    (void)snprintf(what, sizeof what, "topic=%s partition=%d: a record of %zu bytes was not taken", s->name,
                   (int)msg->partition, msg->len + msg->key_len);
    kafka_error(&w->client, msg->err, what, NULL, &w->report_err);
    (void)kafka_writer_outlived(w, &w->report_err);
}

/* A record of a stamped forever stream must stand where it was meant to: else no reader takes it. */
static void note_place(struct kafka_writer *w, struct stream *s, uint64_t offset)
{
    if (w->sealing) {
        s->next_at = s->taken_at = offset + 1;
        return;
    }
    uint64_t meant = s->taken_at++;
    if (offset == meant || err_is_set(&w->report_err))
        return;
    w->misplaced = (struct journal_range){.stream = s->name, .first_offset = meant, .next_offset = offset};
    err_set(&w->report_err, ERR_CONNECT,
            "kafka journal %s: topic=%s: a record stands at offset=%llu, not at %llu: a last record of an "
            "earlier capture came late. It does not count; the journal is opened anew",
            w->client.brokers, s->name, (unsigned long long)offset, (unsigned long long)meant);
}

void kafka_writer_on_report(rd_kafka_t *rk, const rd_kafka_message_t *msg, void *opaque)
{
    struct kafka_client *client = opaque;
    struct kafka_writer *w = (struct kafka_writer *)((char *)client - offsetof(struct kafka_writer, client));
    w->reports++;
    w->queued_bytes -= msg->len + msg->key_len;
    if (--w->streams[(intptr_t)msg->_private].pending == 0)
        w->streams[(intptr_t)msg->_private].gathered = 0;
    if (msg->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        report_failed(w, msg);
        return;
    }
    struct stream *s = &w->streams[(intptr_t)msg->_private];
    if (msg->offset < 0 || msg->partition < 0 || msg->partition >= s->part_count) {
        err_set(&w->report_err, ERR_CONNECT,
                "kafka journal %s: topic=%s partition=%d: acknowledged without an offset; the unit is "
                "written again",
                client->brokers, s->name, (int)msg->partition);
        return;
    }
    client->down_since_us = 0;
    kafka_client_answered(client);
    struct part *part = &s->parts[msg->partition];
    uint64_t offset = (uint64_t)msg->offset;
    if (s->kind == STREAM_FOREVER && (w->idempotent || w->sealing))
        note_place(w, s, offset);
    part->first = part->acked ? MIN_OF(part->first, offset) : offset;
    part->next = part->acked ? MAX_OF(part->next, offset + 1) : offset + 1;
    part->acked = true;
}

static bool reports_ok(struct kafka_writer *w, struct err *err)
{
    if (!err_is_set(&w->report_err))
        return true;
    *err = w->report_err;
    kafka_writer_explain(w, err);
    return false;
}

/* --- life --- */

static void kafka_close(struct journal_writer *jw)
{
    struct kafka_writer *w = writer_of(jw);
    /* Lets readers pass at once; if it fails, the next writer's opening does the same. */
    if (w->in_txn && !w->idempotent &&
        rd_kafka_fatal_error(w->client.rk, NULL, 0) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_error_t *error = rd_kafka_abort_transaction(w->client.rk, KAFKA_CLOSE_MS);
        if (error != NULL)
            rd_kafka_error_destroy(error);
    }
    if (w->client.rk != NULL)
        (void)rd_kafka_purge(w->client.rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    kafka_client_poll(&w->client);
    for (size_t i = 0; i < w->stream_count; i++) {
        rd_kafka_topic_destroy(w->streams[i].rkt);
        free(w->streams[i].name);
    }
    kafka_client_close(&w->client);
    for (size_t i = 0; i < w->stream_count; i++)
        free(w->streams[i].parts); /* delivery reports are over now */
    free(w->streams);
    free(w->touched);
    free(w->ranges);
    name_map_free(w->names);
    kafka_topics_release(&w->topics);
    free((char *)w->config.topic_prefix);
    free(w);
}

static bool kafka_stream(struct journal_writer *jw, const char *name, enum stream_kind kind, int *ret_id,
                         struct err *err)
{
    struct kafka_writer *w = writer_of(jw);
    int id = name_map_get(w->names, name);
    if (id >= 0) {
        *ret_id = id;
        return true;
    }
    const struct kafka_topic *topic = NULL;
    if (!kafka_topic_ensure(&w->client, &w->config, &w->topics, name, kind, &topic, err))
        return false;
    if (w->large_batches && topic->message_max < kafka_producer_batch(&w->client))
        return kafka_writer_smaller_batches(w, name, err);
    if (w->stream_count == w->stream_cap) {
        w->stream_cap = w->stream_cap != 0 ? w->stream_cap * 2 : 64;
        w->streams = xrealloc(w->streams, w->stream_cap * sizeof *w->streams);
    }
    id = (int)w->stream_count++;
    w->streams[id] = (struct stream){
        .name = xstrdup(name),
        .rkt = rd_kafka_topic_new(w->client.rk, name, NULL),
        .part_count = topic->partition_count,
        .kind = kind,
        .record_max = MIN_OF(topic->message_max - (w->idempotent ? KAFKA_STAMP_BYTES : 0), w->record_max),
        .parts = xcalloc((size_t)topic->partition_count, sizeof(struct part))};
    if (topic->message_max < kafka_producer_batch(&w->client))
        w->streams[id].batch_max = topic->message_max;
    name_map_put(w->names, name, id);
    *ret_id = id;
    return true;
}

/* --- units --- */

/* The coordinator answers a commit before its markers are written, refuses the next transaction's partitions until then, and librdkafka
 * comes again 20 ms later (CONCURRENT_TRANSACTIONS, rdkafka_txnmgr.c). A pause behind the commit is the shorter way. How long markers
 * take is the broker's affair (0.8 ms for a warm one beside us), so the pause feels its way: a small unit that took as long as a refusal
 * makes it longer, each other one a little shorter. Other hiccups look the same: up to one in fifty of them does not drive it up. */
static void let_markers_pass(struct kafka_writer *w)
{
    int64_t left_us = w->committed_us + w->pause_us - clock_mono_us();
    w->hurried = w->committed_us != 0 && left_us > 0;
    if (w->hurried)
        (void)usleep((useconds_t)left_us);
}

static void adjust_pause(struct kafka_writer *w, int64_t waited_us)
{
    if (waited_us >= REFUSED_US)
        w->pause_us = MIN_OF(w->pause_us * 23 / 20, PAUSE_MAX_US);
    else
        w->pause_us = MAX_OF(w->pause_us - w->pause_us * 3 / 1000, PAUSE_MIN_US);
}

static bool begin(struct kafka_writer *w, struct err *err)
{
    if (w->in_txn)
        return true;
    if (!w->idempotent)
        let_markers_pass(w);
    rd_kafka_error_t *error = w->idempotent ? NULL : rd_kafka_begin_transaction(w->client.rk);
    if (error != NULL)
        return kafka_writer_fail(w, error, "beginning a transaction", err);
    w->in_txn = true;
    w->txn_begun_us = clock_mono_us();
    w->now_ms = clock_wall_us() / 1000;
    return true;
}

static struct kafka_stamp next_stamp(struct kafka_writer *w, struct stream *s)
{
    uint64_t number = KAFKA_STAMP_NOWHERE;
    if (!w->sealing)
        number = s->kind == STREAM_FOREVER ? s->next_at++ : ++w->stamp_count;
    return (struct kafka_stamp){.writer = w->stamp_writer, .number = number};
}

static rd_kafka_headers_t *headers_of(struct kafka_writer *w, struct stream *s,
                                      const struct journal_record *rec)
{
    bool stamped = w->idempotent || w->sealing;
    if (rec->header_count == 0 && !stamped)
        return NULL;
    rd_kafka_headers_t *headers = rd_kafka_headers_new(rec->header_count + 1);
    if (stamped)
        kafka_stamp_add(headers, s->kind, next_stamp(w, s));
    for (size_t i = 0; i < rec->header_count; i++)
        (void)rd_kafka_header_add(headers, rec->headers[i].name, -1, rec->headers[i].value,
                                  (ssize_t)rec->headers[i].value_len);
    return headers;
}

static size_t record_bytes(const struct journal_record *rec)
{
    return (rec->key != NULL ? rec->key_len : 0) + (rec->value != NULL ? rec->value_len : 0);
}

static void note_appended(struct kafka_writer *w, int stream, int32_t partition)
{
    struct part *part = &w->streams[stream].parts[partition];
    part->appended++;
    if (part->touched)
        return;
    part->touched = true;
    if (w->touched_count == w->touched_cap) {
        w->touched_cap = w->touched_cap != 0 ? w->touched_cap * 2 : 64;
        w->touched = xrealloc(w->touched, w->touched_cap * sizeof *w->touched);
    }
    w->touched[w->touched_count++] = (struct touch){stream, partition};
}

/* One try. Takes the headers over only on success. */
static rd_kafka_resp_err_t produce(struct kafka_writer *w, int id, int32_t partition,
                                   const struct journal_record *rec, rd_kafka_headers_t *headers)
{
    struct stream *s = &w->streams[id];
    rd_kafka_vu_t vus[8];
    size_t n = 0;
    vus[n].vtype = RD_KAFKA_VTYPE_RKT;
    vus[n++].u.rkt = s->rkt;
    vus[n].vtype = RD_KAFKA_VTYPE_PARTITION;
    vus[n++].u.i32 = partition;
    vus[n].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
    vus[n++].u.i = RD_KAFKA_MSG_F_COPY;
    vus[n].vtype = RD_KAFKA_VTYPE_KEY;
    vus[n].u.mem.ptr = (void *)rec->key;
    vus[n++].u.mem.size = rec->key != NULL ? rec->key_len : 0;
    vus[n].vtype = RD_KAFKA_VTYPE_VALUE;
    vus[n].u.mem.ptr = (void *)rec->value;
    vus[n++].u.mem.size = rec->value != NULL ? rec->value_len : 0;
    vus[n].vtype = RD_KAFKA_VTYPE_TIMESTAMP;
    vus[n++].u.i64 = rec->timestamp_ms != 0 ? rec->timestamp_ms : w->now_ms;
    vus[n].vtype = RD_KAFKA_VTYPE_OPAQUE;
    vus[n++].u.ptr = (void *)(intptr_t)id;
    if (headers != NULL) {
        vus[n].vtype = RD_KAFKA_VTYPE_HEADERS;
        vus[n++].u.headers = headers;
    }
    rd_kafka_error_t *error = rd_kafka_produceva(w->client.rk, vus, n);
    if (error == NULL) {
        s->pending++;
        note_appended(w, id, partition);
        w->queued_bytes += record_bytes(rec);
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    rd_kafka_error_destroy(error);
    return code;
}

static void why_stuck(struct kafka_writer *w, struct strbuf *out)
{
    int looks = 0;
    for (size_t i = 0; i < w->stream_count && out->len == 0 && looks < WHY_TOPICS; i++) {
        if (w->streams[i].pending > 0) {
            kafka_topic_why_stuck(&w->client, w->streams[i].name, out);
            looks++;
        }
    }
    w->why_after_us = clock_mono_us() + (int64_t)KAFKA_TELL_MS * 1000;
}

/* Nothing has moved since `since_us`. */
static bool go_on_waiting(struct kafka_writer *w, int64_t since_us, const char *what, struct err *err)
{
    struct strbuf why = STRBUF_INIT(800);
    int64_t waited_us = clock_mono_us() - since_us;
    bool stalled = waited_us > (int64_t)KAFKA_STALL_MS * 1000;
    bool look = waited_us >= (int64_t)KAFKA_TELL_MS * 1000 && clock_mono_us() >= w->why_after_us;
    if (stalled || look)
        why_stuck(w, &why);
    kafka_client_waits(&w->client, since_us, what, why.len > 0 ? why.data : NULL);
    if (stalled && why.len > 0)
        kafka_fail(&w->client, RD_KAFKA_RESP_ERR__TIMED_OUT, what, why.data, err);
    else if (stalled)
        kafka_stalled(&w->client, what, KAFKA_STALL_MS, err);
    strbuf_release(&why);
    return !stalled;
}

/* Serves reports until something moved; false after KAFKA_STALL_MS without. */
static bool wait_progress(struct kafka_writer *w, const char *what, struct err *err)
{
    uint64_t seen = w->reports;
    int64_t begin_us = clock_mono_us();
    while (w->reports == seen) {
        (void)rd_kafka_poll(w->client.rk, 100);
        if (!reports_ok(w, err))
            return false;
        if (w->reports == seen && !go_on_waiting(w, begin_us, what, err))
            return false;
    }
    return true;
}

static bool produce_waiting(struct kafka_writer *w, int id, int32_t partition,
                            const struct journal_record *rec, struct err *err)
{
    rd_kafka_headers_t *headers = headers_of(w, &w->streams[id], rec);
    rd_kafka_resp_err_t code;
    bool ok = true;
    while (ok && w->queued_bytes > 0 && w->queued_bytes + record_bytes(rec) > QUEUE_BYTES)
        ok = wait_progress(w, "waiting for room in the queue", err);
    while (ok && (code = produce(w, id, partition, rec, headers)) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            ok = wait_progress(w, "waiting for room in the queue", err);
            continue;
        }
        char what[320];
        (void)snprintf(what, sizeof what, "topic=%s partition=%d: a record of %zu bytes", w->streams[id].name,
                       (int)partition, rec->key_len + rec->value_len);
        kafka_client_poll(&w->client);
        ok = reports_ok(w, err) && kafka_fail(&w->client, code, what, NULL, err); /* a report has the cause */
    }
    if (!ok && headers != NULL)
        rd_kafka_headers_destroy(headers);
    return ok;
}

static int32_t partition_of(const struct stream *s, const struct journal_record *rec)
{
    if (rec->partition >= 0)
        return rec->partition;
    if (rec->key == NULL || s->part_count == 1)
        return 0;
    return rd_kafka_msg_partitioner_murmur2(s->rkt, rec->key, rec->key_len, s->part_count, NULL, NULL);
}

bool kafka_writer_wait_reports(struct kafka_writer *w, struct err *err)
{
    uint64_t seen = w->reports;
    int64_t moved_us = clock_mono_us();
    while (rd_kafka_outq_len(w->client.rk) > 0) {
        (void)rd_kafka_flush(w->client.rk, SLICE_MS);
        if (!reports_ok(w, err))
            return false;
        if (w->reports != seen) {
            seen = w->reports;
            moved_us = clock_mono_us();
        } else if (!go_on_waiting(w, moved_us, "waiting for the records to be taken", err)) {
            return false;
        }
    }
    return reports_ok(w, err);
}

static bool kafka_fits(struct journal_writer *jw, int stream_id, const struct journal_record *rec)
{
    const struct kafka_writer *w = writer_of(jw);
    return kafka_batch_size(rec) <= w->streams[stream_id].record_max;
}

/* librdkafka gathers records up to its own batch.size; the topic would refuse such a batch though it takes each of them. */
static bool gather(struct kafka_writer *w, struct stream *s, const struct journal_record *rec,
                   struct err *err)
{
    if (s->batch_max == 0)
        return true;
    size_t size = kafka_batch_size(rec);
    if (s->gathered > 0 && s->gathered + size > s->batch_max && !kafka_writer_wait_reports(w, err))
        return false;
    s->gathered += size;
    return true;
}

static bool kafka_append(struct journal_writer *jw, int stream_id, const struct journal_record *rec,
                         struct err *err)
{
    struct kafka_writer *w = writer_of(jw);
    BUG_UNLESS((size_t)stream_id < w->stream_count);
    struct stream *s = &w->streams[stream_id];
    int32_t partition = partition_of(s, rec);
    if (partition >= s->part_count)
        return err_set(err, ERR_BUG, "kafka journal: partition=%d of topic=%s, there are %d", (int)partition,
                       s->name, (int)s->part_count);
    if (!kafka_queue_takes(&w->client, s->name, w->record_max, rec, err) || !begin(w, err) ||
        !gather(w, s, rec, err))
        return false;
    if (++w->since_poll >= POLL_EVERY) {
        w->since_poll = 0;
        w->now_ms = clock_wall_us() / 1000;
        kafka_client_poll(&w->client);
        if (!reports_ok(w, err))
            return false;
    }
    return produce_waiting(w, stream_id, partition, rec, err);
}

static int compare_ranges(const void *a, const void *b)
{
    const struct journal_range *x = a, *y = b;
    int order = strcmp(x->stream, y->stream);
    return order != 0 ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

/* --- a unit's offsets --- */

static struct part *touched_part(struct kafka_writer *w, size_t i)
{
    return &w->streams[w->touched[i].stream].parts[w->touched[i].partition];
}

/* A transaction's records stand one behind the other, and the next one's behind its marker, as long as nobody else writes there: so
 * where they are going to stand is known before they are sent, and the fence can go out with them, which saves a transaction half of
 * its ways to the broker. commit() looks whether it came true. Without transactions a fence may only follow what is acknowledged. */
static bool can_plan(struct kafka_writer *w)
{
    for (size_t i = 0; i < w->touched_count; i++) {
        if (!touched_part(w, i)->known)
            return false;
    }
    return !w->idempotent && !w->sealing && !w->base.claiming && atomic_load(&surprises) < SURPRISES_MAX;
}

static bool check_plan(struct kafka_writer *w, struct err *err)
{
    for (size_t i = 0; w->planned && i < w->touched_count; i++) {
        const struct part *part = touched_part(w, i);
        if (!part->known || (part->first == part->at && part->next - part->first == part->appended))
            continue;
        atomic_fetch_add(&surprises, 1);
        return err_set(err, ERR_CONNECT,
                       "kafka journal %s: topic=%s partition=%d: records stand at offset=%llu to %llu, not "
                       "at %llu to %llu: something "
                       "else has written there; the journal is opened anew, and the unit is written again",
                       w->client.brokers, w->streams[w->touched[i].stream].name, (int)w->touched[i].partition,
                       (unsigned long long)part->first, (unsigned long long)part->next - 1,
                       (unsigned long long)part->at, (unsigned long long)(part->at + part->appended - 1));
    }
    return true;
}

static bool kafka_flush(struct journal_writer *jw, const struct journal_range **ret_ranges, size_t *ret_count,
                        struct err *err)
{
    struct kafka_writer *w = writer_of(jw);
    bool plan = can_plan(w);
    w->planned = w->planned || plan;
    if (plan ? !reports_ok(w, err) : !kafka_writer_wait_reports(w, err))
        return false;
    if (w->range_cap < w->touched_count) {
        w->range_cap = w->touched_cap;
        w->ranges = xrealloc(w->ranges, w->range_cap * sizeof *w->ranges);
    }
    for (size_t i = 0; i < w->touched_count; i++) {
        const struct part *part = touched_part(w, i);
        w->ranges[i] = (struct journal_range){.stream = w->streams[w->touched[i].stream].name,
                                              .partition = w->touched[i].partition,
                                              .first_offset = plan ? part->at : part->first,
                                              .next_offset = plan ? part->at + part->appended : part->next};
    }
    if (w->touched_count > 1)
        qsort(w->ranges, w->touched_count, sizeof *w->ranges, compare_ranges);
    *ret_ranges = w->ranges;
    *ret_count = w->touched_count;
    return true;
}

/* A commit that was sent but not answered is asked for again: the coordinator knows. */
static bool commit_transaction(struct kafka_writer *w, struct err *err)
{
    int64_t begin_us = clock_mono_us(), until_us = begin_us + (int64_t)KAFKA_STALL_MS * 1000;
    for (;;) {
        rd_kafka_error_t *error = rd_kafka_commit_transaction(w->client.rk, KAFKA_TELL_MS);
        if (error == NULL) {
            kafka_client_answered(&w->client);
            return reports_ok(w, err);
        }
        if (!rd_kafka_error_is_retriable(error) || clock_mono_us() >= until_us)
            return kafka_writer_fail(w, error, "committing", err);
        rd_kafka_error_destroy(error);
        kafka_client_waits(&w->client, begin_us, "committing", NULL);
        kafka_client_poll(&w->client);
    }
}

bool kafka_writer_end_unit(struct kafka_writer *w, struct err *err)
{
    if (!w->idempotent && !commit_transaction(w, err))
        return false;
    w->in_txn = false;
    w->committed_us = clock_mono_us();
    for (size_t i = 0; i < w->touched_count; i++) {
        struct part *part = touched_part(w, i);
        *part = (struct part){.at = part->next + 1, .known = part->acked && !w->idempotent};
    }
    w->touched_count = 0;
    w->planned = false;
    return true;
}

static bool kafka_commit(struct journal_writer *jw, struct err *err)
{
    struct kafka_writer *w = writer_of(jw);
    if (!w->in_txn)
        return true;
    bool telling = w->planned && w->hurried && w->queued_bytes < SMALL_UNIT;
    int64_t begin_us = clock_mono_us();
    if (!kafka_writer_wait_reports(w, err))
        return false;
    if (telling)
        adjust_pause(w, clock_mono_us() - begin_us);
    return check_plan(w, err) && failpoint("journal.kafka.commit", err) && kafka_writer_end_unit(w, err) &&
           failpoint("journal.kafka.committed", err);
}

/* The topics' retention does it. Serves the handle's callbacks meanwhile (new login tokens, for one). */
static bool kafka_trim(struct journal_writer *jw, struct err *err)
{
    struct kafka_writer *w = writer_of(jw);
    kafka_client_poll(&w->client);
    return reports_ok(w, err);
}

static void kafka_numbers(struct journal_writer *jw, struct journal_numbers *ret)
{
    ret->queued = rd_kafka_outq_len(writer_of(jw)->client.rk);
}

const struct journal_writer_ops kafka_writer_ops = {
    .name = "kafka",
    .open = kafka_writer_open,
    .stream = kafka_stream,
    .append = kafka_append,
    .fits = kafka_fits,
    .flush = kafka_flush,
    .commit = kafka_commit,
    .trim = kafka_trim,
    .numbers = kafka_numbers,
    .close = kafka_close,
};
